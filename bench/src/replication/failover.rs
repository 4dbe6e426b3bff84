//! How long a lost member is felt: from SIGKILL, and from the moment when its cable is cut, until its sessions answer at another member.

use std::time::{Duration, Instant};

use anyhow::Context;
use futures::future::try_join_all;
use holdfast_support::progress::Progress;
use holdfast_support::world::{Ways, World};
use serde_json::json;

use crate::client::{Connection, Form, Ledger};
use crate::report::{Report, Spread, Target};

/// Sessions of the lost member that are asked for at once.
const SESSIONS: usize = 20;

const MEMBERS: u8 = 3;

/// The runtime's own default.
const FAILURE_TIMEOUT: Duration = Duration::from_secs(2);

pub(crate) async fn run(quick: bool, report: &mut Report) -> anyhow::Result<()> {
    let times = if quick { 2 } else { 30 };
    for (how, target) in [(Loss::Killed, 0.3), (Loss::Cut, FAILURE_TIMEOUT.as_secs_f64() + 0.5)] {
        let mut step = Progress::default().step(format!("Time until orphaned sessions answer, {}", how.name()));
        // A cable's end still accepts when nobody is behind it, so a killed member would not be refused.
        let ways = if how == Loss::Cut { Ways::Cables } else { Ways::Direct };
        let mut world = World::start(MEMBERS, 1, ways).await?;
        let (mut slowest, mut all) = (Vec::new(), Vec::new());
        for n in 0..times {
            step.at(&format!("{} of {times}", n + 1));
            let victim = n as u8 % MEMBERS;
            let took = lose(&mut world, how, n, victim).await.with_context(|| format!("loss {n}, of member {victim}"))?;
            slowest.push(took.iter().max().copied().unwrap_or_default());
            all.extend(took);
        }
        let seconds = |times: &[Duration]| Spread::new(times.iter().map(Duration::as_secs_f64));
        let part = format!("a member is lost: {}", how.name());
        report.row(
            &part,
            format!("the last of {SESSIONS} orphaned sessions answers, {times} losses"),
            "s",
            seconds(&slowest),
            Target::AtMost(target),
        );
        let all = seconds(&all);
        for (name, quantile) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99)] {
            report.value(&part, format!("an orphaned session answers, {name}"), "s", all.quantile(quantile));
        }
        let millis = |time: &Duration| time.as_secs_f64() * 1e3;
        report.detail(&part, json!({"slowestMillis": slowest.iter().map(millis).collect::<Vec<_>>()}));
        step.done();
    }
    Ok(())
}

/// How a member is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loss {
    Killed,
    Cut,
}

impl Loss {
    fn name(self) -> &'static str {
        match self {
            Self::Killed => "SIGKILL",
            Self::Cut => "a cut cable",
        }
    }
}

/// Loses a member, and returns how long each of its sessions took to answer; then makes the cluster whole again.
async fn lose(world: &mut World, how: Loss, round: usize, victim: u8) -> anyhow::Result<Vec<Duration>> {
    let mut ledgers: Vec<Ledger> = (0..SESSIONS).map(|n| Ledger::new(format!("{round}:{n}"), 1)).collect();
    let mut owner = Connection::open(world.redis(victim)).await?;
    for ledger in &mut ledgers {
        let n = ledger.advance();
        let key = ledger.key(n);
        owner.write(Form::Set, &key, ledger.value(n)).await?;
    }
    // Half of them are asked for at one survivor and half at the other.
    let mut readers = Vec::new();
    for (n, ledger) in ledgers.into_iter().enumerate() {
        let at = (victim + 1 + (n % 2) as u8) % MEMBERS;
        readers.push((Connection::open(world.redis(at)).await?, ledger));
    }
    // It takes a moment to kill a process; the clock runs from before.
    let lost = Instant::now();
    match how {
        Loss::Killed => world.kill(victim).await?,
        Loss::Cut => world.set_cut(victim, true),
    }
    let reading = readers.into_iter().map(async |(mut connection, mut ledger)| {
        ledger.check(&mut connection).await?;
        anyhow::Ok(lost.elapsed())
    });
    let took = try_join_all(reading).await?;
    match how {
        Loss::Killed => {
            world.wait(|| world.has_full(usize::from(MEMBERS) - 1)).await?;
            world.add(victim)?;
        }
        Loss::Cut => world.set_cut(victim, false),
    }
    world.settled(usize::from(MEMBERS)).await?;
    Ok(took)
}
