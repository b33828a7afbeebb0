//! How far the fetches of one source are, and what a request that misses a key waits for.
//! Rules only: the time is an argument.

use std::time::Duration;

use tokio::time::Instant;

/// The time between two fetches that requests ask for. In it, keys that are unknown stay so.
pub const COOLDOWN: Duration = Duration::from_secs(10);

/// A request may have looked at the keys just before a fetch was over.
const JUST_NOW: Duration = Duration::from_secs(1);

/// What a request that misses a key waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Nothing: the request is rejected.
    Nothing,
    /// Nothing, but a fetch has just ended: the keys are checked once more.
    CheckAgain,
    /// The end of the fetch under way.
    CurrentFetch,
    /// The end of a fetch that begins because of it.
    RequestFetch,
}

/// How far the fetches of one source are.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    under_way: bool,
    over: u64,
    ended: Option<Instant>,
    asked: Option<Instant>,
}

impl Progress {
    /// A fetch begins.
    pub fn begin(&mut self) {
        self.under_way = true;
    }

    /// The fetch is over, well or not.
    pub fn end(&mut self, now: Instant) {
        self.under_way = false;
        self.over += 1;
        self.ended = Some(now);
    }

    /// The number of fetches that are over.
    pub fn over(&self) -> u64 {
        self.over
    }

    /// There are no keys at all. Only the very first fetch is waited for.
    pub fn first_keys(&self, now: Instant) -> Wait {
        match self.over {
            0 => Wait::CurrentFetch,
            _ => self.check_again(now),
        }
    }

    /// There are keys, and not the one of a token. The fetch under way is waited for; else one is
    /// asked for, unless one was, well or not, within the cooldown.
    pub fn another_key(&mut self, now: Instant) -> Wait {
        if self.under_way {
            return Wait::CurrentFetch;
        }
        if self.asked.is_some_and(|asked| now < asked + COOLDOWN) {
            return self.check_again(now);
        }
        self.asked = Some(now);
        // Until it begins, others wait for it too.
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
    fn the_first_fetch_is_waited_for_and_no_other() {
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
    fn an_unknown_key_is_asked_for_once_in_a_cooldown() {
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
