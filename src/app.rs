//! Builds everything from a [`ServerConfig`] and runs it until a shutdown is requested.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::IntoRawFd;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use parking_lot::Mutex;
use pingora::server::{Fds, ListenFds};
use pingora::services::Service as _;
use pingora::services::listening::Service;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use crate::admin::{Admin, AdminServer, Probe, Readiness};
use crate::admission::AdmissionController;
use crate::admission::client_limit::{ClientConnections, ClientCounts, ClientRequests};
use crate::admission::concurrency_limit::ConcurrencyLimit;
use crate::admission::idempotency::deferred;
use crate::config::{ListenAddress, ServerConfig, StoreConfig, of_client};
use crate::control::place::Place;
use crate::control::server::{Control, Served};
use crate::control::socket::Socket;
use crate::fd_limit;
use crate::jwks::proxy::KeyProxy;
use crate::policy_files::Loaded;
use crate::policy_files::loaded_files::LoadedFiles;
use crate::proxy::connection_limit::{ConnectionLimit, ConnectionTracker};
use crate::proxy::early_rejection::rejection_writer;
use crate::proxy::gateway::Gateway;
use crate::proxy::policy_snapshot::PolicyHandle;
use crate::proxy::server::{Server, ServerState};
use crate::reload::{Reloader, restart};
use crate::startup_log;
use crate::store::Store;
use crate::system_roots;
use crate::telemetry::metrics::Metrics;
use crate::watch_files::Trigger;

mod listeners;
mod start_error;

pub use start_error::StartError;

use listeners::{endpoint, secured, tell_of_shortage};

/// A process that serves requests.
#[derive(Debug)]
pub struct App {
    config: ServerConfig,
    policies: Arc<PolicyHandle>,
    loaded_files: LoadedFiles,
    metrics: Metrics,
    sockets: Sockets,
    stop: watch::Sender<bool>,
    /// Never sent: operators see the drain, so their listener ends with the process.
    _admin_stop: watch::Sender<bool>,
    readiness: Arc<Readiness>,
    connections: Arc<ConnectionTracker>,
    concurrency: ConcurrencyLimit,
    services: Vec<JoinHandle<()>>,
    control: Option<Served>,
    reload: Trigger,
}

/// The sockets that a process listens on, opened before anything else is done.
pub struct Sockets {
    fds: ListenFds,
    /// Where clients connect, with the ports that were found where 0 was asked for.
    pub listeners: Vec<ListenAddress>,
    /// Address of the admin listener (metrics and health).
    pub admin: SocketAddr,
    /// Where tokens are revoked.
    control: Option<Socket>,
}

impl fmt::Debug for Sockets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sockets")
            .field("listeners", &self.listeners)
            .field("admin", &self.admin)
            .field("control", &self.control)
            .finish_non_exhaustive()
    }
}

impl Sockets {
    /// Opens all sockets, so that an address in use is reported at once.
    pub fn open(config: &ServerConfig) -> Result<Self, StartError> {
        let mut fds = Fds::new();
        let listeners: Result<Vec<_>, _> = config.listeners.iter().map(|l| open(&l.address, &mut fds)).collect();
        let admin = open_tcp(config.admin, &mut fds)?;
        Ok(Self {
            listeners: listeners?,
            admin,
            control: open_control(config)?,
            fds: Arc::new(Mutex::new(fds)),
        })
    }
}

fn open(address: &ListenAddress, fds: &mut Fds) -> Result<ListenAddress, StartError> {
    match address {
        ListenAddress::Tcp(address) => open_tcp(*address, fds).map(ListenAddress::Tcp),
        ListenAddress::Unix(path) => open_unix(path, fds).map(|()| address.clone()),
    }
}

fn cannot_listen(address: &dyn fmt::Display, error: &io::Error) -> StartError {
    StartError(format!("cannot listen on `{address}`: {error}"))
}

fn open_tcp(address: SocketAddr, fds: &mut Fds) -> Result<SocketAddr, StartError> {
    let socket = TcpListener::bind(address).map_err(|error| cannot_listen(&address, &error))?;
    let bound = socket
        .local_addr()
        .and_then(|bound| socket.set_nonblocking(true).map(|()| bound));
    let bound = bound.map_err(|error| cannot_listen(&address, &error))?;
    fds.add(bound.to_string(), socket.into_raw_fd());
    Ok(bound)
}

/// Binds a unix socket. Replaces one on which no process listens any more.
fn open_unix(path: &Path, fds: &mut Fds) -> Result<(), StartError> {
    let shown = path.display();
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    let refused = |error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    if is_socket && UnixStream::connect(path).is_err_and(refused) {
        let _ = std::fs::remove_file(path);
    }
    let socket = UnixListener::bind(path).map_err(|error| cannot_listen(&shown, &error))?;
    socket
        .set_nonblocking(true)
        .map_err(|error| cannot_listen(&shown, &error))?;
    fds.add(path.to_string_lossy().into_owned(), socket.into_raw_fd());
    Ok(())
}

/// Opens the control socket. A default one that cannot be created is only a warning: the file system may be
/// read-only.
fn open_control(config: &ServerConfig) -> Result<Option<Socket>, StartError> {
    let Some(place) = Place::of(&config.control, config.admin) else {
        return Ok(None);
    };
    match (Socket::open(&place), &place) {
        (Ok(socket), _) => Ok(Some(socket)),
        (Err(error), Place::Configured(_)) => Err(cannot_listen(&place, &error)),
        (Err(error), Place::Default(path)) => {
            let path = path.display();
            tracing::warn!(%path, %error, "no control socket: `control` in sidegate.yaml can name another place, or `off`");
            Ok(None)
        }
    }
}

impl App {
    /// Starts to serve. When this returns, requests are taken.
    pub async fn start(config: ServerConfig, loaded: Loaded, mut sockets: Sockets) -> Result<Self, StartError> {
        system_roots::check_named().map_err(StartError)?;
        let proxy = KeyProxy::from_process().map_err(StartError)?;
        let metrics = Metrics::new().map_err(|error| StartError(error.to_string()))?;
        let store = Store::start(&config.store, &metrics).map_err(StartError)?;
        let policies = PolicyHandle::new(Arc::new(loaded.policies), proxy, &metrics).await;
        let policies = policies.map_err(StartError)?;
        metrics.store_features().preregister(policies.peek().policies());
        metrics.policies_in_force(&loaded.loaded_files.hash(), None, jiff::Timestamp::now());
        let (stop, stopping) = watch::channel(false);
        let (admin_stop, admin_stopping) = watch::channel(false);
        let readiness = Arc::new(Readiness::of(config.ready, &policies, &store));
        let connections = Arc::new(ConnectionTracker::new(&metrics));
        let limit = fd_limit::raise();
        tell_of_shortage(&config, limit);
        let capacity = fd_limit::capacity(limit, sockets.listeners.len());
        let reload = Trigger::default();
        let requests = config.limits.requests.min(capacity.requests);
        let concurrency = ConcurrencyLimit::new(requests);
        metrics.requests_limit(requests);
        let clients = Arc::<ClientCounts>::default();
        let edge = edge(&config, (&policies, &store), &metrics, (&concurrency, &clients));
        let probe = config.probe.clone().map(Probe::new);
        let pages = Admin::new(metrics.clone(), Arc::clone(&readiness), probe);
        let mut admin = Service::new("admin".into(), AdminServer::new(pages));
        admin.add_tcp(&sockets.admin.to_string());
        let mut services = vec![serve(admin, &sockets.fds, admin_stopping)];
        for (listener, address) in config.listeners.iter().zip(&sockets.listeners) {
            let name = address.to_string();
            let most = listener.most_connections(&config.limits).min(capacity.connections);
            let of_client = of_client(config.limits.client_connections, most);
            let of_client = ClientConnections::new(of_client, &clients, &metrics);
            let slots = ConnectionLimit::new(&name, (most, of_client), &connections, &metrics);
            let tls = listener
                .tls
                .as_ref()
                .map(|files| secured(files, &name, &metrics, &reload));
            let server = Server::new(Arc::clone(&edge), slots, tls.transpose()?);
            let server = match listener.proxy_protocol {
                true => server.with_proxy_protocol(),
                false => server,
            };
            let service = Service::with_listeners(name, endpoint(address, listener), server);
            services.push(serve(service, &sockets.fds, stopping.clone()));
        }
        let control = Control {
            store,
            policies: Arc::clone(&policies),
        };
        let control = sockets.control.take().map(|socket| control.serve(socket)).transpose();
        readiness.set(true);
        Ok(Self {
            config,
            policies,
            loaded_files: loaded.loaded_files,
            metrics,
            sockets,
            stop,
            _admin_stop: admin_stop,
            readiness,
            connections,
            concurrency,
            services,
            control: control.map_err(StartError::because)?,
            reload,
        })
    }

    /// Puts changed policies in force from now on, with the files that they name.
    pub fn follow_files(&mut self) {
        let start = (&self.policies, std::mem::take(&mut self.loaded_files));
        let reloader = Reloader::new(&self.config, start, &self.reload, &self.metrics);
        self.services.push(tokio::spawn(reloader.run()));
        if let Some(file) = self.config.file.clone() {
            let restart = restart::tell(file, self.reload.clone());
            self.services.push(tokio::spawn(restart));
        }
    }

    /// Has every file read again that can be replaced while the process runs.
    pub fn reload(&self) {
        self.reload.reload_now();
    }

    /// The sockets that the process listens on.
    pub fn sockets(&self) -> &Sockets {
        &self.sockets
    }

    /// Logs what is guarded how, so that a start shows what is open.
    pub fn announce(&self) {
        let in_force = self.policies.peek();
        let policies = in_force.policies();
        startup_log::warnings(self.config.warnings.iter().chain(policies.warnings()));
        let log = |policy| startup_log::policy(policy, self.policies.keys().proxy());
        policies.policies().iter().for_each(log);
        for (at, address) in self.sockets.listeners.iter().enumerate() {
            let listener = self.config.listeners.get(at);
            let tls = listener.and_then(|listener| listener.tls.as_ref());
            let asks = tls.is_some_and(|tls| tls.client_ca.is_some());
            let proxy_protocol = listener.is_some_and(|listener| listener.proxy_protocol);
            tracing::info!(%address, tls = tls.is_some(), asks_for_certificates = asks, proxy_protocol, "listening");
        }
        startup_log::unmet(policies, self.config.surroundings());
        tracing::info!(address = %self.sockets.admin, "admin listening");
        if let Some(control) = &self.control {
            tracing::info!(path = %control.path().display(), "control listening");
        }
    }

    /// Ends: says so on `/readyz`, takes no more connections after the delay, lets requests end
    /// within the grace.
    pub async fn stop(self) {
        self.readiness.set(false);
        if !self.config.delay.is_zero() {
            let delay = self.config.delay;
            tracing::info!(
                ?delay,
                "shutdown requested, accepting connections until the delay is over"
            );
            tokio::time::sleep(self.config.delay).await;
        }
        let _ = self.stop.send(true);
        let over = Instant::now() + self.config.grace;
        let left = self.connections.drained(self.config.grace).await;
        if left > 0 {
            tracing::warn!(connections = left, "the grace is over; connections are cut");
        }
        // Some answers are kept for clients that went.
        if timeout_at(over, self.concurrency.drained()).await.is_err() {
            tracing::warn!("the grace is over; requests are cut");
        }
        // What is stored in memory is gone with the process in any case.
        let outlives = matches!(self.config.store, StoreConfig::Redis(_));
        if outlives && timeout_at(over, deferred::all_stored()).await.is_err() {
            let responses = deferred::give_up();
            tracing::error!(
                responses,
                "the grace is over; responses are not stored, and their requests may be done twice"
            );
        }
        for listener in &self.config.listeners {
            if let ListenAddress::Unix(path) = &listener.address {
                let _ = std::fs::remove_file(path);
            }
        }
        self.services.iter().for_each(JoinHandle::abort);
        tracing::info!("stopped");
    }
}

/// What serves a connection, whatever listener it came by.
pub fn edge(
    config: &ServerConfig,
    (policies, store): (&Arc<PolicyHandle>, &Arc<Store>),
    metrics: &Metrics,
    (concurrency, clients): (&ConcurrencyLimit, &Arc<ClientCounts>),
) -> Arc<ServerState> {
    let of_client = of_client(config.limits.client_requests, concurrency.limit());
    let admission = AdmissionController {
        store: Arc::clone(store),
        keys: Arc::clone(policies.keys()),
        concurrency: concurrency.clone(),
        client_requests: ClientRequests::new(of_client, clients, metrics),
        trusted_proxies: config.trusted_proxies.clone(),
        metrics: metrics.clone(),
        access_log: config.log.access,
    };
    let gateway = Arc::new(Gateway {
        admission,
        policies: Arc::clone(policies),
        limits: config.limits,
        stopping: AtomicBool::new(false),
    });
    let reject = rejection_writer(Arc::clone(&gateway));
    Arc::new(ServerState::new(&gateway, reject))
}

fn serve<A>(mut service: Service<A>, fds: &ListenFds, stopping: watch::Receiver<bool>) -> JoinHandle<()>
where
    A: pingora::apps::ServerApp + Send + Sync + 'static,
{
    let fds = Arc::clone(fds);
    tokio::spawn(async move { service.start_service(Some(fds), stopping, 1).await })
}
