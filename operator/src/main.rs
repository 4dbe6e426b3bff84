//! `holdfast-operator`: composes, nothing else.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

const NAME: &str = "holdfast-operator";

/// Turns SessionClusters into Kubernetes objects and reports on them.
#[derive(Debug, Parser)]
#[command(name = NAME, version)]
struct Settings {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Writes the resource definitions, a file each into every directory, or to standard output.
    Crds {
        /// Directories to write into.
        directories: Vec<PathBuf>,
    },
}

fn main() {
    let settings: Settings = holdfast_process::parse(NAME);
    let result = match settings.command {
        Command::Crds { directories } => holdfast_operator::crds::write(&directories),
    };
    if let Err(error) = result {
        holdfast_process::fail(NAME, error);
    }
}
