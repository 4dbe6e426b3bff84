//! What a run is like, before anything goes wrong.

use holdfast_core::engine::{Acknowledge, BrokenRule, Compression, Config, OnUnderReplicated};

use holdfast_core::Place;

use crate::rng::Rng;

/// The longest time to live that clients ask for, in milliseconds: at rest, everything with an end is gone after this.
pub(crate) const LONGEST_LIFE: u64 = 4_000;

/// Every other member keeps a copy.
const ALL_OTHERS: u8 = 63;

/// After so much silence a member is suspected, in milliseconds.
pub(crate) const FAILURE_TIMEOUT: u64 = 400;

/// With `Accept`, a member that was suspected for so long is not waited for: half of `ack_timeout`, in milliseconds.
pub(crate) const PATIENCE: u64 = ACK_TIMEOUT / 2;

/// A pattern that no key matches.
const NO_KEY: &str = "nothing";

/// How long a command may take, in milliseconds.
const ACK_TIMEOUT: u64 = 1_000;

/// What a run is like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setup {
    /// Where delays and the fate of swaps come from.
    pub seed: u64,
    /// How many hosts there are.
    pub hosts: usize,
    /// How many copies beside the owner.
    pub copies: u8,
    /// The number of the first session that clients work on.
    pub first: usize,
    /// How many they work on; every third holds fields.
    pub keys: usize,
    /// How many more there are in the crowd.
    pub crowd: usize,
    /// How many connections share the stream to each member.
    pub connections: u8,
    /// How many bytes go on one of them before the next ones go on another.
    pub stripe: u64,
    /// How much may wait for a member before writes are refused, in bytes.
    pub queue_bytes: u64,
    /// How much memory sessions and copies may take at a member, in bytes.
    pub memory: Option<u64>,
    /// How many sessions a member looks at in one go.
    pub step: usize,
    /// When a write is answered.
    pub acknowledge: Acknowledge,
    /// What becomes of writes while there are too few copies.
    pub on_under_replicated: OnUnderReplicated,
    /// Whether frames are compressed.
    pub compression: Compression,
    /// In how many zones the hosts are; with 0 none is known.
    pub zones: usize,
    /// In how many domains they are; with 0 none is known.
    pub domains: usize,
    /// Whether sessions move with their users; otherwise they belong to their homes.
    pub follows: bool,
    /// How many of a hundred callers of the arbiter hear nothing of what they did.
    pub unheard: u64,
    /// Which rule is not kept.
    pub broken: Option<BrokenRule>,
}

impl Setup {
    /// A small cluster in which nothing is special.
    pub fn plain(seed: u64, hosts: usize, copies: u8) -> Setup {
        Setup {
            seed,
            hosts,
            copies,
            first: 0,
            keys: 1,
            crowd: 0,
            connections: 1,
            stripe: 1,
            queue_bytes: 1 << 20,
            memory: None,
            step: 4096,
            acknowledge: Acknowledge::Applied,
            on_under_replicated: OnUnderReplicated::Wait,
            compression: Compression::None,
            zones: 0,
            domains: 0,
            follows: true,
            unheard: 15,
            broken: None,
        }
    }

    /// What the seed says.
    pub(crate) fn draw(seed: u64, kind: Kind) -> Setup {
        let mut rng = Rng::of(seed, [1, 0, 0, 0]);
        let hosts = rng.pick(&[2, 3, 3, 3, 4, 4, 5, 6, 7]);
        let copies = rng.pick(&[1, 1, 1, 1, 2, 2, 3]);
        let keys = rng.between(1, 3) as usize;
        let step = Rng::of(seed, [30, 0, 0, 0]).pick(&[1, 1, 2, 5, 100, 4096]);
        let compression = Rng::of(seed, [31, 0, 0, 0]).pick(&[Compression::None, Compression::Lz4]);
        let plain = Setup { keys, step, compression, ..Setup::plain(seed, hosts, copies) };
        match kind {
            Kind::Crowd => Setup { crowd: 700, step: step.max(100), hosts: hosts.clamp(3, 4), copies: 2, ..plain },
            Kind::Flood => Setup { queue_bytes: 8 << 10, hosts: hosts.clamp(2, 4), ..plain },
            Kind::Wide => Setup { keys: 9, ..plain },
            Kind::Brink => Setup { hosts: hosts.clamp(3, 5), copies: copies.min(2), ..plain },
            Kind::Narrow => Setup { keys: 1, hosts: hosts.clamp(3, 4), copies: 1, ..plain },
            Kind::Modes => {
                let copies = rng.pick(&[0, 0, 0, ALL_OTHERS, 1, 2]);
                let connections = rng.between(1, 4) as u8;
                Setup { copies, connections, stripe: rng.pick(&[1, 200, 2_000]), hosts: hosts.clamp(2, 5), ..plain }
            }
            Kind::Trade => {
                let acknowledge = rng.pick(&[Acknowledge::Applied, Acknowledge::Received, Acknowledge::None]);
                let modes = [OnUnderReplicated::Wait, OnUnderReplicated::Reject, OnUnderReplicated::Accept];
                let on_under_replicated = rng.pick(if acknowledge == Acknowledge::Applied { &modes[1..] } else { &modes });
                Setup { acknowledge, on_under_replicated, hosts: hosts.clamp(2, 5), ..plain }
            }
            Kind::Places => {
                let (zones, domains) = rng.pick(&[(2, 0), (3, 0), (2, 0), (0, 2), (3, 2), (2, 2)]);
                Setup { zones, domains, hosts: hosts.clamp(3, 7), ..plain }
            }
            Kind::Steps => {
                let memory = Rng::of(seed, [32, 0, 0, 0]).pick(&[None, None, None, None, Some(2_000), Some(4_000)]);
                Setup { follows: rng.chance(40), hosts: hosts.clamp(2, 5), memory, ..plain }
            }
            _ => plain,
        }
    }

    /// Where a host is.
    pub(crate) fn place(&self, host: usize) -> Place {
        let name = |count: usize, of: usize| if count == 0 { String::new() } else { (of % count).to_string() };
        Place { zone: name(self.zones, host), domain: name(self.domains, host / 2) }
    }

    pub(crate) fn config(&self, name: String, pod_uid: String) -> Config {
        Config {
            copies: self.copies,
            ack_timeout: ACK_TIMEOUT,
            heartbeat_interval: 50,
            failure_timeout: FAILURE_TIMEOUT,
            state_transfer_timeout: 3_000,
            queue_bytes: self.queue_bytes,
            memory: self.memory,
            max_commands: 1_000,
            connections: self.connections,
            acknowledge: self.acknowledge,
            on_under_replicated: self.on_under_replicated,
            compression: self.compression,
            session_keys: if self.follows { Vec::new() } else { vec![NO_KEY.into()] },
            ..Config::new("sim", name, pod_uid)
        }
    }
}

/// What schedules are after. Each has a share of the seeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Anything.
    Mixed,
    /// Members that have just become full are taken away, while others are slow to hear of anything: ranges change hands twice in a moment.
    Hunt,
    /// Members come, go and are replaced all the time, and users move between them.
    Churn,
    /// One session or two, few members, and much at once.
    Narrow,
    /// Each change of members is the beginning of another fault, aimed at what is under way then.
    Brink,
    /// More sessions.
    Wide,
    /// So many sessions that reports take several messages.
    Crowd,
    /// More writes than slow members can take.
    Flood,
    /// Times to live.
    Expiry,
    /// All members stop, and start again.
    Blackout,
    /// No copies, copies everywhere, several connections to a member, another number of copies while it runs.
    Modes,
    /// Safety is traded for speed or availability.
    Trade,
    /// Members in several zones and domains.
    Places,
    /// Several commands as one step, under conditions; sessions that move with their users, and such that belong to their homes.
    Steps,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 14] = [
        Kind::Mixed,
        Kind::Hunt,
        Kind::Churn,
        Kind::Narrow,
        Kind::Brink,
        Kind::Wide,
        Kind::Crowd,
        Kind::Flood,
        Kind::Expiry,
        Kind::Blackout,
        Kind::Modes,
        Kind::Trade,
        Kind::Places,
        Kind::Steps,
    ];

    /// That of a seed.
    pub fn of(seed: u64) -> Kind {
        match Rng::of(seed, [2, 0, 0, 0]).below(100) {
            0..12 => Kind::Mixed,
            12..16 => Kind::Places,
            16..20 => Kind::Trade,
            20..32 => Kind::Hunt,
            32..47 => Kind::Churn,
            47..55 => Kind::Narrow,
            55..75 => Kind::Brink,
            75..83 => Kind::Wide,
            83..85 => Kind::Crowd,
            85..87 => Kind::Flood,
            87..93 => Kind::Expiry,
            93..94 => Kind::Blackout,
            94..97 => Kind::Steps,
            _ => Kind::Modes,
        }
    }
}
