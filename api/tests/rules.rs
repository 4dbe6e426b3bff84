//! The CEL rules of the resources, run as the API server would: what passes, and what the refusal says.

use holdfast_api::{
    Duration, MemberProcess, MemberState, SecretRef, SessionCluster, SessionClusterSpec, SessionView, SessionViewSpec, TlsMode, Topology,
    Transport, ViewMember,
};
use k8s_openapi::api::core::v1::EnvVar;
use kube::core::cel::{validate_cel, validate_cel_update};

fn cluster(change: impl FnOnce(&mut SessionClusterSpec)) -> SessionCluster {
    let mut spec: SessionClusterSpec = serde_json::from_value(serde_json::json!({"workload": {"app": {"image": "shop:1", "port": 8080}}}))
        .expect("the smallest useful spec");
    change(&mut spec);
    SessionCluster::new("shop", spec)
}

fn refusal(cluster: &SessionCluster) -> String {
    validate_cel(cluster).expect_err("refused").to_string()
}

#[test]
fn the_smallest_useful_cluster_passes_with_every_default() {
    let cluster = cluster(|_| ());
    validate_cel(&cluster).expect("valid");
    assert_eq!((cluster.spec.replicas, cluster.spec.replication.copies, cluster.spec.gateway.replicas), (3, 1, 2));
    assert_eq!(cluster.spec.membership.failure_timeout, Duration::from_secs(2));
    assert_eq!(cluster.spec.sessions.max_bytes.as_bytes(), 1 << 20);
}

#[test]
fn a_name_that_would_break_routes_is_refused() {
    for name in ["shop.1", "1shop", "shop-", "a23456789012345678901234567890123456789012", "Shop"] {
        let mut cluster = cluster(|_| ());
        cluster.metadata.name = Some(name.to_owned());
        assert!(refusal(&cluster).contains("metadata.name must be 1 to 40 characters"), "{name}");
    }
}

#[test]
fn numbers_out_of_range_are_refused_with_the_range() {
    assert!(refusal(&cluster(|spec| spec.replicas = 65)).contains("spec.replicas must be 0 to 64"));
    assert!(refusal(&cluster(|spec| spec.replication.copies = 64)).contains("spec.replication.copies must be 0 to 63"));
    assert!(refusal(&cluster(|spec| spec.gateway.replicas = 0)).contains("spec.gateway.replicas must be 1 to 32"));
    assert!(refusal(&cluster(|spec| spec.sessions.max_active = Some(0))).contains("spec.sessions.maxActive must be 1 to 1000000000"));
    assert!(
        refusal(&cluster(|spec| spec.workload.app.termination_grace_period_seconds = 5))
            .contains("spec.workload.app.terminationGracePeriodSeconds must be 60 to 3600")
    );
}

#[test]
fn durations_out_of_range_are_refused_with_the_range_and_the_value() {
    let refused = refusal(&cluster(|spec| spec.replication.ack_timeout = Duration::from_secs(120)));
    assert!(refused.contains("spec.replication.ackTimeout must be 100ms to 1m, not 2m"), "{refused}");
    let refused = refusal(&cluster(|spec| spec.state_transfer.timeout = Duration::from_millis(10)));
    assert!(refused.contains("spec.stateTransfer.timeout must be 1s to 15m, not 10ms"), "{refused}");
    let refused = refusal(&cluster(|spec| spec.membership.heartbeat_interval = Duration::from_millis(10)));
    assert!(refused.contains("spec.membership.heartbeatInterval must be 50ms to 10s, not 10ms"), "{refused}");
}

#[test]
fn a_failure_timeout_of_less_than_four_heartbeats_is_refused_and_exactly_four_pass() {
    let refused = refusal(&cluster(|spec| spec.membership.failure_timeout = Duration::from_millis(999)));
    assert!(refused.contains("spec.membership.failureTimeout must be at least 4 times spec.membership.heartbeatInterval"), "{refused}");
    validate_cel(&cluster(|spec| spec.membership.failure_timeout = Duration::from_secs(1))).expect("exactly four");
}

#[test]
fn a_session_too_large_to_replicate_is_refused() {
    let refused = refusal(&cluster(|spec| spec.sessions.max_bytes = "64Mi".parse().expect("an amount")));
    assert!(refused.contains("spec.sessions.maxBytes must be 1Ki to 32Mi, not 64Mi"), "{refused}");
}

#[test]
fn patterns_of_keys_must_be_short_and_not_empty() {
    let with = |key: &str| cluster(|spec| spec.sessions.keys = Some(vec!["sess:*".to_owned(), key.to_owned()]));
    validate_cel(&with(&"k".repeat(1024))).expect("just as long as allowed");
    for wrong in [String::new(), "k".repeat(1025), "ü".repeat(513)] {
        assert!(refusal(&with(&wrong)).contains("spec.sessions.keys must be patterns of 1 to 1024 bytes each, such as sess:*"), "{wrong}");
    }
}

#[test]
fn a_preset_says_which_keys_are_sessions_unless_the_resource_does() {
    let preset = |name: &str| serde_json::from_value(serde_json::json!(name)).expect("a preset");
    assert_eq!(cluster(|_| ()).spec.session_keys(), [""; 0]);
    assert_eq!(cluster(|spec| spec.workload.preset = Some(preset("Express"))).spec.session_keys(), ["sess:*"]);
    let both = cluster(|spec| {
        spec.workload.preset = Some(preset("PHP"));
        spec.sessions.keys = Some(vec!["mine:*".to_owned()]);
    });
    assert_eq!(both.spec.session_keys(), ["mine:*"]);
}

#[test]
fn what_a_preset_says_could_be_written_into_the_resource() {
    for name in ["Django", "Express", "Spring", "Tomcat", "Rails", "PHP", "Laravel", "Flask", "Rust"] {
        let preset: holdfast_api::Preset = serde_json::from_value(serde_json::json!(name)).expect(name);
        let own = |name: &(&str, &str)| EnvVar { name: name.0.to_owned(), value: Some(name.1.to_owned()), ..EnvVar::default() };
        validate_cel(&cluster(|spec| {
            spec.sessions.keys = Some(preset.keys().iter().map(|key| (*key).to_owned()).collect());
            spec.workload.app.env = preset.environment().iter().map(own).collect();
            spec.affinity =
                serde_json::from_value(serde_json::json!({"sources": [{"type": "Cookie", "name": preset.cookie()}]})).expect(name);
        }))
        .expect(name);
    }
}

#[test]
fn the_runtimes_ports_and_variables_are_not_the_applications() {
    for port in [0, 4000, 4001, 6379] {
        assert!(refusal(&cluster(|spec| spec.workload.app.port = port)).contains("spec.workload.app.port must be 1 to 65535"), "{port}");
    }
    for name in ["REDIS_URL", "PORT", "HOLDFAST_MEMBER"] {
        let env = vec![EnvVar { name: name.to_owned(), ..EnvVar::default() }];
        assert!(refusal(&cluster(|spec| spec.workload.app.env = env)).contains("spec.workload.app.env must not set"), "{name}");
    }
}

#[test]
fn an_application_that_is_the_member_has_no_runtime_to_speak_of() {
    let with = |change: fn(&mut SessionClusterSpec)| {
        cluster(|spec| {
            spec.workload.app.member = MemberProcess::InProcess;
            change(spec);
        })
    };
    validate_cel(&with(|_| ())).expect("valid");
    for (change, says) in [
        (
            (|spec| spec.workload.preset = Some(holdfast_api::Preset::Rust)) as fn(&mut SessionClusterSpec),
            "spec.workload.preset must be left out",
        ),
        (|spec| spec.runtime.image = Some("mine:1".to_owned()), "spec.runtime must have no image, resources or threads"),
        (|spec| spec.runtime.resources = Some(Default::default()), "spec.runtime must have no image, resources or threads"),
        (|spec| spec.runtime.threads = Some(2), "spec.runtime must have no image, resources or threads"),
        (
            |spec| spec.security.redis.users_secret_ref = Some(SecretRef { name: "users".to_owned() }),
            "spec.security.redis must have no usersSecretRef and no idleTimeout",
        ),
        (
            |spec| spec.security.redis.idle_timeout = Some(Duration::from_secs(300)),
            "spec.security.redis must have no usersSecretRef and no idleTimeout",
        ),
    ] {
        let refused = refusal(&with(change));
        assert!(refused.contains(says) && refused.contains("InProcess"), "{refused}");
    }
}

#[test]
fn a_member_may_move_into_its_application_and_out_of_it() {
    let (beside, inside) = (cluster(|_| ()), cluster(|spec| spec.workload.app.member = MemberProcess::InProcess));
    validate_cel_update(&inside, &beside).expect("pods are replaced one by one");
    validate_cel_update(&beside, &inside).expect("and back");
}

#[test]
fn a_redis_url_is_the_applications_own_where_holdfast_cannot_know_it() {
    let with = |change: fn(&mut SessionClusterSpec)| {
        cluster(|spec| {
            spec.workload.app.env = vec![EnvVar { name: "REDIS_URL".to_owned(), ..EnvVar::default() }];
            change(spec);
        })
    };
    assert!(refusal(&with(|_| ())).contains("spec.workload.app.env must not set REDIS_URL: Holdfast sets it, unless"));
    validate_cel(&with(|spec| spec.workload.app.member = MemberProcess::InProcess)).expect("there is no runtime to reach");
    validate_cel(&with(|spec| spec.security.redis.users_secret_ref = Some(SecretRef { name: "users".to_owned() }))).expect("a password");
}

#[test]
fn threads_and_idle_clients_have_their_ranges() {
    assert!(refusal(&cluster(|spec| spec.runtime.threads = Some(0))).contains("spec.runtime.threads must be 1 to 64"));
    let refused = refusal(&cluster(|spec| spec.security.redis.idle_timeout = Some(Duration::from_millis(500))));
    assert!(refused.contains("spec.security.redis.idleTimeout must be 1s to 8760h, not 500ms"), "{refused}");
    validate_cel(&cluster(|spec| spec.security.redis.idle_timeout = Some(Duration::from_secs(8760 * 3600)))).expect("a year");
}

#[test]
fn the_number_of_copies_may_change_from_none_to_all() {
    for copies in [0, 1, 63] {
        let new = cluster(|spec| spec.replication.copies = copies);
        validate_cel(&new).expect("valid");
        validate_cel_update(&new, &cluster(|_| ())).expect("a change");
    }
}

#[test]
fn a_number_of_copies_beside_all_members_is_refused() {
    let all = |copies| {
        cluster(|spec| {
            spec.replication.topology = Topology::AllMembers;
            spec.replication.copies = copies;
        })
    };
    validate_cel(&all(1)).expect("the default");
    let refused = refusal(&all(2));
    assert!(refused.contains("spec.replication.copies must be left out"), "{refused}");
}

#[test]
fn the_transport_has_its_ranges() {
    let transport = |change: fn(&mut Transport)| refusal(&cluster(|spec| change(&mut spec.replication.transport)));
    let refused = transport(|transport| transport.connections = 9);
    assert!(refused.contains("spec.replication.transport.connections must be 1 to 8"), "{refused}");
    let refused = transport(|transport| transport.queue_bytes = "512Ki".parse().expect("an amount"));
    assert!(refused.contains("spec.replication.transport.queueBytes must be 1Mi to 4Gi, not 512Ki"), "{refused}");
    let refused = refusal(&cluster(|spec| spec.state_transfer.rate = Some("1Ki".parse().expect("an amount"))));
    assert!(refused.contains("spec.stateTransfer.rate must be 64Ki to 64Gi, not 1Ki"), "{refused}");
}

#[test]
fn a_queue_must_hold_a_session_twice() {
    let with = |queue: &str| {
        cluster(|spec| {
            spec.sessions.max_bytes = "2Mi".parse().expect("an amount");
            spec.replication.transport.queue_bytes = queue.parse().expect("an amount");
        })
    };
    validate_cel(&with("4Mi")).expect("exactly twice");
    let refused = refusal(&with("3Mi"));
    assert!(refused.contains("queueBytes must be at least twice spec.sessions.maxBytes, which is 2Mi, not 3Mi"), "{refused}");
}

#[test]
fn the_labels_of_places_must_be_keys_of_labels() {
    for right in ["zone", "topology.kubernetes.io/zone", "example.com/Rack_1"] {
        validate_cel(&cluster(|spec| spec.placement.zone_label = right.to_owned())).expect(right);
    }
    let refused = refusal(&cluster(|spec| spec.placement.zone_label = "a zone".to_owned()));
    assert!(refused.contains("spec.placement.zoneLabel must be the key of a label of nodes, such as"), "{refused}");
    assert!(refused.contains("not a zone"), "{refused}");
    let refused = refusal(&cluster(|spec| spec.placement.domain_label = Some("/x".to_owned())));
    assert!(refused.contains("spec.placement.domainLabel"), "{refused}");
}

#[test]
fn encryption_is_changed_only_while_there_are_no_members() {
    let (old, mut new) = (cluster(|_| ()), cluster(|spec| spec.security.tls.mode = TlsMode::Disabled));
    let refused = validate_cel_update(&new, &old).expect_err("refused").to_string();
    assert!(refused.contains("spec.security.tls.mode can only be changed together with spec.replicas: 0"), "{refused}");
    new.spec.replicas = 0;
    validate_cel_update(&new, &old).expect("nobody is there to be cut off");
}

fn view(epoch: u64, sub: u64, members: &[u32]) -> SessionView {
    let member = |id: &u32| ViewMember {
        id: *id,
        name: format!("shop-{id}"),
        incarnation: "18446744073709551615".to_owned(),
        pod_uid: "u".to_owned(),
        state: MemberState::Full,
        zone: None,
        domain: None,
    };
    SessionView::new("shop", SessionViewSpec { epoch, sub, members: members.iter().map(member).collect(), ..SessionViewSpec::default() })
}

#[test]
fn a_view_is_replaced_by_its_direct_successor_only() {
    let old = view(58, 1, &[0, 1]);
    for next in [view(59, 0, &[0]), view(58, 2, &[0, 1]), view(1058, 0, &[0, 1]), view(2001, 0, &[0, 1])] {
        validate_cel_update(&next, &old).expect("a direct successor, or one put back");
    }
    for wrong in [
        view(60, 0, &[0]),
        view(1057, 0, &[0]),
        view(1058, 1, &[0]),
        view(59, 1, &[0]),
        view(58, 1, &[0]),
        view(57, 2, &[0]),
        view(58, 3, &[0, 1]),
        view(0, 0, &[]),
    ] {
        let refused = validate_cel_update(&wrong, &old).expect_err("refused").to_string();
        assert!(refused.contains("direct successor"), "{refused}");
    }
}

#[test]
fn the_metadata_of_a_view_may_change() {
    validate_cel_update(&view(58, 1, &[0, 1]), &view(58, 1, &[0, 1])).expect("the same spec");
}

#[test]
fn the_first_view_follows_the_empty_one() {
    let empty = SessionView::new("shop", SessionViewSpec::default());
    validate_cel(&empty).expect("the operator creates it");
    validate_cel_update(&view(1, 0, &[0]), &empty).expect("the first member founds it");
}

#[test]
fn an_affinity_source_cannot_be_the_gateways_own_cookie() {
    let refused = refusal(&cluster(|spec| {
        spec.affinity =
            serde_json::from_value(serde_json::json!({"sources": [{"type": "Cookie", "name": "holdfast-route"}]})).expect("affinity");
    }));
    assert!(refused.contains("holdfast-route is the gateway's own"), "{refused}");
}

#[test]
fn a_spec_survives_being_written_and_read() {
    let spec = cluster(|spec| {
        spec.workload.app.termination_grace_period_seconds = 90;
        spec.membership.failure_timeout = Duration::from_millis(1_500);
    })
    .spec;
    let read: SessionClusterSpec = serde_json::from_value(serde_json::to_value(&spec).expect("writes")).expect("reads");
    assert_eq!(read, spec);
}
