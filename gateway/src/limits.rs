//! Every limit of the gateway in one place: what may wait, how long, and how much of it. Tests shrink them; production uses the defaults.

use std::time::Duration;

/// The limits of one gateway process.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections of clients held at once. Beyond it new ones wait in the listener's backlog.
    pub connections: usize,
    /// From the first byte of a request head to its last.
    pub request_head: Duration,
    /// A kept-alive connection without a request. Longer than the 90 s after which common client pools give a connection up, so that the
    /// client closes it and no request meets a closing connection.
    pub client_idle: Duration,
    /// A client that neither sends more of its body nor takes more of its response.
    pub client_stall: Duration,
    /// Bytes of a request head.
    pub head_bytes: usize,
    /// To open a connection to a member.
    pub connect: Duration,
    /// From the last byte of a request to the response's head.
    pub response_head: Duration,
    /// Between two parts of a response's body.
    pub response_idle: Duration,
    /// A tunnel (WebSocket) without a byte either way.
    pub tunnel_idle: Duration,
    /// Idle connections kept for each member.
    pub pool: usize,
    /// How long a connection stays in the pool.
    pub pool_idle: Duration,
    /// How long a connection may have rested when the request on it is not safe to repeat: many servers close theirs after 2 to 5 s, and a
    /// request that meets the closing is lost.
    pub unsafe_idle: Duration,
    /// How long ago a member must have been heard for an idle connection to it to carry a request that is not safe to repeat. A node that was
    /// cut off resets nothing: only a fresh connection notices before anything is sent.
    pub unsafe_heard: Duration,
    /// The same for requests that are safe to repeat: a little over the members' one line a second.
    pub safe_heard: Duration,
    /// Silence of a control stream after which the member counts as cut off.
    pub silence: Duration,
    /// The first reconnection of a broken control stream must succeed within this, or the member counts as broken.
    pub reconnect_grace: Duration,
    /// The longest pause between two attempts to open a control stream.
    pub control_backoff: Duration,
    /// Between two looks whether a member that refused connections takes them again.
    pub probe: Duration,
    /// How often one request may have been sent in all.
    pub sends: u32,
    /// How long a request waits for a member that takes it.
    pub hold: Duration,
    /// How many requests may wait so at once.
    pub held: usize,
    /// Bytes of a request body kept for a repetition, and of a response kept until it is complete.
    pub replay_bytes: usize,
    /// Bytes kept so in all.
    pub replay_total: usize,
    /// Retries that are always allowed within ten seconds, however few requests there are.
    pub retry_floor: u64,
    /// Retries allowed within ten seconds, in percent of the requests.
    pub retry_percent: u64,
    /// How long members stay that vanished all at once from the EndpointSlices while no control stream tells more.
    pub ghosts: Duration,
    /// After the signal to end: how long the gateway still accepts connections, because its endpoint is withdrawn everywhere only a moment later.
    pub lame_duck: Duration,
    /// After that: how long requests that run may take to finish.
    pub finish: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 16_384,
            request_head: Duration::from_secs(15),
            client_idle: Duration::from_secs(120),
            client_stall: Duration::from_secs(60),
            head_bytes: 64 * 1024,
            connect: Duration::from_secs(1),
            response_head: Duration::from_secs(60),
            response_idle: Duration::from_secs(300),
            tunnel_idle: Duration::from_secs(3600),
            pool: 256,
            pool_idle: Duration::from_secs(30),
            unsafe_idle: Duration::from_secs(1),
            unsafe_heard: Duration::from_millis(500),
            safe_heard: Duration::from_millis(1500),
            silence: Duration::from_millis(2500),
            reconnect_grace: Duration::from_millis(300),
            control_backoff: Duration::from_secs(1),
            probe: Duration::from_millis(100),
            sends: 5,
            hold: Duration::from_secs(5),
            held: 2048,
            replay_bytes: 64 * 1024,
            replay_total: 64 * 1024 * 1024,
            retry_floor: 100,
            retry_percent: 20,
            ghosts: Duration::from_secs(30),
            lame_duck: Duration::from_secs(5),
            finish: Duration::from_secs(20),
        }
    }
}
