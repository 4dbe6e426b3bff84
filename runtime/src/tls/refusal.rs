//! Handshakes that led to nothing: why, counted, and logged at a bounded rate, because whoever reaches the port can cause them.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use metrics::counter;
use rustls::{AlertDescription, CertificateError, Error, InvalidMessage, OtherError};
use tracing::{debug, warn};

use super::peer::WrongIdentity;

/// One line a reason and side in this time; the next one says how many there were in between.
const QUIET: Duration = Duration::from_secs(10);

/// Which end of the connection this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Side {
    /// The peer dialed.
    Accepted,
    /// This member dialed.
    Dialed,
}

impl Side {
    fn label(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Dialed => "dialed",
        }
    }
}

/// Why there was no link. The words are the metric's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reason {
    Expired,
    NotYetValid,
    UnknownAuthority,
    WrongIdentity,
    BadCertificate,
    NoCertificate,
    Plaintext,
    Incompatible,
    ByPeer,
    TimedOut,
    Closed,
    Other,
}

impl Reason {
    fn label(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::UnknownAuthority => "unknown_authority",
            Self::WrongIdentity => "wrong_identity",
            Self::BadCertificate => "bad_certificate",
            Self::NoCertificate => "no_certificate",
            Self::Plaintext => "plaintext",
            Self::Incompatible => "incompatible",
            Self::ByPeer => "by_peer",
            Self::TimedOut => "timed_out",
            Self::Closed => "closed",
            Self::Other => "other",
        }
    }

    pub(super) fn of(error: &io::Error) -> Self {
        let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else {
            return match error.kind() {
                io::ErrorKind::TimedOut => Self::TimedOut,
                io::ErrorKind::UnexpectedEof
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::BrokenPipe => Self::Closed,
                _ => Self::Other,
            };
        };
        match tls {
            Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => Self::Expired,
            Error::InvalidCertificate(CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. }) => Self::NotYetValid,
            // A wrong signature is what an authority of the same name leads to.
            Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => Self::UnknownAuthority,
            Error::InvalidCertificate(CertificateError::Other(OtherError(other))) if other.is::<WrongIdentity>() => Self::WrongIdentity,
            Error::InvalidCertificate(_) => Self::BadCertificate,
            Error::NoCertificatesPresented => Self::NoCertificate,
            Error::InvalidMessage(InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion) => Self::Plaintext,
            Error::AlertReceived(AlertDescription::CertificateRequired) => Self::NoCertificate,
            Error::AlertReceived(_) => Self::ByPeer,
            Error::PeerIncompatible(_) => Self::Incompatible,
            _ => Self::Other,
        }
    }
}

/// Counts and logs.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    said: Mutex<BTreeMap<(Side, Reason), Said>>,
}

#[derive(Debug)]
struct Said {
    at: Instant,
    unsaid: u64,
}

impl Refusals {
    pub(super) fn refused(&self, side: Side, peer: SocketAddr, error: &io::Error) {
        let reason = Reason::of(error);
        counter!("holdfast_link_tls_refused_total", "side" => side.label(), "reason" => reason.label()).increment(1);
        // Port scans and members that end.
        if reason == Reason::Closed {
            debug!(%peer, side = side.label(), %error, "no link: the peer went away during the handshake");
        } else if let Some(unsaid) = self.may_say(side, reason, Instant::now()) {
            warn!(%peer, side = side.label(), reason = reason.label(), %error, unsaid, "no link: the handshake failed");
        }
    }

    /// A connection ended before its greeting. In TLS 1.3 the dialing end learns only then that its certificate was refused.
    pub(super) fn ended(&self, side: Side, peer: SocketAddr, error: &io::Error) {
        if error.get_ref().is_some_and(|inner| inner.is::<Error>()) {
            self.refused(side, peer, error);
        }
    }

    /// `Some` if a line may be written now, with how many were left out.
    fn may_say(&self, side: Side, reason: Reason, now: Instant) -> Option<u64> {
        // Nothing panics while this is held.
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        match said.get_mut(&(side, reason)) {
            Some(last) if now.duration_since(last.at) < QUIET => {
                last.unsaid += 1;
                None
            }
            last => {
                let unsaid = last.map_or(0, |last| last.unsaid);
                said.insert((side, reason), Said { at: now, unsaid: 0 });
                Some(unsaid)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_refusals_is_one_line_in_ten_seconds_and_the_next_line_counts_them() {
        let (refusals, start) = (Refusals::default(), Instant::now());
        let say = |seconds| refusals.may_say(Side::Accepted, Reason::Plaintext, start + Duration::from_secs(seconds));
        assert_eq!(say(0), Some(0));
        assert_eq!((say(1), say(9)), (None, None));
        assert_eq!(say(11), Some(2));
        assert_eq!(say(22), Some(0));
        assert_eq!(refusals.may_say(Side::Accepted, Reason::Expired, start), Some(0), "another reason has its own line");
    }
}
