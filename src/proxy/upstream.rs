//! Services as the engine connects to them. Names are resolved in the background; a request only
//! reads the addresses that were found last.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use pingora::protocols::ALPN;
use pingora::protocols::l4::socket::SocketAddr as EngineAddr;
use pingora::upstreams::peer::{HttpPeer, Scheme};
use pingora::utils::tls::{CertKey, WrappedX509, parse_x509};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::spiffe::SpiffeConnector;
use crate::document::tls_material::{CaBundle, TlsIdentity};
use crate::policy::{Upstream, UpstreamAddress, UpstreamScheme};
use crate::system_roots;

mod connection;
pub mod pool;
pub(super) mod session;

use pool::UpstreamPool;

/// How often names are resolved.
const RESOLVE_EVERY: Duration = Duration::from_secs(5);

/// How long a connection to a service may be idle before it is given up.
const IDLE: Duration = Duration::from_mins(1);

/// How many requests may share one HTTP/2 connection to a service.
const H2_STREAMS: usize = 100;

/// The service of one policy. Its name is resolved for as long as the service is there.
#[derive(Debug)]
pub struct Peer {
    template: HttpPeer,
    name: Option<Arc<Name>>,
    resolving: Option<JoinHandle<()>>,
    /// How to reach it without the engine's proxy, if it speaks HTTP/1.1 in clear text.
    plain: Option<UpstreamPool>,
}

/// A name that has to be resolved.
#[derive(Debug)]
struct Name {
    host: String,
    port: u16,
    found: ArcSwap<Vec<SocketAddr>>,
    tried: watch::Sender<bool>,
    next: AtomicUsize,
}

impl Peer {
    /// Prepares the connections to a service, and begins to resolve its name.
    pub fn start(upstream: &Upstream) -> Result<Self, String> {
        let mut peer = Self::new(upstream)?;
        let name = peer.name.as_ref().map(Arc::clone);
        peer.resolving = name.map(|name| tokio::spawn(name.keep_resolved()));
        Ok(peer)
    }

    /// Waits until its name was looked up once, well or not.
    pub async fn tried(&self) {
        if let Some(name) = &self.name {
            let _ = name.tried.subscribe().wait_for(|tried| *tried).await;
        }
    }

    fn new(upstream: &Upstream) -> Result<Self, String> {
        let (mut template, name) = match &upstream.address {
            UpstreamAddress::Unix(path) => {
                let path = path.to_string_lossy();
                let peer = HttpPeer::new_uds(&path, false, String::new());
                (peer.map_err(|_| format!("`{path}` is too long for a socket"))?, None)
            }
            UpstreamAddress::Network { scheme, host, port } => network(*scheme, host, *port),
        };
        let scheme = match upstream.address {
            UpstreamAddress::Network { scheme, .. } => scheme,
            UpstreamAddress::Unix(_) => UpstreamScheme::Http,
        };
        let options = &mut template.options;
        options.connection_timeout = Some(upstream.connect_timeout);
        options.total_connection_timeout = Some(upstream.connect_timeout);
        options.read_timeout = Some(upstream.timeout);
        options.write_timeout = Some(upstream.timeout);
        options.idle_timeout = Some(IDLE);
        options.max_h2_streams = H2_STREAMS;
        options.ca = match &upstream.ca {
            Some(ca) => Some(for_engine(ca)),
            None => (scheme == UpstreamScheme::Https).then(system_authorities),
        };
        template.client_cert_key = upstream.client.as_ref().map(shown);
        template.group_key = group(upstream);
        if let Some(id) = &upstream.spiffe_id {
            let (UpstreamAddress::Network { host, .. }, Some(ca)) = (&upstream.address, &upstream.ca) else {
                return Err(format!("`{id}` cannot be verified without a host and CAs"));
            };
            let pinned = SpiffeConnector::new(id, ca, upstream.client.as_ref(), host, upstream.connect_timeout)?;
            template.options.custom_l4 = Some(Arc::new(pinned));
            // It brings TLS with it.
            template.scheme = Scheme::HTTP;
            template.options.set_http_version(1, 1);
        }
        let plain = scheme == UpstreamScheme::Http;
        Ok(Self {
            template,
            name: name.map(Arc::new),
            resolving: None,
            plain: plain.then(|| UpstreamPool::new(upstream.connect_timeout, upstream.timeout)),
        })
    }

    /// The service as it can be reached now; `None` if its name has no address.
    pub fn get(&self) -> Option<Box<HttpPeer>> {
        let mut peer = Box::new(self.template.clone());
        if let Some(name) = &self.name {
            peer._address = name.address()?;
        }
        Some(peer)
    }

    /// Where the service is now; `None` if its name has no address.
    pub(super) fn address(&self) -> Option<EngineAddr> {
        match &self.name {
            Some(name) => name.address(),
            None => Some(self.template._address.clone()),
        }
    }

    /// How to reach it without the engine's proxy, if it speaks HTTP/1.1 in clear text.
    pub(super) const fn plain(&self) -> Option<&UpstreamPool> {
        self.plain.as_ref()
    }

    /// Whether a connection to the service is of no use after one request.
    pub fn serves_once(&self) -> bool {
        self.template.options.custom_l4.is_some()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if let Some(task) = &self.resolving {
            task.abort();
        }
    }
}

impl Name {
    /// The next one of its addresses, in turn.
    fn address(&self) -> Option<EngineAddr> {
        let found = self.found.load();
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        found.get(turn % found.len().max(1)).copied().map(EngineAddr::Inet)
    }

    /// Resolves the name for as long as it runs; a failure leaves the addresses as they are.
    async fn keep_resolved(self: Arc<Self>) {
        loop {
            self.resolve().await;
            self.tried.send_replace(true);
            tokio::time::sleep(RESOLVE_EVERY).await;
        }
    }

    async fn resolve(&self) {
        match tokio::net::lookup_host((self.host.as_str(), self.port)).await {
            Ok(found) => {
                let found = one_family(found.collect());
                if !found.is_empty() && **self.found.load() != found {
                    tracing::info!(host = self.host, addresses = ?found, "service resolved");
                    self.found.store(Arc::new(found));
                }
            }
            Err(error) => tracing::warn!(host = self.host, %error, "the name of a service cannot be resolved"),
        }
    }
}

/// IPv4 where there is any, else IPv6: taking turns over both would fail half of the time where
/// one of them does not work.
fn one_family(mut found: Vec<SocketAddr>) -> Vec<SocketAddr> {
    if found.iter().any(SocketAddr::is_ipv4) {
        found.retain(SocketAddr::is_ipv4);
    }
    found.sort_unstable();
    found.dedup();
    found
}

fn network(scheme: UpstreamScheme, host: &str, port: u16) -> (HttpPeer, Option<Name>) {
    let literal = host.parse::<IpAddr>().ok();
    let address = SocketAddr::new(literal.unwrap_or(IpAddr::from([0, 0, 0, 0])), port);
    let tls = scheme == UpstreamScheme::Https;
    // Only TLS asks for it, and each request has one of its own.
    let sni = if tls { host } else { "" };
    let mut peer = HttpPeer::new(address, tls, sni.to_owned());
    match scheme {
        UpstreamScheme::Http => {}
        UpstreamScheme::Https => peer.options.alpn = ALPN::H2H1,
        UpstreamScheme::H2c => peer.options.set_http_version(2, 2),
    }
    let name = literal.is_none().then(|| Name {
        host: host.to_owned(),
        port,
        found: ArcSwap::default(),
        tried: watch::channel(false).0,
        next: AtomicUsize::new(0),
    });
    (peer, name)
}

/// The CAs of the system. The engine would read them at each start, for nothing in most cases.
fn system_authorities() -> Arc<[WrappedX509]> {
    static FOUND: OnceLock<Arc<[WrappedX509]>> = OnceLock::new();
    if let Some(found) = FOUND.get() {
        return Arc::clone(found);
    }
    let usable = for_engine(&system_roots::authorities());
    match usable.is_empty() {
        true => usable,
        false => Arc::clone(FOUND.get_or_init(|| usable)),
    }
}

/// The engine panics on what it cannot parse; what is in a bundle it can.
fn for_engine(ca: &CaBundle) -> Arc<[WrappedX509]> {
    ca.iter()
        .map(|der| WrappedX509::new(der.to_vec(), parse_x509))
        .collect()
}

fn shown(client: &TlsIdentity) -> Arc<CertKey> {
    let chain = client.chain().iter().map(|der| der.to_vec()).collect();
    Arc::new(CertKey::new(chain, client.key().secret_der().to_vec()))
}

/// The pool tells connections apart neither by their CA nor, but for its serial number, by the
/// certificate that was shown. The group does.
fn group(upstream: &Upstream) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    upstream.ca.hash(&mut hasher);
    let client = upstream.client.as_ref();
    client
        .map(|client| (client.chain(), client.key().secret_der()))
        .hash(&mut hasher);
    upstream.spiffe_id.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_service_that_is_gone_is_not_resolved_any_more() {
        let upstream = Upstream {
            address: UpstreamAddress::Network {
                scheme: UpstreamScheme::Http,
                host: "localhost".into(),
                port: 1,
            },
            connect_timeout: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            ca: None,
            client: None,
            spiffe_id: None,
        };
        let peer = Peer::start(&upstream).unwrap();
        peer.tried().await;
        assert!(peer.get().is_some());
        let name = Arc::downgrade(peer.name.as_ref().unwrap());
        drop(peer);
        while name.upgrade().is_some() {
            tokio::task::yield_now().await;
        }
    }
}
