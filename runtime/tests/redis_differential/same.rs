//! What is compared otherwise than byte by byte, and why.

use crate::generator::Words;
use crate::support::client::parts;

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

/// Whether our transaction may come out otherwise, so that from here on the two differ: a key that holds what it held when it was watched counts as
/// unchanged.
pub(crate) fn parts_ways(ours: &[u8], theirs: &[u8]) -> bool {
    let is_carried_out = ours.starts_with(b"*") && !ours.starts_with(b"*-1");
    let is_called_off = theirs.starts_with(b"*-1") || theirs.starts_with(b"_");
    is_carried_out && is_called_off
}

/// Whether our answer to a transaction of these commands is right, given that of Redis.
pub(crate) fn same_transaction(queue: &[Words], ours: &[u8], theirs: &[u8]) -> bool {
    if ours == theirs {
        return true;
    }
    if !ours.starts_with(b"*") || !theirs.starts_with(b"*") {
        return false;
    }
    let (ours, theirs) = (parts(ours), parts(theirs));
    let mut pairs = ours.1.iter().zip(&theirs.1).zip(queue);
    ours.0 == theirs.0 && theirs.1.len() == queue.len() && pairs.all(|((ours, theirs), words)| same(words, ours, theirs))
}

/// Whether our reply is right, given that of Redis.
pub(crate) fn same(words: &Words, ours: &[u8], theirs: &[u8]) -> bool {
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
        b"hkeys" | b"hvals" | b"keys" | b"smembers" if array => {
            let (ours, theirs) = (parts(ours), parts(theirs));
            ours.0 == theirs.0 && sorted(ours.1, 1) == sorted(theirs.1, 1)
        }
        // The two clocks are not read at the same moment.
        b"ttl" | b"expiretime" => {
            number(ours).zip(number(theirs)).is_some_and(|(ours, theirs)| theirs > 1000 && (ours - theirs).abs() <= 2)
        }
        b"pttl" | b"pexpiretime" => {
            number(ours).zip(number(theirs)).is_some_and(|(ours, theirs)| theirs > 1000 && (ours - theirs).abs() <= 2000)
        }
        // Any of the keys.
        b"randomkey" => theirs.starts_with(b"$") && ours.starts_with(b"$") && !theirs.starts_with(b"$-1") && !ours.starts_with(b"$-1"),
        // The number of the connection.
        b"hello" if array => {
            let (ours, theirs) = (parts(ours), parts(theirs));
            ours.0 == theirs.0 && ours.1.iter().zip(&theirs.1).enumerate().all(|(at, (ours, theirs))| at == 7 || ours == theirs)
        }
        // What is run natively has no line in which it went wrong.
        b"eval" if ours.starts_with(b"-") => theirs.starts_with(&[ours.trim_ascii_end(), b" script: "].concat()),
        // We say what to do instead.
        b"select" => ours.starts_with(theirs.trim_ascii_end()),
        // The help lists what is served, the rest of the line is the same.
        _ => false,
    }
}

/// Whether we say of a command what Redis says. A value that moves is under its new name before it goes from under the old one, and keys of several owners are
/// told in no order.
pub(crate) fn same_notices(words: &Words, ours: &[String], theirs: &[String]) -> bool {
    let sorted = |messages: &[String]| {
        let mut messages = messages.to_vec();
        messages.sort_unstable();
        messages
    };
    let is_unordered = words[0].to_ascii_lowercase().starts_with(b"rename");
    ours == theirs || (is_unordered && sorted(ours) == sorted(theirs))
}
