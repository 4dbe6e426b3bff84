//! Listening and publishing over the front door, and transactions, as one client sees them beside others.

mod support;

use std::time::Duration;

use holdfast_runtime::redis::Settings;
use support::client::Client;
use support::memory::Memory;
use support::{Door, open};
use tokio::time::timeout;

async fn door() -> Door {
    open(Memory::new(1 << 20), Settings::default()).await
}

async fn text(client: &mut Client) -> String {
    String::from_utf8(client.reply().await).expect("text")
}

#[tokio::test]
async fn a_message_reaches_whoever_listens_by_name_or_by_pattern() {
    let door = door().await;
    let (mut listener, mut publisher) = (Client::connect(door.address).await, Client::connect(door.address).await);
    assert_eq!(publisher.tell("PUBLISH news one").await, ":0\r\n");
    assert_eq!(listener.tell("SUBSCRIBE news").await, "*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n");
    assert_eq!(listener.tell("PSUBSCRIBE n*").await, "*3\r\n$10\r\npsubscribe\r\n$2\r\nn*\r\n:2\r\n");
    assert_eq!(publisher.tell("PUBLISH news two").await, ":2\r\n");
    assert_eq!(text(&mut listener).await, "*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$3\r\ntwo\r\n");
    assert_eq!(text(&mut listener).await, "*4\r\n$8\r\npmessage\r\n$2\r\nn*\r\n$4\r\nnews\r\n$3\r\ntwo\r\n");
    assert_eq!(publisher.tell("PUBSUB NUMSUB news other").await, "*4\r\n$4\r\nnews\r\n:1\r\n$5\r\nother\r\n:0\r\n");
    assert_eq!(publisher.tell("PUBSUB NUMPAT").await, ":1\r\n");
    assert_eq!(listener.tell("UNSUBSCRIBE").await, "*3\r\n$11\r\nunsubscribe\r\n$4\r\nnews\r\n:1\r\n");
    assert_eq!(listener.tell("PUNSUBSCRIBE n*").await, "*3\r\n$12\r\npunsubscribe\r\n$2\r\nn*\r\n:0\r\n");
    assert_eq!(listener.tell("GET a").await, "$-1\r\n", "it is an ordinary connection again");
    assert_eq!(publisher.tell("PUBSUB CHANNELS").await, "*0\r\n");
}

#[tokio::test]
async fn who_listens_may_ask_nothing_else_unless_replies_can_be_told_from_messages() {
    let door = door().await;
    let mut listener = Client::connect(door.address).await;
    listener.tell("SUBSCRIBE news").await;
    let refused = "-ERR Can't execute 'get': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context\r\n";
    assert_eq!(listener.tell("GET a").await, refused);
    assert_eq!(listener.tell("PING").await, "*2\r\n$4\r\npong\r\n$0\r\n\r\n");
    assert_eq!(listener.tell("RESET").await, "+RESET\r\n");
    assert_eq!(listener.tell("GET a").await, "$-1\r\n");
    let mut modern = Client::connect(door.address).await;
    modern.tell("HELLO 3").await;
    modern.send(b"SUBSCRIBE news\r\nGET a\r\nPUBLISH news x\r\n").await;
    assert_eq!(text(&mut modern).await, ">3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n");
    assert_eq!(text(&mut modern).await, "_\r\n");
    assert_eq!(text(&mut modern).await, ":1\r\n");
    assert_eq!(text(&mut modern).await, ">3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$1\r\nx\r\n");
}

#[tokio::test]
async fn a_listener_that_does_not_read_is_cut_off_and_others_go_on() {
    let door = door().await;
    let (mut idle, mut listener) = (Client::connect(door.address).await, Client::connect(door.address).await);
    let mut publisher = Client::connect(door.address).await;
    idle.tell("SUBSCRIBE news").await;
    listener.tell("SUBSCRIBE news").await;
    let payload = vec![b'x'; 512 << 10];
    let mut receivers = 2;
    for _ in 0..200 {
        let reply = publisher.ask(&[b"PUBLISH", b"news", &payload]).await;
        assert!(listener.reply().await.len() > payload.len());
        if reply == b":1\r\n" {
            receivers = 1;
            break;
        }
    }
    assert_eq!(receivers, 1, "100 MiB did not fit");
    assert!(timeout(Duration::from_secs(10), idle.rest()).await.expect("the connection has ended").len() < 64 << 20);
}

#[tokio::test]
async fn a_transaction_depends_on_what_others_do() {
    let door = door().await;
    let (mut one, mut other) = (Client::connect(door.address).await, Client::connect(door.address).await);
    for (meanwhile, outcome) in [("SET a 2", "*-1\r\n"), ("GET a", "*2\r\n+OK\r\n$1\r\n3\r\n"), ("SET b 2", "*2\r\n+OK\r\n$1\r\n3\r\n")] {
        one.tell("SET a 1").await;
        assert_eq!(one.tell("WATCH a").await, "+OK\r\n");
        other.tell(meanwhile).await;
        for (sent, reply) in [("MULTI", "+OK\r\n"), ("SET a 3", "+QUEUED\r\n"), ("GET a", "+QUEUED\r\n")] {
            assert_eq!(one.tell(sent).await, reply);
        }
        assert_eq!(one.tell("EXEC").await, outcome, "after {meanwhile}");
    }
}

#[tokio::test]
async fn a_transaction_that_depends_on_keys_of_several_owners_is_refused_and_changes_nothing() {
    let mut memory = Memory::new(1 << 20);
    memory.is_apart = true;
    let door = open(memory, Settings::default()).await;
    let mut client = Client::connect(door.address).await;
    for line in ["SET a 1", "WATCH a", "MULTI", "SET b 2"] {
        client.tell(line).await;
    }
    assert!(client.tell("EXEC").await.starts_with("-CROSSSLOT "));
    assert_eq!(client.tell("GET b").await, "$-1\r\n");
    for line in ["MULTI", "MSET a 2 b 3", "INCR a", "DEL b", "GET a"] {
        client.tell(line).await;
    }
    assert_eq!(client.tell("EXEC").await, "*4\r\n+OK\r\n:3\r\n:1\r\n$1\r\n3\r\n", "without WATCH each key is a step of its own");
}

#[tokio::test]
async fn a_transaction_may_depend_on_several_keys_of_one_owner() {
    let door = door().await;
    let (mut one, mut other) = (Client::connect(door.address).await, Client::connect(door.address).await);
    for (meanwhile, outcome) in [("SET b 7", "*-1\r\n"), ("SET c 7", "*2\r\n+OK\r\n+OK\r\n")] {
        for line in ["MSET a 1 b 1", "WATCH a b", "MULTI", "SET a 2", "SET c 2"] {
            one.tell(line).await;
        }
        other.tell(meanwhile).await;
        assert_eq!(one.tell("EXEC").await, outcome, "after {meanwhile}");
    }
}
