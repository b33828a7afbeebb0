//! The deadline of every byte to a client. The time that Sidegate waits for a client to read adds up,
//! and the bytes that the client reads pay it off. So a client that reads nothing loses its connection
//! after `patience`, and one that reads a trickle a little later. A write that does not wait costs
//! nothing here: it reads no clock and sets no timer.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pingora::protocols::Stream;
use tokio::io::AsyncWrite as _;
use tokio::time::Instant;

use super::Guard;
use crate::proxy::pace::PaceLimits;
use crate::proxy::patience::Patience;

/// How long one client was waited for.
#[derive(Debug, Default)]
pub(super) struct WriteDeadline {
    timer: Patience,
    /// When the write that waits now began to wait.
    waits_since: Option<Instant>,
    /// Time waited that the client has not paid off.
    debt: Duration,
    expired: bool,
}

impl WriteDeadline {
    /// Whether the client has had its time. Nothing more is written to it.
    pub(super) const fn has_expired(&self) -> bool {
        self.expired
    }

    /// Passes the result of a write on, which is a number of bytes. A write that waits fails once the
    /// client has had its time.
    pub(super) fn bound(
        &mut self,
        written: Poll<io::Result<usize>>,
        limits: PaceLimits,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        match &written {
            Poll::Ready(Ok(bytes)) if self.waits_since.is_some() || !self.debt.is_zero() => {
                self.pay(*bytes, limits.rate);
                written
            }
            Poll::Ready(_) => written,
            Poll::Pending => {
                let since = *self.waits_since.get_or_insert_with(Instant::now);
                let end = since + limits.patience.saturating_sub(self.debt);
                ready!(self.timer.poll_until(end, cx));
                self.expired = true;
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
        }
    }

    fn pay(&mut self, bytes: usize, rate: u64) {
        if let Some(since) = self.waits_since.take() {
            self.debt += since.elapsed();
        }
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        // Without a rate, each step pays for all.
        let paid = bytes.saturating_mul(1_000_000).checked_div(rate);
        self.debt = paid.map_or(Duration::ZERO, |paid| {
            self.debt.saturating_sub(Duration::from_micros(paid))
        });
    }
}

impl Guard {
    /// Writes to the client in some way. Everything that a client is sent passes here.
    pub(super) fn poll_write_inner(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut Stream>, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if self.write_deadline.has_expired() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let written = write(Pin::new(&mut self.inner), cx);
        self.write_deadline.bound(written, self.limits.reading, cx)
    }

    /// Writes what is left, and says that nothing follows.
    pub(super) fn poll_shutdown_inner(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shutdown = self.poll_write_inner(cx, |inner, cx| inner.poll_shutdown(cx).map_ok(|()| 0));
        shutdown.map_ok(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::time::{sleep, timeout};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    const LIMITS: PaceLimits = PaceLimits {
        patience: Duration::from_secs(10),
        rate: 100,
    };

    /// The write, counted from one, that fails when each waits so long and then takes so many bytes.
    async fn failing_write(waits: Duration, bytes: usize, limits: PaceLimits) -> Option<usize> {
        let mut deadline = WriteDeadline::default();
        for write in 1..=200 {
            let mut ready = Box::pin(sleep(waits));
            let written = poll_fn(|cx| {
                let written = ready.as_mut().poll(cx).map(|()| Ok(bytes));
                deadline.bound(written, limits, cx)
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
        let any_rate = PaceLimits { rate: 0, ..LIMITS };
        for (waits, bytes, limits, want) in [
            (SECOND * 11, 1000, LIMITS, Some(1)),
            (SECOND * 11, 1000, any_rate, Some(1)),
            // A trickle: ten bytes a second.
            (SECOND, 10, LIMITS, Some(12)),
            (SECOND, 10, any_rate, None),
            (SECOND * 5, 50, LIMITS, Some(3)),
            // Slow, and fast enough.
            (SECOND, 100, LIMITS, None),
            (SECOND * 9, 900, LIMITS, None),
            // Nothing waits, whatever it takes.
            (Duration::ZERO, 0, LIMITS, None),
        ] {
            let failed = failing_write(waits, bytes, limits).await;
            assert_eq!(failed, want, "{waits:?} {bytes} {limits:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_that_is_done_leaves_no_deadline_behind() {
        let mut deadline = WriteDeadline::default();
        let waits = poll_fn(|cx| deadline.bound(Poll::Pending, LIMITS, cx));
        assert!(timeout(SECOND * 9, waits).await.is_err());
        let done = poll_fn(|cx| deadline.bound(Poll::Ready(Ok(2000)), LIMITS, cx)).await;
        assert_eq!(done.unwrap(), 2000);
        sleep(SECOND * 60).await;
        let begin = Instant::now();
        let waits = poll_fn(|cx| deadline.bound(Poll::Pending, LIMITS, cx));
        assert!(waits.await.is_err());
        assert_eq!(begin.elapsed().as_secs(), 10);
    }
}
