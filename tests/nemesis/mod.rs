//! The nemesis: clients that remember everything, on a real cluster to which one thing after another happens, by a schedule that
//! follows from a seed. Their history is then judged by the simulator's checker: each session has to be linearizable, so that no
//! acknowledged write is lost, nothing deleted comes back, and no answer is older than it may be.

mod acts;
mod clients;
mod door;
mod judge;
mod keys;
mod logs;
mod observe;
mod report;
mod schedule;
mod views;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use holdfast_api::names;
use holdfast_core::{Key, Reply};
use holdfast_support::progress::Progress;
use k8s_openapi::api::core::v1::Secret;
use kube::api::Api;
use serde_json::json;

use crate::stage::{NAMESPACE, SHOP, Stage, Wanted};
use acts::{Done, Nemesis};
use clients::{Clients, Clock, Seen};
use judge::Judgement;
use schedule::{Member, Schedule};
use views::{Stretch, Views};

/// How long the cluster may take, after the last fault, until it says itself that it is whole.
const WHOLE: Duration = Duration::from_secs(120);
/// The clients work undisturbed for so long before the first fault.
const CALM: Duration = Duration::from_secs(3);
/// Of so many histories one may be too hard to search.
const HARD: usize = 50;
/// So many keys are asked for their owner at the end.
const ASKED_FOR_OWNER: usize = 300;

/// What is run.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// How long things happen.
    pub time: Duration,
    /// What happens.
    pub seed: u64,
}

/// Runs the nemesis on the shop of `stage`, which is whole. What explains a failure is in `folder` afterwards.
///
/// # Errors
/// What was not as it has to be.
pub async fn run(stage: &Stage, options: Options, folder: &Path) -> anyhow::Result<()> {
    println!("nemesis: SEED={} for {} s", options.seed, options.time.as_secs());
    // What an earlier run has left would be taken for this one's.
    if folder.exists() {
        std::fs::remove_dir_all(folder).with_context(|| format!("failed to empty {}", folder.display()))?;
    }
    std::fs::create_dir_all(folder).with_context(|| format!("failed to create {}", folder.display()))?;
    let replicas = stage.shop().await?.spec.replicas;
    ensure!(replicas >= 3, "the nemesis needs at least 3 members, and there are {replicas}");
    let pods: Vec<String> = (0..replicas).map(|ordinal| names::member_pod(SHOP, ordinal)).collect();

    let clock = Clock::start();
    let views = Views::watch(stage.session_views(), SHOP, clock);
    let logs = logs::Logs::follow(&stage.pods(), &pods, folder);
    let clients = Clients::begin(&stage.cluster, &pods, options.seed, clock);
    let book = std::sync::Arc::clone(&clients.book);
    let mut run = Run { stage, options, pods: &pods, views: &views, book: &book, steps: Vec::new() };
    let disturbed = run.disturb().await;
    let whole = run.heal().await;
    clients.end().await;
    let looked = match (disturbed, whole) {
        (Err(error), _) | (Ok(()), Err(error)) => Err(error),
        (Ok(()), Ok(took)) => {
            println!("whole again {:.1} s after the last fault", took.as_secs_f64());
            run.last_look().await
        }
    };
    // The history is judged also when something else went wrong: a violation says more than a wait that was too long.
    let excused = run.excused();
    let seen = book.seen();
    let judgement = judge::all(&seen, &excused);
    run.tell(&seen, &excused, &judgement);
    if let Err(error) = &looked {
        println!("{error:#}");
    }
    let verdict = run.verdict(&seen, &judgement).and(looked);
    if verdict.is_err() {
        run.keep(&seen, &excused, &judgement, folder).with_context(|| format!("failed to write to {}", folder.display()))?;
    }
    if verdict.is_err() {
        stage.dump(&folder.join("cluster")).await;
        println!("history, views, logs and objects are in {}", folder.display());
    }
    drop(logs);
    verdict
}

struct Run<'a> {
    stage: &'a Stage,
    options: Options,
    pods: &'a [String],
    views: &'a Views,
    book: &'a std::sync::Arc<clients::Book>,
    steps: Vec<Done>,
}

impl Run<'_> {
    fn members(&self) -> Member {
        self.pods.len() as Member
    }

    /// One step after another until the time is over.
    async fn disturb(&mut self) -> anyhow::Result<()> {
        tokio::time::sleep(CALM).await;
        let nemesis = Nemesis { stage: self.stage, pods: self.pods, views: self.views, clock: self.book.clock };
        let mut schedule = Schedule::new(self.options.seed, self.members());
        let began = Instant::now();
        let progress = Progress::default();
        let mut number = 0;
        while began.elapsed() < self.options.time {
            number += 1;
            let step = schedule.step();
            let calm = step.calm;
            let copies = self.views.last().map_or(1, |view| view.copies) as usize;
            let beyond = if step.is_beyond_the_promise(copies) { ", beyond the promise" } else { "" };
            let mut shown = progress.step(format!("[{:4} s] {number}: {step}{beyond}", began.elapsed().as_secs()));
            let doing = nemesis.step(number, step);
            tokio::pin!(doing);
            let done = loop {
                tokio::select! {
                    done = &mut doing => break done?,
                    () = tokio::time::sleep(Duration::from_millis(500)) => {
                        let of = |count: &std::sync::atomic::AtomicU64| count.load(Relaxed);
                        shown.at(&format!("{} answered, {} unknown", of(&self.book.answered), of(&self.book.unknown)));
                    }
                }
            };
            shown.done();
            progress.note(&format!("         {}", done.effect));
            self.steps.push(done);
            tokio::time::sleep(calm).await;
        }
        Ok(())
    }

    /// Ends whatever is still on, and waits until the cluster says itself that it is whole.
    async fn heal(&self) -> anyhow::Result<Duration> {
        self.stage.cluster.heal_all().await?;
        let began = Instant::now();
        self.stage.settle(&Wanted { replicas: self.members(), after_epoch: None }, WHOLE).await?;
        Ok(began.elapsed())
    }

    /// Reads every key that there was through every member, and asks all members who owns it.
    async fn last_look(&self) -> anyhow::Result<()> {
        let keys: Vec<Key> = self.book.seen().into_iter().map(|one| one.key).collect::<BTreeSet<_>>().into_iter().collect();
        let mut read: BTreeMap<Key, Vec<(Member, Option<Reply>)>> = BTreeMap::new();
        for (member, pod) in (0..).zip(self.pods) {
            for (key, reply) in clients::read_all(&self.stage.cluster, self.book, member, pod, &keys).await {
                read.entry(key).or_default().push((member, reply));
            }
        }
        for (key, replies) in &read {
            let same = replies.windows(2).all(|pair| pair[0].1 == pair[1].1) && replies.iter().all(|(_, reply)| reply.is_some());
            ensure!(same, "at rest, members answer differently for {}: {replies:?}", key.escape_ascii());
        }
        let token = self.token().await?;
        let is_there = |key: &Key| match read[key].first() {
            Some((_, Some(Reply::Map(fields)))) => !fields.is_empty(),
            Some((_, reply)) => *reply != Some(Reply::Nil),
            None => false,
        };
        for key in keys.iter().step_by(keys.len().div_ceil(ASKED_FOR_OWNER).max(1)) {
            let owners = observe::owners(&self.stage.cluster, self.pods, &token, key).await.map_err(anyhow::Error::msg)?;
            ensure!(owners.len() <= 1, "{} has several owners: {owners:?}", key.escape_ascii());
            let is_owned = owners.iter().any(|(_, content)| *content);
            ensure!(is_there(key) == is_owned, "{}: read as {:?}, owned by {owners:?}", key.escape_ascii(), read[key]);
        }
        Ok(())
    }

    async fn token(&self) -> anyhow::Result<String> {
        let secrets: Api<Secret> = Api::namespaced(self.stage.cluster.client(), NAMESPACE);
        let secret = secrets.get(&names::admin_secret(SHOP)).await.context("failed to read the admin token")?;
        let token = secret.data.and_then(|mut data| data.remove(names::TOKEN_KEY)).context("the Secret has no token")?;
        Ok(String::from_utf8(token.0)?)
    }

    /// The times in which a session may be gone: more members went than there are copies before all was protected again, and the
    /// memory of at least one of them is really gone.
    fn excused(&self) -> Vec<Stretch> {
        let views = self.views.all();
        let copies = views.last().map_or(1, |dated| dated.view.copies) as usize;
        let mut stretches = views::losses(&views);
        stretches.retain(|stretch| {
            let crashed = self.steps.iter().any(|done| {
                done.began <= stretch.to && stretch.from <= done.rested && done.step.crashed().iter().any(|one| stretch.gone.contains(one))
            });
            crashed && stretch.gone.len() > copies
        });
        stretches
    }

    fn rows(&self, seen: &[Seen]) -> BTreeMap<String, report::Row> {
        report::rows(&self.steps, seen, &self.book.refusals(), self.members())
    }

    /// Prints what came out.
    fn tell(&self, seen: &[Seen], excused: &[Stretch], judgement: &Judgement) {
        println!("\n{}", report::table(&self.rows(seen)));
        let of = |count: &std::sync::atomic::AtomicU64| count.load(Relaxed);
        let in_fault = |one: &&Seen| self.steps.iter().any(|done| one.answered.is_some_and(|at| (done.began..done.rested).contains(&at)));
        let during = seen.iter().filter(in_fault).count();
        println!(
            "{} operations answered, {during} of them while something was wrong; {} with an unknown outcome; {} refused with nothing done",
            of(&self.book.answered),
            of(&self.book.unknown),
            of(&self.book.refused),
        );
        println!(
            "{} keys, {} of them with operations during a fault; {} too hard to judge; {} losses, excused in {} stretches",
            judgement.keys,
            report::keys_that_saw_a_fault(&self.steps, seen),
            judgement.undecided.len(),
            judgement.lost.len(),
            excused.len()
        );
    }

    fn verdict(&self, seen: &[Seen], judgement: &Judgement) -> anyhow::Result<()> {
        if let Some((key, part)) = judgement.violated.iter().min_by_key(|(_, part)| part.len()) {
            println!("\nNo order of these operations on {} explains all answers (times in seconds):", key.escape_ascii());
            part.iter().for_each(|one| println!("{}", judge::line(one)));
            println!();
        }
        let end = |part: &Vec<Seen>| part.iter().filter_map(|one| one.answered).max();
        if let Some(first) = judgement.violated.iter().filter_map(|(_, part)| end(part)).min() {
            println!("the first answer that no order explains came {:.1} s after the beginning", first as f64 / 1e6);
        }
        let violated = judgement.violated.len();
        ensure!(violated == 0, "the histories of {violated} of {} keys are not linearizable", judgement.keys);
        let odd = self.book.odd();
        ensure!(odd.is_empty(), "{} answers that no command can have, the first: {}", odd.len(), odd[0]);
        let hard = judgement.undecided.len();
        ensure!(hard <= judgement.keys / HARD, "{hard} of {} histories were too hard to judge: that many show too little", judgement.keys);
        let answered = self.book.answered.load(Relaxed);
        ensure!(answered > 20 * self.options.time.as_secs(), "only {answered} operations were answered: that shows too little");
        ensure!(!self.steps.is_empty(), "nothing was done to the cluster");
        for (kind, row) in self.rows(seen) {
            ensure!(!row.is_unfelt, "no client felt anything of {kind}: nothing was late, refused or unknown");
            ensure!(row.too_long.is_empty(), "{kind}: {}", row.too_long.join("; "));
        }
        Ok(())
    }

    fn keep(&self, seen: &[Seen], excused: &[Stretch], judgement: &Judgement, folder: &Path) -> anyhow::Result<()> {
        let mut history = String::new();
        let mut ordered: Vec<&Seen> = seen.iter().collect();
        ordered.sort_by_key(|one| one.invoked);
        for one in ordered {
            history.push_str(&format!("{} {}\n", one.key.escape_ascii(), judge::line(one)));
        }
        std::fs::write(folder.join("history.txt"), history)?;
        let mut violations = String::new();
        for (key, part) in &judgement.violated {
            violations.push_str(&format!("{}\n", key.escape_ascii()));
            part.iter().for_each(|one| violations.push_str(&format!("  {}\n", judge::line(one))));
        }
        std::fs::write(folder.join("violations.txt"), violations)?;
        std::fs::write(folder.join("views.json"), serde_json::to_string_pretty(&self.views.all())?)?;
        let seconds = |micros: u64| micros as f64 / 1e6;
        let steps = self.steps.iter().map(|done| {
            json!({"number": done.number, "step": done.step.to_string(), "began": seconds(done.began), "healed": seconds(done.healed),
                "rested": seconds(done.rested), "effect": done.effect, "faults": format!("{:?}", done.step.faults)})
        });
        let excused = excused.iter().map(|stretch| json!({"from": seconds(stretch.from), "to": seconds(stretch.to), "gone": stretch.gone}));
        let run = json!({"seed": self.options.seed, "steps": steps.collect::<Vec<_>>(), "excused": excused.collect::<Vec<_>>(),
            "clock": "seconds since the run began"});
        std::fs::write(folder.join("run.json"), serde_json::to_string_pretty(&run)?)?;
        Ok(())
    }
}
