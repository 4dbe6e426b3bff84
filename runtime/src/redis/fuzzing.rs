//! What the fuzz targets (`fuzz/`) need of the inside of the front door.

use std::path::Path;
use std::sync::Arc;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, split};

use super::Sessions;
use super::command::number;
use super::connection;
use super::context::{Context, Front};
use super::frame::{Incoming, Limits, Parser, double};
use super::settings::Settings;
use super::users::Users;

/// What was read of a client.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// The arguments of a request.
    Request(Vec<Vec<u8>>),
    /// A request that was read past, of this many bytes.
    TooLarge(u64),
}

/// The requests of one client.
#[derive(Debug)]
pub struct Requests {
    parser: Parser,
    buffer: BytesMut,
}

impl Requests {
    /// At the begin of a connection; values have at most so many bytes.
    pub fn new(max_bytes: u64) -> Requests {
        Requests { parser: Parser::new(Limits::new(max_bytes)), buffer: BytesMut::new() }
    }

    /// Takes bytes as a connection does, and appends what can be read then.
    ///
    /// # Errors
    /// The bytes are not the protocol: what the client would be told.
    pub fn arrive(&mut self, mut bytes: &[u8], found: &mut Vec<Found>) -> Result<(), String> {
        while !bytes.is_empty() {
            self.buffer.reserve(self.parser.wanted(&self.buffer));
            let room = (self.buffer.capacity() - self.buffer.len()).min(bytes.len());
            let (now, later) = bytes.split_at(room);
            self.buffer.extend_from_slice(now);
            bytes = later;
            while let Some(incoming) = self.parser.next(&mut self.buffer).map_err(|error| error.to_string())? {
                found.push(match incoming {
                    Incoming::Request(request) => Found::Request((0..request.len()).map(|index| request.get(index).to_vec()).collect()),
                    Incoming::TooLarge { size, .. } => Found::TooLarge(size),
                });
            }
        }
        Ok(())
    }
}

/// Serves one client of a front door that has no other, until it goes. `users` is what their file holds, if there are any.
pub async fn serve<S: Sessions>(sessions: S, stream: impl AsyncRead + AsyncWrite, max_bytes: u64, users: Option<&[u8]>) {
    let users = users.map(|file| Users::of(Path::new("users"), file.to_vec()).expect("lines of users"));
    let front = Arc::new(Front::new(Settings { max_bytes, users, ..Settings::default() }));
    let client = front.clients.enter("client".into(), "member".into(), false, front.subscriptions.mailbox(), 0).expect("the first of many");
    let (reader, writer) = split(stream);
    connection::serve(Context { sessions, front, client }, reader, writer).await;
}

/// A score as Redis reads it.
pub fn read_score(text: &[u8]) -> Option<f64> {
    number::score(text).map(holdfast_core::Score::get)
}

/// A score as Redis writes it.
pub fn written_score(score: f64) -> String {
    double(score)
}
