//! Spreads connections over the serving threads. A few connections cost less on one thread, which then handles several
//! events each time it wakes. A few heavy ones need threads of their own.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many light connections share a thread before another thread gets some, and what a heavy one counts.
const GROUP: usize = 4;

/// How much each processor has before more threads than processors are used.
const FULL: usize = 8 * GROUP;

/// How many connections each serving thread has, each with its weight.
#[derive(Debug)]
pub(super) struct Spread {
    loads: Box<[Load]>,
    processors: usize,
}

/// On a cache line of its own, so that threads do not slow each other down.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Load(AtomicUsize);

/// How many requests a connection may have at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weight {
    /// One.
    Light,
    /// Many, or it has costs of its own, as for TLS.
    Heavy,
}

/// A connection of a thread, until it is dropped.
#[derive(Debug)]
pub(super) struct LoadGuard {
    spread: Arc<Spread>,
    thread: usize,
    weight: Weight,
}

impl Spread {
    /// Starts with no connection on any thread.
    pub(super) fn new(threads: usize, processors: usize) -> Self {
        Self {
            loads: (0..threads).map(|_| Load::default()).collect(),
            processors: processors.clamp(1, threads.max(1)),
        }
    }

    /// Returns whether there is a choice.
    pub(super) const fn is_single(&self) -> bool {
        self.loads.len() <= 1
    }

    /// Chooses the thread for a connection that `own` accepted, and counts it there.
    pub(super) fn place(self: &Arc<Self>, own: usize, weight: Weight) -> LoadGuard {
        let loads: Vec<_> = self.loads.iter().map(|load| load.0.load(Ordering::Relaxed)).collect();
        let thread = chosen(&loads, self.processors, own, weight);
        if let Some(load) = self.loads.get(thread) {
            load.0.fetch_add(weight.count(), Ordering::Relaxed);
        }
        LoadGuard {
            spread: Arc::clone(self),
            thread,
            weight,
        }
    }
}

impl Weight {
    const fn count(self) -> usize {
        match self {
            Self::Light => 1,
            Self::Heavy => GROUP,
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
        if let Some(load) = self.spread.loads.get(self.thread) {
            load.0.fetch_sub(self.weight.count(), Ordering::Relaxed);
        }
    }
}

/// Returns the thread for a connection. A light one joins a group that is not full. Apart from that, all threads have
/// about the same, and a connection stays where it was accepted, if it may.
fn chosen(loads: &[usize], processors: usize, own: usize, weight: Weight) -> usize {
    let (first, _) = loads.split_at_checked(processors).unwrap_or((loads, &[]));
    let used = match first.iter().all(|load| *load >= FULL) {
        true => loads,
        false => first,
    };
    let Some(least) = used.iter().copied().min() else {
        return own;
    };
    let most = match weight {
        Weight::Light => least - least % GROUP + GROUP - 1,
        Weight::Heavy => least,
    };
    let has_room = |load: &usize| *load <= most.max(least + least / 8);
    let stays = weight == Weight::Heavy || least >= GROUP;
    match used.get(own) {
        Some(load) if stays && has_room(load) => own,
        _ => used.iter().position(has_room).unwrap_or(own),
    }
}

#[cfg(test)]
mod tests {
    use super::Weight::{Heavy, Light};
    use super::*;

    #[test]
    fn thread_is_chosen_by_what_each_has() {
        for (loads, processors, own, weight, want) in [
            // Light ones fill groups, from the first thread on.
            (&[0, 0][..], 2, 1, Light, 0),
            (&[3, 0], 2, 1, Light, 0),
            (&[4, 4, 1], 3, 0, Light, 2),
            (&[4, 0], 2, 0, Light, 1),
            (&[4, 4], 2, 1, Light, 1),
            (&[7, 4], 2, 0, Light, 0),
            (&[8, 4], 2, 0, Light, 1),
            // Heavy ones are spread evenly.
            (&[0, 0], 2, 1, Heavy, 1),
            (&[4, 0], 2, 0, Heavy, 1),
            (&[4, 4], 2, 0, Heavy, 0),
            (&[4, 3], 2, 0, Heavy, 1),
            // Many stay where they were accepted, unless another thread has clearly fewer.
            (&[112, 100], 2, 0, Light, 0),
            (&[113, 100], 2, 0, Light, 1),
            (&[112, 100], 2, 0, Heavy, 0),
            (&[116, 100], 2, 0, Heavy, 1),
            // Threads beyond the processors are used once these have many.
            (&[4, 4, 0, 0], 2, 3, Heavy, 0),
            (&[31, 32, 0, 0], 2, 3, Heavy, 0),
            (&[32, 32, 0, 0], 2, 3, Heavy, 3),
            (&[32, 32, 0, 0], 2, 0, Light, 2),
            (&[5], 1, 0, Light, 0),
            (&[5], 4, 0, Heavy, 0),
            (&[], 1, 0, Light, 0),
        ] {
            let found = chosen(loads, processors, own, weight);
            assert_eq!(found, want, "{loads:?} {processors} {own} {weight:?}");
        }
    }

    #[test]
    fn connections_leave_room_when_they_end() {
        let spread = Arc::new(Spread::new(4, 4));
        let count = |placed: &[LoadGuard]| {
            let of_thread = |thread| placed.iter().filter(|load| load.thread() == thread).count();
            (0..4).map(of_thread).collect::<Vec<_>>()
        };
        for (weight, connections, each) in [(Heavy, 4, 1), (Heavy, 8, 2), (Light, 16, 4)] {
            let mut placed: Vec<_> = (0..connections).map(|_| spread.place(0, weight)).collect();
            assert_eq!(count(&placed), [each; 4], "{weight:?} {connections}");
            placed.retain(|load| load.thread() != 3);
            placed.extend((0..each).map(|_| spread.place(0, weight)));
            let of_thread = count(&placed);
            assert!(
                of_thread.iter().all(|count| (1..=5).contains(count)),
                "{weight:?} {of_thread:?}"
            );
        }
        let many: Vec<_> = (0..400).map(|_| spread.place(0, Light)).collect();
        assert!(
            count(&many).iter().all(|each| (90..=113).contains(each)),
            "{:?}",
            count(&many)
        );
        drop(many);
        assert!(spread.loads.iter().all(|load| load.0.load(Ordering::Relaxed) == 0));
    }
}
