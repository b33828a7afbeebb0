//! What the tests stand on: a running Sidegate, the service behind it, the callers in front of it,
//! and the issuers of their tokens and certificates.

pub(crate) mod certificates;
pub(crate) mod client;
pub(crate) mod frames;
pub(crate) mod front;
pub(crate) mod gateway;
pub(crate) mod h2_service;
pub(crate) mod http2;
pub(crate) mod issuer;
pub(crate) mod message;
pub(crate) mod name_server;
pub(crate) mod namespace;
pub(crate) mod prometheus;
pub(crate) mod redis;
pub(crate) mod setup;
pub(crate) mod threads;
pub(crate) mod toxic;
pub(crate) mod upstream;

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};

pub(crate) use client::{Wire, send};
pub(crate) use gateway::{Gateway, Shared};
pub(crate) use message::{Answer, Request, values};
pub(crate) use setup::Setup;
pub(crate) use threads::also_on_4_threads;
pub(crate) use upstream::{Reply, Upstream};

/// The tenant of everyone who is not someone else.
pub(crate) const TENANT: &str = "00000000-0000-4000-a000-000000000001";
/// Someone else's tenant.
pub(crate) const OTHER_TENANT: &str = "11111111-1111-4111-a111-111111111111";
/// The HMAC secret of the Wallet's issuer.
pub(crate) const SECRET: &str = "integration-secret-of-at-least-32-bytes!";
/// The internal key of the job scheduler.
pub(crate) const JOBS_KEY: &str = "integration-jobs-key-0123456789abcdef";

/// Nothing in these tests may take longer than this.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Something that one thread waits for and another lets happen.
#[derive(Clone, Default)]
pub(crate) struct Latch(Arc<(Mutex<bool>, Condvar)>);

impl Latch {
    /// A service that answers only once the latch is open.
    pub(crate) fn before(status: u16, body: &'static str) -> (Self, Upstream) {
        let latch = Self::default();
        let opened = latch.clone();
        let upstream = Upstream::start(move |_| {
            opened.wait();
            Reply::status(status, body)
        });
        (latch, upstream)
    }

    pub(crate) fn open(&self) {
        *self.0.0.lock() = true;
        self.0.1.notify_all();
    }

    pub(crate) fn wait(&self) {
        let mut open = self.0.0.lock();
        let deadline = Instant::now() + PATIENCE * 3;
        while !*open {
            assert!(
                !self.0.1.wait_until(&mut open, deadline).timed_out(),
                "nobody let it happen"
            );
        }
    }
}

/// Becomes true when this is dropped: what other threads do ends, even where a test fails before.
pub(crate) struct SetOnDrop<'a>(pub(crate) &'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The runtime of everything here that speaks HTTP/2 or asynchronous TLS.
pub(crate) fn runtime() -> &'static tokio::runtime::Runtime {
    static RUNTIME: OnceLock<tokio::runtime::Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap()
    })
}

/// Waits for `condition`, and says `what` never came true when it does not.
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// A number that no other caller in this process gets.
pub(crate) fn unique() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A port below the ephemeral range, so that no outgoing connection can take it in the meantime.
pub(crate) fn free_port() -> u16 {
    let first = std::process::id() as usize * 211;
    loop {
        let port = u16::try_from(12_000 + (first + unique()) % 20_000).unwrap();
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
