//! Connections to one service that wait for a next request. Nobody watches over one: who takes it
//! looks whether it is still there, and now and then it is looked over them all.

use std::fmt;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use pingora::protocols::Stream;
use pingora::protocols::l4::socket::SocketAddr;
use thread_local::ThreadLocal;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::task::coop::unconstrained;

/// The most connections that a thread keeps.
const MOST: usize = 128;

/// How long a connection may be idle.
const IDLE: Duration = Duration::from_mins(1);

/// The connections of a service. Each thread has its own; its lock is only ever waited for by
/// whoever looks them over.
#[derive(Default)]
pub(super) struct Pool(ThreadLocal<Mutex<Vec<Idle>>>);

/// One of them.
struct Idle {
    stream: Stream,
    address: SocketAddr,
    since: Instant,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").finish_non_exhaustive()
    }
}

impl Pool {
    /// Takes the connection that was used last, if there is one to this address.
    pub(super) fn take(&self, address: &SocketAddr) -> Option<Stream> {
        let mut idle = self.0.get()?.lock();
        while let Some(at) = idle.iter().rposition(|idle| idle.address == *address) {
            let mut found = idle.swap_remove(at);
            if is_quiet(&mut found.stream) {
                return Some(found.stream);
            }
        }
        None
    }

    /// Keeps a connection on which nothing is awaited any more.
    pub(super) fn put(&self, address: SocketAddr, stream: Stream, since: Instant) {
        let mut idle = self.0.get_or_default().lock();
        if idle.len() < MOST {
            idle.push(Idle { stream, address, since });
        }
    }

    /// Gives up what was idle for too long, or closed by the service.
    pub(super) fn look_over(&self, now: Instant) {
        for idle in self.0.iter() {
            idle.lock()
                .retain_mut(|idle| now.duration_since(idle.since) < IDLE && is_quiet(&mut idle.stream));
        }
    }
}

/// Whether nothing came. What comes unasked is the end of a connection, or the answer to somebody
/// else's request.
fn is_quiet(stream: &mut Stream) -> bool {
    let mut byte = [0];
    let mut byte = ReadBuf::new(&mut byte);
    let read = pin!(unconstrained(poll_fn(
        |cx| Pin::new(&mut *stream).poll_read(cx, &mut byte)
    )));
    read.poll(&mut Context::from_waker(Waker::noop())).is_pending()
}
