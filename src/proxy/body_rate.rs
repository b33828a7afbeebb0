//! The pace of a request's body, and of a client that reads: bytes that trickle in, each just before the engine loses its
//! patience, would keep a request for ever. Knows no clock.

use std::time::{Duration, Instant};

/// How fast a body has to come.
#[derive(Debug, Clone, Copy)]
pub struct BodyRateLimits {
    /// How long it may take in any case; also the most that one pause counts for.
    pub patience: Duration,
    /// The fewest bytes a second after that; 0 for any.
    pub rate: u64,
}

/// How a body has come so far.
#[derive(Debug, Clone, Copy)]
pub struct BodyRate {
    last: Instant,
    spent: Duration,
    bytes: u64,
}

impl BodyRate {
    /// The head is complete.
    pub fn start(now: Instant) -> Self {
        Self {
            last: now,
            spent: Duration::ZERO,
            bytes: 0,
        }
    }

    /// Some bytes came. Whether the body is still fast enough.
    pub fn is_fast_enough(&mut self, bytes: u64, now: Instant, limits: BodyRateLimits) -> bool {
        // A client's pause ends within the patience, so what is longer is the service's.
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

    /// Whether each of some pieces, one every so many seconds, is still in time.
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
