//! Listing all keys of the cluster. A key's position is a fixed hash of it, and each member lists the keys whose home it is, so a key that exists
//! for the whole of a scan is listed whatever moves in the meantime.

use serde::{Deserialize, Serialize};

use crate::command::Key;

/// One step of a scan over the whole cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanPage {
    /// Where to go on; 0 when the scan is complete.
    pub cursor: u64,
    /// Keys found in this step, at least one time each over a whole scan.
    pub keys: Vec<Key>,
}

/// What one member contributes to a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanPart {
    /// The epoch of the view in which the member is home to these keys.
    pub epoch: u64,
    /// Position and key, in the order of positions.
    pub keys: Vec<(u64, Key)>,
    /// The first position that this part says nothing about; `None` when it reaches the end.
    pub next: Option<u64>,
}

impl ScanPage {
    /// Joins the parts of all members: as far as all of them reach.
    pub fn merge(parts: Vec<ScanPart>) -> ScanPage {
        let reach = parts.iter().filter_map(|part| part.next).min();
        let keys = parts
            .into_iter()
            .flat_map(|part| part.keys)
            .filter(|(position, _)| reach.is_none_or(|reach| *position < reach))
            .map(|(_, key)| key)
            .collect();
        ScanPage { cursor: reach.unwrap_or(0), keys }
    }
}
