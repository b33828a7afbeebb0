//! The revocations that this replica knows, read without a lock. The store adds to them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, Guard};
use parking_lot::Mutex;

use super::Unavailable;
use crate::revocation::{MAX_REVOCATIONS, Millis, Revocation, RevocationList, Revocations};

/// How often expired revocations are removed, in milliseconds.
const PURGE_EVERY: Millis = 60_000;

/// What is known at a moment.
#[derive(Debug, Clone)]
struct Known {
    list: RevocationList,
    /// When it was complete last; `None` for never.
    complete: Option<Instant>,
    /// Whether it is the whole truth by itself, and does not age.
    authoritative: bool,
    /// When those that are over were forgotten last.
    purged: Millis,
}

/// The revocations that are known.
#[derive(Debug)]
pub struct RevocationCache {
    known: ArcSwap<Known>,
    writing: Mutex<()>,
}

/// What was known when it was asked for. To be dropped soon.
#[derive(Debug)]
pub struct Snapshot(Guard<Arc<Known>>);

impl Snapshot {
    /// For a decision.
    pub fn view(&self) -> Revocations<'_> {
        let age = self.0.complete.map(|complete| match self.0.authoritative {
            true => Duration::ZERO,
            false => complete.elapsed(),
        });
        let list = &self.0.list;
        Revocations::Known { list, age }
    }

    /// The list.
    pub fn list(&self) -> &RevocationList {
        &self.0.list
    }
}

impl RevocationCache {
    /// Creates a list that only this process adds to: it is complete from the start.
    pub fn complete() -> Self {
        Self::new(Some(Instant::now()), true)
    }

    /// Creates a list that is incomplete until [`Self::mark_complete`] is called.
    pub fn incomplete() -> Self {
        Self::new(None, false)
    }

    fn new(complete: Option<Instant>, authoritative: bool) -> Self {
        Self {
            known: ArcSwap::from_pointee(Known {
                list: RevocationList::default(),
                complete,
                authoritative,
                purged: 0,
            }),
            writing: Mutex::default(),
        }
    }

    /// What is known now.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot(self.known.load())
    }

    /// Adds some, and forgets now and then those that are over.
    pub fn add(&self, revocations: &[Revocation], now: Millis) -> Result<(), Unavailable> {
        self.change(|known| {
            let is_full = known.list.len() + revocations.len() > MAX_REVOCATIONS;
            if is_full || now >= known.purged + PURGE_EVERY {
                known.list.purge(now);
                known.purged = now;
            }
            for revocation in revocations {
                known.list.add(revocation);
            }
            match known.list.len() > MAX_REVOCATIONS {
                true => Err(Unavailable::full("there is no room for more revocations")),
                false => Ok(()),
            }
        })
    }

    /// Says that the list was complete at a moment.
    pub fn mark_complete(&self, at: Instant) {
        let _infallible = self.change(|known| {
            known.complete = Some(at);
            Ok(())
        });
    }

    /// Changes a copy, and puts it in force if the change succeeds.
    fn change(&self, change: impl FnOnce(&mut Known) -> Result<(), Unavailable>) -> Result<(), Unavailable> {
        let _one_at_a_time = self.writing.lock();
        let mut known = Known::clone(&self.known.load());
        change(&mut known)?;
        self.known.store(Arc::new(known));
        Ok(())
    }
}
