//! One attempt: a connection to one member, the request on it, and the response's head; for a small response to a request that may be repeated
//! also its body, so that a member that dies in the middle of it is noticed while there is still time to ask another.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode, response};
use http_body::Body;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use tokio::time::Instant;
use tracing::debug;

use crate::clock;
use crate::gateway::Gateway;
use crate::limits::Limits;
use crate::member::connect::{self, ConnectError};
use crate::member::pool::Connection;
use crate::member::{Lease, Member};
use crate::proxy::headers;
use crate::proxy::inbound::Inbound;
use crate::proxy::relay::{Flight, ResponseBody, Whole};
use crate::proxy::replay::Outgoing;
use crate::proxy::retry::Trouble;
use crate::table::tier::Link;

/// An error response may be faster than the news that the member's runtime has died. This is how long it waits for them.
const NEWS: Duration = Duration::from_millis(10);

/// A member's response.
pub(crate) struct Answered {
    pub(crate) parts: response::Parts,
    pub(crate) body: Answer,
    /// An error of a member whose runtime is gone: it says more about the member than about the request.
    pub(crate) doubtful: bool,
}

/// What follows the head of a response.
pub(crate) enum Answer {
    /// A body, or none.
    Body(ResponseBody),
    /// Another protocol, on the member's connection.
    Tunnel(Lease),
}

/// Sends the request to the member of the lease. `fresh`: not on a connection that has been used before.
pub(crate) async fn run(gateway: &Arc<Gateway>, lease: Lease, inbound: &Inbound, fresh: bool) -> Result<Answered, Trouble> {
    let member = lease.member().clone();
    let silences = member.silences();
    let connection = connect(gateway, &member, inbound, fresh).await?;
    let reused = connection.reused;
    let Some(body) = inbound.body.attempt() else {
        // Only a client's failure takes a body away that has not been sent.
        return Err(inbound.body.failure().map_or(Trouble::Broken { reused }, Trouble::Client));
    };
    let (response, connection) = tokio::select! {
        biased;
        sent = send(connection, inbound.message(body)) => sent,
        trouble = wait(gateway, &member, silences, inbound) => return Err(trouble),
    };
    let response = match response {
        Ok(response) => response,
        Err(mut error) => {
            let unsent = error.take_message().is_some();
            debug!(member = member.route, error = %error.error(), unsent, reused, "an attempt failed");
            member.pool.purge();
            return Err(match inbound.body.failure() {
                Some(failure) => Trouble::Client(failure),
                None if unsent => Trouble::Unsent { reused },
                None => Trouble::Broken { reused },
            });
        }
    };
    member.hear_data();
    let doubtful = is_doubtful(gateway, &member, response.status()).await;
    let flight = Flight { lease, connection, silences };
    receive(gateway, response, flight, inbound, doubtful, reused).await
}

async fn connect(gateway: &Arc<Gateway>, member: &Arc<Member>, inbound: &Inbound, fresh: bool) -> Result<Connection, Trouble> {
    let resting = if fresh { None } else { longest_rest(member.unheard(), inbound.is_safe_to_repeat(), &gateway.limits) };
    if let Some(connection) = resting.and_then(|longest| member.pool.take(longest)) {
        return Ok(connection);
    }
    connect::open(member, &gateway.limits).await.map_err(|error| {
        debug!(%error, "no connection");
        if !matches!(error, ConnectError::Here { .. }) {
            gateway.eject(member, &error);
        }
        Trouble::NotConnected
    })
}

type Sent = Result<Response<Incoming>, TrySendError<Request<Outgoing>>>;

/// Sends the message, and gives the response's head and the connection, if that is not over.
async fn send(mut connection: Connection, message: Request<Outgoing>) -> (Sent, Option<Connection>) {
    connection.unanswered.set(true);
    let mut sending = std::pin::pin!(connection.sender.try_send_request(message));
    tokio::select! {
        biased;
        sent = &mut sending => {
            connection.unanswered.set(sent.is_err());
            return (sent, Some(connection));
        }
        _ = &mut connection.ended => {}
    }
    // A message that comes just when the connection's task ends may stay in the channel between the two, which nobody reads any more, and the
    // future would never resolve (seen with hyper 1.12 and tokio 1.54, once in some 100 000 races). It comes back when the channel goes.
    drop(connection);
    (sending.await, None)
}

/// How long a connection may have rested to carry a request now; `None`: a fresh one is better. See the limits for the reasons.
fn longest_rest(unheard: Duration, safe: bool, limits: &Limits) -> Option<Duration> {
    let (heard, rested) = if safe { (limits.safe_heard, limits.pool_idle) } else { (limits.unsafe_heard, limits.unsafe_idle) };
    (unheard <= heard).then_some(rested)
}

/// Ends when the response's head need not be waited for any longer.
async fn wait(gateway: &Gateway, member: &Member, silences: u64, inbound: &Inbound) -> Trouble {
    let limits = &gateway.limits;
    let late = async {
        let mut deadline = Instant::now() + limits.response_head;
        loop {
            tokio::time::sleep_until(deadline).await;
            // While the request is still on its way, the response cannot be late.
            let left = limits.response_head.saturating_sub(clock::since(inbound.body.progress()));
            if left.is_zero() || inbound.body.progress() == 0 {
                return Trouble::Late;
            }
            deadline = Instant::now() + left;
        }
    };
    let lost = async {
        member.lost(silences).await;
        // A request that cannot be repeated is given up only when the application, too, has been silent.
        while !inbound.is_safe_to_repeat() {
            let left = limits.silence.saturating_sub(clock::since(member.heard_data()));
            if left.is_zero() {
                break;
            }
            tokio::time::sleep(left).await;
        }
        Trouble::Lost
    };
    tokio::select! {
        trouble = late => trouble,
        trouble = lost => trouble,
    }
}

/// An application whose runtime has just died answers with errors until it gets its sessions back.
async fn is_doubtful(gateway: &Gateway, member: &Member, status: StatusCode) -> bool {
    let suspicious = matches!(status.as_u16(), 500 | 502..=504) && gateway.is_controlled();
    if suspicious && member.link() == Link::Live {
        tokio::time::sleep(NEWS).await;
    }
    suspicious && matches!(member.link(), Link::Broken | Link::Silent)
}

async fn receive(
    gateway: &Arc<Gateway>,
    response: Response<Incoming>,
    mut flight: Flight,
    inbound: &Inbound,
    doubtful: bool,
    reused: bool,
) -> Result<Answered, Trouble> {
    let limits = &gateway.limits;
    let (mut parts, body) = response.into_parts();
    if !headers::is_coding_known(&parts.headers) {
        debug!(member = flight.lease.member().route, "a member's response has an unknown transfer coding");
        return Err(Trouble::Broken { reused });
    }
    if parts.status == StatusCode::SWITCHING_PROTOCOLS {
        if inbound.upgrade.is_none() {
            debug!(member = flight.lease.member().route, "a member changes the protocol unasked");
            return Err(Trouble::Broken { reused });
        }
        // The member's side of the tunnel stays in the extensions.
        return Ok(Answered { parts, body: Answer::Tunnel(flight.lease), doubtful });
    }
    if headers::settle_length(&mut parts.headers, body.size_hint().exact().filter(|length| *length > 0)) {
        flight.connection = None;
    }
    if body.is_end_stream() {
        flight.land(limits);
        return Ok(Answered { parts, body: Answer::Body(ResponseBody::Whole(Whole::default())), doubtful });
    }
    let length = body.size_hint().exact().and_then(|length| usize::try_from(length).ok()).filter(|length| *length <= limits.replay_bytes);
    let permit = length
        .filter(|_| inbound.is_safe_to_repeat())
        .and_then(|length| gateway.memory.clone().try_acquire_many_owned(u32::try_from(length).ok()?).ok());
    let body = match permit {
        None => ResponseBody::relay(body, flight, limits.clone()),
        Some(permit) => {
            let whole = collect(body, &flight, limits, reused).await.inspect_err(|_| flight.lease.member().pool.purge())?;
            flight.land(limits);
            ResponseBody::Whole(Whole { parts: whole.into(), _permit: Some(permit) })
        }
    };
    Ok(Answered { parts, body: Answer::Body(body), doubtful })
}

/// The whole body.
async fn collect(mut body: Incoming, flight: &Flight, limits: &Limits, reused: bool) -> Result<Vec<Bytes>, Trouble> {
    let member = flight.lease.member();
    let mut parts = Vec::with_capacity(1);
    while !body.is_end_stream() {
        let frame = tokio::select! {
            biased;
            frame = body.frame() => frame,
            () = member.lost(flight.silences) => return Err(Trouble::Lost),
            () = tokio::time::sleep(limits.response_head) => return Err(Trouble::Late),
        };
        match frame {
            None => break,
            Some(Err(error)) => {
                debug!(member = member.route, %error, "a response broke off");
                return Err(Trouble::Broken { reused });
            }
            Some(Ok(frame)) => {
                member.hear_data();
                parts.extend(frame.into_data().ok());
            }
        }
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_cannot_be_repeated_takes_only_a_connection_that_is_surely_alive() {
        let limits = Limits::default();
        let millis = Duration::from_millis;
        assert_eq!(longest_rest(millis(100), false, &limits), Some(limits.unsafe_idle));
        assert_eq!(longest_rest(millis(600), false, &limits), None);
        assert_eq!(longest_rest(millis(600), true, &limits), Some(limits.pool_idle));
        assert_eq!(longest_rest(millis(1600), true, &limits), None);
    }
}
