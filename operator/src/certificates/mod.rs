//! The certificates of the links between members: an authority for each cluster, and one certificate that all its members share, in two Secrets.
//!
//! [`plan`] decides, purely, what the Secrets have to become; [`issue`] makes keys and certificates; [`secrets`] is how they are stored; [`keep`] reads,
//! decides and writes, once in each pass.

mod issue;
mod keep;
mod plan;
mod secrets;

use holdfast_api::LinksReport;
use jiff::{SignedDuration, Timestamp};

pub use self::issue::IssueError;
pub use self::keep::{CertificateError, ensure};
pub use self::plan::Step;

/// Annotation on a SessionCluster: with each new value, whatever it is, the members get a new certificate at once.
pub const ROTATE_CERTIFICATES_ANNOTATION: &str = "holdfast.dev/rotate-certificates";
/// Annotation on a SessionCluster: with each new value, whatever it is, a new authority takes the place of the old one.
pub const ROTATE_AUTHORITY_ANNOTATION: &str = "holdfast.dev/rotate-authority";

/// How long keys are used, and what has to be waited for.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// Life of the members' certificate; it is renewed after two thirds.
    pub certificate: SignedDuration,
    /// Life of an authority; another one takes its place after two thirds.
    pub authority: SignedDuration,
    /// By when a pod that does not say what it has has what was written into its Secret. The kubelet looks once a minute, and may look at a cache that is a minute old; the
    /// runtime looks every five seconds. The rest is for kubelets that are late.
    pub sync: SignedDuration,
    /// How far in the past certificates begin, for clocks that are behind.
    pub backdate: SignedDuration,
}

/// As used.
pub const TIMES: Times = Times {
    certificate: SignedDuration::from_hours(30 * 24),
    authority: SignedDuration::from_hours(2 * 365 * 24),
    sync: SignedDuration::from_mins(5),
    backdate: SignedDuration::from_mins(15),
};

/// An authority.
#[derive(Clone, PartialEq, Eq)]
pub struct Authority {
    /// Its serial number.
    pub id: String,
    /// Since when it is valid.
    pub from: Timestamp,
    /// Until when.
    pub until: Timestamp,
    /// Its certificate, PEM.
    pub certificate: String,
    /// Its key, PEM; `None` if it is lost: then it can be trusted still, and issue nothing more.
    pub key: Option<String>,
}

/// What members show each other.
#[derive(Clone, PartialEq, Eq)]
pub struct Leaf {
    /// Its serial number.
    pub id: String,
    /// Who issued it.
    pub authority: String,
    /// Since when it is valid.
    pub from: Timestamp,
    /// Until when.
    pub until: Timestamp,
    /// The certificate, PEM.
    pub certificate: String,
    /// Its key, PEM.
    pub key: String,
}

/// The Secret that only the operator uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorities {
    /// All that members have to trust, the newest last; never empty.
    pub list: Vec<Authority>,
    /// Which of them issues. Written before anything that it issues, so that the other Secret can be made again from this one.
    pub signer: String,
    /// The last request for a new authority that was followed.
    pub rotated: Option<String>,
}

/// The Secret that the members' pods mount.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Published {
    /// Whom members trust.
    pub bundle: Vec<Authority>,
    /// Since when all of them are in it.
    pub bundle_since: Option<Timestamp>,
    /// What they show.
    pub leaf: Option<Leaf>,
    /// Since when it is in it.
    pub leaf_since: Option<Timestamp>,
    /// The last request for a new certificate that was followed.
    pub rotated: Option<String>,
}

/// Both Secrets, as far as they are there and of use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// The operator's own.
    pub authorities: Option<Authorities>,
    /// The pods'.
    pub published: Option<Published>,
}

/// The pod of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its name.
    pub pod: String,
    /// What it says that it has; an older runtime, or one that has just started, says nothing.
    pub has: Option<LinksReport>,
}

/// What people ask for by annotations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requests {
    /// Value of [`ROTATE_CERTIFICATES_ANNOTATION`].
    pub certificates: Option<String>,
    /// Value of [`ROTATE_AUTHORITY_ANNOTATION`].
    pub authority: Option<String>,
}

/// How it stands with the links of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Links {
    /// Mutual TLS.
    Encrypted {
        /// When the members' certificate ends, unless it is renewed.
        certificate: Timestamp,
        /// When its authority ends.
        authority: Timestamp,
        /// Whether authorities are being changed.
        rotating: bool,
        /// Pods that have yet to get what the next step of that needs, or to say that they have it.
        waiting: Vec<String>,
    },
    /// Plain TCP, as the spec says.
    Disabled,
    /// Plain TCP, because the members that there are were made so. They and others with TLS could not reach each other.
    MadeWithout,
}

/// Without the keys.
impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Authority({} {}..{} key {})", self.id, self.from, self.until, self.key.is_some())
    }
}

/// Without the key.
impl std::fmt::Debug for Leaf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Leaf(by {} {}..{})", self.authority, self.from, self.until)
    }
}
