//! The minimum rate of a request's body, and of a client that reads a response: bytes that trickle in, each just before a
//! timeout, would otherwise hold a request for ever. Reads no clock.

use std::time::{Duration, Instant};

/// The minimum rate.
#[derive(Debug, Clone, Copy)]
pub struct BodyRateLimits {
    /// The time that a body may take at any rate; also the most that one pause counts for.
    pub patience: Duration,
    /// The fewest bytes a second after that; 0 for any rate.
    pub rate: u64,
}

/// The rate of one body so far.
#[derive(Debug, Clone, Copy)]
pub struct BodyRate {
    last: Instant,
    spent: Duration,
    bytes: u64,
}

impl BodyRate {
    /// Starts when the head is complete.
    pub fn start(now: Instant) -> Self {
        Self {
            last: now,
            spent: Duration::ZERO,
            bytes: 0,
        }
    }

    /// Counts bytes that were received. Returns whether the body is still fast enough.
    pub fn is_fast_enough(&mut self, bytes: u64, now: Instant, limits: BodyRateLimits) -> bool {
        // A client's pause ends within `patience`; the upstream causes what is longer.
        self.spent += now.saturating_duration_since(self.last).min(limits.patience);
        self.last = now;
        self.bytes += bytes;
        let earned = self.bytes.checked_div(limits.rate).map(Duration::from_secs);
        earned.is_none_or(|earned| self.spent <= limits.patience.saturating_add(earned))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: BodyRateLimits = BodyRateLimits {
        patience: Duration::from_secs(10),
        rate: 100,
    };

    /// Returns the first of many pieces, one every so many seconds, that is too late.
    fn check(bytes: u64, every: u64, limits: BodyRateLimits) -> Option<u64> {
        let start = Instant::now();
        let mut pace = BodyRate::start(start);
        (1..1000).find(|n| !pace.is_fast_enough(bytes, start + Duration::from_secs(n * every), limits))
    }

    #[test]
    fn a_trickle_ends_and_a_slow_body_does_not() {
        assert_eq!(check(1, 1, LIMITS), Some(11));
        assert_eq!(check(100, 1, LIMITS), None);
        assert_eq!(check(1, 1, BodyRateLimits { rate: 0, ..LIMITS }), None);
    }

    #[test]
    fn a_pause_counts_for_no_more_than_the_patience() {
        assert_eq!(check(1000, 500, LIMITS), None);
    }
}
