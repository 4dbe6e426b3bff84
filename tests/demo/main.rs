//! The demo: a shop with two hundred people in it, on a real Kubernetes, while its pods, a node, the operator and the API server
//! are taken away in turn. Ends with a table of what the people noticed, and fails when a cart was lost.

mod live;
mod phases;

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Parser;
use holdfast_support::progress::Progress;
use holdfast_tests::cluster::{Cluster, Options};
use holdfast_tests::shoppers::Shoppers;
use holdfast_tests::stage::{Images, NAMESPACE, SHOP, Stage, Wanted};

use crate::phases::Play;

/// A web shop on Kubernetes whose carts survive whatever happens to its pods.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many people shop at once.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u16).range(1..=2000))]
    users: u16,
    /// The port of the shop on 127.0.0.1; another one if it is taken.
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// Use the cluster that KUBECONFIG names instead of one on this machine; leaves out what only that can do.
    #[arg(long)]
    existing: bool,
    /// With --existing: where its nodes find the images, the part before /holdfast/.
    #[arg(long, requires = "existing", default_value = "localhost")]
    registry: String,
    /// With --existing: the images' tag.
    #[arg(long, requires = "existing", default_value = "dev")]
    tag: String,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let began = Instant::now();
    let verdict = run(&arguments).await;
    let took = began.elapsed().as_secs();
    match verdict {
        Ok(()) => {
            println!("demo: passed in {} min {:02} s", took / 60, took % 60);
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("demo: FAILED after {} min {:02} s: {error:#}", took / 60, took % 60);
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let progress = Progress::default();
    let (stage, images) = if arguments.existing {
        let images = Images { registry: arguments.registry.clone(), tag: arguments.tag.clone() };
        (Stage::new(Cluster::existing().await?), images)
    } else {
        let stage = Stage::new(Cluster::up(Options::default()).await?);
        let images = stage.bring_images().await?;
        (stage, images)
    };
    let shown = show(arguments, &stage, &images, &progress).await;
    if shown.is_err() {
        let folder = Path::new("target/demo");
        stage.dump(folder).await;
        println!("\nObjects, events and logs are in {}.", folder.display());
    }
    shown
}

async fn show(arguments: &Arguments, stage: &Stage, images: &Images, progress: &Progress) -> anyhow::Result<()> {
    let step = progress.step("Installing Holdfast (helm)");
    stage.install_holdfast(images).await?;
    step.done();

    let step = progress.step("Opening the shop (kubectl apply -f examples/shop/sessioncluster.yaml)");
    stage.apply_example(images, SHOP).await?;
    stage.settle(&Wanted { replicas: 3, after_epoch: None }, Duration::from_secs(120)).await?;
    step.done();
    println!("\n{}", stage.kubectl(&["get", "-n", NAMESPACE, "hfsc"]).await?);

    let door = stage.open(arguments.port).await?;
    println!("{} people enter the shop at {}\n", arguments.users, door.url);
    let shoppers = Shoppers::start(&door.url, usize::from(arguments.users))?;
    let mut play = Play::new(stage.clone(), shoppers);
    let played = play.all().await;
    let (report, broken) = play.end().await;
    println!("\n{report}");
    if report.total.failed > 0 || report.total.carts_lost > 0 {
        println!("{}", report.complaints());
    }
    println!("in flight: under way to a pod that went, and not safe to repeat, so the user is told\n");
    played?;
    anyhow::ensure!(report.total.carts_lost == 0, "{} of {} carts were lost", report.total.carts_lost, report.users);
    anyhow::ensure!(broken.is_empty(), "requests failed in: {}", broken.join(", "));
    println!("{} people, {} requests, no cart lost.", report.users, report.total.requests);
    let shop = stage.kubectl(&["get", "-n", NAMESPACE, &format!("hfsc/{SHOP}")]).await.context("failed to show the shop")?;
    println!("\n{shop}");
    if stage.is_lab() {
        println!("The shop stays open at {} until `make down`.", door.url);
    }
    Ok(())
}
