//! What each fault is, done and undone, and the proof that it was one: a nemesis that does nothing would find nothing either.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use holdfast_api::SessionViewSpec;
use kube::ResourceExt as _;

use super::clients::Clock;
use super::observe::{self, Counters};
use super::schedule::{Fault, Member, Planned, Step};
use super::views::{self, Views};
use crate::stage::{NAMESPACE, Stage, eventually, node_of};

/// Container of the runtime in a member's pod.
pub(super) const RUNTIME: &str = "holdfast";
/// What a slow link carries in kbit/s: less than the members have to say to each other under this load.
const SLOW: u32 = 96;
/// How long the others may take to throw a member out once there is reason to, and a deleted pod to be replaced, on a busy machine.
const EFFECT: Duration = Duration::from_secs(60);
/// How long the members may take until everything is protected again. Kubelet waits for 10 s before the second start of a container.
const REST: Duration = Duration::from_secs(120);

/// How a step went.
#[derive(Debug, Clone)]
pub(super) struct Done {
    pub(super) number: usize,
    pub(super) step: Step,
    pub(super) began: u64,
    /// The last fault was ended.
    pub(super) healed: u64,
    /// All was at rest again.
    pub(super) rested: u64,
    /// What shows that it had an effect.
    pub(super) effect: String,
}

/// Who does it.
pub(super) struct Nemesis<'a> {
    pub(super) stage: &'a Stage,
    pub(super) pods: &'a [String],
    pub(super) views: &'a Views,
    pub(super) clock: Clock,
}

impl Nemesis<'_> {
    /// Does a step and waits until all is at rest again. Whatever it did is undone also when it fails.
    pub(super) async fn step(&self, number: usize, step: Step) -> anyhow::Result<Done> {
        let nodes = self.nodes().await?;
        let views = self.views.all().len().saturating_sub(1);
        let before = observe::counters(&self.stage.cluster, self.pods).await;
        let began = self.clock.now();
        let acts = step.faults.iter().map(|planned| self.act(*planned, &nodes));
        let acted = futures::future::try_join_all(acts).await;
        if acted.is_err() {
            self.stage.cluster.heal_all().await?;
        }
        let proofs = acted?.into_iter().flatten().collect::<Vec<_>>();
        let healed = self.clock.now();
        let mut effect = self.effect(&step, views, &before).await?;
        effect.extend(proofs);
        self.rest(&step).await?;
        Ok(Done { number, step, began, healed, rested: self.clock.now(), effect: effect.join(", ") })
    }

    /// Where each member is.
    async fn nodes(&self) -> anyhow::Result<BTreeMap<Member, String>> {
        let pods = self.stage.pods_of(holdfast_api::names::MEMBER).await?;
        let node = |name: &String| pods.iter().find(|pod| pod.name_any() == *name).and_then(node_of).map(str::to_owned);
        Ok((0..).zip(self.pods).filter_map(|(member, pod)| Some((member, node(pod)?))).collect())
    }

    /// Does one fault and ends it after its time. What it answers proves that it was there, where that shows only meanwhile.
    async fn act(&self, Planned { fault, after, hold }: Planned, nodes: &BTreeMap<Member, String>) -> anyhow::Result<Option<String>> {
        let cluster = &self.stage.cluster;
        let pod = |member: Member| self.pods[member as usize].as_str();
        let node = |member: Member| nodes.get(&member).map_or("", String::as_str);
        let others = |member: Member| -> Vec<&str> {
            let own = node(member);
            cluster.nodes().iter().map(String::as_str).filter(|name| *name != own).collect()
        };
        tokio::time::sleep(after).await;
        let mut proof = None;
        match fault {
            Fault::KillRuntime(member) => cluster.kill_container(NAMESPACE, pod(member), RUNTIME).await?,
            Fault::KillPod(member) => cluster.kill_pod(NAMESPACE, pod(member)).await?,
            Fault::Delete(member) => self.stage.delete_pod(pod(member)).await?,
            Fault::Pause(member) => {
                cluster.pause_container(NAMESPACE, pod(member), RUNTIME).await?;
                tokio::time::sleep(hold).await;
                cluster.resume_container(NAMESPACE, pod(member), RUNTIME).await?;
            }
            Fault::CutOff(member) => {
                cluster.cut_off(node(member)).await?;
                tokio::time::sleep(hold).await;
                cluster.heal(node(member)).await?;
            }
            Fault::Alone(member) => {
                cluster.partition(&[node(member)], &others(member)).await?;
                tokio::time::sleep(hold).await;
                cluster.heal(node(member)).await?;
            }
            Fault::AloneWithArbiter(member) => {
                cluster.partition(&[node(member), "control-plane"], &others(member)).await?;
                tokio::time::sleep(hold).await;
                // The control plane hears the others again only when each of them is healed.
                for other in others(member) {
                    cluster.heal(other).await?;
                }
            }
            Fault::OneWay(from, to) => {
                cluster.partition_one_way(&[node(from)], &[node(to)]).await?;
                tokio::time::sleep(hold).await;
                cluster.heal(node(from)).await?;
            }
            Fault::WithoutArbiter(member) => {
                cluster.partition(&[node(member)], &["control-plane"]).await?;
                proof = Some(self.misses_api_server(pod(member)).await?);
                tokio::time::sleep(hold).await;
                cluster.heal(node(member)).await?;
            }
            Fault::ApiServer => {
                cluster.freeze_apiserver().await?;
                let asked = tokio::time::timeout(Duration::from_secs(2), self.stage.shop()).await;
                tokio::time::sleep(hold).await;
                cluster.thaw_apiserver().await?;
                anyhow::ensure!(!matches!(asked, Ok(Ok(_))), "the frozen API server answered");
                proof = Some("the API server did not answer".to_owned());
            }
            Fault::Dns => {
                cluster.freeze_dns().await?;
                let mut answers = Vec::new();
                for pod in self.pods {
                    // One that is killed beside this cannot be asked.
                    let Ok(inside) = cluster.inside(NAMESPACE, pod, "app") else { continue };
                    answers.extend(inside.resolves(cluster.dns()?, "shop-members.default.svc.cluster.local").await);
                }
                tokio::time::sleep(hold).await;
                cluster.thaw_dns().await?;
                anyhow::ensure!(answers.contains(&false) && !answers.contains(&true), "the frozen DNS answered: {answers:?}");
                proof = Some("the DNS did not answer".to_owned());
            }
            Fault::SlowLink(member) => {
                cluster.slow_link(node(member), SLOW).await?;
                tokio::time::sleep(hold).await;
                let delayed = cluster.delayed_packets(node(member)).await?;
                cluster.heal(node(member)).await?;
                anyhow::ensure!(delayed > 0, "nothing had to wait at the slow link");
                proof = Some(format!("packets had to wait {delayed} times"));
            }
        }
        Ok(proof)
    }

    /// Whether a pod does not reach the API server.
    async fn misses_api_server(&self, pod: &str) -> anyhow::Result<String> {
        let cluster = &self.stage.cluster;
        let inside = cluster.inside(NAMESPACE, pod, "app")?;
        let reached = tokio::time::timeout(Duration::from_secs(2), inside.connect(cluster.api_service()?)).await;
        anyhow::ensure!(!matches!(reached, Ok(Ok(_))), "{pod} reaches the API server through the partition");
        Ok("the member did not reach the API server".to_owned())
    }

    /// Waits for the effect that the step must have had on the members.
    async fn effect(&self, step: &Step, from: usize, before: &BTreeMap<Member, Counters>) -> anyhow::Result<Vec<String>> {
        let is_single = step.faults.len() == 1;
        let crashed = step.crashed();
        let deleted: BTreeSet<Member> = step
            .faults
            .iter()
            .filter_map(|planned| match planned.fault {
                Fault::Delete(member) => Some(member),
                _ => None,
            })
            .collect();
        let evicts = is_single && step.faults[0].fault.evicts();
        let paused = match step.faults[..] {
            [Planned { fault: Fault::Pause(member), .. }] => Some(member),
            _ => None,
        };
        let what = format!("an effect of {step}");
        let seen = eventually(what, EFFECT, || async {
            let views = &self.views.all()[from..];
            let gone = views::gone(views);
            let replaced = views::replaced(views);
            if !crashed.is_subset(&gone) {
                return Err(format!("{crashed:?} have crashed, and of them only {gone:?} left the view"));
            }
            if !deleted.is_subset(&replaced) {
                return Err(format!("the pods of {deleted:?} were deleted, and of them only {replaced:?} have new ones in the view"));
            }
            if evicts && gone.is_empty() {
                return Err("nobody left the view".to_owned());
            }
            let after = observe::counters(&self.stage.cluster, self.pods).await;
            if let Some(member) = paused {
                let resets = observe::growth(&only(before, member), &only(&after, member), "holdfast_resets_total");
                if !gone.contains(&member) || resets == 0.0 {
                    return Err(format!("the paused member was not thrown out ({gone:?} were), or did not join anew ({resets} resets)"));
                }
            }
            Ok((gone, after))
        });
        let (gone, after) = seen.await?;
        let mut effect = Vec::new();
        if !gone.is_empty() {
            let names: Vec<_> = gone.iter().map(ToString::to_string).collect();
            effect.push(format!("out of the view: {}", names.join(" ")));
        }
        for (name, counter) in [
            ("suspicions", "holdfast_suspicions_total"),
            ("evictions", "holdfast_evictions_proposed_total"),
            ("resets", "holdfast_resets_total"),
            ("alarms", "holdfast_alarms_total"),
        ] {
            let grown = observe::growth(before, &after, counter);
            if grown > 0.0 {
                effect.push(format!("{grown} {name}"));
            }
        }
        Ok(effect)
    }

    /// Waits until all members are in the view and everything is protected again.
    async fn rest(&self, step: &Step) -> anyhow::Result<()> {
        let members = self.pods.len() as Member;
        let what = format!("all {members} members and their protection after {step}");
        // A view that is still at rest because nobody has noticed yet is no rest: seen twice, with a second in between.
        let mut rested: Option<SessionViewSpec> = None;
        let mut since = std::time::Instant::now();
        eventually(what, REST, || {
            let now = self.views.last();
            let at_rest = now.as_ref().is_some_and(|view| views::is_at_rest(view, members));
            if now != rested || !at_rest {
                (rested, since) = (now.clone(), std::time::Instant::now());
            }
            let answer = match &now {
                _ if at_rest && since.elapsed() >= Duration::from_secs(1) => Ok(()),
                Some(view) => Err(short(view)),
                None => Err("there is no view".to_owned()),
            };
            std::future::ready(answer)
        })
        .await?;
        Ok(())
    }
}

fn only(of: &BTreeMap<Member, Counters>, member: Member) -> BTreeMap<Member, Counters> {
    of.get(&member).map(|counters| (member, counters.clone())).into_iter().collect()
}

/// A view in one line.
pub(super) fn short(view: &SessionViewSpec) -> String {
    let members: Vec<_> = view.members.iter().map(|member| format!("{} {:?}", member.name, member.state)).collect();
    format!("view {}.{} (budget {}): {}", view.epoch, view.sub, view.budget, members.join(", "))
}
