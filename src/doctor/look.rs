//! Gathers facts: from `/proc`, from files, and from the servers of keys. Judges nothing, and keeps
//! no content of a file.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _, UdpSocket};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use rustix::process::geteuid;
use rustls::pki_types::CertificateDer;

use super::certificates::Listener;
use super::files::{Access, Certificate, File, is_public};
use super::key_servers::KeyServer;
use super::listening;
use super::process::Process;
use super::services::{Place, Service};
use crate::config::{ListenAddress, ServerConfig};
use crate::control::place;
use crate::decision::Evaluator;
use crate::document::environment::Environment;
use crate::document::pem::PemFile;
use crate::document::tls_material::{certificates, parse};
use crate::fd_limit;
use crate::jwks::KeySources;
use crate::jwks::proxy::KeyProxy;
use crate::policy::{PolicySet, UpstreamAddress};
use crate::policy_files::ProcessEnvironment;
use crate::policy_files::loaded_files::LoadedFiles;
use crate::tls::TlsListener;

/// How long the look-up of a name may take.
const LOOKUP_TIME: Duration = Duration::from_secs(1);

/// Where the services are. Their names are looked up if `asks`.
pub(super) fn services(config: &ServerConfig, policies: &PolicySet, asks: bool) -> Vec<Service> {
    let listening = sockets(config);
    let place = |address: &UpstreamAddress| match address {
        UpstreamAddress::Unix(path) => Place::Socket(access(path)),
        UpstreamAddress::Network { host, port, .. } => {
            let mut addresses = addresses(host, asks);
            addresses.retain(is_here);
            if addresses.is_empty() {
                return Place::Elsewhere;
            }
            let on_port = |all: &Vec<SocketAddr>| {
                let on_port = all.iter().filter(|socket| socket.port() == *port);
                on_port.map(SocketAddr::ip).collect()
            };
            Place::Here {
                port: *port,
                addresses,
                listening: listening.as_ref().map(on_port),
            }
        }
    };
    let service = |policy: &crate::policy::Policy| Service {
        name: policy.service.clone(),
        address: policy.upstream.address.to_string(),
        place: place(&policy.upstream.address),
    };
    policies.policies().iter().map(service).collect()
}

/// All addresses to which requests for a host may be sent.
fn addresses(host: &str, asks: bool) -> Vec<IpAddr> {
    if let Ok(ip) = host.parse() {
        return vec![ip];
    }
    if host.eq_ignore_ascii_case("localhost") {
        return vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    }
    let (sender, found) = mpsc::channel();
    if asks {
        let host = host.to_owned();
        // The look-up of the system cannot be ended, and may take longer.
        thread::spawn(move || {
            let found = (host.as_str(), 0).to_socket_addrs();
            let found = found.map(|found| found.map(|socket| socket.ip()).collect());
            sender.send(found.unwrap_or_default())
        });
    }
    found.recv_timeout(LOOKUP_TIME).unwrap_or_default()
}

/// Whether this machine has an address.
fn is_here(ip: &IpAddr) -> bool {
    ip.is_loopback() || UdpSocket::bind((*ip, 0)).is_ok()
}

/// What listens on this machine, but for Sidegate itself; in a pod, in any of its containers.
fn sockets(config: &ServerConfig) -> Option<Vec<SocketAddr>> {
    let own = |socket: &SocketAddr| {
        let is_own = |listener: &ListenAddress| matches!(listener, ListenAddress::Tcp(address) if address == socket);
        config.admin == *socket || config.listeners.iter().any(|listener| is_own(&listener.address))
    };
    let mut found = listening::parse(&std::fs::read_to_string("/proc/self/net/tcp").ok()?);
    // A system without IPv6 has no such file.
    found.extend(listening::parse(
        &std::fs::read_to_string("/proc/self/net/tcp6").unwrap_or_default(),
    ));
    found.retain(|socket| !own(socket));
    Some(found)
}

/// Every file that Sidegate goes by: `own` and the policies, those that they name, those of listeners
/// and of the store.
pub(super) fn files(config: &ServerConfig, loaded_files: &LoadedFiles, own: &[PathBuf]) -> Vec<File> {
    let mut files = Vec::new();
    for path in own.iter().chain(loaded_files.policies.keys()) {
        note(path, false, &mut files);
    }
    for path in loaded_files.named.keys().chain(&config.store_files) {
        note(path, true, &mut files);
    }
    for tls in config.listeners.iter().filter_map(|listener| listener.tls.as_ref()) {
        tls.paths().iter().for_each(|path| note(path, true, &mut files));
    }
    files
}

fn note(path: &Path, named: bool, files: &mut Vec<File>) {
    if !files.iter().any(|file| file.path == path) {
        files.extend(file(path, named));
    }
}

/// Looks at a file. The check that needs the file reports that it cannot be read.
fn file(path: &Path, named: bool) -> Option<File> {
    let access = access(path)?;
    let content = if named {
        ProcessEnvironment.file(path).ok()?
    } else {
        Vec::new()
    };
    let name = path.display().to_string();
    let found = certificates(PemFile {
        name: &name,
        bytes: &content,
    });
    let found = found.unwrap_or_default();
    Some(File {
        secret: named && !is_public(&content),
        certificates: found.iter().filter_map(|(_, der)| certificate(der)).collect(),
        access,
        path: path.to_owned(),
    })
}

fn certificate(der: &CertificateDer<'_>) -> Option<Certificate> {
    let certificate = parse(der)?;
    Some(Certificate {
        authority: certificate.is_ca(),
        ends: certificate.validity().not_after.timestamp(),
    })
}

fn access(path: &Path) -> Option<Access> {
    let path = path.canonicalize().ok()?;
    let found = path.metadata().ok()?;
    let closed = |folder: &Path| folder.metadata().is_ok_and(|folder| folder.mode() & 0o001 == 0);
    Some(Access {
        mode: found.mode() & 0o7777,
        owner: found.uid(),
        sheltered: path.ancestors().skip(1).any(closed),
    })
}

/// What is wrong with the files of each listener.
pub(super) fn listeners(config: &ServerConfig) -> Vec<Listener> {
    let mut listeners = Vec::new();
    for listener in &config.listeners {
        if let Some(Err(found)) = listener.tls.as_ref().map(TlsListener::open) {
            listeners.push(Listener {
                address: listener.address.to_string(),
                problems: found
                    .each()
                    .iter()
                    .map(|problem| problem.message().to_owned())
                    .collect(),
            });
        }
    }
    listeners
}

/// What the servers of keys answer, all asked at the same time.
pub(super) fn key_servers(policies: &PolicySet, ask: Option<KeyProxy>) -> Vec<KeyServer> {
    let evaluator = Evaluator::new(Arc::new(policies.clone()));
    let statuses = ask.and_then(|proxy| KeySources::once(&evaluator, proxy));
    let mut servers: Vec<KeyServer> = Vec::new();
    let issuers = policies
        .policies()
        .iter()
        .flat_map(|policy| policy.issuers.iter().map(move |issuer| (&policy.service, issuer)));
    for (service, issuer) in issuers {
        let Some(remote) = issuer.remote() else { continue };
        let (issuer, url) = (issuer.label(), remote.shown_url());
        let mut known = statuses.iter().flatten();
        let status =
            known.find(|status| status.issuer == issuer && status.url == url && status.services.contains(service));
        let server = KeyServer {
            issuer: issuer.into_owned(),
            url: url.into_owned(),
            proxy: status.and_then(|status| status.proxy.clone()),
            answer: status.and_then(|status| match &status.last {
                Some(Err(error)) => Some(Err(error.to_string())),
                Some(Ok(())) => Some(Ok(status.clock_ahead)),
                None => None,
            }),
        };
        if !servers.contains(&server) {
            servers.push(server);
        }
    }
    servers
}

/// What the system says of this process.
pub(super) fn process(config: &ServerConfig) -> Process {
    let control = place::Place::of(&config.control, config.admin);
    Process {
        user: geteuid().as_raw(),
        descriptors: fd_limit::hard_limit(),
        kubernetes: std::env::var_os("KUBERNETES_SERVICE_HOST").is_some(),
        control: control.map(|place| (place.to_string(), access(place.path()))),
    }
}
