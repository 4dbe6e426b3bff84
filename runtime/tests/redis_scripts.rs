//! Scripts: that none of their writes is lost, that hostile ones end and hold up nobody, and what is refused.

mod support;

use std::time::{Duration, Instant};

use holdfast_runtime::redis::Settings;
use support::client::Client;
use support::memory::Memory;
use support::{Door, open};

const COUNTER: &[u8] = b"local n = tonumber(redis.call('get', KEYS[1]) or '0')\nredis.call('set', KEYS[1], n + 1)\nreturn n + 1";

async fn door(delay: Duration) -> (Memory, Door) {
    let mut memory = Memory::new(1 << 20);
    memory.delay = delay;
    (memory.clone(), open(memory, Settings::default()).await)
}

async fn eval(client: &mut Client, text: &[u8], key: &[u8]) -> String {
    String::from_utf8_lossy(&client.ask(&[b"EVAL", text, b"1", key]).await).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_step_of_a_counter_is_lost_between_clients_of_two_members() {
    // Two front doors over the same sessions: their scripts know nothing of each other.
    let (memory, first) = door(Duration::from_micros(200)).await;
    let second = open(memory, Settings::default()).await;
    let count = |address| async move {
        let mut client = Client::connect(address).await;
        let mut done = 0;
        for _ in 0..200 {
            match &eval(&mut client, COUNTER, b"n").await[..1] {
                ":" => done += 1,
                reply => assert_eq!(reply, "-", "only a number, or that it has to be tried again"),
            }
        }
        done
    };
    let done = tokio::join!(count(first.address), count(second.address), count(first.address));
    let total = done.0 + done.1 + done.2;
    assert!(total > 300, "{done:?}");
    let mut client = Client::connect(first.address).await;
    assert_eq!(client.tell("GET n").await, format!("${}\r\n{total}\r\n", total.to_string().len()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_script_ends_and_other_clients_do_not_wait() {
    let (_memory, door) = door(Duration::ZERO).await;
    let hostile: [&[u8]; 11] = [
        b"while true do end",
        b"while true do pcall(function() while true do end end) end",
        b"local function again() return xpcall(function() while true do end end, again) end while true do again() end",
        b"local t = {} while true do t[#t + 1] = string.rep('x', 100000) .. #t end",
        b"local s = 'x' while true do s = s .. s end",
        b"local function deep(n) return 1 + deep(n + 1) end return deep(1)",
        b"return string.find(string.rep('a', 10000), string.rep('a-', 50) .. 'b')",
        b"return xpcall(function() while true do end end, function() while true do end end)",
        b"return string.find(string.rep('a', 10000000), 'a*b')",
        b"local t = {} for i = 1, 40 do t = {t, t} end return t",
        b"local t = {} t[1] = t return t",
    ];
    for text in hostile {
        let mut attacker = Client::connect(door.address).await;
        let begin = Instant::now();
        attacker.send(&holdfast_support::resp::request(&[b"EVAL", text, b"1", b"k"])).await;
        let mut other = Client::connect(door.address).await;
        for _ in 0..20 {
            assert_eq!(other.tell("SET other x").await, "+OK\r\n");
        }
        assert!(begin.elapsed() < Duration::from_secs(1), "others waited {:?}", begin.elapsed());
        let reply = attacker.reply().await;
        assert!(reply.starts_with(b"-"), "{}: {}", text.escape_ascii(), reply.escape_ascii());
        assert!(begin.elapsed() < Duration::from_secs(8), "{}: {:?}", text.escape_ascii(), begin.elapsed());
    }
    let mut client = Client::connect(door.address).await;
    assert_eq!(eval(&mut client, b"return 'still here'", b"k").await, "$10\r\nstill here\r\n");
}

#[tokio::test]
async fn nothing_outside_of_the_sandbox_is_there() {
    let (_memory, door) = door(Duration::ZERO).await;
    let mut client = Client::connect(door.address).await;
    for name in [
        "os",
        "io",
        "require",
        "load",
        "loadstring",
        "loadfile",
        "dofile",
        "debug",
        "package",
        "coroutine",
        "collectgarbage",
        "print",
        "newproxy",
    ] {
        let reply = eval(&mut client, format!("return {name}").as_bytes(), b"k").await;
        assert!(reply.contains("nonexistent global variable"), "{name}: {reply}");
    }
    assert_eq!(eval(&mut client, b"return type(string.dump)", b"k").await, "$3\r\nnil\r\n");
    // One that is compiled already.
    assert!(eval(&mut client, b"\x1bLua\x51\x00", b"k").await.starts_with("-ERR "), "bytecode");
    let long = [&b"return '"[..], &vec![b'x'; 70_000], b"'"].concat();
    assert!(eval(&mut client, &long, b"k").await.starts_with("-ERR script of 70009 bytes is larger than 65536"));
}

#[tokio::test]
async fn several_keys_are_one_step_where_they_have_one_owner() {
    let (mut memory, door) = door(Duration::ZERO).await;
    let mut client = Client::connect(door.address).await;
    client.tell("MSET a 1 b 2").await;
    let swap =
        b"local a, b = redis.call('get', 'a'), redis.call('get', 'b') redis.call('set', 'a', b) redis.call('set', 'b', a) return 'done'";
    assert_eq!(eval(&mut client, swap, b"a").await, "$4\r\ndone\r\n");
    assert_eq!(client.tell("MGET a b").await, "*2\r\n$1\r\n2\r\n$1\r\n1\r\n");
    memory.is_apart = true;
    let apart = open(memory, Settings::default()).await;
    let mut client = Client::connect(apart.address).await;
    assert!(eval(&mut client, swap, b"a").await.starts_with("-CROSSSLOT a script that writes several keys"));
    assert_eq!(client.tell("MGET a b").await, "*2\r\n$1\r\n2\r\n$1\r\n1\r\n");
    // Several can be read all the same.
    assert_eq!(
        eval(&mut client, b"redis.call('set', KEYS[1], redis.call('get', 'b')) return redis.call('get', 'a')", b"a").await,
        "$1\r\n1\r\n"
    );
}

#[tokio::test]
async fn what_a_script_publishes_is_heard_once_it_has_written() {
    let (_memory, door) = door(Duration::ZERO).await;
    let (mut client, mut listener) = (Client::connect(door.address).await, Client::connect(door.address).await);
    listener.tell("SUBSCRIBE news").await;
    assert_eq!(eval(&mut client, b"redis.call('set', KEYS[1], 1) return redis.call('publish', 'news', 'set')", b"k").await, ":1\r\n");
    assert_eq!(listener.reply().await, b"*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$3\r\nset\r\n");
}

#[tokio::test]
async fn a_script_of_a_library_is_there_before_it_is_sent_and_others_are_not() {
    let (_memory, door) = door(Duration::ZERO).await;
    let mut client = Client::connect(door.address).await;
    client.tell("SET lock token").await;
    let release = "b70c2384248f88e6b75b9f89241a180f856ad852";
    assert_eq!(client.tell(&format!("EVALSHA {release} 1 lock other")).await, ":0\r\n");
    assert_eq!(client.tell(&format!("EVALSHA {release} 1 lock token")).await, ":1\r\n");
    assert_eq!(client.tell("EXISTS lock").await, ":0\r\n");
    let other = "e0e1f9fabfc9d4800c877a703b823ac0578ff8db";
    assert_eq!(client.tell(&format!("EVALSHA {other} 0")).await, "-NOSCRIPT No matching script. Please use EVAL.\r\n");
    assert_eq!(client.tell(&format!("SCRIPT EXISTS {release} {other}")).await, "*2\r\n:1\r\n:0\r\n");
    // In a transaction, too.
    client.tell("SET lock token").await;
    client.tell("MULTI").await;
    client.tell(&format!("EVALSHA {release} 1 lock token")).await;
    client.tell("EXISTS lock").await;
    assert_eq!(client.tell("EXEC").await, "*2\r\n:1\r\n:0\r\n");
}
