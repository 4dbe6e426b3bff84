//! What a person sees while a long command works: a line with a spinner for each step on a terminal, plain lines elsewhere. All of it
//! goes to standard error, so that a command's standard output holds nothing but its result.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// Shows the steps of one command.
#[derive(Debug, Clone)]
pub struct Progress {
    bars: Option<MultiProgress>,
}

impl Default for Progress {
    fn default() -> Self {
        Self { bars: std::io::stderr().is_terminal().then(MultiProgress::new) }
    }
}

impl Progress {
    /// Begins a step, such as `Starting the control plane`.
    pub fn step(&self, what: impl Into<String>) -> Step {
        let what = what.into();
        let bar = self.bars.as_ref().map(|bars| {
            let bar = bars.add(ProgressBar::new_spinner().with_message(what.clone()));
            if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg} {elapsed}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        if bar.is_none() {
            eprintln!("{what} ...");
        }
        Step { progress: self.clone(), bar, what, started: Instant::now(), spoke: Instant::now() }
    }

    /// Shows a line that stays.
    pub fn note(&self, line: &str) {
        match &self.bars {
            // A terminal that went away is no reason to stop the work.
            Some(bars) => drop(bars.println(line)),
            None => eprintln!("{line}"),
        }
    }
}

/// A step that has begun. Dropped without [`Step::done`] it counts as failed.
#[derive(Debug)]
pub struct Step {
    progress: Progress,
    bar: Option<ProgressBar>,
    what: String,
    started: Instant,
    spoke: Instant,
}

impl Step {
    /// Says how far the step is. Without a terminal at most each 20 seconds, so that a log stays readable.
    pub fn at(&mut self, detail: &str) {
        match &self.bar {
            Some(bar) => bar.set_message(format!("{}: {detail}", self.what)),
            None if self.spoke.elapsed() > Duration::from_secs(20) => {
                eprintln!("{}: {detail}", self.what);
                self.spoke = Instant::now();
            }
            None => {}
        }
    }

    /// Ends the step well.
    pub fn done(mut self) {
        self.end("done");
    }

    fn end(&mut self, how: &str) {
        let line = format!("{}: {how} in {:.1} s", self.what, self.started.elapsed().as_secs_f32());
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        self.progress.note(&line);
        self.what.clear();
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if !self.what.is_empty() {
            self.end("failed");
        }
    }
}
