//! What the runner of Rust's tests says, a line for each of them, in the logs of its runs: it writes no report.

use std::path::Path;

use anyhow::Context;

use crate::verdict::{Case, Outcome};

/// All cases of the logs in a folder.
///
/// # Errors
/// When there is none.
pub(crate) fn read(reports: &Path) -> anyhow::Result<Vec<Case>> {
    let log = reports.join("0.log");
    let text = std::fs::read_to_string(&log).with_context(|| format!("cannot read `{}`", log.display()))?;
    let cases: Vec<Case> = text.lines().filter_map(case).collect();
    anyhow::ensure!(!cases.is_empty(), "`{}` has no test in it", log.display());
    Ok(cases)
}

fn case(line: &str) -> Option<Case> {
    let (name, outcome) = line.strip_prefix("test ")?.rsplit_once(" ... ")?;
    let outcome = match outcome.split(',').next()? {
        "ok" => Outcome::Passed,
        "FAILED" => Outcome::Failed("see the log".to_owned()),
        "ignored" => Outcome::Skipped("ignored".to_owned()),
        _ => return None,
    };
    Some(Case { name: name.to_owned(), outcome })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_of_a_test_is_one_case() {
        let told = |line| case(line).map(|case| (case.name, case.outcome));
        assert_eq!(told("test a::b ... ok"), Some(("a::b".to_owned(), Outcome::Passed)));
        assert_eq!(told("test c ... ignored, no server"), Some(("c".to_owned(), Outcome::Skipped("ignored".to_owned()))));
        assert!(matches!(told("test d ... FAILED"), Some((_, Outcome::Failed(_)))));
        assert_eq!(told("test result: ok. 4 passed; 0 failed"), None);
    }
}
