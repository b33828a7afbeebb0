//! Changes that have the same causes, as one entry of a report.

use std::collections::BTreeMap;

use super::explained::Explained;
use crate::policy_diff::delta::{CallerChange, Told};
use crate::policy_diff::effects::Effect;
use crate::policy_diff::types::Region;

/// Changes of one kind that have the same causes.
#[derive(Debug)]
pub struct Entry<'r> {
    /// The changes, at least one; those of paths as they are written come first.
    pub members: Vec<&'r Explained>,
}

/// Adds what is not there yet.
fn add<T: PartialEq>(found: &mut Vec<T>, more: impl IntoIterator<Item = T>) {
    for one in more {
        if !found.contains(&one) {
            found.push(one);
        }
    }
}

impl<'r> Entry<'r> {
    /// Makes an entry of one change.
    pub fn alone(one: &'r Explained) -> Self {
        Self { members: vec![one] }
    }

    /// Returns one of the changes: that of paths as they are written, if there is one.
    pub fn first(&self) -> Option<&'r Explained> {
        self.members.first().copied()
    }

    /// Splits it by what a key says of each of the changes, in the order of the changes.
    pub fn parts<K: Ord>(&self, key: impl Fn(&Self) -> K) -> Vec<Self> {
        let mut parts: Vec<Self> = Vec::new();
        let mut places: BTreeMap<K, usize> = BTreeMap::new();
        for one in &self.members {
            let alone = Entry::alone(one);
            let place = *places.entry(key(&alone)).or_insert(parts.len());
            match parts.get_mut(place) {
                Some(part) => part.members.push(one),
                None => parts.push(alone),
            }
        }
        parts
    }

    /// Returns what the changes mean, danger first.
    pub fn effects(&self) -> Vec<Effect> {
        let mut found = Vec::new();
        add(
            &mut found,
            self.members.iter().flat_map(|one| one.change.effects.iter().copied()),
        );
        found.sort_unstable();
        found
    }

    fn callers(&self, of: impl Fn(&'r Explained) -> &'r [CallerChange]) -> Vec<&'r CallerChange> {
        let mut found = Vec::new();
        add(&mut found, self.members.iter().flat_map(|one| of(one)));
        found
    }

    /// Returns the callers who pass and did not.
    pub fn gained(&self) -> Vec<&'r CallerChange> {
        self.callers(|one| &one.delta().gained)
    }

    /// Returns the callers who do not pass and did.
    pub fn lost(&self) -> Vec<&'r CallerChange> {
        self.callers(|one| &one.delta().lost)
    }

    /// Returns the callers who are rejected in another way.
    pub fn rejected(&self) -> Vec<&'r CallerChange> {
        self.callers(|one| &one.delta().rejected)
    }

    /// Returns the identity headers that the upstream gets from another source.
    pub fn told(&self) -> Vec<&'r Told> {
        let mut found = Vec::new();
        add(&mut found, self.members.iter().flat_map(|one| &one.delta().told));
        found
    }

    /// Returns what else the upstream gets differently.
    pub fn differs(&self) -> Vec<&'r str> {
        let mut found = Vec::new();
        let all = self.members.iter().flat_map(|one| &one.delta().differs);
        add(&mut found, all.map(String::as_str));
        found
    }

    /// Returns whether tokens of another tenant pass.
    pub fn another_tenant(&self) -> bool {
        self.members.iter().any(|one| one.delta().another_tenant)
    }

    /// Returns the names of callers who pass and did not, and of those who do not pass and did.
    pub fn named(&self) -> (Vec<&'r str>, Vec<&'r str>) {
        let (mut let_in, mut kept_out) = (Vec::new(), Vec::new());
        for named in self.members.iter().filter_map(|one| one.named.as_ref()) {
            add(&mut let_in, named.let_in.iter().map(String::as_str));
            add(&mut kept_out, named.kept_out.iter().map(String::as_str));
        }
        (let_in, kept_out)
    }

    /// Returns the requests of all changes in few regions, those of paths as they are written first.
    pub fn requests(&self) -> Vec<Region> {
        let mut found: Vec<Region> = Vec::new();
        for region in self.members.iter().map(|one| &one.change.region) {
            let same = |other: &&mut Region| other.hosts == region.hosts && other.paths == region.paths;
            match found.iter_mut().find(same) {
                Some(other) => {
                    add(&mut other.methods, region.methods.iter().cloned());
                    add(&mut other.except, region.except.iter().cloned());
                    other.other_methods |= region.other_methods;
                }
                None => found.push(region.clone()),
            }
        }
        let mut merged: Vec<Region> = Vec::new();
        for region in found {
            let same = |other: &&mut Region| {
                other.hosts == region.hosts
                    && same_methods(other, &region)
                    && other.except == region.except
                    && other.is_plain() == region.is_plain()
            };
            match merged.iter_mut().find(same) {
                Some(other) => add(&mut other.paths, region.paths),
                None => merged.push(region),
            }
        }
        merged.sort_by_key(|region| !region.is_plain());
        merged
    }
}

fn same_methods(one: &Region, other: &Region) -> bool {
    one.other_methods == other.other_methods
        && one.methods.len() == other.methods.len()
        && one.methods.iter().all(|method| other.methods.contains(method))
}
