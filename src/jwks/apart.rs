//! Runs fetches on their own thread, so that a key server that keeps a fetch busy delays no request. The caller has
//! its own timeout.

use std::future::{Future, pending};
use std::io;
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::{Builder, Handle};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// The stack of the thread, enough for a TLS handshake. Unused pages take no memory.
const STACK: usize = 512 * 1024;

/// Runs a fetch on the thread, and waits for it no longer than the timeout. The fetch is aborted when the wait ends.
pub(super) async fn run<T: Send + 'static>(
    fetch: impl Future<Output = T> + Send + 'static,
    within: Duration,
) -> Result<T, String> {
    let mut fetching = JoinSet::new();
    fetching.spawn_on(fetch, &runtime()?);
    match timeout(within, fetching.join_next()).await {
        Ok(Some(Ok(fetched))) => Ok(fetched),
        Ok(_) => Err("the fetch ended without a result".into()),
        Err(_) => Err("it took too long".into()),
    }
}

/// Returns the runtime of the thread. The first fetch starts it, and it ends with the process. If it cannot be
/// started, the next fetch tries again.
fn runtime() -> Result<Handle, String> {
    static RUNTIME: Mutex<Option<Handle>> = Mutex::new(None);
    let mut runtime = RUNTIME.lock();
    if let Some(runtime) = &*runtime {
        return Ok(runtime.clone());
    }
    let started = start().map_err(|error| format!("no thread can be started: {error}"))?;
    Ok(runtime.insert(started).clone())
}

fn start() -> io::Result<Handle> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .thread_stack_size(STACK)
        .thread_name("sidegate-keys")
        .build()?;
    let handle = runtime.handle().clone();
    thread::Builder::new()
        .name("sidegate-keys".into())
        .stack_size(STACK)
        .spawn(move || runtime.block_on(pending::<()>()))?;
    Ok(handle)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use tokio::sync::oneshot;

    use super::*;

    const WITHIN: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn fetch_runs_on_its_own_thread_and_leaves_the_others_free() {
        let name = run(async { thread::current().name().map(str::to_owned) }, WITHIN).await;
        assert_eq!(name, Ok(Some("sidegate-keys".into())));
        // This fetch blocks its thread until the test, on another thread, releases it.
        let release = Arc::new(AtomicBool::new(false));
        let released = Arc::clone(&release);
        let busy = async move {
            while !released.load(Ordering::SeqCst) {
                thread::yield_now();
            }
        };
        let (busy, ()) = tokio::join!(run(busy, WITHIN), async { release.store(true, Ordering::SeqCst) });
        assert_eq!(busy, Ok(()));
    }

    #[tokio::test]
    async fn fetch_is_aborted_when_its_caller_stops_waiting() {
        let (held, ended) = oneshot::channel::<()>();
        let endless = async move {
            let _held = held;
            pending::<()>().await;
        };
        let waited = run(endless, Duration::from_millis(1)).await;
        assert_eq!(waited, Err("it took too long".into()));
        assert!(ended.await.is_err(), "its end drops what it holds");
    }

    #[tokio::test]
    async fn fetch_that_panics_fails_and_later_fetches_run() {
        let panics = async { assert!(thread::current().name().is_none(), "on purpose") };
        assert!(run(panics, WITHIN).await.is_err());
        assert_eq!(run(async { 1 }, WITHIN).await, Ok(1));
    }
}
