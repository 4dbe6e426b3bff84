//! Which nodes do not answer. Pure.

use std::hash::{DefaultHasher, Hash, Hasher};

use k8s_openapi::api::core::v1::Node;

/// Taints by which Kubernetes or a person says that nothing on the node can be trusted to run.
const DEAD_TAINTS: [&str; 2] = ["node.kubernetes.io/unreachable", "node.kubernetes.io/out-of-service"];

/// Whether nothing is heard from the node. A pod on it is deleted only if its member is out of the view as well, so being wrong costs a restart.
pub(crate) fn is_dead(node: &Node) -> bool {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref());
    let ready = conditions.into_iter().flatten().find(|condition| condition.type_ == "Ready");
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_ref());
    ready.is_none_or(|ready| ready.status != "True") || taints.into_iter().flatten().any(|taint| DEAD_TAINTS.contains(&taint.key.as_str()))
}

/// What a pass over a cluster looks at in a node.
pub(crate) fn mark(node: &Node) -> u64 {
    let mut hasher = DefaultHasher::new();
    (is_dead(node), &node.metadata.labels).hash(&mut hasher);
    hasher.finish()
}

/// Keeps what is needed of a node: the list of its images alone is larger than all the rest.
pub(crate) fn trim(node: &mut Node) {
    node.metadata.managed_fields = None;
    node.metadata.annotations = None;
    if let Some(status) = &mut node.status {
        let conditions = status.conditions.take();
        *status = k8s_openapi::api::core::v1::NodeStatus { conditions, ..Default::default() };
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn node(ready: &str, taint: &str) -> Node {
        serde_json::from_value(json!({
            "metadata": {"name": "node-1"},
            "spec": {"taints": [{"key": taint, "effect": "NoExecute"}]},
            "status": {"conditions": [{"type": "Ready", "status": ready}], "images": [{"names": ["large"]}]},
        }))
        .expect("a node")
    }

    #[test]
    fn a_node_that_does_not_report_or_is_marked_unreachable_is_dead() {
        assert!(!is_dead(&node("True", "example.com/gpu")));
        assert!(is_dead(&node("Unknown", "example.com/gpu")));
        assert!(is_dead(&node("False", "example.com/gpu")));
        assert!(is_dead(&node("True", "node.kubernetes.io/out-of-service")));
    }

    #[test]
    fn another_label_is_a_reason_to_look() {
        let mut labelled = node("True", "example.com/gpu");
        let before = mark(&labelled);
        labelled.metadata.labels = Some([("topology.kubernetes.io/zone".to_owned(), "a".to_owned())].into());
        assert_ne!(mark(&labelled), before);
    }

    #[test]
    fn trimming_keeps_what_decides() {
        for ready in ["True", "Unknown"] {
            let mut trimmed = node(ready, "example.com/gpu");
            trim(&mut trimmed);
            assert_eq!(is_dead(&trimmed), ready != "True");
            assert_eq!(trimmed.status.expect("status").images, None);
        }
    }
}
