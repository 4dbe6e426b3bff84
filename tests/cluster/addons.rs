//! What runs in every cluster of the lab beside Kubernetes itself: DNS and a default StorageClass.

use super::programs::COREDNS_IMAGE;
use super::topology::Topology;

/// The manifests, for `kubectl apply`.
pub(super) fn manifests(topology: &Topology) -> String {
    let dns = include_str!("addons/dns.yaml")
        .replace("COREDNS_IMAGE", COREDNS_IMAGE)
        .replace("DNS_SERVICE", &topology.addresses.dns_service().to_string());
    format!("{}---\n{dns}", include_str!("addons/base.yaml"))
}

#[cfg(test)]
mod tests {
    use super::super::addresses::Addresses;
    use super::*;

    #[test]
    fn nothing_is_left_to_fill_in() {
        let text = manifests(&Topology::new(Addresses::new(0).unwrap(), 3));
        assert!(text.contains("clusterIP: 198.18.16.10\n") && text.contains("image: localhost/holdfast-lab/coredns:1\n"), "{text}");
        assert!(!text.contains("DNS_SERVICE") && !text.contains("COREDNS_IMAGE"));
    }
}
