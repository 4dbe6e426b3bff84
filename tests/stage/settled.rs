//! When a `SessionCluster` counts as whole: judged from its own status, as a person with `kubectl` would.

use holdfast_api::{ClusterMemberState, SessionCluster};

/// What a cluster should have come to.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// So many members.
    pub replicas: u32,
    /// The view must have a higher number than this: the disturbance has been noticed.
    pub after_epoch: Option<u64>,
}

/// Whether a condition is True and speaks of the newest spec.
///
/// # Errors
/// What is missing, in words.
pub fn is_true(cluster: &SessionCluster, condition: &str) -> Result<(), String> {
    let generation = cluster.metadata.generation;
    let Some(found) = cluster.status.as_ref().and_then(|status| status.conditions.iter().find(|one| one.type_ == condition)) else {
        return Err(format!("there is no condition {condition}"));
    };
    if found.observed_generation != generation {
        return Err(format!("{condition} speaks of generation {:?}, the spec is at {generation:?}", found.observed_generation));
    }
    if found.status != "True" {
        return Err(format!("{condition} is {} ({}: {})", found.status, found.reason, found.message));
    }
    Ok(())
}

/// The number of the cluster's view; 0 before the first.
#[must_use]
pub fn epoch(cluster: &SessionCluster) -> u64 {
    cluster.status.as_ref().and_then(|status| status.view.as_ref()).map_or(0, |view| view.epoch)
}

/// Whether the cluster is Ready, its sessions protected, and its members as many as wanted.
///
/// # Errors
/// What is missing, in words.
pub fn settled(cluster: &SessionCluster, wanted: &Wanted) -> Result<(), String> {
    if cluster.spec.replicas != wanted.replicas {
        return Err(format!("spec.replicas is {}, not {}", cluster.spec.replicas, wanted.replicas));
    }
    let Some(status) = &cluster.status else { return Err("there is no status".to_owned()) };
    if let Some(before) = wanted.after_epoch
        && epoch(cluster) <= before
    {
        return Err(format!("the view is still {}", epoch(cluster)));
    }
    is_true(cluster, "Ready")?;
    is_true(cluster, "SessionsProtected")?;
    let active = status.members.iter().filter(|member| member.state == ClusterMemberState::Active).count();
    let counts = (status.replicas, status.ready_replicas, active as u32, status.members.len() as u32);
    if counts != (wanted.replicas, wanted.replicas, wanted.replicas, wanted.replicas) {
        return Err(format!(
            "{} pods, {} of them ready, {} of {} members active; {} wanted",
            counts.0, counts.1, counts.2, counts.3, wanted.replicas
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shop(protected: &str, generation: i64, members: &[&str]) -> SessionCluster {
        let condition = |type_: &str, status: &str| {
            json!({"type": type_, "status": status, "reason": "Because", "message": "so", "observedGeneration": generation,
                "lastTransitionTime": "2026-01-01T00:00:00Z"})
        };
        serde_json::from_value(json!({
            "apiVersion": "holdfast.dev/v1alpha1", "kind": "SessionCluster", "metadata": {"name": "shop", "generation": 3},
            "spec": {"replicas": 3, "workload": {"app": {"image": "shop", "port": 8080}}},
            "status": {
                "replicas": 3, "readyReplicas": 3, "view": {"epoch": 7, "sub": 1},
                "members": members.iter().enumerate()
                    .map(|(n, state)| json!({"name": format!("shop-{n}"), "podUID": "", "state": state})).collect::<Vec<_>>(),
                "conditions": [condition("Ready", "True"), condition("SessionsProtected", protected)],
            },
        }))
        .expect("a SessionCluster")
    }

    #[test]
    fn a_whole_cluster_is_settled() {
        let wanted = Wanted { replicas: 3, after_epoch: Some(6) };
        assert_eq!(settled(&shop("True", 3, &["Active"; 3]), &wanted), Ok(()));
    }

    #[test]
    fn what_is_missing_is_told() {
        let whole = || shop("True", 3, &["Active"; 3]);
        for (cluster, replicas, after_epoch, says) in [
            (shop("False", 3, &["Active"; 3]), 3, None, "SessionsProtected is False (Because: so)"),
            (shop("True", 2, &["Active"; 3]), 3, None, "Ready speaks of generation Some(2)"),
            (shop("True", 3, &["Active", "Active", "Joining"]), 3, None, "2 of 3 members active"),
            (whole(), 3, Some(7), "the view is still 7"),
            (whole(), 5, None, "spec.replicas is 3, not 5"),
        ] {
            let missing = settled(&cluster, &Wanted { replicas, after_epoch }).expect_err(says);
            assert!(missing.contains(says), "{missing}");
        }
    }
}
