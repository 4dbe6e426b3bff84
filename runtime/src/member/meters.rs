//! What a member counts about the commands that run through it.

use std::time::Instant;

use holdfast_core::{Command, CommandError, Reply};
use metrics::{Counter, Histogram, Unit, counter, describe_counter, describe_histogram, histogram};

/// Command kinds, in the order of [`kind`].
const KINDS: [&str; 37] = [
    "get",
    "set",
    "getex",
    "getdel",
    "delete",
    "exists",
    "type",
    "expire",
    "persist",
    "ttl",
    "hash_set",
    "hash_set_if_absent",
    "hash_get",
    "hash_get_all",
    "hash_delete",
    "batch",
    "fingerprint",
    "dump",
    "move_away",
    "move_here",
    "length",
    "increment",
    "append",
    "hash_increment",
    "set_add",
    "set_remove",
    "set_get",
    "set_get_all",
    "sorted_set_add",
    "sorted_set_increment",
    "sorted_set_remove",
    "sorted_set_remove_range",
    "sorted_set_scores",
    "sorted_set_rank",
    "sorted_set_range",
    "sorted_set_count",
    "claim",
];

/// Counted here and shown once a second: to find a counter, or only to change one that other threads read, would cost each command more.
#[derive(Debug)]
pub(super) struct Meters {
    counted: [u64; KINDS.len()],
    kinds: [Counter; KINDS.len()],
    reads: Histogram,
    writes: Histogram,
    /// Commands that other members sent on to this one.
    pub(super) forwarded_here: Counter,
}

/// A command that waits for others.
#[derive(Clone, Copy, Debug)]
pub(super) struct Started {
    at: Instant,
    is_read: bool,
}

impl Started {
    pub(super) fn now(is_read: bool) -> Self {
        Self { at: Instant::now(), is_read }
    }
}

impl Meters {
    pub(super) fn new() -> Self {
        describe_counter!("holdfast_commands_total", "Commands of this member's own clients, by kind.");
        describe_counter!("holdfast_command_errors_total", "Commands that ended with an error, by error.");
        describe_counter!("holdfast_commands_forwarded_total", "Commands that other members sent on to this one.");
        describe_histogram!(
            "holdfast_command_seconds",
            Unit::Seconds,
            "From the command's arrival to its answer, of those that had to wait for another member: forwarded ones, and writes until all copies have them."
        );
        Self {
            counted: [0; KINDS.len()],
            kinds: KINDS.map(|kind| counter!("holdfast_commands_total", "kind" => kind)),
            reads: histogram!("holdfast_command_seconds", "access" => "read"),
            writes: histogram!("holdfast_command_seconds", "access" => "write"),
            forwarded_here: counter!("holdfast_commands_forwarded_total"),
        }
    }

    /// Counts a command.
    pub(super) fn count(&mut self, command: &Command) {
        self.counted[kind(command)] += 1;
    }

    /// Shows what was counted.
    pub(super) fn publish(&mut self) {
        for (counted, counter) in self.counted.iter_mut().zip(&self.kinds) {
            counter.increment(std::mem::take(counted));
        }
    }

    /// A command that had waited is answered.
    pub(super) fn answered(&self, started: Started, reply: &Reply) {
        let histogram = if started.is_read { &self.reads } else { &self.writes };
        histogram.record(started.at.elapsed());
        Self::look_for_error(reply);
    }

    /// Counts an answer that is an error.
    pub(super) fn look_for_error(reply: &Reply) {
        if let Reply::Error(error) = reply {
            counter!("holdfast_command_errors_total", "error" => error_name(error)).increment(1);
        }
    }
}

fn kind(command: &Command) -> usize {
    match command {
        Command::Get => 0,
        Command::Set { .. } => 1,
        Command::GetEx { .. } => 2,
        Command::GetDel => 3,
        Command::Delete => 4,
        Command::Exists => 5,
        Command::Type => 6,
        Command::Expire { .. } => 7,
        Command::Persist => 8,
        Command::Ttl => 9,
        Command::HashSet { .. } => 10,
        Command::HashSetIfAbsent { .. } => 11,
        Command::HashGet { .. } => 12,
        Command::HashGetAll => 13,
        Command::HashDelete { .. } => 14,
        Command::Batch { .. } => 15,
        Command::Fingerprint => 16,
        Command::Dump => 17,
        Command::MoveAway => 18,
        Command::MoveHere { .. } => 19,
        Command::Length { .. } => 20,
        Command::Increment { .. } => 21,
        Command::Append { .. } => 22,
        Command::HashIncrement { .. } => 23,
        Command::SetAdd { .. } => 24,
        Command::SetRemove { .. } => 25,
        Command::SetGet { .. } => 26,
        Command::SetGetAll => 27,
        Command::SortedSetAdd { .. } => 28,
        Command::SortedSetIncrement { .. } => 29,
        Command::SortedSetRemove { .. } => 30,
        Command::SortedSetRemoveRange { .. } => 31,
        Command::SortedSetScores { .. } => 32,
        Command::SortedSetRank { .. } => 33,
        Command::SortedSetRange { .. } => 34,
        Command::SortedSetCount { .. } => 35,
        Command::Claim => 36,
    }
}

fn error_name(error: &CommandError) -> &'static str {
    match error {
        CommandError::WrongType => "wrong_type",
        CommandError::TooLarge { .. } => "too_large",
        CommandError::NotAcknowledged { .. } => "not_acknowledged",
        CommandError::OutcomeUnknown => "outcome_unknown",
        CommandError::NotJoined => "not_joined",
        CommandError::UnderReplicated { .. } => "under_replicated",
        CommandError::Backlog { .. } => "backlog",
        CommandError::TooManyCommands { .. } => "too_many_commands",
        CommandError::NotAnInteger | CommandError::FieldNotAnInteger => "not_an_integer",
        CommandError::Overflow => "overflow",
        CommandError::NotAScore => "not_a_score",
        CommandError::OutOfMemory { .. } => "out_of_memory",
        CommandError::TooManySessions { .. } => "too_many_sessions",
        CommandError::AnswerTooLarge { .. } => "answer_too_large",
        CommandError::NestedBatch => "nested_batch",
    }
}
