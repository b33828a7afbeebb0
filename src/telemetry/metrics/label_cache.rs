//! Counters that were looked up once and are found again without a lock, a hash or an allocation.

use std::sync::OnceLock;

/// The children of a metric that one place counts with, by what tells them apart. They are looked
/// up when they are first needed, so that nothing is shown that never happened.
///
/// A list that only grows: keys are of a small closed set, and the most usual one comes first.
#[derive(Debug)]
pub(super) struct LabelCache<K, M>(OnceLock<Box<Entry<K, M>>>);

#[derive(Debug)]
struct Entry<K, M> {
    key: K,
    metric: M,
    next: LabelCache<K, M>,
}

impl<K, M> Default for LabelCache<K, M> {
    fn default() -> Self {
        Self(OnceLock::new())
    }
}

impl<K: Copy + PartialEq, M> LabelCache<K, M> {
    /// Returns the metric for a key. If threads look up a key at the same time, one adds the entry, and the
    /// others find it or add theirs behind it.
    pub(super) fn get(&self, key: K, look_up: impl Fn() -> M) -> &M {
        let mut list = self;
        loop {
            let child = list.0.get_or_init(|| {
                Box::new(Entry {
                    key,
                    metric: look_up(),
                    next: Self::default(),
                })
            });
            if child.key == key {
                return &child.metric;
            }
            list = &child.next;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Barrier;
    use std::thread;

    use super::*;

    #[test]
    fn each_key_has_one_child_however_many_threads_ask() {
        let children = LabelCache::<usize, usize>::default();
        let barrier = Barrier::new(8);
        let asked: Vec<Vec<(usize, usize)>> = thread::scope(|scope| {
            let ask = |first: usize| {
                let (children, barrier) = (&children, &barrier);
                move || {
                    barrier.wait();
                    let keys = (0..450).map(move |at| (first * 57 + at) % 450);
                    let address = |child: &usize| std::ptr::from_ref(child).addr();
                    keys.map(|key| (key, address(children.get(key, || key * 2)))).collect()
                }
            };
            let threads: Vec<_> = (0..8).map(|first| scope.spawn(ask(first))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let mut found = HashMap::new();
        for (key, address) in asked.into_iter().flatten() {
            assert_eq!(*found.entry(key).or_insert(address), address, "{key}");
        }
        assert_eq!(found.len(), 450);
        for key in 0..450 {
            assert_eq!(*children.get(key, || unreachable!("{key} is there")), key * 2);
        }
    }
}
