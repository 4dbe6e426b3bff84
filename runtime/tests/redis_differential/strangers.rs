//! What clients are told that have not said who they are, or say it wrongly.

use futures::future::join_all;

use crate::generator::Random;
use crate::reference::Reference;
use crate::support::client::Client;
use crate::support::memory::Memory;
use crate::support::{self, users};
use crate::{conversation, seed, shown};

use holdfast_runtime::redis::Settings;

/// A wrong password takes a second here, so that these run side by side.
const CONNECTIONS: usize = 24;
const COMMANDS: usize = 30;

const LINES: [&str; 30] = [
    "GET a",
    "GET a",
    "SET a b",
    "PING",
    "PING a",
    "SUBSCRIBE",
    "AUTH secret",
    "AUTH default secret",
    "AUTH shop other",
    "AUTH shop other",
    "AUTH wrong",
    "AUTH shop secret",
    "AUTH nobody secret",
    "AUTH a b c",
    "AUTH",
    "HELLO 4",
    "HELLO x",
    "HELLO 2 SETNAME me",
    "HELLO 2 AUTH shop",
    "HELLO 3 AUTH shop wrong",
    "NOSUCH a",
    "GET",
    "ACL WHOAMI",
    "ACL ZZ",
    "CLIENT GETNAME",
    "MULTI",
    "EXEC",
    "EXEC a",
    "RESET",
    "RESET",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_are_told_what_redis_tells_them() {
    let reference = Reference::with_users();
    let (users, _folder) = users().await;
    let door = support::open(Memory::new(1 << 20), Settings { users: Some(users), ..Settings::default() }).await;
    let conversations = (0..CONNECTIONS).map(|number| async move {
        let mut random = Random(seed() + number as u64);
        let (mut ours, mut theirs) = (Client::connect(door.address).await, Client::connect(reference.address).await);
        let mut history = String::new();
        for _ in 0..COMMANDS {
            let line = random.pick(&LINES);
            history += &format!("\n  {line}");
            let (ours, theirs) = (ours.tell(line).await, theirs.tell(line).await);
            // The number of the connection.
            let is_greeting = theirs.starts_with("*14") && ours.starts_with("*14");
            assert!(ours == theirs || is_greeting, "connection {number}:{history}\n  ours:  {ours:?}\n  Redis: {theirs:?}");
        }
    });
    join_all(conversations).await;
    let longest = format!("*2\r\n$4\r\nECHO\r\n$16384\r\n{}\r\nQUIT\r\n", "x".repeat(16_384));
    for input in [
        "*11\r\n",
        "*1\r\n$16385\r\n",
        &longest,
        "GET a\r\nAUTH secret\r\nGET a\r\nACL WHOAMI\r\nRESET\r\nGET a\r\nQUIT\r\n",
        "AUTH shop other\r\n*11\r\n$4\r\nPING\r\n:1\r\n",
        "MULTI\r\nGET a\r\nEXEC\r\nQUIT\r\n",
        "QUIT\r\n",
    ] {
        let (ours, theirs) = (conversation(door.address, input.as_bytes()).await, conversation(reference.address, input.as_bytes()).await);
        assert_eq!(shown(&ours), shown(&theirs), "for {}", shown(&input.as_bytes()[..input.len().min(100)]));
    }
}
