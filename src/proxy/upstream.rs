//! Upstreams: their addresses, the connections to them, and sessions over those.

use std::net::{IpAddr, SocketAddr as InetAddr};
use std::sync::Arc;
use std::time::Instant;

use pingora::protocols::l4::socket::SocketAddr;
use pingora::{Error, ErrorType, Result};

use crate::policy::{self, UpstreamAddress, UpstreamScheme};

mod connection;
mod connector;
mod http2;
mod pool;
mod resolve;
mod session;
mod tls;

use connector::{Connected, Connector};
use http2::StreamSlot;
use http2::pool::{Http2Pool, Opened, Opening};
use pool::UpstreamPool;
use resolve::ResolvedHost;
pub(in crate::proxy) use session::{UpstreamEvent, UpstreamSession};
use tls::UpstreamTls;

/// The context of an error while a connection is opened.
const CONNECTING: &str = "connecting to the service";

/// The upstream of one policy.
#[derive(Debug)]
pub struct Upstream {
    address: Address,
    connector: Arc<Connector>,
    pool: Arc<UpstreamPool>,
    http2: Arc<Http2Pool>,
}

#[derive(Debug)]
enum Address {
    Fixed(SocketAddr),
    Resolved(ResolvedHost),
}

impl Upstream {
    /// Prepares the connections to an upstream, and begins to resolve its name.
    pub fn start(upstream: &policy::Upstream) -> Result<Self, String> {
        let (scheme, tls) = match &upstream.address {
            UpstreamAddress::Unix(_) => (UpstreamScheme::Http, None),
            UpstreamAddress::Network { scheme, host, .. } => {
                let is_tls = *scheme == UpstreamScheme::Https;
                (*scheme, is_tls.then(|| UpstreamTls::new(host, upstream)).transpose()?)
            }
        };
        let connector = Arc::new(Connector::new(scheme, tls, upstream.connect_timeout));
        if connector.is_tls() {
            let connector = Arc::clone(&connector);
            tokio::spawn(async move { connector.prepare().await });
        }
        Ok(Self {
            address: Address::start(&upstream.address)?,
            connector,
            pool: Arc::new(UpstreamPool::new(upstream.timeout)),
            http2: Arc::default(),
        })
    }

    /// Waits until its name was looked up once, even if that failed.
    pub async fn first_lookup(&self) {
        if let Address::Resolved(name) = &self.address {
            name.first_lookup().await;
        }
    }

    /// Closes connections that were idle for too long, and drops those that the upstream closed.
    pub fn evict_expired(&self, now: Instant) {
        self.pool.evict_expired(now);
        self.http2.evict_expired(now);
    }

    /// Returns the next address. Returns `None` if the name has none.
    pub(in crate::proxy) fn address(&self) -> Option<SocketAddr> {
        match &self.address {
            Address::Fixed(address) => Some(address.clone()),
            Address::Resolved(name) => name.address(),
        }
    }

    /// Begins a session over an open connection to an address, if one has room. For a WebSocket it `needs_http1`.
    pub(in crate::proxy) fn take(&self, address: &SocketAddr, needs_http1: bool) -> Option<UpstreamSession> {
        if self.connector.offers_http2()
            && !needs_http1
            && let Some(slot) = self.http2.take(address)
        {
            return Some(self.stream(slot));
        }
        let connection = self.pool.take(address)?;
        Some(UpstreamSession::http1(&self.pool, address, connection))
    }

    /// Begins a session over a new connection to an address. Requests may share the connection over HTTP/2. For a
    /// WebSocket it `needs_http1`, unless the upstream speaks HTTP/2 alone.
    pub(in crate::proxy) async fn connect(&self, address: &SocketAddr, needs_http1: bool) -> Result<UpstreamSession> {
        self.connector.within(self.begin(address, needs_http1)).await
    }

    async fn begin(&self, address: &SocketAddr, needs_http1: bool) -> Result<UpstreamSession> {
        if self.connector.offers_http2() && !needs_http1 {
            while let Some((opened, opening)) = self.http2.join(address) {
                if let Some(opening) = opening {
                    tokio::spawn(open(opening, Arc::clone(&self.connector), address.clone()));
                }
                match opened.await {
                    Ok(Opened::Stream(slot)) => return Ok(self.stream(slot)),
                    Ok(Opened::Full) => {}
                    Ok(Opened::Http1(Some(connection))) => {
                        return Ok(UpstreamSession::http1(&self.pool, address, connection));
                    }
                    Ok(Opened::Http1(None)) => break,
                    Ok(Opened::Failed(kind, Some(cause))) => return Error::e_because(kind, CONNECTING, cause),
                    Ok(Opened::Failed(kind, None)) => return Error::e_explain(kind, CONNECTING),
                    Err(_) => return Error::e_explain(ErrorType::ConnectError, "opening a connection was given up"),
                }
            }
        }
        match self.connector.connect(address, needs_http1).await? {
            Connected::Http1(connection) => Ok(UpstreamSession::http1(&self.pool, address, connection)),
            Connected::Http2(connection) => match self.http2.add(address, connection) {
                Some(slot) => Ok(self.stream(slot)),
                None => Error::e_explain(ErrorType::ConnectError, "a new connection has no room"),
            },
        }
    }

    fn stream(&self, slot: StreamSlot) -> UpstreamSession {
        UpstreamSession::http2(slot, self.connector.is_tls(), self.pool.timeout())
    }
}

/// Opens a connection for all requests that wait for it. In a task of its own, so that it does not end with the
/// request that began it.
async fn open(opening: Opening, connector: Arc<Connector>, address: SocketAddr) {
    let opened = connector.within(connector.connect(&address, false)).await;
    opening.finish(opened);
}

impl Address {
    fn start(address: &UpstreamAddress) -> Result<Self, String> {
        match address {
            UpstreamAddress::Unix(path) => {
                let address = std::os::unix::net::SocketAddr::from_pathname(path);
                let too_long = |_| format!("`{}` is too long for a socket", path.display());
                Ok(Self::Fixed(SocketAddr::Unix(address.map_err(too_long)?)))
            }
            UpstreamAddress::Network { host, port, .. } => Ok(match host.parse::<IpAddr>() {
                Ok(ip) => Self::Fixed(SocketAddr::Inet(InetAddr::new(ip, *port))),
                Err(_) => Self::Resolved(ResolvedHost::start(host, *port)),
            }),
        }
    }
}

#[cfg(test)]
mod tests;
