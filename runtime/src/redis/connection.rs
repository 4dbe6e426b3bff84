//! One client: reads requests, runs them, sends replies. Whatever a client does, what it makes this member keep is bounded: without room for replies
//! no command begins, and while commands wait nothing more is read.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::BytesMut;
use futures::FutureExt;
use holdfast_core::CommandError;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::Sessions;
use super::command::{self, Plan, Running, Transaction};
use super::context::{Context, Front};
use super::frame::{Incoming, Limits, Parser, Protocol, ProtocolError, Request, Value};
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

/// When a batch of requests was taken up; all of it counts as having come then.
#[derive(Clone, Copy)]
struct Moment {
    instant: Instant,
    /// In milliseconds. A clock before 1970 makes every absolute time one in the future.
    since_1970: i64,
}

impl Moment {
    fn now() -> Moment {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Moment { instant: Instant::now(), since_1970: since.map_or(0, |since| since.as_millis() as i64) }
    }
}

/// Serves one client until it goes or `shutdown`.
pub(crate) async fn serve<S, R, W>(context: Context<S>, mut reader: R, mut writer: W, shutdown: CancellationToken)
where
    S: Sessions,
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let context = &context;
    let mut parser = Parser::new(Limits::new(context.front.settings.max_bytes));
    let mut input = BytesMut::new();
    let mut output = Output::new(context.front.clone());
    let mut window = Window::new();
    let mut transaction = Transaction::default();
    // How the next request is read depends on the one before.
    let mut is_changing = false;
    let mut tally = Tally::default();
    let mut protocol = context.client.state().protocol;
    // Read, but something before it has to be finished first.
    let mut next: Option<(Plan, usize)> = None;
    let mut ending = None;
    let mut progress = Instant::now();
    let mut stopped = pin!(shutdown.cancelled());
    let mut killed = pin!(context.client.ended.cancelled());
    let has_strangers = context.front.settings.users.is_some();
    loop {
        let mut hungry = false;
        let mut came = None;
        while !matches!(ending, Some(Ending::Now | Ending::Refused)) && output.has_room() {
            let (plan, bytes) = match next.take() {
                Some(next) => next,
                None if is_changing && !window.is_empty() => break,
                None => {
                    let is_stranger = has_strangers && context.is_stranger();
                    parser.set_stranger(is_stranger);
                    match parser.next(&mut input) {
                        Ok(Some(incoming)) => {
                            let (plan, bytes) = read(incoming, is_stranger, context, &mut tally, came.get_or_insert_with(Moment::now));
                            (transaction.admit(plan, bytes), bytes)
                        }
                        Ok(None) => {
                            hungry = true;
                            break;
                        }
                        Err(error) => (Plan::Refused(refusal(error)), 0),
                    }
                }
            };
            let access = plan.access();
            is_changing = plan.decides_what_follows();
            if !window.admits(access, bytes) {
                next = Some((plan, bytes));
                break;
            }
            match &plan {
                Plan::Last(_) => ending = Some(Ending::Now),
                Plan::Refused(_) => ending = Some(Ending::Refused),
                Plan::Drop => {
                    ending = Some(Ending::Now);
                    break;
                }
                _ => {}
            }
            if access == Access::Everything {
                // It may look at what is counted.
                tally.tell(context);
            }
            let is_wanted = context.client.wants_reply() || plan.is_always_answered();
            let running = command::run(plan, context);
            match if is_wanted { running } else { running.quietly() } {
                Running::Done(value) if window.is_empty() => {
                    if output.is_empty() {
                        progress = came.map_or_else(Instant::now, |came| came.instant);
                    }
                    if access == Access::Everything {
                        // It may have changed this, and no reply before it is left to be written.
                        protocol = context.client.state().protocol;
                    }
                    output.push(&value, protocol);
                }
                Running::Done(value) => window.push_done(access, bytes, value),
                Running::Waits(command) => window.push(access, bytes, command),
            }
            if is_changing && context.client.ended.is_cancelled() {
                // By itself: it still gets the answer.
                ending = Some(Ending::Now);
            }
        }
        let mut moved = false;
        while output.has_room()
            && let Some(value) = window.ready()
        {
            if output.is_empty() {
                progress = Instant::now();
            }
            // A transaction may have changed it.
            protocol = context.client.state().protocol;
            output.push(&value, protocol);
            moved = true;
        }
        while window.is_empty()
            && context.client.is_listening()
            && output.has_room()
            && let Some(message) = context.client.mailbox.take()
        {
            if output.is_empty() {
                progress = Instant::now();
            }
            output.push(&message, protocol);
        }
        if moved && !hungry {
            // All that are ready leave in one write.
            continue;
        }
        if !output.is_empty()
            && let Some(written) = writer.write(&output.bytes).now_or_never()
        {
            let Ok(written @ 1..) = written else { return };
            output.sent(written);
            if !output.is_empty() {
                progress = Instant::now();
            }
            if !hungry {
                continue;
            }
        }
        let finished = match ending {
            None => false,
            Some(Ending::AfterThese) => hungry,
            Some(Ending::Now | Ending::Refused) => true,
        };
        if finished && window.is_empty() && output.is_empty() {
            break;
        }
        if input.is_empty() && input.capacity() > KEPT {
            input = BytesMut::new();
        }
        let more = hungry && ending.is_none();
        if more {
            input.reserve(parser.wanted(&input));
        }
        tally.tell(context);
        let waiting = !output.is_empty();
        let room = output.has_room();
        context.client.set_busy(waiting || !window.is_empty());
        tokio::select! {
            biased;
            () = window.wait(), if !window.is_empty() && room => {}
            () = context.client.mailbox.lost(), if context.client.is_listening() => {
                return debug!(client = context.client.id, "a client did not read what it listens to");
            }
            () = context.client.mailbox.news(), if context.client.is_listening() && window.is_empty() && room => {}
            // Not `write_buf`, which makes a vectored write of a single piece: that costs the kernel more.
            written = writer.write(&output.bytes), if waiting => match written {
                Ok(written) if written > 0 => {
                    output.sent(written);
                    progress = Instant::now();
                }
                _ => return,
            },
            read = reader.read_buf(&mut input), if more => match read {
                Ok(0) => ending = Some(Ending::AfterThese),
                Ok(_) => context.touch(),
                Err(error) => return debug!(client = context.client.id, %error, "a client's connection broke"),
            },
            () = &mut killed, if ending.is_none() => return debug!(client = context.client.id, "a client was closed"),
            () = &mut stopped, if ending.is_none() => ending = Some(Ending::AfterThese),
            // The timer is only made when it is needed.
            () = async { sleep_until(progress + STALLED).await }, if waiting => {
                return debug!(client = context.client.id, "a client did not read its replies for {STALLED:?}");
            }
        }
    }
    if ending == Some(Ending::Refused) {
        linger(&mut reader, &mut writer).await;
    }
}

/// What to do about what came, and how large it is.
fn read<S: Sessions>(incoming: Incoming<'_>, is_stranger: bool, context: &Context<S>, tally: &mut Tally, came: &Moment) -> (Plan, usize) {
    let error = match incoming {
        Incoming::Request(request) => return (plan(&request, is_stranger, context, tally, came), request.size()),
        Incoming::TooLarge { size, one: true } => CommandError::TooLarge { size, limit: context.front.settings.max_bytes }.to_string(),
        Incoming::TooLarge { size, one: false } => format!("ERR request of {size} bytes or more is larger than what is served at once"),
    };
    (Plan::Rejected(Value::Error(error.into())), 0)
}

fn plan<S: Sessions>(request: &Request<'_>, is_stranger: bool, context: &Context<S>, tally: &mut Tally, came: &Moment) -> Plan {
    let (command, mut plan) = command::plan(request, came.since_1970, is_stranger);
    if context.client.is_listening() && context.client.state().protocol == Protocol::Resp2 {
        plan = plan.while_listening(command.map(|(_, spec)| spec));
    }
    let statistics = &context.front.statistics;
    match command {
        Some((index, spec)) => tally.count(index, spec, came.instant, statistics),
        None => {
            statistics.commands.fetch_add(1, Relaxed);
            statistics.unknown.increment(1);
        }
    }
    plan
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
