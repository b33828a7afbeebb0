//! Upstreams: their addresses, the connections to them, and sessions over those.

use std::net::{IpAddr, SocketAddr as InetAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pingora::protocols::l4::socket::SocketAddr;
use pingora::{Error, ErrorType, Result};
use tokio::time::timeout;

use crate::policy::{self, UpstreamAddress, UpstreamScheme};

mod connection;
mod pool;
mod resolve;
mod session;
mod tls;

use pool::UpstreamPool;
use resolve::ResolvedHost;
pub(in crate::proxy) use session::{UpstreamEvent, UpstreamSession};
use tls::UpstreamTls;

/// The upstream of one policy.
#[derive(Debug)]
pub struct Upstream {
    address: Address,
    tls: Option<Arc<UpstreamTls>>,
    connect_timeout: Duration,
    pool: Arc<UpstreamPool>,
}

#[derive(Debug)]
enum Address {
    Fixed(SocketAddr),
    Resolved(ResolvedHost),
}

impl Upstream {
    /// Prepares the connections to an upstream, and begins to resolve its name.
    pub fn start(upstream: &policy::Upstream) -> Result<Self, String> {
        let tls = match &upstream.address {
            UpstreamAddress::Unix(_) => None,
            UpstreamAddress::Network { scheme, host, .. } => match scheme {
                UpstreamScheme::Https => Some(Arc::new(UpstreamTls::new(host, upstream)?)),
                UpstreamScheme::Http | UpstreamScheme::H2c => None,
            },
        };
        if let Some(tls) = &tls {
            let tls = Arc::clone(tls);
            // If this fails, the first connection tries it again.
            tokio::spawn(async move { tls.prepare().await });
        }
        Ok(Self {
            address: Address::start(&upstream.address)?,
            tls,
            connect_timeout: upstream.connect_timeout,
            pool: Arc::new(UpstreamPool::new(upstream.timeout)),
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
    }

    /// Returns the next address. Returns `None` if the name has none.
    pub(in crate::proxy) fn address(&self) -> Option<SocketAddr> {
        match &self.address {
            Address::Fixed(address) => Some(address.clone()),
            Address::Resolved(name) => name.address(),
        }
    }

    /// Begins a session over an idle connection to an address, if one is open.
    pub(in crate::proxy) fn take(&self, address: &SocketAddr, _needs_http1: bool) -> Option<UpstreamSession> {
        let connection = self.pool.take(address)?;
        Some(UpstreamSession::http1(&self.pool, address, connection))
    }

    /// Begins a session over a new connection to an address. For a WebSocket it `needs_http1`.
    pub(in crate::proxy) async fn connect(&self, address: &SocketAddr, needs_http1: bool) -> Result<UpstreamSession> {
        match timeout(self.connect_timeout, self.begin(address, needs_http1)).await {
            Ok(session) => session.map_err(Error::into_up),
            Err(_) => Err(Error::explain(ErrorType::ConnectTimedout, "connecting to the service").into_up()),
        }
    }

    async fn begin(&self, address: &SocketAddr, needs_http1: bool) -> Result<UpstreamSession> {
        let stream = match (address, &self.tls) {
            (SocketAddr::Inet(address), Some(tls)) => {
                let transport = connection::tcp(address).await?;
                connection::boxed(tls.handshake(transport, needs_http1).await?)
            }
            (SocketAddr::Inet(address), None) => connection::boxed(connection::tcp(address).await?),
            (SocketAddr::Unix(address), _) => connection::boxed(connection::unix(address).await?),
        };
        Ok(UpstreamSession::http1(&self.pool, address, stream.into()))
    }
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
