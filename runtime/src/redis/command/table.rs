//! What commands there are: their names, how many arguments they take, and who reads them.

use std::sync::LazyLock;

use super::args::{Args, Refusal};
use super::{
    Plan, acl, client, config, connection, expiry, hashes, info, introspection, keys, listing, pubsub, rename, scripts, sets, sorted_sets,
    strings, transaction, wait,
};

/// What a command is like, in the terms of `COMMAND INFO`.
pub(crate) struct Spec {
    /// In lower case; `client|id` for a subcommand.
    pub(crate) name: &'static str,
    /// The number of arguments, the name included; negative for at least so many.
    pub(crate) arity: i64,
    /// As Redis names them.
    pub(crate) flags: &'static [&'static str],
    /// The first key, the last one (negative: from the end) and the distance between them; zeros without keys.
    pub(crate) keys: [i64; 3],
    /// Reads the arguments, once their number is right.
    pub(super) parse: fn(&Args<'_>) -> Result<Plan, Refusal>,
    /// The names below this one.
    pub(crate) subcommands: &'static [Spec],
}

const READ: &[&str] = &["readonly", "fast"];
const WRITE: &[&str] = &["write", "fast"];
const SERVER: &[&str] = &["loading", "stale"];
const FOR_STRANGERS: &[&str] = &["loading", "stale", "no_auth"];

impl Spec {
    /// A command that reads the key after its name.
    pub(super) const fn read(name: &'static str, arity: i64, parse: fn(&Args<'_>) -> Result<Plan, Refusal>) -> Spec {
        Spec { name, arity, flags: READ, keys: [1, 1, 1], parse, subcommands: &[] }
    }

    /// A command that writes the key after its name.
    pub(super) const fn write(name: &'static str, arity: i64, parse: fn(&Args<'_>) -> Result<Plan, Refusal>) -> Spec {
        Spec { name, arity, flags: WRITE, keys: [1, 1, 1], parse, subcommands: &[] }
    }

    /// A command about the server or the connection.
    pub(super) const fn server(name: &'static str, arity: i64, parse: fn(&Args<'_>) -> Result<Plan, Refusal>) -> Spec {
        Spec { name, arity, flags: SERVER, keys: [0, 0, 0], parse, subcommands: &[] }
    }

    /// It may come before the client has said who it is.
    pub(super) const fn for_strangers(self) -> Spec {
        Spec { flags: FOR_STRANGERS, ..self }
    }

    /// All its arguments are keys.
    pub(super) const fn of_many_keys(self) -> Spec {
        Spec { keys: [1, -1, 1], ..self }
    }

    /// Every other argument is a key.
    pub(super) const fn of_pairs(self) -> Spec {
        Spec { keys: [1, -1, 2], ..self }
    }

    /// The next argument is a key, too.
    pub(super) const fn of_two_keys(self) -> Spec {
        Spec { keys: [1, 2, 1], ..self }
    }

    /// It reads keys that it does not name.
    pub(super) const fn of_no_key(self) -> Spec {
        Spec { keys: [0, 0, 0], ..self }
    }

    /// It is divided further.
    pub(super) const fn with(self, subcommands: &'static [Spec]) -> Spec {
        Spec { subcommands, ..self }
    }

    /// The part of it called `name`, or itself if it is not divided.
    pub(super) fn subcommand(&'static self, name: &[u8]) -> Option<&'static Spec> {
        if self.subcommands.is_empty() {
            return Some(self);
        }
        self.subcommands.iter().find(|spec| spec.name.as_bytes()[self.name.len() + 1..].eq_ignore_ascii_case(name))
    }

    pub(super) fn is_for_strangers(&self) -> bool {
        self.flags == FOR_STRANGERS
    }

    /// Whether it may write, or tell others something: what `CLIENT PAUSE ... WRITE` is about.
    pub(crate) fn may_write(&self) -> bool {
        self.flags.contains(&"write") || matches!(self.name, "eval" | "evalsha" | "publish")
    }

    /// Whether it takes `count` arguments.
    pub(super) fn allows(&self, count: usize) -> bool {
        let count = count as i64;
        if self.arity < 0 { count >= -self.arity } else { count == self.arity }
    }
}

static TABLE: LazyLock<Vec<&'static Spec>> = LazyLock::new(|| {
    let families: [&'static [Spec]; 18] = [
        strings::COMMANDS,
        hashes::COMMANDS,
        sets::COMMANDS,
        sorted_sets::COMMANDS,
        keys::COMMANDS,
        expiry::COMMANDS,
        rename::COMMANDS,
        listing::COMMANDS,
        transaction::COMMANDS,
        scripts::COMMANDS,
        pubsub::COMMANDS,
        connection::COMMANDS,
        acl::COMMANDS,
        client::COMMANDS,
        wait::COMMANDS,
        info::COMMANDS,
        config::COMMANDS,
        introspection::COMMANDS,
    ];
    let mut table: Vec<&'static Spec> = families.into_iter().flatten().collect();
    table.sort_unstable_by_key(|spec| spec.name);
    table
});

/// All commands, in the order of their names.
pub(crate) fn commands() -> &'static [&'static Spec] {
    &TABLE
}

/// Their names as numbers, which compare in the same order and in one step.
static NAMES: LazyLock<Vec<u128>> = LazyLock::new(|| TABLE.iter().filter_map(|spec| number(spec.name.as_bytes())).collect());

/// The command of this name and where it is in [`commands`].
pub(super) fn find(name: &[u8]) -> Option<(usize, &'static Spec)> {
    let index = NAMES.binary_search(&number(name)?).ok()?;
    // Zeros at the end of a name count as none in the number.
    Some((index, TABLE[index])).filter(|(_, spec)| spec.name.len() == name.len())
}

/// A name in lower case as a number; whatever is longer than this is not one.
fn number(name: &[u8]) -> Option<u128> {
    let mut lower = [0; 16];
    lower.get_mut(..name.len())?.copy_from_slice(name);
    lower.make_ascii_lowercase();
    Some(u128::from_be_bytes(lower))
}
