//! Members that do not hear each other while they reach the arbiter, or while only some do: how long clients wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use holdfast_core::{Command, CommandError, Reply};
use holdfast_runtime::status::Phase;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::cluster::{Cluster, FAILURE_TIMEOUT, key, set};

const SESSIONS: usize = 60;

/// More than anything beside the failure timeout should take, for a busy machine.
const MARGIN: Duration = Duration::from_millis(700);

/// Clients that write and read, one for each session at each of some members.
struct Clients {
    tasks: JoinSet<Vec<Seen>>,
    stop: Arc<AtomicBool>,
}

#[derive(Clone, Debug)]
struct Seen {
    began: Instant,
    took: Duration,
    reply: Reply,
}

impl Clients {
    fn begin(cluster: &Cluster, members: &[u8]) -> Self {
        let (mut tasks, stop) = (JoinSet::new(), Arc::new(AtomicBool::new(false)));
        for (member, session) in members.iter().flat_map(|member| (0..SESSIONS).map(|session| (*member, session))) {
            let (sessions, stop) = (cluster.sessions(member), stop.clone());
            tasks.spawn(async move {
                let mut seen = Vec::new();
                for round in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let command = if round % 2 == 0 { set(format!("{member}.{round}")) } else { Command::Get };
                    let began = Instant::now();
                    let reply = sessions.execute(key(session), command).await;
                    seen.push(Seen { began, took: began.elapsed(), reply });
                    sleep(Duration::from_millis(20)).await;
                }
                seen
            });
        }
        Self { tasks, stop }
    }

    async fn end(self) -> Vec<Seen> {
        self.stop.store(true, Ordering::Relaxed);
        self.tasks.join_all().await.concat()
    }
}

fn longest(seen: &[Seen]) -> &Seen {
    seen.iter().max_by_key(|one| one.took).expect("something was asked")
}

async fn answers_again(cluster: &Cluster, id: u8) -> Duration {
    let began = Instant::now();
    for session in 0..SESSIONS {
        while let Reply::Error(_) = cluster.sessions(id).execute(key(session), Command::Get).await {
            sleep(Duration::from_millis(10)).await;
        }
    }
    began.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_only_the_arbiter_hears_holds_nobody_up() {
    let cluster = Cluster::start(3).await;
    let (majority, parted) = (Clients::begin(&cluster, &[0, 1]), Clients::begin(&cluster, &[2]));
    sleep(Duration::from_millis(300)).await;
    cluster.network.part("shop-2", true);
    cluster.wait_for(2, |status| status.phase == Phase::Joining).await;
    let out = Instant::now();
    // Longer than it waits for the others for the first time; then it is let in, and thrown out again.
    sleep(FAILURE_TIMEOUT * 6).await;
    cluster.network.part("shop-2", false);
    let back = answers_again(&cluster, 2).await;
    assert!(back < Duration::from_millis(800) + MARGIN, "after the end of the fault the parted member answers only after {back:?}");
    cluster.settled(3).await;

    let (majority, parted) = (majority.end().await, parted.end().await);
    let slowest = longest(&majority);
    assert!(
        slowest.took < FAILURE_TIMEOUT + MARGIN,
        "{slowest:?}, {:?} after the fault was seen",
        slowest.began.saturating_duration_since(out)
    );
    let failed = majority.iter().filter(|one| matches!(one.reply, Reply::Error(_)));
    assert!(failed.clone().all(|one| one.reply == Reply::Error(CommandError::OutcomeUnknown)), "{:?}", failed.collect::<Vec<_>>());
    let slowest = longest(&parted);
    assert!(slowest.took < FAILURE_TIMEOUT * 2 + MARGIN, "the parted member should refuse soon: {slowest:?}");
    assert!(parted.iter().any(|one| one.reply == Reply::Error(CommandError::NotJoined)), "it refuses what it cannot do");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_minority_with_the_arbiter_throws_nobody_out_in_vain() {
    // So rare that it suspects one of the others well before it suspects both.
    let cluster = Cluster::start_with(3, |config| config.heartbeat_interval = 200).await;
    let majority = Clients::begin(&cluster, &[0, 1]);
    sleep(Duration::from_millis(300)).await;
    let before = cluster.arbiter.view();
    cluster.network.part("shop-2", true);
    [0, 1].into_iter().for_each(|id| cluster.members[&id].arbiter.set_cut(true));
    sleep(FAILURE_TIMEOUT * 5).await;
    assert_eq!(cluster.arbiter.view(), before, "whoever it throws out, the other would be missing as well");
    cluster.network.part("shop-2", false);
    [0, 1].into_iter().for_each(|id| cluster.members[&id].arbiter.set_cut(false));
    let healed = Instant::now();
    let back = answers_again(&cluster, 2).await;
    assert!(back < Duration::from_millis(800) + MARGIN, "after the end of the fault everything answers only after {back:?}");
    let seen = majority.end().await;
    let late = seen.iter().filter(|one| one.began > healed).max_by_key(|one| one.took).expect("something was asked");
    assert!(late.took < Duration::from_millis(800) + MARGIN, "{late:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_network_swallowed_is_sent_on_new_connections_soon_after() {
    let cluster = Cluster::start(3).await;
    for session in 0..SESSIONS {
        assert_eq!(cluster.sessions((session % 3) as u8).execute(key(session), set("x")).await, Reply::Ok);
    }
    cluster.arbiter.set_away(true);
    cluster.network.part("shop-2", true);
    sleep(FAILURE_TIMEOUT * 4).await;
    cluster.network.part("shop-2", false);
    let back = answers_again(&cluster, 2).await;
    assert!(back < Duration::from_millis(1_200) + MARGIN, "it takes {back:?} after the end of the fault");
}
