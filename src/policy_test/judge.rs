//! What policies make of cases, and whether that is what is expected.

use std::borrow::Cow;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value as Json;

use super::case::{Case, Expected, ExpectedResponse, Given};
use super::document::{BodyExpectation, HeaderExpectation};
use super::outcome::Found;
use super::steps::{StepLine, Steps};
use crate::decision::{Decision, Observer, Outcome};
use crate::policy::{Fallback, Mode, PolicySet, Scope};
use crate::rehearsal::Rehearsal;
use crate::rejection::Reason;
use crate::request::RequestFacts;
use crate::request::forwarded::X_FORWARDED_FOR;
use crate::revocation::Revocations;

/// What stands for the address of a client that a test does not name.
const CLIENT: HeaderValue = HeaderValue::from_static("(client)");

/// The longest value that is shown whole.
const SHOWN: usize = 120;

/// Judges cases by the same policies, as often as needed.
#[derive(Debug)]
pub struct Judge<'j> {
    rehearsal: &'j Rehearsal,
    /// The policies without keys of some issuers.
    without_keys: Vec<(Vec<String>, Rehearsal)>,
}

/// What became of a case.
#[derive(Debug)]
pub struct Verdict {
    /// The outcome.
    pub found: Found,
    /// The policy and the route that it met.
    pub scope: Scope,
    /// What is not as expected.
    pub misses: Vec<Miss>,
}

/// Something that is not as expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Miss {
    /// What is expected.
    pub wanted: String,
    /// What was found.
    pub got: String,
}

impl Verdict {
    /// Tells whether all is as expected.
    pub const fn passed(&self) -> bool {
        self.misses.is_empty()
    }
}

impl<'j> Judge<'j> {
    /// Judges by policies that are ready to decide.
    pub const fn new(rehearsal: &'j Rehearsal) -> Self {
        Self {
            rehearsal,
            without_keys: Vec::new(),
        }
    }

    /// Judges a case.
    pub fn verdict(&mut self, case: &Case) -> Verdict {
        self.judged(case, &mut ())
    }

    /// Judges a case, and returns the steps of the decision.
    pub fn explained(&mut self, case: &Case) -> (Verdict, Vec<StepLine>) {
        let mut steps = Steps::default();
        let verdict = self.judged(case, &mut steps);
        let route = self.rehearsal.policies().matched(verdict.scope).route();
        let lines = steps.into_lines(route.map(|route| &route.requirement));
        (verdict, lines)
    }

    fn judged(&mut self, case: &Case, observer: &mut impl Observer) -> Verdict {
        let rehearsal = self.rehearsal_for(&case.given);
        let facts = case.facts();
        let revocations = Revocations::Known {
            list: &case.revoked,
            age: (!case.given.store_is_down).then_some(Duration::ZERO),
        };
        let mut decision = rehearsal.decide(&facts, revocations, observer);
        if case.given.store_is_down && needs_store(&decision) {
            decision.outcome = Outcome::Deny(Reason::StoreUnavailable.into());
        }
        let found = Found::of(&decision);
        let expected = &*case.expected;
        let mut misses = Vec::new();
        if !expected.outcome.is_met_by(found) {
            misses.push(Miss {
                wanted: expected.outcome.to_string(),
                got: found.to_string(),
            });
        }
        place(expected, &decision, &mut misses);
        if misses.is_empty() && (!expected.headers.is_empty() || expected.response.is_some()) {
            details(expected, rehearsal, (&decision, &facts), &mut misses);
        }
        Verdict {
            found,
            scope: decision.matched.scope(),
            misses,
        }
    }

    /// The policies, perhaps without some keys.
    fn rehearsal_for(&mut self, given: &Given) -> &Rehearsal {
        if given.no_keys.is_empty() {
            return self.rehearsal;
        }
        let known = self.without_keys.iter().position(|(names, _)| *names == given.no_keys);
        let index = known.unwrap_or_else(|| {
            let issuers = issuers(self.rehearsal.policies(), &given.no_keys);
            let without = self.rehearsal.without_keys(&issuers);
            self.without_keys.push((given.no_keys.clone(), without));
            self.without_keys.len() - 1
        });
        self.without_keys
            .get(index)
            .map_or(self.rehearsal, |(_, without)| without)
    }
}

/// The issuers with some names, each by its policy and its place there.
fn issuers(policies: &PolicySet, names: &[String]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    for (policy, issuers) in policies.policies().iter().map(|policy| &policy.issuers).enumerate() {
        for (index, issuer) in issuers.iter().enumerate() {
            let is_meant = |name: &String| issuer.label() == *name || issuer.names.texts().any(|text| text == name);
            if names.iter().any(is_meant) {
                found.push((policy, index));
            }
        }
    }
    found
}

/// Tells whether an allowed request is rejected where the store cannot be reached.
fn needs_store(decision: &Decision<'_, '_>) -> bool {
    let Some(route) = decision
        .matched
        .route()
        .filter(|_| matches!(decision.outcome, Outcome::Allow(_)))
    else {
        return false;
    };
    let checks = &decision.checks;
    let quota = checks.quotas.iter().any(|quota| {
        let is_enforced = quota.mode == Mode::Enforce && route.mode == Mode::Enforce;
        is_enforced && quota.when_unavailable == Fallback::Deny
    });
    let key = checks
        .idempotency
        .is_some_and(|(rule, _)| rule.when_unavailable == Fallback::Deny);
    (quota && !checks.sandbox) || key
}

/// Compares the route and the service.
fn place(expected: &Expected, decision: &Decision<'_, '_>, misses: &mut Vec<Miss>) {
    let route = decision.matched.route().map(|route| route.pattern.as_str());
    let service = decision.matched.policy().map(|policy| policy.service.as_str());
    for (what, wanted, got) in [
        ("route", &expected.route, route),
        ("service", &expected.service, service),
    ] {
        if let Some(wanted) = wanted.as_deref().filter(|wanted| Some(*wanted) != got) {
            misses.push(Miss {
                wanted: format!("{what} {wanted}"),
                got: got.map_or_else(|| format!("no {what}"), |got| format!("{what} {got}")),
            });
        }
    }
}

/// Compares the headers that the service gets, and the response of Sidegate.
fn details(
    expected: &Expected,
    rehearsal: &Rehearsal,
    (decision, facts): (&Decision<'_, '_>, &RequestFacts<'_>),
    misses: &mut Vec<Miss>,
) {
    if let Some(forwarded) = rehearsal.answer_of(decision, facts).forwarded() {
        let mut headers = forwarded.headers.clone();
        // The service gets the address of every client, also where a test names none.
        headers.entry(&X_FORWARDED_FOR).or_insert(CLIENT);
        compare_headers(&expected.headers, &headers, misses);
        return;
    }
    let reply = rehearsal.reply_to(decision, facts);
    let Some(ExpectedResponse { status, headers, body }) = &expected.response else {
        return;
    };
    if let Some(status) = status.filter(|status| *status != reply.status) {
        misses.push(Miss {
            wanted: format!("status {status}"),
            got: format!("status {}", reply.status),
        });
    }
    compare_headers(headers, &reply.headers.iter().cloned().collect(), misses);
    let json = serde_json::from_slice(&reply.body).unwrap_or_default();
    for (path, wanted) in body {
        let found = at(&json, path);
        let fits = match (wanted, found) {
            (BodyExpectation::Absent, found) => found.is_none(),
            (BodyExpectation::Present, found) => found.is_some(),
            (BodyExpectation::Value(wanted), found) => found == Some(wanted),
        };
        if !fits {
            let wanted = match wanted {
                BodyExpectation::Absent => format!("no `{path}` in the body"),
                BodyExpectation::Present => format!("`{path}` in the body"),
                BodyExpectation::Value(value) => format!("`{path}` in the body to be {value}"),
            };
            let got = found.map_or_else(|| "none".to_owned(), ToString::to_string);
            misses.push(Miss {
                wanted,
                got: shortened(got),
            });
        }
    }
}

fn compare_headers(expected: &[(HeaderName, HeaderExpectation)], headers: &HeaderMap, misses: &mut Vec<Miss>) {
    for (name, expectation) in expected {
        let found = headers.get_all(name).iter();
        let found: Vec<_> = found.map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
        let (fits, wanted) = match expectation {
            HeaderExpectation::Absent => (found.is_empty(), format!("no {name}")),
            HeaderExpectation::Present => (!found.is_empty(), format!("{name}")),
            HeaderExpectation::Values(values) => (*values == found, format!("{name}: {}", values.join(", "))),
        };
        if !fits {
            let got = match found.is_empty() {
                true => format!("no {name}"),
                false => shortened(format!("{name}: {}", found.join(", "))),
            };
            let got = match expectation {
                HeaderExpectation::Values(values) if in_one_line(values, &found) => {
                    format!("{got} in one header line (a list means several: write one text)")
                }
                _ => got,
            };
            misses.push(Miss { wanted, got });
        }
    }
}

/// Whether several values that a test lists are found in one, with commas between them.
fn in_one_line(wanted: &[String], found: &[Cow<'_, str>]) -> bool {
    match found {
        [one] if wanted.len() > 1 => one.split(',').map(str::trim).eq(wanted.iter().map(String::as_str)),
        _ => false,
    }
}

/// The value at the end of names with dots between them. The items of a list have their numbers for names.
fn at<'j>(json: &'j Json, path: &str) -> Option<&'j Json> {
    let step = |value: &'j Json, name: &str| match value {
        Json::Array(items) => items.get(name.parse::<usize>().ok()?),
        other => other.get(name),
    };
    path.split('.').try_fold(json, step).filter(|value| !value.is_null())
}

fn shortened(text: String) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}
