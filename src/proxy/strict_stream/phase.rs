//! The phase of a connection: what the next byte from the client belongs to.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

/// What the next byte from the client belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Phase {
    /// A new head: the first of the connection, or the next one after a response.
    BeforeHead,
    /// A head of which some bytes were read.
    Head,
    /// What follows a complete head.
    Body,
    /// HTTP/2 frames, until the connection ends.
    Http2,
    /// Another protocol, until the connection ends.
    Upgraded,
}

impl Phase {
    const ALL: [Self; 5] = [Self::BeforeHead, Self::Head, Self::Body, Self::Http2, Self::Upgraded];

    /// Returns whether the connection waits for a head, or for the rest of one.
    pub(super) const fn is_head(self) -> bool {
        matches!(self, Self::BeforeHead | Self::Head)
    }

    /// Returns whether the connection stays in this phase to its end.
    const fn is_last(self) -> bool {
        matches!(self, Self::Http2 | Self::Upgraded)
    }
}

/// The current phase. It counts its connection in `heads` while a head is incomplete.
#[derive(Debug)]
pub(super) struct CurrentPhase {
    phase: AtomicU8,
    heads: Arc<AtomicUsize>,
}

impl CurrentPhase {
    /// Starts before the first head.
    pub(super) fn new(heads: Arc<AtomicUsize>) -> Self {
        Self {
            phase: AtomicU8::new(Phase::BeforeHead as u8),
            heads,
        }
    }

    /// Returns the phase.
    pub(super) fn get(&self) -> Phase {
        let phase = usize::from(self.phase.load(Ordering::Relaxed));
        Phase::ALL.get(phase).copied().unwrap_or(Phase::BeforeHead)
    }

    /// Enters a phase, unless the connection stays in its own.
    pub(super) fn enter(&self, next: Phase) {
        let before = self.get();
        if before.is_last() || before == next {
            return;
        }
        self.phase.store(next as u8, Ordering::Relaxed);
        if next == Phase::Head {
            self.heads.fetch_add(1, Ordering::Acquire);
        }
        self.leave(before);
    }

    fn leave(&self, phase: Phase) {
        if phase == Phase::Head {
            self.heads.fetch_sub(1, Ordering::Release);
        }
    }
}

impl Drop for CurrentPhase {
    fn drop(&mut self) {
        self.leave(self.get());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_incomplete_head_is_counted_until_it_is_complete_or_its_connection_ends() {
        let heads = Arc::<AtomicUsize>::default();
        let phase = CurrentPhase::new(Arc::clone(&heads));
        for (next, now, incomplete) in [
            (Phase::Head, Phase::Head, 1),
            (Phase::Head, Phase::Head, 1),
            (Phase::Body, Phase::Body, 0),
            (Phase::BeforeHead, Phase::BeforeHead, 0),
            (Phase::Http2, Phase::Http2, 0),
            (Phase::Head, Phase::Http2, 0),
        ] {
            phase.enter(next);
            assert_eq!(
                (phase.get(), heads.load(Ordering::Relaxed)),
                (now, incomplete),
                "{next:?}"
            );
        }
        let cut_off = CurrentPhase::new(Arc::clone(&heads));
        cut_off.enter(Phase::Head);
        drop(cut_off);
        assert_eq!(heads.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn every_phase_is_stored_as_itself() {
        for next in Phase::ALL {
            let phase = CurrentPhase::new(Arc::default());
            phase.enter(next);
            assert_eq!(phase.get(), next);
        }
    }
}
