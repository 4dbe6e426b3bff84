//! A member in its pod: in the view that the API server holds, found by DNS, with its probes, metrics and admin API. What it has not is a front door. The
//! process of its own adds the Redis protocol; an application in whose process it runs needs none.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::serve::ListenerExt;
use bytes::Bytes;
use holdfast_api::names;
use holdfast_core::View;
use holdfast_process::health::{Health, Pulse};
use holdfast_process::metrics::PrometheusHandle;
use holdfast_process::token::Token;
use holdfast_process::{bind, serve};
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
use crate::dns::DnsPeers;
use crate::member::{Member, MemberControl, Surroundings, Witness};
use crate::place::OwnPod;
use crate::proof::PodStatus;
use crate::session::SessionHandle;
use crate::socket::{ONLY_US, Socket};
use crate::status::{Phase, Status};
use crate::thread::OwnThread;
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

/// Hands what the member tells on to whoever wants to hear it, and its sign of life to the probes.
#[derive(Debug)]
struct Probed {
    pulse: Pulse,
    witness: Arc<dyn Witness>,
}

impl Witness for Probed {
    fn alive(&self) {
        self.pulse.beat();
        self.witness.alive();
    }

    fn view_changed(&self, view: &Arc<View>) {
        self.witness.view_changed(view);
    }

    fn expired(&self, key: &Bytes) {
        self.witness.expired(key);
    }
}

/// The doors of a node, open but not attended yet.
struct Doors {
    replication: TcpListener,
    admin: TcpListener,
    local: Socket,
}

impl Doors {
    async fn open(settings: &Settings) -> anyhow::Result<Self> {
        Ok(Self {
            replication: bind("HOLDFAST_REPLICATION_LISTEN", settings.replication_listen).await?,
            admin: bind("HOLDFAST_ADMIN_LISTEN", settings.admin_listen).await?,
            local: open_local(&settings.admin_socket)?,
        })
    }
}

/// The unix socket for the drain: only for the user that this process runs as.
fn open_local(path: &Path) -> anyhow::Result<Socket> {
    Socket::bind(path, ONLY_US).with_context(|| format!("cannot listen on the unix socket `{}` (HOLDFAST_ADMIN_SOCKET)", path.display()))
}

/// A member and all that attends it. Dropping it ends them abruptly.
#[derive(Debug)]
pub struct Node {
    member: Member,
    control: MemberControl,
    doorkeepers: JoinSet<()>,
    closing: CancellationToken,
    data: OwnThread,
}

impl Node {
    /// Opens every door before it does anything else, so that a taken port or a missing volume is one clear error, and starts the member.
    ///
    /// # Errors
    /// When a door cannot be opened, a file is missing, or there is no client for the API server to be had.
    pub async fn start(config: &Config, metrics: PrometheusHandle, witness: Arc<dyn Witness>) -> anyhow::Result<Self> {
        let settings = &config.settings;
        let doors = Doors::open(settings).await?;
        let token = Token::open(&settings.admin_token_file).await.context("HOLDFAST_ADMIN_TOKEN_FILE is not right")?;
        let tls = open_tls(settings).await?;
        let peers = Arc::new(DnsPeers::new(config)?);
        let client = api_client().await?;
        let health = Health::new();

        let surroundings = Surroundings {
            listener: doors.replication,
            tls: tls.clone(),
            arbiter: Arc::new(KubernetesArbiter::new(client.clone(), &settings.namespace, &settings.cluster)),
            resolver: peers.clone(),
            prover: Arc::new(PodStatus::new(client.clone(), &settings.namespace, &settings.container)),
            locator: Some(Arc::new(OwnPod::new(client.clone(), &settings.namespace, &settings.pod_name, &settings.pod_uid))),
            witness: Arc::new(Probed { pulse: health.pulse("engine", HANGS), witness }),
        };
        let data = OwnThread::start("data").context("cannot start the thread for sessions")?;
        let member = {
            let _entered = data.handle().enter();
            Member::start(&config.member(), surroundings)
        };
        let control = member.control();
        info!(
            cluster = settings.cluster,
            member = settings.pod_name,
            incarnation = control.status().borrow().member.incarnation,
            "started"
        );

        let closing = CancellationToken::new();
        let mut doorkeepers = JoinSet::new();
        let admin = doors.admin.tap_io(|stream| {
            if let Err(error) = stream.set_nodelay(true) {
                debug!(%error, "TCP_NODELAY could not be set on a connection of the admin API");
            }
        });
        let router = admin::router(identity(config), control.clone(), &health, metrics, &token);
        doorkeepers.spawn(serve(admin, router, closing.clone()));
        doorkeepers.spawn(serve(doors.local, admin::local_router(control.clone()), closing.clone()));
        doorkeepers.spawn(report_health(control.status(), health));
        let (place, status) = ((config.id.get(), settings.pod_uid.as_str()), control.status());
        let load = move || status.borrow().load;
        let announcer = Announcer::new(client, &settings.namespace, &settings.cluster, place, tls.clone(), load);
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
        Ok(Self { member, control, doorkeepers, closing, data })
    }

    /// Access to the sessions.
    #[must_use]
    pub fn sessions(&self) -> SessionHandle {
        self.member.sessions()
    }

    /// Questions about the member, and leaving.
    #[must_use]
    pub fn control(&self) -> MemberControl {
        self.control.clone()
    }

    /// Adds a front door, on the thread of the sessions. It is told when to close.
    pub fn attend<D: Future<Output = ()> + Send + 'static>(&mut self, door: impl FnOnce(SessionHandle, CancellationToken) -> D) {
        let door = door(self.sessions(), self.closing.clone());
        self.doorkeepers.spawn_on(door, self.data.handle());
    }

    /// Waits until the member has left for good.
    pub async fn ended(&mut self) {
        self.member.ended().await;
    }

    /// Leaves the view, if that is possible in time, and closes the doors. Says whether it has left; if not, the others will find out.
    pub async fn leave(mut self) -> bool {
        let has_left = self.farewell().await;
        self.closing.cancel();
        if timeout(CLOSING, async { while self.doorkeepers.join_next().await.is_some() {} }).await.is_err() {
            warn!("clients were cut off after {CLOSING:?}");
        }
        info!("ended");
        has_left
    }

    async fn farewell(&mut self) -> bool {
        let leaving = async {
            if self.control.finish().await.is_ok() {
                self.member.ended().await;
            }
        };
        if timeout(FAREWELL, leaving).await.is_ok() {
            return true;
        }
        let status = self.control.status().borrow().clone();
        warn!(
            owned = status.owned,
            kept = status.kept,
            phase = ?status.phase,
            "ending without having left the cluster, after {FAREWELL:?}: the others take over what they keep copies of"
        );
        false
    }
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
