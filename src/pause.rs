//! How long to wait before the next attempt. Rules only: time and randomness are arguments.

use std::time::Duration;

/// Whatever lasted so long was no failure.
const GOOD: Duration = Duration::from_secs(1);

/// The pauses between attempts: doubled after each failure, up to the longest.
#[derive(Debug)]
pub struct Pauses {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Pauses {
    /// Pauses from a first one to a longest one.
    pub const fn between(first: Duration, longest: Duration) -> Self {
        let next = first;
        Self { first, longest, next }
    }

    /// The pause after an attempt that failed. `jitter`, from 0 to 1, keeps many from trying at the
    /// same moment.
    pub fn next(&mut self, jitter: f64) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(self.longest);
        pause.mul_f64(1.0 - 0.5 * jitter.clamp(0.0, 1.0))
    }

    /// An attempt succeeded: the next failure is the first again.
    pub fn reset(&mut self) {
        self.next = self.first;
    }

    /// The pause after a connection that lasted so long.
    pub fn after(&mut self, lasted: Duration, jitter: f64) -> Duration {
        if lasted >= GOOD {
            self.reset();
            return Duration::ZERO;
        }
        self.next(jitter)
    }
}

/// A number from 0 to 1, another one each time.
pub fn jitter() -> f64 {
    f64::from(uuid::Uuid::new_v4().as_fields().0) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let (first, longest) = (Duration::from_millis(50), Duration::from_secs(2));
        let mut pauses = Pauses::between(first, longest);
        let taken: Vec<_> = (0..8).map(|_| pauses.after(Duration::ZERO, 0.0).as_millis()).collect();
        assert_eq!(taken, [50, 100, 200, 400, 800, 1600, 2000, 2000]);
        assert_eq!(pauses.next(1.0), longest / 2);
        assert_eq!(
            pauses.after(GOOD, 0.0),
            Duration::ZERO,
            "what was good is tried again at once"
        );
        assert_eq!(pauses.next(0.0), first);
        pauses.reset();
        assert_eq!(pauses.next(0.0), first);
    }
}
