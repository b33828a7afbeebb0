//! What tests cover, for people and as JSON.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::Value;

use super::measure::{Coverage, Unnoticed};
use super::routes::{Missing, RouteCoverage};
use super::weakening::Kind;
use crate::policy_diff::Example;
use crate::policy_diff::caller_class::CallerClass;

/// As JSON has it: the sum of all policies.
#[derive(Debug, Serialize)]
pub struct CoverageReport<'c> {
    routes: RoutesReport<'c>,
    weakenings: WeakeningsReport<'c>,
}

#[derive(Debug, Serialize)]
struct RoutesReport<'c> {
    total: usize,
    reached: usize,
    missing: Vec<RouteReport<'c>>,
}

#[derive(Debug, Serialize)]
struct RouteReport<'c> {
    route: &'c str,
    place: String,
    never: Missing,
}

#[derive(Debug, Serialize)]
struct WeakeningsReport<'c> {
    total: usize,
    noticed: usize,
    unnoticed: Vec<UnnoticedReport<'c>>,
}

#[derive(Debug, Serialize)]
struct UnnoticedReport<'c> {
    kind: &'static str,
    subject: &'c str,
    change: &'c str,
    place: String,
    caller: &'c CallerClass,
    was: &'c str,
    now: &'c str,
    example: ExampleReport<'c>,
}

#[derive(Debug, Serialize)]
struct ExampleReport<'c> {
    host: &'c str,
    method: &'c str,
    path: &'c str,
}

impl<'c> CoverageReport<'c> {
    /// Sums up what tests cover of some policies.
    pub fn of(coverages: &'c [Coverage]) -> Self {
        let routes = || coverages.iter().flat_map(|coverage| &coverage.routes);
        let unnoticed = coverages.iter().flat_map(|coverage| &coverage.unnoticed);
        Self {
            routes: RoutesReport {
                total: routes().count(),
                reached: routes().filter(|route| is_reached(route)).count(),
                missing: routes().filter_map(RouteReport::of).collect(),
            },
            weakenings: WeakeningsReport {
                total: coverages.iter().map(|coverage| coverage.weakenings).sum(),
                noticed: coverages.iter().map(Coverage::noticed).sum(),
                unnoticed: unnoticed.map(UnnoticedReport::of).collect(),
            },
        }
    }
}

impl<'c> RouteReport<'c> {
    fn of(route: &'c RouteCoverage) -> Option<Self> {
        Some(Self {
            route: &route.name,
            place: route.location.to_string(),
            never: route.missing?,
        })
    }
}

impl<'c> UnnoticedReport<'c> {
    fn of(unnoticed: &'c Unnoticed) -> Self {
        let request = &unnoticed.request;
        Self {
            kind: unnoticed.kind.as_str(),
            subject: &unnoticed.subject,
            change: &unnoticed.words,
            place: unnoticed.location.to_string(),
            caller: &unnoticed.caller.caller,
            was: &unnoticed.caller.was,
            now: &unnoticed.caller.now,
            example: ExampleReport {
                host: &request.host,
                method: request.method.as_str(),
                path: &request.path,
            },
        }
    }
}

/// Describes what tests cover, set by set; each with its files if there are several.
pub fn describe(coverages: &[Coverage]) -> String {
    let mut text = String::new();
    for coverage in coverages {
        if coverages.len() > 1 {
            let (policies, tests) = (coverage.policies.join(", "), coverage.tests.join(", "));
            _ = writeln!(text, "{policies} by {tests}");
        }
        _ = writeln!(text, "routes      {}", routes(&coverage.routes));
        _ = writeln!(text, "weakenings  {}", weakenings(coverage));
        unnoticed(&mut text, &coverage.unnoticed);
    }
    text
}

fn is_reached(route: &RouteCoverage) -> bool {
    route.missing != Some(Missing::Reached)
}

/// `3 of 3 reached; never rejected: /x`.
fn routes(routes: &[RouteCoverage]) -> String {
    let reached = routes.iter().filter(|route| is_reached(route)).count();
    let mut text = format!("{reached} of {} reached", routes.len());
    for missing in [Missing::Reached, Missing::LetThrough, Missing::Refused] {
        let names = routes.iter().filter(|route| route.missing == Some(missing));
        let names: Vec<_> = names.map(|route| route.name.as_str()).collect();
        if !names.is_empty() {
            _ = write!(text, "; {}: {}", missing.words(), names.join(", "));
        }
    }
    text
}

fn weakenings(coverage: &Coverage) -> String {
    match (coverage.weakenings, coverage.unnoticed.is_empty()) {
        (0, _) => "none: no step would let in callers who are rejected".to_owned(),
        (count, true) => format!("{count} of {count} noticed"),
        (count, false) => format!("{} of {count} noticed. No test fails if", coverage.noticed()),
    }
}

/// A line for each, in columns, and below it who would get in.
fn unnoticed(text: &mut String, unnoticed: &[Unnoticed]) {
    let width = |column: fn(&Unnoticed) -> &str| unnoticed.iter().map(|one| column(one).chars().count()).max();
    let subjects = width(|one| &one.subject).unwrap_or_default();
    let words = width(|one| &one.words).unwrap_or_default();
    for one in unnoticed {
        let (subject, change, place) = (&one.subject, &one.words, &one.location);
        _ = writeln!(text, "  {subject:<subjects$}  {change:<words$}  {place}");
        _ = writeln!(text, "  {:<subjects$}    {}", "", one.lets_in());
    }
}

impl Unnoticed {
    /// Says what is not noticed.
    pub fn sentence(&self) -> String {
        format!("no test fails if {} {}", self.subject, self.words)
    }

    /// Says who would get in.
    pub fn lets_in(&self) -> String {
        let Example { method, path, .. } = &self.request;
        format!("lets in {}: {method} {path}", self.callers())
    }

    /// Describes the callers. A name that stands for many is left out.
    fn callers(&self) -> String {
        let caller = &self.caller.caller;
        let binding = caller.token.as_ref().and_then(|token| token.claims.get("cnf"));
        match (self.kind, binding) {
            (Kind::Binding, Some(Value::Null)) => "tokens that are not bound".to_owned(),
            (Kind::Binding, _) => "tokens that are bound to the key of another client".to_owned(),
            (Kind::Issuer, _)
                if caller
                    .token
                    .as_ref()
                    .is_some_and(|token| token.issuer.as_deref() == Some("unchecked")) =>
            {
                "tokens of any issuer".to_owned()
            }
            _ => caller.words(),
        }
    }
}
