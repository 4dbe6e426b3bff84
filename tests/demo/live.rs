//! The line that moves while people shop: on a terminal in its place, elsewhere a new line every few seconds.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use holdfast_tests::shoppers::{Shoppers, Snapshot};
use indicatif::{ProgressBar, ProgressStyle};

const REDRAW: Duration = Duration::from_millis(250);
const PLAIN: Duration = Duration::from_secs(5);

/// Shows the phase's counts until dropped or `done`.
pub(crate) struct Live {
    bar: Option<ProgressBar>,
    spoke: Instant,
}

impl Live {
    pub(crate) fn begin() -> Self {
        let bar = std::io::stdout().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{spinner} {wide_msg}").expect("the template is a constant that is right");
            ProgressBar::new_spinner().with_style(style)
        });
        Self { bar, spoke: Instant::now() }
    }

    /// Runs `work` and shows how the users fare meanwhile.
    pub(crate) async fn during<T>(&mut self, shoppers: &Shoppers, work: impl Future<Output = T>) -> T {
        tokio::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                () = tokio::time::sleep(REDRAW) => self.show(&shoppers.snapshot()),
            }
        }
    }

    fn show(&mut self, now: &Snapshot) {
        match &self.bar {
            Some(bar) => {
                bar.set_message(line(now));
                bar.tick();
            }
            None if self.spoke.elapsed() >= PLAIN => {
                println!("  {}", line(now));
                self.spoke = Instant::now();
            }
            None => {}
        }
    }

    /// Leaves the last state standing.
    pub(crate) fn end(self, last: &Snapshot, verdict: &str) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
        println!("{} {}", line(last), verdict);
    }
}

fn line(now: &Snapshot) -> String {
    format!(
        "{:<34} {:>3} s  {:>6} requests  {} failed  {} in flight  {} carts lost  longest wait {:.2} s",
        now.phase,
        now.lasted.as_secs(),
        now.requests,
        now.failed,
        now.in_flight,
        now.carts_lost,
        now.longest.as_secs_f64()
    )
}
