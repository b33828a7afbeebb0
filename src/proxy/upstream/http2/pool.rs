//! The HTTP/2 connections to one upstream. Requests wait for a connection that is being opened, as long as it is
//! expected to have room for them.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use pingora::protocols::l4::socket::SocketAddr;
use tokio::sync::oneshot;

use super::{Http2Connection, MAX_STREAMS, StreamSlot};
use crate::proxy::upstream::connection::{ConnectFailure, PooledConnection};
use crate::proxy::upstream::connector::Connected;

/// The most connections that no request uses.
const MAX_IDLE: usize = 128;

/// The HTTP/2 connections to an upstream.
pub(in crate::proxy::upstream) struct Http2Pool {
    state: Mutex<State>,
    /// How long a connection may be unused.
    idle_timeout: Duration,
}

struct State {
    connections: Vec<(SocketAddr, Arc<Http2Connection>)>,
    opening: Vec<Waiting>,
    /// How many requests a new connection is expected to take.
    expected: usize,
    /// Whether the upstream chose HTTP/1.1 last.
    prefers_http1: bool,
    next_id: u64,
}

/// The requests that wait for a connection.
struct Waiting {
    id: u64,
    /// The address that is tried first.
    address: Option<SocketAddr>,
    requests: Vec<oneshot::Sender<Opened>>,
}

/// What a request that waited for a connection receives.
pub(in crate::proxy::upstream) enum Opened {
    /// A stream of the connection, and its address.
    Stream(StreamSlot, SocketAddr),
    /// The connection is full.
    Full,
    /// The upstream chose HTTP/1.1. One request receives the connection.
    Http1(Option<(PooledConnection, SocketAddr)>),
    /// The connection failed.
    Failed(ConnectFailure),
}

/// A connection that is being opened. If it is dropped, the requests that wait receive nothing.
pub(in crate::proxy::upstream) struct Opening {
    pool: Arc<Http2Pool>,
    id: u64,
}

impl fmt::Debug for Http2Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http2Pool").finish_non_exhaustive()
    }
}

impl Http2Pool {
    /// Creates an empty pool. A connection may be unused for `idle_timeout`.
    pub(in crate::proxy::upstream) fn new(idle_timeout: Duration) -> Self {
        Self {
            state: Mutex::new(State {
                connections: Vec::new(),
                opening: Vec::new(),
                expected: MAX_STREAMS,
                prefers_http1: false,
                next_id: 0,
            }),
            idle_timeout,
        }
    }

    /// Takes room for a request on an open connection to an address, unless no request used it for too long. The
    /// oldest connection is filled first, so that others become idle.
    pub(in crate::proxy::upstream) fn take(&self, address: &SocketAddr, now: Instant) -> Option<StreamSlot> {
        let mut state = self.state.lock();
        let mut at = 0;
        while let Some((known, connection)) = state.connections.get(at) {
            if known == address
                && !connection.is_expired(now, self.idle_timeout)
                && let Some(slot) = connection.slot()
            {
                if connection.is_open() {
                    return Some(slot);
                }
                state.connections.remove(at);
            } else {
                at += 1;
            }
        }
        None
    }

    /// Waits for a connection with other requests that try the same address first. The request that receives an
    /// [`Opening`] has to open the connection. Returns `None` if the upstream chose HTTP/1.1 last.
    pub(in crate::proxy::upstream) fn join(
        self: &Arc<Self>,
        address: Option<&SocketAddr>,
    ) -> Option<(oneshot::Receiver<Opened>, Option<Opening>)> {
        let (sender, receiver) = oneshot::channel();
        let mut state = self.state.lock();
        if state.prefers_http1 {
            return None;
        }
        let expected = state.expected;
        let has_room =
            |waiting: &&mut Waiting| waiting.address.as_ref() == address && waiting.requests.len() < expected;
        if let Some(waiting) = state.opening.iter_mut().find(has_room) {
            waiting.requests.push(sender);
            return Some((receiver, None));
        }
        let id = state.next_id;
        state.next_id += 1;
        state.opening.push(Waiting {
            id,
            address: address.cloned(),
            requests: vec![sender],
        });
        let pool = Arc::clone(self);
        Some((receiver, Some(Opening { pool, id })))
    }

    /// Adds a connection, and takes room for a request on it.
    pub(in crate::proxy::upstream) fn add(
        &self,
        address: SocketAddr,
        connection: Arc<Http2Connection>,
    ) -> Option<StreamSlot> {
        let slot = connection.slot();
        let mut state = self.state.lock();
        state.prefers_http1 = false;
        state.connections.push((address, connection));
        slot
    }

    /// Returns how many connections to an address no request uses.
    pub(in crate::proxy::upstream) fn idle(&self, address: &SocketAddr) -> usize {
        let is_idle = |(known, connection): &&(SocketAddr, Arc<Http2Connection>)| {
            known == address && connection.idle_since().is_some()
        };
        self.state.lock().connections.iter().filter(is_idle).count()
    }

    /// Closes the connection to an address that no request used for the longest time.
    pub(in crate::proxy::upstream) fn close_oldest(&self, address: &SocketAddr) {
        let mut state = self.state.lock();
        let idle = state
            .connections
            .iter()
            .enumerate()
            .filter(|(_, (known, _))| known == address);
        let idle = idle.filter_map(|(at, (_, connection))| Some((connection.idle_since()?, at)));
        if let Some((_, at)) = idle.min() {
            state.connections.remove(at);
        }
    }

    /// Drops connections that were unused for too long, or that take no further requests.
    pub(in crate::proxy::upstream) fn evict_expired(&self, now: Instant) {
        let mut unused = 0;
        self.state.lock().connections.retain(|(_, connection)| {
            let is_recent = connection.idle_since().is_none_or(|since| {
                unused += 1;
                unused <= MAX_IDLE && now.duration_since(since) < self.idle_timeout
            });
            is_recent && connection.is_open()
        });
    }
}

impl Opening {
    /// Gives the connection to the requests that wait for it.
    pub(in crate::proxy::upstream) fn finish(self, opened: Result<(Connected, SocketAddr), ConnectFailure>) {
        let mut state = self.pool.state.lock();
        let Some(at) = state.opening.iter().position(|waiting| waiting.id == self.id) else {
            return;
        };
        let requests = state.opening.swap_remove(at).requests;
        match opened {
            Ok((Connected::Http2(connection), address)) => {
                state.expected = connection.limit().max(1);
                state.prefers_http1 = false;
                for request in requests {
                    let slot = connection.slot();
                    // If the request is gone, its room is free again.
                    let _ = request.send(slot.map_or(Opened::Full, |slot| Opened::Stream(slot, address.clone())));
                }
                state.connections.push((address, connection));
            }
            Ok((Connected::Http1(connection), address)) => {
                state.prefers_http1 = true;
                let mut connection = Some((connection, address));
                for request in requests {
                    if let Err(Opened::Http1(unsent)) = request.send(Opened::Http1(connection.take())) {
                        connection = unsent;
                    }
                }
            }
            Err(failure) => {
                for request in requests {
                    let _ = request.send(Opened::Failed(failure.again()));
                }
            }
        }
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        self.pool.state.lock().opening.retain(|waiting| waiting.id != self.id);
    }
}
