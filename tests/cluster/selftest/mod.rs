//! The lab tested by itself: two clusters at once, every fault on the one while the other notices nothing, starts that are killed
//! half-way, and in the end nothing left of any of them.

mod faults;
mod host;
mod watch;

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use holdfast_support::progress::Progress;

use super::handle::{Cluster, Options, remove};
use super::state::State;
use super::{down, process};
use host::Host;
use watch::Watched;

const NAMES: [&str; 3] = ["selftest-a", "selftest-b", "selftest-c"];

/// Runs all of it; the first thing that is not as it should be is the error.
pub async fn selftest() -> anyhow::Result<()> {
    remove_all().await?;
    let before = Host::look()?;
    let tested = test().await;
    // Also after a failure; but then the failure is what counts.
    let removed = remove_all().await;
    tested?;
    removed?;
    before.compare(&Host::look()?)?;
    println!("selftest: passed, and nothing is left");
    Ok(())
}

async fn test() -> anyhow::Result<()> {
    let [a, b, c] = NAMES;
    let up = |name: &str, nodes| Cluster::up(Options { name: name.to_owned(), nodes });
    let (one, other) = tokio::try_join!(up(a, 3), up(b, 1)).context("two clusters at once")?;
    let (one, other) = tokio::try_join!(Watched::new(one), Watched::new(other))?;
    faults::all(&one, &other).await?;
    what_has_ended_is_started_again(&one).await?;
    starts_that_are_killed(c, &one, &other).await?;
    Ok(())
}

/// `up` on a cluster of which something has ended starts just that, and heals what was done to it.
async fn what_has_ended_is_started_again(one: &Watched) -> anyhow::Result<()> {
    let step = Progress::default().step("selftest: `up` on a damaged cluster");
    let state = State::new(NAMES[0])?;
    let programs = ["control-plane.etcd", "control-plane.kube-scheduler", "control-plane.forward-api", "node1.kubelet", "node2.containerd"];
    for name in programs {
        let process = process::recorded(&state, name)?.with_context(|| format!("{name} was never started"))?;
        process.signal(nix::sys::signal::Signal::SIGKILL);
    }
    one.cluster.cut_off("node3").await?;
    let untouched = process::recorded(&state, "node1.containerd")?;
    let again = Cluster::up(Options { name: NAMES[0].to_owned(), nodes: 3 }).await?;
    ensure!(again.kubeconfig() == one.cluster.kubeconfig(), "the kubeconfig is another");
    ensure!(process::recorded(&state, "node1.containerd")? == untouched, "what ran was started again");
    one.is_well().await?;
    step.done();
    Ok(())
}

/// An `up` that is killed leaves nothing that `down` does not remove, whenever it is killed; other clusters do not notice.
async fn starts_that_are_killed(name: &str, one: &Watched, other: &Watched) -> anyhow::Result<()> {
    let state = State::new(name)?;
    // This program, even if its file has been replaced by a build meanwhile.
    let program = "/proc/self/exe";
    for after in [20, 60, 120, 250, 500, 1000, 2000, 4000, 6000, 9000] {
        let step = Progress::default().step(format!("selftest: an `up` that is killed after {after} ms"));
        let mut up = tokio::process::Command::new(program);
        up.args(["--name", name, "up"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        let mut up = up.spawn().context("starting `cluster up`")?;
        tokio::time::sleep(Duration::from_millis(after)).await;
        up.kill().await.context("killing `cluster up`")?;
        remove(name).await?;
        let left = down::leftovers(&state)?;
        ensure!(left.is_empty(), "left after a start that was killed after {after} ms: {left:#?}");
        step.done();
    }
    let step = Progress::default().step("selftest: an `up` after one that was killed, without a `down`");
    let mut up = tokio::process::Command::new(program);
    up.args(["--name", name, "up"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let mut up = up.spawn().context("starting `cluster up`")?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    up.kill().await.context("killing `cluster up`")?;
    Cluster::up(Options { name: name.to_owned(), nodes: 1 }).await?;
    one.is_well().await?;
    other.is_well().await?;
    step.done();
    Ok(())
}

async fn remove_all() -> anyhow::Result<()> {
    for name in NAMES {
        remove(name).await?;
        let left = down::leftovers(&State::new(name)?)?;
        ensure!(left.is_empty(), "left of cluster {name}: {left:#?}");
    }
    Ok(())
}
