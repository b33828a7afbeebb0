//! Classes of hosts, and the policies that are for them.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};

use crate::policy::{HostPattern, Policy, PolicySet};

/// Classes of hosts for which the same policies decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hosts {
    /// The names of the classes: a host, `*.example.com`, or `*` for every host that no other class names.
    pub names: Vec<String>,
    /// A host of the first class.
    pub example: String,
    /// The policies of both sides for it, by their places in their sets, those that decide first in front.
    pub policies: [Vec<usize>; 2],
}

/// Hosts that no policy names, probably.
const OTHERS: [&str; 4] = ["localhost", "other.example", "other.test", "other.invalid"];

/// Returns all classes of hosts of two sets, those together for which the same policies decide.
pub(super) fn classes(old: &PolicySet, new: &PolicySet) -> Vec<Hosts> {
    let patterns: BTreeSet<_> = [old, new]
        .into_iter()
        .flat_map(PolicySet::policies)
        .flat_map(names)
        .collect();
    let mut groups: Vec<Hosts> = Vec::new();
    let mut known: HashMap<[Vec<usize>; 2], usize> = HashMap::new();
    let others = (!patterns.contains("*")).then(|| "*".to_owned());
    for name in patterns.iter().cloned().chain(others) {
        let Some(example) = example(&name, &patterns) else {
            continue;
        };
        let policies = [old, new].map(|set| deciding(set.policies(), &example));
        if let Some(group) = known.get(&policies).and_then(|at| groups.get_mut(*at)) {
            group.names.push(name);
            continue;
        }
        known.insert(policies.clone(), groups.len());
        groups.push(Hosts {
            names: vec![name],
            example,
            policies,
        });
    }
    groups
}

/// Returns the names of the classes that a policy makes.
fn names(policy: &Policy) -> impl Iterator<Item = String> + '_ {
    policy.hosts.iter().map(|host| host.to_string().to_ascii_lowercase())
}

/// Returns a host of a class, if there is one.
fn example(name: &str, names: &BTreeSet<String>) -> Option<String> {
    match name.strip_prefix('*') {
        None => Some(name.to_owned()),
        Some("") => {
            let numbered = (0..=names.len()).map(|at| format!("other-{at}.invalid"));
            let mut hosts = OTHERS.into_iter().map(str::to_owned).chain(numbered);
            hosts.find(|host| class_of(host, names) == name)
        }
        Some(suffix) => {
            let numbered = (0..=names.len()).map(|at| format!("a{at}{suffix}"));
            let mut hosts = [format!("a{suffix}")].into_iter().chain(numbered);
            hosts.find(|host| class_of(host, names) == name)
        }
    }
}

/// Returns the name of the class of a host.
fn class_of<'n>(host: &str, names: &'n BTreeSet<String>) -> &'n str {
    if let Some(exact) = names.get(host) {
        return exact;
    }
    let ends = host.match_indices('.').filter(|(at, _)| *at > 0);
    let mut ends = ends.filter_map(|(at, _)| names.get(&format!("*{}", host.get(at..)?)));
    ends.next().map_or("*", String::as_str)
}

/// Returns the policies that are for a host, those that decide first in front.
fn deciding(policies: &[Policy], host: &str) -> Vec<usize> {
    let ranked = policies.iter().enumerate().filter_map(|(index, policy)| {
        let folded = policy.prefix.to_ascii_lowercase();
        Some((Reverse(rank(policy, host)?), Reverse(folded.len()), folded, index))
    });
    let mut ranked: Vec<_> = ranked.collect();
    ranked.sort_unstable();
    ranked.into_iter().map(|(.., index)| index).collect()
}

/// Returns how specific the host is by which a policy is for a host; `None` if it is for others.
fn rank(policy: &Policy, host: &str) -> Option<usize> {
    if policy.hosts.is_empty() {
        return Some(0);
    }
    let ranks = policy.hosts.iter().filter_map(|pattern| match pattern {
        HostPattern::Exact(name) => name.eq_ignore_ascii_case(host).then_some(usize::MAX),
        HostPattern::Suffix(suffix) => {
            let at = host.len().checked_sub(suffix.len()).filter(|at| *at > 0)?;
            host.get(at..)?.eq_ignore_ascii_case(suffix).then_some(suffix.len())
        }
    });
    ranks.max()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::parse;

    fn policy(name: &str, prefix: &str, hosts: &str) -> String {
        format!(
            "version: 1\nservice: {name}\nprefix: {prefix}\nhosts: {hosts}\nupstream: {{ url: 'http://127.0.0.1:1' }}\n\
             routes: [{{ path: /*, auth: public }}]\n"
        )
    }

    #[test]
    fn hosts_with_the_same_policies_are_together() {
        let all =
            "version: 1\nservice: all\nupstream: { url: 'http://127.0.0.1:1' }\nroutes: [{ path: /*, auth: public }]\n";
        let set = |texts: &[String]| {
            let texts: Vec<_> = texts.iter().map(String::as_str).collect();
            parse(&texts).unwrap()
        };
        let old = set(&[
            all.to_owned(),
            policy("a", "/a", "[x.test, y.test]"),
            policy("b", "/b/long", "['*.test']"),
        ]);
        let new = set(&[policy("c", "/", "['*.a.test', localhost]")]);
        let groups = classes(&old, &new);
        let shown: Vec<_> = groups
            .iter()
            .map(|group| format!("{} {} {:?}", group.names.join(","), group.example, group.policies))
            .collect();
        assert_eq!(
            shown,
            [
                "*.a.test a.a.test [[2, 0], [0]]",
                "*.test a.test [[2, 0], []]",
                "localhost localhost [[0], [0]]",
                "x.test,y.test x.test [[1, 2, 0], []]",
                "* other.example [[0], []]",
            ]
        );
    }
}
