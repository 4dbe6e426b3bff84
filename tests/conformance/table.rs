//! What a person reads in the end.

use holdfast_support::command::last;

use crate::killed::Account;
use crate::server::Choice;
use crate::suite::Suite;
use crate::verdict::Verdict;

/// As much of what a runner says of a failed test is shown.
const SHOWN: usize = 300;

/// One line of the table.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) suite: Suite,
    pub(crate) kind: Kind,
}

#[derive(Debug)]
pub(crate) enum Kind {
    /// Its tests, by a server.
    Tests(Choice, anyhow::Result<Verdict>),
    /// While members were killed.
    Killed(anyhow::Result<Account>),
}

impl Row {
    /// Whether all is well.
    pub(crate) fn is_passed(&self) -> bool {
        match &self.kind {
            Kind::Tests(_, verdict) => verdict.as_ref().is_ok_and(|verdict| verdict.failed.is_empty()),
            Kind::Killed(account) => account.is_ok(),
        }
    }
}

/// Prints everything: the tables, and what has to be looked at.
pub(crate) fn print(rows: &[Row]) {
    tests(rows);
    killed(rows);
    for row in rows {
        remarks(row);
    }
}

fn tests(rows: &[Row]) {
    println!("\n{:<44} {:>7} {:>7} {:>7} {:>9} {:>8} {:>7}", "suite", "member", "ran", "passed", "left out", "skipped", "failed");
    for row in rows {
        let Kind::Tests(choice, verdict) = &row.kind else { continue };
        let name = format!("{} ({})", row.suite.name, row.suite.library);
        match verdict {
            Ok(verdict) => {
                let [ran, passed, left_out] = [verdict.ran(), verdict.passed, verdict.left_out()];
                let [skipped, failed] = [verdict.skipped, verdict.failed.len()];
                println!("{name:<44} {choice:>7} {ran:>7} {passed:>7} {left_out:>9} {skipped:>8} {failed:>7}");
            }
            Err(_) => println!("{name:<44} {choice:>7}  did not come to its end"),
        }
    }
}

fn killed(rows: &[Row]) {
    if !rows.iter().any(|row| matches!(row.kind, Kind::Killed(_))) {
        return;
    }
    println!(
        "\n{:<44} {:>9} {:>9} {:>7} {:>13} {:>6}",
        "each member killed in turn", "sessions", "written", "failed", "longest wait", "lost"
    );
    for row in rows {
        let Kind::Killed(account) = &row.kind else { continue };
        match account {
            Ok(Account { sessions, written, failed, longest_wait_ms, lost }) => {
                let (name, lost) = (row.suite.library, lost.len());
                println!("{name:<44} {sessions:>9} {written:>9} {failed:>7} {longest_wait_ms:>10} ms {lost:>6}");
            }
            Err(_) => println!("{:<44} FAILED", row.suite.library),
        }
    }
}

fn remarks(row: &Row) {
    let name = row.suite.name;
    match &row.kind {
        Kind::Tests(choice, Ok(verdict)) => {
            let place = format!("{name}, member {choice}");
            for (reason, count) in &verdict.left_out {
                println!("{place}: {count} left out: {reason}");
            }
            for test in &verdict.would_pass {
                println!("{place}: would pass, take it off the list: {test}");
            }
            for pattern in &verdict.unmatched {
                println!("{place}: fits no test, take it off the list: {pattern}");
            }
            for (test, why) in &verdict.failed {
                println!("{place}: FAILED {test}: {}", last(why, SHOWN).replace('\n', " "));
            }
        }
        Kind::Tests(choice, Err(error)) => println!("{name}, member {choice}: FAILED: {error:#}"),
        Kind::Killed(Err(error)) => println!("{name}, members killed: FAILED: {error:#}"),
        Kind::Killed(Ok(_)) => {}
    }
}
