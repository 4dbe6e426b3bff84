//! The objects as a whole, and the golden files of the pod templates.

mod in_process;

use serde_json::{Value, json};

use super::*;
use crate::testing;

/// Set to write the golden files instead of comparing with them.
const UPDATE: &str = "UPDATE_GOLDEN";

impl Resources<Prepared> {
    /// As if the API server had returned them unchanged.
    pub(crate) fn into_applied(self) -> Resources<Applied> {
        Resources {
            member_account: self.member_account,
            member_role: self.member_role,
            member_binding: self.member_binding,
            gateway_account: self.gateway_account,
            gateway_role: self.gateway_role,
            gateway_binding: self.gateway_binding,
            members_service: self.members_service,
            app_service: self.app_service,
            gateway_service: self.gateway_service,
            gateway_config: self.gateway_config,
            members: self.members,
            gateway: self.gateway,
            members_budget: self.members_budget,
            gateway_budget: self.gateway_budget,
            state: PhantomData,
        }
    }

    /// Each object as JSON.
    fn objects(&self) -> Vec<Value> {
        fn json(object: &impl serde::Serialize) -> Value {
            serde_json::to_value(object).expect("serializes")
        }
        vec![
            json(&self.member_account),
            json(&self.member_role),
            json(&self.member_binding),
            json(&self.gateway_account),
            json(&self.gateway_role),
            json(&self.gateway_binding),
            json(&self.members_service),
            json(&self.app_service),
            json(&self.gateway_service),
            json(&self.gateway_config),
            json(&self.members),
            json(&self.gateway),
            json(&self.members_budget),
            json(&self.gateway_budget),
        ]
    }
}

fn built(spec: Value) -> Resources<Prepared> {
    built_with(spec, true)
}

fn built_with(spec: Value, tls: bool) -> Resources<Prepared> {
    let cluster = testing::cluster(spec);
    let intent = intent::next(&cluster, None);
    let images = Images { runtime: "registry.example/runtime:1".to_owned(), gateway: "registry.example/gateway:1".to_owned() };
    build(&Inputs { cluster: &cluster, images: &images, intent: &intent, replicas: 3, ordinals: 3, tls, may_evict: true })
}

/// Every field of the resource, for the golden files.
fn everything() -> Value {
    json!({
        "replicas": 5,
        "runtime": {"image": "registry.example/runtime:2", "resources": {"limits": {"memory": "1Gi"}}},
        "workload": {"app": {
            "image": "registry.example/app:7",
            "port": 3000,
            "command": ["/app"],
            "args": ["--serve"],
            "env": [{"name": "MODE", "value": "production"}, {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "app", "key": "key"}}}],
            "resources": {"requests": {"cpu": "100m"}},
            "readinessProbe": {"httpGet": {"path": "/ready", "port": "http"}},
            "livenessProbe": {"httpGet": {"path": "/live", "port": 3000}},
            "securityContext": {"runAsUser": 1000},
            "terminationGracePeriodSeconds": 120,
        }},
        "sessions": {"maxBytes": "4Mi"},
        "affinity": {"sources": [{"type": "Cookie", "name": "sessionid"}]},
        "replication": {
            "copies": 2,
            "ackTimeout": "3s",
            "acknowledge": "Received",
            "onUnderReplicated": "Accept",
            "transport": {"connections": 3, "queueBytes": "128Mi", "compression": "LZ4"},
        },
        "membership": {"heartbeatInterval": "500ms", "failureTimeout": "4s"},
        "stateTransfer": {"timeout": "2m", "rate": "10Mi"},
        "placement": {"zoneLabel": "example.com/zone", "domainLabel": "example.com/room"},
        "gateway": {"replicas": 4, "resources": {"limits": {"memory": "256Mi"}}},
    })
}

/// An operator that renders another template than the one before it restarts every pod of every cluster. If that is meant, say so in the
/// release notes and run this test with UPDATE_GOLDEN=1.
fn compare_with_golden(name: &str, template: &impl serde::Serialize) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    let rendered = serde_norway::to_string(template).expect("renders");
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(&path, &rendered).expect("the golden file can be written");
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(rendered, golden, "{name} differs: this operator would restart the pods of every cluster that an earlier one made");
}

#[test]
fn an_upgraded_operator_renders_the_same_pods_as_the_one_before() {
    for (name, spec) in [("defaults", json!({})), ("everything", everything())] {
        let resources = built(spec);
        compare_with_golden(&format!("{name}-member.yaml"), &resources.members.spec.expect("spec").template);
        compare_with_golden(&format!("{name}-gateway.yaml"), &resources.gateway.spec.expect("spec").template);
    }
}

#[test]
fn a_preset_gives_the_application_and_the_runtime_what_the_framework_needs() {
    let resources = built(
        json!({"sessions": {"maxActive": 1000}, "workload": {"preset": "Laravel", "app": {"env": [{"name": "SESSION_COOKIE", "value": "sid"}]}}}),
    );
    let template = resources.members.spec.expect("spec").template;
    compare_with_golden("preset-member.yaml", &template);
    let pod = template.spec.expect("spec");
    let value = |container: &k8s_openapi::api::core::v1::Container, name: &str| {
        let env = container.env.iter().flatten().filter(|env| env.name == name).collect::<Vec<_>>();
        assert!(env.len() < 2, "{name} is set twice");
        env.first().and_then(|env| env.value.clone())
    };
    assert_eq!(value(&pod.containers[0], "SESSION_DRIVER").as_deref(), Some("redis"));
    assert_eq!(value(&pod.containers[0], "SESSION_COOKIE").as_deref(), Some("sid"), "the application's own comes first");
}

#[test]
fn the_runtime_is_told_which_keys_are_sessions() {
    let keys = |spec: Value| {
        let pod = built(spec).members.spec.expect("spec").template.spec.expect("spec");
        let env = pod.init_containers.expect("runtime")[0].env.clone().expect("environment");
        env.into_iter().find(|env| env.name == "HOLDFAST_SESSION_KEYS").and_then(|env| env.value)
    };
    assert_eq!(keys(json!({})), None);
    assert_eq!(keys(json!({"workload": {"preset": "Express"}})).as_deref(), Some(r#"["sess:*"]"#));
    let own = json!({"workload": {"preset": "Express"}, "sessions": {"keys": ["a,b:*", "\"\\*"]}});
    assert_eq!(keys(own).as_deref(), Some(r#"["a,b:*","\"\\*"]"#));
}

#[test]
fn a_change_of_copies_or_of_who_keeps_them_restarts_nobody() {
    let template = |spec: Value| built(spec).members.spec.expect("spec").template;
    for spec in
        [json!({"replication": {"copies": 0}}), json!({"replication": {"copies": 63}}), json!({"replication": {"topology": "AllMembers"}})]
    {
        assert_eq!(template(spec.clone()), template(json!({})), "{spec}");
    }
}

#[test]
fn members_spread_over_zones_and_nodes_where_they_can() {
    let template = built(json!({"placement": {"zoneLabel": "example.com/zone"}})).members.spec.expect("spec").template;
    let spread = template.spec.expect("spec").topology_spread_constraints.expect("constraints");
    let keys: Vec<_> = spread.iter().map(|one| (one.topology_key.as_str(), one.when_unsatisfiable.as_str())).collect();
    assert_eq!(keys, [("example.com/zone", "ScheduleAnyway"), ("kubernetes.io/hostname", "ScheduleAnyway")]);
}

#[test]
fn the_pods_of_a_cluster_that_was_made_without_encryption_stay_as_they_are() {
    let resources = built_with(json!({}), false);
    compare_with_golden("plain-member.yaml", &resources.members.spec.expect("spec").template);
}

#[test]
fn no_pod_mounts_the_authorities_keys() {
    let resources = built(everything());
    let pods = serde_json::to_string(&(&resources.members.spec, &resources.gateway.spec)).expect("serializes");
    assert!(pods.contains(r#""secretName":"shop-tls""#) && !pods.contains("shop-ca"), "{pods}");
    let gateway = serde_json::to_string(&resources.gateway.spec).expect("serializes");
    assert!(!gateway.contains("shop-tls"), "a gateway has no business on the links: {gateway}");
}

#[test]
fn the_users_of_the_redis_protocol_are_mounted_into_the_runtime_only() {
    let template = built(json!({"security": {"redis": {"usersSecretRef": {"name": "shop-users"}}}})).members.spec.expect("spec").template;
    let pod = template.spec.expect("a pod");
    let (runtime, app) =
        (serde_json::to_string(&pod.init_containers).expect("serializes"), serde_json::to_string(&pod.containers).expect("serializes"));
    assert!(serde_json::to_string(&pod.volumes).expect("serializes").contains(r#""secretName":"shop-users""#));
    assert!(
        runtime.contains(r#""mountPath":"/etc/holdfast/redis""#) && runtime.contains(r#""value":"/etc/holdfast/redis/users""#),
        "{runtime}"
    );
    assert!(!app.contains("/etc/holdfast/redis"), "{app}");
}

#[test]
fn the_applications_own_address_with_a_password_is_used() {
    let address = json!([{"name": "REDIS_URL", "valueFrom": {"secretKeyRef": {"name": "shop-redis", "key": "url"}}}]);
    let template = built(json!({
        "security": {"redis": {"usersSecretRef": {"name": "shop-users"}}},
        "workload": {"app": {"env": address}},
    }))
    .members
    .spec
    .expect("spec")
    .template;
    let env = template.spec.expect("a pod").containers.remove(0).env.expect("environment");
    let given: Vec<_> = env.iter().filter(|env| env.name == "REDIS_URL").collect();
    assert_eq!(serde_json::to_value(given).expect("serializes"), address);
}

#[test]
fn the_runtime_is_told_its_threads_and_when_a_client_is_idle() {
    let settings = |spec: Value| {
        let pod = built(spec).members.spec.expect("spec").template.spec.expect("spec");
        let env = pod.init_containers.expect("runtime")[0].env.clone().expect("environment");
        ["HOLDFAST_THREADS", "HOLDFAST_REDIS_TIMEOUT"].map(|name| env.iter().find(|env| env.name == name).and_then(|env| env.value.clone()))
    };
    assert_eq!(settings(json!({})), [None, None]);
    let both = settings(json!({"runtime": {"threads": 4}, "security": {"redis": {"idleTimeout": "300s"}}}));
    assert_eq!(both, [Some("4".to_owned()), Some("5m".to_owned())]);
}

#[test]
fn nothing_of_the_operator_is_in_a_pod_template() {
    let resources = built(json!({}));
    let templates = serde_json::to_string(&(&resources.members.spec, &resources.gateway.spec)).expect("serializes");
    assert!(!templates.contains(env!("CARGO_PKG_VERSION")), "{templates}");
}

#[test]
fn every_object_is_owned_and_labelled_and_in_the_namespace_of_the_cluster() {
    for object in built(json!({})).objects() {
        let name = &object["metadata"]["name"];
        assert_eq!(object["metadata"]["namespace"], "default", "{name}");
        assert_eq!(object["metadata"]["ownerReferences"][0]["uid"], "cluster-uid", "{name}");
        assert_eq!(object["metadata"]["ownerReferences"][0]["controller"], true, "{name}");
        assert_eq!(object["metadata"]["labels"]["holdfast.dev/cluster"], "shop", "{name}");
        assert_eq!(object["metadata"]["labels"]["app.kubernetes.io/managed-by"], "holdfast", "{name}");
        assert!(object["metadata"]["labels"].get("app.kubernetes.io/instance").is_none(), "{name}");
    }
}

#[test]
fn the_objects_have_the_agreed_names() {
    let names: Vec<String> = built(json!({}))
        .objects()
        .iter()
        .map(|object| format!("{}/{}", object["kind"].as_str().expect("kind"), object["metadata"]["name"].as_str().expect("name")))
        .collect();
    assert_eq!(
        names,
        [
            "ServiceAccount/shop-member",
            "Role/shop-member",
            "RoleBinding/shop-member",
            "ServiceAccount/shop-gateway",
            "Role/shop-gateway",
            "RoleBinding/shop-gateway",
            "Service/shop-members",
            "Service/shop-app",
            "Service/shop",
            "ConfigMap/shop-gateway",
            "StatefulSet/shop",
            "Deployment/shop-gateway",
            "PodDisruptionBudget/shop",
            "PodDisruptionBudget/shop-gateway",
        ]
    );
}

#[test]
fn members_may_touch_their_own_view_and_read_their_own_pods_only() {
    let rules = built(json!({})).member_role.rules.expect("rules");
    assert_eq!(
        serde_json::to_value(rules).expect("serializes"),
        json!([
            {"apiGroups": ["holdfast.dev"], "resources": ["sessionviews"], "verbs": ["get", "list", "watch", "update", "patch", "create"], "resourceNames": ["shop"]},
            {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"], "resourceNames": ["shop-0", "shop-1", "shop-2"]},
        ])
    );
}

#[test]
fn members_find_each_other_before_they_are_ready_but_users_do_not_find_them() {
    let resources = built(json!({}));
    let members = resources.members_service.spec.expect("spec");
    assert_eq!((members.cluster_ip.as_deref(), members.publish_not_ready_addresses), (Some("None"), Some(true)));
    assert_eq!(resources.app_service.spec.expect("spec").publish_not_ready_addresses, None);
}

#[test]
fn no_member_may_be_evicted_while_sessions_lack_copies() {
    use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
    let cluster = testing::cluster(json!({}));
    let allowed = |protected| budgets::members(&cluster, protected).spec.expect("spec").max_unavailable;
    assert_eq!((allowed(true), allowed(false)), (Some(IntOrString::Int(1)), Some(IntOrString::Int(0))));
}

#[test]
fn the_runtimes_image_is_the_specs_or_the_pinned_one() {
    let image = |spec: Value| {
        let template = built(spec).members.spec.expect("spec").template.spec.expect("spec");
        template.init_containers.expect("runtime")[0].image.clone()
    };
    assert_eq!(image(json!({})).as_deref(), Some("registry.example/runtime:1"));
    assert_eq!(image(json!({"runtime": {"image": "mine:2"}})).as_deref(), Some("mine:2"));
}

#[test]
fn the_start_may_take_longer_than_the_state_transfer() {
    let template = built(json!({"stateTransfer": {"timeout": "2m"}})).members.spec.expect("spec").template.spec.expect("spec");
    let probe = template.init_containers.expect("runtime")[0].startup_probe.clone().expect("probe");
    assert_eq!((probe.period_seconds, probe.failure_threshold), (Some(1), Some(150)));
}

/// Rules of the chart's ClusterRole. Only its head is a template.
fn own_rules() -> Vec<k8s_openapi::api::rbac::v1::PolicyRule> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/holdfast/templates/clusterrole.yaml");
    let text = std::fs::read_to_string(path).expect("the chart's ClusterRole");
    let plain: String = text.lines().filter(|line| !line.contains("{{")).map(|line| format!("{line}\n")).collect();
    let role: k8s_openapi::api::rbac::v1::ClusterRole = serde_norway::from_str(&plain).expect("YAML");
    role.rules.expect("rules")
}

/// The API server lets nobody grant what they do not have: a member's or gateway's rule that the operator lacks would make every apply fail.
#[test]
fn the_operator_may_do_whatever_it_grants() {
    let own = own_rules();
    let resources = built(json!({}));
    let granted = [resources.member_role.rules, resources.gateway_role.rules];
    for rule in granted.into_iter().flatten().flatten() {
        let (group, resource) = (&rule.api_groups.as_ref().expect("groups")[0], &rule.resources.as_ref().expect("resources")[0]);
        for verb in &rule.verbs {
            let has = own.iter().any(|own| {
                own.api_groups.iter().flatten().any(|own| own == group)
                    && own.resources.iter().flatten().any(|own| own == resource)
                    && own.verbs.contains(verb)
                    && own.resource_names.is_none()
            });
            assert!(has, "the ClusterRole in charts/holdfast lacks {verb} {resource}.{group}");
        }
    }
}
