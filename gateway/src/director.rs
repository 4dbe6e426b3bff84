//! The director owns the routing table: it puts together what the watches and the control streams say, makes the next table, starts a control
//! stream for each member that comes and ends what belongs to each that goes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use holdfast_process::health::Health;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::clock;
use crate::control;
use crate::credentials::Credentials;
use crate::gateway::Gateway;
use crate::intent::Intent;
use crate::member::Member;
use crate::table::endpoint::Endpoint;
use crate::table::plan::{Known, kept, same};
use crate::table::{Entry, Table};

/// How often the director looks without news: idle connections grow old, and members that vanished do not stay for ever.
const TICK: Duration = Duration::from_secs(5);

/// What the watches find.
#[derive(Clone, Debug)]
pub enum Event {
    /// All members that the EndpointSlices list.
    Endpoints(Vec<Endpoint>),
    /// What the operator wants.
    Intent(Intent),
}

/// Keeps the table of one gateway.
pub struct Director {
    gateway: Arc<Gateway>,
    credentials: Credentials,
    health: Health,
    intent: Intent,
    /// `None` until the first list has come.
    listed: Option<Vec<Endpoint>>,
    entries: Vec<Followed>,
}

struct Followed {
    entry: Entry,
    /// Where its control stream is, and what ends the task that follows it.
    control: (SocketAddr, CancellationToken),
}

impl Director {
    /// A director for `gateway`. It makes `health` ready once it has the first table.
    pub fn new(gateway: Arc<Gateway>, credentials: Credentials, health: Health) -> Self {
        health.set_ready(Err("the EndpointSlices of the members have not been seen yet".to_owned()));
        Self { gateway, credentials, health, intent: Intent::default(), listed: None, entries: Vec::new() }
    }

    /// Works until `shutdown`. When `events` ends (the watches are gone for good), the last table stays.
    pub async fn run(mut self, mut events: mpsc::Receiver<Event>, shutdown: CancellationToken) {
        let pulse = self.health.pulse("director", TICK * 6);
        let mut tick = tokio::time::interval(TICK);
        let mut open = true;
        loop {
            let gateway = self.gateway.clone();
            pulse.beat();
            tokio::select! {
                () = shutdown.cancelled() => break,
                event = events.recv(), if open => match event {
                    Some(event) => self.take(event),
                    None => open = false,
                },
                () = gateway.director.notified() => self.renew(),
                _ = tick.tick() => self.tend(),
            }
        }
        for followed in &self.entries {
            followed.control.1.cancel();
        }
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Endpoints(endpoints) => {
                let first = self.listed.replace(endpoints).is_none();
                self.renew();
                if first {
                    info!(members = self.entries.len(), "the first routing table is in use");
                    self.health.set_started(Ok(()));
                    self.health.set_ready(Ok(()));
                }
            }
            Event::Intent(intent) => {
                if intent != self.intent {
                    info!(generation = intent.generation, "a new intent is followed");
                    self.intent = intent;
                    self.renew();
                }
            }
        }
    }

    /// What time alone changes.
    fn tend(&mut self) {
        for followed in &self.entries {
            followed.entry.member.pool.reap(self.gateway.limits.pool_idle);
        }
        if self.entries.iter().any(|followed| followed.entry.unlisted.is_some()) {
            self.renew();
        }
    }

    /// Makes the next table. Without a list there is none: an intent alone names no member.
    fn renew(&mut self) {
        let Some(listed) = &self.listed else { return };
        let now = clock::now();
        let mut present = std::mem::take(&mut self.entries);
        let known: Vec<Known> = present.iter().map(|followed| known(&followed.entry)).collect();
        let stays = kept(&known, listed, self.gateway.is_controlled(), now, self.gateway.limits.ghosts);

        let mut next = Vec::with_capacity(listed.len() + stays.len());
        for index in &stays {
            let entry = &mut present[*index].entry;
            if entry.unlisted.is_none() {
                warn!(member = entry.member.route, "a member vanished from the EndpointSlices and is kept for now");
                entry.unlisted = Some(now);
            }
        }
        let mut gone = Vec::new();
        for (index, followed) in present.into_iter().enumerate() {
            if stays.contains(&index) {
                next.push(followed);
            } else {
                gone.push((followed, &known[index]));
            }
        }
        for endpoint in listed {
            let old = gone.iter().position(|(_, known)| same(known, endpoint)).map(|index| gone.swap_remove(index).0);
            let mut followed = old.unwrap_or_else(|| self.welcome(endpoint));
            let Endpoint { ready, serving, terminating, .. } = *endpoint;
            followed.entry = Entry { ready, serving, terminating, unlisted: None, ..followed.entry };
            next.push(followed);
        }
        for (followed, _) in gone {
            info!(member = followed.entry.member.route, uid = followed.entry.member.uid, "a member has left the table");
            followed.control.1.cancel();
            followed.entry.member.retire();
        }
        next.sort_by_key(|followed| ordinal(&self.gateway.cluster, &followed.entry));
        for followed in &mut next {
            self.follow(followed);
        }
        self.entries = next;
        self.publish();
    }

    fn welcome(&self, endpoint: &Endpoint) -> Followed {
        let member = Member::new(endpoint);
        info!(member = member.route, uid = member.uid, addr = %member.addr, "a member has entered the table");
        let Endpoint { ready, serving, terminating, .. } = *endpoint;
        let entry = Entry { member, ready, serving, terminating, unlisted: None };
        // The port 0 is nobody's: the stream is opened by `follow`.
        Followed { entry, control: (SocketAddr::new(endpoint.addr.ip(), 0), CancellationToken::new()) }
    }

    /// Starts the control stream of a new member, and again where the operator moved the port.
    fn follow(&self, followed: &mut Followed) {
        let member = &followed.entry.member;
        let addr = SocketAddr::new(member.addr.ip(), self.intent.admin_port);
        if followed.control.0 == addr {
            return;
        }
        followed.control.1.cancel();
        let end = member.gone.child_token();
        followed.control = (addr, end.clone());
        tokio::spawn(control::follow(self.gateway.clone(), member.clone(), addr, self.credentials.clone(), end));
    }

    fn publish(&self) {
        let entries: Vec<Entry> = self.entries.iter().map(|followed| followed.entry.clone()).collect();
        let before = self.gateway.table.load();
        let same = before.intent == self.intent
            && before.entries.len() == entries.len()
            && before.entries.iter().zip(&entries).all(|(old, new)| old.stands_as(new));
        if !same {
            if !self.gateway.is_controlled() {
                // Nobody counts sessions: a member that joins starts equal to the others, not with all new sessions of the next hours.
                entries.iter().for_each(|entry| entry.member.forget_newcomers());
            }
            self.gateway.swap(Table { intent: self.intent.clone(), entries });
        }
    }
}

fn known(entry: &Entry) -> Known {
    let member = &entry.member;
    Known { pod: member.route.clone(), uid: member.uid.clone(), addr: member.addr, alive: member.alive(), unlisted: entry.unlisted }
}

fn ordinal(cluster: &str, entry: &Entry) -> Option<u32> {
    holdfast_api::names::ordinal(cluster, &entry.member.route)
}
