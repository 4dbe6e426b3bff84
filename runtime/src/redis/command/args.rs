//! The arguments of a request, and the ways in which they are refused.

use std::borrow::Cow;

use bytes::Bytes;

use super::table::Spec;
use crate::redis::MAX_KEY;
use crate::redis::frame::{Request, Value, parse_integer};
use crate::redis::moment::Moment;

/// The longest pattern, in bytes.
const MAX_PATTERN: usize = 1 << 10;

/// The arguments of a request whose command is known.
pub(super) struct Args<'a> {
    request: &'a Request<'a>,
    /// The command's full name, as errors tell it.
    pub(super) name: &'static str,
    came: &'a Moment,
}

impl<'a> Args<'a> {
    pub(super) fn new(request: &'a Request<'a>, name: &'static str, came: &'a Moment) -> Self {
        Args { request, name, came }
    }

    /// When the request came, in milliseconds since 1970.
    pub(super) fn now(&self) -> i64 {
        self.came.since_1970()
    }

    /// The number of arguments, the name of the command included.
    pub(super) fn len(&self) -> usize {
        self.request.len()
    }

    pub(super) fn get(&self, index: usize) -> &'a [u8] {
        self.request.get(index)
    }

    pub(super) fn bytes(&self, index: usize) -> Bytes {
        self.request.bytes(index)
    }

    /// The key at `index`. Its length is limited, so that a page of a scan is.
    pub(super) fn key(&self, index: usize) -> Result<Bytes, Refusal> {
        self.at_most(index, "key", MAX_KEY)
    }

    /// The pattern at `index`. Its length is limited, so that the time to search with it is.
    pub(super) fn pattern(&self, index: usize) -> Result<Bytes, Refusal> {
        self.at_most(index, "pattern", MAX_PATTERN)
    }

    /// The argument at `index`, if it is not longer than `limit`.
    pub(super) fn at_most(&self, index: usize, what: &str, limit: usize) -> Result<Bytes, Refusal> {
        let length = self.get(index).len();
        if length > limit {
            return Err(Refusal::new(format!("ERR {what} of {length} bytes is larger than {limit}")));
        }
        Ok(self.bytes(index))
    }

    /// All arguments from `index` on as keys.
    pub(super) fn keys(&self, index: usize) -> Result<Vec<Bytes>, Refusal> {
        (index..self.len()).map(|index| self.key(index)).collect()
    }

    /// Whether the argument is this word, in upper or lower case.
    pub(super) fn is(&self, index: usize, word: &str) -> bool {
        self.get(index).eq_ignore_ascii_case(word.as_bytes())
    }

    pub(super) fn integer(&self, index: usize) -> Result<i64, Refusal> {
        parse_integer(self.get(index)).ok_or(Refusal::NOT_AN_INTEGER)
    }
}

/// Why a request is not carried out: the text of the error.
#[derive(Debug)]
pub(crate) struct Refusal(Cow<'static, [u8]>);

impl Refusal {
    pub(super) const SYNTAX: Refusal = Refusal::fixed("ERR syntax error");
    pub(super) const NOT_AN_INTEGER: Refusal = Refusal::fixed("ERR value is not an integer or out of range");

    /// What cannot be one step, as its keys have several owners, or another one.
    pub(super) const ACROSS_OWNERS: Refusal = Refusal::fixed(
        "CROSSSLOT a transaction that depends on WATCH is one step: on one key, or on keys that are all owned by the member that is asked",
    );

    pub(super) const fn fixed(text: &'static str) -> Refusal {
        Refusal(Cow::Borrowed(text.as_bytes()))
    }

    pub(super) fn new(text: impl Into<Vec<u8>>) -> Refusal {
        Refusal(Cow::Owned(text.into()))
    }

    /// A text around what the client sent.
    pub(super) fn quoting(before: &str, sent: &[u8], after: &str) -> Refusal {
        Refusal::new([before.as_bytes(), c_string(sent), after.as_bytes()].concat())
    }

    pub(super) fn arity(name: &str) -> Refusal {
        Refusal::new(format!("ERR wrong number of arguments for '{name}' command"))
    }

    pub(super) fn expire_time(name: &str) -> Refusal {
        Refusal::new(format!("ERR invalid expire time in '{name}' command"))
    }

    pub(super) fn unknown_command(request: &Request<'_>) -> Refusal {
        let mut text = Vec::from("ERR unknown command '");
        text.extend_from_slice(first(c_string(request.get(0)), 128));
        text.extend_from_slice(b"', with args beginning with: ");
        let begin = text.len();
        for index in 1..request.len() {
            let Some(room) = 128_usize.checked_sub(text.len() - begin).filter(|room| *room > 0) else { break };
            text.push(b'\'');
            text.extend_from_slice(first(c_string(request.get(index)), room));
            text.extend_from_slice(b"' ");
        }
        Refusal::new(text)
    }

    pub(super) fn unknown_subcommand(command: &Spec, request: &Request<'_>) -> Refusal {
        let help = format!("'. Try {} HELP.", command.name.to_ascii_uppercase());
        Refusal::quoting("ERR unknown subcommand '", first(request.get(1), 128), &help)
    }
}

impl From<Refusal> for Value {
    fn from(Refusal(text): Refusal) -> Value {
        Value::Error(match text {
            Cow::Borrowed(text) => Bytes::from_static(text),
            Cow::Owned(text) => text.into(),
        })
    }
}

/// Redis puts arguments into its errors as C strings: up to the first NUL.
fn c_string(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

fn first(bytes: &[u8], most: usize) -> &[u8] {
    &bytes[..bytes.len().min(most)]
}
