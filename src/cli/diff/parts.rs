//! The parts of an entry: what is said of several changes is true of each of them.

use std::collections::{BTreeMap, BTreeSet};

use super::requests::{methods, path};
use super::words::{callers, first, rejected, told};
use crate::policy_diff::effects::Effect;
use crate::policy_diff::report::{Entry, Explained};
use crate::policy_diff::types::Region;

/// Splits an entry into parts: the same callers are let in and rejected by each change of a part.
pub(super) fn parts<'r>(entry: &Entry<'r>) -> Vec<Entry<'r>> {
    let key = |one: &Entry<'r>| {
        let texts = [
            callers(&one.gained(), true, usize::MAX),
            callers(&one.lost(), false, usize::MAX),
            match one.effects().first() {
                Some(Effect::RejectedDifferently) => rejected(&one.rejected()),
                _ => Vec::new(),
            },
            by_name(one),
        ];
        (one.another_tenant(), texts)
    };
    entry.parts(key)
}

/// Writes what is said of each member of an entry: once if it is the same of all, otherwise with the requests that it is of.
pub(super) fn of_members(entry: &Entry<'_>, most: usize, said: impl Fn(&Explained) -> String) -> Vec<String> {
    let mut groups: Vec<(String, Vec<String>)> = Vec::new();
    let is_other = |same: fn(&Region, &Region) -> bool| {
        let mut pairs = entry.members.iter().zip(entry.members.iter().skip(1));
        pairs.any(|(one, next)| !same(&one.change.region, &next.change.region))
    };
    let differ = (
        is_other(|one, next| one.methods == next.methods && one.other_methods == next.other_methods),
        is_other(|one, next| one.hosts == next.hosts),
    );
    let (mut places, mut seen) = (BTreeMap::new(), BTreeSet::new());
    for one in &entry.members {
        let text = said(one);
        let place = *places.entry(text.clone()).or_insert(groups.len());
        if place == groups.len() {
            groups.push((text, Vec::new()));
        }
        let Some((_, known)) = groups.get_mut(place) else {
            continue;
        };
        let new = labels(&one.change.region, differ).into_iter();
        known.extend(new.filter(|label| seen.insert((place, label.clone()))));
    }
    if let [(text, _)] = groups.as_slice() {
        return vec![text.clone()];
    }
    let lines = groups
        .iter()
        .map(|(text, requests)| format!("{}: {text}", first(requests, most, ", ")));
    cut(lines.collect(), most)
}

/// Writes the paths of a region, with the methods and the hosts where those of an entry differ.
fn labels(region: &Region, (has_methods, has_hosts): (bool, bool)) -> Vec<String> {
    let label = |path: String| match (has_methods, has_hosts) {
        (false, false) => path,
        (true, false) => format!("{} {path}", methods(region)),
        (false, true) => format!("{path} on {}", region.hosts.join(", ")),
        (true, true) => format!("{} {path} on {}", methods(region), region.hosts.join(", ")),
    };
    region.paths.iter().map(path).map(label).collect()
}

/// Says what the upstream gets differently: of each change, where it is not the same of all.
pub(super) fn forwards(entry: &Entry<'_>, most: usize) -> Vec<String> {
    match entry.parts(|one| told(one, usize::MAX)).as_slice() {
        [] | [_] => told(entry, most),
        _ => of_members(entry, most, |one| match told(&Entry::alone(one), most) {
            told if told.is_empty() => "as before".to_owned(),
            told => told.join("; "),
        }),
    }
}

/// Names the callers of a test file who are let in and kept out.
pub(super) fn by_name(entry: &Entry<'_>) -> Vec<String> {
    let (let_in, kept_out) = entry.named();
    let named = [("let in", let_in), ("kept out", kept_out)].into_iter();
    let named = named.filter(|(_, callers)| !callers.is_empty());
    named
        .map(|(what, callers)| format!("{what}: {}", callers.join(", ")))
        .collect()
}

/// Cuts a list of lines, and says so.
pub(super) fn cut(mut lines: Vec<String>, most: usize) -> Vec<String> {
    let more = lines.len().saturating_sub(most);
    if more > 0 {
        lines.truncate(most);
        lines.push(format!("and {more} more (--all)"));
    }
    lines
}
