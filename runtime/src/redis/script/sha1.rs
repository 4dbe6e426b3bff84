//! The name of a script: the SHA-1 of its text. It is no secret and protects nothing.

use std::fmt;

use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

/// 160 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Sha1([u8; 20]);

impl Sha1 {
    /// That of `text`.
    pub(crate) fn of(text: &[u8]) -> Sha1 {
        let mut bytes = [0; 20];
        bytes.copy_from_slice(digest(&SHA1_FOR_LEGACY_USE_ONLY, text).as_ref());
        Sha1(bytes)
    }

    /// Reads 40 hexadecimal digits, in upper or lower case.
    pub(crate) fn parse(text: &[u8]) -> Option<Sha1> {
        let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
        let text: &[u8; 40] = text.try_into().ok()?;
        let mut bytes = [0; 20];
        for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Some(Sha1(bytes))
    }
}

impl fmt::Display for Sha1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_in_any_case_and_told_in_lower_case() {
        let name = "a9993e364706816aba3e25717850c26c9cd0d89d";
        assert_eq!(Sha1::of(b"abc").to_string(), name);
        assert_eq!(Sha1::parse(name.to_uppercase().as_bytes()), Some(Sha1::of(b"abc")));
        for wrong in ["", "a9993e", &name.replace('a', "g"), &format!("{name}0")] {
            assert_eq!(Sha1::parse(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
