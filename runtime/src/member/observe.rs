//! What a member logs and shows as metrics about its life in the cluster.

use std::time::{Duration, Instant};

use holdfast_core::engine::{Event, LinkStatus};
use holdfast_core::{MemberState, View};
use metrics::{counter, describe_counter, describe_gauge, gauge};
use tracing::{debug, error, info, warn};

use crate::status::{Phase, Status};

/// A stranger can cause an alarm with each connection, so they are logged no more often than this.
const ALARM_INTERVAL: Duration = Duration::from_secs(1);

/// The reporter of one member.
#[derive(Debug)]
pub(super) struct Observer {
    last_alarm: Option<Instant>,
    unlogged_alarms: u64,
    before: Option<Phase>,
}

impl Observer {
    pub(super) fn new() -> Self {
        describe_gauge!("holdfast_sessions", "Sessions that this member holds, by role.");
        describe_gauge!("holdfast_memory_bytes", "Memory that sessions and copies take here.");
        describe_gauge!("holdfast_memory_budget_bytes", "Memory that sessions and copies may take here; absent without a limit.");
        describe_gauge!("holdfast_sessions_unprotected", "Own sessions not known to have all their copies in this view.");
        describe_gauge!("holdfast_transfers_unconfirmed", "Sessions given away without a confirmation yet.");
        describe_gauge!("holdfast_view_epoch", "Number of the adopted view.");
        describe_gauge!("holdfast_view_settled", "1 once everything is protected again in this view.");
        describe_gauge!("holdfast_view_budget", "Members that may still be evicted on suspicion.");
        describe_gauge!("holdfast_view_members", "Members of the adopted view, by state.");
        describe_gauge!("holdfast_phase", "1 for the phase that this member is in.");
        describe_gauge!("holdfast_link_unacked_bytes", "Sent to other members and not acknowledged.");
        describe_gauge!("holdfast_link_queued_bytes", "Not yet written to the sockets of other members.");
        describe_gauge!("holdfast_links_ready", "Members with which there is a working connection.");
        describe_counter!("holdfast_views_adopted_total", "Views adopted.");
        describe_counter!("holdfast_evictions_proposed_total", "Evictions that this member proposed, by whether the death was proven.");
        describe_counter!("holdfast_suspicions_total", "Times that this member began to suspect another.");
        describe_counter!("holdfast_resets_total", "Times that this member took a new incarnation to join anew.");
        describe_counter!("holdfast_sessions_expired_total", "Sessions whose time to live ended here.");
        describe_counter!("holdfast_alarms_total", "Invariants that did not hold, and strangers that were refused.");
        describe_counter!("holdfast_link_messages_total", "Messages of links by what became of them, by peer.");
        describe_gauge!("holdfast_link_unacked_messages", "Messages sent and not acknowledged, by peer.");
        describe_gauge!("holdfast_link_early_bytes", "Received before an earlier message, by peer.");
        describe_gauge!("holdfast_link_connections", "Working connections, by peer.");
        describe_counter!(
            "holdfast_link_acknowledge_milliseconds_total",
            "From sending to acknowledgement, of all acknowledged messages together, by peer."
        );
        describe_gauge!("holdfast_link_acknowledge_seconds_max", "The longest time from sending to acknowledgement, by peer.");
        describe_counter!("holdfast_link_writes_total", "Writes to the sockets of other members.");
        describe_counter!("holdfast_link_sent_bytes_total", "Written to the sockets of other members.");
        describe_counter!("holdfast_link_received_bytes_total", "Read from the sockets of other members.");
        describe_counter!("holdfast_link_dial_failures_total", "Attempts to connect to another member that failed.");
        describe_counter!("holdfast_link_refused_total", "Connections refused because too many are open.");
        describe_counter!("holdfast_link_ended_total", "Connections to other members that stood and have ended, for whatever reason.");
        describe_counter!("holdfast_link_tls_refused_total", "TLS handshakes that led to no link, by side and reason.");
        describe_gauge!("holdfast_link_certificate_expiry_seconds", "Until the certificate ends that new links use.");
        describe_counter!("holdfast_link_certificate_reloads_total", "Changes of the certificate's files, by whether they could be used.");
        describe_counter!("holdfast_notices_lost_total", "Keyspace notifications that members missed because they took nothing.");
        describe_counter!("holdfast_link_garbage_total", "Connections ended because of what was sent on them.");
        Self { last_alarm: None, unlogged_alarms: 0, before: None }
    }

    pub(super) fn event(&mut self, event: &Event) {
        match event {
            Event::Suspected { member, silent } => {
                counter!("holdfast_suspicions_total").increment(1);
                warn!(?member, silent_ms = silent, "a member is suspected");
            }
            Event::Evicting { member, proven } => {
                counter!("holdfast_evictions_proposed_total", "proven" => if *proven { "true" } else { "false" }).increment(1);
                warn!(?member, proven, "proposing a view without this member");
            }
            Event::BarrierPassed { epoch, taken, appointed } => {
                info!(epoch, taken, appointed, "all members have reported; orphans are taken over");
            }
            Event::Expired { .. } => counter!("holdfast_sessions_expired_total").increment(1),
            Event::NoticesLost { to, count } => {
                counter!("holdfast_notices_lost_total").increment(*count as u64);
                debug!(?to, count, "a member takes nothing and misses what happened to keys");
            }
            Event::Alarm(text) => self.alarm(text),
        }
    }

    fn alarm(&mut self, text: &str) {
        counter!("holdfast_alarms_total").increment(1);
        if self.last_alarm.is_some_and(|at| at.elapsed() < ALARM_INTERVAL) {
            self.unlogged_alarms += 1;
            return;
        }
        error!(unlogged = self.unlogged_alarms, "{text}");
        self.last_alarm = Some(Instant::now());
        self.unlogged_alarms = 0;
    }

    pub(super) fn view(&self, view: &View) {
        counter!("holdfast_views_adopted_total").increment(1);
        let members: Vec<String> = view.members.values().map(|entry| format!("{} {:?}", entry.name, entry.state)).collect();
        info!(epoch = view.version.epoch, sub = view.version.sub, budget = view.budget, members = members.join(", "), "view adopted");
    }

    /// Logs a change of phase as soon as there is one.
    pub(super) fn phase(&mut self, status: &Status) {
        if self.before.replace(status.phase) != Some(status.phase) {
            info!(member = ?status.member, phase = ?status.phase, epoch = status.epoch(), owned = status.owned, "phase");
        }
    }

    /// Called once a second or so.
    pub(super) fn gauges(&self, status: &Status, links: &[LinkStatus], queued: u64) {
        gauge!("holdfast_sessions", "role" => "owner").set(status.owned as f64);
        gauge!("holdfast_sessions", "role" => "keeper").set(status.kept as f64);
        gauge!("holdfast_memory_bytes").set(status.load.bytes as f64);
        if let Some(budget) = status.load.budget {
            gauge!("holdfast_memory_budget_bytes").set(budget as f64);
        }
        gauge!("holdfast_sessions_unprotected").set(status.unprotected as f64);
        gauge!("holdfast_transfers_unconfirmed").set(status.transfers as f64);
        for phase in [Phase::Joining, Phase::Accepting, Phase::Draining, Phase::Drained] {
            gauge!("holdfast_phase", "phase" => format!("{phase:?}")).set(f64::from(u8::from(phase == status.phase)));
        }
        if let Some(view) = &status.view {
            gauge!("holdfast_view_epoch").set(view.version.epoch as f64);
            gauge!("holdfast_view_settled").set(f64::from(u8::from(view.version.sub > 0)));
            gauge!("holdfast_view_budget").set(f64::from(view.budget));
            for (state, name) in [(MemberState::Join, "Join"), (MemberState::Full, "Full"), (MemberState::Leave, "Leave")] {
                gauge!("holdfast_view_members", "state" => name).set(view.in_states(&[state]).len() as f64);
            }
        }
        gauge!("holdfast_link_queued_bytes").set(queued as f64);
        gauge!("holdfast_links_ready").set(links.iter().filter(|link| link.is_ready).count() as f64);
        gauge!("holdfast_link_unacked_bytes").set(links.iter().map(|link| link.unacked_bytes).sum::<u64>() as f64);
        links.iter().for_each(link_gauges);
    }
}

fn link_gauges(link: &LinkStatus) {
    let (peer, counters) = (link.peer.id.get().to_string(), &link.counters);
    for (outcome, count) in [
        ("sent", counters.sent),
        ("received", counters.received),
        ("resent", counters.resent),
        ("not_transferred", counters.not_transferred),
        ("duplicate", counters.duplicates),
        ("overflow", counters.overflows),
        ("acknowledged", counters.acknowledged),
    ] {
        counter!("holdfast_link_messages_total", "peer" => peer.clone(), "outcome" => outcome).absolute(count);
    }
    gauge!("holdfast_link_unacked_messages", "peer" => peer.clone()).set(link.unacked_frames as f64);
    gauge!("holdfast_link_early_bytes", "peer" => peer.clone()).set(link.early_bytes as f64);
    let working = link.connections.iter().filter(|connection| connection.is_ready).count();
    gauge!("holdfast_link_connections", "peer" => peer.clone()).set(working as f64);
    counter!("holdfast_link_acknowledge_milliseconds_total", "peer" => peer.clone()).absolute(counters.wait_total);
    gauge!("holdfast_link_acknowledge_seconds_max", "peer" => peer).set(counters.wait_longest as f64 / 1000.0);
}
