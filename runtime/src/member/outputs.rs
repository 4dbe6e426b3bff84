//! What the engine wants done.

use bytes::Bytes;
use holdfast_core::engine::{ConnId, Event, Output, SwapOutcome};
use holdfast_core::{Member, MemberState};
use metrics::counter;
use tracing::{debug, info, warn};

use super::core::{Core, News, Waiting};
use crate::arbiter::Swap;
use crate::broadcast::Broadcast;

impl Core {
    /// Carries out all that the engine wants. What takes time is begun as a task.
    pub(super) fn carry_out(&mut self) {
        let mut look_again = false;
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Send { conn, bytes } => self.send(conn, bytes),
                Output::Close { conn } => {
                    if let Some(handle) = self.conns.remove(&conn) {
                        handle.close();
                    }
                }
                Output::Dial { peer, name } => self.links.dial(peer, name),
                Output::ReadView => self.read_view(),
                Output::SwapView { expected, view } => {
                    let (arbiter, tell) = (self.arbiter.clone(), self.tell.clone());
                    let swap = async move {
                        let outcome = match arbiter.swap(expected, view.clone()).await {
                            Swap::Done => SwapOutcome::Done(view),
                            Swap::Conflict(there) => SwapOutcome::Conflict(there),
                            Swap::Unknown | Swap::Unavailable => SwapOutcome::Unknown,
                        };
                        // The receiver lives as long as this task.
                        let _ = tell.send(News::Swapped(outcome)).await;
                    };
                    self.tasks.spawn_on(swap, &self.runtime);
                }
                Output::SeekProof { member, name, pod_uid } => self.seek_proof(member, name, pod_uid),
                Output::Reply { request, reply } => {
                    if let Some(Waiting::Command { started, reply: client }) = self.waiting.remove(&request) {
                        self.meters.answered(started, &reply);
                        // A client that has gone does not need it.
                        let _ = client.send(reply);
                    }
                }
                Output::ScanReply { request, page } => {
                    if let Some(Waiting::Scan { reply }) = self.waiting.remove(&request) {
                        let _ = reply.send(page);
                    }
                }
                Output::ViewChanged(view) => {
                    self.observer.view(&view);
                    self.witness.view_changed(&view);
                    let has_voice = matches!(view.state(self.engine.member().id), Some(MemberState::Full | MemberState::Leave));
                    self.arbiter.hold(has_voice.then_some(view));
                    look_again = true;
                }
                Output::Reset { member } => {
                    counter!("holdfast_resets_total").increment(1);
                    warn!(?member, "joining anew under another incarnation");
                    self.arbiter.hold(None);
                    // The engine may have been told of another one since it said this.
                    let now = self.now();
                    for (conn, _) in std::mem::take(&mut self.conns) {
                        self.engine.handle_disconnected(now, conn);
                    }
                    look_again = true;
                }
                Output::Left => {
                    info!("left the cluster");
                    self.arbiter.hold(None);
                    self.has_left = true;
                    look_again = true;
                }
                Output::Event(event) => {
                    self.observer.event(&event);
                    if let Event::Expired { key } = &event {
                        self.witness.expired(key);
                    }
                }
                // Without a listener nobody misses it.
                Output::Published { channel, payload } => drop(self.teller.send(Broadcast::Published { channel, payload })),
                Output::Noticed { key, notice } => drop(self.teller.send(Broadcast::Noticed { key, notice })),
            }
        }
        for conn in self.to_flush.drain(..) {
            if let Some(handle) = self.conns.get(&conn) {
                handle.flush();
            }
        }
        if look_again {
            self.show_status();
        }
    }

    fn send(&mut self, conn: ConnId, bytes: Bytes) {
        let Some(handle) = self.conns.get(&conn) else { return };
        if !handle.send(bytes) {
            warn!(?conn, "a peer takes nothing: cutting the connection; what it lacks is sent again on the next one");
            self.conns.remove(&conn);
            let now = self.now();
            self.engine.handle_disconnected(now, conn);
        } else if self.to_flush.last() != Some(&conn) {
            self.to_flush.push(conn);
        }
    }

    fn read_view(&mut self) {
        let (arbiter, tell) = (self.arbiter.clone(), self.tell.clone());
        let read = async move {
            let shown = arbiter.read().await.inspect_err(|error| debug!(%error, "the arbiter did not answer")).ok();
            let _ = tell.send(News::Register(shown)).await;
        };
        self.tasks.spawn_on(read, &self.runtime);
    }

    fn seek_proof(&mut self, member: Member, name: String, pod_uid: String) {
        let (prover, tell) = (self.prover.clone(), self.tell.clone());
        let seek = async move {
            match prover.seek(&name, &pod_uid, member.incarnation).await {
                Ok(Some(death)) => {
                    info!(?member, pod = name, %death, "this member is dead");
                    let _ = tell.send(News::Dead(member)).await;
                }
                Ok(None) => debug!(?member, pod = name, "no proof of death"),
                Err(error) => debug!(?member, error = &error as &dyn std::error::Error, "could not look for proof of death"),
            }
        };
        self.tasks.spawn_on(seek, &self.runtime);
    }
}
