//! What happened to a key, in the words of Redis' keyspace notifications.

use serde::{Deserialize, Serialize};

use super::{Change, Value, lives};
use crate::command::{Command, Expiry, Range};

/// Something that happened to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Notice {
    /// A string was set.
    Set,
    /// It got a time to live.
    Expire,
    /// It lost its time to live.
    Persist,
    /// It was deleted.
    Del,
    /// Its time to live was over.
    Expired,
    /// It was renamed to another key.
    RenameFrom,
    /// Another key was renamed to it.
    RenameTo,
    /// A number was added or subtracted.
    IncrBy,
    /// Bytes were appended.
    Append,
    /// Fields were set.
    HSet,
    /// Fields were removed.
    HDel,
    /// A number was added to a field.
    HIncrBy,
    /// Members were added to a set.
    SAdd,
    /// Members were removed from a set.
    SRem,
    /// Members were added to a sorted set, or have new scores.
    ZAdd,
    /// A score was raised.
    ZIncr,
    /// Members were removed from a sorted set.
    ZRem,
    /// So were those of a range of ranks.
    ZRemRangeByRank,
    /// So were those of a range of scores.
    ZRemRangeByScore,
    /// So were those of a range of members.
    ZRemRangeByLex,
}

/// Which notices somebody wants, in the letters of `notify-keyspace-events`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoticeClass {
    /// `g`: what can happen to any type.
    Generic,
    /// `$`: strings.
    String,
    /// `h`: hashes.
    Hash,
    /// `s`: sets.
    Set,
    /// `z`: sorted sets.
    SortedSet,
    /// `x`: ends of lives.
    Expired,
}

impl NoticeClass {
    /// Its bit in a set of classes.
    pub fn bit(self) -> u16 {
        1 << self as u16
    }
}

impl Notice {
    /// Its name, the end of a channel such as `__keyevent@0__:expired`.
    pub fn name(self) -> &'static str {
        match self {
            Notice::Set => "set",
            Notice::Expire => "expire",
            Notice::Persist => "persist",
            Notice::Del => "del",
            Notice::Expired => "expired",
            Notice::RenameFrom => "rename_from",
            Notice::RenameTo => "rename_to",
            Notice::IncrBy => "incrby",
            Notice::Append => "append",
            Notice::HSet => "hset",
            Notice::HDel => "hdel",
            Notice::HIncrBy => "hincrby",
            Notice::SAdd => "sadd",
            Notice::SRem => "srem",
            Notice::ZAdd => "zadd",
            Notice::ZIncr => "zincr",
            Notice::ZRem => "zrem",
            Notice::ZRemRangeByRank => "zremrangebyrank",
            Notice::ZRemRangeByScore => "zremrangebyscore",
            Notice::ZRemRangeByLex => "zremrangebylex",
        }
    }

    /// What it is about.
    pub fn class(self) -> NoticeClass {
        match self {
            Notice::Expire | Notice::Persist | Notice::Del | Notice::RenameFrom | Notice::RenameTo => NoticeClass::Generic,
            Notice::Set | Notice::IncrBy | Notice::Append => NoticeClass::String,
            Notice::HSet | Notice::HDel | Notice::HIncrBy => NoticeClass::Hash,
            Notice::SAdd | Notice::SRem => NoticeClass::Set,
            Notice::ZAdd | Notice::ZIncr | Notice::ZRem | Notice::ZRemRangeByRank | Notice::ZRemRangeByScore | Notice::ZRemRangeByLex => {
                NoticeClass::SortedSet
            }
            Notice::Expired => NoticeClass::Expired,
        }
    }
}

/// Collects what a command did, if anybody wants to know.
#[derive(Debug)]
pub struct Notices {
    wanted: u16,
    list: Vec<Notice>,
}

impl Notices {
    /// Those of these classes.
    pub fn wanted(classes: u16) -> Notices {
        Notices { wanted: classes, list: Vec::new() }
    }

    /// None.
    pub fn unwanted() -> Notices {
        Notices::wanted(0)
    }

    /// What was collected, in order.
    pub fn into_list(self) -> Vec<Notice> {
        self.list
    }

    fn add(&mut self, notice: Notice) {
        if self.wanted & notice.class().bit() != 0 {
            self.list.push(notice);
        }
    }

    /// What `command` did although it changed nothing: the same content again is set all the same.
    pub(super) fn of_same(&mut self, value: Option<&Value>, command: &Command) {
        match command {
            Command::Set { condition, .. } if lives::holds(value, *condition) => self.add(Notice::Set),
            Command::Append { .. } => self.add(Notice::Append),
            _ => {}
        }
    }

    /// What `command` did by making this change.
    pub(super) fn of(&mut self, value: Option<&Value>, command: &Command, change: &Change) {
        if self.wanted == 0 {
            return;
        }
        let is_gone = matches!(change, Change::Delete);
        let first = match command {
            Command::Set { .. } => Some(Notice::Set),
            Command::Increment { .. } => Some(Notice::IncrBy),
            Command::Append { .. } => Some(Notice::Append),
            Command::Expire { .. } if !is_gone => Some(Notice::Expire),
            Command::Persist => Some(Notice::Persist),
            Command::GetEx { expiry: Expiry::Never } => Some(Notice::Persist),
            Command::GetEx { .. } if !is_gone => Some(Notice::Expire),
            Command::MoveAway => Some(Notice::RenameFrom),
            Command::MoveHere { .. } => Some(Notice::RenameTo),
            Command::HashSet { .. } | Command::HashSetIfAbsent { .. } => Some(Notice::HSet),
            Command::HashIncrement { .. } => Some(Notice::HIncrBy),
            Command::HashDelete { .. } => Some(Notice::HDel),
            Command::SetAdd { .. } => Some(Notice::SAdd),
            Command::SetRemove { .. } => Some(Notice::SRem),
            Command::SortedSetAdd { .. } => Some(Notice::ZAdd),
            Command::SortedSetIncrement { .. } => Some(Notice::ZIncr),
            Command::SortedSetRemove { .. } => Some(Notice::ZRem),
            Command::SortedSetRemoveRange { range } => Some(match range {
                Range::Ranks(..) => Notice::ZRemRangeByRank,
                Range::Scores(..) => Notice::ZRemRangeByScore,
                Range::Members(..) => Notice::ZRemRangeByLex,
            }),
            _ => None,
        };
        first.into_iter().for_each(|notice| self.add(notice));
        if matches!(command, Command::Set { expiry: Expiry::After(_), .. }) && !is_gone {
            self.add(Notice::Expire);
        }
        if is_gone && value.is_some() && !matches!(command, Command::MoveAway) {
            self.add(Notice::Del);
        }
    }
}
