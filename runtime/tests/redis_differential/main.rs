//! The front door against a real redis-server of the 7.0 line: the same random commands to both, and every reply compared byte by byte. What is
//! compared otherwise, and why, is in `same`. Seeded, so a difference comes again.

mod generator;
mod reference;
mod same;
mod scripts;
mod strangers;
#[path = "../support/mod.rs"]
mod support;

use std::net::SocketAddr;

use generator::{Generator, Random, Words};
use holdfast_runtime::redis::Settings;
use holdfast_support::resp::request;
use reference::Reference;
use same::{parts_ways, same, same_notices, same_transaction};
use support::client::{Client, parts};
use support::memory::Memory;

/// Of the random commands; another one may be given as HOLDFAST_SEED, and another number of sequences as HOLDFAST_SEQUENCES.
const SEED: u64 = 7;
const SEQUENCES: usize = 500;
const COMMANDS: usize = 20;

fn seed() -> u64 {
    std::env::var("HOLDFAST_SEED").ok().map_or(SEED, |seed| seed.parse().expect("HOLDFAST_SEED is a number"))
}

fn sequences() -> usize {
    std::env::var("HOLDFAST_SEQUENCES").ok().map_or(SEQUENCES, |count| count.parse().expect("HOLDFAST_SEQUENCES is a number"))
}

/// A scan from 0 to its end, page by page, or the error.
async fn scan(client: &mut Client, words: &Words) -> Result<Vec<Vec<u8>>, Vec<u8>> {
    let (mut words, mut found) = (words.clone(), Vec::new());
    loop {
        let page = client.ask(&words.iter().map(Vec::as_slice).collect::<Vec<_>>()).await;
        if !page.starts_with(b"*") {
            return Err(page);
        }
        let [cursor, keys] = <[_; 2]>::try_from(parts(&page).1).expect("a cursor and keys");
        found.extend(parts(&keys).1);
        if cursor == b"$1\r\n0\r\n" {
            found.sort();
            found.dedup();
            return Ok(found);
        }
        words[1] = cursor.split(|byte| *byte == b'\n').nth(1).expect("a bulk").trim_ascii_end().to_vec();
    }
}

/// The reply of Redis. Its DBSIZE counts sessions whose time is over until it comes to remove them; KEYS does not.
async fn theirs_to(client: &mut Client, words: &[&[u8]]) -> Vec<u8> {
    let reply = client.ask(words).await;
    if words[0].eq_ignore_ascii_case(b"dbsize") && reply.starts_with(b":") {
        let live = parts(&client.ask(&[b"KEYS", b"*"]).await).1.len();
        return format!(":{live}\r\n").into_bytes();
    }
    reply
}

fn shown(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

/// Whether a transaction is over.
fn is_end(words: &Words, reply: &[u8]) -> bool {
    let is_right = !reply.starts_with(b"-ERR wrong number of arguments");
    is_right
        && (words[0].eq_ignore_ascii_case(b"exec") || words[0].eq_ignore_ascii_case(b"discard") || words[0].eq_ignore_ascii_case(b"reset"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_reply_is_that_of_redis() {
    compare(Generator::command).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_reply_of_a_script_is_that_of_redis() {
    compare(|generator| if generator.random.below(2) == 0 { scripts::command(generator) } else { generator.command() }).await;
}

/// Sends the same commands to both, and compares.
async fn compare(mut next: impl FnMut(&mut Generator) -> Words) {
    let reference = Reference::start();
    let memory = Memory::new(1 << 20);
    let door = support::open(memory.clone(), Settings::default()).await;
    for protocol in ["2", "3"] {
        let mut generator = Generator::new(seed());
        let mut ours = Client::connect(door.address).await;
        let mut theirs = Client::connect(reference.address).await;
        for sequence in 0..sequences() {
            for client in [&mut ours, &mut theirs] {
                client.ask(&[b"RESET"]).await;
                client.ask(&[b"HELLO", protocol.as_bytes()]).await;
            }
            memory.clear();
            assert_eq!(theirs.ask(&[b"FLUSHALL"]).await, b"+OK\r\n");
            let mut history = String::new();
            let mut queue: Option<Vec<Words>> = None;
            let mut has_watched = false;
            for _ in 0..COMMANDS {
                generator.in_transaction = queue.is_some();
                let words = next(&mut generator);
                history += &format!("\n  {}", words.iter().map(|word| format!("\"{}\"", shown(word))).collect::<Vec<_>>().join(" "));
                if words[0].eq_ignore_ascii_case(b"scan") && words.len() > 1 {
                    let (ours, theirs) = (scan(&mut ours, &words).await, scan(&mut theirs, &words).await);
                    assert_eq!(ours, theirs, "seed {}, RESP{protocol}, sequence {sequence}:{history}", seed());
                    continue;
                }
                let bytes: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
                let (ours, theirs) = (ours.ask(&bytes).await, theirs_to(&mut theirs, &bytes).await);
                if queue.is_some() && has_watched && parts_ways(&ours, &theirs) {
                    break;
                }
                let is_same = match &queue {
                    Some(queue) if words[0].eq_ignore_ascii_case(b"exec") => same_transaction(queue, &ours, &theirs),
                    _ => same(&words, &ours, &theirs),
                };
                has_watched |= words[0].eq_ignore_ascii_case(b"watch");
                assert!(
                    is_same,
                    "seed {}, RESP{protocol}, sequence {sequence}:{history}\n  ours:  {}\n  Redis: {}",
                    seed(),
                    shown(&ours),
                    shown(&theirs)
                );
                match &mut queue {
                    Some(queue) if theirs == b"+QUEUED\r\n" => queue.push(words),
                    Some(_) if is_end(&words, &theirs) => queue = None,
                    None if theirs == b"+OK\r\n" && words[0].eq_ignore_ascii_case(b"multi") => queue = Some(Vec::new()),
                    _ => {}
                }
            }
        }
    }
}

/// All that comes back for `input`, which ends the connection.
async fn conversation(address: SocketAddr, input: &[u8]) -> Vec<u8> {
    let mut client = Client::connect(address).await;
    client.send(input).await;
    client.rest().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_typed_or_broken_is_answered_as_redis_does() {
    let reference = Reference::start();
    let door = support::open(Memory::new(1 << 20), Settings::default()).await;
    let mut inputs: Vec<Vec<u8>> = [
        "PING\r\n\r\n  \r\n*0\r\n*-5\r\nECHO 'a b'\n",
        "*1\r\n$4\r\nPING\r\nPING\r\n",
        "*x\r\n",
        "*1 \r\n",
        "*99999999999\r\n",
        "*1\r\nPING\r\n",
        "*1\r\n:4\r\n",
        "*2\r\n$4\r\nECHO\r\n*1\r\n$1\r\na\r\n",
        "*1\r\n$-1\r\n",
        "*1\r\n$x\r\n",
        "*1\r\n$\r\n",
        "*1\r\n$536870913\r\n",
        "*1\r\n$0\r\n\r\n",
        "echo \"a\r\n",
        "echo 'a'b\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\n",
        "host: x\r\nPING\r\n",
        "quit now\r\nPING\r\n",
        "CLIENT REPLY SKIP\r\nSET k 1\r\nGET k\r\nCLIENT REPLY OFF\r\nINCR k\r\nNOSUCH\r\nCLIENT REPLY SKIP\r\nINCR k\r\nINCR k\r\nCLIENT REPLY ON\r\nDEL k\r\n",
        "CLIENT REPLY OFF\r\nPING\r\nRESET\r\nPING\r\n",
        "CLIENT REPLY SKIP\r\nCLIENT REPLY ON\r\nCLIENT REPLY SKIP\r\nCLIENT REPLY SKIP\r\nPING\r\nPING\r\n",
        "get\r\n",
        "get a b\r\nset a\r\n",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec();
    inputs.push(vec![b'x'; 60_000]);
    inputs.push([request(&[b"SET", b"k", b"v"]), request(&[b"GET", b"k"]), request(&[b"DEL", b"k"])].concat());
    let mut random = Random(seed());
    inputs.extend((0..200).map(|_| {
        let junk: Vec<u8> = (0..random.below(12)).map(|_| random.pick(b"ab \t\"\"''\\\\xn0f\r\x0b")).collect();
        [b"ECHO ", &junk[..], b"\r\n"].concat()
    }));
    let mut inputs: Vec<Vec<u8>> = inputs.into_iter().map(|input| [&input[..], b"\r\nQUIT\r\n"].concat()).collect();
    // Lines without an end. With one, Redis takes them or not, depending on how they arrive.
    inputs.extend([&b"a"[..], b"*", b"*1\r\n$"].map(|begin| [begin, &vec![b'1'; 65_537][..]].concat()));
    for input in inputs {
        let (ours, theirs) = (conversation(door.address, &input).await, conversation(reference.address, &input).await);
        assert_eq!(shown(&ours), shown(&theirs), "for {}", shown(&input[..input.len().min(100)]));
    }
}

/// The messages that have come to a listener until now.
async fn heard(listener: &mut Client, publisher: &mut Client) -> Vec<Vec<u8>> {
    publisher.ask(&[b"PUBLISH", b"__keyspace@0__:mark", b"mark"]).await;
    let mut messages = Vec::new();
    loop {
        let message = parts(&listener.reply().await).1;
        if message.last().is_some_and(|payload| payload == b"$4\r\nmark\r\n") {
            return messages;
        }
        messages.push(message.concat());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_notification_is_that_of_redis() {
    let reference = Reference::start();
    let memory = Memory::new(1 << 20);
    let door = support::open(memory.clone(), Settings::default()).await;
    let addresses = [door.address, reference.address];
    let mut generator = Generator { only_future: true, ..Generator::new(seed()) };
    let (mut clients, mut listeners) = (Vec::new(), Vec::new());
    for address in addresses {
        let mut client = Client::connect(address).await;
        assert_eq!(client.tell("CONFIG SET notify-keyspace-events KEA").await, "+OK\r\n");
        assert_eq!(client.tell("CONFIG GET notify-keyspace-events").await, "*2\r\n$22\r\nnotify-keyspace-events\r\n$3\r\nAKE\r\n");
        clients.push(client);
        let mut listener = Client::connect(address).await;
        listener.tell("PSUBSCRIBE __key*__:*").await;
        listeners.push(listener);
    }
    for sequence in 0..sequences() / 5 {
        for client in &mut clients {
            client.tell("FLUSHALL").await;
        }
        for (listener, client) in listeners.iter_mut().zip(&mut clients) {
            // Redis says nothing about what goes by this.
            heard(listener, client).await;
        }
        let mut history = String::new();
        for _ in 0..COMMANDS {
            let words = generator.command();
            if [&b"reset"[..], b"hello", b"config", b"multi", b"watch", b"publish", b"scan", b"flushdb"]
                .contains(&&words[0].to_ascii_lowercase()[..])
            {
                continue;
            }
            history += &format!("\n  {}", words.iter().map(|word| format!("\"{}\"", shown(word))).collect::<Vec<_>>().join(" "));
            let bytes: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
            let mut all = Vec::new();
            for (client, listener) in clients.iter_mut().zip(&mut listeners) {
                client.ask(&bytes).await;
                let messages = heard(listener, client).await;
                all.push(messages.iter().map(|message| shown(message)).collect::<Vec<_>>());
            }
            let theirs = all.pop().expect("two of them");
            assert!(
                same_notices(&words, &all[0], &theirs),
                "seed {}, sequence {sequence}:{history}\n  ours:  {:?}\n  Redis: {theirs:?}",
                seed(),
                all[0]
            );
        }
    }
}
