//! Between the rules' [`View`] and the resource's [`SessionViewSpec`].

use holdfast_api::{MemberState as ApiState, SessionViewSpec, ViewMember};
use holdfast_core::{MemberState, NodeId, Place, Version, View, ViewEntry};
use thiserror::Error;

/// Why the content of a SessionView is not a view: somebody else than a member wrote it.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ConvertError {
    /// A number that is larger than members ever write.
    #[error("spec.{field} is {value}, right is at most {most}")]
    OutOfRange {
        /// The field.
        field: &'static str,
        /// What is there.
        value: u64,
        /// The largest right value.
        most: u64,
    },
    /// An incarnation that is not a number.
    #[error("spec.members[id={id}].incarnation is `{value}`, right is a decimal number of 64 bits")]
    Incarnation {
        /// The member.
        id: u32,
        /// What is there.
        value: String,
    },
    /// The same place twice.
    #[error("spec.members has id {id} twice")]
    Twice {
        /// The place.
        id: u32,
    },
}

fn within<T: TryFrom<u64>>(field: &'static str, value: u64, most: u64) -> Result<T, ConvertError> {
    let error = ConvertError::OutOfRange { field, value, most };
    if value > most { Err(error) } else { T::try_from(value).map_err(|_| error) }
}

/// The view that a SessionView holds. An empty one, as the operator creates it, is the view before the first.
pub(super) fn view_of(spec: &SessionViewSpec) -> Result<View, ConvertError> {
    let version = Version { epoch: spec.epoch, sub: within("sub", spec.sub, u32::MAX.into())? };
    let mut view = View {
        version,
        copies: within("copies", spec.copies.into(), u8::MAX.into())?,
        budget: within("budget", spec.budget.into(), u8::MAX.into())?,
        is_lossy: spec.lossy,
        members: Default::default(),
    };
    for member in &spec.members {
        let id = within::<u8>("members[].id", member.id.into(), 63)?;
        let id = NodeId::new(id).expect("63 is the largest place");
        let incarnation =
            member.incarnation.parse().map_err(|_| ConvertError::Incarnation { id: member.id, value: member.incarnation.clone() })?;
        let state = match member.state {
            ApiState::Join => MemberState::Join,
            ApiState::Full => MemberState::Full,
            ApiState::Leave => MemberState::Leave,
        };
        let place = Place { zone: member.zone.clone().unwrap_or_default(), domain: member.domain.clone().unwrap_or_default() };
        let entry = ViewEntry { name: member.name.clone(), incarnation, pod_uid: member.pod_uid.clone(), state, place };
        if view.members.insert(id, entry).is_some() {
            return Err(ConvertError::Twice { id: member.id });
        }
    }
    Ok(view)
}

/// A view as a SessionView holds it.
pub(crate) fn spec_of(view: &View) -> SessionViewSpec {
    SessionViewSpec {
        epoch: view.version.epoch,
        sub: view.version.sub.into(),
        copies: view.copies.into(),
        budget: view.budget.into(),
        lossy: view.is_lossy,
        members: view
            .members
            .iter()
            .map(|(id, entry)| ViewMember {
                id: id.get().into(),
                name: entry.name.clone(),
                incarnation: entry.incarnation.to_string(),
                pod_uid: entry.pod_uid.clone(),
                state: match entry.state {
                    MemberState::Join => ApiState::Join,
                    MemberState::Full => ApiState::Full,
                    MemberState::Leave => ApiState::Leave,
                },
                zone: known(&entry.place.zone),
                domain: known(&entry.place.domain),
            })
            .collect(),
    }
}

/// What is not known is left out.
fn known(name: &str) -> Option<String> {
    (!name.is_empty()).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> SessionViewSpec {
        let member = |id, state| ViewMember {
            id,
            name: format!("shop-{id}"),
            incarnation: u64::MAX.to_string(),
            pod_uid: format!("uid-{id}"),
            state,
            zone: (id == 0).then(|| "a".to_owned()),
            domain: (id == 1).then(|| "room".to_owned()),
        };
        SessionViewSpec {
            epoch: 58,
            sub: 1,
            copies: 1,
            budget: 1,
            lossy: true,
            members: vec![member(0, ApiState::Full), member(1, ApiState::Leave), member(63, ApiState::Join)],
        }
    }

    #[test]
    fn nothing_is_lost_on_the_way_there_and_back() {
        let view = view_of(&spec()).expect("a view");
        assert_eq!(view.version, Version { epoch: 58, sub: 1 });
        assert_eq!(view.members.len(), 3);
        assert_eq!(spec_of(&view), spec());
    }

    #[test]
    fn an_empty_register_is_the_view_before_the_first() {
        assert_eq!(view_of(&SessionViewSpec::default()).expect("a view"), View::unfounded(0));
    }

    #[test]
    fn what_no_member_wrote_is_refused_by_field() {
        let refused = |change: fn(&mut SessionViewSpec)| {
            let mut spec = spec();
            change(&mut spec);
            view_of(&spec).expect_err("refused").to_string()
        };
        assert_eq!(refused(|spec| spec.members[2].id = 64), "spec.members[].id is 64, right is at most 63");
        assert_eq!(refused(|spec| spec.members[1].id = 0), "spec.members has id 0 twice");
        assert_eq!(refused(|spec| spec.copies = 300), "spec.copies is 300, right is at most 255");
        assert!(refused(|spec| spec.members[0].incarnation = "99999999999999999999".into()).contains("members[id=0].incarnation"));
    }
}
