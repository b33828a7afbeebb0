//! How long to wait before the next attempt: exponential backoff with jitter.

use std::time::Duration;

/// A connection that lasted so long did not fail.
const GOOD: Duration = Duration::from_secs(1);

/// The largest part of a pause that jitter takes away.
const JITTER: f64 = 0.5;

/// Shortens a period at random, so that many processes do not act at the same moment.
#[derive(Debug, Clone, Copy)]
pub struct Jitter(fn() -> f64);

impl Jitter {
    /// Another length each time.
    pub const RANDOM: Self = Self(random);

    /// Always the same random number, from 0 to 1.
    #[cfg(test)]
    pub(crate) const fn fixed(number: fn() -> f64) -> Self {
        Self(number)
    }

    /// Shortens a period by at most a part of it. It never becomes longer.
    pub fn shorten(self, period: Duration, at_most: f64) -> Duration {
        period.mul_f64(1.0 - at_most * (self.0)().clamp(0.0, 1.0))
    }
}

/// Returns a number from 0 to 1.
fn random() -> f64 {
    f64::from(uuid::Uuid::new_v4().as_fields().0) / f64::from(u32::MAX)
}

/// The pauses between attempts: doubled after each failure, up to the longest.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
    jitter: Jitter,
}

impl Backoff {
    /// Begins with the first pause.
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self {
            first,
            longest,
            next: first,
            jitter: Jitter::RANDOM,
        }
    }

    /// Takes other jitter.
    #[cfg(test)]
    pub(crate) const fn with(self, jitter: Jitter) -> Self {
        Self { jitter, ..self }
    }

    /// Returns the pause after an attempt that failed.
    pub fn pause(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(self.longest);
        self.jitter.shorten(pause, JITTER)
    }

    /// Begins anew: an attempt succeeded.
    pub fn reset(&mut self) {
        self.next = self.first;
    }

    /// Returns the pause after a connection that lasted for a time: none if it was a good one.
    pub fn pause_after(&mut self, lasted: Duration) -> Duration {
        if lasted >= GOOD {
            self.reset();
            return Duration::ZERO;
        }
        self.pause()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_millis(50);
    const LONGEST: Duration = Duration::from_secs(2);

    fn backoff(number: fn() -> f64) -> Backoff {
        Backoff::new(FIRST, LONGEST).with(Jitter::fixed(number))
    }

    #[test]
    fn pause_after_each_failure_doubles_up_to_the_longest() {
        let mut backoff = backoff(|| 0.0);
        let taken: Vec<_> = (0..8)
            .map(|_| backoff.pause_after(Duration::ZERO).as_millis())
            .collect();
        assert_eq!(taken, [50, 100, 200, 400, 800, 1600, 2000, 2000]);
    }

    #[test]
    fn pause_with_most_jitter_is_half_as_long() {
        assert_eq!(backoff(|| 1.0).pause(), FIRST / 2);
    }

    #[test]
    fn connection_that_lasted_is_followed_by_no_pause_and_a_new_beginning() {
        let mut backoff = backoff(|| 0.0);
        assert_eq!([backoff.pause(), backoff.pause()], [FIRST, FIRST * 2]);
        assert_eq!(backoff.pause_after(GOOD), Duration::ZERO);
        assert_eq!(backoff.pause(), FIRST);
        backoff.reset();
        assert_eq!(backoff.pause(), FIRST);
    }

    #[test]
    fn random_pause_is_within_its_bounds() {
        for _ in 0..100 {
            let pause = Backoff::new(FIRST, LONGEST).pause();
            assert!((FIRST / 2..=FIRST).contains(&pause), "{pause:?}");
        }
    }
}
