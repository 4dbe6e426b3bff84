//! Random commands, most of them right, on few keys, so that they meet.

use std::time::{SystemTime, UNIX_EPOCH};

/// SplitMix64: the same numbers for ever, which a library's generator does not promise.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % limit as u64) as usize
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

pub(crate) type Words = Vec<Vec<u8>>;

/// Makes commands.
pub(crate) struct Generator {
    pub(crate) random: Random,
    /// Times are used once: whether one is later than its equal would depend on the millisecond.
    pub(crate) times: i64,
    /// After `MULTI`, before its end: what Redis answers in an order of its own is not asked for.
    pub(crate) in_transaction: bool,
    /// Redis finds out with the next look at it that a life was over when it began, and says so then.
    pub(crate) only_future: bool,
}

impl Generator {
    pub(crate) fn new(seed: u64) -> Generator {
        Generator { random: Random(seed), times: 0, in_transaction: false, only_future: false }
    }
}

impl Generator {
    pub(crate) fn key(&mut self) -> Vec<u8> {
        self.random.pick::<&[u8]>(&[b"a", b"b", b"c", b"sess:1", b"sess:2", b"", b"\x00\xff\r\n"]).to_vec()
    }

    pub(crate) fn word(&mut self) -> Vec<u8> {
        self.random.pick::<&[u8]>(&[b"", b"x", b"value", b"12", b"\r\n\x00\x80", b"get", b"NX", b"a longer value, with spaces"]).to_vec()
    }

    fn field(&mut self) -> Vec<u8> {
        self.random.pick::<&[u8]>(&[b"f", b"g", b"h", b"", b"\xff"]).to_vec()
    }

    /// A time to live that ends long after this test, or has ended, or is none.
    pub(crate) fn time(&mut self, millis: bool, absolute: bool) -> Vec<u8> {
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
            true if !self.only_future && self.random.one_in(5) => 1 + self.times,
            true => since + seconds,
            false => seconds,
        };
        (if millis { seconds * 1000 } else { seconds }).to_string().into_bytes()
    }

    fn integer(&mut self) -> Vec<u8> {
        let odd: [&[u8]; 8] = [b"1", b"-3", b"0", b"9223372036854775807", b"-9223372036854775808", b"x", b"1.0", b" 1"];
        if self.random.one_in(3) { self.random.pick(&odd).to_vec() } else { (self.random.below(200) as i64 - 100).to_string().into_bytes() }
    }

    fn place(&mut self) -> Vec<u8> {
        if self.random.one_in(8) {
            return self.integer();
        }
        (self.random.below(9) as i64 - 4).to_string().into_bytes()
    }

    fn score(&mut self) -> Vec<u8> {
        let scores: [&[u8]; 14] =
            [b"0", b"1", b"2", b"-1.5", b"3.14", b"1e20", b"inf", b"-inf", b"+inf", b"0.1", b"-0", b"1e-7", b"123456789012345678", b"x"];
        self.random.pick(&scores).to_vec()
    }

    fn score_bound(&mut self) -> Vec<u8> {
        let bound = self.score();
        if self.random.one_in(4) { [b"(", &bound[..]].concat() } else { bound }
    }

    fn member_bound(&mut self) -> Vec<u8> {
        self.random.pick::<&[u8]>(&[b"-", b"+", b"-", b"+", b"[f", b"(f", b"[g", b"[", b"(h", b"f", b""]).to_vec()
    }

    fn range_options(&mut self, is_general: bool) -> Words {
        let mut options = Words::new();
        while self.random.one_in(3) {
            match self.random.below(if is_general { 4 } else { 2 }) {
                0 => options.push(b"WITHSCORES".to_vec()),
                1 => options.extend([b"limit".to_vec(), self.place(), self.place()]),
                2 => options.push(b"REV".to_vec()),
                _ => options.push(b"BYSCORE".to_vec()),
            }
        }
        options
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

    pub(crate) fn command(&mut self) -> Words {
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
            "expiretime",
            "pexpiretime",
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
            "hincrby",
            "hstrlen",
            "incr",
            "decr",
            "incrby",
            "decrby",
            "append",
            "getrange",
            "substr",
            "mset",
            "touch",
            "sadd",
            "sadd",
            "srem",
            "smembers",
            "sismember",
            "smismember",
            "scard",
            "zadd",
            "zadd",
            "zadd",
            "zincrby",
            "zrem",
            "zremrangebyrank",
            "zremrangebyscore",
            "zremrangebylex",
            "zcard",
            "zcount",
            "zlexcount",
            "zscore",
            "zmscore",
            "zrank",
            "zrevrank",
            "zrange",
            "zrange",
            "zrevrange",
            "zrangebyscore",
            "zrevrangebyscore",
            "zrangebylex",
            "zrevrangebylex",
            "rename",
            "renamenx",
            "multi",
            "multi",
            "exec",
            "discard",
            "watch",
            "unwatch",
            "publish",
            "flushdb",
            "scan",
            "keys",
            "dbsize",
            "randomkey",
            "ping",
            "echo",
            "select",
            "auth",
            "hello",
            "client",
            "config",
            "command",
            "nosuch",
            "wait",
            "acl",
            "reset",
        ]);
        let name = match name {
            _ if self.in_transaction && self.random.one_in(4) => "exec",
            // In an order of its own, or looked at by one of the two between the commands.
            "hgetall" | "hkeys" | "hvals" | "smembers" | "scan" | "keys" | "dbsize" if self.in_transaction => "get",
            // What else it changes is seen at another moment.
            "hello" | "client" | "reset" | "select" if self.in_transaction => "ping",
            name => name,
        };
        let mut words = vec![name.as_bytes().to_vec()];
        match name {
            "incr" | "decr" | "smembers" | "scard" | "zcard" => words.push(self.key()),
            "incrby" | "decrby" => words.extend([self.key(), self.integer()]),
            "hincrby" => words.extend([self.key(), self.field(), self.integer()]),
            "hstrlen" | "sismember" | "zscore" | "zrank" | "zrevrank" => words.extend([self.key(), self.field()]),
            "append" => words.extend([self.key(), self.word()]),
            "getrange" | "substr" | "zremrangebyrank" => words.extend([self.key(), self.place(), self.place()]),
            "mset" => (0..1 + self.random.below(3)).for_each(|_| {
                let pair = [self.key(), self.word()];
                words.extend(pair);
            }),
            "touch" | "watch" => words.extend((0..1 + self.random.below(2)).map(|_| self.key()).collect::<Words>()),
            "sadd" | "srem" | "smismember" | "zrem" | "zmscore" => {
                words.push(self.key());
                words.extend((0..1 + self.random.below(4)).map(|_| self.field()).collect::<Words>());
            }
            "zadd" => {
                words.push(self.key());
                while self.random.one_in(3) {
                    words.push(self.random.pick::<&[u8]>(&[b"NX", b"xx", b"GT", b"lt", b"CH", b"incr"]).to_vec());
                }
                (0..1 + self.random.below(3)).for_each(|_| {
                    let pair = [self.score(), self.field()];
                    words.extend(pair);
                });
            }
            "zincrby" => words.extend([self.key(), self.score(), self.field()]),
            "zcount" | "zremrangebyscore" => words.extend([self.key(), self.score_bound(), self.score_bound()]),
            "zlexcount" | "zremrangebylex" => words.extend([self.key(), self.member_bound(), self.member_bound()]),
            "zrange" => {
                words.push(self.key());
                words.extend(match self.random.below(4) {
                    0 => vec![self.score_bound(), self.score_bound(), b"BYSCORE".to_vec()],
                    1 => vec![self.member_bound(), self.member_bound(), b"bylex".to_vec()],
                    _ => vec![self.place(), self.place()],
                });
                words.extend(self.range_options(true));
            }
            "zrevrange" => {
                words.extend([self.key(), self.place(), self.place()]);
                words.extend(self.range_options(false));
            }
            "zrangebyscore" | "zrevrangebyscore" => {
                words.extend([self.key(), self.score_bound(), self.score_bound()]);
                words.extend(self.range_options(false));
            }
            "zrangebylex" | "zrevrangebylex" => {
                words.extend([self.key(), self.member_bound(), self.member_bound()]);
                words.extend(self.range_options(false));
            }
            "rename" | "renamenx" => words.extend([self.key(), self.key()]),
            "publish" => words.extend([self.word(), self.word()]),
            "flushdb" if self.random.one_in(2) => words.push(self.random.pick::<&[u8]>(&[b"ASYNC", b"sync", b"x"]).to_vec()),
            "get" | "getdel" | "strlen" | "type" | "persist" | "ttl" | "pttl" | "expiretime" | "pexpiretime" | "hgetall" | "hkeys"
            | "hvals" | "hlen" => words.push(self.key()),
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
                let options: [&[&[u8]]; 46] = [
                    &[b"kill", b"1.2.3.4:5"],
                    &[b"KILL", b"id", b"99999999"],
                    &[b"kill", b"ID", b"0"],
                    &[b"kill", b"id", b"x"],
                    &[b"kill", b"type", b"replica", b"skipme", b"no"],
                    &[b"kill", b"type", b"zz"],
                    &[b"kill", b"addr", b"1.2.3.4:5", b"laddr", b"1.2.3.4:5"],
                    &[b"kill", b"user", b"default", b"SKIPME", b"yes", b"id", b"99999999"],
                    &[b"kill", b"user", b"zz"],
                    &[b"kill", b"skipme", b"zz"],
                    &[b"kill", b"id", b"1", b"zz"],
                    &[b"kill", b"zz", b"1"],
                    &[b"reply", b"ON"],
                    &[b"reply", b"zz"],
                    &[b"pause", b"1"],
                    &[b"PAUSE", b"1", b"write"],
                    &[b"pause", b"0", b"ALL"],
                    &[b"pause", b"1", b"zz"],
                    &[b"pause", b"x"],
                    &[b"pause", b"-1", b"write"],
                    &[b"pause", b"1", b"write", b"zz"],
                    &[b"pause"],
                    &[b"unpause"],
                    &[b"unpause", b"zz"],
                    &[b"unblock", b"99999999"],
                    &[b"unblock", b"99999999", b"error"],
                    &[b"unblock", b"x", b"TIMEOUT"],
                    &[b"unblock", b"x", b"zz"],
                    &[b"tracking", b"off"],
                    &[b"tracking", b"zz"],
                    &[b"trackinginfo"],
                    &[b"getredir"],
                    &[b"list", b"type", b"replica"],
                    &[b"list", b"id", b"99999999"],
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
                let options: [&[&[u8]]; 16] = [
                    &[b"set", b"timeout", b"1000"],
                    &[b"set", b"TIMEOUT", b"0"],
                    &[b"set", b"timeout", b"x"],
                    &[b"set", b"timeout", b"-1"],
                    &[b"set", b"timeout", b"2147483648"],
                    &[b"set", b"timeout", b"1", b"timeout", b"2"],
                    &[b"set", b"timeout"],
                    &[b"set", b"nosuch", b"1"],
                    &[b"get", b"tcp-keepalive"],
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
            "wait" => {
                words.push(self.random.pick::<&[u8]>(&[b"0", b"x", b"9223372036854775808"]).to_vec());
                words.push(self.random.pick::<&[u8]>(&[b"1", b"-1", b"x"]).to_vec());
            }
            "acl" => words.push(self.random.pick::<&[u8]>(&[b"WHOAMI", b"zz"]).to_vec()),
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
        // These have more subcommands in Redis, and with fewer arguments they list everything.
        if self.random.one_in(12) && !matches!(name, "acl" | "client" | "command" | "config" | "hello") {
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
