//! `holdfast-operator`: composes, nothing else.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use holdfast_operator::build::Images;
use holdfast_operator::lease::Elector;
use holdfast_operator::{controller, crds};
use holdfast_process::health::Health;
use holdfast_process::{LogOptions, metrics};
use http::HeaderValue;
use http::header::USER_AGENT;
use tokio_util::sync::CancellationToken;

const NAME: &str = "holdfast-operator";

/// Turns SessionClusters into Kubernetes objects and reports on them.
#[derive(Debug, Parser)]
#[command(name = NAME, version)]
struct Settings {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: Run,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the operator; what happens without a command, too.
    Run(Run),
    /// Writes the resource definitions, a file each into every directory, or to standard output.
    Crds {
        /// Directories to write into.
        directories: Vec<PathBuf>,
    },
}

#[derive(Args, Clone, Debug)]
struct Run {
    /// Image of the runtime in clusters that are created from now on.
    #[arg(long, env = "HOLDFAST_RUNTIME_IMAGE")]
    runtime_image: Option<String>,
    /// Image of the gateway in clusters that are created from now on.
    #[arg(long, env = "HOLDFAST_GATEWAY_IMAGE")]
    gateway_image: Option<String>,
    /// The only namespace whose SessionClusters are looked after; all of them without it.
    #[arg(long, env = "HOLDFAST_WATCH_NAMESPACE")]
    watch_namespace: Option<String>,
    /// Namespace of the Lease by which replicas of the operator agree on who writes.
    #[arg(long, env = "HOLDFAST_NAMESPACE", default_value = "holdfast-system")]
    namespace: String,
    /// Name of this process among the replicas: its pod's.
    #[arg(long, env = "HOLDFAST_POD_NAME", default_value = "holdfast-operator")]
    pod_name: String,
    /// Where health and metrics are served.
    #[arg(long, env = "HOLDFAST_ADMIN_LISTEN", default_value = "0.0.0.0:8081")]
    admin_listen: SocketAddr,
    #[command(flatten)]
    log: LogOptions,
}

fn main() {
    let settings: Settings = holdfast_process::parse(NAME);
    let result = match settings.command {
        Some(Command::Crds { directories }) => crds::write(&directories),
        Some(Command::Run(run)) => start(run),
        None => start(settings.run),
    };
    if let Err(error) = result {
        holdfast_process::fail(NAME, error);
    }
}

fn start(run: Run) -> anyhow::Result<()> {
    holdfast_process::init(NAME, &run.log)?;
    tokio::runtime::Runtime::new().context("failed to start the threads")?.block_on(operate(run))
}

async fn operate(run: Run) -> anyhow::Result<()> {
    let needed = |image: Option<String>, variable: &str| image.with_context(|| format!("{variable}: not set, but needed"));
    let images = Images {
        runtime: needed(run.runtime_image, "HOLDFAST_RUNTIME_IMAGE")?,
        gateway: needed(run.gateway_image, "HOLDFAST_GATEWAY_IMAGE")?,
    };
    let shutdown = holdfast_process::shutdown();
    let listener = holdfast_process::bind("HOLDFAST_ADMIN_LISTEN", run.admin_listen).await?;
    let health = Health::new();
    let router = health.router().merge(metrics::router(metrics::install()?));
    // Served until the end: the last scrape tells how the shutdown went.
    let served = CancellationToken::new();
    let server = tokio::spawn(holdfast_process::serve(listener, router, served.clone()));

    let client = client().await?;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), images.runtime, images.gateway, "the operator starts");
    let (elector, leadership) = Elector::new(client.clone(), &run.namespace, NAME, &run.pod_name);
    // Given up last: while a pass is still on its way, nobody else may write.
    let elected = CancellationToken::new();
    let election = tokio::spawn(elector.run(elected.clone()));
    let options = controller::Options { namespace: run.watch_namespace, images, instance: run.pod_name };
    controller::run(client, options, leadership, health, shutdown).await;
    tracing::info!("the operator ends");
    elected.cancel();
    election.await.context("the election ended by a panic")?;
    served.cancel();
    server.await.context("the server for health and metrics ended by a panic")
}

/// A client of the API server that this process runs in, or that the kubeconfig names.
async fn client() -> anyhow::Result<kube::Client> {
    let what = "failed to find out how to reach the API server";
    let mut config = kube::Config::infer().await.context(what)?;
    // So that the API server's audit log tells who it was.
    let agent = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));
    config.headers.push((USER_AGENT, HeaderValue::from_static(agent)));
    kube::Client::try_from(config).context(what)
}
