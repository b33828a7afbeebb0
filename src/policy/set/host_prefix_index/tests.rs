use proptest::prelude::*;

use super::super::PolicySet;
use super::*;
use crate::policy::PathCase;
use crate::testing::parse;

/// What the table stands for: every policy is looked at, in the order in which they decide.
fn by_looking_at_all(set: &PolicySet, host: Option<&str>, matches: impl Fn(&Policy) -> bool) -> Option<usize> {
    let mut order: Vec<(Option<&HostPattern>, usize)> = Vec::new();
    for (index, policy) in set.policies().iter().enumerate() {
        match policy.hosts.is_empty() {
            true => order.push((None, index)),
            false => order.extend(policy.hosts.iter().map(|host| (Some(host), index))),
        }
    }
    order.sort_by_key(|(host, policy)| {
        let host = match host {
            Some(HostPattern::Exact(_)) => (0, 0),
            Some(HostPattern::Suffix(suffix)) => (1, usize::MAX - suffix.len()),
            None => (2, 0),
        };
        (host, Reverse(set.policies()[*policy].prefix.len()))
    });
    order
        .iter()
        .filter(|(pattern, _)| pattern.is_none_or(|pattern| host.is_some_and(|host| pattern.matches(host))))
        .map(|(_, policy)| *policy)
        .find(|&policy| matches(&set.policies()[policy]))
}

fn spells(policy: &Policy, raw: &[u8]) -> bool {
    let head = raw.get(..policy.prefix.len());
    head.is_some_and(|head| match policy.case {
        PathCase::Insensitive => head.eq_ignore_ascii_case(policy.prefix.as_bytes()),
        PathCase::Unambiguous | PathCase::Exact => head == policy.prefix.as_bytes(),
    })
}

/// One policy each, for tables of policies that could not be in force together as well.
fn set(policies: &[(Vec<&str>, String, bool)]) -> PolicySet {
    let parsed = policies.iter().enumerate().map(|(at, (hosts, prefix, any_case))| {
        let hosts = match hosts.is_empty() {
            true => String::new(),
            false => format!("hosts: ['{}']\n", hosts.join("', '")),
        };
        let prefix = match prefix.is_empty() {
            true => String::new(),
            false => format!("prefix: {prefix}\n"),
        };
        let text = format!(
            "version: 1\nservice: s{at}\n{hosts}{prefix}upstream: {{ url: 'http://127.0.0.1:1' }}\n\
             paths: {{ case_insensitive: {any_case} }}\nroutes: [{{ path: /*, auth: public }}]\n"
        );
        parse(&[&text]).unwrap().policies.remove(0)
    });
    PolicySet::new(parsed.collect(), crate::policy::ErrorStyle::default())
}

fn hosts() -> impl Strategy<Value = Vec<&'static str>> {
    const NAMES: [&str; 7] = ["a.b.c", "b.c", "A.b.C", "*.b.c", "*.c", "*.a.b.c", "x"];
    prop::collection::vec(prop::sample::select(&NAMES[..]), 0..3)
}

fn host() -> impl Strategy<Value = Option<&'static str>> {
    const HOSTS: [&str; 10] = ["a.b.c", "b.c", "B.C", "c", ".c", "z.a.B.c", "..b.c", "x", "y", ""];
    prop::option::of(prop::sample::select(&HOSTS[..]))
}

fn policies() -> impl Strategy<Value = Vec<(Vec<&'static str>, String, bool)>> {
    prop::collection::vec((hosts(), "(/(a|A|b|ab)){0,3}", any::<bool>()), 0..8)
}

proptest! {
    #[test]
    fn the_table_finds_what_looking_at_all_finds(
        policies in policies(),
        requests in prop::collection::vec((host(), "/?((a|A|b|ab|aB|é|%)(/|//)?){0,4}"), 20),
    ) {
        let set = set(&policies);
        for (host, path) in &requests {
            let below = |policy: &Policy| policy.below_prefix(path).is_some();
            prop_assert_eq!(set.select(*host, path), by_looking_at_all(&set, *host, below), "{:?} {}", host, path);
            let raw = path.as_bytes();
            let spelled = by_looking_at_all(&set, *host, |policy| spells(policy, raw));
            prop_assert_eq!(set.by_raw_prefix(*host, raw), spelled, "{:?} {}", host, path);
        }
    }
}
