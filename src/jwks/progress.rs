//! The progress of the fetches of one source, and what a request that misses a key waits for. Pure: the time is an
//! argument.

use std::time::Duration;

use tokio::time::Instant;

/// The shortest time between two fetches that requests cause. Meanwhile, an unknown key stays unknown.
pub const COOLDOWN: Duration = Duration::from_secs(10);

/// How long after a fetch a request checks the keys again: it may have read them just before the fetch ended.
const JUST_NOW: Duration = Duration::from_secs(1);

/// What a request that misses a key waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Nothing: the request is rejected.
    Nothing,
    /// Nothing, but a fetch has just ended: the request checks the keys again.
    CheckAgain,
    /// The end of the fetch under way.
    CurrentFetch,
    /// The end of a fetch that begins because of it.
    RequestFetch,
}

/// The progress of the fetches of one source.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    under_way: bool,
    over: u64,
    ended: Option<Instant>,
    asked: Option<Instant>,
}

impl Progress {
    /// Records that a fetch begins.
    pub fn begin(&mut self) {
        self.under_way = true;
    }

    /// Records that the fetch ended, whatever its result.
    pub fn end(&mut self, now: Instant) {
        self.under_way = false;
        self.over += 1;
        self.ended = Some(now);
    }

    /// Returns the number of fetches that ended.
    pub fn over(&self) -> u64 {
        self.over
    }

    /// Returns what to wait for if the source has no keys at all: only for the very first fetch.
    pub fn first_keys(&self, now: Instant) -> Wait {
        match self.over {
            0 => Wait::CurrentFetch,
            _ => self.check_again(now),
        }
    }

    /// Returns what to wait for if the key of a token is missing: for the current fetch, or for a new one, unless
    /// a request caused one within the cooldown.
    pub fn another_key(&mut self, now: Instant) -> Wait {
        if self.under_way {
            return Wait::CurrentFetch;
        }
        if self.asked.is_some_and(|asked| now < asked + COOLDOWN) {
            return self.check_again(now);
        }
        self.asked = Some(now);
        // Until it begins, other requests wait for it, too.
        self.under_way = true;
        Wait::RequestFetch
    }

    fn check_again(&self, now: Instant) -> Wait {
        match self.ended.is_some_and(|ended| now < ended + JUST_NOW) {
            true => Wait::CheckAgain,
            false => Wait::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_without_keys_waits_for_the_first_fetch_only() {
        let now = Instant::now();
        let mut progress = Progress::default();
        assert_eq!(progress.first_keys(now), Wait::CurrentFetch);
        progress.begin();
        assert_eq!(progress.first_keys(now), Wait::CurrentFetch);
        progress.end(now);
        assert_eq!(progress.first_keys(now), Wait::CheckAgain);
        assert_eq!(progress.first_keys(now + JUST_NOW), Wait::Nothing);
        progress.begin();
        assert_eq!(progress.first_keys(now + JUST_NOW), Wait::Nothing);
    }

    #[test]
    fn unknown_key_causes_one_fetch_per_cooldown() {
        let now = Instant::now();
        let mut progress = Progress::default();
        progress.begin();
        assert_eq!(progress.another_key(now), Wait::CurrentFetch, "a fetch is under way");
        progress.end(now);
        assert_eq!(progress.another_key(now), Wait::RequestFetch);
        assert_eq!(progress.another_key(now), Wait::CurrentFetch, "the same fetch for all");
        progress.begin();
        assert_eq!(progress.another_key(now), Wait::CurrentFetch);
        progress.end(now);
        assert_eq!(progress.another_key(now), Wait::CheckAgain);
        let later = now + JUST_NOW;
        assert_eq!(progress.another_key(later), Wait::Nothing, "it is remembered");
        assert_eq!(progress.another_key(now + COOLDOWN), Wait::RequestFetch);
    }
}
