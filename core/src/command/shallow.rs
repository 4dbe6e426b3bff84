//! Lists within lists of the same kind are decoded one level deep: what comes from the network must not decide how deep a decoder calls itself.

use std::cell::Cell;

use serde::de::{Deserialize, Deserializer, Error};

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// The one level, while it is being decoded.
struct Level;

impl Level {
    fn enter() -> Option<Level> {
        (!INSIDE.replace(true)).then(|| Level)
    }
}

impl Drop for Level {
    fn drop(&mut self) {
        INSIDE.set(false);
    }
}

/// A list that is not part of another one.
pub(crate) fn deserialize<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    let _level = Level::enter().ok_or_else(|| D::Error::custom("a batch within a batch"))?;
    Vec::deserialize(deserializer)
}

#[cfg(test)]
mod tests {
    use crate::command::{Command, Guard, Reply};
    use crate::value::Change;

    fn nested<T: serde::Serialize + for<'de> serde::Deserialize<'de>>(inner: T, wrap: impl Fn(Vec<T>) -> T) -> [bool; 2] {
        let once = wrap(vec![inner]);
        let decodes = |value: &T| postcard::from_bytes::<T>(&postcard::to_stdvec(value).expect("it has a form")).is_ok();
        let first = decodes(&once);
        [first, decodes(&wrap(vec![once]))]
    }

    #[test]
    fn a_batch_is_decoded_and_one_within_another_is_not() {
        assert_eq!(nested(Command::Get, |commands| Command::Batch { guard: Guard::None, commands }), [true, false]);
        assert_eq!(nested(Reply::Nil, Reply::Batch), [true, false]);
        assert_eq!(nested(Change::Delete, Change::Several), [true, false]);
        // And the refusal leaves nothing behind.
        assert_eq!(nested(Reply::Nil, Reply::Batch), [true, false]);
    }
}
