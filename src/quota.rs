//! How often a caller may call: the generic cell rate algorithm (ITU-T I.371). A full bucket of
//! `limit` requests that refills evenly over `window`. The store keeps one number for each bucket:
//! when it will be full again. Pure; time is an argument.

use std::time::Duration;

/// Microseconds since the epoch.
pub type Micros = u64;

/// How many requests in what time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    limit: u64,
    interval: u64,
}

impl Rate {
    /// `limit` requests at once, and as many again over `window`. `None` if that is less than one
    /// request, or more than one a microsecond.
    pub fn new(limit: u64, window: Duration) -> Option<Self> {
        let window = u64::try_from(window.as_micros()).ok()?;
        let interval = window.checked_div(limit)?;
        (interval > 0).then_some(Self { limit, interval })
    }

    /// The most requests at once.
    pub const fn limit(self) -> u64 {
        self.limit
    }

    /// The time in which one request comes back, in microseconds.
    pub const fn interval(self) -> u64 {
        self.interval
    }

    /// The time in which an empty bucket fills, in microseconds.
    pub const fn full(self) -> u64 {
        self.interval * self.limit
    }

    /// Takes one request out of a bucket that would have been full at a moment, if there is one.
    /// With it comes when the bucket is full from now on.
    pub fn spend(self, full_at: Micros, now: Micros) -> (Spent, Micros) {
        // A bucket that was larger before owes no more than it holds now.
        let debt = full_at.saturating_sub(now).min(self.full());
        let after = debt + self.interval;
        let allowed = after <= self.full();
        let debt = if allowed { after } else { debt };
        (Spent::of(self, debt, allowed), now + debt)
    }
}

/// What became of a request for one more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spent {
    /// Whether there was one left.
    pub allowed: bool,
    /// How many are left.
    pub remaining: u64,
    /// When all are back.
    pub reset: Duration,
    /// When there is one, if there was none.
    pub retry_after: Duration,
}

impl Spent {
    /// The same, from how long a bucket takes to be full, in microseconds.
    pub fn of(rate: Rate, debt: u64, allowed: bool) -> Self {
        let room = rate.full().saturating_sub(debt);
        let lacking = if allowed {
            0
        } else {
            (debt + rate.interval).saturating_sub(rate.full())
        };
        Self {
            allowed,
            remaining: room / rate.interval,
            reset: Duration::from_micros(debt),
            retry_after: Duration::from_micros(lacking),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: Micros = 1_800_000_000_000_000;

    fn rate(limit: u64, seconds: u64) -> Rate {
        Rate::new(limit, Duration::from_secs(seconds)).unwrap()
    }

    #[test]
    fn so_many_pass_at_once_and_then_one_in_each_interval() {
        for limit in [1, 3, 7, 1000] {
            let rate = rate(limit, 60);
            let mut full_at = 0;
            for left in (0..limit).rev() {
                let (spent, next) = rate.spend(full_at, T);
                assert!(spent.allowed && spent.retry_after.is_zero());
                assert_eq!(spent.remaining, left);
                full_at = next;
            }
            let (spent, same) = rate.spend(full_at, T);
            assert_eq!((spent.allowed, spent.remaining, same), (false, 0, full_at), "{limit}");
            assert_eq!(spent.retry_after, Duration::from_micros(rate.interval()));
            let later = T + rate.interval();
            assert!(!rate.spend(full_at, later - 1).0.allowed);
            let (spent, next) = rate.spend(full_at, later);
            assert!(spent.allowed && !rate.spend(next, later).0.allowed);
        }
    }

    #[test]
    fn client_that_waits_for_retry_after_is_allowed() {
        let rate = rate(3, 10);
        let mut full_at = 0;
        for second in 0..100 {
            let now = T + second * 777_777;
            let (spent, next) = rate.spend(full_at, now);
            if !spent.allowed {
                let wait = u64::try_from(spent.retry_after.as_micros()).unwrap();
                assert!(rate.spend(next, now + wait).0.allowed, "{second}");
            }
            full_at = next;
        }
        assert!(
            rate.spend(full_at, T + 1_000_000_000).1 > full_at,
            "a bucket is never more than full"
        );
    }

    #[test]
    fn a_bucket_with_another_rate_has_room_after_one_of_its_own_intervals() {
        let used_up = |rate: Rate| (0..rate.limit()).fold(0, |full_at, _| rate.spend(full_at, T).1);
        let month = 30 * 24 * 3600;
        for (before, after) in [
            (rate(100, 100), rate(10, 100)),
            (rate(3, month), rate(1000, 60)),
            (rate(3, month), rate(1000, month)),
        ] {
            let full_at = used_up(before);
            let (spent, next) = after.spend(full_at, T);
            assert_eq!((spent.allowed, spent.remaining), (false, 0));
            let wait = u64::try_from(spent.retry_after.as_micros()).unwrap();
            assert!(wait <= after.interval(), "{wait}");
            assert!(!after.spend(next, T + wait - 1).0.allowed);
            assert!(after.spend(next, T + wait).0.allowed);
        }
    }

    #[test]
    fn rate_of_zero_or_beyond_a_microsecond_does_not_exist() {
        for (limit, micros) in [(0, 1), (2, 1), (1, 0)] {
            assert_eq!(Rate::new(limit, Duration::from_micros(micros)), None);
        }
        assert_eq!(Rate::new(u64::MAX, Duration::MAX), None);
    }
}
