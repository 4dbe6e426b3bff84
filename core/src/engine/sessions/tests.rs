//! The store against a plain map, with few positions, so that many sessions share one.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::value::{Data, Value};
use crate::view::{Member, MemberState, Place, ViewEntry};

#[derive(Clone, Debug)]
enum Step {
    Insert { ends: Option<Millis> },
    Own,
    Change { ends: Option<Millis>, is_deleted: bool },
    Rest,
    Disown,
    Remove,
    Adopt { gone: u8 },
    Walk { from: u64, most: usize },
    Expire { now: Millis },
}

fn step() -> impl Strategy<Value = Step> {
    let ends = || prop::option::of(1..20u64);
    prop_oneof![
        3 => ends().prop_map(|ends| Step::Insert { ends }),
        3 => Just(Step::Own),
        3 => (ends(), any::<bool>()).prop_map(|(ends, is_deleted)| Step::Change { ends, is_deleted }),
        2 => Just(Step::Rest),
        1 => Just(Step::Disown),
        2 => Just(Step::Remove),
        1 => (1..8u8).prop_map(|gone| Step::Adopt { gone }),
        1 => (0..4u64, 1..4usize).prop_map(|(from, most)| Step::Walk { from, most }),
        1 => (0..20u64).prop_map(|now| Step::Expire { now }),
    ]
}

fn node(id: u8) -> NodeId {
    NodeId::new(id).expect("small enough")
}

fn nodes() -> MemberSet {
    (1..8).map(node).collect()
}

fn view() -> View {
    let mut view = View::unfounded(1);
    let entry =
        ViewEntry { name: String::new(), incarnation: 1, pod_uid: String::new(), state: MemberState::Full, place: Place::default() };
    view.members.insert(node(0), entry);
    view
}

/// What the store should know of a session.
#[derive(Debug)]
struct Model {
    is_owned: bool,
    is_pending: bool,
    ends: Option<Millis>,
    is_deleted: bool,
    holders: MemberSet,
}

fn value(ends: Option<Millis>) -> Value {
    Value::new(Data::String(Key::from_static(b"content")), ends)
}

proptest! {
    #[test]
    fn it_is_a_map(steps in prop::collection::vec((0..3u64, 0..3u8, step()), 1..200)) {
        let mut sessions = Sessions::default();
        let mut model: BTreeMap<Slot, Model> = BTreeMap::new();
        let owner = Member { id: node(0), incarnation: 1 };
        for (position, name, step) in steps {
            let slot: Slot = (position, Key::copy_from_slice(&[name]));
            match step {
                Step::Insert { ends } => {
                    let mut record = Record::kept(owner, 1, 1, nodes());
                    record.value = Some(value(ends));
                    sessions.insert(&slot, record);
                    model.insert(slot, Model { is_owned: false, is_pending: false, ends, is_deleted: false, holders: nodes() });
                }
                Step::Own => {
                    sessions.own(&slot, slot.1[0] < 2, Pending::default());
                    sessions.index(&slot, None);
                    if let Some(known) = model.get_mut(&slot) {
                        (known.is_owned, known.is_pending, known.holders) = (true, true, MemberSet::EMPTY);
                    }
                }
                Step::Change { ends, is_deleted } => {
                    if let Some((record, _)) = sessions.begin(&slot) {
                        let before = record.expires_at();
                        let weight = record.weight() as i64;
                        record.value = (!is_deleted).then(|| value(ends));
                        let growth = record.weight() as i64 - weight;
                        sessions.grow(growth);
                        sessions.index(&slot, before);
                    }
                    if let Some(known) = model.get_mut(&slot).filter(|known| known.is_owned) {
                        (known.is_pending, known.is_deleted, known.ends) = (true, is_deleted, ends.filter(|_| !is_deleted));
                    }
                }
                Step::Rest => {
                    sessions.rest(&slot);
                    if let Some(known) = model.get_mut(&slot) {
                        known.is_pending = false;
                    }
                }
                Step::Disown => {
                    sessions.disown(&slot);
                    if let Some(known) = model.get_mut(&slot).filter(|known| known.is_owned) {
                        // Only what is pending tells who holds it; whoever gives it away says so anew.
                        if known.is_pending {
                            known.holders = sessions.get(&slot).expect("it is held").holders;
                        }
                        (known.is_owned, known.is_pending) = (false, false);
                    }
                }
                Step::Remove => {
                    sessions.remove(&slot);
                    model.remove(&slot);
                }
                Step::Adopt { gone } => {
                    sessions.adopt(&view(), MemberSet::of(node(gone)), false);
                    model.values_mut().for_each(|known| known.holders.remove(node(gone)));
                }
                Step::Walk { from, most } => {
                    let mut seen = Vec::new();
                    let next = sessions.walk(from, most, |session| seen.push(session.slot()));
                    let mut positions: Vec<u64> = model.keys().map(|slot| slot.0).filter(|position| *position >= from).collect();
                    positions.dedup();
                    prop_assert_eq!(next, positions.get(most).copied());
                    seen.sort();
                    let expected: Vec<Slot> = model.keys().filter(|slot| slot.0 >= from && next.is_none_or(|next| slot.0 < next)).cloned().collect();
                    prop_assert_eq!(seen, expected);
                }
                Step::Expire { now } => {
                    let mut over = Vec::new();
                    while let Some(slots) = sessions.next_expired(now) {
                        over.extend(slots);
                    }
                    over.sort();
                    over.dedup();
                    let ends = |(_, known): &(&Slot, &Model)| known.is_owned && known.ends.is_some_and(|at| at <= now);
                    let expected: Vec<Slot> = model.iter().filter(ends).map(|(slot, _)| slot.clone()).collect();
                    prop_assert_eq!(&over, &expected);
                    // They are out of the index now, as those are that wait for a handoff: back they come.
                    over.iter().for_each(|slot| sessions.index(slot, None));
                }
            }
            prop_assert_eq!(sessions.len(), model.len());
            prop_assert_eq!(sessions.owned_count(), model.values().filter(|known| known.is_owned).count());
            let pending: Vec<Slot> = sessions.all_pending().map(|(slot, _)| slot.clone()).collect();
            let expected: Vec<Slot> = model.iter().filter(|(_, known)| known.is_pending).map(|(slot, _)| slot.clone()).collect();
            prop_assert_eq!(pending, expected);
            let tombstones: Vec<Slot> = sessions.tombstones.iter().cloned().collect();
            let expected: Vec<Slot> = model.iter().filter(|(_, known)| known.is_owned && known.is_deleted).map(|(slot, _)| slot.clone()).collect();
            prop_assert_eq!(tombstones, expected);
            let counts = |(slot, known): &(&Slot, &Model)| known.is_owned && !known.is_deleted && slot.1[0] < 2;
            prop_assert_eq!(sessions.active(), model.iter().filter(counts).count());
            prop_assert_eq!(sessions.bytes(), sessions.recounted_bytes());
        }
        for (slot, known) in &model {
            let record = sessions.get_mut(slot).expect("it is held");
            prop_assert_eq!((record.is_owned, record.expires_at()), (known.is_owned, known.ends));
            if !known.is_pending {
                prop_assert_eq!(record.holders, known.holders);
            }
        }
    }
}
