//! `sidegate.yaml`, the environment and flags to what the process does: listeners, limits, paths.
//! Flags beat environment beats file.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net};

use crate::document::collections::{List, ListOrEmpty};
use crate::document::decode::{FromNode, Spanned};
use crate::document::problem::{Problem, Problems, SourceFile};
use crate::document::yaml::Node;
use crate::fd_limit::Capacity;
use crate::policy::ErrorStyle;
use crate::policy_files::footprint::Found;
use crate::policy_files::{LoadError, RecordingEnvironment};

mod control;
pub mod document;
mod limits;
mod probe;
mod read;
pub mod store;
mod tls;

pub use control::ControlSocket;
pub use document::{LogFormat, LogLevel, ReadyRule};
pub use limits::{Limits, of_client};
pub use probe::ProbeConfig;
pub use read::ReadConfig;
pub use store::StoreConfig;
pub use tls::{KeyPairFiles, NamedFile, TlsFiles};

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
    pub found: Found,
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
        }
    }
}

/// An address to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenAddress {
    /// A TCP port.
    Tcp(SocketAddr),
    /// A unix socket.
    Unix(PathBuf),
}

impl std::fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
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

    fn from_node(node: &Node, problems: &mut Problems, base: &Path) -> Option<Self> {
        let document = ConfigDocument::from_node(node, problems).ok()?;
        check(document, base, problems)
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
        if let Some(policies) = &overrides.policies {
            self.policies.clone_from(policies);
        }
        if let Some(listen) = &overrides.listen {
            let address = listen_address(listen).map_err(LoadError::Unreadable)?;
            self.listeners = vec![Listener::plain(address)];
        }
        if let Some(admin) = &overrides.admin {
            self.admin = socket_address(admin).map_err(LoadError::Unreadable)?;
        }
        if let Some(control) = &overrides.control {
            self.control = ControlSocket::written(control, Path::new("")).map_err(LoadError::Unreadable)?;
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
        let mut problems = Problems::of(Arc::new(source));
        let node = crate::document::read(&mut problems);
        match node.and_then(|node| Self::from_node(&node, &mut problems, base)) {
            Some(config) if !problems.has_errors() => Ok(config),
            _ => Err(problems.into_sorted()),
        }
    }
}

/// Where policies are if the file does not say it.
const POLICIES: &str = "policies";

/// Reads the document as far as that is possible. What is missing has been noted as a problem.
fn check(document: ConfigDocument, base: &Path, problems: &mut Problems) -> Option<ServerConfig> {
    if document.version.value != 1 {
        problems.add(&document.version.span, "this is version 1 of the format");
    }
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
            let found = placed(socket_address(&address.value), &address, problems);
            take(found.map(ListenAddress::Tcp).as_ref(), &address, &mut taken, problems);
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
        .filter_map(|net| placed(network(&net.value), net, problems))
        .collect();
    let log = document.log.map_or_else(LogConfig::default, |log| LogConfig {
        format: log.format.unwrap_or(LogFormat::Json),
        level: log.level.unwrap_or(LogLevel::Info),
        access: log.access.unwrap_or(true),
    });
    let threads = document.threads.map_or(1, |threads| {
        if !(1..=256).contains(&threads.value) {
            problems.add(&threads.span, "between 1 and 256 threads are possible");
        }
        threads.value
    });
    let (delay, grace) = document.shutdown.map_or((None, None), |s| (s.delay, s.grace));
    let environment = RecordingEnvironment::default();
    let store = store::check(document.store, (base, &environment), problems);
    Some(ServerConfig {
        warnings: Vec::new(),
        listeners,
        admin: admin.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 9090))),
        probe: probe.and_then(|probe| probe::check(probe, problems)),
        ready: ready.unwrap_or(ReadyRule::OnceHad),
        control,
        policies: base.join(document.policies.map_or_else(|| POLICIES.to_owned(), |path| path.value)),
        store: store.unwrap_or_default(),
        store_files: environment.into_paths(),
        limits: limits::check(document.limits, problems),
        delay: delay.map_or(Duration::ZERO, |delay| delay.0),
        grace: grace.map_or(Duration::from_secs(20), |grace| grace.0),
        trusted_proxies,
        log,
        threads: usize::try_from(threads).unwrap_or(1),
        default_errors: document.defaults.map_or_else(ErrorStyle::default, |defaults| {
            let errors = defaults.errors;
            let prefix = errors
                .code_prefix
                .map_or_else(|| "ERR_SIDEGATE".into(), |prefix| prefix.value);
            ErrorStyle::new(errors.format, prefix, errors.scope_challenge)
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
    let address = placed(listen_address(&document.address.value), &document.address, problems);
    take(address.as_ref(), &document.address, taken, problems);
    let tls = document.tls.map(|tls| tls::check(tls, base, problems));
    Some(Listener {
        address: address?,
        tls,
        connections: document
            .connections
            .map(|count| limits::at_least_one(&count, problems) as usize),
    })
}

/// An address is listened on once; port 0 is another one each time.
fn take(
    address: Option<&ListenAddress>,
    at: &Spanned<String>,
    taken: &mut Vec<ListenAddress>,
    problems: &mut Problems,
) {
    let Some(address) = address else { return };
    let any_port = matches!(address, ListenAddress::Tcp(address) if address.port() == 0);
    if taken.contains(address) && !any_port {
        problems.add(&at.span, format!("`{address}` is here twice"));
    }
    taken.push(address.clone());
}

fn placed<T>(result: Result<T, String>, at: &Spanned<String>, problems: &mut Problems) -> Option<T> {
    result.map_err(|message| problems.add(&at.span, message)).ok()
}

/// `host:port` with an IP address, or `unix:/path`.
pub fn listen_address(text: &str) -> Result<ListenAddress, String> {
    match text.strip_prefix("unix:") {
        Some(path) if path.starts_with('/') => Ok(ListenAddress::Unix(path.into())),
        Some(_) => Err(format!("`{text}` is not an absolute path of a socket")),
        None => socket_address(text).map(ListenAddress::Tcp),
    }
}

fn socket_address(text: &str) -> Result<SocketAddr, String> {
    let text = match text.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None => text.to_owned(),
    };
    text.parse()
        .map_err(|_| format!("`{text}` is not an address: write `127.0.0.1:8080`, `0.0.0.0:8080` or `[::]:8080`"))
}

/// A network such as `10.0.0.0/8`; an address alone is a network of one.
fn network(text: &str) -> Result<IpNet, String> {
    let address = text.parse::<std::net::IpAddr>().map(IpNet::from);
    text.parse()
        .or(address)
        .map(canonical)
        .map_err(|_| format!("`{text}` is not a CIDR such as `10.0.0.0/8`"))
}

/// A network of IPv4 addresses that are written as IPv6 (RFC 4291, 2.5.5.2), as peers are compared with it.
fn canonical(network: IpNet) -> IpNet {
    let IpNet::V6(mapped) = network else {
        return network;
    };
    let v4 = mapped.addr().to_ipv4_mapped();
    let length = mapped.prefix_len().checked_sub(96);
    let canonical = v4
        .zip(length)
        .and_then(|(address, length)| Ipv4Net::new(address, length).ok());
    canonical.map_or(network, IpNet::V4)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<ServerConfig, Vec<String>> {
        let source = SourceFile::new("sidegate.yaml", text);
        let config = ServerConfig::parse(source, Path::new("/etc/sidegate"));
        config.map_err(|problems| problems.iter().map(|p| p.message().to_owned()).collect())
    }

    #[test]
    fn defaults() {
        let config = parse("version: 1\n").unwrap();
        assert_eq!(config.listeners[0].address.to_string(), "0.0.0.0:8080");
        assert_eq!(config.admin.to_string(), "127.0.0.1:9090");
        assert_eq!(config.control, ControlSocket::Default);
        assert_eq!(config.policies, Path::new("/etc/sidegate/policies"));
        assert_eq!(config.limits, Limits::default());
        assert_eq!((config.threads, config.probe), (1, None));
        assert_eq!(config.ready, ReadyRule::OnceHad);
        assert_eq!((config.delay, config.grace), (Duration::ZERO, Duration::from_secs(20)));
        assert!(config.trusted_proxies.is_empty());
    }

    #[test]
    fn everything_can_be_said() {
        let config = parse(
            "version: 1\nlisteners:\n  - address: unix:/run/s.sock\n  - address: 127.0.0.1:8443\n    tls: { certificate: t.crt, key: /t.key, certificates: [{ certificate: u.crt, key: /u.key }], client_ca: ca.crt }\nadmin: { address: localhost:1, ready: always, probe: { upstream: 'unix:/run/app.sock', path: /up, timeout: 2s } }\nlimits: { header_bytes: 1KiB, headers: 7, body_bytes: 2GiB, idle_timeout: 5s }\nshutdown: { delay: 1s, grace: 5s }\ntrusted_proxies: [10.0.0.0/8, '::1']\nlog: { format: text, level: debug, access: false }\nthreads: 2\ncontrol: c.sock\nstore: memory\ndefaults: { errors: { format: problem, code_prefix: ERR_X } }\n",
        )
        .unwrap();
        let tls = config.listeners[1].tls.clone().unwrap();
        assert_eq!(tls.pair.certificate.path, Path::new("/etc/sidegate/t.crt"));
        assert_eq!(tls.pair.key.path, Path::new("/t.key"));
        let paths = [
            "/etc/sidegate/t.crt",
            "/t.key",
            "/etc/sidegate/u.crt",
            "/u.key",
            "/etc/sidegate/ca.crt",
        ];
        assert_eq!(tls.paths(), paths.map(PathBuf::from));
        assert_eq!(config.control, ControlSocket::At("/etc/sidegate/c.sock".into()));
        assert_eq!(config.ready, ReadyRule::Always);
        let mapped = ["::ffff:10.0.0.0/104", "::ffff:192.0.2.1", "::/0", "2001:db8::/32"];
        let networks = mapped.map(|text| network(text).unwrap().to_string());
        assert_eq!(networks, ["10.0.0.0/8", "192.0.2.1/32", "::/0", "2001:db8::/32"]);
        let probe = config.probe.unwrap();
        assert_eq!(
            (probe.upstream.to_string(), probe.path.as_str()),
            ("unix:/run/app.sock".into(), "/up")
        );
        assert_eq!(
            [probe.timeout, config.delay, config.grace],
            [2, 1, 5].map(Duration::from_secs)
        );
        assert_eq!(config.limits.request.body_bytes, 2 << 30);
        assert_eq!(config.trusted_proxies.len(), 2);
        assert_eq!(config.log.format, LogFormat::Text);
        assert_eq!(config.default_errors.code_prefix, "ERR_X");
    }

    #[test]
    fn every_problem_is_told() {
        let problems = parse(
            "version: 2\nlisteners: [{ address: x }]\nthreads: 0\nlimits: { headers: 300 }\ntrusted_proxies: [all]\nstore: disk\nadmn: {}\n",
        )
        .unwrap_err();
        assert_eq!(problems.len(), 7, "{problems:#?}");
        let twice = "version: 1\nlisteners: [{ address: '127.0.0.1:1' }, { address: '127.0.0.1:0' }, { address: '127.0.0.1:0' }]\nadmin: { address: '127.0.0.1:1' }\n";
        assert_eq!(parse(twice).unwrap_err(), ["`127.0.0.1:1` is here twice"]);
        let twice = "version: 1\nlisteners: [{ address: 'unix:/run/s.sock' }]\ncontrol: /run/s.sock\n";
        assert_eq!(parse(twice).unwrap_err(), ["`unix:/run/s.sock` is here twice"]);
        assert_eq!(parse("version: 1\ncontrol: off\n").unwrap().control, ControlSocket::Off);
        let url = parse("version: 1\ncontrol: unix:/run/s.sock\n").unwrap_err();
        assert_eq!(url, ["`unix:/run/s.sock` is not a path: leave out `unix:`"]);
    }
}
