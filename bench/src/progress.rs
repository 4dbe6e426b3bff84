//! What a person sees meanwhile: a line with a spinner on a terminal, plain lines elsewhere. On standard error, so that standard output holds
//! nothing but the results.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// How often a log without a terminal gets a line.
const QUIET: Duration = Duration::from_secs(10);

/// A step that has begun.
#[derive(Debug)]
pub(crate) struct Step {
    bar: Option<ProgressBar>,
    what: String,
    begun: Instant,
    spoke: Instant,
}

impl Step {
    pub(crate) fn begin(what: impl Into<String>) -> Self {
        let what = what.into();
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner().with_message(what.clone());
            if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg} {elapsed}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        if bar.is_none() {
            eprintln!("{what} ...");
        }
        Self { bar, what, begun: Instant::now(), spoke: Instant::now() }
    }

    /// Says how far it is.
    pub(crate) fn at(&mut self, detail: &str) {
        match &self.bar {
            Some(bar) => bar.set_message(format!("{}: {detail}", self.what)),
            None if self.spoke.elapsed() > QUIET => {
                eprintln!("{}: {detail}", self.what);
                self.spoke = Instant::now();
            }
            None => {}
        }
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        eprintln!("{}: {:.1} s", self.what, self.begun.elapsed().as_secs_f32());
    }
}
