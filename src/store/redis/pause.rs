//! How long to wait before the next attempt. Rules only: time and randomness are arguments.

use std::time::Duration;

/// The pause after an attempt that failed: doubled each time, up to the longest.
const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(2);

/// Whatever lasted so long was no failure.
const GOOD: Duration = Duration::from_secs(1);

/// The pauses between attempts.
#[derive(Debug)]
pub(super) struct Pauses {
    next: Duration,
}

impl Default for Pauses {
    fn default() -> Self {
        Self { next: FIRST }
    }
}

impl Pauses {
    /// The pause after an attempt that lasted so long. `jitter`, from 0 to 1, keeps many processes
    /// from trying at the same moment.
    pub(super) fn after(&mut self, lasted: Duration, jitter: f64) -> Duration {
        if lasted >= GOOD {
            *self = Self::default();
            return Duration::ZERO;
        }
        let pause = self.next;
        self.next = (pause * 2).min(LONGEST);
        pause.mul_f64(1.0 - 0.5 * jitter.clamp(0.0, 1.0))
    }
}

/// A number from 0 to 1, another one each time.
pub(super) fn jitter() -> f64 {
    f64::from(uuid::Uuid::new_v4().as_fields().0) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let mut pauses = Pauses::default();
        let taken: Vec<_> = (0..8).map(|_| pauses.after(Duration::ZERO, 0.0).as_millis()).collect();
        assert_eq!(taken, [50, 100, 200, 400, 800, 1600, 2000, 2000]);
        assert_eq!(pauses.after(Duration::ZERO, 1.0), LONGEST / 2);
        assert_eq!(
            pauses.after(GOOD, 0.0),
            Duration::ZERO,
            "what was good is tried again at once"
        );
        assert_eq!(pauses.after(Duration::ZERO, 0.0), FIRST);
    }
}
