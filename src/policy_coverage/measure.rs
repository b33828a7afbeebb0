//! What the tests of some policies cover.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use super::routes::{RouteCoverage, tally};
use super::run::{Ran, has_expired, in_time, notice, run, weaker};
use super::weakening::{Kind, Weakening};
use super::weakenings;
use crate::document::problem::Location;
use crate::policy::PolicySet;
use crate::policy_diff::caller_class::CallerClass;
use crate::policy_diff::delta::CallerChange;
use crate::policy_diff::openings::{Opening, opening};
use crate::policy_diff::{Example, Incomplete};
use crate::policy_test::Suite;

/// What the tests of some policies cover.
#[derive(Debug, Clone)]
pub struct Coverage {
    /// The files of the policies.
    pub policies: Vec<String>,
    /// The files of the tests.
    pub tests: Vec<String>,
    /// The routes, in the order of the files.
    pub routes: Vec<RouteCoverage>,
    /// How many weaker policies there are that let in callers who are rejected now.
    pub weakenings: usize,
    /// Those that no test notices.
    pub unnoticed: Vec<Unnoticed>,
}

/// A weaker policy that no test notices.
#[derive(Debug, Clone)]
pub struct Unnoticed {
    /// What kind of step leads to it.
    pub kind: Kind,
    /// The route, or the field of the policy.
    pub subject: String,
    /// What it then does.
    pub words: String,
    /// Where the policy says otherwise.
    pub location: Location,
    /// Who would get in.
    pub caller: CallerChange,
    /// A request of theirs.
    pub request: Example,
}

impl Coverage {
    /// Returns how many weaker policies the tests notice.
    pub fn noticed(&self) -> usize {
        self.weakenings - self.unnoticed.len()
    }
}

/// Brings test files together that are about the same policies.
pub fn groups(suites: &[Suite]) -> Vec<Vec<&Suite>> {
    let mut groups: Vec<Vec<&Suite>> = Vec::new();
    for suite in suites {
        let is_alike = |group: &&mut Vec<&Suite>| {
            let first = group.first();
            first.is_some_and(|first| Arc::ptr_eq(&first.rehearsal, &suite.rehearsal) || are_alike(first, suite))
        };
        match groups.iter_mut().find(is_alike) {
            Some(group) => group.push(suite),
            None => groups.push(vec![suite]),
        }
    }
    groups
}

/// Whether two test files are about the same policies, which answer alike.
fn are_alike(one: &Suite, other: &Suite) -> bool {
    let [first, second] = [one, other].map(|suite| suite.rehearsal.policies());
    places(one) == places(other) && first.default_errors() == second.default_errors()
}

/// Where the policies of a test file are, whatever they were named by.
fn places(suite: &Suite) -> Vec<PathBuf> {
    let place = |file: String| fs::canonicalize(&file).unwrap_or_else(|_| file.into());
    files(suite).into_iter().map(place).collect()
}

/// The files of the policies of a test file.
fn files(suite: &Suite) -> Vec<String> {
    let policies = suite.rehearsal.policies().policies().iter();
    policies.map(|policy| policy.file.0.clone()).collect()
}

/// Measures what test files about the same policies cover. Tests that fail cover nothing.
pub fn measure(suites: &[&Suite]) -> Result<Coverage, Incomplete> {
    let Some(first) = suites.first() else {
        return Ok(Coverage {
            policies: Vec::new(),
            tests: Vec::new(),
            routes: Vec::new(),
            weakenings: 0,
            unnoticed: Vec::new(),
        });
    };
    let (policies, ran) = (&*first.rehearsal, run(suites));
    let begin = ran.iter().map(Ran::time).min().unwrap_or_default();
    let valid = in_time(policies, begin);
    let (mut count, mut unnoticed) = (0, Vec::new());
    for step in weakenings::of(policies.policies()) {
        let weaker = weaker(policies, &step);
        let notice = notice(&ran, &step, &weaker);
        if notice.is_noticed && notice.lets_in {
            count += 1;
        } else if let Some(opening) = opening(&valid, &in_time(&weaker, begin))?
            && !step.takes_nobody(&opening, policies.policies(), begin)
        {
            count += 1;
            unnoticed.extend(step.unnoticed(opening).filter(|_| !notice.is_noticed));
        }
    }
    Ok(Coverage {
        policies: files(first),
        tests: suites.iter().map(|suite| suite.file.clone()).collect(),
        routes: tally(policies.policies(), &ran),
        weakenings: count,
        unnoticed,
    })
}

impl Weakening {
    /// Whether the step takes internal keys, and no test of a time gets in by one since all have expired by then.
    fn takes_nobody(&self, opening: &Opening, policies: &PolicySet, now: i64) -> bool {
        let by_key = |change: &CallerChange| change.caller.key.is_some();
        let policy = policies.get(self.policy).filter(|_| self.kind == Kind::Any);
        opening.gained.iter().all(by_key) && policy.is_some_and(|policy| has_expired(policy, now))
    }

    fn unnoticed(self, opening: Opening) -> Option<Unnoticed> {
        let mut gained = opening.gained;
        gained.sort_by_cached_key(|change| example_rank(self.kind, &change.caller));
        Some(Unnoticed {
            kind: self.kind,
            subject: self.subject,
            words: self.words,
            location: self.location,
            caller: gained.into_iter().next()?,
            request: opening.request,
        })
    }
}

/// How well callers show what a step lets in: the least is best.
fn example_rank(kind: Kind, caller: &CallerClass) -> (bool, bool, bool, usize) {
    let token = caller.token.as_ref();
    let fits = match kind {
        Kind::Revocation => !caller.when.is_empty(),
        Kind::Tenant | Kind::TenantClaim => token.is_some_and(|token| token.tenant.as_deref() == Some("other")),
        _ => caller.when.is_empty(),
    };
    let claims = token.iter().flat_map(|token| token.claims.values());
    let is_odd = claims.into_iter().any(|value| !value.is_null() && !value.is_string());
    (caller.has_credential(), !fits, is_odd, caller.words().chars().count())
}
