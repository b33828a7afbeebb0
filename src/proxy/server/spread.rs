//! Spreads connections over the serving threads, so that a few long ones do not share a thread while others are idle.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many connections each serving thread has.
#[derive(Debug)]
pub(super) struct Spread(Box<[Load]>);

/// On a cache line of its own, so that threads do not slow each other down.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Load(AtomicUsize);

/// A connection of a thread, until it is dropped.
#[derive(Debug)]
pub(super) struct LoadGuard {
    spread: Arc<Spread>,
    thread: usize,
}

impl Spread {
    /// Starts with no connection on any thread.
    pub(super) fn new(threads: usize) -> Self {
        Self((0..threads).map(|_| Load::default()).collect())
    }

    /// Chooses the thread for a connection that `own` accepted, and counts it there.
    pub(super) fn place(self: &Arc<Self>, own: usize) -> LoadGuard {
        let loads = self.0.iter().map(|load| load.0.load(Ordering::Relaxed));
        let thread = chosen(&loads, own);
        if let Some(load) = self.0.get(thread) {
            load.0.fetch_add(1, Ordering::Relaxed);
        }
        LoadGuard {
            spread: Arc::clone(self),
            thread,
        }
    }
}

impl LoadGuard {
    /// Returns the thread that was chosen.
    pub(super) const fn thread(&self) -> usize {
        self.thread
    }
}

impl Drop for LoadGuard {
    fn drop(&mut self) {
        if let Some(load) = self.spread.0.get(self.thread) {
            load.0.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Returns `own`, unless it has more connections than another thread by more than an eighth: then the thread with the
/// fewest. So a few connections are spread evenly, and most of many stay where they were accepted.
fn chosen(loads: &(impl Iterator<Item = usize> + Clone), own: usize) -> usize {
    let Some((least, load)) = loads.clone().enumerate().min_by_key(|(_, load)| *load) else {
        return own;
    };
    let is_even = loads.clone().nth(own).is_some_and(|own| own <= load + load / 8);
    match is_even {
        true => own,
        false => least,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connection_goes_to_another_thread_only_where_that_has_clearly_fewer() {
        for (loads, own, want) in [
            (&[0, 0][..], 1, 1),
            (&[0, 1], 1, 0),
            (&[7, 8], 1, 0),
            (&[8, 9], 1, 1),
            (&[8, 10], 1, 0),
            (&[100, 112], 1, 1),
            (&[100, 113], 1, 0),
            (&[3, 2, 1, 1], 0, 2),
            (&[5], 0, 0),
            (&[], 0, 0),
        ] {
            assert_eq!(chosen(&loads.iter().copied(), own), want, "{loads:?} {own}");
        }
    }

    #[test]
    fn connections_that_one_thread_accepts_are_spread_evenly_and_leave_room_when_they_end() {
        let spread = Arc::new(Spread::new(4));
        let mut placed: Vec<_> = (0..8).map(|_| spread.place(0)).collect();
        let count = |placed: &[LoadGuard]| {
            (0..4)
                .map(|thread| placed.iter().filter(|load| load.thread() == thread).count())
                .collect::<Vec<_>>()
        };
        assert_eq!(count(&placed), [2, 2, 2, 2]);
        placed.retain(|load| load.thread() != 3);
        placed.extend((0..2).map(|_| spread.place(0)));
        assert_eq!(count(&placed), [2, 2, 2, 2]);
    }
}
