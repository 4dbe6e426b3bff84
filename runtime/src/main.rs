//! The binary: reads the settings and hands over to the library.

use anyhow::Context;
use holdfast_process::{LogOptions, fail, init, parse, shutdown};
use holdfast_runtime::config::{Action, Cli};
use holdfast_runtime::drain::drain;
use holdfast_runtime::run::run;
use mimalloc::MiMalloc;

/// Values of a kilobyte in their frames are just above what glibc keeps at hand for each thread: with its allocator, a member under load spends an
/// eighth of its CPU time and a keeper a fifth on memory (docs/performance.md).
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const NAME: &str = "holdfast-runtime";

fn main() {
    let cli: Cli = parse(NAME);
    if let Err(error) = act(cli.action) {
        fail(NAME, error);
    }
}

#[tokio::main]
async fn act(action: Action) -> anyhow::Result<()> {
    match action {
        Action::Run(settings) => {
            init(NAME, &settings.log)?;
            run(*settings, shutdown()).await
        }
        Action::Drain(settings) => {
            init(NAME, &LogOptions::default())?;
            drain(&settings, &mut std::io::stdout()).await.context("the drain did not come to its end")
        }
    }
}
