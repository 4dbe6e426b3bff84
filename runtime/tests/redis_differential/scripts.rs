//! Random scripts on the keys of the other commands: those of libraries, which run natively, and others, which run as Lua. None of them writes two keys.

use crate::generator::{Generator, Words};

/// Scripts of libraries.
const KNOWN: [&str; 9] = [
    include_str!("../../src/redis/script/known/phpredis_release.lua"),
    include_str!("../../src/redis/script/known/redis_py_release.lua"),
    include_str!("../../src/redis/script/known/spring_spin_unlink.lua"),
    include_str!("../../src/redis/script/known/redis_semaphore_refresh.lua"),
    include_str!("../../src/redis/script/known/node_redlock5_acquire.lua"),
    include_str!("../../src/redis/script/known/node_redlock5_extend.lua"),
    include_str!("../../src/redis/script/known/laravel_add.lua"),
    include_str!("../../src/redis/script/known/django_redis_increment.lua"),
    include_str!("../../src/redis/script/known/redisson_expire.lua"),
];

const OTHERS: [&str; 70] = [
    "return {double = 3.5}",
    "return {1, {double = 3}}",
    "return redis.log(redis.LOG_DEBUG)",
    "return redis.log(9, 'x')",
    "return redis.log({}, 'x')",
    "return redis.log(redis.LOG_DEBUG, 'x', 1, true)",
    "return redis.call('get', KEYS[1])",
    "return redis.call('GET', KEYS[1])",
    "return redis.call('set', KEYS[1], ARGV[1])",
    "return redis.call('set', KEYS[1], ARGV[1], 'NX')",
    "return redis.pcall('incr', KEYS[1])",
    "return redis.call('incr', KEYS[1])",
    "local n = redis.call('incrby', KEYS[1], 5)\nreturn n * 2",
    "redis.call('set', KEYS[1], 'x')\nreturn redis.call('incr', KEYS[1])",
    "for i = 1, 3 do redis.call('append', KEYS[1], i) end return redis.call('get', KEYS[1])",
    "if redis.call('exists', KEYS[1]) == 1 then return redis.call('del', KEYS[1]) else return 'none' end",
    "redis.call('hset', KEYS[1], 'f', 1, 'g', ARGV[1]) return redis.call('hmget', KEYS[1], 'f', 'g', 'nosuch')",
    "return {redis.call('exists', KEYS[1]), redis.call('type', KEYS[1]).ok, redis.call('strlen', 'b')}",
    "local t = redis.call('type', KEYS[1]) return t",
    "return {redis.call('get', 'a'), redis.call('get', 'b')}",
    "redis.call('set', KEYS[1], 0.1) return redis.call('get', KEYS[1])",
    "redis.call('set', KEYS[1], 3) return redis.call('get', KEYS[1])",
    "redis.call('set', KEYS[1], 1e20) return redis.call('get', KEYS[1])",
    "redis.call('del', KEYS[1]) redis.call('zadd', KEYS[1], 1.5, 'f', '2', 'g') return redis.call('zscore', KEYS[1], 'f')",
    "redis.call('del', KEYS[1]) redis.call('zadd', KEYS[1], 1, 'f', 2, 'g') return redis.call('zrange', KEYS[1], 0, -1, 'withscores')",
    "return redis.call('zincrby', KEYS[1], 0.5, 'f')",
    "return redis.call('sadd', KEYS[1], 'f', 'g', ARGV[1])",
    "return pcall(function() return redis.call('incr', KEYS[1]) end)",
    "local ok, err = pcall(redis.call, 'incr', KEYS[1]) if ok then return 1 end return err.err",
    "local ok, err = pcall(function() return nil + 1 end) return err",
    "local ok, err = pcall(error, {err = 'MINE own'}) return err",
    "return {1, 2, 3, 'four', false, 5}",
    "return {1, nil, 3}",
    "return {1, {2, {3, 'x'}}, true}",
    "return {ok = 'fine'}",
    "return {ok = 'two\\r\\nlines'}",
    "return {err = 'MY error'}",
    "return {err = 'single'}",
    "return redis.error_reply('x')",
    "return redis.error_reply('MY x')",
    "return redis.error_reply('-MY x')",
    "return redis.status_reply('yes')",
    "return 3.99",
    "return -3.99",
    "return true",
    "return false",
    "return nil",
    "",
    "return tostring(1.5) .. tostring(2) .. tostring(true)",
    "return redis.call('nosuch', 'x')",
    "return redis.pcall('nosuch')",
    "return redis.pcall('get')",
    "return redis.call('get', KEYS[1], 'x')",
    "return redis.call()",
    "return redis.pcall({})",
    "error('oops')",
    "local a = 1\nerror('oops on line two')",
    "error({err = 'MINE own'})",
    "local a = 1\nlocal b\nreturn a + b",
    "return nosuchglobal",
    "x = 1",
    "return redis.sha1hex(ARGV[1])",
    "return #KEYS .. ':' .. #ARGV",
    "return KEYS",
    "return ARGV",
    "return redis.call('multi')",
    "return redis.call('eval', 'return 1', 0)",
    "return (",
    "return {string.find('hello world', 'o w'), string.format('%5.1f|%s', 3.14159, 'x'), (string.gsub('abc', '%w', '%0%0'))}",
    "return {math.floor(2.7), math.max(1, 2), table.concat({1, 2, 3}, ','), #string.rep('ab', 3), select('#', 1, 2), tonumber('0x10')}",
];

/// `EVAL` or one of its kin.
pub(crate) fn command(generator: &mut Generator) -> Words {
    let text = match generator.random.below(4) {
        0 => generator.random.pick(&KNOWN),
        _ => generator.random.pick(&OTHERS),
    };
    let is_known = KNOWN.contains(&text);
    let name = match generator.random.below(8) {
        // Those of libraries are there before they are sent.
        0 if !is_known => "evalsha",
        1 => "eval_ro",
        2 if !is_known => return script(generator, text),
        _ => "eval",
    };
    let what = if name == "evalsha" { sha1(text) } else { text.as_bytes().to_vec() };
    let mut words = vec![name.as_bytes().to_vec(), what, b"1".to_vec(), generator.key()];
    words.push(generator.word());
    words.push(match text {
        _ if text.contains("ARGV[2] ~= ''") => Vec::new(),
        _ => generator.time(true, false),
    });
    if text.contains("ARGV[2] ~= ''") {
        words[4] = generator.time(true, false);
    }
    if generator.random.below(12) == 0 {
        words[2] = generator.random.pick::<&[u8]>(&[b"0", b"2", b"3", b"9", b"-1", b"x"]).to_vec();
    }
    // The locks of several keys are for servers without several owners.
    if words[2] != b"1" && text.contains("ipairs") {
        words[2] = b"1".to_vec();
    }
    words
}

fn script(generator: &mut Generator, text: &str) -> Words {
    let words: Vec<&[u8]> = match generator.random.below(8) {
        0 => vec![b"flush"],
        1 => vec![b"FLUSH", b"zz"],
        2 => vec![b"kill"],
        3 => vec![b"zz"],
        4 | 5 => vec![b"load", text.as_bytes()],
        _ => vec![b"exists", b"x"],
    };
    let mut words: Words = std::iter::once(&b"script"[..]).chain(words).map(<[u8]>::to_vec).collect();
    if words[1] == b"exists" {
        words.push(sha1(text));
    }
    words
}

fn sha1(text: &str) -> Vec<u8> {
    let digest = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes());
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>().into_bytes()
}
