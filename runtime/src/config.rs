//! The settings of a member, all from environment variables that the operator writes into the pod template. A wrong one is refused at start with
//! its name, its value and what would be right.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use clap::{Args, Parser, Subcommand, ValueEnum};
use holdfast_api::{ParseDurationError, names};
use holdfast_core::{NodeId, engine};
use holdfast_process::LogOptions;
use thiserror::Error;

use crate::member::MemberSettings;
use crate::memory;

/// The replication runtime of Holdfast: it keeps the sessions of the application in its pod, and copies of others.
#[derive(Debug, Parser)]
#[command(name = "holdfast-runtime", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub action: Action,
}

/// The sub-commands.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Runs the member.
    Run(Box<Settings>),
    /// Asks the member that runs beside to hand everything over, and returns when it holds nothing alone any more (the pod's preStop hook).
    Drain(DrainSettings),
}

/// The settings of `run` as given.
#[derive(Args, Clone, Debug)]
pub struct Settings {
    /// The name of the SessionCluster.
    #[arg(long, env = "HOLDFAST_CLUSTER")]
    pub cluster: String,
    /// Its namespace.
    #[arg(long, env = "HOLDFAST_NAMESPACE")]
    pub namespace: String,
    /// The name of this pod, `<cluster>-<ordinal>`.
    #[arg(long, env = "HOLDFAST_POD_NAME")]
    pub pod_name: String,
    /// The UID of this pod.
    #[arg(long, env = "HOLDFAST_POD_UID")]
    pub pod_uid: String,
    /// The address of this pod.
    #[arg(long, env = "HOLDFAST_POD_IP")]
    pub pod_ip: IpAddr,
    /// The container that the member of each pod runs in.
    #[arg(long, env = "HOLDFAST_CONTAINER", default_value = names::RUNTIME_CONTAINER)]
    pub container: String,
    /// The headless Service of the members.
    #[arg(long, env = "HOLDFAST_MEMBERS_SERVICE")]
    pub members_service: String,
    /// The DNS domain of the Kubernetes cluster; found in /etc/resolv.conf when not set.
    #[arg(long, env = "HOLDFAST_CLUSTER_DOMAIN")]
    pub cluster_domain: Option<String>,
    /// A name server to ask instead of those in /etc/resolv.conf.
    #[arg(long, env = "HOLDFAST_NAMESERVER")]
    pub nameserver: Option<SocketAddr>,
    /// How many keepers each session has beside its owner, 63 for all other members, if the register of the view does not say.
    #[arg(long, env = "HOLDFAST_COPIES", default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=63))]
    pub copies: u8,
    /// When a write is answered.
    #[arg(long, env = "HOLDFAST_ACKNOWLEDGE", default_value = "Applied")]
    pub acknowledge: Acknowledge,
    /// What becomes of writes while a session has fewer copies than it should.
    #[arg(long, env = "HOLDFAST_ON_UNDER_REPLICATED", default_value = "Wait")]
    pub on_under_replicated: OnUnderReplicated,
    /// How many connections there are to each member.
    #[arg(long, env = "HOLDFAST_CONNECTIONS", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=8))]
    pub connections: u8,
    /// How what is sent is compressed.
    #[arg(long, env = "HOLDFAST_COMPRESSION", default_value = "None")]
    pub compression: Compression,
    /// How many bytes a second each member gets when copies are made in the background; 0 is as fast as it goes.
    #[arg(long, env = "HOLDFAST_TRANSFER_RATE", default_value_t = 0, value_parser = parse_rate)]
    pub transfer_rate: u64,
    /// How long a command waits for its acknowledgements.
    #[arg(long, env = "HOLDFAST_ACK_TIMEOUT", default_value = "5s", value_parser = parse_duration)]
    pub ack_timeout: Duration,
    /// How often a member says that it lives.
    #[arg(long, env = "HOLDFAST_HEARTBEAT_INTERVAL", default_value = "250ms", value_parser = parse_duration)]
    pub heartbeat_interval: Duration,
    /// How long a member may be silent before it is suspected.
    #[arg(long, env = "HOLDFAST_FAILURE_TIMEOUT", default_value = "2s", value_parser = parse_duration)]
    pub failure_timeout: Duration,
    /// How long a joiner waits to be filled before it takes part anyway.
    #[arg(long, env = "HOLDFAST_STATE_TRANSFER_TIMEOUT", default_value = "60s", value_parser = parse_duration)]
    pub state_transfer_timeout: Duration,
    /// The largest value of one session, in bytes.
    #[arg(long, env = "HOLDFAST_MAX_BYTES", default_value_t = 1 << 20, value_parser = clap::value_parser!(u64).range(1024..=32 << 20))]
    pub max_bytes: u64,
    /// Patterns of the keys that are sessions and move with their users: a JSON array of texts. All other keys belong to the member of their hash.
    /// Without it, all keys are sessions.
    #[arg(long, env = "HOLDFAST_SESSION_KEYS", value_parser = parse_session_keys)]
    pub session_keys: Option<SessionKeys>,
    /// How many sessions there may be in the whole cluster; without it, as many as there is memory for.
    #[arg(long, env = "HOLDFAST_MAX_ACTIVE", value_parser = clap::value_parser!(u64).range(1..))]
    pub max_active: Option<u64>,
    /// How much memory this process may take, in bytes; without it, what its control group says.
    #[arg(long, env = "HOLDFAST_MEMORY_BYTES", value_parser = clap::value_parser!(u64).range(1 << 20..))]
    pub memory_bytes: Option<u64>,
    /// How many bytes may wait for one peer before new writes are refused.
    #[arg(long, env = "HOLDFAST_QUEUE_BYTES", default_value_t = 64 << 20, value_parser = clap::value_parser!(u64).range(1 << 20..=4 << 30))]
    pub queue_bytes: u64,
    /// The folder with this member's certificate (`tls.crt`), its key (`tls.key`) and the authorities that it trusts (`ca.crt`). Without it, links are
    /// plain TCP.
    #[arg(long, env = "HOLDFAST_TLS_DIR")]
    pub tls_dir: Option<PathBuf>,
    /// The file with the admin token.
    #[arg(long, env = "HOLDFAST_ADMIN_TOKEN_FILE", default_value = "/etc/holdfast/admin/token")]
    pub admin_token_file: PathBuf,
    /// Where the Redis protocol is served.
    #[arg(long, env = "HOLDFAST_REDIS_LISTEN", default_value = "127.0.0.1:6379")]
    pub redis_listen: SocketAddr,
    /// The unix socket where the Redis protocol is served.
    #[arg(long, env = "HOLDFAST_REDIS_SOCKET", default_value = "/run/holdfast/redis.sock")]
    pub redis_socket: PathBuf,
    /// On how many threads connections of the Redis protocol are served.
    #[arg(long, env = "HOLDFAST_THREADS", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub threads: u8,
    /// The file with the users of the Redis protocol and the SHA-256 of their passwords, a line `name:hash` each. Without it, nobody is asked for one.
    #[arg(long, env = "HOLDFAST_REDIS_USERS_FILE")]
    pub redis_users_file: Option<PathBuf>,
    /// After how long a client of the Redis protocol that asks nothing is closed, in whole seconds; 0s is never.
    #[arg(long, env = "HOLDFAST_REDIS_TIMEOUT", default_value = "0s", value_parser = parse_duration)]
    pub redis_timeout: Duration,
    /// Where the other members connect to.
    #[arg(long, env = "HOLDFAST_REPLICATION_LISTEN", default_value = "0.0.0.0:4000")]
    pub replication_listen: SocketAddr,
    /// Where health, metrics and the admin API are served.
    #[arg(long, env = "HOLDFAST_ADMIN_LISTEN", default_value = "0.0.0.0:4001")]
    pub admin_listen: SocketAddr,
    /// The unix socket where the drain is asked for.
    #[arg(long, env = "HOLDFAST_ADMIN_SOCKET", default_value = ADMIN_SOCKET)]
    pub admin_socket: PathBuf,
    /// Logging.
    #[command(flatten)]
    pub log: LogOptions,
}

/// Patterns of the keys that are sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionKeys(pub Vec<Bytes>);

/// When a write is answered, in the words of the resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "PascalCase")]
pub enum Acknowledge {
    /// When all copies have it.
    Applied,
    /// When all members with copies have received it.
    Received,
    /// At once.
    None,
}

/// What becomes of writes while a session has fewer copies than it should, in the words of the resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "PascalCase")]
pub enum OnUnderReplicated {
    /// They wait.
    Wait,
    /// Silent members are given up.
    Accept,
    /// They are refused.
    Reject,
}

/// How what is sent is compressed, in the words of the resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Compression {
    /// Not at all.
    #[value(name = "None")]
    None,
    /// By LZ4.
    #[value(name = "LZ4")]
    Lz4,
}

/// The settings of `drain`.
#[derive(Args, Clone, Debug)]
pub struct DrainSettings {
    /// The unix socket of the member.
    #[arg(long, env = "HOLDFAST_ADMIN_SOCKET", default_value = ADMIN_SOCKET)]
    pub admin_socket: PathBuf,
    /// When to give up: below the pod's grace period, so that the application and the member still end in order.
    #[arg(long, env = "HOLDFAST_DRAIN_TIMEOUT", default_value = "45s", value_parser = parse_duration)]
    pub timeout: Duration,
}

const ADMIN_SOCKET: &str = "/run/holdfast/admin.sock";

/// A slower transfer than this takes hours for what the resource calls a small cluster.
const SLOWEST_TRANSFER: u64 = 64 << 10;

/// Below this a busy machine is taken for a dead one.
const SHORTEST_HEARTBEAT: Duration = Duration::from_millis(10);

/// A setting that parses, but cannot work.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ConfigError {
    /// The pod is not one of the cluster's StatefulSet.
    #[error("HOLDFAST_POD_NAME: `{name}` is not right: it must be `{cluster}-` and an ordinal from 0 to 63")]
    PodName {
        /// As given.
        name: String,
        /// The cluster.
        cluster: String,
    },
    /// A name that cannot be part of a DNS name.
    #[error("{variable}: `{value}` is not right: it must be a DNS name of letters, digits, `-` and `.`")]
    DnsName {
        /// Which setting.
        variable: &'static str,
        /// As given.
        value: String,
    },
    /// Out of its range.
    #[error("{variable}: `{value:?}` is not right: it must be {right}")]
    Duration {
        /// Which setting.
        variable: &'static str,
        /// As given.
        value: Duration,
        /// The range.
        right: String,
    },
    /// A queue that does not hold one value would block for ever.
    #[error("HOLDFAST_QUEUE_BYTES: `{queue}` is not right: it must be at least twice HOLDFAST_MAX_BYTES, which is {max}")]
    QueueTooSmall {
        /// The queue, in bytes.
        queue: u64,
        /// The largest value, in bytes.
        max: u64,
    },
    /// A unix socket or file needs a folder that is there: a volume that is not mounted shows itself here.
    #[error("{variable}: `{}` is not right: the folder `{}` is not there (is the volume mounted?)", path.display(), folder.display())]
    NoFolder {
        /// Which setting.
        variable: &'static str,
        /// As given.
        path: PathBuf,
        /// The folder that is missing.
        folder: PathBuf,
    },
}

/// The settings, checked, with what follows from them.
#[derive(Clone, Debug)]
pub struct Config {
    /// As given.
    pub settings: Settings,
    /// The place of this member: the ordinal of its pod.
    pub id: NodeId,
    /// The DNS domain of the Kubernetes cluster.
    pub domain: String,
}

impl Config {
    /// What of it the member itself is told.
    #[must_use]
    pub fn member(&self) -> MemberSettings {
        let settings = &self.settings;
        let millis = |duration: Duration| duration.as_millis() as u64;
        let engine = engine::Config {
            copies: settings.copies,
            ack_timeout: millis(settings.ack_timeout),
            heartbeat_interval: millis(settings.heartbeat_interval),
            failure_timeout: millis(settings.failure_timeout),
            state_transfer_timeout: millis(settings.state_transfer_timeout),
            max_bytes: settings.max_bytes,
            queue_bytes: settings.queue_bytes,
            acknowledge: match settings.acknowledge {
                Acknowledge::Applied => engine::Acknowledge::Applied,
                Acknowledge::Received => engine::Acknowledge::Received,
                Acknowledge::None => engine::Acknowledge::None,
            },
            on_under_replicated: match settings.on_under_replicated {
                OnUnderReplicated::Wait => engine::OnUnderReplicated::Wait,
                OnUnderReplicated::Accept => engine::OnUnderReplicated::Accept,
                OnUnderReplicated::Reject => engine::OnUnderReplicated::Reject,
            },
            connections: settings.connections,
            compression: match settings.compression {
                Compression::None => engine::Compression::None,
                Compression::Lz4 => engine::Compression::Lz4,
            },
            transfer_rate: settings.transfer_rate,
            session_keys: settings.session_keys.clone().map(|keys| keys.0).unwrap_or_default(),
            memory: settings.memory_bytes.map(|limit| memory::budget(limit, settings.queue_bytes)),
            max_active: settings.max_active,
            ..engine::Config::new(&settings.cluster, &settings.pod_name, &settings.pod_uid)
        };
        MemberSettings { id: self.id, engine }
    }
}

impl Settings {
    /// Checks what clap cannot: how the settings fit together.
    ///
    /// # Errors
    /// The first that does not fit.
    pub fn check(self) -> Result<Config, ConfigError> {
        for (variable, value) in [
            ("HOLDFAST_CLUSTER", &self.cluster),
            ("HOLDFAST_NAMESPACE", &self.namespace),
            ("HOLDFAST_MEMBERS_SERVICE", &self.members_service),
        ] {
            check_dns_name(variable, value)?;
        }
        let id = ordinal(&self.cluster, &self.pod_name)
            .ok_or_else(|| ConfigError::PodName { name: self.pod_name.clone(), cluster: self.cluster.clone() })?;
        let within = |variable, value: Duration, low: Duration, high: Duration| {
            if (low..=high).contains(&value) {
                return Ok(());
            }
            Err(ConfigError::Duration { variable, value, right: format!("from {low:?} to {high:?}") })
        };
        let (second, hour) = (Duration::from_secs(1), Duration::from_secs(3600));
        within("HOLDFAST_ACK_TIMEOUT", self.ack_timeout, second / 10, hour)?;
        within("HOLDFAST_STATE_TRANSFER_TIMEOUT", self.state_transfer_timeout, second, hour)?;
        within("HOLDFAST_HEARTBEAT_INTERVAL", self.heartbeat_interval, SHORTEST_HEARTBEAT, 60 * second)?;
        if self.failure_timeout < 4 * self.heartbeat_interval || self.failure_timeout > hour {
            let right = format!("at least 4 times HOLDFAST_HEARTBEAT_INTERVAL, so {:?}, and at most {hour:?}", 4 * self.heartbeat_interval);
            return Err(ConfigError::Duration { variable: "HOLDFAST_FAILURE_TIMEOUT", value: self.failure_timeout, right });
        }
        if self.queue_bytes < 2 * self.max_bytes {
            return Err(ConfigError::QueueTooSmall { queue: self.queue_bytes, max: self.max_bytes });
        }
        within("HOLDFAST_REDIS_TIMEOUT", self.redis_timeout, Duration::ZERO, 24 * 365 * hour)?;
        check_folder("HOLDFAST_REDIS_SOCKET", &self.redis_socket)?;
        check_folder("HOLDFAST_ADMIN_SOCKET", &self.admin_socket)?;
        check_folder("HOLDFAST_ADMIN_TOKEN_FILE", &self.admin_token_file)?;
        let domain = match &self.cluster_domain {
            Some(domain) => {
                check_dns_name("HOLDFAST_CLUSTER_DOMAIN", domain)?;
                domain.trim_matches('.').to_owned()
            }
            // A pod without that file, or without Kubernetes' search list, uses the domain that nearly all clusters have.
            None => {
                domain_of(&std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default()).unwrap_or_else(|| "cluster.local".to_owned())
            }
        };
        Ok(Config { id, domain, settings: self })
    }
}

/// The place of a pod of `cluster`: `shop-12` has place 12.
#[must_use]
pub fn ordinal(cluster: &str, pod_name: &str) -> Option<NodeId> {
    names::ordinal(cluster, pod_name).and_then(|ordinal| ordinal.try_into().ok()).and_then(NodeId::new)
}

fn parse_rate(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(rate) if rate == 0 || rate >= SLOWEST_TRANSFER => Ok(rate),
        Ok(rate) => Err(format!("{rate} is not right: it must be 0 (unlimited), or at least {SLOWEST_TRANSFER} bytes per second")),
        Err(error) => Err(format!("it must be a number of bytes per second: {error}")),
    }
}

/// More patterns than this, or longer ones, would make each command slow.
const MAX_PATTERNS: usize = 64;
const MAX_PATTERN: usize = 1024;

fn parse_session_keys(text: &str) -> Result<SessionKeys, String> {
    let patterns: Vec<String> =
        serde_json::from_str(text).map_err(|error| format!(r#"it must be a JSON array of patterns, such as ["sess:*"]: {error}"#))?;
    if patterns.is_empty() || patterns.len() > MAX_PATTERNS {
        return Err(format!("{} patterns are not right: they must be 1 to {MAX_PATTERNS}", patterns.len()));
    }
    match patterns.iter().find(|pattern| pattern.is_empty() || pattern.len() > MAX_PATTERN) {
        Some(wrong) => Err(format!("a pattern of {} bytes is not right: it must have 1 to {MAX_PATTERN} bytes", wrong.len())),
        None => Ok(SessionKeys(patterns.into_iter().map(Bytes::from).collect())),
    }
}

fn parse_duration(text: &str) -> Result<Duration, ParseDurationError> {
    text.parse::<holdfast_api::Duration>().map(holdfast_api::Duration::as_std)
}

/// The cluster's domain from the entry `svc.<domain>` that the kubelet writes into the search list.
fn domain_of(resolv_conf: &str) -> Option<String> {
    resolv_conf
        .lines()
        .filter_map(|line| line.trim().strip_prefix("search"))
        .flat_map(str::split_whitespace)
        .find_map(|entry| entry.strip_prefix("svc."))
        .map(|domain| domain.trim_end_matches('.').to_owned())
        .filter(|domain| !domain.is_empty())
}

fn check_dns_name(variable: &'static str, value: &str) -> Result<(), ConfigError> {
    let right =
        !value.is_empty() && value.len() <= 253 && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.');
    if right { Ok(()) } else { Err(ConfigError::DnsName { variable, value: value.to_owned() }) }
}

fn check_folder(variable: &'static str, path: &Path) -> Result<(), ConfigError> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    if folder.as_os_str().is_empty() || folder.is_dir() {
        return Ok(());
    }
    Err(ConfigError::NoFolder { variable, path: path.to_owned(), folder: folder.to_owned() })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn settings(more: &[&str]) -> Settings {
        let base = [
            "holdfast-runtime",
            "run",
            "--cluster=shop",
            "--namespace=ns",
            "--pod-name=shop-1",
            "--pod-uid=7a1e",
            "--pod-ip=10.0.0.7",
            "--members-service=shop-members",
            "--admin-token-file=/tmp/token",
            "--redis-socket=/tmp/redis.sock",
            "--admin-socket=/tmp/admin.sock",
        ];
        let replaced = |flag: &&&str| !more.iter().any(|new| new.split('=').next() == flag.split('=').next());
        let cli = Cli::try_parse_from(base.iter().filter(replaced).chain(more)).expect("parses");
        match cli.action {
            Action::Run(settings) => *settings,
            Action::Drain(_) => unreachable!("the arguments say run"),
        }
    }

    #[test]
    fn the_defaults_are_those_of_the_resource() {
        let config = settings(&["--cluster-domain=cluster.local."]).check().expect("right");
        assert_eq!(config.id.get(), 1);
        assert_eq!(config.domain, "cluster.local");
        assert_eq!(config.member().engine, engine::Config::new("shop", "shop-1", "7a1e"));
    }

    #[test]
    fn only_pods_of_the_cluster_have_a_place() {
        let place = |pod| ordinal("shop", pod).map(NodeId::get);
        assert_eq!(place("shop-0"), Some(0));
        assert_eq!(place("shop-63"), Some(63));
        for wrong in ["shop-64", "shop-01", "shop-", "shop", "shop-x", "shop-+1", "other-1", "shop-gateway-1", "shop-1-2"] {
            assert_eq!(place(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_wrong_pod_name_says_what_is_right() {
        let error = settings(&["--pod-name=web-1"]).check().expect_err("wrong").to_string();
        assert_eq!(error, "HOLDFAST_POD_NAME: `web-1` is not right: it must be `shop-` and an ordinal from 0 to 63");
    }

    #[test]
    fn a_failure_timeout_below_four_heartbeats_is_refused() {
        let error = settings(&["--failure-timeout=900ms"]).check().expect_err("wrong").to_string();
        assert!(error.starts_with("HOLDFAST_FAILURE_TIMEOUT: `900ms`") && error.contains("so 1s"), "{error}");
    }

    #[test]
    fn a_missing_volume_is_named() {
        let error = settings(&["--redis-socket=/not/mounted/redis.sock"]).check().expect_err("wrong").to_string();
        assert!(error.starts_with("HOLDFAST_REDIS_SOCKET") && error.contains("`/not/mounted`"), "{error}");
    }

    #[test]
    fn a_queue_must_hold_a_value() {
        let error = settings(&["--max-bytes=2097152", "--queue-bytes=2097152"]).check().expect_err("wrong").to_string();
        assert!(error.starts_with("HOLDFAST_QUEUE_BYTES"), "{error}");
    }

    #[test]
    fn the_words_of_the_resource_are_those_of_the_settings() {
        let words = settings(&[
            "--acknowledge=Received",
            "--on-under-replicated=Accept",
            "--compression=LZ4",
            "--copies=63",
            "--transfer-rate=65536",
        ]);
        assert_eq!((words.acknowledge, words.on_under_replicated), (Acknowledge::Received, OnUnderReplicated::Accept));
        assert_eq!((words.compression, words.copies, words.transfer_rate), (Compression::Lz4, 63, 65_536));
        assert!(parse_rate("100").expect_err("too slow").contains("at least 65536 bytes per second"));
    }

    #[test]
    fn patterns_of_keys_are_read_as_the_operator_writes_them() {
        let keys = |text: &str| parse_session_keys(text).map(|keys| keys.0);
        assert_eq!(keys(r#"["sess:*","a,\"b\\*"]"#), Ok(vec![Bytes::from("sess:*"), Bytes::from("a,\"b\\*")]));
        assert!(keys("sess:*").expect_err("no array").starts_with("it must be a JSON array of patterns"));
        assert_eq!(keys("[]"), Err("0 patterns are not right: they must be 1 to 64".to_owned()));
        let long = serde_json::to_string(&["x", &"x".repeat(1025)]).expect("JSON");
        assert_eq!(keys(&long), Err("a pattern of 1025 bytes is not right: it must have 1 to 1024 bytes".to_owned()));
        assert_eq!(settings(&[r#"--session-keys=["s:*"]"#]).session_keys, Some(SessionKeys(vec![Bytes::from("s:*")])));
    }

    #[test]
    fn limits_reach_the_rules_less_what_the_process_needs() {
        let engine = |more: &[&str]| settings(more).check().expect("right").member().engine;
        let limited = engine(&["--memory-bytes=1073741824", "--max-active=9", r#"--session-keys=["s:*"]"#]);
        assert_eq!((limited.memory, limited.max_active), (Some((1 << 30) - (160 << 20)), Some(9)));
        assert_eq!(limited.session_keys, [Bytes::from("s:*")]);
        let none = engine(&[]);
        assert_eq!((none.memory, none.max_active, none.session_keys.len()), (None, None, 0));
    }

    #[test]
    fn the_domain_comes_from_the_search_list() {
        let kubelet = "search ns.svc.example.org svc.example.org example.org lan\nnameserver 10.96.0.10\noptions ndots:5\n";
        assert_eq!(domain_of(kubelet).as_deref(), Some("example.org"));
        assert_eq!(domain_of("nameserver 1.2.3.4\n"), None);
        assert_eq!(domain_of("search lan svc.\n"), None);
    }
}
