//! The gateway's process: reads its settings and puts the parts together.

use anyhow::Context;
use holdfast_gateway::credentials::Credentials;
use holdfast_gateway::director::Director;
use holdfast_gateway::discover::Names;
use holdfast_gateway::gateway::Gateway;
use holdfast_gateway::limits::Limits;
use holdfast_gateway::settings::Settings;
use holdfast_gateway::{admin, discover, serve};
use holdfast_process::health::Health;
use holdfast_process::metrics;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::info;

const NAME: &str = "holdfast-gateway";

/// Events of the watches that the director has not taken yet; beyond it the watches wait.
const EVENTS: usize = 16;

#[tokio::main]
async fn main() {
    let settings: Settings = holdfast_process::parse(NAME);
    if let Err(error) = run(settings).await {
        holdfast_process::fail(NAME, error);
    }
}

async fn run(mut settings: Settings) -> anyhow::Result<()> {
    // kube logs each failed call as an error; the watches say once that they fail, and once that they work again.
    settings.log.filter = format!("kube_client::client::builder=off,{}", settings.log.filter);
    holdfast_process::init(NAME, &settings.log)?;
    let shutdown = holdfast_process::shutdown();
    let metrics = metrics::install()?;
    let listener = holdfast_process::bind("HOLDFAST_LISTEN", settings.listen).await?;
    let admin_listener = holdfast_process::bind("HOLDFAST_ADMIN_LISTEN", settings.admin_listen).await?;
    let config = kube::Config::infer().await.context("cannot find the API server, neither as a pod nor by KUBECONFIG")?;
    let client = discover::client(config).context("cannot use the configuration for the API server")?;

    let health = Health::new();
    let credentials = Credentials::new(&settings.admin_token_file);
    let gateway = Gateway::new(&settings.cluster, Limits::default());
    info!(cluster = settings.cluster, pod = settings.pod_name, listen = %settings.listen, admin = %settings.admin_listen, "the gateway starts");

    // Probes, table and control streams outlive the signal to end: requests are still served then.
    let ended = CancellationToken::new();
    let (events, received) = mpsc::channel(EVENTS);
    let director = Director::new(gateway.clone(), credentials.clone(), health.clone());
    let director = tokio::spawn(director.run(received, ended.clone()));
    let names = Names { cluster: settings.cluster.clone(), service: settings.service(), config_map: settings.map() };
    let namespace = settings.namespace.clone();
    let watches = tokio::spawn(async move { discover::run(client, &namespace, names, events).await });
    let router = health.router().merge(metrics::router(metrics)).merge(admin::table(gateway.clone(), credentials));
    let admin = tokio::spawn(holdfast_process::serve(admin_listener, router, ended.clone()));

    let unready = {
        let (health, shutdown) = (health.clone(), shutdown.clone());
        tokio::spawn(async move {
            shutdown.cancelled().await;
            health.set_ready(Err("shutting down".to_owned()));
        })
    };
    serve::serve(gateway, listener, shutdown).await;
    ended.cancel();
    watches.abort();
    unready.abort();
    director.await.context("the director failed")?;
    admin.await.context("the admin server failed")?;
    info!("the gateway has ended");
    Ok(())
}
