//! Whether the others could carry what a member holds. Each says what it holds and may hold, in steps that are coarse enough for a status.

use holdfast_api::{ByteSize, MemberState};

use super::conditions::Verdict;
use crate::cluster::Cluster;
use crate::survey::{Member, Survey};

/// Of a hundred bytes of its budget, a member takes so many before it refuses growth.
const USABLE: u64 = 90;

/// What numbers in a message are rounded to.
const MEBIBYTE: u64 = 1 << 20;

pub(super) fn capacity_for_failover(cluster: &Cluster, survey: &Survey) -> Verdict {
    if survey.view.as_ref().is_none_or(|view| view.epoch == 0) {
        return Verdict::unknown("NoView", "the members have no view");
    }
    let full: Vec<&Member> = survey.members.iter().filter(|member| member.standing == Some(MemberState::Full)).collect();
    let named = |is: &dyn Fn(&&&Member) -> bool| full.iter().filter(is).map(|member| member.name.clone()).collect::<Vec<String>>();
    let silent = named(&|member| member.memory.is_none());
    if !silent.is_empty() {
        return Verdict::unknown("NotReported", format!("these members do not say what they hold: {}", super::verdicts::some_of(&silent)));
    }
    let unlimited = named(&|member| member.memory.as_ref().is_some_and(|memory| memory.budget.is_none()));
    if !unlimited.is_empty() {
        let members = super::verdicts::some_of(&unlimited);
        return Verdict::unknown("NoLimit", format!("these members have no limit of memory ({}): {members}", limit_of(cluster)));
    }
    let reports = || full.iter().filter_map(|member| member.memory.as_ref());
    let survivors = (full.len() as u64).saturating_sub(1);
    if survivors == 0 {
        return Verdict::no("SingleMember", "there is one member, so nobody else could carry what it holds");
    }
    let (held, least) =
        (reports().map(|report| report.bytes).sum::<u64>(), reports().filter_map(|report| report.budget).min().unwrap_or_default());
    // Each session has an owner and as many copies as there are members for.
    let times = |members: u64| 1 + u64::from(survey.copies).min(members - 1);
    let share = held * times(survivors) / times(survivors + 1) / survivors;
    let usable = least / 100 * USABLE;
    let round = |bytes: u64| ByteSize::from_bytes(bytes.div_ceil(MEBIBYTE) * MEBIBYTE);
    let numbers = format!("without one member, the other {survivors} would hold about {} each, of {}", round(share), round(usable));
    if share <= usable {
        Verdict::yes("Enough", numbers)
    } else {
        Verdict::no("TooLittle", format!("{numbers}: scale up, or raise {}", limit_of(cluster)))
    }
}

/// The field that the members' budget comes from.
fn limit_of(cluster: &Cluster) -> &'static str {
    if cluster.spec.is_in_process() { "spec.workload.app.resources.limits.memory" } else { "spec.runtime.resources.limits.memory" }
}
