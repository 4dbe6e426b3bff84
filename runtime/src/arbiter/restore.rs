//! What is put back into a register that was deleted or rewound. Pure; `kubernetes.rs` does it, by a compare-and-swap on what it has read.
//!
//! Views form one line because each replaces its predecessor by a compare-and-swap. A register that lost its content breaks the line, and the members'
//! own memory has to mend it. Why two different views cannot both become current then:
//!
//! - *Numbers are unique.* What is put back is not the old view but a new one with the same members, [`RESTORE_STEP`] epochs ahead of both the old one
//!   and what the register holds. Numbers in between, which may have been given to views that this member has not heard of, are never given again. Epochs
//!   in the register only grow from then on, so whoever is in a view that was lost gives way when it sees the new one: it falls out, or is in it.
//! - *One wins.* It is written on the resourceVersion that was read, so of two members that put something back, one fails and reads what the other wrote.
//!   Of the same view both would have written the same.
//! - *The newest wins.* Members that hear each other have the same view. One that missed a view, and is first to put an older one back, is overruled: the
//!   register says what was put back, and whoever had a newer one replaces it as long as nothing was built on it.
//! - *Nothing is built on it lightly.* Its budget is 0, so nobody is evicted on suspicion, but for proven deaths, until every voter has confirmed
//!   that all is protected; and nothing is taken over before all its members have reported in it, whoever is cut off included. A member with a view
//!   that nobody else knows, which cannot reach the API server, therefore holds the others up until it is heard or proven dead.
//!
//! A register that is gone altogether is made anew by a member, with its view in it, as if it had been put back into an empty one. The operator, which
//! remembers the numbers of earlier losses, is not needed for that if the member has followed the register without a break until it was gone: then it
//! knows itself that there was no other loss, and so no other view with the number that it gives. It is made by a server-side apply without force under a
//! name of its own, which the API server refuses if somebody else has made it meanwhile, unless that says the very same. One that has not
//! followed it, or has nothing to put back, waits for others, or for the operator.
//!
//! Only members with a voice (`Full`, `Leave`) put something back; a joiner has nothing that would be missed. A member without a view waits as
//! long as the register is marked as lost (`holdfast.dev/founded`), and the operator takes the mark away when no process runs any more that may have the view.

use holdfast_api::names::{FOUNDED_ANNOTATION, RESTORE_STEP, RESTORED_ANNOTATION};
use holdfast_api::{SessionView, SessionViewSpec};
use holdfast_core::{Version, View};
use kube::ResourceExt;

use super::convert::spec_of;

/// Whether the register was made anew and waits for its view.
pub(super) fn is_lost(object: &SessionView) -> bool {
    object.spec.members.is_empty() && object.annotations().contains_key(FOUNDED_ANNOTATION)
}

/// Whether the register should hold what this member has instead. `held` must have been adopted before `object` was read.
pub(super) fn is_behind(object: &SessionView, held: &View) -> bool {
    let there = (object.spec.epoch, object.spec.sub);
    is_lost(object) || there < (held.version.epoch, held.version.sub.into()) || is_overruled(object, held)
}

/// Whether it holds exactly what a member put back that had missed the view of this one.
fn is_overruled(object: &SessionView, held: &View) -> bool {
    let Some((epoch, from)) = object.annotations().get(RESTORED_ANNOTATION).and_then(|note| note.split_once(" from ")) else {
        return false;
    };
    let from = from.split('.').next().and_then(|epoch| epoch.parse::<u64>().ok());
    let is_untouched = epoch.parse() == Ok(object.spec.epoch) && object.spec.sub == 0;
    is_untouched && held.version.epoch < object.spec.epoch && from.is_some_and(|from| from < held.version.epoch)
}

/// Whether what this member has is at least as new as what it last read: then that is what a register that is gone held, or what followed on it.
pub(super) fn may_make_anew(seen: &SessionView, held: &View) -> bool {
    (seen.spec.epoch, seen.spec.sub) <= (held.version.epoch, held.version.sub.into()) && !held.members.is_empty()
}

/// What a register is to be like that takes the place of `seen`: of the same cluster, with the same notes.
pub(super) fn empty_like(seen: &SessionView) -> SessionView {
    let mut object = SessionView::new(&seen.name_any(), SessionViewSpec::default());
    object.metadata.namespace = seen.namespace();
    object.metadata.labels.clone_from(&seen.metadata.labels);
    object.metadata.annotations.clone_from(&seen.metadata.annotations);
    object.metadata.owner_references.clone_from(&seen.metadata.owner_references);
    object
}

/// Puts `held` into `object`, to be written on the resourceVersion that it has.
pub(super) fn put_back(object: &mut SessionView, held: &View) -> View {
    let mut view = held.clone();
    view.version = Version { epoch: held.version.epoch.max(object.spec.epoch) + RESTORE_STEP, sub: 0 };
    view.budget = 0;
    let note = format!("{} from {}.{}", view.version.epoch, held.version.epoch, held.version.sub);
    let annotations = object.annotations_mut();
    annotations.remove(FOUNDED_ANNOTATION);
    annotations.insert(RESTORED_ANNOTATION.to_owned(), note);
    object.spec = spec_of(&view);
    view
}
