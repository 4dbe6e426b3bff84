//! What runners of tests say in JUnit's XML, which all of them can write: <https://github.com/testmoapp/junitxml>.

use std::path::Path;

use anyhow::Context;
use roxmltree::{Document, Node};

use crate::verdict::{Case, Outcome};

/// All cases of the reports in a folder.
///
/// # Errors
/// When there is none, or one is not of this form.
pub(crate) fn read(reports: &Path) -> anyhow::Result<Vec<Case>> {
    let entries = std::fs::read_dir(reports).and_then(Iterator::collect::<std::io::Result<Vec<_>>>);
    let paths = entries.with_context(|| format!("cannot list `{}`", reports.display()))?.into_iter().map(|entry| entry.path());
    let mut paths: Vec<_> = paths.filter(|path| path.extension().is_some_and(|extension| extension == "xml")).collect();
    anyhow::ensure!(!paths.is_empty(), "there is no report in `{}`", reports.display());
    paths.sort();
    let mut cases = Vec::new();
    for path in paths {
        let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
        cases.extend(parse(&text).with_context(|| format!("failed to read the report `{}`", path.display()))?);
    }
    Ok(cases)
}

fn parse(text: &str) -> anyhow::Result<Vec<Case>> {
    let document = Document::parse(text)?;
    let cases: Vec<Case> = document.descendants().filter(|node| node.has_tag_name("testcase")).map(case).collect();
    anyhow::ensure!(!cases.is_empty(), "it has no test in it");
    Ok(cases)
}

fn case(node: Node<'_, '_>) -> Case {
    let told = |tag: &str| node.children().find(|child| child.has_tag_name(tag));
    let outcome = match (told("failure").or_else(|| told("error")), told("skipped")) {
        (Some(failure), _) => Outcome::Failed(message(failure)),
        (None, Some(skipped)) => Outcome::Skipped(message(skipped)),
        (None, None) => Outcome::Passed,
    };
    Case { name: name(node), outcome }
}

/// `file::class::name`, as pytest has it; a runner that tells no file, or no class, leaves that out. A file of this machine says nothing.
fn name(node: Node<'_, '_>) -> String {
    let [file, class, name] = ["file", "classname", "name"].map(|attribute| node.attribute(attribute).unwrap_or_default());
    let file = if Path::new(file).is_absolute() { "" } else { file };
    let module = file.trim_end_matches(".py").replace('/', ".");
    let class = class.strip_prefix(&module).unwrap_or(class).trim_start_matches('.');
    [file, class, name].iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>().join("::")
}

/// The last line of it says what went wrong where there are many: pytest's own lines begin with the test's source.
fn message(node: Node<'_, '_>) -> String {
    node.attribute("message").or_else(|| node.text()?.trim().lines().last()).unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_of_pytest_is_understood() {
        let text = r#"<?xml version="1.0"?><testsuites><testsuite>
            <testcase classname="tests.test_lock.TestLock" name="test_one" file="tests/test_lock.py" line="3"/>
            <testcase classname="tests.test_lock" name="test_two[a]" file="tests/test_lock.py"><failure message="no">long</failure></testcase>
            <testcase classname="c" name="d" file="/of/phpunit.php"><skipped message="why" /></testcase>
            </testsuite></testsuites>"#;
        let cases = parse(text).unwrap();
        let told: Vec<(&str, &Outcome)> = cases.iter().map(|case| (case.name.as_str(), &case.outcome)).collect();
        assert_eq!(
            told,
            [
                ("tests/test_lock.py::TestLock::test_one", &Outcome::Passed),
                ("tests/test_lock.py::test_two[a]", &Outcome::Failed("no".to_owned())),
                ("c::d", &Outcome::Skipped("why".to_owned())),
            ]
        );
    }

    #[test]
    fn a_report_without_a_test_is_refused() {
        assert!(parse("<testsuites/>").unwrap_err().to_string().contains("no test"));
    }
}
