//! The objects of one watch, by name. While a new list comes in, the old one stays what is known; only its end makes the new one valid. Pure.

use std::collections::BTreeMap;

use kube::ResourceExt;
use kube::runtime::watcher::Event;

/// The objects that a watch has shown.
#[derive(Debug)]
pub(super) struct Tracked<K> {
    known: BTreeMap<String, K>,
    /// The list that is coming in.
    coming: BTreeMap<String, K>,
}

impl<K: ResourceExt> Tracked<K> {
    pub(super) fn new() -> Self {
        Self { known: BTreeMap::new(), coming: BTreeMap::new() }
    }

    /// Takes an event; whether what is known may have changed.
    pub(super) fn take(&mut self, event: Event<K>) -> bool {
        match event {
            Event::Init => {
                self.coming = BTreeMap::new();
                false
            }
            Event::InitApply(object) => {
                self.coming.insert(object.name_any(), object);
                false
            }
            Event::InitDone => {
                self.known = std::mem::take(&mut self.coming);
                true
            }
            Event::Apply(object) => {
                self.known.insert(object.name_any(), object);
                true
            }
            Event::Delete(object) => self.known.remove(&object.name_any()).is_some(),
        }
    }

    pub(super) fn objects(&self) -> impl Iterator<Item = &K> {
        self.known.values()
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;

    use super::*;

    fn object(name: &str) -> ConfigMap {
        let mut object = ConfigMap::default();
        object.metadata.name = Some(name.to_owned());
        object
    }

    fn names(tracked: &Tracked<ConfigMap>) -> Vec<String> {
        tracked.objects().map(ResourceExt::name_any).collect()
    }

    #[test]
    fn a_new_list_counts_when_it_is_complete_and_not_before() {
        let mut tracked = Tracked::new();
        assert!(!tracked.take(Event::Init));
        assert!(!tracked.take(Event::InitApply(object("a"))));
        assert!(tracked.take(Event::InitDone));
        assert!(!tracked.take(Event::Init));
        assert!(!tracked.take(Event::InitApply(object("b"))));
        assert_eq!(names(&tracked), ["a"], "the watch may break here");
        assert!(!tracked.take(Event::Init));
        assert!(!tracked.take(Event::InitApply(object("c"))));
        assert!(tracked.take(Event::InitDone));
        assert_eq!(names(&tracked), ["c"]);
    }

    #[test]
    fn single_changes_are_followed() {
        let mut tracked = Tracked::new();
        assert!(tracked.take(Event::Apply(object("a"))));
        assert!(tracked.take(Event::Apply(object("b"))));
        assert!(tracked.take(Event::Delete(object("a"))));
        assert!(!tracked.take(Event::Delete(object("a"))));
        assert_eq!(names(&tracked), ["b"]);
    }
}
