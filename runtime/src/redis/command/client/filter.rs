//! Which connections `CLIENT LIST` lists and `CLIENT KILL` ends.

use bytes::Bytes;

use super::{Action, Plan};
use crate::redis::Sessions;
use crate::redis::clients::Client;
use crate::redis::command::args::{Args, Refusal};
use crate::redis::context::Context;
use crate::redis::frame::{Value, parse_integer};
use crate::redis::users::DEFAULT;

/// What a connection is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Commands.
    Normal,
    /// It listens to channels.
    Listener,
    /// Replication: there are none of these.
    Replica,
}

impl Kind {
    pub(super) fn named(name: &[u8]) -> Result<Kind, Refusal> {
        match &name.to_ascii_lowercase()[..] {
            b"normal" => Ok(Kind::Normal),
            b"pubsub" => Ok(Kind::Listener),
            b"master" | b"replica" | b"slave" => Ok(Kind::Replica),
            _ => Err(Refusal::quoting("ERR Unknown client type '", name, "'")),
        }
    }

    pub(super) fn is_of(self, client: &Client) -> bool {
        self == if client.is_listening() { Kind::Listener } else { Kind::Normal }
    }
}

/// What connections have to be like to be ended: whatever is given, all of it.
#[derive(Debug, Default)]
pub(crate) struct Filter {
    id: Option<u64>,
    kind: Option<Kind>,
    address: Option<Bytes>,
    local: Option<Bytes>,
    user: Option<Bytes>,
}

/// The old form names an address, and is an error if nobody is there; the new one has options.
pub(super) fn kill(args: &Args<'_>) -> Result<Plan, Refusal> {
    let (mut filter, mut skips_me, is_one) = (Filter::default(), true, args.len() == 3);
    if is_one {
        filter.address = Some(args.bytes(2));
        return Ok(Plan::Client(Action::Kill { filter, skips_me: false, is_one }));
    }
    for index in (2..args.len()).step_by(2) {
        let value = index + 1;
        if value == args.len() {
            return Err(Refusal::SYNTAX);
        }
        match &args.get(index).to_ascii_lowercase()[..] {
            b"id" => {
                let id = parse_integer(args.get(value)).and_then(|id| u64::try_from(id).ok()).filter(|id| *id > 0);
                filter.id = Some(id.ok_or(Refusal::fixed("ERR client-id should be greater than 0"))?);
            }
            b"type" => filter.kind = Some(Kind::named(args.get(value))?),
            b"addr" => filter.address = Some(args.bytes(value)),
            b"laddr" => filter.local = Some(args.bytes(value)),
            b"user" => filter.user = Some(args.bytes(value)),
            b"skipme" if args.is(value, "yes") => skips_me = true,
            b"skipme" if args.is(value, "no") => skips_me = false,
            _ => return Err(Refusal::SYNTAX),
        }
    }
    Ok(Plan::Client(Action::Kill { filter, skips_me, is_one }))
}

impl Filter {
    pub(super) fn kill<S: Sessions>(self, skips_me: bool, is_one: bool, context: &Context<S>) -> Value {
        if let Some(user) = &self.user
            && !is_known(user, context)
        {
            return Refusal::quoting("ERR No such user '", user, "'").into();
        }
        let others = |client: &Client| !skips_me || client.id != context.client.id;
        let mut killed = 0;
        for client in context.front.clients.all().into_iter().filter(|client| others(client) && self.means(client)) {
            client.end();
            killed += 1;
        }
        match (is_one, killed) {
            (true, 0) => Refusal::fixed("ERR No such client").into(),
            (true, _) => Value::OK,
            (false, _) => Value::Int(killed),
        }
    }

    fn means(&self, client: &Client) -> bool {
        self.id.is_none_or(|id| id == client.id)
            && self.kind.is_none_or(|kind| kind.is_of(client))
            && self.address.as_ref().is_none_or(|address| address == client.address.as_bytes())
            && self.local.as_ref().is_none_or(|local| local == client.local.as_bytes())
            && self.user.as_ref().is_none_or(|user| user == client.state().user().as_bytes())
    }
}

fn is_known<S>(user: &[u8], context: &Context<S>) -> bool {
    match &context.front.settings.users {
        Some(users) => std::str::from_utf8(user).is_ok_and(|user| users.knows(user)),
        None => user == DEFAULT.as_bytes(),
    }
}
