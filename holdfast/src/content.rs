//! What a session holds, as bytes. The same content always has the same bytes, whatever the order in which it was put in: that is how a save that changes
//! nothing is told from one that does. The time to live is no part of it; it goes beside.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use serde_json::Value;
use time::OffsetDateTime;
use tower_sessions_core::session_store::{Error, Result};

/// The content of a session as tower-sessions has it.
type Data = HashMap<String, Value>;

/// As it is stored: a JSON object, its names sorted.
pub(crate) fn encode(data: &Data) -> Result<Bytes> {
    let sorted: BTreeMap<&String, &Value> = data.iter().collect();
    serde_json::to_vec(&sorted).map(Bytes::from).map_err(|error| Error::Encode(error.to_string()))
}

/// The content again.
pub(crate) fn decode(bytes: &[u8]) -> Result<Data> {
    serde_json::from_slice(bytes).map_err(|error| Error::Decode(error.to_string()))
}

/// What remains until `date`, in milliseconds; 0 if it has passed.
pub(crate) fn millis_until(date: OffsetDateTime) -> u64 {
    u64::try_from((date - OffsetDateTime::now_utc()).whole_milliseconds().max(0)).unwrap_or(u64::MAX)
}

/// The moment that is `millis` away.
pub(crate) fn date_in(millis: i64) -> OffsetDateTime {
    OffsetDateTime::now_utc().saturating_add(time::Duration::milliseconds(millis))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_filter("JSON has no others", |number| number.is_finite()).prop_map(Value::from),
            ".*".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 16, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(".*", inner, 0..4).prop_map(|fields| fields.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn nothing_is_lost_on_the_way_there_and_back(data in prop::collection::hash_map(".*", value(), 0..6)) {
            let bytes = encode(&data).expect("JSON");
            let again = decode(&bytes).expect("JSON");
            prop_assert_eq!(&encode(&again).expect("JSON"), &bytes);
            prop_assert_eq!(again, data);
        }
    }

    #[test]
    fn the_order_in_which_content_was_put_in_does_not_show() {
        let names: Vec<String> = (0..100).map(|n| format!("name {n}")).collect();
        let there: Data = names.iter().map(|name| (name.clone(), json!(name.len()))).collect();
        let back: Data = names.iter().rev().map(|name| (name.clone(), json!(name.len()))).collect();
        assert_eq!(encode(&there).expect("JSON"), encode(&back).expect("JSON"));
    }

    #[test]
    fn a_date_that_has_passed_leaves_no_time() {
        assert_eq!(millis_until(date_in(-1)), 0);
        assert!((59_000..=60_000).contains(&millis_until(date_in(60_000))));
    }
}
