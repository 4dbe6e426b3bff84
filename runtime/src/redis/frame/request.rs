//! Requests, read from however many pieces they arrive in. What is read does not depend on where the pieces end, nothing is allocated by what a
//! length promises but only by what has arrived, and a request that is too large is read past, so that its connection goes on.

use bytes::{Buf, Bytes, BytesMut};
use thiserror::Error;

use super::{inline, parse_integer};

/// The longest line: a request typed by a person, or a length. As in Redis.
const MAX_LINE: usize = 64 << 10;

/// The most arguments of one request.
const MAX_ARGUMENTS: i64 = 1 << 20;

/// The largest argument that is read past, Redis' `proto-max-bulk-len`; and the largest request.
const MAX_DISCARDED: u64 = 512 << 20;

/// The most arguments, and the longest one, of a client that has not said who it is. As in Redis.
const STRANGER_ARGUMENTS: i64 = 10;
const STRANGER_LENGTH: u64 = 16 << 10;

/// Room in a request beside the largest value: for keys, options, names of fields and the lengths between them.
const ROOM: u64 = 1 << 20;

/// How large a request may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// All bytes of a request; a larger one is read past.
    request: u64,
}

impl Limits {
    /// For values of up to `max_bytes`.
    pub(crate) fn new(max_bytes: u64) -> Limits {
        Limits { request: max_bytes.saturating_add(ROOM).min(MAX_DISCARDED) }
    }
}

/// Bytes that are not the protocol. The connection cannot go on: nobody knows where the next request begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum ProtocolError {
    /// A line without an end, instead of the number of arguments.
    #[error("too big mbulk count string")]
    EndlessCount,
    /// A line without an end, instead of the length of an argument.
    #[error("too big bulk count string")]
    EndlessLength,
    /// A typed request without an end.
    #[error("too big inline request")]
    EndlessInline,
    /// Not a number of arguments, or more than are ever served.
    #[error("invalid multibulk length")]
    Count,
    /// More arguments than a stranger may send.
    #[error("unauthenticated multibulk length")]
    StrangerCount,
    /// A longer argument than a stranger may send.
    #[error("unauthenticated bulk length")]
    StrangerLength,
    /// Not a length, or longer than is ever read.
    #[error("invalid bulk length")]
    Length,
    /// Something else where an argument begins.
    #[error("expected '$', got '{}'", char::from(*.0))]
    NoArgument(u8),
    /// A length, or an argument, that is longer than said.
    #[error("expected the end of a line after a length or an argument")]
    NoLineEnd,
    /// Too large even to be read past.
    #[error("request of more than 536870912 bytes")]
    TooLarge,
    /// A quote that is not closed.
    #[error("unbalanced quotes in request")]
    Quotes,
}

/// What the parser found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Incoming<'a> {
    /// A request, with at least one argument.
    Request(Request<'a>),
    /// A request that was read past because of this many bytes: those of the argument that was too much, or if no single one was, of all up to it.
    TooLarge {
        /// How many bytes.
        size: u64,
        /// Whether they are one argument.
        one: bool,
    },
}

/// A request. It borrows the buffer that it was read into: whoever keeps an argument copies it, or a small key would keep the whole buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Request<'a> {
    bytes: &'a [u8],
    arguments: &'a [(u32, u32)],
}

impl<'a> Request<'a> {
    /// A request of these arguments: each from one place in `bytes` to another.
    pub(crate) fn new(bytes: &'a [u8], arguments: &'a [(u32, u32)]) -> Request<'a> {
        Request { bytes, arguments }
    }

    /// The number of arguments, the name of the command included.
    pub(crate) fn len(&self) -> usize {
        self.arguments.len()
    }

    /// The number of bytes that it took.
    pub(crate) fn size(&self) -> usize {
        self.bytes.len()
    }

    /// The argument `index`, empty beyond the last.
    pub(crate) fn get(&self, index: usize) -> &'a [u8] {
        self.arguments.get(index).map_or(&[], |(start, end)| &self.bytes[*start as usize..*end as usize])
    }

    /// The argument `index` to keep.
    pub(crate) fn bytes(&self, index: usize) -> Bytes {
        Bytes::copy_from_slice(self.get(index))
    }
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Before a request.
    Start,
    /// Before the length of an argument.
    Length { left: u32 },
    /// Before the bytes of an argument.
    Body { left: u32, length: u64 },
    /// Before the line end after an argument.
    Tail { left: u32 },
}

/// Reads requests. After an error it is of no use any more.
#[derive(Debug)]
pub(crate) struct Parser {
    limits: Limits,
    /// The client has not said who it is.
    is_stranger: bool,
    state: State,
    /// How far the buffer has been read.
    at: usize,
    /// How far it has been searched for a line end: a line that arrives byte by byte is searched once, not once a byte.
    searched: usize,
    /// Bytes at the front of the buffer that belong to the request handed out last.
    taken: usize,
    /// Where the arguments are, in the buffer, or in `line`.
    arguments: Vec<(u32, u32)>,
    /// The words of a typed request, without quotes.
    line: Vec<u8>,
    /// Set while a request is read past: bytes so far, and what to say about it.
    discarded: Option<(u64, Incoming<'static>)>,
}

impl Parser {
    /// A parser at the begin of a connection.
    pub(crate) fn new(limits: Limits) -> Parser {
        Parser {
            limits,
            is_stranger: false,
            state: State::Start,
            at: 0,
            searched: 0,
            taken: 0,
            arguments: Vec::new(),
            line: Vec::new(),
            discarded: None,
        }
    }

    /// Whether the client has to say first who it is: then it may send what that takes, and little else.
    pub(crate) fn set_stranger(&mut self, is_stranger: bool) {
        self.is_stranger = is_stranger;
    }

    /// The next request in `buffer`; `None` if more bytes are needed, to be appended to it. Nobody else may take bytes from `buffer`: it still holds
    /// the request handed out last.
    pub(crate) fn next<'a>(&'a mut self, buffer: &'a mut BytesMut) -> Result<Option<Incoming<'a>>, ProtocolError> {
        self.forget(buffer);
        loop {
            let complete = match self.state {
                State::Start => match buffer.first() {
                    None => return Ok(None),
                    Some(b'*') => self.count(buffer)?,
                    Some(_) => match self.inline(buffer)? {
                        Some(true) => return Ok(Some(Incoming::Request(Request { bytes: &self.line, arguments: &self.arguments }))),
                        Some(false) => Some(false),
                        None => None,
                    },
                },
                State::Length { left } => self.length(buffer, left)?,
                State::Body { left, length } => self.body(buffer, left, length)?,
                State::Tail { left } => self.tail(buffer, left)?,
            };
            match complete {
                None => return Ok(None),
                Some(false) => {}
                Some(true) => {
                    self.taken = std::mem::take(&mut self.at);
                    self.searched = 0;
                    self.state = State::Start;
                    return Ok(Some(match self.discarded.take() {
                        Some((_, incoming)) => incoming,
                        None => Incoming::Request(Request { bytes: &buffer[..self.taken], arguments: &self.arguments }),
                    }));
                }
            }
        }
    }

    /// How many bytes to make room for. What a length promises counts only once a part of it is there, so that memory follows what arrives.
    pub(crate) fn wanted(&self, buffer: &BytesMut) -> usize {
        const CHUNK: usize = 16 << 10;
        let here = (buffer.len() - self.at) as u64;
        match self.state {
            State::Body { length, .. } if self.discarded.is_none() && here >= CHUNK as u64 => length.saturating_sub(here) as usize + 2,
            _ => CHUNK,
        }
    }

    /// Takes the request handed out last off the buffer.
    fn forget(&mut self, buffer: &mut BytesMut) {
        const KEPT: usize = 1 << 10;
        buffer.advance(std::mem::take(&mut self.taken));
        if matches!(self.state, State::Start) {
            self.arguments.clear();
            self.arguments.shrink_to(KEPT);
            self.line.clear();
            self.line.shrink_to(KEPT);
        }
    }

    /// `*3\r\n`. All of these return `None` if bytes are missing, and whether a request is complete.
    fn count(&mut self, buffer: &mut BytesMut) -> Result<Option<bool>, ProtocolError> {
        let Some(count) = self.number(buffer, ProtocolError::EndlessCount)? else { return Ok(None) };
        let count = count.filter(|count| *count <= MAX_ARGUMENTS).ok_or(ProtocolError::Count)?;
        if self.is_stranger && count > STRANGER_ARGUMENTS {
            return Err(ProtocolError::StrangerCount);
        }
        match u32::try_from(count) {
            Ok(left) if left > 0 => self.state = State::Length { left },
            // As in Redis: a request of nothing is no request, and not answered.
            _ => self.drop_read(buffer),
        }
        Ok(Some(false))
    }

    /// `$5\r\n`.
    fn length(&mut self, buffer: &mut BytesMut, left: u32) -> Result<Option<bool>, ProtocolError> {
        match buffer.get(self.at) {
            None => return Ok(None),
            Some(b'$') => {}
            Some(other) => return Err(ProtocolError::NoArgument(*other)),
        }
        let Some(length) = self.number(buffer, ProtocolError::EndlessLength)? else { return Ok(None) };
        let length = length.and_then(|length| u64::try_from(length).ok());
        let length = length.filter(|length| *length <= MAX_DISCARDED).ok_or(ProtocolError::Length)?;
        if self.is_stranger && length > STRANGER_LENGTH {
            return Err(ProtocolError::StrangerLength);
        }
        self.state = State::Body { left, length };
        let request = self.at as u64 + length + 2;
        if self.discarded.is_none() && request > self.limits.request {
            let one = length > self.limits.request - ROOM.min(self.limits.request);
            self.discarded = Some((0, Incoming::TooLarge { size: if one { length } else { request }, one }));
        }
        self.discard(buffer)?;
        Ok(Some(false))
    }

    fn body(&mut self, buffer: &mut BytesMut, left: u32, length: u64) -> Result<Option<bool>, ProtocolError> {
        let here = (buffer.len() - self.at) as u64;
        if self.discarded.is_some() {
            let read = here.min(length);
            self.at += read as usize;
            self.discard(buffer)?;
            self.state = if read == length { State::Tail { left } } else { State::Body { left, length: length - read } };
            return Ok((read == length).then_some(false));
        }
        if here < length {
            return Ok(None);
        }
        // Within the limit of a request, which is far below 4 GiB.
        let end = self.at + length as usize;
        self.arguments.push((self.at as u32, end as u32));
        self.at = end;
        self.state = State::Tail { left };
        Ok(Some(false))
    }

    fn tail(&mut self, buffer: &mut BytesMut, left: u32) -> Result<Option<bool>, ProtocolError> {
        match &buffer[self.at..] {
            [] | [b'\r'] => return Ok(None),
            [b'\r', b'\n', ..] => self.at += 2,
            // Redis does not look at these two bytes. A client that counts wrongly would have its data run as commands.
            _ => return Err(ProtocolError::NoLineEnd),
        }
        self.searched = self.at;
        self.discard(buffer)?;
        if left > 1 {
            self.state = State::Length { left: left - 1 };
        }
        Ok(Some(left == 1))
    }

    /// A typed line: whether there is a word on it.
    fn inline(&mut self, buffer: &mut BytesMut) -> Result<Option<bool>, ProtocolError> {
        let Some(newline) = self.newline(buffer, ProtocolError::EndlessInline)? else { return Ok(None) };
        let line = &buffer[..newline];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        inline::split(line, &mut self.line, &mut self.arguments).ok_or(ProtocolError::Quotes)?;
        self.drop_read(buffer);
        Ok(Some(!self.arguments.is_empty()))
    }

    /// The number after the mark at the begin of a line, if it is one; moves behind the line.
    fn number(&mut self, buffer: &BytesMut, endless: ProtocolError) -> Result<Option<Option<i64>>, ProtocolError> {
        let start = self.at + 1;
        // Nearly all lines: a short number that is there as a whole.
        if let Some((number, length)) = short_number(&buffer[start..]) {
            self.at = start + length;
            self.searched = self.at;
            return Ok(Some(Some(number)));
        }
        Ok(self.line_end(buffer, endless)?.map(|end| parse_integer(&buffer[start..end])))
    }

    /// Finds the line end and moves behind it; returns where the line's content ends.
    fn line_end(&mut self, buffer: &BytesMut, endless: ProtocolError) -> Result<Option<usize>, ProtocolError> {
        let Some(newline) = self.newline(buffer, endless)? else { return Ok(None) };
        match newline.checked_sub(1).map(|end| (end, buffer[end])) {
            Some((end, b'\r')) => Ok(Some(end)),
            _ => Err(ProtocolError::NoLineEnd),
        }
    }

    fn newline(&mut self, buffer: &BytesMut, endless: ProtocolError) -> Result<Option<usize>, ProtocolError> {
        let from = self.searched.max(self.at);
        let found = buffer[from..].iter().position(|byte| *byte == b'\n').map(|offset| from + offset);
        if found.unwrap_or(buffer.len()) - self.at > MAX_LINE {
            return Err(endless);
        }
        self.searched = found.map_or(buffer.len(), |newline| newline + 1);
        if let Some(newline) = found {
            self.at = newline + 1;
        }
        Ok(found)
    }

    /// While a request is read past, drops what has been read of it.
    fn discard(&mut self, buffer: &mut BytesMut) -> Result<(), ProtocolError> {
        if let Some((discarded, _)) = &mut self.discarded {
            *discarded += self.at as u64;
            if *discarded > MAX_DISCARDED + ROOM {
                return Err(ProtocolError::TooLarge);
            }
            self.drop_read(buffer);
            self.arguments.clear();
        }
        Ok(())
    }

    fn drop_read(&mut self, buffer: &mut BytesMut) {
        buffer.advance(std::mem::take(&mut self.at));
        self.searched = 0;
    }
}

/// A number of up to seven digits with a line end behind it, and how many bytes that is; `None` for whatever needs a closer look.
fn short_number(line: &[u8]) -> Option<(i64, usize)> {
    let mut number = 0;
    for (length, byte) in line.iter().enumerate().take(8) {
        match byte {
            b'0'..=b'9' => number = number * 10 + i64::from(byte - b'0'),
            b'\r' if length > 0 && (line[0] != b'0' || length == 1) && line.get(length + 1) == Some(&b'\n') => {
                return Some((number, length + 2));
            }
            _ => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests;
