//! What became of the tests of a suite, beside the list of those that are left out.

use std::collections::{BTreeMap, BTreeSet};

use crate::left_out::LeftOut;

/// One test, as its runner tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Case {
    /// Its name, in the form that [`crate::junit`] makes.
    pub(crate) name: String,
    pub(crate) outcome: Outcome,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Passed,
    /// With what the runner says.
    Failed(String),
    /// The suite itself left it out, for this reason.
    Skipped(String),
}

/// The suite as a whole.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) passed: usize,
    /// Failed, as the list says: how many for each reason.
    pub(crate) left_out: BTreeMap<String, usize>,
    /// Left out by the suite itself.
    pub(crate) skipped: usize,
    /// Failed without being on the list, each with what the runner says.
    pub(crate) failed: Vec<(String, String)>,
    /// On the list, and yet they passed.
    pub(crate) would_pass: Vec<String>,
    /// Patterns of the list that fit no test.
    pub(crate) unmatched: Vec<String>,
}

impl Verdict {
    /// Judges all cases of a run.
    pub(crate) fn new(cases: &[Case], list: &LeftOut) -> Self {
        let mut verdict = Self::default();
        // Runners that tell an error of a test's own set-up or tear-down tell the test twice.
        let mut failed = BTreeSet::new();
        for case in cases {
            let reason = list.reason(&case.name);
            match (&case.outcome, reason) {
                (Outcome::Passed, _) if failed.contains(case.name.as_str()) => {}
                (Outcome::Passed, reason) => {
                    verdict.passed += 1;
                    if reason.is_some() {
                        verdict.would_pass.push(case.name.clone());
                    }
                }
                (Outcome::Skipped(_), _) => verdict.skipped += 1,
                (Outcome::Failed(_), _) if !failed.insert(case.name.as_str()) => {}
                (Outcome::Failed(_), Some(reason)) => *verdict.left_out.entry(reason.to_owned()).or_default() += 1,
                (Outcome::Failed(why), None) => verdict.failed.push((case.name.clone(), why.clone())),
            }
        }
        verdict.unmatched = list.unmatched(cases.iter().map(|case| case.name.as_str()));
        verdict
    }

    /// How many tests ran.
    pub(crate) fn ran(&self) -> usize {
        self.passed + self.left_out() + self.failed.len()
    }

    /// How many of them failed, as the list says.
    pub(crate) fn left_out(&self) -> usize {
        self.left_out.values().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(name: &str, outcome: Outcome) -> Case {
        Case { name: name.to_owned(), outcome }
    }

    #[test]
    fn a_failure_counts_unless_it_is_listed_and_a_listed_test_that_passes_is_told() {
        let list = LeftOut::parse("[{why: no streams, tests: [x_*, gone]}]").unwrap();
        let no = || Outcome::Failed("no".to_owned());
        let cases = [case("a", Outcome::Passed), case("b", no()), case("b", no()), case("x_a", no()), case("x_b", Outcome::Passed)];
        let verdict = Verdict::new(&cases, &list);
        assert_eq!(
            verdict,
            Verdict {
                passed: 2,
                left_out: BTreeMap::from([("no streams".to_owned(), 1)]),
                skipped: 0,
                failed: vec![("b".to_owned(), "no".to_owned())],
                would_pass: vec!["x_b".to_owned()],
                unmatched: vec!["gone".to_owned()],
            }
        );
        assert_eq!(verdict.ran(), 4);
    }
}
