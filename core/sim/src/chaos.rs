//! What goes wrong, when, and what clients do meanwhile: drawn at random, with other weights in each run (swarm testing), and here and there aimed at
//! moments in which much can go wrong.

use holdfast_core::{MemberState, Version};

use crate::action::{Action, Ask, Pod};
use crate::brink;
use crate::rng::Rng;
use crate::setup::{Kind, LONGEST_LIFE, Setup};
use crate::world::World;

/// How often each thing happens in a run, in parts of 100,000 for each millisecond.
struct Weights {
    operation: u64,
    scan: u64,
    crash: u64,
    node_crash: u64,
    restart: u64,
    reset: u64,
    partition: u64,
    cut: u64,
    heal: u64,
    slow: u64,
    pause: u64,
    arbiter: u64,
    late_swap: u64,
    finish: u64,
    drain: u64,
    start: u64,
    burst: u64,
    /// How many crashes at the most.
    crashes: u64,
}

/// What a run is after, and where it stands.
pub(crate) struct Chaos {
    pub(crate) rng: Rng,
    kind: Kind,
    weights: Weights,
    /// How long things go wrong, in milliseconds.
    pub(crate) length: u64,
    operations: u64,
    /// How often, in percent, a user stays where it was.
    loyalty: u64,
    /// Where the user of each session is.
    users: Vec<usize>,
    pub(crate) pending: Vec<(u64, Action)>,
    seen: Version,
    burst_until: u64,
    /// In a burst clients ask for one session only.
    target: usize,
}

impl Chaos {
    pub(crate) fn new(setup: &Setup, kind: Kind) -> Chaos {
        let mut rng = Rng::of(setup.seed, [3, 0, 0, 0]);
        let mut weights = draw_weights(&mut rng, kind);
        let length = rng.between(1_500, 9_000);
        let most = if rng.chance(10) { 300 } else { 70 };
        let operations = rng.between(10, most) * (setup.keys as u64).div_ceil(3);
        weights.operation = operations * 100_000 / length;
        let users = vec![0; setup.keys];
        let loyalty = rng.pick(&[0, 50, 80, 95]);
        let seen = Version::default();
        Chaos { rng, kind, weights, length, operations, loyalty, users, pending: Vec::new(), seen, burst_until: 0, target: 0 }
    }

    /// Who runs from the beginning.
    pub(crate) fn start(&mut self, setup: &Setup) -> Vec<Action> {
        let least = if self.kind == Kind::Crowd { setup.hosts } else { 1 };
        let running = self.rng.between(least as u64, setup.hosts as u64) as usize;
        if setup.crowd > 0 {
            self.pending.push((800, Action::Crowd(self.rng.below(setup.hosts as u64) as usize)));
        }
        if self.kind == Kind::Modes && self.rng.chance(60) {
            for _ in 0..self.rng.between(1, 3) {
                let copies = self.rng.pick(&[0, 1, 2, 63]);
                self.pending.push((self.rng.between(600, self.length), Action::Copies(copies)));
            }
        }
        if self.kind == Kind::Blackout {
            self.plan_blackout(setup.hosts);
        }
        (0..running).map(|host| Action::Start(host, Pod::New)).collect()
    }

    /// All stop within a moment, of their own accord or not, and come back.
    fn plan_blackout(&mut self, hosts: usize) {
        let at = self.rng.between(500, self.length);
        let (is_orderly, is_same_pod) = (self.rng.chance(50), self.rng.chance(50));
        for host in 0..hosts {
            let end = if is_orderly { Action::Finish(host) } else { Action::Crash(host) };
            self.pending.push((at + self.rng.between(0, 200), end));
            let pod = if is_same_pod && !is_orderly { Pod::Same } else { Pod::New };
            self.pending.push((at + 1_500 + self.rng.between(0, 1_500), Action::Start(host, pod)));
        }
        self.length = self.length.max(at + 4_000);
    }

    fn happens(&mut self, weight: u64) -> bool {
        weight > 0 && self.rng.below(100_000) < weight
    }

    /// What happens in this millisecond.
    pub(crate) fn next(&mut self, world: &World) -> Vec<Action> {
        let mut actions = Vec::new();
        let now = world.now();
        self.pending.retain(|(at, action)| {
            let is_due = *at <= now;
            if is_due {
                actions.push(*action);
            }
            !is_due
        });
        self.watch(world);
        self.ask(world, &mut actions);
        self.disturb_hosts(world, &mut actions);
        self.disturb_network(world, &mut actions);
        actions
    }

    fn any_host(&mut self, world: &World) -> usize {
        self.rng.below(world.hosts.len() as u64) as usize
    }

    /// A member has become full: it may be taken away again, while somebody hears of everything late.
    fn watch(&mut self, world: &World) {
        let view = world.arbiter.view();
        if view.version == self.seen {
            return;
        }
        let changes = view.version.epoch != self.seen.epoch;
        self.seen = view.version;
        let promoted = world.promoted.filter(|_| self.kind == Kind::Hunt && world.stats.crashes < 4);
        if let Some(promoted) = promoted {
            let (slow, owner, delay) = (self.any_host(world), self.any_host(world), self.rng.between(100, 500));
            for host in (0..world.hosts.len()).filter(|host| *host != slow) {
                self.pending.push((0, Action::Slow(host, slow, delay)));
                self.pending.push((0, Action::Slow(host, owner, 2 * delay)));
            }
            self.pending.push((world.now() + self.rng.between(5, 80), Action::Crash(promoted)));
            self.burst_until = world.now() + 600;
        }
        let may_attack = self.kind == Kind::Brink && changes && world.stats.crashes < 8;
        if may_attack && self.rng.chance(50) {
            brink::plan(self, world);
        } else if changes && self.happens(self.weights.burst) {
            self.burst_until = world.now() + self.rng.between(50, 400);
            self.target = self.rng.below(world.setup.keys as u64) as usize;
        }
    }

    /// Clients of `host`, most of all, ask for much until then.
    pub(crate) fn aim(&mut self, host: usize, until: u64) {
        self.burst_until = until;
        self.target = self.rng.below(self.users.len() as u64) as usize;
        self.users[self.target] = host;
    }

    fn ask(&mut self, world: &World, actions: &mut Vec<Action>) {
        let (now, asked) = (world.now(), world.stats.operations);
        let is_flood = self.kind == Kind::Flood && now % 2_000 > 1_300 && asked < 300;
        let most = if self.kind == Kind::Brink { 250 } else { 60 };
        let is_burst = now < self.burst_until && asked < self.operations + most && self.rng.chance(12);
        let is_usual = asked < self.operations && self.happens(self.weights.operation);
        if is_flood || is_burst || is_usual {
            let keys = world.setup.keys as u64;
            let key = if is_burst && self.rng.chance(60) { self.target } else { self.rng.below(keys) as usize };
            if !self.rng.chance(self.loyalty) {
                self.users[key] = self.any_host(world);
            }
            let host = self.users[key];
            if world.is_awake(host) {
                let is_together = self.kind == Kind::Steps && self.rng.chance(20);
                actions.push(match is_together {
                    true => Action::Together(host, key, asked as u32),
                    false => Action::Ask(host, key, self.draw_ask(key, asked as u32, is_flood)),
                });
            }
        }
        if self.happens(self.weights.scan) {
            let host = self.any_host(world);
            if world.is_awake(host) {
                let count = if world.crowd.is_empty() { self.rng.between(1, 3) } else { 50 };
                actions.push(Action::Scan(host, count as u32));
            }
        }
    }

    fn draw_ask(&mut self, key: usize, number: u32, is_flood: bool) -> Ask {
        let rng = &mut self.rng;
        if is_flood {
            return Ask::SetLarge(number);
        }
        let life = rng.between(50, LONGEST_LIFE);
        let lives = if self.kind == Kind::Expiry { 50 } else { 4 };
        if rng.chance(lives) {
            let timed = [Ask::SetFor(number, life), Ask::SetFor(number, life), Ask::Touch(life), Ask::Expire(life), Ask::Persist, Ask::Ttl];
            // A field cannot be read as a string.
            let first = if key % 3 == 2 { 3 } else { 0 };
            return rng.pick(&timed[first..]);
        }
        if self.kind == Kind::Steps && rng.chance(50) {
            let before = number.saturating_sub(rng.between(1, 6) as u32);
            let swap = Ask::Swap(before, number);
            let steps = [
                swap,
                swap,
                swap,
                swap,
                Ask::Release(before),
                Ask::Release(before),
                Ask::SetAndGet(number),
                Ask::SetAndGet(number),
                Ask::Claim,
            ];
            let of_fields = [Ask::Count, Ask::Count, Ask::FieldsAndAll(number), Ask::FieldsAndAll(number), Ask::Claim];
            return if key % 3 == 2 { rng.pick(&of_fields) } else { rng.pick(&steps) };
        }
        let field = rng.between(1, 2) as u8;
        match (rng.below(20), key % 3 == 2) {
            (0..=3, false) => Ask::Set(number),
            (4..=5, false) => Ask::SetIfAbsent(number),
            (6, false) => Ask::SetIfPresent(number),
            (7, false) => Ask::Exchange(number),
            (8, false) => rng.pick(&[Ask::SetKeep(number), Ask::SetLarge(number)]),
            (9, false) => Ask::GetDel,
            (10..=12, _) => Ask::Delete,
            (13, _) => Ask::Exists,
            (_, false) => Ask::Get,
            (0..=7, true) => Ask::Field(field, number),
            (8..=9, true) => Ask::FieldDelete(field),
            (_, true) => Ask::Fields,
        }
    }

    fn disturb_hosts(&mut self, world: &World, actions: &mut Vec<Action>) {
        let host = self.any_host(world);
        let slot = &world.hosts[host];
        let may_crash = world.stats.crashes < self.weights.crashes;
        if slot.engine.is_none() {
            if slot.is_wanted && self.happens(self.weights.restart) {
                let pod = if slot.is_node_down || self.rng.chance(30) { Pod::New } else { Pod::Same };
                actions.push(Action::Start(host, pod));
            }
            if !slot.is_wanted && self.happens(self.weights.start) {
                actions.push(Action::Start(host, Pod::New));
            }
            return;
        }
        if may_crash && self.happens(self.weights.crash) {
            return actions.push(self.pick_crash(world, host));
        }
        if may_crash && self.happens(self.weights.node_crash) {
            return actions.push(Action::CrashNode(host));
        }
        let (is_finishing, is_drained) = (slot.is_finishing, slot.is_drained);
        if !is_finishing && self.happens(self.weights.finish) {
            actions.push(Action::Finish(host));
            let other = self.any_host(world);
            if other != host && self.rng.chance(25) {
                self.pending.push((world.now() + self.rng.between(1, 100), Action::Finish(other)));
            }
        }
        if !is_finishing && !is_drained && self.happens(self.weights.drain) {
            actions.push(Action::Drain(host));
        }
        if self.happens(self.weights.pause) {
            actions.push(Action::Pause(host, self.rng.between(50, 1_500)));
        }
    }

    /// A crash at any time, or a little after the next message: the members that change something now are worth more.
    fn pick_crash(&mut self, world: &World, host: usize) -> Action {
        let view = world.arbiter.view();
        let joiner = view.in_states(&[MemberState::Join, MemberState::Leave]).iter().next().map(|id| usize::from(id.get()));
        let joiner = joiner.filter(|joiner| world.hosts[*joiner].engine.is_some() && self.rng.chance(40));
        Action::Crash(joiner.unwrap_or(host))
    }

    fn disturb_network(&mut self, world: &World, actions: &mut Vec<Action>) {
        let (host, other) = (self.any_host(world), self.any_host(world));
        let hosts = world.hosts.len() as u64;
        if host != other && self.happens(self.weights.reset) {
            actions.push(Action::Reset(host, other, [self.rng.below(5) as usize, self.rng.below(5) as usize]));
        }
        if self.happens(self.weights.partition) {
            let side = self.rng.below(1 << hosts);
            actions.push(Action::Partition(side));
            if self.rng.chance(40) {
                actions.extend((0..world.hosts.len()).filter(|host| side >> host & 1 == 1).map(Action::Blind));
            }
        }
        if host != other && self.happens(self.weights.cut) {
            actions.push(Action::Cut(host, other));
            if self.rng.chance(50) {
                actions.push(Action::Cut(other, host));
            }
        }
        if self.happens(self.weights.heal) {
            actions.push(Action::HealNetwork);
        }
        if host != other && self.happens(self.weights.slow) {
            actions.push(Action::Slow(host, other, self.rng.between(50, 600)));
        }
        if world.arbiter.is_up {
            if self.happens(self.weights.arbiter) {
                actions.push(Action::ArbiterDown);
            }
            if self.happens(self.weights.late_swap) {
                actions.push(Action::LateSwap(self.rng.below(1 << 16) as usize));
            }
        } else if self.happens(self.weights.heal) {
            actions.push(Action::ArbiterUp);
        }
    }
}

fn draw_weights(rng: &mut Rng, kind: Kind) -> Weights {
    let mut draw = |base: u64| base * rng.pick(&[0, 0, 1, 1, 2, 4]);
    let weights = Weights {
        operation: 0,
        scan: draw(60),
        crash: draw(40),
        node_crash: draw(15),
        restart: draw(150).max(100),
        reset: draw(450),
        partition: draw(20),
        cut: draw(20),
        heal: 120,
        slow: draw(40),
        pause: draw(40),
        arbiter: draw(20),
        late_swap: 200,
        finish: draw(25),
        drain: draw(6),
        start: draw(60).max(40),
        burst: draw(20_000),
        crashes: rng.pick(&[0, 1, 1, 2, 3, 6]),
    };
    match kind {
        Kind::Churn => Weights { finish: 120, start: 300, burst: 60_000, slow: weights.slow.max(300), ..weights },
        Kind::Brink => Weights { finish: weights.finish.max(60), start: 300, restart: 400, burst: 60_000, crash: 20, ..weights },
        Kind::Narrow => Weights { cut: weights.cut.max(40), slow: weights.slow.max(80), burst: 80_000, ..weights },
        Kind::Crowd => Weights { crashes: 1, crash: 40, node_crash: 0, finish: 20, partition: 0, scan: 20, ..weights },
        Kind::Flood => Weights { pause: 150, slow: 150, ..weights },
        _ => weights,
    }
}
