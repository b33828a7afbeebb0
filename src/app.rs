//! Builds everything from a [`ServerConfig`] and runs it until a shutdown is requested.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use futures_util::future::join_all;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use crate::admin::{Admin, AdminServer, Probe, Readiness};
use crate::admission::AdmissionController;
use crate::admission::client_limit::{ClientCounts, ClientRequests};
use crate::admission::concurrency_limit::ConcurrencyLimit;
use crate::admission::idempotency::deferred;
use crate::background;
use crate::config::{ListenAddress, ServerConfig, StoreConfig, of_client, threads};
use crate::control::server::{Control, Served};
use crate::fd_limit;
use crate::jwks::proxy::KeyProxy;
use crate::policy_files::Loaded;
use crate::policy_files::loaded_files::LoadedFiles;
use crate::proxy::connection_limit::ConnectionTracker;
use crate::proxy::early_rejection::rejection_writer;
use crate::proxy::gateway::Gateway;
use crate::proxy::overload::OverloadResponder;
use crate::proxy::policy_snapshot::PolicyHandle;
use crate::proxy::server::accept::ThreadServer;
use crate::proxy::server::listener::Listener;
use crate::proxy::server::{Server, ServerState};
use crate::reload::{Reloader, restart};
use crate::serving_threads::ServingThreads;
use crate::startup_log;
use crate::store::Store;
use crate::system_roots;
use crate::telemetry::metrics::Metrics;
use crate::watch_files::Trigger;

mod listeners;
mod sockets;
mod start_error;

pub use sockets::Sockets;
pub use start_error::StartError;

use listeners::{Shared, listeners, tell_of_shortage};

/// A process that serves requests.
#[derive(Debug)]
pub struct App {
    config: ServerConfig,
    policies: Arc<PolicyHandle>,
    loaded_files: LoadedFiles,
    metrics: Metrics,
    sockets: Sockets,
    stop: watch::Sender<bool>,
    /// Closed once no thread accepts connections.
    accepting: mpsc::Receiver<Infallible>,
    threads: ServingThreads,
    /// What each thread has.
    states: Vec<Arc<ServerState>>,
    readiness: Arc<Readiness>,
    connections: Arc<ConnectionTracker>,
    concurrency: ConcurrencyLimit,
    /// What runs beside the threads that serve requests.
    tasks: Vec<JoinHandle<()>>,
    control: Option<Served>,
    reload: Trigger,
}

impl App {
    /// Starts to serve. When this returns, requests are taken.
    pub async fn start(config: ServerConfig, loaded: Loaded, mut sockets: Sockets) -> Result<Self, StartError> {
        system_roots::check_named().map_err(StartError)?;
        let proxy = KeyProxy::from_process().map_err(StartError)?;
        let metrics = Metrics::for_threads(config.threads).map_err(|error| StartError(error.to_string()))?;
        let store = Store::start(&config.store, &metrics).map_err(StartError)?;
        let policies = PolicyHandle::new(Arc::new(loaded.policies), proxy, &metrics).await;
        let policies = policies.map_err(StartError)?;
        metrics.store_features().preregister(policies.peek().policies());
        metrics.policies_in_force(&loaded.loaded_files.hash(), None, jiff::Timestamp::now());
        let readiness = Arc::new(Readiness::of(config.ready, &policies, &store));
        let connections = Arc::new(ConnectionTracker::new(&metrics));
        let limit = fd_limit::raise();
        tell_of_shortage(&config, limit);
        let capacity = fd_limit::capacity(limit, (sockets.listeners.len(), config.threads));
        let reload = Trigger::default();
        let requests = config.limits.requests.min(capacity.requests);
        let concurrency = ConcurrencyLimit::new(requests);
        metrics.requests_limit(requests);
        let clients = Arc::<ClientCounts>::default();
        let shared = Shared {
            clients: &clients,
            connections: &connections,
            metrics: &metrics,
            reload: &reload,
        };
        let listeners = listeners(&config, &sockets.listeners, capacity, &shared)?;
        let gateway = gateway(&config, (&policies, &store), &metrics, (&concurrency, &clients));
        let states = server_states(&gateway, config.threads);
        let (stop, stopping) = watch::channel(false);
        let (accepts, accepting) = mpsc::channel(1);
        let threads = serve(&mut sockets, (&states, &listeners), &policies, (&stopping, accepts))?;
        let pages = Admin::new(
            metrics.clone(),
            Arc::clone(&readiness),
            config.probe.clone().map(Probe::new),
        );
        let mut tasks = Vec::new();
        if let Some(socket) = sockets.operators.take() {
            let admin = AdminServer::new(pages).serve(socket).map_err(StartError::because)?;
            tasks.push(background::spawn("admin", admin));
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
            accepting,
            threads,
            states,
            readiness,
            connections,
            concurrency,
            tasks,
            control: control.map_err(StartError::because)?,
            reload,
        })
    }

    /// Waits until something that the process needs ends or panics, and returns what that was. The process has to end
    /// then.
    pub async fn failed(&self) -> StartError {
        tokio::select! {
            why = self.threads.ended() => StartError(why),
            name = background::panicked() => StartError(format!("the background task `{name}` panicked")),
        }
    }

    /// Puts changed policies in force from now on, with the files that they name.
    pub fn follow_files(&mut self) {
        let start = (&self.policies, std::mem::take(&mut self.loaded_files));
        let reloader = Reloader::new(&self.config, start, &self.reload, &self.metrics);
        self.tasks.push(background::spawn("reload", reloader.run()));
        if let Some(file) = self.config.file.clone() {
            let restart = restart::tell(file, self.reload.clone());
            self.tasks.push(background::spawn("restart", restart));
        }
    }

    /// Returns what has every file read again that can be replaced while the process runs.
    pub fn reload(&self) -> Trigger {
        self.reload.clone()
    }

    /// The sockets that the process listens on.
    pub fn sockets(&self) -> &Sockets {
        &self.sockets
    }

    /// Logs what is guarded how, so that a start shows what is open.
    pub fn announce(&self) {
        startup_log::serving(self.config.threads, self.config.auto_threads);
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
    /// within the grace. Fails if something that the process needs ends meanwhile.
    pub async fn stop(mut self) -> Result<(), StartError> {
        let accepting = std::mem::replace(&mut self.accepting, mpsc::channel(1).1);
        tokio::select! {
            () = self.drain(accepting) => Ok(()),
            failure = self.failed() => Err(failure),
        }
    }

    async fn drain(&self, mut accepting: mpsc::Receiver<Infallible>) {
        self.readiness.set(false);
        if !self.config.delay.is_zero() {
            let delay = self.config.delay;
            tracing::info!(
                ?delay,
                "shutdown requested, accepting connections until the delay is over"
            );
            tokio::time::sleep(self.config.delay).await;
        }
        // Its own, as long as it listens; another process may have put one there later.
        for listener in &self.config.listeners {
            if let ListenAddress::Unix(path) = &listener.address {
                let _ = std::fs::remove_file(path);
            }
        }
        let over = Instant::now() + self.config.grace;
        self.stop.send_replace(true);
        // Until all threads have accepted the clients that wait.
        let _ = timeout_at(over, accepting.recv()).await;
        let close_idle = join_all(self.states.iter().map(|state| state.close_idle(&self.connections)));
        let drained = self.connections.drained(over.saturating_duration_since(Instant::now()));
        let (left, _) = tokio::join!(drained, timeout_at(over, close_idle));
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
        self.tasks.iter().for_each(JoinHandle::abort);
        tracing::info!("stopped");
    }
}

/// Creates what all requests share.
pub fn gateway(
    config: &ServerConfig,
    (policies, store): (&Arc<PolicyHandle>, &Arc<Store>),
    metrics: &Metrics,
    (concurrency, clients): (&ConcurrencyLimit, &Arc<ClientCounts>),
) -> Arc<Gateway> {
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
    Arc::new(Gateway {
        admission,
        policies: Arc::clone(policies),
        limits: config.limits,
        stopping: AtomicBool::new(false),
    })
}

/// Creates what each thread has for its connections.
pub fn server_states(gateway: &Arc<Gateway>, threads: usize) -> Vec<Arc<ServerState>> {
    let reject = rejection_writer(Arc::clone(gateway));
    let overload = Arc::<OverloadResponder>::default();
    let state = |_| Arc::new(ServerState::new(gateway, Arc::clone(&reject), &overload));
    (0..threads).map(state).collect()
}

/// Starts a thread for each state. Each accepts the connections of all listeners, and keeps its own idle connections to
/// services in order.
fn serve(
    sockets: &mut Sockets,
    (states, listeners): (&[Arc<ServerState>], &[Arc<Listener>]),
    policies: &Arc<PolicyHandle>,
    (stopping, accepts): (&watch::Receiver<bool>, mpsc::Sender<Infallible>),
) -> Result<ServingThreads, StartError> {
    let server = |state: &Arc<ServerState>| {
        let server = |listener| Server::new(Arc::clone(state), Arc::clone(listener));
        listeners.iter().map(server).collect()
    };
    let processors = threads::processors().unwrap_or(states.len());
    let servers = ThreadServer::of_threads(states.iter().map(server).collect(), processors);
    let clients: Vec<_> = std::mem::take(&mut sockets.clients).into_iter().map(Arc::new).collect();
    let works = servers.into_iter().map(|server| {
        let parts = (clients.clone(), stopping.clone(), accepts.clone());
        let policies = Arc::clone(policies);
        move || async move {
            let (clients, stopping, accepts) = parts;
            let Err(error) = tokio::select! {
                ended = server.run(clients, stopping, accepts) => ended,
                never = policies.evict_idle() => Ok(never),
            };
            error
        }
    });
    ServingThreads::start(works).map_err(|error| StartError(format!("no threads can be started: {error}")))
}
