//! Scripts of lock and counter libraries whose meaning is known: each is one command, or one batch under a guard, at the owner of its key. Their texts are
//! those of the libraries' packages, in the folder of this name.

use std::collections::HashMap;
use std::sync::LazyLock;

use bytes::Bytes;
use holdfast_core::{Command, Condition, ExpireCondition, Expiry, Guard, Reply};

use super::Sha1;
use super::call::Arguments;
use super::words::words;
use crate::redis::command::plain;
use crate::redis::frame::{Value, parse_integer};

/// How an answer of an owner is told.
pub(crate) type Answer = Box<dyn FnOnce(Reply) -> Value + Send>;

/// A script of a library.
#[derive(Debug)]
pub(crate) struct Known {
    text: &'static str,
    /// As the library sends it, in hexadecimal digits.
    sha1: &'static str,
    step: Step,
    otherwise: Otherwise,
}

/// What a script does with the key that it is given. `ARGV[1]` and `ARGV[2]` are its arguments.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Deletes it if it holds `ARGV[1]`.
    Release,
    /// Gives it `ARGV[2]` milliseconds to live if it holds `ARGV[1]`.
    Prolong,
    /// Sets it to `ARGV[1]` for `ARGV[2]` milliseconds if it holds that already.
    Renew,
    /// Sets it to `ARGV[1]` for `ARGV[2]` milliseconds if it is not there.
    Acquire,
    /// The same in seconds.
    Add,
    /// Adds `ARGV[1]` to its number if it is there.
    IncrementIfPresent,
    /// Adds `ARGV[1]` to its number.
    Increment,
    /// Gives it `ARGV[1]` milliseconds to live, on the condition `ARGV[2]`.
    Expire,
}

/// What a script answers if its condition does not hold.
#[derive(Clone, Copy, Debug)]
enum Otherwise {
    /// 0.
    Zero,
    /// Nothing.
    Nil,
}

const fn known(text: &'static str, sha1: &'static str, step: Step, otherwise: Otherwise) -> Known {
    Known { text, sha1, step, otherwise }
}

#[rustfmt::skip]
static SCRIPTS: [Known; 25] = [
    known(include_str!("known/phpredis_release.lua"), "b70c2384248f88e6b75b9f89241a180f856ad852", Step::Release, Otherwise::Zero),
    known(include_str!("known/redislock_release.lua"), "cf0e94b2e9ffc7e04395cf88f7583fc309985910", Step::Release, Otherwise::Zero),
    known(include_str!("known/redislock_refresh.lua"), "a7aba3bc5d6e99b3003da8b9d80a63b9f4092ecf", Step::Prolong, Otherwise::Zero),
    known(include_str!("known/redsync_extend.lua"), "d75bb8b5bd13532ddedd17762e772346e39b321e", Step::Prolong, Otherwise::Zero),
    known(include_str!("known/laravel_release.lua"), "647c65a442733a1aa440f99908d249d13b4d6c4a", Step::Release, Otherwise::Zero),
    known(include_str!("known/laravel_add.lua"), "a08c9c69b7c07ae2485190873b90d128a23e502d", Step::Add, Otherwise::Nil),
    known(include_str!("known/redis_py_release.lua"), "c3f8721cbb97f72bc19e972846bd7aaf91901658", Step::Release, Otherwise::Zero),
    known(include_str!("known/redis_py_reacquire.lua"), "1cac51482acf5858da00f6d685d68f886cd6b6b2", Step::Prolong, Otherwise::Zero),
    known(include_str!("known/redlock_py_release.lua"), "4e92fdc63815b3a0a2dd1c1df3694de73607c88d", Step::Release, Otherwise::Zero),
    known(include_str!("known/pottery_release.lua"), "a4aada0b36710970eedaaaeec4a6b7d8c78c4f80", Step::Release, Otherwise::Zero),
    known(include_str!("known/pottery_extend.lua"), "ba015a80261b616e7a62d35df0b8e3edbe6c9414", Step::Prolong, Otherwise::Zero),
    known(include_str!("known/django_redis_increment.lua"), "f4a7da3e5d8ea3b46642af08427151cae0190400", Step::IncrementIfPresent, Otherwise::Nil),
    known(include_str!("known/django_redis_increment_always.lua"), "4d15273b16b10c15e1d9202cbe93c959ab7d250b", Step::Increment, Otherwise::Nil),
    known(include_str!("known/node_redlock4_acquire.lua"), "e5a322e2634ef59a516e8ea150cb085afafee684", Step::Acquire, Otherwise::Zero),
    known(include_str!("known/node_redlock4_release.lua"), "0f0f23b9048b36752b5be114f357ba083449f908", Step::Release, Otherwise::Zero),
    known(include_str!("known/node_redlock4_extend.lua"), "ce46f80993d5dac20dd066eb301a4e37994bdbed", Step::Renew, Otherwise::Zero),
    known(include_str!("known/node_redlock5_acquire.lua"), "96da70f7716f27d278a5218544df37fd8b0a5e4c", Step::Acquire, Otherwise::Zero),
    known(include_str!("known/node_redlock5_release.lua"), "e4612211c9f8f51c257e26e056b0a654b3187242", Step::Release, Otherwise::Zero),
    known(include_str!("known/node_redlock5_extend.lua"), "aed6f382e410db8ba7926d4e5e9aab410bf2a78a", Step::Renew, Otherwise::Zero),
    known(include_str!("known/redis_semaphore_release.lua"), "7157921a7cc7cfba979acf6d63f073151df17d12", Step::Release, Otherwise::Zero),
    known(include_str!("known/redis_semaphore_refresh.lua"), "594683e49a64ebaf975caf5f8079a1d097c438f1", Step::Prolong, Otherwise::Zero),
    known(include_str!("known/spring_renew.lua"), "879e0f7b8d83c3266d4e996627438c05dbda0b89", Step::Prolong, Otherwise::Nil),
    known(include_str!("known/spring_spin_unlink.lua"), "f0f9038aa2b6d6c3436c72d147573ea2a58f0ef2", Step::Release, Otherwise::Nil),
    known(include_str!("known/spring_spin_delete.lua"), "356d97191f2b63031781ccc0e8e82f02e1995a90", Step::Release, Otherwise::Nil),
    known(include_str!("known/redisson_expire.lua"), "3fd750e0b43af99dbd223e5523718f18cded3664", Step::Expire, Otherwise::Zero),
];

static BY_NAME: LazyLock<HashMap<Sha1, &'static Known>> =
    LazyLock::new(|| SCRIPTS.iter().filter_map(|script| Some((Sha1::parse(script.sha1.as_bytes())?, script))).collect());

static BY_WORDS: LazyLock<HashMap<Vec<u8>, &'static Known>> =
    LazyLock::new(|| SCRIPTS.iter().filter_map(|script| Some((words(script.text.as_bytes())?, script))).collect());

/// No text that is longer than this is one of them.
const MOST_TEXT: usize = 1 << 10;

impl Known {
    /// The script of this name.
    pub(crate) fn named(name: Sha1) -> Option<&'static Known> {
        BY_NAME.get(&name).copied()
    }

    /// The script whose text has the same words.
    pub(crate) fn worded(text: &[u8]) -> Option<&'static Known> {
        if text.len() > MOST_TEXT {
            return None;
        }
        BY_WORDS.get(&words(text)?).copied()
    }

    /// What it asks of its key, and how the answer is told. `None` if these are not the arguments of its library: then it is Lua like any other.
    pub(crate) fn command(&self, arguments: &Arguments) -> Option<(Command, Answer)> {
        let [_] = &arguments.keys[..] else { return None };
        let argument = |index: usize| arguments.rest.get(index).cloned();
        let number = |index: usize| argument(index).and_then(|text| parse_integer(&text));
        let lifetime = |index: usize, unit: u64| number(index).filter(|time| (1..MOST_TIME).contains(time)).map(|time| time as u64 * unit);
        let set = |unit: u64, condition: Condition| {
            let expiry = Expiry::After(lifetime(1, unit)?);
            Some(Command::Set { value: argument(0)?, expiry, condition, return_old: false })
        };
        let guarded = |guard: Guard, command: Command| Some(Command::Batch { guard, commands: vec![command] });
        let expire = |index: usize, condition: ExpireCondition| {
            let millis = number(index).filter(|time| (-MOST_TIME..MOST_TIME).contains(time))?;
            Some(Command::Expire { millis, condition })
        };
        let command = match self.step {
            Step::Release => guarded(Guard::Equals(argument(0)?), Command::Delete),
            Step::Prolong => guarded(Guard::Equals(argument(0)?), expire(1, ExpireCondition::Always)?),
            Step::Renew => guarded(Guard::Equals(argument(0)?), set(1, Condition::Always)?),
            Step::Acquire => set(1, Condition::IfAbsent),
            Step::Add => set(1000, Condition::IfAbsent),
            Step::IncrementIfPresent => guarded(Guard::Present, Command::Increment { by: number(0)? }),
            Step::Increment => Some(Command::Increment { by: number(0)? }),
            Step::Expire => expire(0, condition(&argument(1)?)?),
        }?;
        Some((command, self.answer()))
    }

    fn answer(&self) -> Answer {
        let otherwise = match self.otherwise {
            Otherwise::Zero => Value::Int(0),
            Otherwise::Nil => Value::Null,
        };
        let is_number = matches!(self.step, Step::IncrementIfPresent | Step::Increment | Step::Expire);
        let is_acquired = matches!(self.step, Step::Acquire);
        Box::new(move |reply| match reply {
            Reply::Refuted | Reply::Nil => otherwise,
            Reply::Ok if is_acquired => Value::Int(1),
            Reply::Batch(replies) => match replies.into_iter().next() {
                Some(error @ Reply::Error(_)) => plain(error),
                Some(number) if is_number => as_lua(number),
                _ => Value::Int(1),
            },
            other if is_number => as_lua(other),
            other => plain(other),
        })
    }
}

/// A number as it comes out of Lua, where it has 53 bits.
fn as_lua(reply: Reply) -> Value {
    match reply {
        Reply::Int(number) => Value::Int(super::integer(number as f64)),
        other => plain(other),
    }
}

/// Times are less than this, in the unit of their script: what is beyond is an error, which Lua finds.
const MOST_TIME: i64 = 1 << 43;

/// As Redisson gives it.
fn condition(word: &Bytes) -> Option<ExpireCondition> {
    match &word[..] {
        b"" => Some(ExpireCondition::Always),
        b"NX" => Some(ExpireCondition::IfNone),
        b"XX" => Some(ExpireCondition::IfSome),
        b"GT" => Some(ExpireCondition::IfLonger),
        b"LT" => Some(ExpireCondition::IfShorter),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(keys: &[&'static str], rest: &[&'static str]) -> Arguments {
        let bytes = |words: &[&'static str]| words.iter().map(|word| Bytes::from_static(word.as_bytes())).collect();
        Arguments { keys: bytes(keys), rest: bytes(rest) }
    }

    #[test]
    fn each_text_has_the_name_by_which_its_library_calls_it() {
        for script in &SCRIPTS {
            assert_eq!(Sha1::of(script.text.as_bytes()).to_string(), script.sha1, "{}", script.text);
            assert!(words(script.text.as_bytes()).is_some() && script.text.len() <= MOST_TEXT, "{}", script.text);
        }
    }

    #[test]
    fn texts_with_the_same_words_have_the_same_meaning() {
        for script in &SCRIPTS {
            let same = Known::worded(format!("\n  {}  ;", script.text).as_bytes()).expect("it is known");
            assert_eq!(format!("{:?}", (script.step, script.otherwise)), format!("{:?}", (same.step, same.otherwise)), "{}", script.text);
        }
    }

    #[test]
    fn a_lock_is_released_under_the_guard_of_its_token() {
        let script = Known::named(Sha1::parse(b"b70c2384248f88e6b75b9f89241a180f856ad852").expect("a name")).expect("it is known");
        let (command, answer) = script.command(&arguments(&["k"], &["token"])).expect("its arguments");
        assert_eq!(command, Command::Batch { guard: Guard::Equals("token".into()), commands: vec![Command::Delete] });
        assert_eq!(answer(Reply::Batch(vec![Reply::Int(1)])), Value::Int(1));
        let (_, answer) = script.command(&arguments(&["k"], &["token"])).expect("its arguments");
        assert_eq!(answer(Reply::Refuted), Value::Int(0));
    }

    #[test]
    fn with_other_arguments_it_is_a_script_like_any_other() {
        let named = |name: &str| SCRIPTS.iter().find(|script| script.sha1.starts_with(name)).expect("it is known");
        let release = named("0f0f23b9");
        assert!(release.command(&arguments(&["a", "b"], &["token"])).is_none() && release.command(&arguments(&["a"], &[])).is_none());
        for time in ["", "x", "1.5", "9223372036854775807"] {
            assert!(named("1cac5148").command(&arguments(&["a"], &["token", time])).is_none(), "{time}");
        }
        assert!(named("a08c9c69").command(&arguments(&["a"], &["value", "0"])).is_none());
        assert!(named("3fd750e0").command(&arguments(&["a"], &["1000", "nx"])).is_none());
    }
}
