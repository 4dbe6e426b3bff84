//! CEL rules that occur more than once. Their messages name the field and what is right, from where to where; the API server's own message about
//! a bound knows only the bound that was crossed.

use kube::core::{Message, Rule};

/// A whole number from `min` to `max`. The message leaves out what came instead: the API server estimates a number's text as unbounded, and
/// refuses the rule.
pub(crate) fn integer(field: &str, min: u32, max: u32) -> Rule {
    Rule::new(format!("self >= {min} && self <= {max}")).message(Message::Message(format!("{field} must be {min} to {max}")))
}

/// A duration from `min` to `max`; `also` goes on with the sentence.
pub(crate) fn duration(field: &str, min: &str, max: &str, also: &str) -> Rule {
    Rule::new(format!("duration(self) >= duration('{min}') && duration(self) <= duration('{max}')"))
        .message(Message::Expression(format!("'{field} must be {min} to {max}{also}, not ' + self")))
}

/// An amount of memory from `min` to `max`.
pub(crate) fn byte_size(field: &str, min: &str, max: &str) -> Rule {
    Rule::new(format!(
        "quantity(string(self)).compareTo(quantity('{min}')) >= 0 && quantity(string(self)).compareTo(quantity('{max}')) <= 0"
    ))
    .message(Message::Expression(format!("'{field} must be {min} to {max}, not ' + string(self)")))
}

/// A number of copies that would not be looked at must not be asked for.
pub(crate) fn copies_of_all_members() -> Rule {
    Rule::new("self.topology != 'AllMembers' || self.copies == 1")
        .message(
            "spec.replication.copies must be left out (or 1, the default) when spec.replication.topology is AllMembers: every other member keeps a copy",
        )
        .field_path(".copies")
}

/// A queue that does not hold one session twice would block for ever on a large one.
pub(crate) fn queue_holds_a_session() -> Rule {
    Rule::new(
        "quantity(string(self.replication.transport.queueBytes)).compareTo(quantity(string(self.sessions.maxBytes)).add(quantity(string(self.sessions.maxBytes)))) >= 0",
    )
    .message(Message::Expression(
        "'spec.replication.transport.queueBytes must be at least twice spec.sessions.maxBytes, which is ' + string(self.sessions.maxBytes) + ', not ' + string(self.replication.transport.queueBytes)".into(),
    ))
    .field_path(".replication.transport.queueBytes")
}

/// The key of a label, as Kubernetes has them.
pub(crate) fn label_key(field: &str) -> Rule {
    Rule::new("self.matches('^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$')").message(
        Message::Expression(format!("'{field} must be the key of a label of nodes, such as topology.kubernetes.io/zone, not ' + self")),
    )
}

/// Presets stand for what session libraries write in Redis.
pub(crate) fn in_process_has_no_preset() -> Rule {
    in_process("!has(self.workload.preset)", ".workload.preset").message(
        "spec.workload.preset must be left out when spec.workload.app.member is InProcess: presets are for session libraries that speak the Redis protocol. Name the session cookie in spec.affinity.sources",
    )
}

/// What would be said about a container that is not there.
pub(crate) fn in_process_has_no_runtime() -> Rule {
    in_process("!has(self.runtime.image) && !has(self.runtime.resources) && !has(self.runtime.threads)", ".runtime").message(
        "spec.runtime must have no image, resources or threads when spec.workload.app.member is InProcess: there is no runtime beside the application, whose resources are spec.workload.app.resources",
    )
}

/// What would be said about a protocol that nobody serves.
pub(crate) fn in_process_serves_no_redis() -> Rule {
    in_process("!has(self.security.redis.usersSecretRef) && !has(self.security.redis.idleTimeout)", ".security.redis").message(
        "spec.security.redis must have no usersSecretRef and no idleTimeout when spec.workload.app.member is InProcess: nobody serves the Redis protocol there",
    )
}

/// What has to hold where the application is the member.
fn in_process(rule: &str, field_path: &str) -> Rule {
    Rule::new(format!("self.workload.app.member != 'InProcess' || ({rule})")).field_path(field_path)
}

/// An address left over from another Redis would be used instead of the runtime's, without a word.
pub(crate) fn redis_url_is_set_once() -> Rule {
    Rule::new(
        "!has(self.workload.app.env) || self.workload.app.member == 'InProcess' || has(self.security.redis.usersSecretRef) || self.workload.app.env.all(e, e.name != 'REDIS_URL')",
    )
    .message(
        "spec.workload.app.env must not set REDIS_URL: Holdfast sets it, unless spec.security.redis.usersSecretRef asks for a password or spec.workload.app.member is InProcess",
    )
    .field_path(".workload.app.env")
}
