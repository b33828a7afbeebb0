//! Ends a request over HTTP/2 that stalls. pingora waits without a limit for the rest of a body, even
//! after the upstream responded; over HTTP/1 it times each read.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// How often the watchdog checks its deadline.
const TICK: Duration = Duration::from_secs(1);

tokio::task_local! {
    /// The watchdog of the task: pingora makes the context of a request without a way to pass it in.
    static WATCHDOG: StallWatchdog;
}

/// Watches one request; a clone watches the same one. It has no deadline before the first `touch`.
#[derive(Debug, Clone)]
pub struct StallWatchdog(Arc<State>);

#[derive(Debug)]
struct State {
    began: Instant,
    /// In milliseconds since `began`.
    deadline: AtomicU64,
}

impl Default for StallWatchdog {
    fn default() -> Self {
        Self(Arc::new(State {
            began: Instant::now(),
            deadline: AtomicU64::new(u64::MAX),
        }))
    }
}

impl StallWatchdog {
    /// Serves a request; drops it and returns `None` if it stalls.
    pub async fn run<T>(serve: impl Future<Output = T>) -> Option<T> {
        let watch = Self::default();
        tokio::select! {
            biased;
            served = WATCHDOG.scope(watch.clone(), serve) => Some(served),
            () = watch.stalled() => None,
        }
    }

    /// Returns the watchdog of the request that the task serves, if it has one.
    pub fn of_request() -> Option<Self> {
        WATCHDOG.try_with(Clone::clone).ok()
    }

    /// Notes progress, and how long the next step may take.
    pub fn touch(&self, allowance: Duration) {
        let deadline = self.0.began.elapsed() + allowance;
        self.0.deadline.store(milliseconds(deadline), Ordering::Relaxed);
    }

    /// Resolves when the request made no progress within its allowance.
    async fn stalled(&self) {
        while milliseconds(self.0.began.elapsed()) < self.0.deadline.load(Ordering::Relaxed) {
            sleep(TICK).await;
        }
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
