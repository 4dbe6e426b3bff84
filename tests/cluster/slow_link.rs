//! A link that carries little: both ends of a node's wire are given a token bucket, and what is more waits in line before it.

use holdfast_support::command::{self, Run};

use super::faults::Error;
use super::handle::{Cluster, Error as ClusterError, Lab};
use super::namespaces::Namespaces;
use super::topology::CONTROL_PLANE;

/// What waits in line is dropped after so long, as a router with a small buffer does.
const LONGEST_WAIT: &str = "800ms";
/// A frame has to fit.
const BURST: &str = "4kb";

impl Cluster {
    /// Lets a node's wire carry no more than so many kbit/s in each direction.
    pub async fn slow_link(&self, node: &str, kbit: u32) -> Result<(), ClusterError> {
        let lab = self.lab("slowing a link")?;
        lab.check_node(node)?;
        let rate = format!("{kbit}kbit");
        for (network, wire) in ends(lab, node) {
            let set =
                ["-n", &network, "qdisc", "replace", "dev", &wire, "root", "tbf", "rate", &rate, "burst", BURST, "latency", LONGEST_WAIT];
            Run::new("tc", set).output().await.map_err(|source| refused(node, "slow", source))?;
        }
        Ok(())
    }

    /// How many packets had to wait at a slow link.
    pub async fn delayed_packets(&self, node: &str) -> Result<u64, ClusterError> {
        let lab = self.lab("looking at a link")?;
        lab.check_node(node)?;
        let mut delayed = 0;
        for (network, wire) in ends(lab, node) {
            let shown = Run::new("tc", ["-n", &network, "-s", "qdisc", "show", "dev", &wire]).output().await;
            delayed += overlimits(&shown.map_err(|source| refused(node, "slow", source))?);
        }
        Ok(delayed)
    }
}

/// The number before which `tc -s` writes `overlimits`: how often something had to wait.
fn overlimits(shown: &str) -> u64 {
    shown.split_whitespace().skip_while(|word| *word != "overlimits").nth(1).and_then(|count| count.parse().ok()).unwrap_or_default()
}

impl Lab {
    /// Lets a node's wire carry what it can.
    pub(super) async fn quick_link(&self, node: &str) -> Result<(), Error> {
        for (network, wire) in ends(self, node) {
            let shown = Run::new("tc", ["-n", &network, "qdisc", "show", "dev", &wire]).output().await;
            if shown.map_err(|source| refused(node, "quick", source))?.contains("tbf") {
                let ended = Run::new("tc", ["-n", &network, "qdisc", "del", "dev", &wire, "root"]).output().await;
                ended.map_err(|source| refused(node, "quick", source))?;
            }
        }
        Ok(())
    }
}

/// Network namespace and device of both ends of a node's wire.
fn ends(lab: &Lab, node: &str) -> [(String, String); 2] {
    let network = |machine| Namespaces::of(&lab.state, machine).network;
    [(network(node), "eth0".to_owned()), (network(CONTROL_PLANE), node.to_owned())]
}

fn refused(node: &str, direction: &'static str, source: command::Error) -> Error {
    Error::Link { node: node.to_owned(), direction, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waited_is_read_from_tc() {
        let shown =
            "qdisc tbf 8001: root refcnt 2 rate 1Mbit burst 4Kb lat 400ms\n Sent 90 bytes 3 pkt (dropped 1, overlimits 7 requeues 0)\n";
        assert_eq!(overlimits(shown), 7);
        assert_eq!(overlimits("qdisc noqueue 0: root refcnt 2\n"), 0);
    }
}
