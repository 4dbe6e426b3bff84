//! What one request came to, judged as a user can: from the status, the gateway's own error header, or the broken connection.

use reqwest::{Method, StatusCode};

/// Names in a header which member answered.
pub(super) const MEMBER: &str = "x-holdfast-member";
/// Set on an answer that the gateway made itself; says why.
pub(super) const GATEWAY_ERROR: &str = "x-holdfast-error";

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Acknowledged: it must hold from now on.
    Done,
    /// Failed, and surely not carried out.
    NotDone,
    /// Failed; it may or may not have been carried out.
    Unknown,
    /// As `Unknown`, but it was under way to a member that went, and is not safe to repeat: no gateway could do better.
    InFlight,
}

/// Judges an answer; `gateway_error` is the value of [`GATEWAY_ERROR`].
pub(super) fn of_answer(method: &Method, status: StatusCode, gateway_error: Option<&str>) -> Outcome {
    match gateway_error {
        Some("no-member" | "unsent") => Outcome::NotDone,
        Some("in-flight") if *method == Method::POST => Outcome::InFlight,
        Some(_) => Outcome::Unknown,
        None if status.is_success() => Outcome::Done,
        None if status.is_client_error() => Outcome::NotDone,
        None => Outcome::Unknown,
    }
}

/// Judges a request that got no answer.
pub(super) fn of_error(error: &reqwest::Error) -> Outcome {
    if error.is_connect() || error.is_builder() { Outcome::NotDone } else { Outcome::Unknown }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_unrepeatable_request_is_excused_for_being_under_way() {
        let bad = StatusCode::BAD_GATEWAY;
        assert_eq!(of_answer(&Method::POST, bad, Some("in-flight")), Outcome::InFlight);
        assert_eq!(of_answer(&Method::GET, bad, Some("in-flight")), Outcome::Unknown);
        assert_eq!(of_answer(&Method::DELETE, bad, Some("in-flight")), Outcome::Unknown);
    }

    #[test]
    fn what_was_never_sent_was_not_done() {
        assert_eq!(of_answer(&Method::POST, StatusCode::BAD_GATEWAY, Some("unsent")), Outcome::NotDone);
        assert_eq!(of_answer(&Method::POST, StatusCode::SERVICE_UNAVAILABLE, Some("no-member")), Outcome::NotDone);
        assert_eq!(of_answer(&Method::POST, StatusCode::GATEWAY_TIMEOUT, Some("timeout")), Outcome::Unknown);
    }

    #[test]
    fn the_applications_own_answers() {
        assert_eq!(of_answer(&Method::POST, StatusCode::OK, None), Outcome::Done);
        assert_eq!(of_answer(&Method::POST, StatusCode::UNPROCESSABLE_ENTITY, None), Outcome::NotDone);
        assert_eq!(of_answer(&Method::POST, StatusCode::INTERNAL_SERVER_ERROR, None), Outcome::Unknown);
        assert_eq!(of_answer(&Method::GET, StatusCode::FOUND, None), Outcome::Unknown);
    }
}
