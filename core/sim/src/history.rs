//! What clients saw, and whether one order of all operations explains it (linearizability, Herlihy and Wing 1990), by search with memory as in Wing
//! and Gong's and Lowe's checkers. The sequential meaning of a command is the product's own pure function.
//!
//! `stateright`'s tester is the reference: the tests give it every history that it can judge, and compare. It is not used in runs because it has no
//! memory of states, so that histories of more than a dozen operations take it too long, knows no losses that are excused for a time only, and no
//! lives that end by themselves.

use std::collections::{HashMap, HashSet};
use std::fmt;

use bytes::Bytes;
use holdfast_core::value::{Data, Value, apply, decide, slack};
use holdfast_core::{Command, Condition, Expiry, Guard, Key, Reply};

/// An operation of a client, or something that happened to a session.
#[derive(Clone, Debug)]
pub struct Operation {
    /// The session.
    pub key: Key,
    /// What was asked; `None` is a loss that the number of failures excuses or, with an answer, that somebody was told of the end of a life.
    pub command: Option<Command>,
    /// When it was asked.
    pub invoked: u64,
    /// When it was answered; `None` if it was not, so that it may take effect at any time or never.
    pub answered: Option<u64>,
    /// The answer.
    pub reply: Option<Reply>,
    /// Without an answer: it has no effect on what is asked for after this.
    pub until: Option<u64>,
    /// Of a loss: what was asked for then or later is not lost. Where it goes back: what was answered before is not lost.
    pub older_than: u64,
    /// The session may go back to what it was.
    pub goes_back: bool,
}

impl Operation {
    /// One that is not answered yet.
    pub fn asked(key: Key, command: Command, invoked: u64) -> Operation {
        Operation { key, command: Some(command), invoked, answered: None, reply: None, until: None, older_than: 0, goes_back: false }
    }

    /// The session may be lost from `invoked` on if it was last written before `older_than`, but what is asked for after `until` is not affected.
    pub fn loss(key: Key, invoked: u64, until: Option<u64>, older_than: u64) -> Operation {
        Operation { key, command: None, invoked, answered: None, reply: None, until, older_than, goes_back: false }
    }

    /// The session may go back to what it was before some of the last writes, from `invoked` on, but not to before what was answered before `kept`;
    /// what is asked for after `until` is not affected.
    pub fn set_back(key: Key, invoked: u64, until: Option<u64>, kept: u64) -> Operation {
        Operation { goes_back: true, ..Operation::loss(key, invoked, until, kept) }
    }

    /// Somebody was told at this moment that the life of the session, which was given to it after `invoked`, was over.
    pub fn expired(key: Key, invoked: u64, at: u64) -> Operation {
        Operation { answered: Some(at), ..Operation::loss(key, invoked, None, 0) }
    }

    fn is_end(&self) -> bool {
        self.command.is_none() && self.answered.is_some()
    }

    /// Whether it gives the session an end of its life.
    pub(crate) fn sets_life(&self) -> bool {
        matches!(
            self.command,
            Some(Command::Set { expiry: Expiry::After(_), .. } | Command::GetEx { expiry: Expiry::After(_) } | Command::Expire { .. })
        )
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = |text: String| if text.len() > 120 { format!("{}...", &text[..120]) } else { text };
        let Some(command) = &self.command else {
            if let Some(at) = self.answered {
                return write!(f, "[..{at}] its life is over");
            }
            if self.goes_back {
                return write!(f, "[{}..{:?}] what was answered from {} on may be lost", self.invoked, self.until, self.older_than);
            }
            return write!(f, "[{}..{:?}] what is older than {} may be lost", self.invoked, self.until, self.older_than);
        };
        match (self.answered, &self.reply) {
            (Some(answered), Some(reply)) => {
                write!(f, "[{}..{answered}] {} -> {}", self.invoked, short(format!("{command:?}")), short(format!("{reply:?}")))
            }
            _ => write!(f, "[{}..] {} -> no answer", self.invoked, short(format!("{command:?}"))),
        }
    }
}

/// The content of a session, and when its life may end.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Content {
    data: Data,
    life: Option<Life>,
    /// When the last change was asked for; 0 if nothing may be lost in this history.
    written: u64,
}

/// Owners' clocks run up to 1 % wrong, and copies live longer by their time on the way: expiry may come late, never early.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Life {
    /// It does not end before this.
    earliest: u64,
    /// What was asked for.
    millis: u64,
    /// How much longer a new owner may let it last: what holders grant without being told.
    slack: u64,
}

impl Life {
    /// It does not last longer than this from when everything is at rest.
    fn most(self) -> u64 {
        self.millis + self.slack
    }
}

type State = Option<Content>;

/// Operations on one session that are done: as many as are looked at.
type Done = [u64; WORDS];
const WORDS: usize = 8;

/// The most operations on one session that are looked at.
pub const MAX_OPERATIONS: usize = 64 * WORDS;

/// How many steps are tried before a history counts as undecided: the problem is NP-complete, and some histories with many unanswered operations
/// would take hours.
const MAX_TRIES: usize = 1_000_000;

/// An end of life that no clock shows: it stands for the one that the state has.
const SOME_LIFE: u64 = 1 << 40;

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

/// Whether some order of `operations`, all on one session, explains all the answers. Whatever has an end of its life must have come to it in time
/// once nothing is under way any more, which is from `rested` on.
pub fn judge(operations: &[Operation], rested: Option<u64>) -> Verdict {
    judge_told(operations, rested, None)
}

/// The same; lives that end after `told_after` only end where somebody is told so.
pub fn judge_told(operations: &[Operation], rested: Option<u64>, told_after: Option<u64>) -> Verdict {
    assert!(operations.len() <= MAX_OPERATIONS, "{} operations are too many", operations.len());
    // Those with an answer first: an unanswered one is only worth a try where nothing else explains the next answer.
    let mut operations = with_unseen_values_alike(operations);
    operations.sort_by_key(|operation| (operation.answered.is_none(), operation.answered, operation.invoked));
    let must = operations.iter().filter(|operation| operation.answered.is_some()).count();
    let has_losses = operations.iter().any(|operation| operation.command.is_none() && !operation.is_end());
    let goes_back = operations.iter().any(|operation| operation.goes_back);
    let mut search = Search {
        operations: &operations,
        must,
        rested,
        told_after,
        tries: 0,
        has_losses,
        goes_back,
        seen: HashSet::new(),
        nodes: Vec::new(),
        index: HashMap::new(),
    };
    let nothing = search.node(0, None, 0);
    match search.explains([0; WORDS], 0, nothing) {
        true => Verdict::Linearizable,
        false if search.tries >= MAX_TRIES => Verdict::Undecided,
        false => Verdict::Violated,
    }
}

/// Values that no answer shows cannot be told apart: written alike, the search sees that operations with them are the same.
fn with_unseen_values_alike(operations: &[Operation]) -> Vec<Operation> {
    let mut seen = HashSet::new();
    operations.iter().filter_map(|operation| operation.reply.as_ref()).for_each(|reply| see(reply, &mut seen));
    for operation in operations {
        // A condition tells values apart as well.
        if let Some(Command::Batch { guard: Guard::Equals(value), .. }) = &operation.command {
            seen.insert(value.clone());
        }
    }
    let mut operations = operations.to_vec();
    for command in operations.iter_mut().filter_map(|operation| operation.command.as_mut()) {
        for value in written(command).into_iter().filter(|value| !seen.contains(*value)) {
            *value = Bytes::from_static(b"?");
        }
    }
    operations
}

/// The values that an answer shows.
fn see(reply: &Reply, seen: &mut HashSet<Bytes>) {
    match reply {
        Reply::Bytes(bytes) => seen.extend([bytes.clone()]),
        Reply::Map(fields) => seen.extend(fields.iter().map(|(_, value)| value.clone())),
        Reply::Array(values) => seen.extend(values.iter().flatten().cloned()),
        Reply::Batch(replies) => replies.iter().for_each(|reply| see(reply, seen)),
        _ => {}
    }
}

/// The values that a command writes.
fn written(command: &mut Command) -> Vec<&mut Bytes> {
    match command {
        Command::Set { value, .. } | Command::HashSetIfAbsent { value, .. } => vec![value],
        Command::HashSet { fields } => fields.iter_mut().map(|(_, value)| value).collect(),
        Command::Batch { commands, .. } => commands.iter_mut().flat_map(written).collect(),
        _ => Vec::new(),
    }
}

struct Search<'a> {
    /// Those that must be explained come first, in the order of their answers.
    operations: &'a [Operation],
    must: usize,
    rested: Option<u64>,
    told_after: Option<u64>,
    tries: usize,
    has_losses: bool,
    /// The session may go back, so what it was is remembered.
    goes_back: bool,
    seen: HashSet<(Done, u32)>,
    /// All states that were met, each once; where the session may go back, each once for each way to it.
    nodes: Vec<Node>,
    index: HashMap<(u32, State, u64), u32>,
}

/// A state that was met.
struct Node {
    /// What it was before.
    before: u32,
    state: State,
    /// When the change that led to it was answered.
    answered: u64,
}

fn is_done(done: &Done, i: usize) -> bool {
    done[i / 64] >> (i % 64) & 1 == 1
}

impl Search<'_> {
    /// The number of a state to which a change leads that was answered at this moment.
    fn node(&mut self, before: u32, state: State, answered: u64) -> u32 {
        let (before, answered) = if self.goes_back { (before, answered) } else { (0, 0) };
        let nodes = &mut self.nodes;
        let number = self.index.entry((before, state.clone(), answered)).or_insert_with(|| {
            nodes.push(Node { before, state, answered });
            nodes.len() as u32 - 1
        });
        *number
    }

    /// What the session may go back to, when what was answered before `kept` is not lost.
    fn before(&self, mut node: u32, kept: u64) -> Vec<u32> {
        let mut before = Vec::new();
        while node != 0 && self.nodes[node as usize].answered >= kept {
            node = self.nodes[node as usize].before;
            before.push(node);
        }
        before
    }

    /// `first`: all before it are done.
    fn explains(&mut self, done: Done, mut first: usize, node: u32) -> bool {
        while first < self.must && is_done(&done, first) {
            first += 1;
        }
        if first == self.must {
            return true;
        }
        if self.tries >= MAX_TRIES || !self.seen.insert((done, node)) {
            return false;
        }
        let state = self.nodes[node as usize].state.clone();
        // Whatever comes next was asked for before any of the rest was answered.
        let horizon = self.operations[first].answered.unwrap_or(u64::MAX);
        for i in first..self.operations.len() {
            let operation = &self.operations[i];
            self.tries += 1;
            if is_done(&done, i) || operation.invoked > horizon {
                continue;
            }
            if operation.answered.is_none() && (self.has_twin(&done, i) || self.is_over(&done, operation)) {
                continue;
            }
            let mut with = done;
            with[i / 64] |= 1 << (i % 64);
            if operation.goes_back {
                if self.before(node, operation.older_than).into_iter().any(|before| self.explains(with, first, before)) {
                    return true;
                }
                continue;
            }
            for before in self.lives_on(&state, operation, horizon) {
                let Some((reply, after)) = step(operation, &before, self.has_losses) else { continue };
                let fits = operation.answered.is_none() || fits(operation, reply, &before);
                // An unanswered operation without an effect need not be placed.
                let is_idle = operation.answered.is_none() && after == before;
                if !fits || is_idle {
                    continue;
                }
                let next = if after == state { node } else { self.node(node, after, operation.answered.unwrap_or(u64::MAX)) };
                if self.explains(with, first, next) {
                    return true;
                }
            }
        }
        false
    }

    /// Of operations without an answer that do the same, the first one is as good as any.
    fn has_twin(&self, done: &Done, i: usize) -> bool {
        let operation = &self.operations[i];
        (self.must..i).filter(|j| !is_done(done, *j)).map(|j| &self.operations[j]).any(|other| {
            other.command == operation.command
                && other.invoked <= operation.invoked
                && other.until == operation.until
                && other.goes_back == operation.goes_back
                && other.older_than == operation.older_than
        })
    }

    fn is_over(&self, done: &Done, operation: &Operation) -> bool {
        operation.until.is_some_and(|until| (0..self.operations.len()).any(|j| is_done(done, j) && self.operations[j].invoked > until))
    }

    /// What `operation` may find: the state, or nothing if its life may have ended; it takes effect before `horizon` and before its answer.
    fn lives_on(&self, state: &State, operation: &Operation, horizon: u64) -> Vec<State> {
        let Some(life) = state.as_ref().and_then(|content| content.life) else { return vec![state.clone()] };
        let latest = operation.answered.unwrap_or(u64::MAX).min(horizon);
        let must_end = self.rested.is_some_and(|rested| operation.invoked > rested + life.most() * 102 / 100 + 50);
        let may_end = latest >= life.earliest;
        if operation.is_end() {
            return if may_end { vec![state.clone()] } else { Vec::new() };
        }
        let mut states = Vec::new();
        if !must_end {
            states.push(state.clone());
        }
        if may_end && self.told_after.is_none_or(|moment| life.earliest <= moment) {
            states.push(None);
        }
        states
    }
}

/// Whether the answer is what the state gives; a time to live may be any that is possible.
fn fits(operation: &Operation, reply: Option<Reply>, before: &State) -> bool {
    let life = before.as_ref().and_then(|content| content.life);
    if let (Some(Command::Ttl), Some(life), Some(Reply::Int(millis))) = (&operation.command, life, &operation.reply) {
        let Ok(millis) = u64::try_from(*millis) else { return false };
        let is_early = operation.answered.is_some_and(|answered| millis * 102 / 100 + 2 < life.earliest.saturating_sub(answered));
        return millis <= life.most() && !is_early;
    }
    operation.reply == reply
}

/// What the operation answers and leaves; nothing if it cannot take effect.
fn step(operation: &Operation, state: &State, has_losses: bool) -> Option<(Option<Reply>, State)> {
    let Some(command) = &operation.command else {
        if operation.is_end() {
            return state.as_ref().is_some_and(|content| content.life.is_some()).then_some((None, None));
        }
        let is_lost = state.as_ref().is_some_and(|content| content.written < operation.older_than);
        return is_lost.then_some((None, None));
    };
    let value = |content: &Content| Value::new(content.data.clone(), content.life.map(|_| SOME_LIFE));
    let mut now = state.as_ref().map(value);
    let (reply, change) = decide(now.as_ref(), command, 0, u64::MAX);
    let mut written = state.as_ref().map_or(0, |content| content.written);
    // The same value again is hardly a change, but values that look the same here need not be: see `with_unseen_values_alike`.
    let sets = match command {
        Command::Set { condition, .. } => match condition {
            Condition::Always => true,
            Condition::IfAbsent => state.is_none(),
            Condition::IfPresent => state.is_some(),
        },
        Command::Batch { .. } => reply != Reply::Refuted,
        _ => false,
    };
    if has_losses && (sets || change.is_some()) {
        written = operation.invoked;
    }
    if let Some(change) = change {
        apply(&mut now, change, 0);
    }
    let after = now.map(|value| {
        let life = match value.expires_at() {
            None => None,
            Some(SOME_LIFE) => state.as_ref().and_then(|content| content.life),
            // The fastest clock is 1 % ahead, and the operation took effect after it was asked for.
            Some(millis) => {
                let before = state.as_ref().and_then(|content| content.life).map_or(0, |life| life.slack);
                Some(Life { earliest: operation.invoked + millis * 98 / 100, millis, slack: before.max(slack(millis)) })
            }
        };
        Content { data: value.data, life, written }
    });
    Some((Some(reply), after))
}
