//! Idle connections to one upstream. No task watches an idle connection: `take` checks that it is still open, and
//! `evict_expired` closes the stale ones from time to time.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use parking_lot::Mutex;
use pingora::protocols::Stream;
use pingora::protocols::l4::socket::SocketAddr;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::task::coop::unconstrained;

use super::connection::PooledConnection;

/// The most idle connections of a thread. As many may rest.
const MAX_IDLE: usize = 128;

/// How long a connection rests. A server that sends the bytes of a body behind a head has sent them by then, even if
/// it waits for an acknowledgement in between, which Linux delays by 40 ms.
const REST: Duration = Duration::from_millis(100);

/// The connections to an upstream. All of them verified the same identity.
#[derive(Debug)]
pub(super) struct UpstreamPool {
    idle: Pool,
    timeout: Duration,
}

impl UpstreamPool {
    /// Creates an empty pool. The upstream may be silent for `timeout`, and a connection may be idle for `idle_timeout`.
    pub(super) fn new(timeout: Duration, idle_timeout: Duration) -> Self {
        Self {
            idle: Pool::new(idle_timeout),
            timeout,
        }
    }

    /// Returns how long the upstream may be silent.
    pub(super) const fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Takes the connection that was used last, if one to this address is open and was not idle for too long.
    pub(super) fn take(&self, address: &SocketAddr, now: Instant) -> Option<PooledConnection> {
        self.idle.take(address, now)
    }

    /// Puts a connection back that has been idle since a time.
    pub(super) fn put(&self, address: SocketAddr, connection: PooledConnection, since: Instant) {
        self.idle.put(address, connection, since, None);
    }

    /// Puts a connection back that is taken only if it is quiet after a while.
    pub(super) fn put_to_rest(&self, address: SocketAddr, connection: PooledConnection) {
        let now = Instant::now();
        self.idle.put(address, connection, now, Some(now + REST));
    }

    /// Closes connections that were idle for too long, and drops those that the upstream closed.
    pub(super) fn evict_expired(&self, now: Instant) {
        self.idle.evict_expired(now);
    }

    /// Returns how many connections to an address are idle and do not rest.
    pub(super) fn idle(&self, address: &SocketAddr, now: Instant) -> usize {
        self.idle
            .list
            .lock()
            .iter()
            .filter(|idle| idle.is_for(address, now))
            .count()
    }

    /// Closes the connection to an address that was idle for the longest time. Returns whether there was one.
    pub(super) fn close_oldest(&self, address: &SocketAddr, now: Instant) -> bool {
        let mut idle = self.idle.list.lock();
        let oldest = idle.iter().position(|idle| idle.is_for(address, now));
        oldest.map(|oldest| idle.remove(oldest)).is_some()
    }
}

/// The idle connections of a thread to an upstream, those that were used last at the end. Another thread takes the lock
/// only when it opens a connection.
struct Pool {
    list: Mutex<Vec<Idle>>,
    /// How long a connection may be idle.
    timeout: Duration,
}

/// An idle connection.
struct Idle {
    connection: PooledConnection,
    address: SocketAddr,
    since: Instant,
    /// When it may be taken, if it rests.
    rests_until: Option<Instant>,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").finish_non_exhaustive()
    }
}

impl Pool {
    fn new(timeout: Duration) -> Self {
        Self {
            list: Mutex::default(),
            timeout,
        }
    }

    /// Takes the connection to this address that was used last, if one is open and was not idle for too long: its
    /// service may be about to close it.
    fn take(&self, address: &SocketAddr, now: Instant) -> Option<PooledConnection> {
        let mut idle = self.list.lock();
        while let Some(at) = idle.iter().rposition(|idle| idle.is_for(address, now)) {
            let mut found = idle.remove(at);
            if found.is_recent(now, self.timeout) && is_open_and_idle(&mut found.connection.stream) {
                return Some(found.connection);
            }
        }
        None
    }

    /// Adds a connection that has no open exchange. Closes it if the thread has enough.
    fn put(&self, address: SocketAddr, connection: PooledConnection, since: Instant, rests_until: Option<Instant>) {
        let mut idle = self.list.lock();
        let is_alike = |idle: &&Idle| idle.rests_until.is_some() == rests_until.is_some();
        if idle.len() < MAX_IDLE || idle.iter().filter(is_alike).count() < MAX_IDLE {
            idle.push(Idle {
                connection,
                address,
                since,
                rests_until,
            });
        }
    }

    /// Drops connections that were idle for too long, or that the upstream closed.
    fn evict_expired(&self, now: Instant) {
        let is_usable =
            |idle: &mut Idle| idle.is_recent(now, self.timeout) && is_open_and_idle(&mut idle.connection.stream);
        self.list.lock().retain_mut(is_usable);
    }
}

impl Idle {
    /// Returns whether a request to an address may take it.
    fn is_for(&self, address: &SocketAddr, now: Instant) -> bool {
        self.address == *address && self.rests_until.is_none_or(|until| until <= now)
    }

    fn is_recent(&self, now: Instant, timeout: Duration) -> bool {
        now.duration_since(self.since) < timeout
    }
}

/// Returns whether a connection is open and has no bytes to read. Bytes on an idle connection would be taken for
/// the response to the next request.
fn is_open_and_idle(stream: &mut Stream) -> bool {
    let mut byte = [0];
    let mut byte = ReadBuf::new(&mut byte);
    let read = poll_fn(|cx| Pin::new(&mut *stream).poll_read(cx, &mut byte));
    unconstrained(read).now_or_never().is_none()
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::proxy::upstream::connection::{boxed, tcp};

    const WITHIN: Duration = Duration::from_secs(10);
    const IDLE: Duration = Duration::from_mins(1);

    /// An upstream that holds its end of each connection.
    struct Service(TcpListener);

    impl Service {
        async fn start() -> Self {
            Self(TcpListener::bind("127.0.0.1:0").await.unwrap())
        }

        fn address(&self) -> SocketAddr {
            SocketAddr::Inet(self.0.local_addr().unwrap())
        }

        async fn connected(&self) -> (Stream, TcpStream) {
            let stream = tcp(&self.0.local_addr().unwrap()).await.unwrap();
            (boxed(stream), self.0.accept().await.unwrap().0)
        }
    }

    fn idle_count(pool: &Pool) -> usize {
        pool.list.lock().len()
    }

    /// Waits until a condition holds.
    async fn until(mut holds: impl FnMut() -> bool) {
        tokio::time::timeout(WITHIN, async {
            while !holds() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await
        .unwrap();
    }

    #[tokio::test]
    async fn connection_put_last_is_taken_first() {
        let (service, other) = (Service::start().await, Service::start().await);
        let (pool, now) = (Pool::new(IDLE), Instant::now());
        let mut ends = Vec::new();
        let mut ids = Vec::new();
        for service in [&service, &service, &other] {
            let (stream, end) = service.connected().await;
            ids.push(stream.id());
            ends.push(end);
            pool.put(service.address(), stream.into(), now, None);
        }
        let taken: Vec<_> = [&service, &service, &service, &other]
            .map(|service| {
                pool.take(&service.address(), Instant::now())
                    .map(|connection| connection.stream.id())
            })
            .into();
        assert_eq!(taken, [Some(ids[1]), Some(ids[0]), None, Some(ids[2])]);
    }

    #[tokio::test]
    async fn connection_that_is_closed_or_has_bytes_to_read_is_not_taken() {
        let service = Service::start().await;
        let pool = Pool::new(IDLE);
        for speaks in [false, true] {
            let (stream, mut end) = service.connected().await;
            pool.put(service.address(), stream.into(), Instant::now(), None);
            let held = if speaks {
                end.write_all(b"HTTP/1.1 408 Request Timeout\r\n\r\n").await.unwrap();
                Some(end)
            } else {
                drop(end);
                None
            };
            until(|| {
                pool.evict_expired(Instant::now());
                idle_count(&pool) == 0
            })
            .await;
            assert!(pool.take(&service.address(), Instant::now()).is_none());
            drop(held);
        }
    }

    #[tokio::test]
    async fn connection_that_rests_is_taken_only_after_its_rest_and_only_if_quiet() {
        let service = Service::start().await;
        let pool = Pool::new(IDLE);
        let (stream, mut end) = service.connected().await;
        let long = Instant::now() + WITHIN;
        pool.put(service.address(), stream.into(), Instant::now(), Some(long));
        assert!(pool.take(&service.address(), Instant::now()).is_none());
        pool.evict_expired(Instant::now());
        assert_eq!(idle_count(&pool), 1);
        end.write_all(b"the body behind a 204").await.unwrap();
        until(|| {
            pool.evict_expired(Instant::now());
            idle_count(&pool) == 0
        })
        .await;

        let (stream, _end) = service.connected().await;
        pool.put(service.address(), stream.into(), Instant::now(), Some(Instant::now()));
        assert!(pool.take(&service.address(), Instant::now()).is_some());
    }

    #[tokio::test]
    async fn idle_connections_are_limited_in_number_and_time() {
        let service = Service::start().await;
        let (pool, now) = (Pool::new(IDLE), Instant::now());
        let mut ends = Vec::new();
        for _ in 0..=MAX_IDLE {
            let (stream, end) = service.connected().await;
            ends.push(end);
            pool.put(service.address(), stream.into(), now, None);
        }
        assert_eq!(idle_count(&pool), MAX_IDLE);
        pool.evict_expired(now + IDLE.checked_sub(Duration::from_millis(1)).unwrap());
        assert_eq!(idle_count(&pool), MAX_IDLE);
        pool.evict_expired(now + IDLE);
        assert_eq!(idle_count(&pool), 0);
    }
    #[tokio::test]
    async fn connection_that_was_idle_for_too_long_is_not_taken() {
        let service = Service::start().await;
        let (pool, now) = (Pool::new(Duration::from_secs(4)), Instant::now());
        for (after, is_taken) in [(3999, true), (4000, false), (60_000, false)] {
            let (stream, _end) = service.connected().await;
            pool.put(service.address(), stream.into(), now, None);
            let taken = pool.take(&service.address(), now + Duration::from_millis(after));
            assert_eq!(taken.is_some(), is_taken, "after {after} ms");
            assert_eq!(idle_count(&pool), 0, "after {after} ms");
        }
    }
}
