//! Commands over all sessions of the cluster, on top of its scan.

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, stream};
use holdfast_core::{Command, CommandError, Reply, ScanPage, ValueType, glob};
use rand::seq::IteratorRandom;
use tokio::time::timeout;

use super::args::{Args, Refusal};
use super::table::Spec;
use super::{Plan, plain};
use crate::redis::Sessions;
use crate::redis::frame::Value;

pub(super) const COMMANDS: &[Spec] = &[
    Spec::read("scan", -2, scan).of_no_key(),
    Spec::read("keys", 2, |args| Ok(Plan::Listing(Listing::Keys { pattern: args.pattern(1)? }))).of_no_key(),
    Spec::read("randomkey", 1, |_| Ok(Plan::Listing(Listing::Random))).of_no_key(),
    Spec::read("dbsize", 1, |_| Ok(Plan::Listing(Listing::Size))).of_no_key(),
    Spec::write("flushdb", -1, flush).of_no_key(),
    Spec::write("flushall", -1, flush).of_no_key(),
];

/// The most keys in one page, whatever `COUNT` wishes.
const PAGE: usize = 1000;

/// The most keys, and bytes of them, that `KEYS` collects.
const MOST_KEYS: usize = 100_000;
const MOST_BYTES: usize = 16 << 20;

/// Of so many keys of each member one is drawn.
const RANDOM_PAGE: usize = 10;

/// How long `KEYS`, `DBSIZE` and `FLUSHDB` may go from page to page.
const LIMIT: Duration = Duration::from_secs(30);

/// How many sessions are asked for their type at the same time.
const AT_ONCE: usize = 32;

/// A command over all sessions.
pub(crate) enum Listing {
    /// One page.
    Scan {
        /// Where to go on.
        cursor: u64,
        /// How many keys to look at.
        count: usize,
        /// `MATCH`.
        pattern: Option<Bytes>,
        /// `TYPE`.
        kind: Option<Kind>,
    },
    /// All keys that match.
    Keys {
        /// What they match.
        pattern: Bytes,
    },
    /// Any of them.
    Random,
    /// How many there are.
    Size,
    /// All of them go. Those that come meanwhile may stay.
    Flush,
}

/// A type that a scan is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One that a session can have.
    Of(ValueType),
    /// Another one of Redis', or none at all: no session has it.
    Other,
}

fn scan(args: &Args<'_>) -> Result<Plan, Refusal> {
    let cursor = cursor(args.get(1)).ok_or(Refusal::fixed("ERR invalid cursor"))?;
    let (mut count, mut pattern, mut kind) = (10, None, None);
    let mut index = 2;
    while index < args.len() {
        if index + 1 == args.len() {
            return Err(Refusal::SYNTAX);
        }
        if args.is(index, "count") {
            let wish = args.integer(index + 1)?;
            count = usize::try_from(wish).ok().filter(|count| *count > 0).ok_or(Refusal::SYNTAX)?.min(PAGE);
        } else if args.is(index, "match") {
            pattern = Some(args.pattern(index + 1)?);
        } else if args.is(index, "type") {
            kind = Some(match &args.get(index + 1).to_ascii_lowercase()[..] {
                b"string" => Kind::Of(ValueType::String),
                b"hash" => Kind::Of(ValueType::Hash),
                b"set" => Kind::Of(ValueType::Set),
                b"zset" => Kind::Of(ValueType::SortedSet),
                _ => Kind::Other,
            });
        } else {
            return Err(Refusal::SYNTAX);
        }
        index += 2;
    }
    Ok(Plan::Listing(Listing::Scan { cursor, count, pattern, kind }))
}

/// As C's `strtoul`, which Redis uses: nothing is 0, and a minus sign wraps around.
fn cursor(text: &[u8]) -> Option<u64> {
    let (negative, digits) = match text {
        [] => return Some(0),
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    // The standard library would take one more plus sign.
    let number: u64 = std::str::from_utf8(digits).ok().filter(|digits| !digits.starts_with('+'))?.parse().ok()?;
    Some(if negative { number.wrapping_neg() } else { number })
}

/// When all is gone is when it is answered, whatever is said about that.
fn flush(args: &Args<'_>) -> Result<Plan, Refusal> {
    match args.len() {
        1 => Ok(Plan::Listing(Listing::Flush)),
        2 if args.is(1, "sync") || args.is(1, "async") => Ok(Plan::Listing(Listing::Flush)),
        _ => Err(Refusal::SYNTAX),
    }
}

impl Listing {
    pub(super) async fn run<S: Sessions>(self, sessions: &S) -> Value {
        match self {
            Listing::Scan { cursor, count, pattern, kind } => match sessions.scan(cursor, count).await {
                Ok(page) => answer(page, pattern, kind, sessions).await,
                Err(error) => plain(Reply::Error(error)),
            },
            Listing::Keys { pattern } => in_time("KEYS", keys(&pattern, sessions)).await,
            Listing::Random => in_time("RANDOMKEY", random(sessions)).await,
            Listing::Size => in_time("DBSIZE", size(sessions)).await,
            Listing::Flush => in_time("FLUSHDB", flushed(sessions)).await,
        }
    }
}

async fn answer<S: Sessions>(page: ScanPage, pattern: Option<Bytes>, kind: Option<Kind>, sessions: &S) -> Value {
    let keys = match pattern {
        None => page.keys,
        Some(pattern) => matching(page.keys, &pattern).await,
    };
    let keys = match kind {
        None => keys,
        Some(Kind::Other) => Vec::new(),
        Some(Kind::Of(kind)) => match of_type(keys, kind, sessions).await {
            Ok(keys) => keys,
            Err(error) => return plain(Reply::Error(error)),
        },
    };
    let keys = keys.into_iter().map(Value::Bulk).collect();
    Value::Array(vec![Value::Bulk(page.cursor.to_string().into()), Value::Array(keys)])
}

/// Those that match. A long pattern takes its time, which others need, too.
async fn matching(keys: Vec<Bytes>, pattern: &[u8]) -> Vec<Bytes> {
    let mut found = Vec::new();
    for key in keys {
        if glob::matches(pattern, &key) {
            found.push(key);
        }
        tokio::task::coop::consume_budget().await;
    }
    found
}

async fn of_type<S: Sessions>(keys: Vec<Bytes>, kind: ValueType, sessions: &S) -> Result<Vec<Bytes>, CommandError> {
    let ask = |key: Bytes| async move { (sessions.execute(key.clone(), Command::Type).await, key) };
    let mut replies = stream::iter(keys).map(ask).buffered(AT_ONCE);
    let mut found = Vec::new();
    while let Some((reply, key)) = replies.next().await {
        match reply {
            Reply::Error(error) => return Err(error),
            reply if reply == Reply::Type(kind) => found.push(key),
            _ => {}
        }
    }
    Ok(found)
}

async fn keys<S: Sessions>(pattern: &[u8], sessions: &S) -> Result<Value, Refusal> {
    let (mut cursor, mut bytes) = (0, 0);
    // While sessions move a scan may list one twice.
    let mut found = HashSet::new();
    loop {
        let page = sessions.scan(cursor, PAGE).await.map_err(|error| Refusal::new(error.to_string()))?;
        for key in matching(page.keys, pattern).await {
            bytes += key.len();
            found.insert(key);
        }
        if found.len() > MOST_KEYS || bytes > MOST_BYTES {
            return Err(Refusal::new(format!("ERR KEYS finds more than {MOST_KEYS} keys or {MOST_BYTES} bytes: use SCAN")));
        }
        cursor = page.cursor;
        if cursor == 0 {
            return Ok(Value::Array(found.into_iter().map(Value::Bulk).collect()));
        }
    }
}

/// One of the next keys from any place on: as keys are listed in the order of their hashes, each is as likely as the gaps around it are wide.
async fn random<S: Sessions>(sessions: &S) -> Result<Value, Refusal> {
    let mut cursor = rand::random();
    let mut is_second = false;
    loop {
        let page = sessions.scan(cursor, RANDOM_PAGE).await.map_err(|error| Refusal::new(error.to_string()))?;
        if let Some(key) = page.keys.into_iter().choose(&mut rand::rng()) {
            return Ok(Value::Bulk(key));
        }
        cursor = page.cursor;
        match (cursor, is_second) {
            (0, true) => return Ok(Value::Null),
            // The end: those before that place are left.
            (0, false) => is_second = true,
            _ => {}
        }
    }
}

async fn size<S: Sessions>(sessions: &S) -> Result<Value, Refusal> {
    let (mut cursor, mut count) = (0, 0);
    loop {
        let page = sessions.scan(cursor, PAGE).await.map_err(|error| Refusal::new(error.to_string()))?;
        count += page.keys.len();
        cursor = page.cursor;
        if cursor == 0 {
            return Ok(Value::Int(count as i64));
        }
    }
}

async fn flushed<S: Sessions>(sessions: &S) -> Result<Value, Refusal> {
    let mut cursor = 0;
    loop {
        let page = sessions.scan(cursor, PAGE).await.map_err(|error| Refusal::new(error.to_string()))?;
        let delete = |key| sessions.execute(key, Command::Delete);
        let mut replies = stream::iter(page.keys).map(delete).buffer_unordered(AT_ONCE);
        while let Some(reply) = replies.next().await {
            if let Reply::Error(error) = reply {
                return Err(Refusal::new(error.to_string()));
            }
        }
        cursor = page.cursor;
        if cursor == 0 {
            return Ok(Value::OK);
        }
    }
}

async fn in_time(name: &str, work: impl Future<Output = Result<Value, Refusal>>) -> Value {
    let late = || Err(Refusal::new(format!("ERR {name} took longer than {} s: use SCAN", LIMIT.as_secs())));
    timeout(LIMIT, work).await.unwrap_or_else(|_| late()).unwrap_or_else(Value::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_redis_reads_it() {
        for (text, number) in [("", 0), ("0", 0), ("007", 7), ("+1", 1), ("-1", u64::MAX), ("18446744073709551615", u64::MAX)] {
            assert_eq!(cursor(text.as_bytes()), Some(number), "{text}");
        }
        for text in ["x", "-", "+", "++1", "1 ", " 1", "18446744073709551616"] {
            assert_eq!(cursor(text.as_bytes()), None, "{text}");
        }
    }
}
