//! Durations as people write them in a resource: GEP-2257's format (`5s`, `250ms`, `1m30s`), milliseconds the smallest unit.
//!
//! kube has a Duration of its own, but its schema carries no pattern, so that the API server would take any text.

use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// GEP-2257's pattern, as it goes into the resource definitions.
const PATTERN: &str = "^([0-9]{1,5}(h|m|s|ms)){1,4}$";

/// Units from the largest to the smallest, in milliseconds.
const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// A span of time in GEP-2257's format, whole milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration(std::time::Duration);

/// Why a text is not a duration.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "{text:?} is not a duration: expected up to four numbers of at most five digits, each with a unit h, m, s or ms, such as 250ms or 1m30s"
)]
pub struct ParseDurationError {
    text: String,
}

impl Duration {
    /// A duration of whole milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self(std::time::Duration::from_millis(millis))
    }

    /// A duration of whole seconds.
    pub const fn from_secs(secs: u64) -> Self {
        Self(std::time::Duration::from_secs(secs))
    }

    /// The same as the standard library's type.
    pub const fn as_std(self) -> std::time::Duration {
        self.0
    }

    fn millis(self) -> u64 {
        u64::try_from(self.0.as_millis()).expect("made of at most four numbers of five digits, in hours")
    }
}

impl FromStr for Duration {
    type Err = ParseDurationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseDurationError { text: text.to_owned() };
        let mut rest = text;
        let mut millis = 0;
        for part in 0.. {
            if rest.is_empty() && part > 0 {
                break;
            }
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            if part == 4 || !(1..=5).contains(&digits) {
                return Err(error());
            }
            let (number, tail) = rest.split_at(digits);
            let unit_length = tail.bytes().take_while(u8::is_ascii_alphabetic).count();
            let (unit, tail) = tail.split_at(unit_length);
            let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(error)?;
            millis += number.parse::<u64>().map_err(|_| error())? * factor;
            rest = tail;
        }
        Ok(Self::from_millis(millis))
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.millis();
        if rest == 0 {
            return f.write_str("0s");
        }
        for (unit, factor) in UNITS {
            if rest >= factor {
                write!(f, "{}{unit}", rest / factor)?;
                rest %= factor;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Duration {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        // The length is for the API server's estimate of what a rule may cost.
        json_schema!({"type": "string", "pattern": PATTERN, "maxLength": 28})
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_examples_of_gep_2257_parse() {
        for (text, millis) in [("0s", 0), ("250ms", 250), ("5s", 5_000), ("1m30s", 90_000), ("1h2m3s4ms", 3_723_004), ("90s", 90_000)] {
            assert_eq!(text.parse(), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn what_gep_2257_excludes_is_refused() {
        for text in ["", "5", "s", "-5s", "1.5s", "5 s", "5us", "123456s", "1s1s1s1s1s", "5S", "1s1"] {
            let error = text.parse::<Duration>().expect_err(text);
            assert!(error.to_string().starts_with(&format!("{text:?} is not a duration")), "{error}");
        }
    }

    #[test]
    fn the_shown_form_is_canonical() {
        assert_eq!(Duration::from_secs(90).to_string(), "1m30s");
        assert_eq!(Duration::from_millis(0).to_string(), "0s");
        assert_eq!(serde_json::to_value(Duration::from_millis(2_250)).expect("serializes"), "2s250ms");
    }

    proptest! {
        #[test]
        fn every_text_of_the_pattern_means_the_sum_of_its_parts(parts in prop::collection::vec((0u64..100_000, 0usize..4), 1..=4)) {
            let text: String = parts.iter().map(|(number, unit)| format!("{number}{}", UNITS[*unit].0)).collect();
            let sum = parts.iter().map(|(number, unit)| number * UNITS[*unit].1).sum();
            prop_assert_eq!(text.parse(), Ok(Duration::from_millis(sum)));
        }

        #[test]
        fn what_is_shown_parses_to_the_same(millis in 0u64..99_999 * 3_600_000) {
            let duration = Duration::from_millis(millis);
            prop_assert_eq!(duration.to_string().parse(), Ok(duration));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "[0-9a-zé. -]{0,12}") {
            let _ = text.parse::<Duration>();
        }
    }
}
