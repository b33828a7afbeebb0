//! The deadline of every byte to a client. The time that Sidegate waits for a client to read adds up,
//! and the bytes that the client reads pay it off. So a client that reads nothing loses its connection
//! after `patience`, and one that reads a trickle a little later. A write that does not wait costs
//! nothing here: it reads no clock and sets no timer.
//!
//! A socket takes more only once a third of its buffer is free, which may be a megabyte. So a write
//! can wait for long although the client reads: what counts is what the client acknowledges.

use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::Instant;

use crate::proxy::body_rate::BodyRateLimits;
use crate::proxy::deadline::ReusableTimer;

/// How long one client was waited for.
#[derive(Debug, Default)]
pub(super) struct WriteDeadline {
    timer: ReusableTimer,
    wait: Option<Wait>,
    /// Time waited that the client has not paid off.
    debt: Duration,
    expired: bool,
}

/// A write that waits: since when the time is not counted yet, and the bytes acknowledged until then.
#[derive(Debug, Clone, Copy)]
struct Wait {
    since: Instant,
    acknowledged: u64,
}

impl WriteDeadline {
    /// Whether the client has had its time. Nothing more is written to it.
    pub(super) const fn has_expired(&self) -> bool {
        self.expired
    }

    /// Passes the result of a write on, which is a number of bytes. A write that waits fails once the
    /// client has had its time; `acknowledged` is how many bytes the client has taken so far.
    pub(super) fn bound(
        &mut self,
        written: Poll<io::Result<usize>>,
        limits: BodyRateLimits,
        acknowledged: impl Fn() -> u64,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        match &written {
            Poll::Ready(Ok(bytes)) if self.wait.is_some() || !self.debt.is_zero() => {
                self.pay(u64::try_from(*bytes).unwrap_or(u64::MAX), limits.rate);
                written
            }
            Poll::Ready(_) => written,
            Poll::Pending => loop {
                let now = || Wait {
                    since: Instant::now(),
                    acknowledged: acknowledged(),
                };
                let wait = *self.wait.get_or_insert_with(now);
                let end = wait.since + limits.patience.saturating_sub(self.debt);
                ready!(self.timer.poll_until(end, cx));
                let taken = acknowledged().saturating_sub(wait.acknowledged);
                self.pay(taken, limits.rate);
                if taken == 0 || self.debt >= limits.patience {
                    self.expired = true;
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
            },
        }
    }

    fn pay(&mut self, bytes: u64, rate: u64) {
        if let Some(wait) = self.wait.take() {
            self.debt += wait.since.elapsed();
        }
        // Without a rate, each step pays for all.
        let paid = bytes.saturating_mul(1_000_000).checked_div(rate);
        self.debt = paid.map_or(Duration::ZERO, |paid| {
            self.debt.saturating_sub(Duration::from_micros(paid))
        });
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::time::{sleep, timeout};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    const LIMITS: BodyRateLimits = BodyRateLimits {
        patience: Duration::from_secs(10),
        rate: 100,
    };

    /// The write, counted from one, that fails when each waits so long and then takes so many bytes,
    /// while the client acknowledges so many a second.
    async fn failing_write(waits: Duration, bytes: usize, rate: u64, limits: BodyRateLimits) -> Option<usize> {
        let mut deadline = WriteDeadline::default();
        let begin = Instant::now();
        for write in 1..=200 {
            let mut ready = Box::pin(sleep(waits));
            let written = poll_fn(|cx| {
                let written = ready.as_mut().poll(cx).map(|()| Ok(bytes));
                deadline.bound(written, limits, || begin.elapsed().as_secs() * rate, cx)
            });
            if written.await.is_err() {
                assert!(deadline.has_expired());
                return Some(write);
            }
        }
        None
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_that_waits_fails_once_the_client_has_had_its_time() {
        let any_rate = BodyRateLimits { rate: 0, ..LIMITS };
        for (waits, bytes, rate, limits, want) in [
            (SECOND * 11, 1000, 0, LIMITS, Some(1)),
            (SECOND * 11, 1000, 0, any_rate, Some(1)),
            // A trickle: ten bytes a second.
            (SECOND, 10, 0, LIMITS, Some(12)),
            (SECOND, 10, 0, any_rate, None),
            (SECOND * 5, 50, 0, LIMITS, Some(3)),
            // Slow, and fast enough.
            (SECOND, 100, 0, LIMITS, None),
            (SECOND * 9, 900, 0, LIMITS, None),
            // The socket takes nothing for long, while the client reads, fast enough or not.
            (SECOND * 1000, 100_000, 100, LIMITS, None),
            (SECOND * 1000, 1, 10, any_rate, None),
            (SECOND * 1000, 10_000, 10, LIMITS, Some(1)),
            // Nothing waits, whatever it takes.
            (Duration::ZERO, 0, 0, LIMITS, None),
        ] {
            let failed = failing_write(waits, bytes, rate, limits).await;
            assert_eq!(failed, want, "{waits:?} {bytes} {rate} {limits:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_that_is_done_leaves_no_deadline_behind() {
        let mut deadline = WriteDeadline::default();
        let waits = poll_fn(|cx| deadline.bound(Poll::Pending, LIMITS, || 0, cx));
        assert!(timeout(SECOND * 9, waits).await.is_err());
        let done = poll_fn(|cx| deadline.bound(Poll::Ready(Ok(2000)), LIMITS, || 0, cx)).await;
        assert_eq!(done.unwrap(), 2000);
        sleep(SECOND * 60).await;
        let begin = Instant::now();
        let waits = poll_fn(|cx| deadline.bound(Poll::Pending, LIMITS, || 0, cx));
        assert!(waits.await.is_err());
        assert_eq!(begin.elapsed().as_secs(), 10);
    }
}
