//! Our search for an order that explains a history, against `stateright`'s, which is the reference: both must say the same of every history that
//! both can judge. Ours alone knows losses that are excused for a time, and lives that end by themselves.

use bytes::Bytes;
use holdfast_core::value::{Data, Value, apply, decide};
use holdfast_core::{Command, Condition, ExpireCondition, Expiry, Key, Reply};
use holdfast_sim::history::{Operation, Verdict, judge, judge_told};
use holdfast_sim::{Kind, histories};
use proptest::prelude::*;
use stateright::semantics::{ConsistencyTester, LinearizabilityTester, SequentialSpec};

/// What a session does with one command after the other, told by the product's own functions.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Session(Option<Data>);

/// A command by its number in the history, so that it can be compared and hashed.
#[derive(Clone, Debug, PartialEq)]
struct Asked(Command);

#[derive(Clone, Debug, PartialEq)]
struct Answer(Reply);

impl SequentialSpec for Session {
    type Op = Asked;
    type Ret = Answer;

    fn invoke(&mut self, asked: &Asked) -> Answer {
        let mut value = self.0.take().map(|data| Value::new(data, None));
        let (reply, change) = decide(value.as_ref(), &asked.0, 0, u64::MAX);
        if let Some(change) = change {
            apply(&mut value, change, 0);
        }
        self.0 = value.map(|value| value.data);
        Answer(reply)
    }
}

/// What the reference says. Each operation has a thread of its own, as nothing else orders them.
fn reference(operations: &[Operation]) -> bool {
    let mut events: Vec<(u64, bool, usize)> = Vec::new();
    for (thread, operation) in operations.iter().enumerate() {
        events.push((operation.invoked, false, thread));
        events.extend(operation.answered.map(|at| (at, true, thread)));
    }
    // Within a millisecond all may overlap: questions come before answers.
    events.sort_unstable();
    let mut tester = LinearizabilityTester::new(Session(None));
    for (_, is_answer, thread) in events {
        let operation = &operations[thread];
        let done = match (is_answer, &operation.command, &operation.reply) {
            (false, Some(command), _) => tester.on_invoke(thread, Asked(command.clone())).map(drop),
            (true, _, Some(reply)) => tester.on_return(thread, Answer(reply.clone())).map(drop),
            _ => unreachable!("only what was asked and answered is compared"),
        };
        done.expect("each thread asks once");
    }
    tester.is_consistent()
}

fn compare(operations: &[Operation]) {
    let ours = judge(operations, None);
    let theirs = if reference(operations) { Verdict::Linearizable } else { Verdict::Violated };
    let lines: String = operations.iter().map(|operation| format!("\n  {operation}")).collect();
    assert_eq!(ours, theirs, "ours and the reference do not agree on:{lines}");
}

fn set(value: &'static str, condition: Condition, return_old: bool) -> Command {
    Command::Set { value: Bytes::from_static(value.as_bytes()), expiry: Expiry::Never, condition, return_old }
}

fn any_command() -> impl Strategy<Value = Command> {
    let value = || prop_oneof![Just("a"), Just("b"), Just("c")];
    let condition = prop_oneof![Just(Condition::Always), Just(Condition::IfAbsent), Just(Condition::IfPresent)];
    prop_oneof![
        4 => (value(), condition, any::<bool>()).prop_map(|(value, condition, old)| set(value, condition, old)),
        4 => Just(Command::Get),
        1 => Just(Command::GetDel),
        2 => Just(Command::Delete),
        1 => Just(Command::Exists),
    ]
}

/// A history as a correct server gives it, when each command takes effect at some moment between question and answer; and some that are spoilt by
/// exchanging two answers.
fn any_history() -> impl Strategy<Value = Vec<Operation>> {
    let operation = (any_command(), 0..12u64, 1..6u64, 0..6u64, prop::bool::weighted(0.85));
    (prop::collection::vec(operation, 1..8), prop::option::weighted(0.5, (any::<prop::sample::Index>(), any::<prop::sample::Index>())))
        .prop_map(|(drawn, spoilt)| {
            let mut order: Vec<usize> = (0..drawn.len()).collect();
            order.sort_by_key(|i| drawn[*i].1 + drawn[*i].3.min(drawn[*i].2));
            let mut session = Session(None);
            let mut operations: Vec<Operation> =
                drawn.iter().map(|(command, invoked, ..)| Operation::asked(Key::new(), command.clone(), *invoked)).collect();
            for i in order {
                let (command, invoked, length, _, is_answered) = &drawn[i];
                let answer = session.invoke(&Asked(command.clone()));
                if *is_answered {
                    operations[i].answered = Some(invoked + length);
                    operations[i].reply = Some(answer.0);
                }
            }
            if let Some((a, b)) = spoilt {
                let (a, b) = (a.index(operations.len()), b.index(operations.len()));
                if operations[a].reply.is_some() && operations[b].reply.is_some() {
                    let reply = operations[a].reply.clone();
                    operations[a].reply = operations[b].reply.clone();
                    operations[b].reply = reply;
                }
            }
            operations
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn ours_says_of_drawn_histories_what_the_reference_says(operations in any_history()) {
        compare(&operations);
    }
}

#[test]
fn ours_says_of_simulated_histories_what_the_reference_says() {
    let mut compared = 0;
    for kind in [Kind::Mixed, Kind::Hunt, Kind::Churn, Kind::Narrow] {
        for seed in 1..=15 {
            for mut history in histories(seed, kind) {
                // Of a long history the reference judges the beginning: of the first few operations, what is answered late counts as unanswered.
                history.truncate(9);
                let is_plain = |operation: &Operation| operation.command.as_ref().is_some_and(|command| !has_life(command));
                if history.len() > 2 && history.iter().all(is_plain) {
                    compare(&history);
                    compared += 1;
                }
            }
        }
    }
    assert!(compared > 40, "only {compared} histories were compared");
}

fn has_life(command: &Command) -> bool {
    let timed = [Command::Persist, Command::Ttl];
    timed.contains(command)
        || matches!(
            command,
            Command::Set { expiry: Expiry::After(_), .. }
                | Command::GetEx { .. }
                | Command::Expire { condition: ExpireCondition::Always, .. }
        )
}

fn asked(command: Command, invoked: u64, answered: Option<u64>, reply: Option<Reply>) -> Operation {
    Operation { answered, reply, ..Operation::asked(Key::new(), command, invoked) }
}

fn wrote(value: &'static str, invoked: u64, answered: Option<u64>) -> Operation {
    asked(set(value, Condition::Always, false), invoked, answered, answered.map(|_| Reply::Ok))
}

fn got(value: &'static str, invoked: u64, answered: u64) -> Operation {
    let reply = if value.is_empty() { Reply::Nil } else { Reply::Bytes(Bytes::from_static(value.as_bytes())) };
    asked(Command::Get, invoked, Some(answered), Some(reply))
}

fn wrote_for(value: &'static str, millis: u64, invoked: u64, answered: u64) -> Operation {
    let command = Command::Set {
        value: Bytes::from_static(value.as_bytes()),
        expiry: Expiry::After(millis),
        condition: Condition::Always,
        return_old: false,
    };
    asked(command, invoked, Some(answered), Some(Reply::Ok))
}

#[test]
fn a_read_that_goes_back_is_found() {
    assert_eq!(Verdict::Linearizable, judge(&[wrote("a", 0, Some(1)), wrote("b", 2, Some(3)), got("b", 4, 5)], None));
    assert_eq!(Verdict::Violated, judge(&[wrote("a", 0, Some(1)), wrote("b", 2, Some(3)), got("a", 4, 5)], None));
}

#[test]
fn a_write_without_an_answer_may_take_effect_late_or_never_but_only_once() {
    assert_eq!(Verdict::Linearizable, judge(&[wrote("a", 0, None), wrote("b", 2, Some(3)), got("b", 4, 5), got("a", 6, 7)], None));
    assert_eq!(Verdict::Linearizable, judge(&[wrote("a", 0, None), wrote("b", 2, Some(3)), got("b", 4, 5)], None));
    assert_eq!(Verdict::Violated, judge(&[wrote("a", 0, None), wrote("b", 2, Some(3)), got("a", 4, 5), got("b", 6, 7)], None));
}

#[test]
fn an_excused_loss_explains_a_missing_value_and_nothing_else() {
    let lost = Operation::loss(Key::new(), 2, Some(6), 2);
    assert_eq!(Verdict::Violated, judge(&[wrote("a", 0, Some(1)), got("", 4, 5)], None));
    assert_eq!(Verdict::Linearizable, judge(&[wrote("a", 0, Some(1)), lost.clone(), got("", 4, 5)], None));
    assert_eq!(Verdict::Violated, judge(&[wrote("a", 0, Some(1)), lost.clone(), got("b", 4, 5)], None));
    assert_eq!(Verdict::Violated, judge(&[wrote("a", 0, Some(1)), lost.clone(), got("a", 7, 8), got("", 9, 10)], None));
    assert_eq!(Verdict::Violated, judge(&[wrote("a", 3, Some(4)), lost, got("", 5, 6)], None), "written after the failures");
    let late = Operation::loss(Key::new(), 5, Some(9), 2);
    let history = [wrote("a", 0, Some(1)), wrote("b", 3, Some(4)), late, got("", 7, 8)];
    assert_eq!(Verdict::Violated, judge(&history, None), "nobody has seen either value, and only the first one may be lost");
}

#[test]
fn a_session_that_is_set_back_keeps_the_order_of_its_writes() {
    let back = |kept| Operation::set_back(Key::new(), 5, Some(20), kept);
    let [a, b] = [wrote("a", 0, Some(1)), wrote("b", 2, Some(3))];
    let deleted = asked(Command::Delete, 4, Some(5), Some(Reply::Int(1)));
    assert_eq!(Verdict::Violated, judge(&[a.clone(), b.clone(), got("a", 6, 7)], None), "nothing sets it back");
    assert_eq!(Verdict::Linearizable, judge(&[a.clone(), b.clone(), back(0), got("a", 6, 7)], None));
    assert_eq!(Verdict::Linearizable, judge(&[a.clone(), b.clone(), back(0), got("b", 6, 7), got("", 8, 9)], None));
    assert_eq!(Verdict::Violated, judge(&[a.clone(), b.clone(), back(0), got("a", 6, 7), got("b", 8, 9)], None), "what is lost is lost");
    assert_eq!(Verdict::Violated, judge(&[a.clone(), b.clone(), back(2), got("", 6, 7)], None), "the first one was kept");
    assert_eq!(Verdict::Violated, judge(&[a.clone(), b.clone(), back(0), got("b", 21, 22), got("a", 30, 31)], None), "too late");
    assert_eq!(
        Verdict::Linearizable,
        judge(&[a.clone(), b.clone(), deleted.clone(), back(5), got("b", 6, 7)], None),
        "its end was not kept"
    );
    assert_eq!(Verdict::Violated, judge(&[a, b, deleted, back(6), got("b", 7, 8)], None), "its end was kept");
}

#[test]
fn a_life_may_end_late_but_not_early_and_not_never() {
    let written = wrote_for("a", 1_000, 0, 10);
    assert_eq!(Verdict::Linearizable, judge(&[written.clone(), got("a", 500, 501), got("", 1_100, 1_101)], None));
    assert_eq!(Verdict::Violated, judge(&[written.clone(), got("", 900, 901)], None), "too early");
    assert_eq!(
        Verdict::Linearizable,
        judge(&[written.clone(), got("a", 3_000, 3_001)], None),
        "copies live longer by their time on the way"
    );
    assert_eq!(Verdict::Violated, judge(&[written.clone(), got("a", 3_000, 3_001)], Some(1_500)), "not once nothing is on the way");
    assert_eq!(Verdict::Violated, judge(&[written.clone(), got("", 1_100, 1_101), got("a", 1_200, 1_201)], None), "it does not come back");
    let persisted = asked(Command::Persist, 500, Some(501), Some(Reply::Int(1)));
    assert_eq!(Verdict::Violated, judge(&[written.clone(), persisted.clone(), got("", 2_000, 2_001)], None), "it has no end any more");
    assert_eq!(Verdict::Linearizable, judge(&[written, persisted, got("a", 9_000, 9_001)], Some(100)));
}

#[test]
fn each_end_of_a_life_is_told_once() {
    let written = wrote_for("a", 1_000, 0, 10);
    let told = |at| Operation::expired(Key::new(), 0, at);
    let gone = got("", 1_100, 1_101);
    let told_always = |history: &[Operation]| judge_told(history, Some(2_000), Some(0));
    assert_eq!(Verdict::Linearizable, told_always(&[written.clone(), told(1_050), gone.clone()]));
    assert_eq!(Verdict::Violated, told_always(&[written.clone(), gone.clone()]), "nobody was told");
    assert_eq!(
        Verdict::Linearizable,
        judge_told(&[written.clone(), gone.clone()], None, Some(1_020)),
        "its owner may have failed just then"
    );
    assert_eq!(Verdict::Violated, told_always(&[written.clone(), told(900), got("", 1_100, 1_101)]), "too early");
    assert_eq!(Verdict::Violated, judge(&[written.clone(), told(1_050), told(1_060), gone], None), "told twice");
    assert_eq!(Verdict::Violated, judge(&[written, told(1_050), got("a", 1_060, 1_070)], None), "it lives on");
}

#[test]
fn a_time_to_live_is_what_is_left() {
    let ttl = |millis| asked(Command::Ttl, 500, Some(510), Some(Reply::Int(millis)));
    let verdict = |millis| judge(&[wrote_for("a", 1_000, 0, 10), ttl(millis)], None);
    assert_eq!(Verdict::Linearizable, verdict(505));
    assert_eq!(Verdict::Violated, verdict(300));
    assert_eq!(Verdict::Linearizable, verdict(1_050), "a new owner lets it last as long as holders grant it");
    assert_eq!(Verdict::Violated, verdict(1_100));
    assert_eq!(Verdict::Violated, verdict(-1));
}
