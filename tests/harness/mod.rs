//! Runs the tests one after another on the one cluster, and prints what `cargo test` prints. Not libtest, because that runs
//! tests at once, cannot share a cluster that is ended at the end, and has no limit on a test's time.

use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant};

/// What a test comes to.
pub type Verdict = Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send>>;

/// One behaviour, tested on an `L`.
#[derive(Debug)]
pub struct Test<L> {
    /// What is printed, and what a filter matches.
    pub name: &'static str,
    /// A test that is not done by then has failed.
    pub limit: Duration,
    /// The test itself.
    pub run: fn(L) -> Verdict,
}

/// What is chosen on the command line, in libtest's words as far as they apply.
#[derive(Debug, Default, clap::Parser)]
#[command(about = "One cluster, one behaviour after another")]
pub struct Choice {
    /// Only tests whose name contains one of these.
    pub filters: Vec<String>,
    /// Names are whole, not parts.
    #[arg(long)]
    pub exact: bool,
    /// Print the names and end.
    #[arg(long)]
    pub list: bool,
    /// Leave the cluster running at the end.
    #[arg(long)]
    pub keep: bool,
    /// Use the cluster that KUBECONFIG names; faults that need the lab are skipped.
    #[arg(long)]
    pub existing: bool,
    /// With --existing: where its nodes find the images, the part before /holdfast/.
    #[arg(long, requires = "existing", default_value = "localhost")]
    pub registry: String,
    /// With --existing: the images' tag.
    #[arg(long, requires = "existing", default_value = "dev")]
    pub tag: String,
}

impl Choice {
    fn takes(&self, name: &str) -> bool {
        self.filters.is_empty() || self.filters.iter().any(|filter| if self.exact { name == filter } else { name.contains(filter) })
    }
}

/// How the tests went.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Tally {
    passed: usize,
    failed: Vec<&'static str>,
    filtered: usize,
}

impl Tally {
    /// Whether all that ran passed.
    #[must_use]
    pub fn good(&self) -> bool {
        self.failed.is_empty()
    }

    /// The line that `cargo test` ends with.
    fn summary(&self, took: Duration) -> String {
        format!(
            "test result: {}. {} passed; {} failed; 0 ignored; 0 measured; {} filtered out; finished in {:.2}s",
            if self.good() { "ok" } else { "FAILED" },
            self.passed,
            self.failed.len(),
            self.filtered,
            took.as_secs_f64()
        )
    }
}

/// The tests that `choice` takes, in order, and how many it leaves out.
pub fn chosen<L>(tests: Vec<Test<L>>, choice: &Choice) -> (Vec<Test<L>>, usize) {
    let all = tests.len();
    let taken: Vec<_> = tests.into_iter().filter(|test| choice.takes(test.name)).collect();
    let filtered = all - taken.len();
    (taken, filtered)
}

/// Runs the tests and prints as they end. `failed` is awaited after each failure, with the test's name, to save what explains
/// it. A test whose name is in `needed` makes all later ones fail unrun when it fails: they could only fail for its reason.
pub async fn run<L: Clone, F: Future<Output = ()>>(
    tests: Vec<Test<L>>,
    filtered: usize,
    lab: &L,
    needed: &[&str],
    failed: impl Fn(&'static str) -> F,
) -> Tally {
    let began = Instant::now();
    let mut tally = Tally { filtered, ..Tally::default() };
    let mut reasons = Vec::new();
    let mut broken = None;
    println!("\nrunning {} tests", tests.len());
    for test in tests {
        let started = Instant::now();
        let verdict = match broken {
            Some(first) => Err(anyhow::anyhow!("not run: it needs what `{first}` could not do")),
            None => bounded(test.limit, (test.run)(lab.clone())).await,
        };
        let took = started.elapsed().as_secs_f64();
        match verdict {
            Ok(()) => {
                tally.passed += 1;
                println!("test {} ... ok <{took:.1}s>", test.name);
            }
            Err(reason) => {
                println!("test {} ... FAILED <{took:.1}s>", test.name);
                tally.failed.push(test.name);
                reasons.push((test.name, format!("{reason:#}")));
                if broken.is_none() {
                    failed(test.name).await;
                }
                if needed.contains(&test.name) {
                    broken.get_or_insert(test.name);
                }
            }
        }
    }
    if !reasons.is_empty() {
        println!("\nfailures:");
        for (name, reason) in &reasons {
            println!("\n---- {name} ----\n{reason}");
        }
        println!("\nfailures:\n    {}", tally.failed.join("\n    "));
    }
    println!("\n{}\n", tally.summary(began.elapsed()));
    tally
}

/// A test in a task of its own, so that its panic is its failure and not the end of the others.
async fn bounded(limit: Duration, verdict: Verdict) -> anyhow::Result<()> {
    let mut task = tokio::spawn(verdict);
    match tokio::time::timeout(limit, &mut task).await {
        Ok(Ok(verdict)) => verdict,
        Ok(Err(panicked)) => Err(anyhow::anyhow!("the test panicked: {panicked}")),
        Err(_) => {
            task.abort();
            Err(anyhow::anyhow!("the test was not done after {limit:?}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    static RUNS: AtomicUsize = AtomicUsize::new(0);

    fn counted() -> Test<()> {
        let run = |()| -> Verdict {
            Box::pin(async {
                RUNS.fetch_add(1, Ordering::SeqCst);
                Ok(())
            })
        };
        Test { name: "counted", limit: Duration::from_secs(5), run }
    }

    fn tests() -> Vec<Test<()>> {
        vec![
            Test { name: "good", limit: Duration::from_secs(5), run: |()| Box::pin(async { Ok(()) }) },
            Test { name: "fails", limit: Duration::from_secs(5), run: |()| Box::pin(async { anyhow::bail!("on purpose") }) },
            Test { name: "panics", limit: Duration::from_secs(5), run: |()| Box::pin(async { panic!("on purpose") }) },
            Test { name: "hangs", limit: Duration::from_millis(50), run: |()| Box::pin(std::future::pending()) },
            Test { name: "good_too", limit: Duration::from_secs(5), run: |()| Box::pin(async { Ok(()) }) },
        ]
    }

    #[tokio::test]
    async fn failures_panics_and_hangs_fail_the_one_test_and_no_other() {
        let told = Mutex::new(Vec::new());
        let tally = run(tests(), 2, &(), &[], |name| {
            told.lock().expect("nobody panics while holding it").push(name);
            async {}
        })
        .await;
        assert_eq!(tally, Tally { passed: 2, failed: vec!["fails", "panics", "hangs"], filtered: 2 });
        assert_eq!(told.into_inner().expect("whole"), ["fails", "panics", "hangs"]);
        assert!(!tally.good());
        assert_eq!(
            tally.summary(Duration::from_millis(1_500)),
            "test result: FAILED. 2 passed; 3 failed; 0 ignored; 0 measured; 2 filtered out; finished in 1.50s"
        );
    }

    #[tokio::test]
    async fn what_others_need_stops_them_when_it_fails() {
        let mut needed: Vec<_> = tests().into_iter().filter(|test| test.name == "fails").collect();
        needed.push(counted());
        let tally = run(needed, 0, &(), &["fails"], |_| async {}).await;
        assert_eq!((tally.passed, tally.failed.len()), (0, 2));
        assert_eq!(RUNS.load(Ordering::SeqCst), 0, "it did not run");
    }

    #[test]
    fn a_filter_takes_parts_of_names_or_whole_ones() {
        let take = |filters: &[&str], exact| {
            let filters = filters.iter().map(|filter| (*filter).to_owned()).collect();
            let (taken, left_out) = chosen(tests(), &Choice { filters, exact, ..Choice::default() });
            (taken.into_iter().map(|test| test.name).collect::<Vec<_>>(), left_out)
        };
        assert_eq!(take(&["good"], false), (vec!["good", "good_too"], 3));
        assert_eq!(take(&["good"], true), (vec!["good"], 4));
        assert_eq!(take(&[], false).0.len(), 5);
    }
}
