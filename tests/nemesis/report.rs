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
    /// The longest time from the end of the faults until a member that had been parted from others answered.
    pub(super) back: Duration,
    /// What was longer than it may be.
    pub(super) too_long: Vec<String>,
    /// The longest time from the end of the faults until all was at rest.
    pub(super) rest: Duration,
    pub(super) answered: usize,
    /// Of them, those that took longer than [`LATE`].
    pub(super) late: usize,
    pub(super) refused: usize,
    pub(super) unknown: usize,
    /// Members had to be thrown out, and no client felt anything.
    pub(super) is_unfelt: bool,
}

/// An answer that took longer than anything does while nothing is wrong, in microseconds.
const LATE: u64 = 500_000;

/// A row for each kind of step, and one for the calm between.
pub(super) fn rows(steps: &[Done], seen: &[Seen], refusals: &[u64], members: Member) -> BTreeMap<String, Row> {
    let mut rows: BTreeMap<String, Row> = BTreeMap::new();
    let mut answers: Vec<(u64, Member)> = seen.iter().filter_map(|one| Some((one.answered?, one.member))).collect();
    answers.sort_unstable();
    for done in steps {
        let (hit, bound) = (done.step.hit(), done.step.bound());
        let row = rows.entry(done.step.kind()).or_default();
        let silence = |of: &dyn Fn(Member) -> bool| longest(&answers, done.began, done.rested, of);
        row.times += 1;
        row.nobody = row.nobody.max(silence(&|_| true));
        for member in 0..members {
            let silent = silence(&|one| one == member);
            let cell = if hit.contains(&member) { &mut row.hit } else { &mut row.untouched };
            *cell = (*cell).max(silent);
            if !hit.contains(&member) && silent > bound {
                row.too_long.push(format!(
                    "step {}: member {member}, which was not hit, was silent for {silent:.1?}, right is up to {bound:.1?}",
                    done.number
                ));
            }
        }
        for member in done.step.parted() {
            let first = answers.iter().find(|(at, of)| *at >= done.healed && *of == member).map_or(done.rested, |(at, _)| *at);
            let back = Duration::from_micros(first - done.healed);
            row.back = row.back.max(back);
            if back > bound {
                row.too_long.push(format!(
                    "step {}: member {member} answered only {back:.1?} after its end, right is up to {bound:.1?}",
                    done.number
                ));
            }
        }
        row.rest = row.rest.max(Duration::from_micros(done.rested - done.healed));
        let within = |at: u64| (done.began..done.rested).contains(&at);
        row.answered += answers.iter().filter(|(at, _)| within(*at)).count();
        let late = seen.iter().filter(|one| one.answered.is_some_and(|at| at - one.invoked > LATE) && within(one.invoked)).count();
        let unknown = seen.iter().filter(|one| one.answered.is_none() && within(one.invoked)).count();
        let refused = refusals.iter().filter(|at| within(**at)).count();
        row.late += late;
        row.unknown += unknown;
        row.refused += refused;
        row.is_unfelt |= done.step.faults.iter().any(|planned| planned.fault.evicts()) && late + unknown + refused == 0;
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
        "{:<46} {:>5} {:>8} {:>8} {:>8} {:>8} {:>8} {:>9} {:>6} {:>8} {:>8}\n",
        "longest time without an answer, in s",
        "times",
        "anywhere",
        "not hit",
        "hit",
        "back",
        "at rest",
        "answered",
        "late",
        "refused",
        "unknown"
    );
    for (kind, row) in rows {
        let seconds = |time: Duration| format!("{:.2}", time.as_secs_f64());
        let _ = writeln!(
            text,
            "{kind:<46} {:>5} {:>8} {:>8} {:>8} {:>8} {:>8} {:>9} {:>6} {:>8} {:>8}",
            row.times,
            seconds(row.nobody),
            seconds(row.untouched),
            seconds(row.hit),
            seconds(row.back),
            seconds(row.rest),
            row.answered,
            row.late,
            row.refused,
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
        let rows = rows(std::slice::from_ref(&done), &history, &[1_700, 9_700], 2);
        let row = &rows["runtime paused"];
        let micros = Duration::from_micros;
        assert_eq!((row.nobody, row.untouched, row.hit), (micros(4_000), micros(4_000), micros(7_500)));
        assert_eq!((row.rest, row.answered, row.unknown, row.refused, row.late), (micros(4_000), 3, 1, 1, 0));
        assert_eq!((row.back, row.is_unfelt, row.too_long.len()), (micros(4_000), false, 0));
        assert_eq!(keys_that_saw_a_fault(&[done], &history), 1);
    }

    #[test]
    fn silence_that_is_too_long_and_faults_that_nobody_felt_are_told() {
        let faults = vec![Planned { fault: Fault::Alone(0), after: Duration::ZERO, hold: Duration::from_secs(8) }];
        let step = Step { faults, calm: Duration::ZERO };
        let (began, healed, rested) = (0, 8_000_000, 20_000_000);
        let done = Done { number: 3, step, began, healed, rested, effect: String::new() };
        let history = [seen(0, 15_900_000, Some(16_000_000)), seen(1, 7_900_000, Some(8_000_000)), seen(1, 15_900_000, Some(16_000_000))];
        let rows = rows(std::slice::from_ref(&done), &history, &[], 2);
        let row = &rows["member alone"];
        assert!(row.is_unfelt);
        assert_eq!(row.too_long.len(), 2, "{:?}", row.too_long);
        assert!(
            row.too_long[0].contains("member 1, which was not hit, was silent for 8.0s, right is up to 7.5s")
                || row.too_long[1].contains("member 1, which was not hit, was silent for 8.0s, right is up to 7.5s"),
            "{:?}",
            row.too_long
        );
    }
}
