//! Pods whose application is the member itself.

use k8s_openapi::api::core::v1::{Container, PodSpec};
use serde_json::{Value, json};

use super::{built, compare_with_golden};

fn with(mut spec: Value) -> Value {
    spec["workload"]["app"]["member"] = json!("InProcess");
    spec
}

fn pod(spec: Value) -> PodSpec {
    built(with(spec)).members.spec.expect("spec").template.spec.expect("a pod")
}

fn application(spec: Value) -> Container {
    let mut containers = pod(spec).containers;
    assert_eq!(containers.len(), 1);
    containers.remove(0)
}

fn value(container: &Container, name: &str) -> Option<String> {
    let env = container.env.iter().flatten().filter(|env| env.name == name).collect::<Vec<_>>();
    assert!(env.len() < 2, "{name} is set twice");
    env.first().and_then(|env| env.value.clone())
}

#[test]
fn the_pod_of_an_application_that_is_the_member_stays_as_it_is() {
    let resources = built(with(json!({})));
    compare_with_golden("in-process-member.yaml", &resources.members.spec.expect("spec").template);
}

#[test]
fn there_is_no_other_container_and_nothing_of_redis() {
    let pod = pod(json!({}));
    assert_eq!(pod.init_containers, None);
    let text = serde_json::to_string(&pod).expect("serializes");
    assert!(!text.contains("REDIS") && !text.contains("registry.example/runtime"), "{text}");
}

#[test]
fn the_application_has_all_that_the_runtime_would_have() {
    let beside = built(json!({})).members.spec.expect("spec").template.spec.expect("a pod");
    let runtime = beside.init_containers.expect("a runtime").remove(0);
    let application = application(json!({}));
    for env in runtime.env.iter().flatten().filter(|env| !env.name.starts_with("HOLDFAST_REDIS")) {
        assert!(application.env.iter().flatten().any(|own| own == env), "{} is missing", env.name);
    }
    for mount in runtime.volume_mounts.iter().flatten() {
        assert!(application.volume_mounts.iter().flatten().any(|own| own == mount), "{} is missing", mount.name);
    }
    let ports: Vec<_> = application.ports.iter().flatten().filter_map(|port| port.name.as_deref()).collect();
    assert_eq!(ports, ["http", "replication", "admin"]);
    // Others look there for the end of this member.
    assert_eq!(value(&application, "HOLDFAST_CONTAINER").as_deref(), Some(application.name.as_str()));
    assert_eq!(value(&application, "PORT").as_deref(), Some("8080"));
}

#[test]
fn a_redis_of_the_applications_own_is_left_to_it() {
    let application = application(json!({"workload": {"app": {"env": [{"name": "REDIS_URL", "value": "redis://cache:6379"}]}}}));
    assert_eq!(value(&application, "REDIS_URL").as_deref(), Some("redis://cache:6379"));
}

#[test]
fn its_own_probes_come_first_but_for_that_of_the_start() {
    let path = |probe: Option<k8s_openapi::api::core::v1::Probe>| probe?.http_get?.path;
    let none = application(json!({}));
    assert_eq!(path(none.startup_probe), Some("/startedz".to_owned()));
    assert_eq!(path(none.readiness_probe), Some("/readyz".to_owned()));
    assert_eq!(path(none.liveness_probe), Some("/livez".to_owned()));
    let own = application(json!({"workload": {"app": {
        "readinessProbe": {"httpGet": {"path": "/ready", "port": "http"}},
        "livenessProbe": {"httpGet": {"path": "/live", "port": "http"}},
    }}}));
    assert_eq!(path(own.startup_probe), Some("/startedz".to_owned()));
    assert_eq!(path(own.readiness_probe), Some("/ready".to_owned()));
    assert_eq!(path(own.liveness_probe), Some("/live".to_owned()));
}

#[test]
fn it_hands_over_when_it_is_told_to_end_and_nothing_runs_before() {
    let pod = pod(json!({"workload": {"app": {"terminationGracePeriodSeconds": 120}}}));
    assert_eq!((pod.termination_grace_period_seconds, pod.containers[0].lifecycle.clone()), (Some(120), None));
    assert_eq!(value(&pod.containers[0], "HOLDFAST_DRAIN_TIMEOUT").as_deref(), Some("1m45s"));
}

#[test]
fn an_applications_start_may_take_longer_than_a_runtimes() {
    let probe = application(json!({"stateTransfer": {"timeout": "2m"}})).startup_probe.expect("a probe");
    assert_eq!((probe.period_seconds, probe.failure_threshold), (Some(1), Some(450)));
}
