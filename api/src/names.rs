//! Names, labels and ports of the objects that make up a cluster, for everybody who creates, watches or dials them.
//!
//! One place, because the operator, the runtime, the gateway and the tests must agree on them to the letter.

/// API group of the custom resources.
pub const GROUP: &str = "holdfast.dev";
/// Version of the custom resources.
pub const VERSION: &str = "v1alpha1";

/// Label with the name of the cluster, on everything that belongs to it.
pub const CLUSTER_LABEL: &str = "holdfast.dev/cluster";
/// Label that tells members from gateways.
pub const COMPONENT_LABEL: &str = "app.kubernetes.io/component";
/// Label whose value [`MANAGER`] marks everything that the operator made.
pub const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";
/// Label with the name of the product.
pub const NAME_LABEL: &str = "app.kubernetes.io/name";
/// Value of [`MANAGED_BY_LABEL`] and [`NAME_LABEL`].
pub const MANAGER: &str = "holdfast";
/// Value of [`COMPONENT_LABEL`] on members and what serves them.
pub const MEMBER: &str = "member";
/// Value of [`COMPONENT_LABEL`] on gateways and what serves them.
pub const GATEWAY: &str = "gateway";
/// The container of the runtime, in a pod that has one.
pub const RUNTIME_CONTAINER: &str = "holdfast";

/// Annotation on the SessionView: how many copies the resource asks for. The members bring the view there while they run.
pub const COPIES_ANNOTATION: &str = "holdfast.dev/copies";
/// The number of copies that means "every other member": there are never more than 64 members.
pub const ALL_MEMBERS: u32 = 63;
/// Annotation on the SessionView, by the operator: a view was founded before and this object is made anew. Nobody founds a cluster on it; members that
/// have a view put theirs back.
pub const FOUNDED_ANNOTATION: &str = "holdfast.dev/founded";
/// Annotation on the SessionView, by the member that put its view back: `<epoch> from <epoch>.<sub>`, what it wrote and what it had.
pub const RESTORED_ANNOTATION: &str = "holdfast.dev/restored";
/// Annotation on the SessionView: the epoch of the last view in which acknowledged writes may have been lost. It stays when that is over.
pub const LOSSY_ANNOTATION: &str = "holdfast.dev/lossy";
/// Before the `/` of the annotations on the SessionView by which members say how their links are; behind it is the ordinal.
pub const LINKS_ANNOTATION_PREFIX: &str = "links.holdfast.dev";
/// Before the `/` of the annotations on the SessionView by which members say what they hold; behind it is the ordinal.
pub const MEMORY_ANNOTATION_PREFIX: &str = "memory.holdfast.dev";
/// A view that is put back is so far ahead of what it was and of what it replaces, so that no number is ever used twice.
pub const RESTORE_STEP: u64 = 1000;
/// Annotation on a member's pod, by the operator: the failure zone of its node; empty if the node has none.
pub const ZONE_ANNOTATION: &str = "holdfast.dev/zone";
/// Annotation on a member's pod, by the operator: the replication domain of its node; empty if there is none.
pub const DOMAIN_ANNOTATION: &str = "holdfast.dev/domain";

/// Port on which members replicate to each other, and its name in Services.
pub const REPLICATION_PORT: u16 = 4000;
/// Name of [`REPLICATION_PORT`].
pub const REPLICATION_PORT_NAME: &str = "replication";
/// Port of a member's health, metrics and admin API, and its name in Services.
pub const ADMIN_PORT: u16 = 4001;
/// Name of [`ADMIN_PORT`].
pub const ADMIN_PORT_NAME: &str = "admin";
/// Port of the Redis protocol, on a member's loopback interface.
pub const REDIS_PORT: u16 = 6379;
/// Name of the application's port, and of the gateway's.
pub const HTTP_PORT_NAME: &str = "http";
/// Port on which a gateway takes requests.
pub const GATEWAY_PORT: u16 = 8080;
/// Port of a gateway's health, metrics and routing table.
pub const GATEWAY_ADMIN_PORT: u16 = 8081;
/// Port of the Service that users reach.
pub const SERVICE_PORT: u16 = 80;

/// Key of the admin token in its Secret, and the file name it is mounted as.
pub const TOKEN_KEY: &str = "token";
/// Directory where the admin token is mounted.
pub const TOKEN_DIR: &str = "/etc/holdfast/admin";
/// Directory where a member's certificate, its key and the authorities are mounted.
pub const TLS_DIR: &str = "/etc/holdfast/tls";
/// Directory where the users of the Redis protocol are mounted.
pub const USERS_DIR: &str = "/etc/holdfast/redis";
/// Key of the users in their Secret, and the file name it is mounted as.
pub const USERS_KEY: &str = "users";
/// Key of a member's certificate in its Secret, and the file name it is mounted as.
pub const CERTIFICATE_KEY: &str = "tls.crt";
/// Key of the private key that belongs to it.
pub const PRIVATE_KEY_KEY: &str = "tls.key";
/// Key of the authorities by which members check each other.
pub const AUTHORITIES_KEY: &str = "ca.crt";
/// Directory that a member's runtime shares with the application (sockets).
pub const RUN_DIR: &str = "/run/holdfast";
/// Key of the gateway's instructions in its ConfigMap.
pub const INTENT_KEY: &str = "intent.json";
/// Name of the gateway's cookie.
pub const ROUTE_COOKIE: &str = "holdfast-route";

/// StatefulSet of the members.
pub fn stateful_set(cluster: &str) -> String {
    cluster.to_owned()
}

/// Pod of the member with this ordinal; also its route.
pub fn member_pod(cluster: &str, ordinal: u32) -> String {
    format!("{cluster}-{ordinal}")
}

/// Ordinal of a member's pod; `None` if the pod is not one of the cluster's members.
pub fn ordinal(cluster: &str, pod: &str) -> Option<u32> {
    let digits = pod.strip_prefix(cluster)?.strip_prefix('-')?;
    let canonical = digits == "0" || !digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit());
    if canonical { digits.parse().ok() } else { None }
}

/// Annotation on the SessionView by which the member with this ordinal says how its links are.
pub fn links_annotation(ordinal: u32) -> String {
    format!("{LINKS_ANNOTATION_PREFIX}/{ordinal}")
}

/// Annotation on the SessionView by which the member with this ordinal says what it holds.
pub fn memory_annotation(ordinal: u32) -> String {
    format!("{MEMORY_ANNOTATION_PREFIX}/{ordinal}")
}

/// Headless Service through which members find each other, ready or not.
pub fn members_service(cluster: &str) -> String {
    format!("{cluster}-members")
}

/// Service whose endpoints are the members ready to serve the application: what the gateway watches.
pub fn app_service(cluster: &str) -> String {
    format!("{cluster}-app")
}

/// Service that users reach: the gateway's.
pub fn gateway_service(cluster: &str) -> String {
    cluster.to_owned()
}

/// Deployment, ServiceAccount, Role, RoleBinding, ConfigMap and PodDisruptionBudget of the gateway.
pub fn gateway(cluster: &str) -> String {
    format!("{cluster}-gateway")
}

/// ServiceAccount, Role and RoleBinding of the members.
pub fn member_account(cluster: &str) -> String {
    format!("{cluster}-member")
}

/// SessionView of the cluster.
pub fn view(cluster: &str) -> String {
    cluster.to_owned()
}

/// Secret with the admin token.
pub fn admin_secret(cluster: &str) -> String {
    format!("{cluster}-admin")
}

/// Secret with the members' certificate, its key and the authorities by which they check each other.
pub fn tls_secret(cluster: &str) -> String {
    format!("{cluster}-tls")
}

/// Secret with the authorities' keys: the operator's own, mounted nowhere.
pub fn authority_secret(cluster: &str) -> String {
    format!("{cluster}-ca")
}

/// What the certificate of every member says, as a URI: which cluster it belongs to. A URI and not a host name, because a member is whoever belongs to
/// the cluster, wherever it runs, and because nobody else takes such a certificate for that of a host.
pub fn member_identity(namespace: &str, cluster: &str) -> String {
    format!("spiffe://holdfast/ns/{namespace}/cluster/{cluster}")
}

/// PodDisruptionBudget of the members.
pub fn members_budget(cluster: &str) -> String {
    cluster.to_owned()
}

/// Label selector of everything that belongs to the cluster.
pub fn cluster_selector(cluster: &str) -> String {
    format!("{MANAGED_BY_LABEL}={MANAGER},{CLUSTER_LABEL}={cluster}")
}

/// Label selector of the cluster's members, as `status.selector` gives it to an autoscaler.
pub fn member_selector(cluster: &str) -> String {
    format!("{CLUSTER_LABEL}={cluster},{COMPONENT_LABEL}={MEMBER}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ordinal_is_read_from_a_members_pod_and_from_nothing_else() {
        assert_eq!(ordinal("shop", "shop-0"), Some(0));
        assert_eq!(ordinal("shop", "shop-12"), Some(12));
        assert_eq!(ordinal("shop-2", "shop-2-3"), Some(3));
        for stranger in ["shop", "shop-", "shop-01", "shop-x", "shop-+1", "shop-gateway-5f6", "other-0", "shop-2-3", "shop-99999999999"] {
            assert_eq!(ordinal("shop", stranger), None, "{stranger}");
        }
    }
}
