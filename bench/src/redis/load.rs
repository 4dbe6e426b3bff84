//! Load from `redis-benchmark`, the generator that comes with Redis, and what a server spends on it.

use std::time::{Duration, Instant};

use anyhow::Context;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use tokio::process::Command;

use super::servers::{SESSIONS, Server};
use crate::client::VALUE;
use crate::machine;

/// No command costs less than this, in seconds; so that a clock of hundredths of a second that has not moved is not taken for nothing.
const LEAST_CPU: f64 = 1e-6;

/// The way to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Tcp,
    Socket,
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    Get,
    Set,
}

/// A load: closed, each connection sends its next commands once the ones before are answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub(super) way: Way,
    pub(super) ask: Ask,
    pub(super) connections: usize,
    pub(super) pipeline: usize,
    /// Threads of the generator.
    pub(super) threads: usize,
}

/// What came of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outcome {
    pub(super) commands: usize,
    /// As the generator says, without its start.
    pub(super) a_second: f64,
    /// In milliseconds, from the first byte of a pipeline sent to its last reply.
    pub(super) p50: f64,
    pub(super) p99: f64,
    /// CPU time of the server, of the generator, and of everything else on this machine.
    pub(super) server: Duration,
    pub(super) generator: Duration,
    pub(super) others: Duration,
    /// Including the generator's start.
    pub(super) length: Duration,
}

impl Load {
    /// As `tcp, pipeline 16, 50 connections: SET`.
    pub(super) fn name(&self) -> String {
        let way = if self.way == Way::Tcp { "TCP" } else { "unix socket" };
        let ask = if self.ask == Ask::Get { "GET" } else { "SET" };
        format!("{ask}, {way}, {} at once, {} connection{}", self.pipeline, self.connections, if self.connections == 1 { "" } else { "s" })
    }

    /// How many commands a server needs about so much CPU time for, in seconds. It is warm then, too.
    pub(super) async fn commands_in(&self, cpu: f64, server: &Server) -> anyhow::Result<usize> {
        let tried = self.run(server, 10_000 + 2_000 * self.pipeline).await?;
        let each = (tried.server.as_secs_f64() / tried.commands as f64).max(LEAST_CPU);
        Ok((cpu / each) as usize)
    }

    /// Puts so many commands on a server.
    pub(super) async fn run(&self, server: &Server, commands: usize) -> anyhow::Result<Outcome> {
        let mut generator = Command::new("redis-benchmark");
        match self.way {
            Way::Tcp => generator.args(["-h", &server.tcp.ip().to_string(), "-p", &server.tcp.port().to_string()]),
            Way::Socket => generator.arg("-s").arg(&server.socket),
        };
        let count = |option, number: usize| [String::from(option), number.to_string()];
        generator.args(count("-n", commands)).args(count("-c", self.connections)).args(count("-P", self.pipeline));
        generator.args(count("-r", SESSIONS)).arg("--csv");
        if self.threads > 1 {
            generator.args(count("--threads", self.threads));
        }
        match self.ask {
            Ask::Get => generator.args(["GET", "sess:__rand_int__"]),
            // The begin differs from what is there: saving the same again would be less work for one of the two.
            Ask::Set => generator.args(["SET", "sess:__rand_int__", &format!("__rand_int__{}", "x".repeat(VALUE - 12))]),
        };
        let cpu = || anyhow::Ok([machine::cpu_of(server.pid)?, cpu_of_children()?, machine::cpu_of_all()?]);
        let (before, begun) = (cpu()?, Instant::now());
        let output = generator.output().await.context("redis-benchmark cannot be started (apt-get install redis-tools)")?;
        let (after, length) = (cpu()?, begun.elapsed());
        let said = String::from_utf8_lossy(&output.stdout);
        let complaint = String::from_utf8_lossy(&output.stderr);
        anyhow::ensure!(output.status.success(), "redis-benchmark against {}: {said}{complaint}", server.name);
        let [a_second, p50, p99] = parse(&said).with_context(|| format!("redis-benchmark says `{said}`"))?;
        let [server, generator, all] = [0, 1, 2].map(|n| after[n].saturating_sub(before[n]));
        Ok(Outcome { commands, a_second, p50, p99, server, generator, others: all.saturating_sub(server + generator), length })
    }
}

/// Commands a second, p50 and p99 from the last line, which is the name and seven numbers in quotes.
fn parse(said: &str) -> Option<[f64; 3]> {
    let numbers: Vec<f64> = said.lines().last()?.rsplit(',').take(7).filter_map(|cell| cell.trim_matches('"').parse().ok()).collect();
    let [_, p99, _, p50, _, _, a_second] = numbers[..] else { return None };
    Some([a_second, p50, p99])
}

/// CPU time of all generators so far: of the children that have ended.
fn cpu_of_children() -> anyhow::Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).context("no usage of children")?;
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Ok(Duration::from_micros(u64::try_from(micros)?))
}
