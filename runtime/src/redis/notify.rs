//! Keyspace notifications: which ones are wanted (`notify-keyspace-events`), and how they are told.

use std::sync::atomic::{AtomicU16, Ordering::Relaxed};

use bytes::{BufMut, Bytes, BytesMut};
use holdfast_core::{Key, Notice, NoticeClass};

use super::subscriptions::Subscriptions;

/// The letters of the setting, in the order in which Redis lists them, and what each stands for here; those without a class are of types that are not served.
const CLASSES: [(char, Option<NoticeClass>); 11] = [
    ('g', Some(NoticeClass::Generic)),
    ('$', Some(NoticeClass::String)),
    ('l', None),
    ('s', Some(NoticeClass::Set)),
    ('h', Some(NoticeClass::Hash)),
    ('z', Some(NoticeClass::SortedSet)),
    ('x', Some(NoticeClass::Expired)),
    ('e', None),
    ('t', None),
    ('d', None),
    ('n', None),
];

/// All that `A` stands for: not what is `n`ew.
const ALL: u16 = (1 << 10) - 1;

/// Bits after those of the classes.
const KEYSPACE: u16 = 1 << 11;
const KEYEVENT: u16 = 1 << 12;
const MISSED: u16 = 1 << 13;

/// What clients of this member want to hear.
#[derive(Debug, Default)]
pub(crate) struct Notify(AtomicU16);

/// The setting has a letter that means nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Invalid;

impl Notify {
    /// Takes a setting, and returns the classes that are wanted from now on.
    pub(crate) fn set(&self, text: &[u8]) -> Result<u16, Invalid> {
        let flags = parse(text).ok_or(Invalid)?;
        self.0.store(flags, Relaxed);
        // Without a kind of channel nobody hears anything.
        let is_heard = flags & (KEYSPACE | KEYEVENT) != 0;
        Ok(if is_heard { classes(flags) } else { 0 })
    }

    /// The setting, as Redis writes it.
    pub(crate) fn text(&self) -> String {
        let flags = self.0.load(Relaxed);
        let mut text = String::new();
        if flags & ALL == ALL {
            text.push('A');
        } else {
            text.extend(CLASSES.iter().enumerate().filter(|(bit, _)| flags & 1 << bit != 0).map(|(_, (letter, _))| letter));
        }
        text.extend(
            [(KEYSPACE, 'K'), (KEYEVENT, 'E'), (MISSED, 'm')].into_iter().filter(|(bit, _)| flags & bit != 0).map(|(_, letter)| letter),
        );
        text
    }

    /// Tells those who listen.
    pub(crate) fn tell(&self, key: &Key, notice: Notice, subscriptions: &Subscriptions) {
        let flags = self.0.load(Relaxed);
        let name = Bytes::from_static(notice.name().as_bytes());
        if flags & KEYSPACE != 0 {
            subscriptions.deliver(&channel("__keyspace@0__:", key), &name);
        }
        if flags & KEYEVENT != 0 {
            subscriptions.deliver(&channel("__keyevent@0__:", &name), key);
        }
    }
}

fn channel(begin: &str, end: &[u8]) -> Bytes {
    let mut channel = BytesMut::with_capacity(begin.len() + end.len());
    channel.put_slice(begin.as_bytes());
    channel.put_slice(end);
    channel.freeze()
}

fn parse(text: &[u8]) -> Option<u16> {
    let flag = |letter: &u8| match letter {
        b'A' => Some(ALL),
        b'K' => Some(KEYSPACE),
        b'E' => Some(KEYEVENT),
        b'm' => Some(MISSED),
        letter => CLASSES.iter().position(|(known, _)| *known == char::from(*letter)).map(|bit| 1 << bit),
    };
    text.iter().map(flag).try_fold(0, |flags, flag| Some(flags | flag?))
}

fn classes(flags: u16) -> u16 {
    let wanted = CLASSES.iter().enumerate().filter(|(bit, _)| flags & 1 << bit != 0);
    wanted.filter_map(|(_, (_, class))| *class).fold(0, |classes, class| classes | class.bit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_setting_is_read_and_written_as_in_redis() {
        let notify = Notify::default();
        for (given, shown) in [("", ""), ("KEA", "AKE"), ("Ex", "xE"), ("AKEn", "AKE"), ("g$lshzxetdKE", "AKE"), ("Kmgx", "gxKm")] {
            notify.set(given.as_bytes()).expect("a setting");
            assert_eq!(notify.text(), shown, "{given}");
        }
        assert_eq!(notify.set(b"KEy"), Err(Invalid));
        assert_eq!(notify.text(), "gxKm", "what is wrong changes nothing");
    }

    #[test]
    fn without_a_kind_of_channel_nothing_is_wanted() {
        let notify = Notify::default();
        assert_eq!(notify.set(b"gx"), Ok(0));
        assert_eq!(notify.set(b"Egx"), Ok(NoticeClass::Generic.bit() | NoticeClass::Expired.bit()));
    }
}
