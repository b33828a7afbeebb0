//! The cases of test files, run by the policies as they are and by weaker ones.

use std::sync::Arc;

use super::weakening::{Kind, Weakening};
use crate::policy::{Policy, Scope};
use crate::policy_test::{Case, Found, Judge, Suite};
use crate::rehearsal::Rehearsal;

/// A case, and what became of it by the policies as they are.
#[derive(Debug)]
pub(super) struct Ran<'s> {
    case: &'s Case,
    /// Whether all was as expected.
    pub(super) passed: bool,
    /// The outcome.
    pub(super) found: Found,
    /// The policy and the route that it met.
    pub(super) scope: Scope,
}

/// What the cases say of a weaker policy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Notice {
    /// Whether one fails that passed before.
    pub(super) is_noticed: bool,
    /// Whether one is let through that was rejected before.
    pub(super) lets_in: bool,
}

impl Ran<'_> {
    /// When the request arrives, in seconds since the epoch.
    pub(super) const fn time(&self) -> i64 {
        self.case.request.now
    }
}

/// Runs all cases by the policies as they are.
pub(super) fn run<'s>(suites: &[&'s Suite]) -> Vec<Ran<'s>> {
    let of_suite = |suite: &&'s Suite| {
        let mut judge = Judge::new(&suite.rehearsal);
        let ran = suite.cases.iter().map(|case| {
            let verdict = judge.verdict(case);
            Ran {
                case,
                passed: verdict.passed(),
                found: verdict.found,
                scope: verdict.scope,
            }
        });
        ran.collect::<Vec<_>>()
    };
    suites.iter().flat_map(of_suite).collect()
}

/// Prepares the policies with one step taken.
pub(super) fn weaker(policies: &Rehearsal, step: &Weakening) -> Rehearsal {
    let weaker = step.apply(policies.policies());
    Rehearsal::new(Arc::new(weaker), policies.keys())
}

/// Prepares the policies without the internal keys that have expired at a time: no test of that time gets in with one. A policy
/// keeps them if it has no other.
pub(super) fn in_time(policies: &Rehearsal, now: i64) -> Rehearsal {
    let all = policies.policies();
    let valid = all
        .policies()
        .iter()
        .enumerate()
        .fold(all.clone(), |set, (index, policy)| {
            let mut policy = policy.clone();
            let is_useless = has_expired(&policy, now);
            if let Some(known) = policy.internal_keys.as_mut().filter(|_| !is_useless) {
                known.keys.retain(|key| !key.has_expired(now));
            }
            set.with_policy(index, policy)
        });
    Rehearsal::new(Arc::new(valid), policies.keys())
}

/// Whether all internal keys of a policy have expired at a time.
pub(super) fn has_expired(policy: &Policy, now: i64) -> bool {
    let mut keys = policy.internal_keys.iter().flat_map(|known| &known.keys);
    keys.all(|key| key.has_expired(now))
}

/// Runs the cases that may notice a step, until one notices it and one is let in by it.
pub(super) fn notice(ran: &[Ran<'_>], step: &Weakening, weaker: &Rehearsal) -> Notice {
    let mut judge = Judge::new(weaker);
    let mut notice = Notice::default();
    for ran in ran.iter().filter(|ran| ran.passed && may_notice(ran, step)) {
        let verdict = judge.verdict(ran.case);
        notice.is_noticed |= !verdict.passed();
        notice.lets_in |= !passes(ran.found) && passes(verdict.found);
        if notice.is_noticed && notice.lets_in {
            break;
        }
    }
    notice
}

/// Whether the outcome of a case may be another after a step.
fn may_notice(ran: &Ran<'_>, step: &Weakening) -> bool {
    let is_policy = ran.scope.policy == Some(step.policy);
    match (step.kind, step.route) {
        // How one policy reads the case of paths changes what others reject.
        (Kind::Case, _) => true,
        // Keys are taken away by the name of their issuer.
        (Kind::Issuer, _) => is_policy && ran.case.given.no_keys.is_empty(),
        // The route takes more than it did.
        (Kind::Methods | Kind::Below, _) | (_, None) => is_policy,
        // Without a route, a path may be ambiguous because of it.
        (_, Some(route)) => is_policy && ran.scope.route.is_none_or(|met| met.route == route),
    }
}

/// Whether the service gets the request.
const fn passes(found: Found) -> bool {
    matches!(found, Found::Allow | Found::Shadow(_))
}
