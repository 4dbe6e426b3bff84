//! Amounts of memory as people write them in a resource: a whole number of bytes, or one with a unit Ki, Mi or Gi.

use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What the API server takes when the amount is text; a plain number passes as it is.
const PATTERN: &str = "^[0-9]{1,12}(Ki|Mi|Gi)?$";

/// Units from the largest to the smallest, in bytes.
const UNITS: [(&str, u64); 3] = [("Gi", 1 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10)];

/// An amount of memory in bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(u64);

/// Why a text is not an amount of memory.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{text:?} is not an amount of memory: expected a whole number of bytes, or one with a unit Ki, Mi or Gi, such as 64Ki or 1Mi")]
pub struct ParseByteSizeError {
    text: String,
}

impl ByteSize {
    /// An amount of this many bytes.
    pub const fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// The amount in bytes.
    pub const fn as_bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for ByteSize {
    type Err = ParseByteSizeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unit = UNITS.iter().find_map(|(unit, factor)| text.strip_suffix(unit).map(|number| (number, *factor)));
        let (number, factor) = unit.unwrap_or((text, 1));
        let plain = !number.is_empty() && number.len() <= 12 && number.bytes().all(|b| b.is_ascii_digit());
        plain
            .then(|| number.parse::<u64>().ok())
            .flatten()
            .and_then(|number| number.checked_mul(factor))
            .map(Self)
            .ok_or_else(|| ParseByteSizeError { text: text.to_owned() })
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match UNITS.iter().find(|(_, factor)| self.0 >= *factor && self.0.is_multiple_of(*factor)) {
            Some((unit, factor)) => write!(f, "{}{unit}", self.0 / factor),
            None => write!(f, "{}", self.0),
        }
    }
}

impl fmt::Debug for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "expected an amount of memory: a whole number of bytes, or text such as 64Ki or 1Mi")]
        enum Written {
            Number(u64),
            Text(String),
        }
        match Written::deserialize(deserializer)? {
            Written::Number(bytes) => Ok(Self(bytes)),
            Written::Text(text) => text.parse().map_err(serde::de::Error::custom),
        }
    }
}

impl JsonSchema for ByteSize {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "ByteSize".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"x-kubernetes-int-or-string": true, "nullable": false, "pattern": PATTERN, "maxLength": 14})
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_and_texts_mean_the_same() {
        for written in [serde_json::json!(1_048_576), serde_json::json!("1048576"), serde_json::json!("1024Ki"), serde_json::json!("1Mi")] {
            let size: ByteSize = serde_json::from_value(written.clone()).expect("an amount");
            assert_eq!(size, ByteSize::from_bytes(1 << 20), "{written}");
        }
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for text in ["", "Mi", "-1", "1.5Mi", "1M", "1 Mi", "1Ti", "9999999999999", "é"] {
            let error = text.parse::<ByteSize>().expect_err(text);
            assert!(error.to_string().starts_with(&format!("{text:?} is not an amount of memory")), "{error}");
        }
        assert!(serde_json::from_value::<ByteSize>(serde_json::json!(-1)).is_err());
    }

    #[test]
    fn the_largest_amount_of_the_pattern_does_not_overflow_unnoticed() {
        assert!("999999999999Gi".parse::<ByteSize>().is_err());
    }

    proptest! {
        #[test]
        fn what_is_shown_parses_to_the_same(number in 0u64..1_000_000, shift in 0u32..31) {
            let size = ByteSize::from_bytes(number << shift);
            let shown = size.to_string();
            prop_assume!(shown.len() <= 12);
            prop_assert_eq!(shown.parse(), Ok(size));
        }
    }
}
