//! Addresses of the members from the headless Service: SRV for all at once, A or AAAA for one. Answers are kept for a few seconds only, since a pod
//! that is replaced has another address, but the last good one is used for as long as DNS is away.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{RData, RecordType};
use hickory_resolver::system_conf::read_system_conf;
use rand::RngExt;
use thiserror::Error;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::config::{Config, ordinal};
use crate::peers::{PeerError, PeerResolver};

/// One question to one server; CoreDNS answers from memory, so a longer wait would only be a lost packet.
const QUERY_TIMEOUT: Duration = Duration::from_millis(400);

/// All questions for one address.
const LOOKUP_TIMEOUT: Duration = Duration::from_millis(1200);

/// Between these a positive answer is kept, whatever its TTL says.
const POSITIVE_TTL: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5));

/// How often all members are looked up, so that a lost connection is checked at once, without a question, and DNS may go away.
const REFRESH: Duration = Duration::from_secs(5);

/// How long an address is used without asking again: until the next refresh, and a little.
const FRESH: Duration = Duration::from_secs(7);

/// Why the resolver could not be made.
#[derive(Debug, Error)]
pub enum DnsError {
    /// /etc/resolv.conf is missing or wrong.
    #[error("failed to read the name servers from /etc/resolv.conf")]
    SystemConfig(#[source] NetError),
    /// hickory refused its own configuration.
    #[error("failed to set up the DNS resolver")]
    Setup(#[source] NetError),
}

/// A member as DNS shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The name of its pod.
    pub name: String,
    /// Its address, if it was in the same answer.
    pub addr: Option<SocketAddr>,
}

/// The resolver for the members of one cluster.
pub struct DnsPeers {
    resolver: TokioResolver,
    cluster: String,
    /// `shop-members.ns.svc.cluster.local.`, with the last dot: such a name is not tried with every entry of the search list.
    service: String,
    port: u16,
    own: (String, IpAddr),
    known: Mutex<BTreeMap<String, Known>>,
}

/// The last good address of a member.
#[derive(Clone, Copy, Debug)]
struct Known {
    addr: SocketAddr,
    /// When DNS last said so; `None` once it has led nowhere since.
    seen: Option<Instant>,
}

impl Known {
    fn now(addr: SocketAddr) -> Self {
        Self { addr, seen: Some(Instant::now()) }
    }
}

impl std::fmt::Debug for DnsPeers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DnsPeers").field("service", &self.service).field("known", &*self.known()).finish_non_exhaustive()
    }
}

impl DnsPeers {
    /// Uses the name servers of the pod, unless the settings name another.
    ///
    /// # Errors
    /// When /etc/resolv.conf names none.
    pub fn new(config: &Config) -> Result<Self, DnsError> {
        let settings = &config.settings;
        let servers = match settings.nameserver {
            Some(addr) => vec![name_server(addr)],
            None => read_system_conf().map_err(DnsError::SystemConfig)?.0.name_servers().to_vec(),
        };
        let servers = ResolverConfig::from_parts(None, Vec::new(), servers);
        let mut builder = TokioResolver::builder_with_config(servers, TokioRuntimeProvider::default());
        let options = builder.options_mut();
        options.timeout = QUERY_TIMEOUT;
        options.attempts = 2;
        options.use_hosts_file = ResolveHosts::Never;
        options.positive_min_ttl = Some(POSITIVE_TTL.0);
        options.positive_max_ttl = Some(POSITIVE_TTL.1);
        // hickory would keep "no such name" for as long as the SOA says, up to a day.
        options.negative_max_ttl = Some(Duration::ZERO);
        options.ip_strategy = if settings.pod_ip.is_ipv6() { LookupIpStrategy::Ipv6Only } else { LookupIpStrategy::Ipv4Only };
        Ok(Self {
            resolver: builder.build().map_err(DnsError::Setup)?,
            cluster: settings.cluster.clone(),
            service: format!("{}.{}.svc.{}.", settings.members_service, settings.namespace, config.domain),
            port: settings.replication_listen.port(),
            own: (settings.pod_name.clone(), settings.pod_ip),
            known: Mutex::default(),
        })
    }

    /// All members that the headless Service lists, by one SRV question. Remembers their addresses.
    ///
    /// # Errors
    /// When no name server answers, or none knows the Service.
    pub async fn list(&self) -> Result<Vec<Listed>, PeerError> {
        let question = format!("_replication._tcp.{}", self.service);
        let answer = match timeout(LOOKUP_TIMEOUT, self.resolver.srv_lookup(question.as_str())).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return Err(PeerError::Lookup { name: question, reason: error.to_string() }),
            Err(_) => return Err(PeerError::Lookup { name: question, reason: "no answer in time".to_owned() }),
        };
        let addresses: BTreeMap<_, _> =
            answer.additionals().iter().filter_map(|record| Some((record.name.clone(), record.data.ip_addr()?))).collect();
        let mut listed: Vec<Listed> = answer
            .answers()
            .iter()
            .filter_map(|record| match &record.data {
                RData::SRV(srv) => Some(srv),
                _ => None,
            })
            .filter_map(|srv| {
                let name = self.member_of(&srv.target.to_ascii())?;
                let addr = addresses.get(&srv.target).map(|ip| SocketAddr::new(*ip, srv.port));
                Some(Listed { name, addr })
            })
            .collect();
        listed.sort_by(|a, b| a.name.cmp(&b.name));
        listed.dedup_by(|a, b| a.name == b.name);
        let mut known = self.known();
        for member in &listed {
            if let Some(addr) = member.addr {
                known.insert(member.name.clone(), Known::now(addr));
            }
        }
        Ok(listed)
    }

    /// Looks all members up now and then, until `shutdown`; logs when DNS goes away, comes back, or shows another pod under this one's name.
    pub async fn keep_fresh(&self, shutdown: CancellationToken) {
        let mut before: Option<Result<Vec<String>, ()>> = None;
        let refresh = async {
            loop {
                let now = match self.list().await {
                    Ok(listed) => {
                        self.recognise_own_pod(&listed);
                        Ok(listed.into_iter().map(|member| member.name).collect::<Vec<_>>())
                    }
                    Err(error) => {
                        if before.as_ref().is_none_or(Result::is_ok) {
                            warn!(%error, "DNS does not list the members; addresses known so far stay in use");
                        }
                        Err(())
                    }
                };
                if let Ok(members) = &now
                    && before.as_ref() != Some(&now)
                {
                    info!(?members, "members listed in DNS");
                }
                before = Some(now);
                let spread = rand::rng().random_range(0.8..1.2);
                sleep(REFRESH.mul_f64(spread)).await;
            }
        };
        tokio::select! {
            () = refresh => {}
            () = shutdown.cancelled() => {}
        }
    }

    /// A pod that was just replaced may still be listed under this one's name, and a new one is not listed at once.
    fn recognise_own_pod(&self, listed: &[Listed]) {
        let (name, ip) = &self.own;
        match listed.iter().find(|member| member.name == *name) {
            Some(Listed { addr: Some(addr), .. }) if addr.ip() != *ip => {
                debug!(listed = %addr, own = %ip, "DNS still lists another pod under this one's name");
            }
            Some(_) => {}
            None => debug!("DNS does not list this pod yet"),
        }
    }

    /// `shop-1` of `shop-1.shop-members.ns.svc.cluster.local.`
    fn member_of(&self, target: &str) -> Option<String> {
        let target = target.to_ascii_lowercase();
        let name = target.strip_suffix(&self.service)?.strip_suffix('.')?;
        ordinal(&self.cluster, name)?;
        Some(name.to_owned())
    }

    async fn look_up(&self, name: &str) -> Result<SocketAddr, String> {
        // The name comes from the view; nothing but a pod of this cluster may become a DNS name here.
        ordinal(&self.cluster, name).ok_or("it is not a pod of this cluster")?;
        let answer = timeout(LOOKUP_TIMEOUT, self.resolver.lookup_ip(format!("{name}.{}", self.service))).await;
        let answer = answer.map_err(|_| "no answer in time".to_owned())?.map_err(|error| error.to_string())?;
        let ip = answer.iter().next().ok_or("an answer without addresses")?;
        Ok(SocketAddr::new(ip, self.port))
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<String, Known>> {
        self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn name_server(addr: SocketAddr) -> NameServerConfig {
    let at_port = |mut connection: ConnectionConfig| {
        connection.port = addr.port();
        connection
    };
    NameServerConfig::new(addr.ip(), true, vec![at_port(ConnectionConfig::udp()), at_port(ConnectionConfig::tcp())])
}

impl PeerResolver for DnsPeers {
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<SocketAddr, PeerError>> {
        async move {
            let last = self.known().get(name).copied();
            if let Some(Known { addr, seen: Some(seen) }) = last
                && seen.elapsed() < FRESH
            {
                return Ok(addr);
            }
            match self.look_up(name).await {
                Ok(addr) => {
                    self.known().insert(name.to_owned(), Known::now(addr));
                    Ok(addr)
                }
                Err(reason) => {
                    debug!(member = name, %reason, ?last, "no address from DNS");
                    last.map(|known| known.addr).ok_or_else(|| PeerError::Lookup { name: name.to_owned(), reason })
                }
            }
        }
        .boxed()
    }

    fn forget(&self, name: &str) {
        if let Some(known) = self.known().get_mut(name) {
            known.seen = None;
        }
        let name = format!("{name}.{}", self.service);
        self.resolver.clear_lookup_cache(name.as_str(), RecordType::A);
        self.resolver.clear_lookup_cache(name.as_str(), RecordType::AAAA);
    }
}

#[cfg(test)]
mod tests;
