//! The path of a request: taken in, sent to the member where it belongs, to others where that fails and it does no harm, and answered. Everything
//! decided on the way is decided by pure functions in the modules beside; this one puts them in order.

pub(crate) mod answer;
mod attempt;
pub(crate) mod budget;
mod cacheable;
mod headers;
pub(crate) mod hold;
mod inbound;
pub(crate) mod relay;
pub(crate) mod replay;
mod retry;
mod tunnel;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use http::header::{CONNECTION, HeaderValue, SET_COOKIE, UPGRADE};
use http::{Request, Response, Version};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use tracing::debug;

use crate::clock;
use crate::cookie;
use crate::gateway::Gateway;
use crate::intent::Intent;
use crate::member::Member;
use crate::meters;
use crate::proxy::answer::{Failure, Refusal};
use crate::proxy::attempt::{Answer, Answered};
use crate::proxy::inbound::Inbound;
use crate::proxy::relay::{ResponseBody, Whole};
use crate::proxy::retry::{Next, Trouble};
use crate::table::pick::Wish;

/// A member's response and who gave it.
struct Served {
    answered: Answered,
    member: Arc<Member>,
}

/// How a request ended without a member's response.
enum Unserved {
    Failed(Failure),
    Refused(Refusal),
}

/// Answers one request of a client.
pub(crate) async fn handle(gateway: &Arc<Gateway>, client: SocketAddr, request: Request<Incoming>) -> Response<ResponseBody> {
    let start = Instant::now();
    gateway.budget.request(clock::now());
    let table = gateway.table.load_full();
    let intent = &table.intent;
    let admitted = Inbound::admit(request, client.ip(), &gateway.cluster, intent, &gateway.limits, &gateway.memory);
    let mut inbound = match admitted {
        Ok(inbound) => inbound,
        Err(refusal) => {
            debug!(%client, ?refusal, "refused");
            return own(gateway, refusal.response());
        }
    };
    let binding = table.binding(&gateway.cluster, &inbound.routes).map(ToOwned::to_owned);
    // The table is not held on to: while the request waits it may be replaced.
    let intent = intent.clone();
    drop(table);

    let session = inbound.session(&intent);
    let wish = match (&binding, session) {
        (Some(route), session) => Wish::Route(route, session.unwrap_or_else(|| inbound.everything())),
        (None, Some(session)) => Wish::Session(session),
        (None, None) => Wish::New,
    };
    let response = match route(gateway, &inbound, wish).await {
        Ok(served) => {
            count_affinity(gateway, binding.as_deref(), &served.member);
            finish(gateway, &intent, binding.as_deref(), &mut inbound, served)
        }
        Err(Unserved::Failed(failure)) => own(gateway, failure.response()),
        Err(Unserved::Refused(refusal)) => own(gateway, refusal.response()),
    };
    debug!(
        %client,
        method = %inbound.method,
        path = inbound.path(),
        bound = binding,
        member = response.headers().get(headers::MEMBER).and_then(|member| member.to_str().ok()),
        status = response.status().as_u16(),
        micros = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX),
        "access"
    );
    response
}

/// Sends the request until a member has answered it or nothing is left to try.
async fn route(gateway: &Arc<Gateway>, inbound: &Inbound, wish: Wish<'_>) -> Result<Served, Unserved> {
    let mut tried = Vec::new();
    let mut sends = 0;
    let mut last = None;
    let mut held = None;
    let mut again: Option<Arc<Member>> = None;
    loop {
        let fresh = again.is_some();
        let chosen = again.take().or_else(|| gateway.table.load().choose(wish, &tried, gateway.is_controlled()));
        let Some(member) = chosen else {
            if held.is_none() {
                held = gateway.room.enter();
            }
            let Some(held) = &mut held else {
                meters::hold("full");
                return Err(Unserved::Failed(exhausted(last)));
            };
            if !held.wait().await {
                meters::hold("expired");
                return Err(Unserved::Failed(exhausted(last)));
            }
            tried.clear();
            continue;
        };
        // The place among the outstanding ones is taken at once, so that the next choice sees it.
        let lease = member.lease();
        if wish == Wish::New && sends == 0 {
            member.newcomer();
        }
        let trouble = match attempt::run(gateway, lease, inbound, fresh).await {
            Ok(answered) => {
                sends += 1;
                if answered.doubtful && inbound.is_safe_to_repeat() && sends < gateway.limits.sends {
                    tried.push(member.id);
                    // An error is better than none: it is given up only for a member that can be asked instead.
                    let other = gateway.table.load().choose(wish, &tried, gateway.is_controlled());
                    if other.is_some() && may_retry(gateway) {
                        meters::retry("doubtful");
                        last = Some(Trouble::Lost);
                        continue;
                    }
                }
                if held.is_some() {
                    meters::hold("served");
                }
                return Ok(Served { answered, member });
            }
            Err(trouble) => trouble,
        };
        sends += u32::from(trouble.was_sent());
        last = Some(worse(last, trouble));
        match retry::next(trouble, inbound.is_safe_to_repeat(), sends, gateway.limits.sends, || may_retry(gateway)) {
            Next::Same => again = Some(member),
            Next::Elsewhere => tried.push(member.id),
            Next::Fail(failure) => return Err(Unserved::Failed(failure)),
            Next::Refuse(refusal) => return Err(Unserved::Refused(refusal)),
        }
        meters::retry(trouble.label());
    }
}

fn may_retry(gateway: &Gateway) -> bool {
    let allowed = gateway.budget.retry(clock::now());
    if !allowed {
        gateway.meters.denied.increment(1);
    }
    allowed
}

/// What the client must know in the end: once something was sent, that outweighs later attempts that came to nothing.
fn worse(last: Option<Trouble>, trouble: Trouble) -> Trouble {
    last.filter(|last| last.was_sent()).unwrap_or(trouble)
}

/// The failure of a request for which nobody is left, and nobody came.
fn exhausted(last: Option<Trouble>) -> Failure {
    match last {
        None => Failure::NoMember,
        Some(Trouble::Lost) => Failure::Cut,
        Some(trouble) if trouble.was_sent() => Failure::InFlight,
        Some(_) => Failure::Unsent,
    }
}

fn count_affinity(gateway: &Gateway, binding: Option<&str>, member: &Member) {
    match binding {
        None => gateway.meters.miss.increment(1),
        Some(route) if route == member.route => gateway.meters.hit.increment(1),
        Some(_) => gateway.meters.failover.increment(1),
    }
}

/// Makes a member's response the client's.
fn finish(gateway: &Arc<Gateway>, intent: &Intent, binding: Option<&str>, inbound: &mut Inbound, served: Served) -> Response<ResponseBody> {
    let Served { answered: Answered { mut parts, body, doubtful }, member } = served;
    member.responses.count(parts.status);
    let protocol = parts.headers.get(UPGRADE).cloned();
    headers::strip(&mut parts.headers);
    cookie::remove_bindings(&mut parts.headers, &intent.cookie);
    let route = HeaderValue::from_str(&member.route).expect("a pod's name is visible ASCII");
    parts.headers.insert(headers::MEMBER, route);
    if doubtful {
        parts.headers.insert(headers::ERROR, HeaderValue::from_static("in-flight"));
    }
    if binding != Some(member.route.as_str()) && !cacheable::by_shared_caches(&parts.headers) {
        parts.headers.append(SET_COOKIE, cookie::bind(&intent.cookie, &member.route));
    }
    // A member of HTTP/1.0 must not make the gateway one.
    parts.version = Version::HTTP_11;
    let body = match body {
        Answer::Body(body) => {
            if gateway.is_closing() {
                parts.headers.insert(CONNECTION, HeaderValue::from_static("close"));
            }
            body
        }
        Answer::Tunnel(lease) => {
            parts.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
            if let Some(protocol) = protocol {
                parts.headers.insert(UPGRADE, protocol);
            }
            if let (Some(client), Some(side)) = (inbound.upgrade.take(), parts.extensions.remove::<OnUpgrade>()) {
                tunnel::start(gateway, lease, client, side);
            }
            ResponseBody::Whole(Whole::default())
        }
    };
    Response::from_parts(parts, body)
}

/// A response of the gateway itself.
fn own(gateway: &Gateway, mut response: Response<ResponseBody>) -> Response<ResponseBody> {
    gateway.meters.own.count(response.status());
    if gateway.is_closing() {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
