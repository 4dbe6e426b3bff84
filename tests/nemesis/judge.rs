//! Whether the history is one that Holdfast may have: key by key, by the simulator's checker. Strict, but for the one thing that the
//! promise leaves open: when more members went at once than there are copies, and one of them by a crash, a session may be gone.

use std::collections::BTreeMap;
use std::num::NonZero;

use holdfast_core::Key;
use holdfast_sim::history::{Operation, Verdict, judge};

use super::clients::Seen;
use super::views::Stretch;

/// What the judgement came to.
#[derive(Debug, Default)]
pub(super) struct Judgement {
    pub(super) keys: usize,
    /// Histories that the search gave up.
    pub(super) undecided: Vec<Key>,
    /// Histories that no order explains, with the shortest part that none does.
    pub(super) violated: Vec<(Key, Vec<Seen>)>,
    /// Keys whose history needs a loss that is excused.
    pub(super) lost: Vec<Key>,
}

/// Judges every key. `losses` are the times in which a loss is excused.
pub(super) fn all(seen: &[Seen], losses: &[Stretch]) -> Judgement {
    let mut keys: BTreeMap<&Key, Vec<&Seen>> = BTreeMap::new();
    for one in seen {
        keys.entry(&one.key).or_default().push(one);
    }
    let keys: Vec<_> = keys.into_iter().collect();
    let workers = std::thread::available_parallelism().map_or(1, NonZero::get);
    let mut judgement = Judgement { keys: keys.len(), ..Judgement::default() };
    std::thread::scope(|scope| {
        let parts = keys.chunks(keys.len().div_ceil(workers).max(1));
        let parts: Vec<_> =
            parts.map(|part| scope.spawn(|| part.iter().map(|(_, seen)| of_key(seen, losses)).collect::<Vec<_>>())).collect();
        let found = parts.into_iter().flat_map(|part| part.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        for ((key, seen), found) in keys.iter().zip(found) {
            match found {
                Found::Explained => {}
                Found::Lost => judgement.lost.push((*key).clone()),
                Found::Undecided => judgement.undecided.push((*key).clone()),
                Found::Violated => judgement.violated.push(((*key).clone(), shortest(seen, losses))),
            }
        }
    });
    judgement
}

enum Found {
    Explained,
    Lost,
    Undecided,
    Violated,
}

fn of_key(seen: &[&Seen], losses: &[Stretch]) -> Found {
    match judge(&operations(seen, &[]), None) {
        Verdict::Linearizable => Found::Explained,
        Verdict::Undecided => Found::Undecided,
        Verdict::Violated if losses.is_empty() => Found::Violated,
        Verdict::Violated => match judge(&operations(seen, losses), None) {
            Verdict::Linearizable => Found::Lost,
            Verdict::Undecided => Found::Undecided,
            Verdict::Violated => Found::Violated,
        },
    }
}

fn operations(seen: &[&Seen], losses: &[Stretch]) -> Vec<Operation> {
    let asked = seen.iter().map(|one| Operation {
        answered: one.answered,
        reply: one.reply.clone(),
        ..Operation::asked(one.key.clone(), one.command.clone(), one.invoked)
    });
    let key = seen.first().map(|one| one.key.clone()).unwrap_or_default();
    let lost = losses.iter().map(|stretch| Operation::loss(key.clone(), stretch.from, Some(stretch.to), stretch.to));
    asked.chain(lost).collect()
}

/// The shortest part of a history that is no better: nothing after the first answer that cannot be explained, and no read that the
/// contradiction does not need. A history without its later part, or without some reads, is explained by any order that explains the
/// whole, so what is left is a violation by itself.
fn shortest(seen: &[&Seen], losses: &[Stretch]) -> Vec<Seen> {
    let is_violated = |part: &[Seen]| judge(&operations(&part.iter().collect::<Vec<_>>(), losses), None) == Verdict::Violated;
    let until = |end: u64| -> Vec<Seen> {
        let begun = seen.iter().filter(|one| one.invoked <= end);
        let known = begun.map(|one| match one.answered {
            Some(answered) if answered > end => Seen { answered: None, reply: None, ..(*one).clone() },
            _ => (*one).clone(),
        });
        known.collect()
    };
    let mut ends: Vec<u64> = seen.iter().filter_map(|one| one.answered).collect();
    ends.sort_unstable();
    let mut part = ends.into_iter().map(until).find(|part| is_violated(part)).unwrap_or_else(|| until(u64::MAX));
    part.sort_by_key(|one| one.invoked);
    let mut at = 0;
    while at < part.len() {
        if part[at].command.is_read_only() {
            let mut less = part.clone();
            less.remove(at);
            if is_violated(&less) {
                part = less;
                continue;
            }
        }
        at += 1;
    }
    part
}

/// One line of a history.
pub(super) fn line(seen: &Seen) -> String {
    let seconds = |micros: u64| micros as f64 / 1e6;
    let end = match (seen.answered, &seen.reply) {
        (Some(answered), Some(reply)) => format!("{:11.6}  {reply:?}", seconds(answered)),
        _ => format!("  (unknown)  {}", seen.why.as_deref().unwrap_or("under way at the end of this part")),
    };
    format!("{:11.6} {end}  <- {:?}  [client {} at member {}]", seconds(seen.invoked), seen.command, seen.client, seen.member)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use holdfast_core::{Command, Condition, Expiry, Reply};

    use super::*;

    fn seen(command: Command, invoked: u64, answered: Option<u64>, reply: Reply) -> Seen {
        let reply = answered.map(|_| reply);
        Seen { key: Bytes::from_static(b"k"), command, member: 0, client: 0, invoked, answered, reply, why: None }
    }

    fn set(value: &'static str, invoked: u64, answered: Option<u64>) -> Seen {
        let value = Bytes::from_static(value.as_bytes());
        seen(Command::Set { value, expiry: Expiry::Never, condition: Condition::Always, return_old: false }, invoked, answered, Reply::Ok)
    }

    fn get(value: Option<&'static str>, invoked: u64) -> Seen {
        let reply = value.map_or(Reply::Nil, |value| Reply::Bytes(Bytes::from_static(value.as_bytes())));
        seen(Command::Get, invoked, Some(invoked + 1), reply)
    }

    #[test]
    fn a_lost_write_is_found_and_told_in_few_lines() {
        let history = [set("a", 0, Some(1)), get(Some("a"), 2), get(Some("a"), 4), get(None, 6), set("b", 8, Some(9)), get(Some("b"), 10)];
        let judgement = all(&history, &[]);
        let (_, part) = &judgement.violated[0];
        assert_eq!(part.len(), 2, "{part:?}");
        assert_eq!(part[1].reply, Some(Reply::Nil));
    }

    #[test]
    fn a_stale_read_and_a_deleted_key_that_is_back_are_found() {
        let stale = [set("a", 0, Some(1)), set("b", 2, Some(3)), get(Some("a"), 4)];
        assert_eq!(all(&stale, &[]).violated.len(), 1);
        let back = [set("a", 0, Some(1)), seen(Command::Delete, 2, Some(3), Reply::Int(1)), get(Some("a"), 4)];
        assert_eq!(all(&back, &[]).violated.len(), 1);
    }

    #[test]
    fn a_loss_is_excused_only_in_its_time() {
        let history = [set("a", 0, Some(1)), get(None, 6)];
        let stretch = |from, to| Stretch { from, to, gone: [0, 1].into() };
        assert_eq!(all(&history, &[stretch(2, 5)]).lost.len(), 1);
        assert_eq!(all(&history, &[stretch(8, 9)]).violated.len(), 1);
        assert_eq!(all(&history, &[]).violated.len(), 1);
    }

    #[test]
    fn a_write_without_an_answer_may_be_there_or_not() {
        for after in [None, Some("a")] {
            assert!(all(&[set("a", 0, None), get(after, 6)], &[]).violated.is_empty());
        }
    }
}
