//! Hosts and prefixes of all policies, so that finding the one for a request takes as long with a
//! thousand of them as with a few. Says which come into question, those that decide first in front.

use std::cmp::{Ordering, Reverse};
use std::ops::Range;

use super::super::{HostPattern, Policy};

/// The policies by their hosts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct HostPrefixIndex {
    /// Ascending by their names.
    exact: Vec<(Folded, Prefixes)>,
    /// Ascending by what hosts end in, as in `.example.com`.
    suffixes: Vec<(Folded, Prefixes)>,
    /// Those for all hosts.
    any: Prefixes,
}

/// The policies of one host by their prefixes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Prefixes {
    /// The longest first, then by the prefix, then in the order of the files.
    entries: Vec<(Folded, usize)>,
    /// The entries of each length.
    lengths: Vec<(usize, Range<usize>)>,
}

/// A text in lower case, as bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Folded(Box<[u8]>);

impl Folded {
    fn new(text: &str) -> Self {
        Self(text.to_ascii_lowercase().into_bytes().into())
    }

    /// Compares with a text in any case.
    fn against(&self, text: &[u8]) -> Ordering {
        self.0.iter().copied().cmp(text.iter().map(u8::to_ascii_lowercase))
    }
}

impl HostPrefixIndex {
    pub(super) fn new(policies: &[Policy]) -> Self {
        let mut table = Self::default();
        for (index, policy) in policies.iter().enumerate() {
            let entry = (Folded::new(&policy.prefix), index);
            if policy.hosts.is_empty() {
                table.any.entries.push(entry.clone());
            }
            for host in &policy.hosts {
                let (hosts, name) = match host {
                    HostPattern::Exact(name) => (&mut table.exact, name),
                    HostPattern::Suffix(suffix) => (&mut table.suffixes, suffix),
                };
                hosts.push((Folded::new(name), Prefixes::of(entry.clone())));
            }
        }
        table.exact = merged(table.exact);
        table.suffixes = merged(table.suffixes);
        table.any.index();
        table
    }

    /// The first policy that matches, of those whose host is meant and whose prefix, in any case,
    /// the path begins with.
    pub(super) fn first(&self, host: Option<&str>, path: &[u8], matches: impl Fn(usize) -> bool) -> Option<usize> {
        let host = host.map(str::as_bytes).unwrap_or_default();
        let exact = find(&self.exact, host);
        exact
            .into_iter()
            .chain(self.suffixes_of(host))
            .chain([&self.any])
            .find_map(|prefixes| prefixes.first(path, &matches))
    }

    /// The longest suffix first.
    fn suffixes_of<'s>(&'s self, host: &'s [u8]) -> impl Iterator<Item = &'s Prefixes> {
        let host = if self.suffixes.is_empty() { &[] } else { host };
        let ends = (1..host.len()).filter_map(|at| host.get(at..).filter(|end| end.starts_with(b".")));
        ends.filter_map(|end| find(&self.suffixes, end))
    }
}

/// Brings policies of the same host together.
fn merged(mut hosts: Vec<(Folded, Prefixes)>) -> Vec<(Folded, Prefixes)> {
    // Policies of a host stay in the order of their files.
    hosts.sort_by(|(a, _), (b, _)| a.cmp(b));
    hosts.dedup_by(|(name, later), (same, prefixes)| {
        let is_same = name == same;
        if is_same {
            prefixes.entries.append(&mut later.entries);
        }
        is_same
    });
    for (_, prefixes) in &mut hosts {
        prefixes.index();
    }
    hosts
}

fn find<'h>(hosts: &'h [(Folded, Prefixes)], host: &[u8]) -> Option<&'h Prefixes> {
    let at = hosts.binary_search_by(|(name, _)| name.against(host)).ok()?;
    hosts.get(at).map(|(_, prefixes)| prefixes)
}

impl Prefixes {
    fn of(entry: (Folded, usize)) -> Self {
        Self {
            entries: vec![entry],
            lengths: Vec::new(),
        }
    }

    fn index(&mut self) {
        self.entries
            .sort_by(|(a, _), (b, _)| Reverse(a.0.len()).cmp(&Reverse(b.0.len())).then_with(|| a.cmp(b)));
        for (at, (prefix, _)) in self.entries.iter().enumerate() {
            match self.lengths.last_mut().filter(|(length, _)| *length == prefix.0.len()) {
                Some((_, range)) => range.end = at + 1,
                None => self.lengths.push((prefix.0.len(), at..at + 1)),
            }
        }
    }

    fn first(&self, path: &[u8], matches: impl Fn(usize) -> bool) -> Option<usize> {
        self.lengths.iter().find_map(|(length, range)| {
            let (head, entries) = (path.get(..*length)?, self.entries.get(range.clone())?);
            let start = entries.partition_point(|(prefix, _)| prefix.against(head).is_lt());
            let same = entries.get(start..)?.iter();
            same.take_while(|(prefix, _)| prefix.against(head).is_eq())
                .map(|(_, policy)| *policy)
                .find(|&policy| matches(policy))
        })
    }
}

#[cfg(test)]
mod tests;
