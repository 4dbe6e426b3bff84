//! The sub-command `run`: opens every door before it does anything else, so that a taken port or a missing volume is one clear error, then starts the
//! member and stays until told to end.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::serve::ListenerExt;
use holdfast_api::names;
use holdfast_process::health::{Health, Pulse};
use holdfast_process::token::Token;
use holdfast_process::{bind, metrics, serve};
use kube::Client;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::admin::{self, Identity};
use crate::announce::Announcer;
use crate::arbiter::kubernetes::KubernetesArbiter;
use crate::config::{Config, Settings};
use crate::data::DataThread;
use crate::dns::DnsPeers;
use crate::member::{Member, MemberControl, Surroundings, Witness};
use crate::place::OwnPod;
use crate::proof::PodStatus;
use crate::redis;
use crate::socket::{ONLY_US, Socket};
use crate::status::{Phase, Status};
use crate::tls::Tls;

/// How long leaving the view may take once the pod is told to end. What has been drained leaves within milliseconds; more than this the grace period
/// does not allow after a preStop hook that needed all of its time.
const FAREWELL: Duration = Duration::from_secs(12);

/// How long front doors and probes may take to close.
const CLOSING: Duration = Duration::from_secs(3);

/// A TCP handshake with the API server.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Without a turn for so long, the member's task hangs, and the process should be started again.
const HANGS: Duration = Duration::from_secs(10);

/// Hands the member's sign of life on to the probes.
#[derive(Debug)]
struct Probed(Pulse);

impl Witness for Probed {
    fn alive(&self) {
        self.0.beat();
    }
}

/// The doors of a member, open but not attended yet.
struct Doors {
    replication: TcpListener,
    admin: TcpListener,
    local: Socket,
    redis: redis::Server,
}

impl Doors {
    async fn open(settings: &Settings) -> anyhow::Result<Self> {
        let redis = redis::Settings {
            listen: settings.redis_listen,
            socket: Some(settings.redis_socket.clone()),
            max_bytes: settings.max_bytes,
            cluster: settings.cluster.clone(),
            namespace: settings.namespace.clone(),
            member: settings.pod_name.clone(),
            ..redis::Settings::default()
        };
        Ok(Self {
            replication: bind("HOLDFAST_REPLICATION_LISTEN", settings.replication_listen).await?,
            admin: bind("HOLDFAST_ADMIN_LISTEN", settings.admin_listen).await?,
            local: open_local(&settings.admin_socket)?,
            redis: redis::Server::bind(redis).await?,
        })
    }
}

/// The unix socket for the drain: only for the user that this process runs as.
fn open_local(path: &Path) -> anyhow::Result<Socket> {
    Socket::bind(path, ONLY_US).with_context(|| format!("cannot listen on the unix socket `{}` (HOLDFAST_ADMIN_SOCKET)", path.display()))
}

/// Runs a member until `shutdown`, then leaves the cluster.
///
/// # Errors
/// When a setting is wrong, a door cannot be opened, or there is no client for the API server to be had.
pub async fn run(settings: Settings, shutdown: CancellationToken) -> anyhow::Result<()> {
    let config = settings.check()?;
    let settings = &config.settings;
    let doors = Doors::open(settings).await?;
    let token = Token::open(&settings.admin_token_file).await.context("HOLDFAST_ADMIN_TOKEN_FILE is not right")?;
    let tls = open_tls(settings).await?;
    let peers = Arc::new(DnsPeers::new(&config)?);
    let client = api_client().await?;
    let metrics = metrics::install()?;
    let health = Health::new();

    let surroundings = Surroundings {
        listener: doors.replication,
        tls: tls.clone(),
        arbiter: Arc::new(KubernetesArbiter::new(client.clone(), &settings.namespace, &settings.cluster)),
        resolver: peers.clone(),
        prover: Arc::new(PodStatus::new(client.clone(), &settings.namespace)),
        locator: Some(Arc::new(OwnPod::new(client.clone(), &settings.namespace, &settings.pod_name, &settings.pod_uid))),
        witness: Arc::new(Probed(health.pulse("engine", HANGS))),
    };
    let data = DataThread::start().context("cannot start the thread for sessions")?;
    let mut member = {
        let _entered = data.handle().enter();
        Member::start(&config.member(), surroundings)
    };
    let control = member.control();
    info!(cluster = settings.cluster, member = settings.pod_name, incarnation = control.status().borrow().member.incarnation, "started");

    let closing = CancellationToken::new();
    let mut doorkeepers = JoinSet::new();
    let admin = doors.admin.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            debug!(%error, "TCP_NODELAY could not be set on a connection of the admin API");
        }
    });
    let router = admin::router(identity(&config), control.clone(), &health, metrics, &token);
    doorkeepers.spawn(serve(admin, router, closing.clone()));
    doorkeepers.spawn(serve(doors.local, admin::local_router(control.clone()), closing.clone()));
    doorkeepers.spawn_on(doors.redis.run(member.sessions(), closing.clone()), data.handle());
    doorkeepers.spawn(report_health(control.status(), health));
    let announcer = Announcer::new(client, &settings.namespace, &settings.cluster, config.id.get(), &settings.pod_uid, tls.clone());
    doorkeepers.spawn(announcer.run(closing.clone()));
    let refresh = closing.clone();
    doorkeepers.spawn(async move { peers.keep_fresh(refresh).await });
    match tls {
        Some(tls) => {
            let refresh = closing.clone();
            doorkeepers.spawn(async move { tls.keep_fresh(refresh).await });
        }
        None => warn!("HOLDFAST_TLS_DIR is not set: whoever reaches the replication port reads and writes sessions"),
    }

    tokio::select! {
        () = member.ended() => {
            // Drained before it had joined. The application ends first, and this process when it is told to.
            warn!("the member has left; waiting to be ended");
            shutdown.cancelled().await;
        }
        () = shutdown.cancelled() => farewell(&mut member, &control).await,
    }
    closing.cancel();
    if timeout(CLOSING, async { while doorkeepers.join_next().await.is_some() {} }).await.is_err() {
        warn!("clients were cut off after {CLOSING:?}");
    }
    info!("ended");
    Ok(())
}

/// The certificates of the links, if there are to be any.
async fn open_tls(settings: &Settings) -> anyhow::Result<Option<Tls>> {
    let Some(folder) = &settings.tls_dir else { return Ok(None) };
    let identity = names::member_identity(&settings.namespace, &settings.cluster);
    Ok(Some(Tls::open(folder, &identity).await.context("HOLDFAST_TLS_DIR is not right")?))
}

fn identity(config: &Config) -> Identity {
    let settings = &config.settings;
    Identity { cluster: settings.cluster.clone(), member: settings.pod_name.clone(), pod_uid: settings.pod_uid.clone() }
}

/// Leaves the view, if that is possible in time; otherwise the others will find out.
async fn farewell(member: &mut Member, control: &MemberControl) {
    let leaving = async {
        if control.finish().await.is_ok() {
            member.ended().await;
        }
    };
    if timeout(FAREWELL, leaving).await.is_err() {
        let status = control.status().borrow().clone();
        warn!(
            owned = status.owned,
            kept = status.kept,
            phase = ?status.phase,
            "ending without having left the cluster, after {FAREWELL:?}: the others take over what they keep copies of"
        );
    }
}

/// A client for the API server that does not hide failures behind retries of its own.
async fn api_client() -> anyhow::Result<Client> {
    let mut config = kube::Config::infer().await.context("no way to the API server: neither a service account nor a kubeconfig")?;
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    config.default_retry = false;
    Client::try_from(config).context("cannot make a client for the API server")
}

/// Derives the probes' answers from the member's status, until its end.
async fn report_health(mut status: watch::Receiver<Status>, health: Health) {
    loop {
        let phase = status.borrow_and_update().phase;
        match phase {
            Phase::Accepting => {
                // Once is enough: the application starts when the first state has arrived, and is not started again with each eviction.
                health.set_started(Ok(()));
                health.set_ready(Ok(()));
            }
            Phase::Joining => health.set_ready(Err("joining the cluster".to_owned())),
            Phase::Draining => health.set_ready(Err("handing the sessions over".to_owned())),
            Phase::Drained => health.set_ready(Err("handed everything over".to_owned())),
        }
        if status.changed().await.is_err() {
            return;
        }
    }
}
