//! Background tasks that a process needs for as long as it runs. One that panics ends the process, because what it kept
//! current would grow old unnoticed.

use std::panic::AssertUnwindSafe;
use std::sync::LazyLock;

use futures_util::FutureExt as _;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The task that panicked last.
static PANICKED: LazyLock<watch::Sender<Option<&'static str>>> = LazyLock::new(|| watch::channel(None).0);

/// Spawns a task of this name.
pub fn spawn(name: &'static str, task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    tokio::spawn(async move {
        if AssertUnwindSafe(task).catch_unwind().await.is_err() {
            PANICKED.send_replace(Some(name));
        }
    })
}

/// Waits until a task panics, and returns its name.
pub async fn panicked() -> &'static str {
    let mut panicked = PANICKED.subscribe();
    // It does not fail: the sender lasts as long as the process.
    let name = panicked.wait_for(Option::is_some).await;
    let name = name.ok().and_then(|name| *name);
    name.unwrap_or("unknown")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn task_that_panics_is_reported_and_one_that_ends_is_not() {
        spawn("ends", async {}).await.unwrap();
        assert!(panicked().now_or_never().is_none());
        let panics = spawn("panics", async {
            assert!(panicked().now_or_never().is_some(), "on purpose");
        });
        panics.await.unwrap();
        assert_eq!(panicked().await, "panics");
    }
}
