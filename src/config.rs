//! `sidegate.yaml`, the environment and flags to what the process does: listeners, limits, paths.
//! Flags beat environment beats file.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::document::collections::{List, ListOrEmpty};
use crate::document::decode::FromNode;
use crate::document::environment::Environment;
use crate::document::networks::network;
use crate::document::problem::{Fault, Problem, ProblemCode, Problems, SourceFile};
use crate::document::yaml::Node;
use crate::fd_limit::Capacity;
use crate::policy::ErrorStyle;
use crate::policy::compile::error_style;
use crate::policy_files::loaded_files::FileState;
use crate::policy_files::{LoadError, ProcessEnvironment};

mod address;
mod control;
pub mod document;
mod limits;
mod own_upstreams;
mod probe;
mod proxy_protocol;
mod read;
mod recognized;
pub mod store;
pub mod threads;
mod tls;

pub use address::{ListenAddress, listen_address};
pub use control::ControlSocket;
pub use document::{LogFormat, LogLevel, ReadyRule};
pub use limits::{Limits, of_client};
pub use probe::ProbeConfig;
pub use read::ReadConfig;
pub use recognized::{is_config, reads_as_config};
pub use store::StoreConfig;
pub use tls::{KeyPairFiles, NamedFile, TlsFiles};

use address::{or_report, reserve, socket_address};
use document::{ConfigDocument, ListenerDocument};

/// What flags and environment say; it beats the file.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// The policies.
    pub policies: Option<PathBuf>,
    /// One plain listener in place of all others.
    pub listen: Option<String>,
    /// The admin listener.
    pub admin: Option<String>,
    /// The path of the control socket, or `off`.
    pub control: Option<String>,
    /// Where state is kept that replicas share.
    pub store: Option<StoreConfig>,
}

/// What the process does, checked.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Where clients connect.
    pub listeners: Vec<Listener>,
    /// Address of the admin listener (metrics and health).
    pub admin: SocketAddr,
    /// What operators can have the service asked for.
    pub probe: Option<ProbeConfig>,
    /// What the process waits for until it is ready.
    pub ready: ReadyRule,
    /// Where tokens are revoked on this machine.
    pub control: ControlSocket,
    /// A policy file, or a folder of them.
    pub policies: PathBuf,
    /// Where state is kept that replicas share.
    pub store: StoreConfig,
    /// The files that the store in the file is spoken to with.
    pub store_files: Vec<PathBuf>,
    /// What a request may cost.
    pub limits: Limits,
    /// How long connections are still taken after SIGTERM.
    pub delay: Duration,
    /// How long requests in flight may take after that.
    pub grace: Duration,
    /// Networks whose `x-forwarded-*` are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// What is logged.
    pub log: LogConfig,
    /// The number of threads that serve requests.
    pub threads: usize,
    /// Whether that is the number of processors, by `threads: auto`.
    pub auto_threads: bool,
    /// How errors are written where no policy says it.
    pub default_errors: ErrorStyle,
    /// What `check` warns of in the file.
    pub warnings: Vec<Problem>,
    /// The file that this was read from, if there was one.
    pub file: Option<ConfigFile>,
}

/// A file as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigFile {
    /// Its path.
    pub path: PathBuf,
    /// What it said.
    pub found: FileState,
}

/// Where clients connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// The address.
    pub address: ListenAddress,
    /// Certificates, for a TLS listener.
    pub tls: Option<TlsFiles>,
    /// The most connections at a time, if they are not those of the limits.
    pub connections: Option<usize>,
    /// Whether each connection begins with a header of the PROXY protocol.
    pub proxy_protocol: bool,
}

impl Listener {
    /// The most connections at a time.
    pub fn most_connections(&self, limits: &Limits) -> usize {
        self.connections.unwrap_or(limits.connections)
    }

    /// A listener in clear text that no file names.
    pub fn plain(address: ListenAddress) -> Self {
        Self {
            address,
            tls: None,
            connections: None,
            proxy_protocol: false,
        }
    }
}

/// What is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogConfig {
    /// The form of a line.
    pub format: LogFormat,
    /// The least important lines that are written.
    pub level: LogLevel,
    /// Whether each request is a line.
    pub access: bool,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            format: LogFormat::Json,
            level: LogLevel::Info,
            access: true,
        }
    }
}

/// What of a process its policies depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Surroundings {
    /// Whether a listener asks for client certificates.
    pub asks_for_certificates: bool,
    /// Whether revocations are lost when the process restarts.
    pub forgets_revocations: bool,
}

impl ServerConfig {
    /// Reads a file and applies what beats it. Paths in the file are relative to its folder.
    pub fn load(path: &Path, overrides: &Overrides) -> Result<Self, LoadError> {
        let read = Self::read(path);
        let mut config = match read.config {
            Some(config) if !read.problems.iter().any(Problem::is_error) => Self {
                warnings: read.problems,
                ..config
            },
            _ => return Err(LoadError::Wrong(read.problems)),
        };
        config.apply(overrides)?;
        Ok(config)
    }

    fn from_node(node: &Node, problems: &mut Problems, surroundings: (&Path, &dyn Environment)) -> Option<Self> {
        let document = ConfigDocument::from_node(node, problems).ok()?;
        check(document, surroundings, problems)
    }

    /// What holds without a file.
    pub fn without_file(overrides: &Overrides) -> Result<Self, LoadError> {
        let source = SourceFile::new("(defaults)", "version: 1\n");
        let mut config = Self::parse(source, Path::new("")).map_err(LoadError::Wrong)?;
        config.apply(overrides)?;
        Ok(config)
    }

    /// What of the process policies depend on.
    pub fn surroundings(&self) -> Surroundings {
        let asks = |listener: &Listener| listener.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
        Surroundings {
            asks_for_certificates: self.listeners.iter().any(asks),
            forgets_revocations: matches!(self.store, StoreConfig::Memory(_)),
        }
    }

    /// Applies what beats the file.
    pub fn apply(&mut self, overrides: &Overrides) -> Result<(), LoadError> {
        let unreadable = |fault: Fault| LoadError::Unreadable(fault.to_string());
        if let Some(policies) = &overrides.policies {
            self.policies.clone_from(policies);
        }
        if let Some(listen) = &overrides.listen {
            let address = listen_address(listen).map_err(unreadable)?;
            self.listeners = vec![Listener::plain(address)];
        }
        if let Some(admin) = &overrides.admin {
            self.admin = socket_address(admin).map_err(unreadable)?;
        }
        if let Some(control) = &overrides.control {
            self.control = ControlSocket::written(control, Path::new("")).map_err(unreadable)?;
        }
        if let Some(store) = &overrides.store {
            self.store.replaced_by(store);
        }
        Ok(())
    }

    /// The connections of the listener that may have the most, and the requests with services.
    pub fn wanted(&self) -> Capacity {
        let connections = self
            .listeners
            .iter()
            .map(|listener| listener.most_connections(&self.limits));
        Capacity {
            connections: connections.max().unwrap_or_default(),
            requests: self.limits.requests,
        }
    }

    /// Reads the text of a file.
    pub fn parse(source: SourceFile, base: &Path) -> Result<Self, Vec<Problem>> {
        Self::parse_with(&Arc::new(source), base, &ProcessEnvironment)
    }

    /// The same, with the variables and files of another environment.
    pub fn parse_with(
        source: &Arc<SourceFile>,
        base: &Path,
        environment: &dyn Environment,
    ) -> Result<Self, Vec<Problem>> {
        let mut problems = Problems::of(Arc::clone(source));
        let node = crate::document::read(&mut problems);
        match node.and_then(|node| Self::from_node(&node, &mut problems, (base, environment))) {
            Some(config) if !problems.has_errors() => Ok(config),
            _ => Err(problems.into_sorted()),
        }
    }
}

/// Where policies are if the file does not say it.
const POLICIES: &str = "policies";

/// Reads the document as far as that is possible. What is missing has been noted as a problem.
fn check(
    document: ConfigDocument,
    (base, environment): (&Path, &dyn Environment),
    problems: &mut Problems,
) -> Option<ServerConfig> {
    if document.version.value != 1 {
        let message = format!("version {} of the format is unknown", document.version.value);
        let help = "write `version: 1`";
        problems.add(&document.version.span, ProblemCode::UnsupportedVersion, message, help);
    }
    let with_proxy_protocol = proxy_protocol::check(&document, problems);
    let mut taken = Vec::new();
    let listeners = match document.listeners {
        Some(List(listeners)) => listeners
            .into_iter()
            .filter_map(|l| listener(l, base, &mut taken, problems))
            .collect(),
        None => vec![Listener::plain(listen_address("0.0.0.0:8080").ok()?)],
    };
    let (admin, probe, ready) = document
        .admin
        .map_or((None, None, None), |admin| (admin.address, admin.probe, admin.ready));
    let admin = match admin {
        Some(address) => {
            let found = or_report(socket_address(&address.value), &address, problems);
            reserve(found.map(ListenAddress::Tcp).as_ref(), &address, &mut taken, problems);
            found
        }
        None => socket_address("127.0.0.1:9090").ok(),
    };
    let control = document.control.map_or_else(ControlSocket::default, |written| {
        control::check(written, base, &mut taken, problems)
    });
    let networks = document
        .trusted_proxies
        .map(|ListOrEmpty(networks)| networks)
        .unwrap_or_default();
    let trusted_proxies = networks
        .iter()
        .filter_map(|net| or_report(network(&net.value), net, problems))
        .collect();
    for network in &networks {
        address::warn_of_wide(network, with_proxy_protocol, problems);
    }
    let log = document.log.map_or_else(LogConfig::default, |log| LogConfig {
        format: log.format.unwrap_or(LogFormat::Json),
        level: log.level.unwrap_or(LogLevel::Info),
        access: log.access.unwrap_or(true),
    });
    let (threads, auto_threads) = threads::check(document.threads, problems);
    let (delay, grace) = document.shutdown.map_or((None, None), |s| (s.delay, s.grace));
    let store = store::check(document.store, (base, environment), problems);
    Some(ServerConfig {
        warnings: Vec::new(),
        listeners,
        admin: admin.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 9090))),
        probe: probe.and_then(|probe| probe::check(probe, problems)),
        ready: ready.unwrap_or(ReadyRule::OnceHad),
        control,
        policies: base.join(document.policies.map_or_else(|| POLICIES.to_owned(), |path| path.value)),
        store: store.unwrap_or_default(),
        store_files: Vec::new(),
        limits: limits::check(document.limits, problems),
        delay: delay.map_or(Duration::ZERO, |delay| delay.0),
        grace: grace.map_or(Duration::from_secs(20), |grace| grace.0),
        trusted_proxies,
        log,
        threads,
        auto_threads,
        default_errors: document.defaults.map_or_else(ErrorStyle::default, |defaults| {
            error_style::check(defaults.errors, || ErrorStyle::default().code_prefix, problems)
        }),
        file: None,
    })
}

fn listener(
    document: ListenerDocument,
    base: &Path,
    taken: &mut Vec<ListenAddress>,
    problems: &mut Problems,
) -> Option<Listener> {
    let address = or_report(listen_address(&document.address.value), &document.address, problems);
    reserve(address.as_ref(), &document.address, taken, problems);
    let tls = document.tls.map(|tls| tls::check(tls, base, problems));
    Some(Listener {
        address: address?,
        tls,
        connections: document
            .connections
            .map(|count| limits::at_least_one(&count, problems) as usize),
        proxy_protocol: document.proxy_protocol.is_some_and(|expected| expected.value),
    })
}

#[cfg(test)]
mod tests;
