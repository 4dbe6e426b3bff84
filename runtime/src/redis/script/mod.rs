//! Scripts: those of well-known libraries are run natively, as one step at the owner of their key (`known`); all others as Lua (`lua`) on copies of what they
//! read (`copies`), and what they write is one step, if the key has not changed meanwhile (`call`). `registry` has the scripts that clients have sent.

mod call;
mod copies;
mod known;
mod lua;
mod registry;
mod sha1;
mod words;
mod workers;

pub(crate) use call::{Arguments, Call, compile};
pub(crate) use known::Known;
pub(crate) use registry::Registry;
pub(crate) use sha1::Sha1;
pub(crate) use workers::Workers;

/// The longest script, in bytes.
pub(crate) const MOST_TEXT: usize = 64 << 10;

/// A whole number of Lua's, towards zero. What is too large becomes the lowest one, as in C where Redis runs.
fn integer(number: f64) -> i64 {
    // The first number beyond, which a double can hold, where the last one within cannot be.
    const TOO_LARGE: f64 = 9_223_372_036_854_775_808.0;
    if number >= TOO_LARGE { i64::MIN } else { number as i64 }
}
