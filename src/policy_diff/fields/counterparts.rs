//! Which policy and which route of one side is the same one on the other, by what they are for.

use std::collections::HashMap;
use std::hash::Hash;

use crate::policy::route::{Route, Segment};
use crate::policy::{Policy, PolicySet};

/// Pairs of the things of two lists, by their places.
#[derive(Debug, Default)]
pub struct Pairs {
    now: Vec<Option<usize>>,
    was: Vec<Option<usize>>,
}

impl Pairs {
    /// Returns what an old thing is now.
    pub fn now(&self, was: usize) -> Option<usize> {
        self.now.get(was).copied().flatten()
    }

    /// Returns what a new thing was.
    pub fn was(&self, now: usize) -> Option<usize> {
        self.was.get(now).copied().flatten()
    }

    fn of(was: usize, now: usize) -> Self {
        Self {
            now: vec![None; was],
            was: vec![None; now],
        }
    }

    /// Pairs what is left and has the same key, in the order of the lists. Things without a key are left.
    fn by<T, K: Eq + Hash>(&mut self, (was, now): (&[T], &[T]), key: impl Fn(&T) -> Option<K>) {
        let mut open: HashMap<K, Vec<usize>> = HashMap::new();
        for (index, thing) in was.iter().enumerate().rev() {
            if self.now(index).is_none()
                && let Some(key) = key(thing)
            {
                open.entry(key).or_default().push(index);
            }
        }
        for (index, thing) in now.iter().enumerate() {
            if self.was(index).is_some() {
                continue;
            }
            let found = key(thing).and_then(|key| open.get_mut(&key)?.pop());
            if let Some(found) = found {
                self.pair(found, index);
            }
        }
    }

    fn pair(&mut self, was: usize, now: usize) {
        if let (Some(to), Some(from)) = (self.now.get_mut(was), self.was.get_mut(now)) {
            *to = Some(now);
            *from = Some(was);
        }
    }
}

/// Pairs the policies of two sets.
pub fn policies(was: &PolicySet, now: &PolicySet) -> Pairs {
    let (was, now) = (was.policies(), now.policies());
    let mut pairs = Pairs::of(was.len(), now.len());
    let hosts = |policy: &Policy| {
        let mut hosts: Vec<_> = policy.hosts.iter().map(ToString::to_string).collect();
        hosts.sort_unstable();
        hosts.join(" ")
    };
    let (service, prefix) = (
        |policy: &Policy| policy.service.clone(),
        |policy: &Policy| policy.prefix.clone(),
    );
    pairs.by((was, now), |policy| {
        Some((service(policy), prefix(policy), hosts(policy)))
    });
    pairs.by((was, now), |policy| Some((prefix(policy), hosts(policy))));
    pairs.by((was, now), |policy| Some((service(policy), prefix(policy))));
    pairs.by((was, now), |policy| Some(service(policy)));
    pairs
}

/// Pairs the routes of two policies.
pub fn routes(was: &Policy, now: &Policy) -> Pairs {
    let (was, now) = (was.routes.as_slice(), now.routes.as_slice());
    let mut pairs = Pairs::of(was.len(), now.len());
    pairs.by((was, now), |route| Some((path(route), methods(route))));
    pairs.by((was, now), |route| Some(path(route)));
    pairs
}

/// What a route matches: the names of wildcards say nothing.
fn path(route: &Route) -> (Vec<Segment>, bool) {
    (route.path.segments.clone(), route.path.is_prefix)
}

fn methods(route: &Route) -> Vec<String> {
    let mut methods: Vec<_> = route.methods.iter().map(ToString::to_string).collect();
    methods.sort_unstable();
    methods
}
