//! A member's front door, as the application in its pod has it: the unix socket or the loopback address, each entered from this
//! machine. No network of the cluster lies between, so that a member that is cut off from everybody can still be asked. Nothing is
//! ever tried again, and each outcome is known for what it is.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use holdfast_api::names;
use holdfast_core::{Command, CommandError, Condition, Expiry, Reply};
use redis::aio::MultiplexedConnection;
use redis::{Cmd, RedisConnectionInfo, RedisError, Value};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tokio::task::JoinHandle;

use crate::cluster::{Cluster, Inside};
use crate::stage::NAMESPACE;

/// Whoever opens a door that nobody answers at tries again.
const OPENING: Duration = Duration::from_millis(1_500);
/// Longer than the 5 s after which a member gives a write up by itself, so that its own answer is the one seen.
const ANSWER: Duration = Duration::from_millis(6_500);

/// By which of the two ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// `/run/holdfast/redis.sock`.
    Socket,
    /// `127.0.0.1:6379`.
    Loopback,
}

/// What became of a command.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Outcome {
    /// Answered.
    Answered(Reply),
    /// Nothing was done, says the member.
    Refused(String),
    /// It may have been carried out, or may be later, or never.
    Unknown(String),
    /// An answer that this command cannot have.
    Odd(String),
}

/// An open connection of one client.
pub(super) struct Door {
    redis: MultiplexedConnection,
    driver: JoinHandle<()>,
}

impl Drop for Door {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Door {
    /// Opens the door of a member's pod as it is now.
    pub(super) async fn open(cluster: &Cluster, pod: &str, way: Way) -> Result<Self, String> {
        let inside = cluster.inside(NAMESPACE, pod, "app").map_err(|error| error.to_string())?;
        match tokio::time::timeout(OPENING, Self::enter(inside, way)).await {
            Ok(entered) => entered,
            Err(_) => Err(format!("no greeting within {OPENING:?}")),
        }
    }

    async fn enter(inside: Inside, way: Way) -> Result<Self, String> {
        match way {
            Way::Socket => {
                let socket = inside.file(&format!("{}/redis.sock", names::RUN_DIR));
                Self::greet(UnixStream::connect(socket).await.map_err(|error| error.to_string())?).await
            }
            Way::Loopback => {
                let address = SocketAddr::from((Ipv4Addr::LOCALHOST, names::REDIS_PORT));
                Self::greet(inside.connect(address).await.map_err(|error| error.to_string())?).await
            }
        }
    }

    async fn greet(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Result<Self, String> {
        let config = redis::AsyncConnectionConfig::new().set_response_timeout(None).set_connection_timeout(None);
        let opened = MultiplexedConnection::new_with_config(&RedisConnectionInfo::default(), stream, config).await;
        let (redis, driver) = opened.map_err(|error| error.to_string())?;
        Ok(Self { redis, driver: tokio::spawn(driver) })
    }

    /// Runs one command. After an unknown outcome the door is of no use any more: a late answer could be taken for another's.
    pub(super) async fn run(&mut self, key: &Bytes, command: &Command) -> Outcome {
        let request = request(key, command);
        match tokio::time::timeout(ANSWER, self.redis.send_packed_command(&request)).await {
            Err(_) => Outcome::Unknown(format!("no answer within {ANSWER:?}")),
            Ok(Err(error)) => failed(&error),
            Ok(Ok(Value::ServerError(error))) => failed(&RedisError::from(error)),
            Ok(Ok(value)) => match reply(command, value) {
                Ok(reply) => Outcome::Answered(reply),
                Err(odd) => Outcome::Odd(odd),
            },
        }
    }
}

/// What an error says of the command (docs/redis.md, guarantees).
fn failed(error: &RedisError) -> Outcome {
    match error.code() {
        Some("LOADING" | "BUSY") => Outcome::Refused(error.to_string()),
        Some("WRONGTYPE") => Outcome::Answered(Reply::Error(CommandError::WrongType)),
        Some("NOREPLICAS" | "UNKNOWN") => Outcome::Unknown(error.to_string()),
        Some(_) => Outcome::Odd(error.to_string()),
        None => Outcome::Unknown(error.to_string()),
    }
}

/// The command in Redis' words.
fn request(key: &Bytes, command: &Command) -> Cmd {
    let mut cmd = Cmd::new();
    let expires = |cmd: &mut Cmd, expiry: &Expiry| match expiry {
        Expiry::Never => {}
        Expiry::Keep => drop(cmd.arg("KEEPTTL")),
        Expiry::After(millis) => drop(cmd.arg("PX").arg(*millis)),
    };
    match command {
        Command::Get => drop(cmd.arg("GET").arg(&key[..])),
        Command::GetDel => drop(cmd.arg("GETDEL").arg(&key[..])),
        Command::Delete => drop(cmd.arg("DEL").arg(&key[..])),
        Command::HashGetAll => drop(cmd.arg("HGETALL").arg(&key[..])),
        Command::GetEx { expiry } => {
            cmd.arg("GETEX").arg(&key[..]);
            expires(&mut cmd, expiry);
        }
        Command::Set { value, expiry, condition, return_old } => {
            cmd.arg("SET").arg(&key[..]).arg(&value[..]);
            expires(&mut cmd, expiry);
            match condition {
                Condition::Always => {}
                Condition::IfAbsent => drop(cmd.arg("NX")),
                Condition::IfPresent => drop(cmd.arg("XX")),
            }
            if *return_old {
                cmd.arg("GET");
            }
        }
        Command::HashSet { fields } => {
            cmd.arg("HSET").arg(&key[..]);
            for (name, value) in fields {
                cmd.arg(&name[..]).arg(&value[..]);
            }
        }
        other => unreachable!("the workload has no {other:?}"),
    }
    cmd
}

/// The answer in the core's words.
fn reply(command: &Command, value: Value) -> Result<Reply, String> {
    let bytes = |value: Value| match value {
        Value::BulkString(bytes) => Ok(Bytes::from(bytes)),
        Value::SimpleString(text) => Ok(Bytes::from(text)),
        other => Err(format!("{other:?} is no text")),
    };
    match (command, value) {
        (_, Value::Nil) => Ok(Reply::Nil),
        (_, Value::Int(number)) => Ok(Reply::Int(number)),
        (Command::Set { .. }, Value::Okay) => Ok(Reply::Ok),
        (Command::HashGetAll, Value::Map(fields)) => {
            fields.into_iter().map(|(name, value)| Ok((bytes(name)?, bytes(value)?))).collect::<Result<_, String>>().map(Reply::Map)
        }
        (Command::HashGetAll, Value::Array(list)) => {
            let mut list = list.into_iter();
            let mut fields = Vec::new();
            while let (Some(name), Some(value)) = (list.next(), list.next()) {
                fields.push((bytes(name)?, bytes(value)?));
            }
            Ok(Reply::Map(fields))
        }
        (_, value) => bytes(value).map(Reply::Bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(command: &Command) -> String {
        let packed = request(&Bytes::from_static(b"k"), command).get_packed_command();
        let text = String::from_utf8(packed).unwrap();
        text.split("\r\n").filter(|part| !part.starts_with(['*', '$']) && !part.is_empty()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn commands_are_those_of_redis() {
        let set = |expiry, condition, return_old| Command::Set { value: Bytes::from_static(b"v"), expiry, condition, return_old };
        assert_eq!(words(&set(Expiry::Never, Condition::Always, false)), "SET k v");
        assert_eq!(words(&set(Expiry::After(5), Condition::IfAbsent, true)), "SET k v PX 5 NX GET");
        assert_eq!(words(&Command::GetEx { expiry: Expiry::After(7) }), "GETEX k PX 7");
        assert_eq!(words(&Command::HashSet { fields: vec![(Bytes::from_static(b"a"), Bytes::from_static(b"1"))] }), "HSET k a 1");
    }

    #[test]
    fn answers_of_both_protocols_are_read() {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let wanted = Ok(Reply::Map(vec![(Bytes::from_static(b"a"), Bytes::from_static(b"1"))]));
        assert_eq!(reply(&Command::HashGetAll, Value::Array(vec![text("a"), text("1")])), wanted);
        assert_eq!(reply(&Command::HashGetAll, Value::Map(vec![(text("a"), text("1"))])), wanted);
        assert_eq!(reply(&Command::Get, Value::Nil), Ok(Reply::Nil));
        assert!(reply(&Command::Get, Value::Okay).is_err());
    }

    #[test]
    fn only_two_errors_say_that_nothing_was_done() {
        let of = |text: &str| {
            let Ok(Value::ServerError(error)) = redis::parse_redis_value(text.as_bytes()) else { panic!("{text}") };
            failed(&RedisError::from(error))
        };
        assert!(matches!(of("-LOADING not yet\r\n"), Outcome::Refused(_)));
        assert!(matches!(of("-BUSY too much\r\n"), Outcome::Refused(_)));
        assert!(matches!(of("-NOREPLICAS late\r\n"), Outcome::Unknown(_)));
        assert!(matches!(of("-UNKNOWN gone\r\n"), Outcome::Unknown(_)));
        assert!(matches!(of("-ERR what\r\n"), Outcome::Odd(_)));
        assert_eq!(of("-WRONGTYPE it is\r\n"), Outcome::Answered(Reply::Error(CommandError::WrongType)));
    }
}
