//! Links over mutual TLS between whole members.

use std::io::Write;
use std::sync::OnceLock;
use std::sync::{Arc, Mutex};

use holdfast_core::engine::ConnId;
use holdfast_core::{Command, Reply};
use holdfast_runtime::status::Phase;
use holdfast_runtime::tls::Tls;
use holdfast_support::certificates::{Authority, SHOP, write};
use tempfile::TempDir;

use crate::cluster::{Cluster, eventually, key, set, text};

/// A member's files, and what it makes of them.
struct Files {
    folder: TempDir,
    tls: Tls,
}

impl Files {
    async fn new(pair: &(String, String), trusted: &[&Authority]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        write(folder.path(), pair, trusted);
        let tls = Tls::open(folder.path(), SHOP).await.expect("a set that can be used");
        Self { folder, tls }
    }

    /// The kubelet brings others, and the member looks at them.
    async fn change(&self, pair: &(String, String), trusted: &[&Authority]) {
        write(self.folder.path(), pair, trusted);
        self.tls.refresh().await;
    }
}

/// Three members with certificates of this authority, settled.
async fn three(authority: &Authority) -> (Cluster, Vec<Files>) {
    let (mut cluster, mut files) = (Cluster::empty(), Vec::new());
    let pair = authority.issue(SHOP);
    for id in 0..3 {
        let own = Files::new(&pair, &[authority]).await;
        cluster.add_with(id, Some(own.tls.clone())).await;
        files.push(own);
    }
    cluster.settled(3).await;
    (cluster, files)
}

async fn fill(cluster: &Cluster, round: usize) {
    for n in 0..30 {
        assert_eq!(cluster.sessions((n % 3) as u8).execute(key(n), set(format!("{round}-{n}"))).await, Reply::Ok);
    }
}

async fn check(cluster: &Cluster, round: usize) {
    for n in 0..30 {
        assert_eq!(cluster.sessions(((n + 1) % 3) as u8).execute(key(n), Command::Get).await, text(&format!("{round}-{n}")));
    }
}

/// The connections of all links; `None` unless each link is ready.
async fn connections(cluster: &Cluster) -> Option<Vec<(u8, ConnId)>> {
    let mut all = Vec::new();
    for (id, running) in &cluster.members {
        let links = running.member.control().links().await.expect("answers");
        if links.len() != cluster.members.len() - 1 || links.iter().any(|link| !link.is_ready) {
            return None;
        }
        all.extend(links.iter().flat_map(|link| &link.connections).map(|lane| (*id, lane.conn)));
    }
    Some(all)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_is_changed_without_a_link_lost_and_new_links_use_the_new_one() {
    let (old, new) = (Authority::new(), Authority::new());
    let (cluster, files) = three(&old).await;
    fill(&cluster, 0).await;
    let before = connections(&cluster).await.expect("links are up");
    let (first, second) = (old.issue(SHOP), new.issue(SHOP));
    // The three steps of the operator, each brought to one member after the other.
    let steps: [(_, &[&Authority]); 3] = [(&first, &[&old, &new]), (&second, &[&old, &new]), (&second, &[&new])];
    for (round, (pair, trusted)) in steps.into_iter().enumerate() {
        for own in &files {
            own.change(pair, trusted).await;
            fill(&cluster, round).await;
            check(&cluster, round).await;
        }
    }
    assert_eq!(connections(&cluster).await, Some(before), "the same connections, all through it");

    cluster.network.tear("shop-1");
    fill(&cluster, 9).await;
    check(&cluster, 9).await;
    let newcomer = Files::new(&second, &[&new]).await;
    let mut cluster = cluster;
    cluster.add_with(3, Some(newcomer.tls.clone())).await;
    cluster.settled(4).await;
    check(&cluster, 9).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_with_a_certificate_of_another_authority_gets_no_link_and_both_ends_say_why() {
    let log = Log::start();
    let authority = Authority::new();
    let (mut cluster, _files) = three(&authority).await;
    fill(&cluster, 0).await;

    // One that trusts the others, so that it is they who refuse it; of the same name, so that only the key tells the authorities apart.
    let foreign = Authority::new();
    let stranger = Files::new(&foreign.issue(SHOP), &[&foreign, &authority]).await;
    cluster.add_with(3, Some(stranger.tls.clone())).await;
    let refused = |side: &str, reason: &str| {
        let wanted = [format!("side=\"{side}\""), format!("reason=\"{reason}\""), "no link: the handshake failed".to_owned()];
        log.lines().iter().any(|line| wanted.iter().all(|word| line.contains(word)) && line.contains("WARN") && line.contains("peer="))
    };
    let said = || refused("accepted", "unknown_authority") && refused("dialed", "by_peer");
    eventually(said, || log.lines().join("\n")).await;
    assert_ne!(cluster.status(3).phase, Phase::Accepting);
    let links = cluster.members[&3].member.control().links().await.expect("answers");
    assert!(links.iter().all(|link| !link.is_ready), "{links:?}");

    cluster.kill(3);
    cluster.settled(3).await;
    check(&cluster, 0).await;
}

/// What this process logs.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// From now on; there is only one for all tests.
    fn start() -> Self {
        static LOG: OnceLock<Log> = OnceLock::new();
        LOG.get_or_init(|| {
            let log = Log::default();
            let writer = log.clone();
            tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).init();
            log
        })
        .clone()
    }

    fn lines(&self) -> Vec<String> {
        String::from_utf8_lossy(&self.0.lock().expect("unpoisoned")).lines().map(str::to_owned).collect()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("unpoisoned").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
