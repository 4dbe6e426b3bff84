//! The scripts that clients have sent, by name. Each member has its own; what there is room for is bounded, and the oldest go: a client that is told that
//! its script is not there sends it again.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::Sha1;

/// The most scripts, and bytes of scripts.
const MOST_SCRIPTS: usize = 1024;
const MOST_BYTES: usize = 8 << 20;

/// The scripts of this member.
#[derive(Debug, Default)]
pub(crate) struct Registry(Mutex<Loaded>);

#[derive(Debug, Default)]
struct Loaded {
    scripts: HashMap<Sha1, Bytes>,
    /// In the order in which they came.
    order: VecDeque<Sha1>,
    bytes: usize,
}

impl Registry {
    /// Keeps `text`, which is not longer than [`super::MOST_TEXT`].
    pub(crate) fn load(&self, name: Sha1, text: Bytes) {
        let mut loaded = self.lock();
        if loaded.scripts.contains_key(&name) {
            return;
        }
        loaded.bytes += text.len();
        loaded.scripts.insert(name, text);
        loaded.order.push_back(name);
        while loaded.order.len() > MOST_SCRIPTS || loaded.bytes > MOST_BYTES {
            let Some(oldest) = loaded.order.pop_front() else { return };
            loaded.bytes -= loaded.scripts.remove(&oldest).map_or(0, |text| text.len());
        }
    }

    /// The text of this name.
    pub(crate) fn find(&self, name: Sha1) -> Option<Bytes> {
        self.lock().scripts.get(&name).cloned()
    }

    /// Forgets all.
    pub(crate) fn clear(&self) {
        *self.lock() = Loaded::default();
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.lock().scripts.len()
    }

    fn lock(&self) -> MutexGuard<'_, Loaded> {
        // A panic elsewhere leaves at worst one script too many.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(registry: &Registry, text: String) -> Sha1 {
        let name = Sha1::of(text.as_bytes());
        registry.load(name, text.into());
        name
    }

    #[test]
    fn a_script_is_found_until_all_are_forgotten() {
        let registry = Registry::default();
        let name = load(&registry, "return 1".into());
        load(&registry, "return 1".into());
        assert_eq!((registry.find(name), registry.len()), (Some("return 1".into()), 1));
        registry.clear();
        assert_eq!((registry.find(name), registry.len()), (None, 0));
    }

    #[test]
    fn the_oldest_make_room() {
        let registry = Registry::default();
        let first = load(&registry, "return 0".into());
        let names: Vec<Sha1> = (1..=MOST_SCRIPTS).map(|number| load(&registry, format!("return {number}"))).collect();
        assert_eq!((registry.find(first), registry.len()), (None, MOST_SCRIPTS));
        assert!(registry.find(names[0]).is_some());
        let large = |number: usize| format!("return '{}{number:04}'", "x".repeat(super::super::MOST_TEXT - 20));
        let names: Vec<Sha1> = (0..MOST_BYTES / super::super::MOST_TEXT + 10).map(|number| load(&registry, large(number))).collect();
        assert!(registry.find(names[0]).is_none() && registry.find(names[names.len() - 1]).is_some());
        assert!(registry.lock().bytes <= MOST_BYTES);
    }
}
