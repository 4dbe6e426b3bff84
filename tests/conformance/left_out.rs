//! Which tests of a suite are left out, and why: one list for each suite, in `left_out/`. Left-out tests run all the same unless the list says that they
//! must not, so that one that would pass is noticed.

use anyhow::Context;
use serde::Deserialize;
use wildmatch::WildMatch;

use crate::server::Choice;

/// The list of one suite.
#[derive(Clone, Debug, Default)]
pub(crate) struct LeftOut(Vec<Entry>);

/// Tests that are left out for one reason.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Entry {
    /// The reason, for people.
    why: String,
    /// They fail on a real Redis 7.0 as well, which a run with MEMBERS=redis verifies.
    #[serde(default)]
    on_redis_too: bool,
    /// They fail only where connections go to all members in turn.
    #[serde(default)]
    only_in_turn: bool,
    /// They must not run: they would hang, or take the others along.
    #[serde(default)]
    never_run: bool,
    /// Names, in which `*` is anything.
    tests: Vec<String>,
}

impl LeftOut {
    /// Reads a list in YAML.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        Ok(Self(serde_norway::from_str(text).context("failed to read a list of left-out tests")?))
    }

    /// What is left of the list for a server.
    pub(crate) fn by(self, server: Choice) -> Self {
        let counts = |entry: &Entry| match server {
            Choice::Redis => entry.on_redis_too || entry.never_run,
            Choice::Member(_) => !entry.only_in_turn,
            Choice::InTurn => true,
        };
        Self(self.0.into_iter().filter(counts).collect())
    }

    /// Why a test is left out, if it is.
    pub(crate) fn reason(&self, name: &str) -> Option<&str> {
        let has = |entry: &&Entry| entry.tests.iter().any(|pattern| WildMatch::new(pattern).matches(name));
        self.0.iter().find(has).map(|entry| entry.why.as_str())
    }

    /// The names of the tests that must not run.
    pub(crate) fn never_run(&self) -> Vec<&str> {
        self.0.iter().filter(|entry| entry.never_run).flat_map(|entry| &entry.tests).map(String::as_str).collect()
    }

    /// Patterns that fit none of these tests.
    pub(crate) fn unmatched<'a>(&self, names: impl Iterator<Item = &'a str> + Clone) -> Vec<String> {
        let patterns = self.0.iter().filter(|entry| !entry.never_run).flat_map(|entry| &entry.tests);
        let fits_none = |pattern: &&String| {
            let pattern = WildMatch::new(pattern);
            !names.clone().any(|name| pattern.matches(name))
        };
        patterns.filter(fits_none).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_for_a_real_redis_has_only_what_fails_there_too() {
        let list = "[{why: a, tests: ['*::one']}, {why: b, onRedisToo: true, tests: [x::two]}, {why: c, neverRun: true, tests: [three]}]";
        let list = LeftOut::parse(list).unwrap();
        assert_eq!(["any::one", "x::two", "y::two"].map(|name| list.reason(name)), [Some("a"), Some("b"), None]);
        assert_eq!(list.never_run(), ["three"]);
        let list = list.by(Choice::Redis);
        assert_eq!(["any::one", "x::two", "three"].map(|name| list.reason(name)), [None, Some("b"), Some("c")]);
    }

    #[test]
    fn what_fails_in_turn_only_has_to_pass_by_a_single_member() {
        let list = LeftOut::parse("[{why: a, onlyInTurn: true, tests: [x]}, {why: b, tests: [y]}]").unwrap();
        let reasons = |server| ["x", "y"].map(|name| list.clone().by(server).reason(name).map(str::to_owned));
        assert_eq!(reasons(Choice::InTurn), [Some("a".to_owned()), Some("b".to_owned())]);
        assert_eq!(reasons(Choice::Member(1)), [None, Some("b".to_owned())]);
    }

    #[test]
    fn a_pattern_that_fits_no_test_is_told() {
        let list = LeftOut::parse("[{why: a, tests: [x*, y]}]").unwrap();
        assert_eq!(list.unmatched(["x1", "x2"].into_iter()), ["y"]);
    }

    #[test]
    fn an_entry_without_a_reason_is_refused() {
        assert!(LeftOut::parse("[{tests: [a]}]").is_err());
    }
}
