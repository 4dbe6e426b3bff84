//! A library in use while members are killed. Its program keeps sessions through the library, whose own reconnect is all that there is: the program
//! opens no connection anew. Each member in turn is killed (SIGKILL) and comes back, and in the end every session that was acknowledged must be there.
//!
//! The program runs in a room with the server at 127.0.0.1:6379. It prints a line when it begins, as some need seconds for that, and goes on until its
//! standard input ends. Then it looks at all of its sessions, and prints one line of JSON: [`Account`].

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use holdfast_support::progress::Progress;
use holdfast_support::world::{Ways, World};
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout};
use tokio::time::{sleep, timeout};

use crate::door::Turns;
use crate::room::Room;
use crate::suite::Suite;

/// Members, as everywhere here.
const MEMBERS: u8 = 3;
/// For so long it is used before the first member is killed, and between two of them.
const PAUSE: Duration = Duration::from_secs(2);
/// Until the program has begun.
const STARTING: Duration = Duration::from_secs(90);
/// For looking at all sessions in the end.
const PATIENCE: Duration = Duration::from_secs(60);
/// A program that wrote less than this did not use the library while members were killed.
const ENOUGH: u64 = 200;

/// What a program says in the end.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Account {
    /// Sessions that it made.
    pub(crate) sessions: u64,
    /// Writes that were acknowledged.
    pub(crate) written: u64,
    /// Requests that failed: the library gave an error to its application. What became of a write among them is not known.
    pub(crate) failed: u64,
    /// The longest time in which nothing was acknowledged, in milliseconds.
    pub(crate) longest_wait_ms: u64,
    /// What was acknowledged and is not there in the end, for people.
    pub(crate) lost: Vec<String>,
}

impl Account {
    fn check(&self) -> anyhow::Result<()> {
        anyhow::ensure!(self.lost.is_empty(), "{} acknowledged sessions are lost: {}", self.lost.len(), self.lost.join("; "));
        anyhow::ensure!(self.written >= ENOUGH, "only {} writes were acknowledged", self.written);
        Ok(())
    }
}

/// Uses a suite's library while each member is killed in turn.
pub(crate) async fn run(suite: &Suite, folder: &Path, log: &Path, progress: &Progress) -> anyhow::Result<Account> {
    let mut world = World::start(MEMBERS, 1, Ways::Direct).await?;
    let turns = Turns::default();
    turns.set(members(&world));
    let room = Room::new(&[6379], &turns).await?;
    let mut command = room.run((suite.user)(folder)).prepare();
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(std::fs::File::create(log)?).kill_on_drop(true);
    let failed = || format!("the program of {} failed; it says `{}`", suite.name, log.display());
    let mut program = Program::start(command).await.with_context(failed)?;
    let mut step = progress.step(format!("{}: each member is killed in turn", suite.library));
    for id in 0..MEMBERS {
        sleep(PAUSE).await;
        step.at(&format!("member {id}"));
        world.kill(id).await?;
        turns.set(members(&world));
        world.settled(usize::from(MEMBERS) - 1).await?;
        sleep(PAUSE).await;
        world.add(id)?;
        world.settled(usize::from(MEMBERS)).await?;
        // Ready: from now on the application in its pod is sent requests again.
        turns.set(members(&world));
    }
    sleep(PAUSE).await;
    let account = program.end().await.with_context(failed)?;
    account.check()?;
    step.done();
    Ok(account)
}

fn members(world: &World) -> Vec<std::net::SocketAddr> {
    world.members.values().map(|member| member.redis).collect()
}

/// The program, killed when it is dropped.
struct Program {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Program {
    /// Starts it, and waits until it has begun.
    async fn start(mut command: tokio::process::Command) -> anyhow::Result<Self> {
        let mut child = command.spawn()?;
        let lines = BufReader::new(child.stdout.take().context("its standard output is not piped")?).lines();
        let mut program = Self { child, lines };
        program.line(STARTING).await.context("it did not begin")?;
        Ok(program)
    }

    /// Tells it to come to its end, and reads what it says.
    async fn end(&mut self) -> anyhow::Result<Account> {
        drop(self.child.stdin.take());
        let line = self.line(PATIENCE).await.context("it did not come to its end")?;
        let account = serde_json::from_str(&line).with_context(|| format!("it printed `{line}`"))?;
        let status = timeout(PATIENCE, self.child.wait()).await.map_err(|_| anyhow::anyhow!("it did not end within {PATIENCE:?}"))??;
        anyhow::ensure!(status.success(), "it ended with {status}");
        Ok(account)
    }

    /// The next line that it prints.
    async fn line(&mut self, limit: Duration) -> anyhow::Result<String> {
        let line = timeout(limit, self.lines.next_line()).await.map_err(|_| anyhow::anyhow!("it printed nothing within {limit:?}"))?;
        line?.context("its standard output ended")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_session_is_an_error_and_so_is_a_program_that_did_nothing() {
        let account = |written, lost: &[&str]| Account {
            sessions: 1,
            written,
            failed: 0,
            longest_wait_ms: 0,
            lost: lost.iter().map(ToString::to_string).collect(),
        };
        assert!(account(ENOUGH, &[]).check().is_ok());
        assert!(account(ENOUGH, &["a: 3 expected, 2 found"]).check().unwrap_err().to_string().contains("2 found"));
        assert!(account(0, &[]).check().is_err());
    }
}
