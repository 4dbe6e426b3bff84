//! What a person reads at the end: how long each kind of fault was felt, by whom, and how much was asked and answered meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use super::acts::Done;
use super::clients::Seen;
use super::schedule::Member;

/// One kind of step in the table.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) times: usize,
    /// The longest time in which nobody was answered.
    pub(super) nobody: Duration,
    /// The longest time in which a member that was not hit answered nothing.
    pub(super) untouched: Duration,
    /// The same of members that were hit.
    pub(super) hit: Duration,
    /// The longest time from the end of the faults until all was at rest.
    pub(super) rest: Duration,
    pub(super) answered: usize,
    pub(super) unknown: usize,
}

/// A row for each kind of step, and one for the calm between.
pub(super) fn rows(steps: &[Done], seen: &[Seen], members: Member) -> BTreeMap<String, Row> {
    let mut rows: BTreeMap<String, Row> = BTreeMap::new();
    let mut answers: Vec<(u64, Member)> = seen.iter().filter_map(|one| Some((one.answered?, one.member))).collect();
    answers.sort_unstable();
    for done in steps {
        let hit = done.step.hit();
        let row = rows.entry(done.step.kind()).or_default();
        let silence = |of: &dyn Fn(Member) -> bool| longest(&answers, done.began, done.rested, of);
        row.times += 1;
        row.nobody = row.nobody.max(silence(&|_| true));
        for member in 0..members {
            let silent = silence(&|one| one == member);
            let cell = if hit.contains(&member) { &mut row.hit } else { &mut row.untouched };
            *cell = (*cell).max(silent);
        }
        row.rest = row.rest.max(Duration::from_micros(done.rested - done.healed));
        let within = |at: u64| (done.began..done.rested).contains(&at);
        row.answered += answers.iter().filter(|(at, _)| within(*at)).count();
        row.unknown += seen.iter().filter(|one| one.answered.is_none() && within(one.invoked)).count();
    }
    rows
}

/// The longest time between two answers of those in `of`, the edges of the time counted as answers.
fn longest(answers: &[(u64, Member)], from: u64, to: u64, of: &dyn Fn(Member) -> bool) -> Duration {
    let mut last = from;
    let mut longest = 0;
    let within = answers.iter().filter(|(at, member)| (from..to).contains(at) && of(*member)).map(|(at, _)| *at);
    for at in within.chain([to]) {
        longest = longest.max(at - last);
        last = at;
    }
    Duration::from_micros(longest)
}

/// The table.
pub(super) fn table(rows: &BTreeMap<String, Row>) -> String {
    let mut text = format!(
        "{:<52} {:>5} {:>9} {:>11} {:>9} {:>8} {:>9} {:>8}\n",
        "longest time without an answer, in s", "times", "anywhere", "not hit", "hit", "at rest", "answered", "unknown"
    );
    for (kind, row) in rows {
        let seconds = |time: Duration| format!("{:.2}", time.as_secs_f64());
        let _ = writeln!(
            text,
            "{kind:<52} {:>5} {:>9} {:>11} {:>9} {:>8} {:>9} {:>8}",
            row.times,
            seconds(row.nobody),
            seconds(row.untouched),
            seconds(row.hit),
            seconds(row.rest),
            row.answered,
            row.unknown
        );
    }
    text
}

/// How many keys had an operation begun or answered while a fault was on.
pub(super) fn keys_that_saw_a_fault(steps: &[Done], seen: &[Seen]) -> usize {
    let is_in_fault = |at: u64| steps.iter().any(|done| (done.began..done.rested).contains(&at));
    let in_fault = seen.iter().filter(|one| is_in_fault(one.invoked) || one.answered.is_some_and(is_in_fault));
    in_fault.map(|one| &one.key).collect::<BTreeSet<_>>().len()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use holdfast_core::{Command, Reply};

    use super::super::schedule::{Fault, Planned, Step};
    use super::*;

    fn seen(member: Member, invoked: u64, answered: Option<u64>) -> Seen {
        let reply = answered.map(|_| Reply::Nil);
        Seen { key: Bytes::from_static(b"k"), command: Command::Get, member, client: 0, invoked, answered, reply, why: None }
    }

    #[test]
    fn silence_is_measured_of_those_that_were_hit_and_of_the_others() {
        let faults = vec![Planned { fault: Fault::Pause(0), after: Duration::ZERO, hold: Duration::ZERO }];
        let step = Step { faults, calm: Duration::ZERO };
        let done = Done { number: 1, step, began: 1_000, healed: 5_000, rested: 9_000, effect: String::new() };
        let history = [seen(0, 900, Some(1_500)), seen(1, 1_900, Some(2_000)), seen(1, 5_900, Some(6_000)), seen(0, 1_600, None)];
        let rows = rows(std::slice::from_ref(&done), &history, 2);
        let row = &rows["runtime paused"];
        let micros = Duration::from_micros;
        assert_eq!((row.nobody, row.untouched, row.hit), (micros(4_000), micros(4_000), micros(7_500)));
        assert_eq!((row.rest, row.answered, row.unknown), (micros(4_000), 3, 1));
        assert_eq!(keys_that_saw_a_fault(&[done], &history), 1);
    }
}
