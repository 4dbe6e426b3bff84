//! One client: reads requests, runs them, sends replies. Whatever a client does, what it makes this member keep is bounded: without room for replies
//! no command begins, and while commands wait nothing more is read.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::BytesMut;
use futures::FutureExt;
use futures::future::BoxFuture;
use holdfast_core::CommandError;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, sleep_until, timeout};
use tracing::debug;

use super::Sessions;
use super::bell::Call;
use super::command::{self, Plan, Running, Transaction};
use super::context::{Context, Front};
use super::frame::{Incoming, Limits, Parser, Protocol, ProtocolError, Request, Value};
use super::moment::Moment;
use super::output::Output;
use super::tally::Tally;
use super::window::{Access, Window};

/// How long a client may take nothing of what waits for it.
const STALLED: Duration = Duration::from_secs(60);

/// How long, and how many bytes, are read from a client that was told to go, so that the reason reaches it: closing with bytes unread resets
/// the connection, and a reset overtakes what was sent.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 16 << 20;

/// A buffer larger than this is not kept while its connection is idle.
const KEPT: usize = 32 << 10;

/// Why no further request is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// The client sends no more, or this member ends: what has come whole is still carried out.
    AfterThese,
    /// The client said goodbye, or is none.
    Now,
    /// The client has to be told why, whatever else it is sending.
    Refused,
}

/// Serves one client until it goes, or until its bell says so.
pub(crate) async fn serve<S, R, W>(context: Context<S>, mut reader: R, mut writer: W)
where
    S: Sessions,
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut connection = Connection::new(&context);
    connection.run(&mut reader, &mut writer).await;
    if connection.ending == Some(Ending::Refused) && connection.output.is_empty() {
        linger(&mut reader, &mut writer).await;
    }
}

/// What is under way between one client and this member.
struct Connection<'a, S> {
    context: &'a Context<S>,
    parser: Parser,
    /// What has come and is not read.
    input: BytesMut,
    /// Read, but all have to wait.
    held: Option<Came>,
    /// Read, but something before it has to be finished first.
    next: Option<(Plan, usize)>,
    transaction: Transaction,
    /// How the next request is read depends on the one before.
    is_changing: bool,
    tally: Tally,
    window: Window<BoxFuture<'a, Value>>,
    output: Output,
    protocol: Protocol,
    /// Since when the client has taken nothing of what waits for it, if anything does.
    stalled: Option<Instant>,
    ending: Option<Ending>,
}

impl<'a, S: Sessions> Connection<'a, S> {
    fn new(context: &'a Context<S>) -> Self {
        Connection {
            context,
            parser: Parser::new(Limits::new(context.front.settings.max_bytes)),
            input: BytesMut::new(),
            held: None,
            next: None,
            transaction: Transaction::default(),
            is_changing: false,
            tally: Tally::default(),
            window: Window::new(),
            output: Output::new(context.front.clone()),
            protocol: context.client.state().protocol,
            stalled: None,
            ending: None,
        }
    }

    async fn run(&mut self, reader: &mut (impl AsyncRead + Unpin), writer: &mut (impl AsyncWrite + Unpin)) {
        let Context { client, .. } = self.context;
        loop {
            // Looked at each time, so that a client that never pauses is ended, too.
            if client.bell.has_rung(Call::Lost) {
                return debug!(client = client.id, "a client did not read what it listens to");
            }
            if self.ending.is_none() && client.bell.has_rung(Call::End) {
                return debug!(client = client.id, "a client was closed");
            }
            if self.ending.is_none() && client.bell.has_rung(Call::Stop) {
                self.ending = Some(Ending::AfterThese);
            }
            let hungry = self.begin();
            let moved = self.collect();
            if moved && !hungry {
                // All that are ready leave in one write.
                continue;
            }
            if !self.output.is_empty()
                && let Some(written) = writer.write(&self.output.bytes).now_or_never()
            {
                let Ok(written @ 1..) = written else { return };
                self.sent(written);
                if !hungry {
                    continue;
                }
            }
            if self.is_finished(hungry) {
                return;
            }
            if self.input.is_empty() && self.input.capacity() > KEPT {
                self.input = BytesMut::new();
            }
            let may_write = self.held.as_ref().is_some_and(|held| held.may_write);
            let is_held = self.held.is_some();
            // Of a client that has to wait it has to be noticed that it goes.
            let more = (hungry || (is_held && self.input.len() < KEPT)) && self.ending.is_none();
            if more {
                self.input.reserve(self.parser.wanted(&self.input));
            }
            self.tally.tell(self.context);
            let waiting = !self.output.is_empty();
            let room = self.output.has_room();
            client.set_busy(waiting || is_held || !self.window.is_empty());
            // Of one that is about to end only that it listens; news only when it can take them.
            let takes_news = self.window.is_empty() && room;
            let calls: &[Call] = match (self.ending, takes_news) {
                (None, true) => &[Call::News, Call::Lost, Call::Stop, Call::End],
                (None, false) => &[Call::Lost, Call::Stop, Call::End],
                (Some(_), true) => &[Call::News, Call::Lost],
                (Some(_), false) => &[Call::Lost],
            };
            tokio::select! {
                biased;
                () = self.window.wait(), if !self.window.is_empty() && room => {}
                // Not `write_buf`, which makes a vectored write of a single piece: that costs the kernel more.
                written = writer.write(&self.output.bytes), if waiting => match written {
                    Ok(written) if written > 0 => self.sent(written),
                    _ => return,
                },
                read = reader.read_buf(&mut self.input), if more => match read {
                    Ok(0) if is_held => return,
                    Ok(0) => self.ending = Some(Ending::AfterThese),
                    Ok(_) => self.context.touch(),
                    Err(error) => return debug!(client = client.id, %error, "a client's connection broke"),
                },
                () = client.bell.hear(calls) => {}
                () = self.context.front.pause.over(may_write), if is_held => {}
                // The timer is only made when it is needed.
                () = stalled(&mut self.stalled), if waiting => {
                    return debug!(client = client.id, "a client did not read its replies for {STALLED:?}");
                }
            }
        }
    }

    /// Begins all requests that have come and may begin; says whether there are no more of them.
    fn begin(&mut self) -> bool {
        let context = self.context;
        let has_strangers = context.front.settings.users.is_some();
        let came = Moment::default();
        while !matches!(self.ending, Some(Ending::Now | Ending::Refused)) && self.output.has_room() {
            let (plan, bytes) = match self.next.take() {
                Some(next) => next,
                None if self.is_changing && !self.window.is_empty() => return false,
                None => {
                    let is_stranger = has_strangers && context.is_stranger();
                    self.parser.set_stranger(is_stranger);
                    let request = match self.held.take() {
                        Some(request) => request,
                        None => match self.parser.next(&mut self.input) {
                            Ok(Some(incoming)) => read(incoming, is_stranger, context, &mut self.tally, &came),
                            Ok(None) => return true,
                            Err(error) => Came { plan: Plan::Refused(refusal(error)), bytes: 0, may_write: false },
                        },
                    };
                    let may_write = request.may_write || (request.plan.is_exec() && self.transaction.may_write());
                    if self.ending.is_none() && !request.plan.is_refused() && context.front.pause.holds(may_write) {
                        self.held = Some(Came { may_write, ..request });
                        return false;
                    }
                    (self.transaction.admit(request.plan, request.bytes, request.may_write), request.bytes)
                }
            };
            let access = plan.access();
            self.is_changing = plan.decides_what_follows();
            if !self.window.admits(access, bytes) {
                self.next = Some((plan, bytes));
                return false;
            }
            match &plan {
                Plan::Last(_) => self.ending = Some(Ending::Now),
                Plan::Refused(_) => self.ending = Some(Ending::Refused),
                Plan::Drop => {
                    self.ending = Some(Ending::Now);
                    return false;
                }
                _ => {}
            }
            self.start(plan, access, bytes);
            if self.is_changing && context.client.bell.has_rung(Call::End) {
                // By itself: it still gets the answer.
                self.ending = Some(Ending::Now);
            }
        }
        false
    }

    /// Starts a request that was admitted.
    fn start(&mut self, plan: Plan, access: Access, bytes: usize) {
        let context = self.context;
        if access == Access::Everything {
            // It may look at what is counted.
            self.tally.tell(context);
        }
        let is_wanted = context.client.wants_reply() || plan.is_always_answered();
        let running = command::run(plan, context);
        match if is_wanted { running } else { running.quietly() } {
            Running::Done(value) if self.window.is_empty() => {
                if access == Access::Everything {
                    // It may have changed this, and no reply before it is left to be written.
                    self.protocol = context.client.state().protocol;
                }
                self.output.push(&value, self.protocol);
            }
            Running::Done(value) => self.window.push_done(access, bytes, value),
            Running::Waits(command) => self.window.push(access, bytes, command),
        }
    }

    /// Takes the replies that are ready, as far as there is room for them, and then what was published; says whether there were replies.
    fn collect(&mut self) -> bool {
        let client = &self.context.client;
        let mut moved = false;
        while self.output.has_room()
            && let Some(value) = self.window.ready()
        {
            // A transaction may have changed it.
            self.protocol = client.state().protocol;
            self.output.push(&value, self.protocol);
            moved = true;
        }
        while self.window.is_empty()
            && client.is_listening()
            && self.output.has_room()
            && let Some(message) = client.mailbox.take()
        {
            self.output.push(&message, self.protocol);
        }
        moved
    }

    /// So many bytes of the replies were taken.
    fn sent(&mut self, bytes: usize) {
        self.output.sent(bytes);
        self.stalled = (!self.output.is_empty()).then(Instant::now);
    }

    fn is_finished(&self, hungry: bool) -> bool {
        let is_over = match self.ending {
            None => false,
            Some(Ending::AfterThese) => hungry,
            Some(Ending::Now | Ending::Refused) => true,
        };
        is_over && self.window.is_empty() && self.output.is_empty()
    }
}

/// Waits until the client has taken nothing for too long.
async fn stalled(since: &mut Option<Instant>) {
    sleep_until(*since.get_or_insert_with(Instant::now) + STALLED).await;
}

/// A request, read.
struct Came {
    plan: Plan,
    /// How large it is.
    bytes: usize,
    /// It may write.
    may_write: bool,
}

/// What to do about what came.
fn read<S: Sessions>(incoming: Incoming<'_>, is_stranger: bool, context: &Context<S>, tally: &mut Tally, came: &Moment) -> Came {
    let error = match incoming {
        Incoming::Request(request) => {
            let (plan, may_write) = plan(&request, is_stranger, context, tally, came);
            return Came { plan, bytes: request.size(), may_write };
        }
        Incoming::TooLarge { size, one: true } => CommandError::TooLarge { size, limit: context.front.settings.max_bytes }.to_string(),
        Incoming::TooLarge { size, one: false } => format!("ERR request of {size} bytes or more is larger than what is served at once"),
    };
    Came { plan: Plan::Rejected(Value::Error(error.into())), bytes: 0, may_write: false }
}

/// What it asks for, and whether that may write.
fn plan<S: Sessions>(request: &Request<'_>, is_stranger: bool, context: &Context<S>, tally: &mut Tally, came: &Moment) -> (Plan, bool) {
    let (command, mut plan) = command::plan(request, came, is_stranger);
    if context.client.is_listening() && context.client.state().protocol == Protocol::Resp2 {
        plan = plan.while_listening(command.map(|(_, spec)| spec));
    }
    let statistics = &context.front.statistics;
    match command {
        Some((index, spec)) => tally.count(index, spec, statistics),
        None => {
            statistics.commands.fetch_add(1, Relaxed);
            statistics.unknown.increment(1);
        }
    }
    (plan, command.is_some_and(|(_, spec)| spec.may_write()))
}

fn refusal(error: ProtocolError) -> Value {
    Value::Error(format!("ERR Protocol error: {error}").into())
}

/// Tells a client that was refused that nothing more comes, and waits a little for it to go.
pub(crate) async fn linger(reader: &mut (impl AsyncRead + Unpin), writer: &mut (impl AsyncWrite + Unpin)) {
    let read_on = async {
        writer.shutdown().await?;
        let mut scrap = vec![0; 16 << 10];
        let mut read = 0;
        while read < LINGER_BYTES {
            match reader.read(&mut scrap).await? {
                0 => break,
                more => read += more,
            }
        }
        std::io::Result::Ok(())
    };
    // Whether it went by itself, broke or stayed: the connection is closed next.
    let _ = timeout(LINGER, read_on).await;
}

/// Takes a connection off the list of clients when it ends, however it does.
pub(crate) struct Entered(pub(crate) Arc<Front>, pub(crate) Arc<super::clients::Client>);

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.subscriptions.end(&self.1);
        self.0.clients.leave(&self.1);
        self.0.statistics.connected.decrement(1.0);
    }
}
