//! How frames look in bytes. A frame is encoded by postcard and travels in segments of at most [`SEGMENT`] bytes, each with a length and a checksum
//! of its own, so that a sign of life can go between two segments of a long frame, and a damaged or strange stream is noticed by its first bytes.
//!
//! A segment is a word, a checksum and a payload. The word holds flags in its top byte and the length of the payload in the rest; the checksum is
//! the CRC-32 of the word and the payload; both are big-endian `u32`. A payload that is packed begins with the length of what it holds.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use lz4_flex::block;
use postcard::ser_flavors::Flavor;

use super::Frame;

/// The largest encoded frame, in bytes: one value of the largest `sessions.maxBytes` and its key.
pub const MAX_FRAME: usize = 64 << 20;

/// The largest payload of a segment, in bytes.
pub const SEGMENT: usize = 64 << 10;

/// The bytes of a segment before its payload.
pub const HEADER: usize = 8;

/// Frames below this are not compressed: there is nothing to be gained.
const PACK_FROM: usize = 1 << 10;

/// No LZ4 block becomes longer than this many times its length, and so much more.
const UNPACKED_LIMIT: (usize, usize) = (255, 64);

/// Buffers that have grown beyond this are given back.
const SCRATCH: usize = 1 << 20;

/// What frames are encoded into, many after the other.
const CHUNK: usize = 8 << 10;

/// The first segment of a frame.
const BEGIN: u8 = 1;
/// The last one.
const END: u8 = 2;
/// The frame is an LZ4 block after its length.
const PACKED: u8 = 4;
/// Whole, and may come between two segments of another frame.
const URGENT: u8 = 8;

/// Why bytes were not a frame.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Longer than allowed, or empty.
    #[error("refused {length} bytes in one piece, allowed are 1 to {limit}")]
    Length {
        /// The length announced.
        length: usize,
        /// What would be right.
        limit: usize,
    },
    /// Flags that nobody sends, or a segment that does not follow from the one before.
    #[error("refused a segment with flags {flags:#04x} {place}")]
    Flags {
        /// The flags.
        flags: u8,
        /// Where.
        place: &'static str,
    },
    /// The checksum differs.
    #[error("refused a segment whose checksum is {actual:08x}, announced was {announced:08x}")]
    Checksum {
        /// What was announced.
        announced: u32,
        /// What was computed.
        actual: u32,
    },
    /// What is packed is not what was announced.
    #[error("refused a packed frame: {0}")]
    Packed(&'static str),
    /// Not an encoded frame.
    #[error("failed to decode a frame")]
    Malformed(#[from] postcard::Error),
    /// A frame, and then some.
    #[error("refused a frame with {0} bytes too many")]
    Trailing(usize),
}

/// The first word of a segment.
#[derive(Clone, Copy)]
struct Word(u32);

impl Word {
    fn new(flags: u8, length: usize) -> Word {
        Word(u32::from(flags) << 24 | length as u32)
    }

    fn at(bytes: &[u8]) -> Option<Word> {
        bytes.first_chunk::<4>().map(|word| Word(u32::from_be_bytes(*word)))
    }

    fn flags(self) -> u8 {
        (self.0 >> 24) as u8
    }

    fn length(self) -> usize {
        (self.0 & 0x00ff_ffff) as usize
    }

    fn has(self, flag: u8) -> bool {
        self.flags() & flag != 0
    }

    fn checksum(self, payload: &[u8]) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&self.0.to_be_bytes());
        hasher.update(payload);
        hasher.finalize()
    }
}

/// Whether an encoded frame may overtake others: signs of life may.
pub fn is_urgent(encoded: &[u8]) -> bool {
    Word::at(encoded).is_some_and(|word| word.has(URGENT))
}

/// The length of the first segment of an encoded frame, its header included; the rest follows it.
pub fn first_segment(encoded: &[u8]) -> usize {
    Word::at(encoded).map_or(encoded.len(), |word| (HEADER + word.length()).min(encoded.len()))
}

/// Whether these may be the first bytes of somebody who introduces himself: one plain segment of at most `limit` bytes.
///
/// # Errors
/// When they are not.
pub fn check_greeting(bytes: &[u8], limit: usize) -> Result<(), WireError> {
    let Some(word) = Word::at(bytes) else { return Ok(()) };
    if word.flags() != BEGIN | END {
        return Err(WireError::Flags { flags: word.flags(), place: "before a greeting" });
    }
    check_length(word.length(), limit)
}

fn check_length(length: usize, limit: usize) -> Result<(), WireError> {
    if length == 0 || length > limit { Err(WireError::Length { length, limit }) } else { Ok(()) }
}

/// The bytes of `frame`, as every peer can read them.
pub fn encode(frame: &Frame) -> Bytes {
    Encoder::default().encode(frame, false)
}

/// Encodes frames into buffers that it uses again and again.
#[derive(Debug, Default)]
pub struct Encoder {
    buffer: BytesMut,
    plain: Vec<u8>,
    packed: Vec<u8>,
}

impl Encoder {
    /// The bytes of `frame`; packed if that is allowed and makes it shorter.
    pub fn encode(&mut self, frame: &Frame, may_pack: bool) -> Bytes {
        if self.buffer.capacity() < CHUNK / 16 {
            self.buffer = BytesMut::with_capacity(CHUNK);
        }
        if may_pack && !frame.is_urgent() && self.pack(frame) {
            let mut segments = Segments::new(&mut self.buffer, PACKED);
            segments.put(&self.packed);
            segments.finish();
        } else {
            let segments = Segments::new(&mut self.buffer, if frame.is_urgent() { URGENT } else { 0 });
            postcard::serialize_with_flavor(frame, segments).expect("frames contain nothing that postcard cannot encode");
        }
        for scratch in [&mut self.plain, &mut self.packed] {
            if scratch.capacity() > SCRATCH {
                *scratch = Vec::new();
            }
        }
        let bytes = self.buffer.split().freeze();
        if bytes.len() > CHUNK {
            // What is left of a buffer that grew would keep all of it.
            self.buffer = BytesMut::new();
        }
        bytes
    }

    /// Packs `frame` into `self.packed`; false if it is not shorter so.
    fn pack(&mut self, frame: &Frame) -> bool {
        self.plain.clear();
        let plain = postcard::to_extend(frame, std::mem::take(&mut self.plain));
        self.plain = plain.expect("frames contain nothing that postcard cannot encode");
        if self.plain.len() < PACK_FROM {
            return false;
        }
        self.packed.resize(4 + block::get_maximum_output_size(self.plain.len()), 0);
        self.packed[..4].copy_from_slice(&(self.plain.len() as u32).to_be_bytes());
        let length = block::compress_into(&self.plain, &mut self.packed[4..]).expect("the buffer is as long as it can become");
        self.packed.truncate(4 + length);
        self.packed.len() < self.plain.len()
    }
}

/// Writes a frame segment by segment: each has its header in front while the next one is being filled.
struct Segments<'a> {
    out: &'a mut BytesMut,
    flags: u8,
    /// Where the segment that is being filled begins.
    start: usize,
}

impl<'a> Segments<'a> {
    fn new(out: &'a mut BytesMut, flags: u8) -> Segments<'a> {
        let start = out.len();
        out.put_bytes(0, HEADER);
        Segments { out, flags: flags | BEGIN, start }
    }

    fn room(&self) -> usize {
        SEGMENT - (self.out.len() - self.start - HEADER)
    }

    fn seal(&mut self, last: u8) {
        let (header, payload) = self.out[self.start..].split_at_mut(HEADER);
        let word = Word::new(self.flags | last, payload.len());
        header[..4].copy_from_slice(&word.0.to_be_bytes());
        header[4..].copy_from_slice(&word.checksum(payload).to_be_bytes());
    }

    fn next(&mut self) {
        self.seal(0);
        self.flags &= !BEGIN;
        self.start = self.out.len();
        self.out.put_bytes(0, HEADER);
    }

    fn put(&mut self, mut data: &[u8]) {
        self.out.reserve(data.len() + HEADER * (data.len() / SEGMENT + 1));
        while !data.is_empty() {
            if self.room() == 0 {
                self.next();
            }
            let (now, later) = data.split_at(data.len().min(self.room()));
            self.out.put_slice(now);
            data = later;
        }
    }

    fn finish(mut self) {
        self.seal(END);
    }
}

impl Flavor for Segments<'_> {
    type Output = ();

    fn try_extend(&mut self, data: &[u8]) -> postcard::Result<()> {
        self.put(data);
        Ok(())
    }

    fn try_push(&mut self, data: u8) -> postcard::Result<()> {
        if self.room() == 0 {
            self.next();
        }
        self.out.put_u8(data);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        self.finish();
        Ok(())
    }
}

/// Puts the segments of one connection together. It keeps at most one frame that is not whole, of at most [`MAX_FRAME`] bytes.
#[derive(Debug, Default)]
pub struct Decoder {
    partial: Option<Partial>,
}

#[derive(Debug)]
struct Partial {
    bytes: BytesMut,
    is_packed: bool,
}

impl Decoder {
    /// Takes segments off the front of `bytes` until there is a frame; `None` if it is not all there yet.
    ///
    /// # Errors
    /// When what came is no frame. After that the stream is of no more use.
    pub fn decode(&mut self, bytes: &mut BytesMut) -> Result<Option<Frame>, WireError> {
        while let Some(word) = Word::at(bytes) {
            self.check(word)?;
            if bytes.len() < HEADER + word.length() {
                return Ok(None);
            }
            bytes.advance(4);
            let announced = bytes.get_u32();
            let payload = bytes.split_to(word.length());
            let actual = word.checksum(&payload);
            if actual != announced {
                return Err(WireError::Checksum { announced, actual });
            }
            if let Some(frame) = self.take(word, payload)? {
                return Ok(Some(frame));
            }
        }
        Ok(None)
    }

    /// Checks what can be known before the payload is there.
    fn check(&self, word: Word) -> Result<(), WireError> {
        let wrong = |place| Err(WireError::Flags { flags: word.flags(), place });
        if word.flags() & !(BEGIN | END | PACKED | URGENT) != 0 {
            return wrong("that do not exist");
        }
        if word.has(URGENT) && word.flags() != URGENT | BEGIN | END {
            return wrong("that is not whole");
        }
        if self.partial.is_none() && !word.has(BEGIN) {
            return wrong("without a beginning");
        }
        let kept = match &self.partial {
            Some(partial) if !word.has(URGENT) => {
                if word.has(BEGIN) || word.has(PACKED) != partial.is_packed {
                    return wrong("within another frame");
                }
                partial.bytes.len()
            }
            _ => 0,
        };
        check_length(word.length(), SEGMENT)?;
        if kept + word.length() > MAX_FRAME {
            return Err(WireError::Length { length: kept + word.length(), limit: MAX_FRAME });
        }
        Ok(())
    }

    fn take(&mut self, word: Word, payload: BytesMut) -> Result<Option<Frame>, WireError> {
        let is_whole = word.has(BEGIN) && word.has(END);
        if is_whole {
            return frame(&payload, word).map(Some);
        }
        if word.has(BEGIN) {
            // A copy: the payload would keep the buffer that was read into.
            self.partial = Some(Partial { bytes: BytesMut::from(&payload[..]), is_packed: word.has(PACKED) });
            return Ok(None);
        }
        let Some(partial) = &mut self.partial else { return Ok(None) };
        partial.bytes.extend_from_slice(&payload);
        if !word.has(END) {
            return Ok(None);
        }
        let whole = self.partial.take().map(|partial| frame(&partial.bytes, word)).transpose()?;
        Ok(whole)
    }
}

fn frame(payload: &[u8], word: Word) -> Result<Frame, WireError> {
    let frame = if word.has(PACKED) { plain(&unpack(payload)?)? } else { plain(payload)? };
    if word.has(URGENT) != frame.is_urgent() {
        return Err(WireError::Flags { flags: word.flags(), place: "around a frame of another kind" });
    }
    Ok(frame)
}

fn plain(payload: &[u8]) -> Result<Frame, WireError> {
    let (frame, rest) = postcard::take_from_bytes(payload)?;
    if rest.is_empty() { Ok(frame) } else { Err(WireError::Trailing(rest.len())) }
}

/// What was packed. Nothing is set aside for more than it can become.
fn unpack(payload: &[u8]) -> Result<Vec<u8>, WireError> {
    let (length, block) = payload.split_first_chunk::<4>().ok_or(WireError::Packed("it is too short"))?;
    let length = u32::from_be_bytes(*length) as usize;
    check_length(length, MAX_FRAME)?;
    if length > block.len() * UNPACKED_LIMIT.0 + UNPACKED_LIMIT.1 {
        return Err(WireError::Packed("it cannot become as long as announced"));
    }
    let mut bytes = vec![0; length];
    match block::decompress_into(block, &mut bytes) {
        Ok(actual) if actual == length => Ok(bytes),
        Ok(_) => Err(WireError::Packed("it is shorter than announced")),
        Err(_) => Err(WireError::Packed("it is no LZ4 block of the length announced")),
    }
}

#[cfg(test)]
mod tests;
