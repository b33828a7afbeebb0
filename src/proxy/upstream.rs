//! Upstreams, and how to connect to them. Names are resolved in the background; a request only reads the
//! addresses that were found last.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use pingora::protocols::ALPN;
use pingora::protocols::l4::socket::SocketAddr as PingoraAddr;
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

/// How long a connection of pingora's pool may be idle.
const IDLE: Duration = Duration::from_mins(1);

/// How many requests may share one HTTP/2 connection to an upstream.
const H2_STREAMS: usize = 100;

/// The upstream of one policy. Its name is resolved until it is dropped.
#[derive(Debug)]
pub struct Peer {
    template: HttpPeer,
    name: Option<Arc<ResolvedHost>>,
    resolving: Option<JoinHandle<()>>,
    /// The pool of connections without pingora's proxy, if it speaks HTTP/1.1 in clear text.
    cleartext_pool: Option<UpstreamPool>,
}

/// A host name with the addresses that were found last.
#[derive(Debug)]
struct ResolvedHost {
    host: String,
    port: u16,
    found: ArcSwap<Vec<SocketAddr>>,
    /// Whether the first lookup is done.
    first_lookup: watch::Sender<bool>,
    next: AtomicUsize,
}

impl Peer {
    /// Prepares the connections to an upstream, and begins to resolve its name.
    pub fn start(upstream: &Upstream) -> Result<Self, String> {
        let mut peer = Self::new(upstream)?;
        let name = peer.name.as_ref().map(Arc::clone);
        peer.resolving = name.map(|name| tokio::spawn(name.keep_resolved()));
        Ok(peer)
    }

    /// Waits until its name was looked up once, even if that failed.
    pub async fn first_lookup(&self) {
        if let Some(name) = &self.name {
            let _ = name.first_lookup.subscribe().wait_for(|done| *done).await;
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
            Some(ca) => Some(for_pingora(ca)),
            None => (scheme == UpstreamScheme::Https).then(system_authorities),
        };
        template.client_cert_key = upstream.client.as_ref().map(client_cert_key);
        template.group_key = pool_key(upstream);
        if let Some(id) = &upstream.spiffe_id {
            let (UpstreamAddress::Network { host, .. }, Some(ca)) = (&upstream.address, &upstream.ca) else {
                return Err(format!("`{id}` cannot be verified without a host and CAs"));
            };
            let pinned = SpiffeConnector::new(id, ca, upstream.client.as_ref(), host, upstream.connect_timeout)?;
            template.options.custom_l4 = Some(Arc::new(pinned));
            // The connector makes the TLS handshake itself.
            template.scheme = Scheme::HTTP;
            template.options.set_http_version(1, 1);
        }
        Ok(Self {
            template,
            name: name.map(Arc::new),
            resolving: None,
            cleartext_pool: (scheme == UpstreamScheme::Http)
                .then(|| UpstreamPool::new(upstream.connect_timeout, upstream.timeout)),
        })
    }

    /// Returns the upstream with its next address. Returns `None` if its name has no address.
    pub fn get(&self) -> Option<Box<HttpPeer>> {
        let mut peer = Box::new(self.template.clone());
        if let Some(name) = &self.name {
            peer._address = name.address()?;
        }
        Some(peer)
    }

    /// Returns the next address of the upstream. Returns `None` if its name has no address.
    pub(super) fn address(&self) -> Option<PingoraAddr> {
        match &self.name {
            Some(name) => name.address(),
            None => Some(self.template._address.clone()),
        }
    }

    /// Returns the pool of connections without pingora's proxy, if it speaks HTTP/1.1 in clear text.
    pub(super) const fn cleartext_pool(&self) -> Option<&UpstreamPool> {
        self.cleartext_pool.as_ref()
    }

    /// Returns whether each connection serves a single request.
    pub fn is_single_use(&self) -> bool {
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

impl ResolvedHost {
    /// Returns the next of its addresses, in turn.
    fn address(&self) -> Option<PingoraAddr> {
        let found = self.found.load();
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        found.get(turn % found.len().max(1)).copied().map(PingoraAddr::Inet)
    }

    /// Resolves the name again and again. If a lookup fails, the addresses stay as they are.
    async fn keep_resolved(self: Arc<Self>) {
        loop {
            self.resolve().await;
            self.first_lookup.send_replace(true);
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

/// Returns the IPv4 addresses, or the IPv6 addresses if there are none. If one family is unreachable, taking
/// turns over both would fail for half of the requests.
fn one_family(mut found: Vec<SocketAddr>) -> Vec<SocketAddr> {
    if found.iter().any(SocketAddr::is_ipv4) {
        found.retain(SocketAddr::is_ipv4);
    }
    found.sort_unstable();
    found.dedup();
    found
}

fn network(scheme: UpstreamScheme, host: &str, port: u16) -> (HttpPeer, Option<ResolvedHost>) {
    let literal = host.parse::<IpAddr>().ok();
    let address = SocketAddr::new(literal.unwrap_or(IpAddr::from([0, 0, 0, 0])), port);
    let tls = scheme == UpstreamScheme::Https;
    // Only TLS needs it, and pingora copies it for each request.
    let sni = if tls { host } else { "" };
    let mut peer = HttpPeer::new(address, tls, sni.to_owned());
    match scheme {
        UpstreamScheme::Http => {}
        UpstreamScheme::Https => peer.options.alpn = ALPN::H2H1,
        UpstreamScheme::H2c => peer.options.set_http_version(2, 2),
    }
    let name = literal.is_none().then(|| ResolvedHost {
        host: host.to_owned(),
        port,
        found: ArcSwap::default(),
        first_lookup: watch::channel(false).0,
        next: AtomicUsize::new(0),
    });
    (peer, name)
}

/// Returns the CAs of the system, and reads them when they are first needed. pingora would read them at each start.
fn system_authorities() -> Arc<[WrappedX509]> {
    static FOUND: OnceLock<Arc<[WrappedX509]>> = OnceLock::new();
    if let Some(found) = FOUND.get() {
        return Arc::clone(found);
    }
    let usable = for_pingora(&system_roots::authorities());
    match usable.is_empty() {
        true => usable,
        false => Arc::clone(FOUND.get_or_init(|| usable)),
    }
}

/// Converts CAs. pingora panics on a certificate that it cannot parse; those of a [`CaBundle`] were checked.
fn for_pingora(ca: &CaBundle) -> Arc<[WrappedX509]> {
    ca.iter()
        .map(|der| WrappedX509::new(der.to_vec(), parse_x509))
        .collect()
}

fn client_cert_key(client: &TlsIdentity) -> Arc<CertKey> {
    let chain = client.chain().iter().map(|der| der.to_vec()).collect();
    Arc::new(CertKey::new(chain, client.key().secret_der().to_vec()))
}

/// Returns the key that separates connections in pingora's pool by their CA and their client certificate. pingora
/// itself compares only the serial number of the certificate.
fn pool_key(upstream: &Upstream) -> u64 {
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
    async fn dropped_upstream_is_no_longer_resolved() {
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
        peer.first_lookup().await;
        assert!(peer.get().is_some());
        let name = Arc::downgrade(peer.name.as_ref().unwrap());
        drop(peer);
        while name.upgrade().is_some() {
            tokio::task::yield_now().await;
        }
    }
}
