//! Counts connections that fail before their first request, and logs a bounded number of them. A client chooses how many
//! there are, so neither takes a lock, and no label comes from a client.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use prometheus::IntCounter;

/// The most lines of a listener in a period of [`PERIOD`]; the next period says how many were left out.
const MOST: u64 = 20;

/// The period in which lines are counted.
const PERIOD: Duration = Duration::from_secs(10);

/// The failures of one kind on one listener.
#[derive(Debug)]
pub(super) struct FailureLog {
    listener: String,
    /// The message of each line.
    message: &'static str,
    /// The reasons, each with its counter.
    counters: Vec<(&'static str, IntCounter)>,
    lines: Lines,
}

impl FailureLog {
    /// Starts without failures.
    pub(super) fn new(
        listener: &str,
        message: &'static str,
        counters: impl IntoIterator<Item = (&'static str, IntCounter)>,
    ) -> Self {
        Self {
            listener: listener.to_owned(),
            message,
            counters: counters.into_iter().collect(),
            lines: Lines::new(),
        }
    }

    /// Records a failure with one of the reasons.
    pub(super) fn record(&self, peer: Option<IpAddr>, reason: &'static str, cause: &str) {
        for (known, counter) in &self.counters {
            if *known == reason {
                counter.inc();
            }
        }
        if let Some(left_out) = self.lines.ask(Instant::now()) {
            tracing::info!(
                listener = self.listener,
                peer = peer.map(tracing::field::display),
                reason,
                cause,
                left_out = (left_out > 0).then_some(left_out),
                "{}",
                self.message
            );
        }
    }
}

/// Limits the lines in each period.
#[derive(Debug)]
struct Lines {
    start: Instant,
    /// The number of the period in the upper half, and how many lines were asked for in it in the lower half.
    state: AtomicU64,
}

impl Lines {
    fn new() -> Self {
        Self {
            start: Instant::now(),
            state: AtomicU64::new(0),
        }
    }

    /// Asks for a line. Returns how many were left out since the last one, if the line is within the limit.
    fn ask(&self, now: Instant) -> Option<u64> {
        let period = now.duration_since(self.start).as_secs() / PERIOD.as_secs();
        let asked = |state: u64| state & u64::from(u32::MAX);
        let next = |state: u64| match state >> 32 == period {
            true => state.saturating_add(u64::from(asked(state) < u64::from(u32::MAX))),
            false => period << 32 | 1,
        };
        let before = self
            .state
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |state| Some(next(state)));
        let before = before.unwrap_or_default();
        match before >> 32 == period {
            true => (asked(before) < MOST).then_some(0),
            false => Some(asked(before).saturating_sub(MOST)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_period_are_limited_and_the_next_one_says_how_many_were_left_out() {
        let lines = Lines::new();
        let at = |seconds| lines.start + Duration::from_secs(seconds);
        let flood = |seconds| (0..1000).filter_map(|_| lines.ask(at(seconds))).collect::<Vec<_>>();
        assert_eq!(flood(0), vec![0; 20]);
        assert_eq!(flood(9), Vec::<u64>::new());
        assert_eq!(lines.ask(at(10)), Some(1980));
        assert_eq!(lines.ask(at(10)), Some(0));
        assert_eq!(lines.ask(at(35)), Some(0));
        assert_eq!(flood(39).len(), 19);
    }
}
