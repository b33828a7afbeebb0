//! Upstreams: their addresses, the connections to them, and sessions over those.

use std::sync::Arc;
use std::time::Instant;

use pingora::protocols::l4::socket::SocketAddr;
use pingora::{Error, ErrorType};

use crate::policy::{self, UpstreamAddress, UpstreamScheme};

mod addresses;
mod connection;
mod connector;
mod http2;
mod pool;
mod race;
mod resolve;
mod session;
mod target;
mod tls;

pub(in crate::proxy) use connection::{ConnectFailure, NO_ADDRESS};
use connector::{Connected, Connector};
use http2::StreamSlot;
use http2::pool::{Http2Pool, Opened, Opening};
use pool::UpstreamPool;
pub(in crate::proxy) use session::{UpstreamEvent, UpstreamSession};
pub(in crate::proxy) use target::Choice;
use target::Target;
use tls::UpstreamTls;

/// The upstream of one policy, with the connections of one serving thread.
#[derive(Debug)]
pub struct Upstream {
    connector: Arc<Connector>,
    pool: Arc<UpstreamPool>,
    http2: Arc<Http2Pool>,
    /// The pools of all threads.
    pools: Arc<[(Arc<UpstreamPool>, Arc<Http2Pool>)]>,
}

impl Upstream {
    /// Prepares the connections to an upstream for some threads, and begins to resolve its name.
    pub fn start(upstream: &policy::Upstream, threads: usize) -> Result<Vec<Self>, String> {
        let (scheme, tls) = match &upstream.address {
            UpstreamAddress::Unix(_) => (UpstreamScheme::Http, None),
            UpstreamAddress::Network { scheme, host, .. } => {
                let is_tls = *scheme == UpstreamScheme::Https;
                (*scheme, is_tls.then(|| UpstreamTls::new(host, upstream)).transpose()?)
            }
        };
        let target = Target::start(&upstream.address)?;
        let connector = Arc::new(Connector::new(target, scheme, tls, upstream.connect_timeout));
        if connector.is_tls() {
            let connector = Arc::clone(&connector);
            tokio::spawn(async move { connector.prepare().await });
        }
        let of_thread = |_| {
            let http1 = UpstreamPool::new(upstream.timeout, upstream.idle_timeout);
            (Arc::new(http1), Arc::new(Http2Pool::new(upstream.idle_timeout)))
        };
        let pools: Arc<[_]> = (0..threads).map(of_thread).collect();
        let threads = pools.iter().map(|(http1, http2)| Self {
            connector: Arc::clone(&connector),
            pool: Arc::clone(http1),
            http2: Arc::clone(http2),
            pools: Arc::clone(&pools),
        });
        Ok(threads.collect())
    }

    /// Closes one of the connections to an address that no request uses, if they are more than the threads. So the
    /// upstream has at most as many connections as there are requests with it at a time, and one more for each thread.
    fn make_room(&self, address: &SocketAddr, now: Instant) {
        let threads = self.pools.len();
        let idle =
            |(http1, http2): &(Arc<UpstreamPool>, Arc<Http2Pool>)| http1.idle(address, now) + http2.idle(address);
        let idle: Vec<_> = self.pools.iter().map(idle).collect();
        if idle.iter().sum::<usize>() <= threads {
            return;
        }
        let most = self.pools.iter().zip(idle).max_by_key(|(_, idle)| *idle);
        if let Some(((http1, http2), _)) = most
            && !http1.close_oldest(address, now)
        {
            http2.close_oldest(address);
        }
    }

    /// Waits until its name was looked up once, even if that failed.
    pub async fn first_lookup(&self) {
        self.connector.first_lookup().await;
    }

    /// Closes connections that were idle for too long, and drops those that the upstream closed.
    pub fn evict_expired(&self, now: Instant) {
        self.pool.evict_expired(now);
        self.http2.evict_expired(now);
    }

    /// Chooses the address for a request that begins.
    pub(in crate::proxy) fn choose(&self, now: Instant) -> Choice {
        self.connector.choose(now)
    }

    /// Begins a session over an open connection to the address, if one has room. For a WebSocket it `needs_http1`.
    pub(in crate::proxy) fn take(&self, choice: &Choice, needs_http1: bool, now: Instant) -> Option<UpstreamSession> {
        if choice.is_trial {
            return None;
        }
        let address = choice.address.as_ref()?;
        if self.connector.offers_http2()
            && !needs_http1
            && let Some(slot) = self.http2.take(address, now)
        {
            return Some(self.stream(slot, address.clone()));
        }
        let connection = self.pool.take(address, now)?;
        Some(UpstreamSession::http1(&self.pool, address.clone(), connection))
    }

    /// Begins a session over a new connection, to another address if the chosen one does not accept it. Requests may
    /// share the connection over HTTP/2. For a WebSocket it `needs_http1`, unless the upstream speaks HTTP/2 alone.
    pub(in crate::proxy) async fn connect(
        &self,
        choice: &Choice,
        needs_http1: bool,
    ) -> Result<UpstreamSession, ConnectFailure> {
        if let Some(address) = &choice.address {
            self.make_room(address, Instant::now());
        }
        self.connector.within(choice, self.begin(choice, needs_http1)).await
    }

    async fn begin(&self, choice: &Choice, needs_http1: bool) -> Result<UpstreamSession, ConnectFailure> {
        let failed = |why| {
            let error = Error::explain(ErrorType::ConnectError, why);
            Err(ConnectFailure::at(error, choice.address.as_slice()))
        };
        if self.connector.offers_http2() && !needs_http1 {
            while let Some((opened, opening)) = self.http2.join(choice.address.as_ref()) {
                if let Some(opening) = opening {
                    tokio::spawn(open(opening, Arc::clone(&self.connector), choice.clone()));
                }
                match opened.await {
                    Ok(Opened::Stream(slot, address)) => return Ok(self.stream(slot, address)),
                    Ok(Opened::Full) => {}
                    Ok(Opened::Http1(Some((connection, address)))) => {
                        return Ok(UpstreamSession::http1(&self.pool, address, connection));
                    }
                    Ok(Opened::Http1(None)) => break,
                    Ok(Opened::Failed(failure)) => return Err(failure),
                    Err(_) => return failed("opening a connection was given up"),
                }
            }
        }
        match self.connector.connect(choice, needs_http1).await? {
            (Connected::Http1(connection), address) => Ok(UpstreamSession::http1(&self.pool, address, connection)),
            (Connected::Http2(connection), address) => match self.http2.add(address.clone(), connection) {
                Some(slot) => Ok(self.stream(slot, address)),
                None => failed("a new connection has no room"),
            },
        }
    }

    fn stream(&self, slot: StreamSlot, address: SocketAddr) -> UpstreamSession {
        UpstreamSession::http2(slot, address, self.connector.is_tls(), self.pool.timeout())
    }
}

/// Opens a connection for all requests that wait for it. In a task of its own, so that it does not end with the
/// request that began it.
async fn open(opening: Opening, connector: Arc<Connector>, choice: Choice) {
    let opened = connector.connect(&choice, false).await;
    opening.finish(opened);
}

#[cfg(test)]
mod tests;
