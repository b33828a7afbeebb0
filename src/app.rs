//! Builds everything from a [`ServerConfig`] and runs until told to stop.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::IntoRawFd;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use pingora::apps::HttpServerOptions;
use pingora::proxy::HttpProxy;
use pingora::server::configuration::ServerConf;
use pingora::server::{Fds, ListenFds};
use pingora::services::Service as _;
use pingora::services::listening::Service;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

use crate::admin::{Admin, AdminServer, Readiness};
use crate::config::{ListenAddress, Listener, ServerConfig};
use crate::descriptors;
use crate::jwks::KeySources;
use crate::policy::remote::RemoteKeys;
use crate::policy::{Mode, Policy, PolicySet};
use crate::principal::AuthMethod;
use crate::proxy::Gateway;
use crate::proxy::connections::{Connections, Slots};
use crate::proxy::http2;
use crate::proxy::server::{Edge, Server, refuse};
use crate::proxy::upstream::Peer;
use crate::telemetry::metrics::Metrics;

mod listeners;

use listeners::{acceptor, at_most, endpoint};

/// How long the first resolution of service names may hold up the start.
const RESOLVE_TIME: Duration = Duration::from_secs(1);

/// Why the process cannot start.
#[derive(Debug)]
pub struct StartError(String);

impl StartError {
    /// A start that failed for a reason.
    pub fn because(reason: impl fmt::Display) -> Self {
        Self(reason.to_string())
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for StartError {}

/// A process that serves requests.
#[derive(Debug)]
pub struct App {
    config: ServerConfig,
    policies: Arc<PolicySet>,
    sockets: Sockets,
    stop: watch::Sender<bool>,
    /// Never sent: operators see the drain, so their listener ends with the process.
    _admin_stop: watch::Sender<bool>,
    readiness: Arc<Readiness>,
    connections: Arc<Connections>,
    services: Vec<JoinHandle<()>>,
}

/// The sockets that a process listens on, opened before anything else is done.
pub struct Sockets {
    fds: ListenFds,
    /// Where clients connect, with the ports that were found where 0 was asked for.
    pub listeners: Vec<ListenAddress>,
    /// Where operators connect.
    pub admin: SocketAddr,
}

impl fmt::Debug for Sockets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sockets")
            .field("listeners", &self.listeners)
            .field("admin", &self.admin)
            .finish_non_exhaustive()
    }
}

impl Sockets {
    /// Opens all sockets, so that an address in use is told at once.
    pub fn open(config: &ServerConfig) -> Result<Self, StartError> {
        let mut fds = Fds::new();
        let listeners: Result<Vec<_>, _> = config.listeners.iter().map(|l| open(&l.address, &mut fds)).collect();
        let admin = open_tcp(config.admin, &mut fds)?;
        Ok(Self {
            listeners: listeners?,
            admin,
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

/// A socket that nobody listens on any more is left over from an earlier process.
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

impl App {
    /// Starts to serve. When this returns, requests are taken.
    pub async fn start(config: ServerConfig, policies: PolicySet, sockets: Sockets) -> Result<Self, StartError> {
        check_system_roots()?;
        let metrics = Metrics::new().map_err(|error| StartError(error.to_string()))?;
        metrics.policies_read(jiff::Timestamp::now());
        let policies = Arc::new(policies);
        let (stop, stopping) = watch::channel(false);
        let (admin_stop, admin_stopping) = watch::channel(false);
        let keys = KeySources::start(&policies, &metrics);
        let readiness = Arc::new(Readiness::of(keys.clone()));
        let connections = Arc::new(Connections::new(&metrics));
        let room = descriptors::room(descriptors::raise(), sockets.listeners.len());
        let requests = at_most(config.limits.requests, room.requests, "requests");
        let edge = edge(&config, &policies, &metrics, (keys, requests)).await?;
        let mut admin = Service::new(
            "admin".into(),
            AdminServer::new(Admin::new(metrics.clone(), Arc::clone(&readiness))),
        );
        admin.add_tcp(&sockets.admin.to_string());
        let mut services = vec![serve(admin, &sockets.fds, admin_stopping)];
        for (listener, address) in config.listeners.iter().zip(&sockets.listeners) {
            let wanted = listener.connections.unwrap_or(config.limits.connections);
            let name = address.to_string();
            let most = at_most(wanted, room.connections, &name);
            let slots = Slots::new(&name, most, &connections, &metrics);
            let tls = listener.tls.as_ref().map(|files| acceptor(files, &name, &metrics));
            let server = Server::new(Arc::clone(&edge), slots, tls.transpose()?);
            let service = Service::with_listeners(name, endpoint(address), server);
            services.push(serve(service, &sockets.fds, stopping.clone()));
        }
        readiness.set(true);
        Ok(Self {
            config,
            policies,
            sockets,
            stop,
            _admin_stop: admin_stop,
            readiness,
            connections,
            services,
        })
    }

    /// The sockets that the process listens on.
    pub fn sockets(&self) -> &Sockets {
        &self.sockets
    }

    /// Logs what is guarded how, so that a start shows what is open.
    pub fn announce(&self) {
        for policy in self.policies.policies() {
            announce(policy);
            for route in &policy.routes {
                let methods: Vec<_> = route.methods.iter().map(http::Method::as_str).collect();
                tracing::info!(
                    service = policy.service,
                    route = route.pattern,
                    methods = methods.join(","),
                    auth = route.auth_label(),
                    roles = route.requirement.roles.join(","),
                    scopes = route.requirement.scopes.join(","),
                    shadow = route.mode == Mode::Shadow,
                    "route"
                );
            }
        }
        for (at, address) in self.sockets.listeners.iter().enumerate() {
            let listener = self.config.listeners.get(at).and_then(|listener| listener.tls.as_ref());
            let asks = listener.is_some_and(|tls| tls.client_ca.is_some());
            tracing::info!(%address, tls = listener.is_some(), asks_for_certificates = asks, "listening");
        }
        self.warn_about_certificates();
        tracing::info!(address = %self.sockets.admin, "admin listening");
    }

    /// A route that needs a client certificate, and no listener that asks for one.
    fn warn_about_certificates(&self) {
        let asks = |listener: &Listener| listener.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
        if self.config.listeners.iter().any(asks) {
            return;
        }
        let routes = self.policies.policies().iter().flat_map(|policy| &policy.routes);
        for route in routes.filter(|route| route.authentication.methods().contains(&AuthMethod::Mtls)) {
            let route = route.pattern.as_str();
            tracing::warn!(
                route,
                "the route takes client certificates, and no listener has a `client_ca` to ask for one"
            );
        }
    }

    /// Ends: says so on `/readyz`, takes no more connections, lets requests end within the grace.
    pub async fn stop(self) {
        self.readiness.set(false);
        let _ = self.stop.send(true);
        let left = self.connections.drained(self.config.grace).await;
        if left > 0 {
            tracing::warn!(connections = left, "the grace is over; connections are cut");
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

/// The engine gives up in a panic where this file is missing, whether or not it needs it.
fn check_system_roots() -> Result<(), StartError> {
    for variable in ["SSL_CERT_FILE", "SSL_CERT_DIR"] {
        if let Some(path) = std::env::var_os(variable)
            && let Err(error) = std::fs::metadata(&path)
        {
            let path = Path::new(&path).display();
            return Err(StartError(format!("`{path}` of `{variable}` cannot be read: {error}")));
        }
    }
    Ok(())
}

/// What serves a connection, whatever listener it came by, with these keys and at most so many
/// requests at a time.
pub async fn edge(
    config: &ServerConfig,
    policies: &Arc<PolicySet>,
    metrics: &Metrics,
    shared: (KeySources, usize),
) -> Result<Arc<Edge>, StartError> {
    let proxy = proxy(config, policies, metrics, shared).await?;
    let refuse = refuse(Arc::clone(policies), metrics.clone(), config.log.access);
    Ok(Arc::new(Edge::new(proxy, &config.limits, refuse)))
}

async fn proxy(
    config: &ServerConfig,
    policies: &Arc<PolicySet>,
    metrics: &Metrics,
    (keys, requests): (KeySources, usize),
) -> Result<HttpProxy<Gateway>, StartError> {
    let peers: Result<Vec<_>, _> = policies
        .policies()
        .iter()
        .map(|policy| Peer::new(&policy.upstream).map(Arc::new))
        .collect();
    let peers = peers.map_err(StartError)?;
    let _ = tokio::time::timeout(RESOLVE_TIME, async {
        for peer in &peers {
            peer.resolve().await;
        }
    })
    .await;
    for peer in &peers {
        tokio::spawn(Arc::clone(peer).keep_resolved());
    }
    let gateway = Gateway {
        policies: Arc::clone(policies),
        peers,
        metrics: metrics.clone(),
        limits: config.limits,
        places: Arc::new(Semaphore::new(requests.min(Semaphore::MAX_PERMITS))),
        trusted_proxies: config.trusted_proxies.clone(),
        access_log: config.log.access,
        keys,
    };
    let conf = ServerConf {
        threads: config.threads,
        ..ServerConf::default()
    };
    let mut proxy = HttpProxy::new(gateway, Arc::new(conf));
    proxy.handle_init_modules();
    let mut options = HttpServerOptions::default();
    // The guard looks for the preface, and cannot hang.
    options.h2c = true;
    // Refused by our own answer, not by the engine's.
    options.allow_connect_method_proxying = true;
    options.h2_idle_timeout = Some(config.limits.idle_timeout);
    proxy.server_options = Some(options);
    proxy.h2_options = Some(http2::options(&config.limits));
    Ok(proxy)
}

fn serve<A>(mut service: Service<A>, fds: &ListenFds, stopping: watch::Receiver<bool>) -> JoinHandle<()>
where
    A: pingora::apps::ServerApp + Send + Sync + 'static,
{
    let fds = Arc::clone(fds);
    tokio::spawn(async move { service.start_service(Some(fds), stopping, 1).await })
}

/// Says where the service of a policy is, and who may vouch for its callers.
fn announce(policy: &Policy) {
    let hosts: Vec<_> = policy.hosts.iter().map(ToString::to_string).collect();
    tracing::info!(
        service = policy.service,
        hosts = hosts.join(","),
        prefix = policy.prefix,
        upstream = %policy.upstream.address,
        "guarding"
    );
    for issuer in &policy.issuers {
        let audiences = issuer.audiences.as_ref().map(|audiences| audiences.join(","));
        tracing::info!(
            service = policy.service,
            issuer = issuer.name.as_deref().unwrap_or("unchecked"),
            audience = audiences.as_deref().unwrap_or("unchecked"),
            algorithms = ?issuer.algorithms,
            keys = issuer.remote.as_ref().map(RemoteKeys::url),
            "trusting"
        );
    }
    let now = jiff::Timestamp::now().as_second();
    for key in policy
        .internal_keys
        .iter()
        .flat_map(|keys| &keys.keys)
        .filter(|key| key.has_expired(now))
    {
        tracing::warn!(
            service = policy.service,
            key = key.name(),
            "the internal key has expired"
        );
    }
}
