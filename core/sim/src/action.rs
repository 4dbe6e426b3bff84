//! What can happen in a schedule, in a form that can be recorded, shortened, printed and kept as a test.

use bytes::Bytes;
use holdfast_core::{Command, Condition, ExpireCondition, Expiry, Guard};

/// The field that is counted up.
const COUNTER: u8 = 9;

/// One thing that is done to the cluster. What makes no sense when its time comes is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The process of this host starts, in the same pod or in a new one.
    Start(usize, Pod),
    /// The process ends at once.
    Crash(usize),
    /// The whole node is gone: nobody is told that nobody listens.
    CrashNode(usize),
    /// The member is asked to leave for good.
    Finish(usize),
    /// The member is asked to own and hold nothing, but to stay.
    Drain(usize),
    /// All connections between two hosts break; so many of the frames under way each way still arrive.
    Reset(usize, usize, [usize; 2]),
    /// Hosts whose bit is set cannot reach the others, nor be reached.
    Partition(u64),
    /// Nothing gets from the first to the second any more.
    Cut(usize, usize),
    /// Frames from the first to the second take up to so many milliseconds longer.
    Slow(usize, usize, u64),
    /// This host cannot reach the arbiter any more, nor be told by it.
    Blind(usize),
    /// The network works again, that to the arbiter included.
    HealNetwork,
    /// The process does nothing for so many milliseconds.
    Pause(usize, u64),
    /// The arbiter cannot be reached.
    ArbiterDown,
    /// It can be again.
    ArbiterUp,
    /// One of the swaps that were given up by their callers comes about, if it still can.
    LateSwap(usize),
    /// A client of this host asks something of the session with this number.
    Ask(usize, usize, Ask),
    /// A client of this host changes the session with this number and the next one as one step, if the first does not exist.
    Together(usize, usize, u32),
    /// A client of this host reads the session with this number, and has to be answered within so many milliseconds.
    Expect(usize, usize, u64),
    /// A client of this host lists all sessions, about so many of each member at a time.
    Scan(usize, u32),
    /// From now on everybody asks for so many copies.
    Copies(u8),
    /// Clients of this host create the crowd: many sessions that are then left alone.
    Crowd(usize),
}

/// In which pod a process starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pod {
    /// Its container was started again.
    Same,
    /// The pod was replaced.
    New,
}

/// What a client asks. Values are numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// `GET`.
    Get,
    /// `EXISTS`.
    Exists,
    /// `SET`.
    Set(u32),
    /// `SET` of about a kilobyte.
    SetLarge(u32),
    /// `SET` with a time to live in milliseconds.
    SetFor(u32, u64),
    /// `SET` with `KEEPTTL`.
    SetKeep(u32),
    /// `SET` with `NX`.
    SetIfAbsent(u32),
    /// `SET` with `XX`.
    SetIfPresent(u32),
    /// `SET` with `GET`.
    Exchange(u32),
    /// `GETDEL`.
    GetDel,
    /// `DEL`.
    Delete,
    /// `GETEX` with a time to live in milliseconds.
    Touch(u64),
    /// `PEXPIRE`.
    Expire(u64),
    /// `PERSIST`.
    Persist,
    /// `PTTL`.
    Ttl,
    /// `HSET` of this field.
    Field(u8, u32),
    /// `HDEL` of this field.
    FieldDelete(u8),
    /// `HGETALL`.
    Fields,
    /// `HINCRBY` of a field that holds nothing but this number.
    Count,
    /// As one step: `SET`, and `GET`.
    SetAndGet(u32),
    /// As one step, if the value is the first one: `SET` to the second.
    Swap(u32, u32),
    /// As one step, if this is the value: `GET`, and `DEL`.
    Release(u32),
    /// As one step: `HSET` of two fields, and `HGETALL`.
    FieldsAndAll(u32),
    /// The member is to own it, if it does not exist.
    Claim,
}

impl Ask {
    /// As the engine takes it.
    pub(crate) fn command(self) -> Command {
        let value = |number: u32| Bytes::from(format!("v{number}"));
        let field = |field: u8| Bytes::from(vec![field]);
        let batch = |guard, commands| Command::Batch { guard, commands };
        let set = |value, expiry, condition, return_old| Command::Set { value, expiry, condition, return_old };
        let always = |number| set(value(number), Expiry::Never, Condition::Always, false);
        match self {
            Ask::Get => Command::Get,
            Ask::Exists => Command::Exists,
            Ask::Set(number) => always(number),
            Ask::SetLarge(number) => set(Bytes::from(format!("v{number:01000}")), Expiry::Never, Condition::Always, false),
            Ask::SetFor(number, millis) => set(value(number), Expiry::After(millis), Condition::Always, false),
            Ask::SetKeep(number) => set(value(number), Expiry::Keep, Condition::Always, false),
            Ask::SetIfAbsent(number) => set(value(number), Expiry::Never, Condition::IfAbsent, false),
            Ask::SetIfPresent(number) => set(value(number), Expiry::Never, Condition::IfPresent, false),
            Ask::Exchange(number) => set(value(number), Expiry::Never, Condition::Always, true),
            Ask::GetDel => Command::GetDel,
            Ask::Delete => Command::Delete,
            Ask::Touch(millis) => Command::GetEx { expiry: Expiry::After(millis) },
            Ask::Expire(millis) => Command::Expire { millis: millis as i64, condition: ExpireCondition::Always },
            Ask::Persist => Command::Persist,
            Ask::Ttl => Command::Ttl,
            Ask::Field(name, number) => Command::HashSet { fields: vec![(field(name), value(number))] },
            Ask::FieldDelete(name) => Command::HashDelete { fields: vec![field(name)] },
            Ask::Fields => Command::HashGetAll,
            Ask::Count => Command::HashIncrement { field: field(COUNTER), by: 1 },
            Ask::SetAndGet(number) => batch(Guard::None, vec![always(number), Command::Get]),
            Ask::Swap(before, after) => batch(Guard::Equals(value(before)), vec![always(after)]),
            Ask::Release(number) => batch(Guard::Equals(value(number)), vec![Command::Get, Command::Delete]),
            Ask::FieldsAndAll(number) => {
                let one = |name| Command::HashSet { fields: vec![(field(name), value(number))] };
                batch(Guard::None, vec![one(1), one(2), Command::HashGetAll])
            }
            Ask::Claim => Command::Claim,
        }
    }
}
