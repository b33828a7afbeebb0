//! Deadlines of waits, with one timer that is reused. It is set once, and again only when it fires: most
//! waits are short, and so touch nothing that threads share.

use std::fmt;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// A timer for one wait at a time.
#[derive(Default)]
pub struct ReusableTimer(Option<Pin<Box<Sleep>>>);

impl fmt::Debug for ReusableTimer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReusableTimer").finish_non_exhaustive()
    }
}

impl ReusableTimer {
    /// Polls until a point in time.
    pub fn poll_until(&mut self, end: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let timer = self.0.get_or_insert_with(|| Box::pin(sleep_until(end)));
        if timer.deadline() > end {
            timer.as_mut().reset(end);
        }
        loop {
            ready!(timer.as_mut().poll(cx));
            if timer.deadline() >= end {
                return Poll::Ready(());
            }
            timer.as_mut().reset(end);
        }
    }

    /// Waits at most as long as a limit. Reads no clock for what is ready at once.
    pub async fn within<T>(&mut self, limit: Duration, wait: impl Future<Output = T>) -> Option<T> {
        let mut wait = pin!(wait);
        let mut end = None;
        poll_fn(|cx| {
            if let Poll::Ready(done) = wait.as_mut().poll(cx) {
                return Poll::Ready(Some(done));
            }
            let end = *end.get_or_insert_with(|| Instant::now() + limit);
            self.poll_until(end, cx).map(|()| None)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use tokio::time::sleep;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn reused_timer_ends_each_wait_at_its_own_limit() {
        let mut timer = ReusableTimer::default();
        assert_eq!(timer.within(SECOND, ready(1)).await, Some(1));
        for (limit, wait, done) in [
            (SECOND, Some(SECOND / 2), true),
            // Longer than what is left on the timer, and shorter.
            (SECOND * 3, Some(SECOND * 2), true),
            (SECOND, None, false),
            (SECOND * 2, Some(SECOND), true),
            (SECOND * 60, Some(SECOND), true),
            (SECOND, None, false),
        ] {
            let begin = Instant::now();
            let waited = timer.within(limit, async {
                match wait {
                    Some(time) => sleep(time).await,
                    None => pending().await,
                }
            });
            assert_eq!(waited.await.is_some(), done);
            assert_eq!(begin.elapsed().as_secs(), wait.unwrap_or(limit).as_secs());
        }
    }
}
