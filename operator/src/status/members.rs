//! The members of the status, by name.

use holdfast_api::{ClusterMember, ClusterMemberState, MemberState};

use crate::survey::Survey;

/// What the pods of members do.
pub(super) fn of(survey: &Survey, before: &[ClusterMember]) -> Vec<ClusterMember> {
    survey
        .members
        .iter()
        .map(|member| {
            // The view does not tell a member that was thrown out from one that has never been in; the last status does.
            let was_in =
                before.iter().any(|was| was.name == member.name && was.pod_uid == member.uid && was.state != ClusterMemberState::Joining);
            let state = match member.standing {
                Some(MemberState::Full) => ClusterMemberState::Active,
                Some(MemberState::Leave) => ClusterMemberState::Draining,
                Some(MemberState::Join) => ClusterMemberState::Joining,
                // One that left by itself is on its way to the end.
                None if member.terminating => ClusterMemberState::Draining,
                None if was_in => ClusterMemberState::Evicted,
                None => ClusterMemberState::Joining,
            };
            ClusterMember { name: member.name.clone(), pod_uid: member.uid.clone(), state }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::World;

    fn states(world: &World, before: &[ClusterMember]) -> Vec<ClusterMemberState> {
        of(&world.survey(), before).into_iter().map(|member| member.state).collect()
    }

    #[test]
    fn a_members_state_follows_the_view() {
        use ClusterMemberState::{Active, Draining, Joining};
        let world = World::settled(3).standing(0, MemberState::Join).standing(2, MemberState::Leave);
        assert_eq!(states(&world, &[]), [Joining, Active, Draining]);
    }

    #[test]
    fn a_member_that_was_thrown_out_is_evicted_and_its_successor_joins() {
        use ClusterMemberState::{Active, Evicted, Joining};
        let before = of(&World::settled(2).survey(), &[]);
        let out = World::settled(2).outside(1);
        assert_eq!(states(&out, &before), [Active, Evicted]);
        assert_eq!(states(&out, &of(&out.survey(), &before)), [Active, Evicted]);
        let successor = out.pod(1, |pod| pod.metadata.uid = Some("another".to_owned()));
        assert_eq!(states(&successor, &before), [Active, Joining]);
    }

    #[test]
    fn a_member_that_left_and_ends_is_draining() {
        let world = World::settled(2).outside(1).terminating(1);
        assert_eq!(states(&world, &of(&World::settled(2).survey(), &[]))[1], ClusterMemberState::Draining);
    }
}
