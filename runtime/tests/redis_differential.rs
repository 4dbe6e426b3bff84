//! The front door against a real redis-server of the 7.0 line: the same random commands to both, and every reply compared byte by byte. What is
//! compared otherwise, and why, is in `same`. Seeded, so a difference comes again.

mod support;

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use holdfast_runtime::redis::Settings;
use holdfast_support::resp::request;
use support::client::{Client, parts};
use support::memory::Memory;

/// Of the random commands; another one may be given as HOLDFAST_SEED.
const SEED: u64 = 7;
const SEQUENCES: usize = 500;
const COMMANDS: usize = 20;

/// The real one; it ends with this.
struct Reference {
    process: Child,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Reference {
    fn start() -> Reference {
        let folder = tempfile::tempdir().expect("a folder");
        let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
        let process = Command::new("redis-server")
            .args(["--port", &free.port().to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--databases", "1"])
            .arg("--dir")
            .arg(folder.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server of the 7.0 line has to be installed (apt-get install redis-server): `make test` does so");
        let reference = Reference { process, address: free, _folder: folder };
        let begin = Instant::now();
        while std::net::TcpStream::connect(free).is_err() {
            assert!(begin.elapsed() < Duration::from_secs(10), "redis-server does not listen on {free}");
            std::thread::sleep(Duration::from_millis(10));
        }
        reference
    }
}

impl Drop for Reference {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn seed() -> u64 {
    std::env::var("HOLDFAST_SEED").ok().map_or(SEED, |seed| seed.parse().expect("HOLDFAST_SEED is a number"))
}

/// SplitMix64: the same numbers for ever, which a library's generator does not promise.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % limit as u64) as usize
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

type Words = Vec<Vec<u8>>;

/// Makes commands.
struct Generator {
    random: Random,
    /// Times are used once: whether one is later than its equal would depend on the millisecond.
    times: i64,
}

impl Generator {
    fn key(&mut self) -> Vec<u8> {
        self.random.pick::<&[u8]>(&[b"a", b"b", b"c", b"sess:1", b"sess:2", b"", b"\x00\xff\r\n"]).to_vec()
    }

    fn word(&mut self) -> Vec<u8> {
        self.random.pick::<&[u8]>(&[b"", b"x", b"value", b"12", b"\r\n\x00\x80", b"get", b"NX", b"a longer value, with spaces"]).to_vec()
    }

    fn field(&mut self) -> Vec<u8> {
        self.random.pick::<&[u8]>(&[b"f", b"g", b"h", b"", b"\xff"]).to_vec()
    }

    /// A time to live that ends long after this test, or has ended, or is none.
    fn time(&mut self, millis: bool, absolute: bool) -> Vec<u8> {
        if self.random.one_in(5) {
            let odd: [&[u8]; 12] = [
                b"0",
                b"-1",
                b"x",
                b"",
                b"01",
                b" 1",
                b"1.5",
                b"9223372036854775807",
                b"9223372036854775",
                b"-9223372036854775808",
                b"-9223372036854775",
                b"92233720368547758080",
            ];
            return self.random.pick(&odd).to_vec();
        }
        self.times += 10;
        let seconds = 10_000 + (self.times * 7919) % 1_000_003;
        let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs() as i64;
        let seconds = match absolute {
            true if self.random.one_in(5) => 1 + self.times,
            true => since + seconds,
            false => seconds,
        };
        (if millis { seconds * 1000 } else { seconds }).to_string().into_bytes()
    }

    fn lifetime(&mut self) -> Words {
        let (word, millis, absolute): (&[u8], _, _) =
            self.random.pick(&[(b"EX", false, false), (b"px", true, false), (b"exat", false, true), (b"PXAT", true, true)]);
        vec![word.to_vec(), self.time(millis, absolute)]
    }

    fn set_options(&mut self) -> Words {
        let mut options = Words::new();
        while self.random.one_in(2) {
            match self.random.below(8) {
                0..3 => options.extend(self.lifetime()),
                other => options.push([b"NX", &b"xx"[..], b"GET", b"KEEPTTL", b"persist"][other - 3].to_vec()),
            }
        }
        options
    }

    fn pattern(&mut self) -> Vec<u8> {
        if self.random.one_in(2) {
            return self.random.pick::<&[u8]>(&[b"*", b"sess:*", b"?", b"[a-b]", b"[^a]", b"*:[12]", b"\\a"]).to_vec();
        }
        (0..self.random.below(7)).map(|_| self.random.pick(b"*?[]^-\\abcs12:")).collect()
    }

    fn command(&mut self) -> Words {
        let name = self.random.pick(&[
            "get",
            "set",
            "set",
            "set",
            "setex",
            "psetex",
            "setnx",
            "getset",
            "getex",
            "getdel",
            "mget",
            "strlen",
            "del",
            "unlink",
            "exists",
            "type",
            "expire",
            "pexpire",
            "expireat",
            "pexpireat",
            "persist",
            "ttl",
            "pttl",
            "hset",
            "hset",
            "hmset",
            "hsetnx",
            "hget",
            "hmget",
            "hgetall",
            "hkeys",
            "hvals",
            "hlen",
            "hexists",
            "hdel",
            "scan",
            "keys",
            "dbsize",
            "ping",
            "echo",
            "select",
            "auth",
            "hello",
            "client",
            "config",
            "command",
            "nosuch",
            "reset",
        ]);
        let mut words = vec![name.as_bytes().to_vec()];
        match name {
            "get" | "getdel" | "strlen" | "type" | "persist" | "ttl" | "pttl" | "hgetall" | "hkeys" | "hvals" | "hlen" => {
                words.push(self.key())
            }
            "set" => {
                words.extend([self.key(), self.word()]);
                words.extend(self.set_options());
            }
            "setex" | "psetex" => words.extend([self.key(), self.time(name == "psetex", false), self.word()]),
            "setnx" | "getset" => words.extend([self.key(), self.word()]),
            "getex" => {
                words.push(self.key());
                words.extend(if self.random.one_in(3) { self.set_options() } else { self.lifetime() });
            }
            "mget" | "del" | "unlink" | "exists" => words.extend((0..1 + self.random.below(4)).map(|_| self.key()).collect::<Words>()),
            "expire" | "pexpire" | "expireat" | "pexpireat" => {
                words.extend([self.key(), self.time(name.starts_with('p'), name.ends_with("at"))]);
                while self.random.one_in(2) {
                    words.push(self.random.pick::<&[u8]>(&[b"NX", b"xx", b"GT", b"lt", b"zz\r\n"]).to_vec());
                }
            }
            "hset" | "hmset" => {
                words.push(self.key());
                (0..1 + self.random.below(3)).for_each(|_| words.extend([self.field(), self.word()]));
            }
            "hsetnx" => words.extend([self.key(), self.field(), self.word()]),
            "hget" | "hexists" => words.extend([self.key(), self.field()]),
            "hmget" | "hdel" => {
                words.push(self.key());
                words.extend((0..1 + self.random.below(4)).map(|_| self.field()).collect::<Words>());
            }
            "scan" => {
                words.push(self.random.pick::<&[u8]>(&[b"0", b"0", b"0", b"0", b"x", b"-", b" 0", b"18446744073709551616"]).to_vec());
                while self.random.one_in(2) {
                    let option = self.random.below(4);
                    words.push([b"MATCH", &b"count"[..], b"TYPE", b"zz"][option].to_vec());
                    words.push(match option {
                        0 => self.pattern(),
                        1 => self.random.pick::<&[u8]>(&[b"1", b"3", b"1000", b"0", b"-1", b"x"]).to_vec(),
                        _ => self.random.pick::<&[u8]>(&[b"string", b"HASH", b"list", b"zz"]).to_vec(),
                    });
                }
            }
            "keys" => words.push(self.pattern()),
            "echo" => words.push(self.word()),
            "ping" if self.random.one_in(2) => words.push(self.word()),
            "select" => words.push(self.random.pick::<&[u8]>(&[b"0", b"1", b"-1", b"x", b"2147483648"]).to_vec()),
            "auth" => words
                .extend((0..1 + self.random.below(3)).map(|_| self.random.pick::<&[u8]>(&[b"default", b"x"]).to_vec()).collect::<Words>()),
            "hello" => {
                words.extend(
                    (0..self.random.below(2)).map(|_| self.random.pick::<&[u8]>(&[b"2", b"3", b"4", b"x"]).to_vec()).collect::<Words>(),
                );
                if words.len() == 2 && self.random.one_in(2) {
                    let options: [&[&[u8]]; 5] =
                        [&[b"AUTH", b"default", b"x"], &[b"auth", b"x", b"y"], &[b"setname", b"me"], &[b"SETNAME"], &[b"zz"]];
                    words.extend(self.random.pick(&options).iter().map(|word| word.to_vec()));
                }
            }
            "client" => {
                let options: [&[&[u8]]; 12] = [
                    &[b"getname"],
                    &[b"SETNAME", b"me"],
                    &[b"setname", b"not me"],
                    &[b"setname", b""],
                    &[b"setname"],
                    &[b"zz"],
                    &[b"no-evict", b"on"],
                    &[b"no-evict", b"zz"],
                    &[b"list", b"type", b"zz"],
                    &[b"list", b"zz"],
                    &[b"list", b"id", b"x"],
                    &[b"id", b"x"],
                ];
                words.extend(self.random.pick(&options).iter().map(|word| word.to_vec()));
            }
            "config" => {
                let options: [&[&[u8]]; 7] = [
                    &[b"GET", b"databases"],
                    &[b"get", b"SAVE"],
                    &[b"get", b"maxmemory-polic?"],
                    &[b"get", b"nosuch"],
                    &[b"get"],
                    &[b"zz"],
                    &[b"get", b"timeout"],
                ];
                words.extend(self.random.pick(&options).iter().map(|word| word.to_vec()));
            }
            "command" => words.push(self.random.pick::<&[u8]>(&[b"zz", b"a\r\nb"]).to_vec()),
            "nosuch" => {
                words[0] = self.random.pick::<&[u8]>(&[b"nosuch", b"", b"a\r\nb", b"a\x00b", b"\xff", &[b'x'; 200]]).to_vec();
                (0..self.random.below(4))
                    .for_each(|_| words.push(self.random.pick::<&[u8]>(&[b"a", b"", b"\r\n", b"b\x00c", &[b'y'; 100]]).to_vec()));
            }
            _ => {}
        }
        self.spoil(name, words)
    }

    /// Now and then an argument too few or too many, and letters of another case.
    fn spoil(&mut self, name: &str, mut words: Words) -> Words {
        // These two have more subcommands in Redis, and with fewer arguments they list everything.
        if self.random.one_in(12) && !matches!(name, "client" | "command" | "config" | "hello") {
            if self.random.one_in(2) {
                words.pop();
            } else {
                words.push(self.word());
            }
        }
        if words.is_empty() {
            words.push(name.into());
        }
        for letter in &mut words[0] {
            if self.random.one_in(5) {
                letter.make_ascii_uppercase();
            }
        }
        words
    }
}

/// Sorted, in groups of `size`.
fn sorted(parts: Vec<Vec<u8>>, size: usize) -> Vec<Vec<u8>> {
    let mut groups: Vec<Vec<u8>> = parts.chunks(size).map(|group| group.concat()).collect();
    groups.sort();
    groups
}

/// The whole number of a `:` reply.
fn number(reply: &[u8]) -> Option<i64> {
    std::str::from_utf8(reply.strip_prefix(b":")?).ok()?.trim_end().parse().ok()
}

/// Whether our reply is right, given that of Redis.
fn same(words: &Words, ours: &[u8], theirs: &[u8]) -> bool {
    if ours == theirs {
        return true;
    }
    let Some(kind) = theirs.first() else { return false };
    let array = matches!(kind, b'*' | b'%' | b'~');
    match &words[0].to_ascii_lowercase()[..] {
        // Redis lists fields and keys in the order of a hash table, we by name.
        b"hgetall" if array => {
            let (ours, theirs) = (parts(ours), parts(theirs));
            ours.0 == theirs.0 && sorted(ours.1, 2) == sorted(theirs.1, 2)
        }
        b"hkeys" | b"hvals" | b"keys" if array => {
            let (ours, theirs) = (parts(ours), parts(theirs));
            ours.0 == theirs.0 && sorted(ours.1, 1) == sorted(theirs.1, 1)
        }
        // The two clocks are not read at the same moment.
        b"ttl" => number(ours).zip(number(theirs)).is_some_and(|(ours, theirs)| theirs > 1000 && (ours - theirs).abs() <= 2),
        b"pttl" => number(ours).zip(number(theirs)).is_some_and(|(ours, theirs)| theirs > 1000 && (ours - theirs).abs() <= 2000),
        // The number of the connection.
        b"hello" if array => {
            let (ours, theirs) = (parts(ours), parts(theirs));
            ours.0 == theirs.0 && ours.1.iter().zip(&theirs.1).enumerate().all(|(at, (ours, theirs))| at == 7 || ours == theirs)
        }
        // We say what to do instead.
        b"select" => ours.starts_with(theirs.trim_ascii_end()),
        // The help lists what is served, the rest of the line is the same.
        _ => false,
    }
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_reply_is_that_of_redis() {
    let reference = Reference::start();
    let memory = Memory::new(1 << 20);
    let door = support::open(memory.clone(), Settings::default()).await;
    for protocol in ["2", "3"] {
        let mut generator = Generator { random: Random(seed()), times: 0 };
        let mut ours = Client::connect(door.address).await;
        let mut theirs = Client::connect(reference.address).await;
        for sequence in 0..SEQUENCES {
            memory.clear();
            assert_eq!(theirs.ask(&[b"FLUSHALL"]).await, b"+OK\r\n");
            for client in [&mut ours, &mut theirs] {
                client.ask(&[b"RESET"]).await;
                client.ask(&[b"HELLO", protocol.as_bytes()]).await;
            }
            let mut history = String::new();
            for _ in 0..COMMANDS {
                let words = generator.command();
                history += &format!("\n  {}", words.iter().map(|word| format!("\"{}\"", shown(word))).collect::<Vec<_>>().join(" "));
                if words[0].eq_ignore_ascii_case(b"scan") && words.len() > 1 {
                    let (ours, theirs) = (scan(&mut ours, &words).await, scan(&mut theirs, &words).await);
                    assert_eq!(ours, theirs, "seed {}, RESP{protocol}, sequence {sequence}:{history}", seed());
                    continue;
                }
                let bytes: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
                let (ours, theirs) = (ours.ask(&bytes).await, theirs_to(&mut theirs, &bytes).await);
                assert!(
                    same(&words, &ours, &theirs),
                    "seed {}, RESP{protocol}, sequence {sequence}:{history}\n  ours:  {}\n  Redis: {}",
                    seed(),
                    shown(&ours),
                    shown(&theirs)
                );
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
