//! What clients saw, and whether one order of all operations explains it (linearizability, Herlihy and Wing 1990), by search with memory as in Wing
//! and Gong's and Lowe's checkers. The sequential meaning of a command is the product's own pure function.

use std::collections::HashSet;

use bytes::Bytes;
use holdfast_core::value::{Data, Value, apply, decide};
use holdfast_core::{Command, Key, Reply};

/// An operation of a client, or something that happened to a session.
#[derive(Clone, Debug)]
pub struct Operation {
    /// The session.
    pub key: Key,
    /// What was asked; `None` is a loss that the number of failures excuses.
    pub command: Option<Command>,
    /// When it was asked.
    pub invoked: u64,
    /// When it was answered; `None` if it was not, so that it may take effect at any time or never.
    pub answered: Option<u64>,
    /// The answer.
    pub reply: Option<Reply>,
    /// Without an answer: it has no effect on what is asked for after this.
    pub until: Option<u64>,
}

type State = Option<Data>;

/// The most operations on one session that are looked at: sets of them are one machine word.
pub const MAX_OPERATIONS: usize = 120;

/// How many states are looked at before a history counts as undecided: the problem is NP-complete, and some histories with many unanswered
/// operations would take hours.
const MAX_STATES: usize = 300_000;

/// What a search found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Some order explains all answers.
    Linearizable,
    /// No order does.
    Violated,
    /// The search was given up.
    Undecided,
}

/// Whether some order of `operations`, all on one session, explains all the answers.
pub fn judge(operations: &[Operation]) -> Verdict {
    assert!(operations.len() <= MAX_OPERATIONS, "{} operations are too many", operations.len());
    // Those with an answer first: an unanswered one is only worth a try where nothing else explains the next answer.
    let mut operations = with_unseen_values_alike(operations);
    operations.sort_by_key(|operation| (operation.answered.is_none(), operation.answered, operation.invoked));
    let must = operations.iter().enumerate().filter(|(_, op)| op.answered.is_some()).fold(0u128, |set, (i, _)| set | 1 << i);
    let mut search = Search { operations: &operations, must, seen: HashSet::new() };
    match search.explains(0, None) {
        true => Verdict::Linearizable,
        false if search.seen.len() >= MAX_STATES => Verdict::Undecided,
        false => Verdict::Violated,
    }
}

/// Values that no answer shows cannot be told apart: written alike, the search sees that operations with them are the same.
fn with_unseen_values_alike(operations: &[Operation]) -> Vec<Operation> {
    let mut seen = HashSet::new();
    for reply in operations.iter().filter_map(|operation| operation.reply.as_ref()) {
        match reply {
            Reply::Bytes(bytes) => seen.extend([bytes.clone()]),
            Reply::Map(fields) => seen.extend(fields.iter().map(|(_, value)| value.clone())),
            _ => {}
        }
    }
    let mut operations = operations.to_vec();
    for operation in &mut operations {
        let values: Vec<&mut Bytes> = match &mut operation.command {
            Some(Command::Set { value, .. }) => vec![value],
            Some(Command::HashSet { fields }) => fields.iter_mut().map(|(_, value)| value).collect(),
            _ => Vec::new(),
        };
        for value in values.into_iter().filter(|value| !seen.contains(*value)) {
            *value = Bytes::from_static(b"?");
        }
    }
    operations
}

struct Search<'a> {
    operations: &'a [Operation],
    must: u128,
    seen: HashSet<(u128, State)>,
}

impl Search<'_> {
    fn explains(&mut self, done: u128, state: State) -> bool {
        if done & self.must == self.must {
            return true;
        }
        if self.seen.len() >= MAX_STATES || !self.seen.insert((done, state.clone())) {
            return false;
        }
        let pending = |i: &usize| done >> i & 1 == 0;
        let horizon = (0..self.operations.len()).filter(pending).filter_map(|i| self.operations[i].answered).min();
        for i in (0..self.operations.len()).filter(pending) {
            let operation = &self.operations[i];
            if horizon.is_some_and(|horizon| operation.invoked > horizon) {
                continue;
            }
            // Of operations without an answer that do the same, the first one is as good as any.
            let is_first = |other: &Operation| {
                other.command == operation.command && other.invoked <= operation.invoked && other.until == operation.until
            };
            if operation.answered.is_none()
                && (0..i).filter(pending).any(|j| self.operations[j].answered.is_none() && is_first(&self.operations[j]))
            {
                continue;
            }
            let is_over = operation
                .until
                .is_some_and(|until| (0..self.operations.len()).any(|j| done >> j & 1 == 1 && self.operations[j].invoked > until));
            if is_over {
                continue;
            }
            let Some((reply, after)) = step(operation, &state) else { continue };
            let fits = operation.answered.is_none() || operation.reply == reply;
            // An unanswered operation without an effect need not be placed.
            let is_idle = operation.answered.is_none() && after == state;
            if fits && !is_idle && self.explains(done | 1 << i, after) {
                return true;
            }
        }
        false
    }
}

fn step(operation: &Operation, state: &State) -> Option<(Option<Reply>, State)> {
    let Some(command) = &operation.command else { return Some((None, None)) };
    let mut value = state.clone().map(|data| Value { data, expires_at: None });
    let (reply, change) = decide(value.as_ref(), command, 0, u64::MAX);
    if let Some(change) = change {
        apply(&mut value, change, 0);
    }
    Some((Some(reply), value.map(|value| value.data)))
}

#[cfg(test)]
mod tests {
    use holdfast_core::{Condition, Expiry};

    use super::*;

    fn set(value: &'static str, invoked: u64, answered: Option<u64>) -> Operation {
        let command = Command::Set {
            value: Bytes::from_static(value.as_bytes()),
            expiry: Expiry::Never,
            condition: Condition::Always,
            return_old: false,
        };
        Operation { key: Key::new(), command: Some(command), invoked, answered, reply: answered.map(|_| Reply::Ok), until: None }
    }

    fn get(value: &'static str, invoked: u64, answered: u64) -> Operation {
        let reply = Some(Reply::Bytes(Bytes::from_static(value.as_bytes())));
        Operation { key: Key::new(), command: Some(Command::Get), invoked, answered: Some(answered), reply, until: None }
    }

    #[test]
    fn a_read_that_goes_back_is_found() {
        assert_eq!(Verdict::Linearizable, judge(&[set("a", 0, Some(1)), set("b", 2, Some(3)), get("b", 4, 5)]));
        assert_eq!(Verdict::Violated, judge(&[set("a", 0, Some(1)), set("b", 2, Some(3)), get("a", 4, 5)]));
    }

    #[test]
    fn a_write_without_an_answer_may_take_effect_late_or_never_but_only_once() {
        assert_eq!(Verdict::Linearizable, judge(&[set("a", 0, None), set("b", 2, Some(3)), get("b", 4, 5), get("a", 6, 7)]));
        assert_eq!(Verdict::Linearizable, judge(&[set("a", 0, None), set("b", 2, Some(3)), get("b", 4, 5)]));
        assert_eq!(Verdict::Violated, judge(&[set("a", 0, None), set("b", 2, Some(3)), get("a", 4, 5), get("b", 6, 7)]));
    }

    #[test]
    fn an_excused_loss_explains_a_missing_value_and_nothing_else() {
        let lost = Operation { key: Key::new(), command: None, invoked: 2, answered: None, reply: None, until: Some(6) };
        let missing = Operation { reply: Some(Reply::Nil), ..get("", 4, 5) };
        assert_eq!(Verdict::Violated, judge(&[set("a", 0, Some(1)), missing.clone()]));
        assert_eq!(Verdict::Linearizable, judge(&[set("a", 0, Some(1)), lost.clone(), missing]));
        assert_eq!(Verdict::Violated, judge(&[set("a", 0, Some(1)), lost.clone(), get("b", 4, 5)]));
        let late = Operation { reply: Some(Reply::Nil), ..get("", 9, 10) };
        assert_eq!(Verdict::Violated, judge(&[set("a", 0, Some(1)), lost, get("a", 7, 8), late]));
    }
}
