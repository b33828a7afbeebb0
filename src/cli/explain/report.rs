//! What `explain` says.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue, Method};
use jiff::Timestamp;
use serde::Serialize;

use super::claims::MadeToken;
use crate::admission::forwarding::forwarded;
use crate::admission::local_response::LocalResponse;
use crate::admission::own_response::{Said, own_response};
use crate::admission::trace_context::RequestIds;
use crate::decision::{Decision, Observer, Outcome, Step};
use crate::document::masks::{is_secret_key, is_secret_text};
use crate::document::measures::{period, size};
use crate::policy::PolicySet;
use crate::policy::identity::INTERNAL_KEY;
use crate::policy::route::Route;
use crate::policy::token_sources::TokenPlaces;
use crate::rejection::{Reason, Rejection, Unverified};
use crate::request::target::shown_path;
use crate::request::{RequestFacts, query};

/// The steps of a decision, as they come.
#[derive(Debug)]
pub(super) struct Steps {
    reports: Vec<StepReport>,
    shows_values: bool,
    made: Option<MadeToken>,
}

impl Steps {
    /// No step yet, but a token that was made for the request.
    pub(super) fn new(shows_values: bool, made: Option<MadeToken>) -> Self {
        let token = made.as_ref().map(|made| StepReport {
            step: "token",
            outcome: "made",
            detail: made.describe(),
        });
        Self {
            reports: token.into_iter().collect(),
            shows_values,
            made,
        }
    }
}

#[derive(Debug, Serialize)]
struct StepReport {
    step: &'static str,
    outcome: &'static str,
    detail: String,
}

impl Observer for Steps {
    fn passed(&mut self, step: Step, how: impl FnOnce() -> String) {
        self.reports.push(StepReport {
            step: step.as_str(),
            outcome: "passed",
            detail: how(),
        });
    }

    fn blocked(&mut self, step: Step, how: impl FnOnce() -> String) {
        self.reports.push(StepReport {
            step: step.as_str(),
            outcome: "blocked",
            detail: how(),
        });
    }

    fn failed(&mut self, step: Step, rejection: &Rejection) {
        self.reports.push(StepReport {
            step: step.as_str(),
            outcome: "failed",
            detail: format!("{}: {}", rejection.reason().code(), rejection.cause()),
        });
    }

    fn shows_values(&self) -> bool {
        self.shows_values
    }
}

/// The whole report.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    decision: &'static str,
    reason: Option<&'static str>,
    /// Why, in verified facts.
    cause: Option<String>,
    /// What the client claims, where that is why: nothing verified it.
    unverified: Option<Unverified>,
    /// The status of the rejection, 200 where the service would answer, 204 where Sidegate would.
    status: u16,
    service: Option<String>,
    route: Option<String>,
    /// Where the route stands in its file.
    place: Option<String>,
    steps: Vec<StepReport>,
    /// The token that was made for the request, which no issuer signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    made_token: Option<MadeToken>,
    /// The path that the service would get, where it would get anything.
    forwarded_path: Option<String>,
    /// The headers that it would get.
    headers: BTreeMap<String, String>,
    /// The response that the client would get from Sidegate itself: to a rejected request, to a preflight, or with metadata.
    response: Option<Response>,
    #[serde(skip)]
    is_rejected: bool,
}

#[derive(Debug, Serialize)]
struct Response {
    status: u16,
    headers: BTreeMap<String, String>,
    body: String,
}

impl Report {
    pub(super) fn of(
        decision: &Decision<'_, '_>,
        steps: Steps,
        policies: &PolicySet,
        facts: &RequestFacts<'_>,
        now: Timestamp,
    ) -> Self {
        let (policy, route) = (decision.matched.policy(), decision.matched.route());
        let rejection = decision.outcome.rejection();
        let mut steps = steps;
        if rejection.is_none() && route.is_some_and(|route| !route.access_log) {
            steps.reports.push(StepReport {
                step: "log",
                outcome: "passed",
                detail: "off: no access line, unless the request fails".to_owned(),
            });
        }
        if rejection.is_none() {
            steps.reports.extend(route.and_then(own_limits));
        }
        let forwarded = decision.outcome.permit().is_some();
        let forwarding = policy.filter(|_| forwarded);
        let forwarded_query = forwarding.and_then(|policy| forwarded_query(&policy.sources.removed, facts.query));
        steps.reports.extend(forwarded_query);
        Self {
            decision: decision.outcome.label(),
            reason: rejection.map(|rejection| rejection.reason().code()),
            cause: rejection.map(|rejection| rejection.cause().to_owned()),
            unverified: rejection
                .map(|rejection| rejection.claimed().clone())
                .filter(|claimed| !claimed.is_empty()),
            status: match &decision.outcome {
                Outcome::Metadata if facts.method == Method::OPTIONS => 204,
                Outcome::Allow(_) | Outcome::ShadowDeny(..) | Outcome::Metadata => 200,
                Outcome::Deny(rejection) => rejection.reason().status(),
                Outcome::ServerOptions | Outcome::Preflight(_) => 204,
            },
            service: policy.map(|policy| policy.service.clone()),
            route: route.map(|route| route.pattern.clone()),
            place: route.map(|route| route.location.to_string()),
            steps: steps.reports,
            made_token: steps.made,
            forwarded_path: policy
                .filter(|_| forwarded)
                .zip(decision.path.as_ref())
                .map(|(policy, path)| policy.forwarded_path(path.as_str()).to_owned()),
            headers: service_headers(decision, facts),
            response: local_response(decision, policies, facts, now).map(|response| Response::shown(&response)),
            is_rejected: matches!(decision.outcome, Outcome::Deny(_)),
        }
    }

    /// Whether no route matches.
    pub(super) fn misses_route(&self) -> bool {
        self.reason == Some(Reason::RouteNotFound.code())
    }

    pub(super) fn is_rejected(&self) -> bool {
        self.is_rejected
    }

    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for step in &self.steps {
            let mark = match step.outcome {
                "passed" => "ok",
                "made" => "--",
                _ => "no",
            };
            let claimed = self.unverified.as_ref().filter(|_| step.outcome == "failed");
            let claimed = claimed.map(|claimed| format!(" (unverified: {claimed})"));
            let claimed = claimed.unwrap_or_default();
            let _ = writeln!(text, "{:<12} {mark}  {}{claimed}", step.step, step.detail);
        }
        let reason = self.reason.map(|reason| format!(" {reason}")).unwrap_or_default();
        let _ = writeln!(text, "\ndecision: {}{reason}", self.decision);
        if let Some(response) = &self.response {
            let _ = writeln!(text, "\nthe client would get {}:", response.status);
            list(&mut text, &response.headers);
            if !response.body.is_empty() {
                let _ = writeln!(text, "\n{}", response.body);
            }
        } else if self.service.is_some() {
            let path = self.forwarded_path.as_deref().unwrap_or_default();
            let _ = writeln!(text, "\nthe service would get the path {path} and these headers:");
            list(&mut text, &self.headers);
        }
        text
    }
}

/// What the service gets of a query with a token.
fn forwarded_query(removed: &TokenPlaces, query: &[u8]) -> Option<StepReport> {
    let left = query::without(query, |name| removed.is_query(name))?;
    let has = |name: &&String| query::parameters(query).any(|(written, _)| query::is_name(written, name));
    let names = removed.queries.iter().filter(has).map(|name| format!("`{name}`"));
    let names = names.collect::<Vec<_>>().join(", ");
    let rest = match left.is_empty() {
        true => "and there are no other parameters",
        false => "and the other parameters stay",
    };
    Some(StepReport {
        step: "query",
        outcome: "passed",
        detail: format!("{names} does not reach the service, {rest}"),
    })
}

/// The limits that the route has in place of those of the policy and of the process.
fn own_limits(route: &Route) -> Option<StepReport> {
    let timeout = route.timeout.map(|timeout| format!("`timeout` {}", period(timeout)));
    let body = route.body_bytes.map(|bytes| format!("`body_bytes` {}", size(bytes)));
    let own: Vec<_> = timeout.into_iter().chain(body).collect();
    (!own.is_empty()).then(|| StepReport {
        step: "limits",
        outcome: "passed",
        detail: format!("of the route: {}", own.join(", ")),
    })
}

fn list(text: &mut String, headers: &BTreeMap<String, String>) {
    for (name, value) in headers {
        let _ = writeln!(text, "  {name}: {value}");
    }
}

fn service_headers(decision: &Decision<'_, '_>, facts: &RequestFacts<'_>) -> BTreeMap<String, String> {
    let matched = decision.matched;
    let (Some(permit), Some(policy), Some(route)) = (decision.outcome.permit(), matched.policy(), matched.route())
    else {
        return BTreeMap::new();
    };
    let headers = forwarded(facts, policy, route, permit);
    let mut shown_headers = BTreeMap::new();
    for name in headers.keys() {
        let values = headers.get_all(name).iter();
        let values: Vec<_> = values.map(|value| shown(name, value, policy.key_header())).collect();
        shown_headers.insert(name.to_string(), values.join(", "));
    }
    shown_headers
        .entry("x-forwarded-for".into())
        .or_insert_with(|| "(client)".into());
    shown_headers
}

/// A value as it may be shown: credentials are masked.
fn shown(name: &HeaderName, value: &HeaderValue, key: &HeaderName) -> String {
    let text = String::from_utf8_lossy(value.as_bytes());
    let scheme = || {
        SCHEMES
            .into_iter()
            .find(|scheme| text.starts_with(&format!("{scheme} ")))
    };
    match (*name == AUTHORIZATION).then(scheme).flatten() {
        Some(scheme) => format!("{scheme} (masked)"),
        None if name == key || is_credential(name) || is_secret_text(&text) => "(masked)".into(),
        None => text.into_owned(),
    }
}

/// The schemes of credentials that are shown: what stands before a space may be part of a secret.
const SCHEMES: [&str; 3] = ["Bearer", "Basic", "DPoP"];

/// Whether the name of a header speaks of a credential.
fn is_credential(name: &HeaderName) -> bool {
    const WORDS: [&str; 6] = ["assertion", "authorization", "cookie", "dpop", "jwt", "signature"];
    let name = name.as_str();
    let is_key = name.ends_with("-key") && !["idempotency-key", "sec-websocket-key"].contains(&name);
    is_key || WORDS.iter().any(|word| name.contains(word)) || is_secret_key(name)
}

/// Makes the response that Sidegate itself would send.
fn local_response(
    decision: &Decision<'_, '_>,
    policies: &PolicySet,
    facts: &RequestFacts<'_>,
    now: Timestamp,
) -> Option<LocalResponse> {
    let said = Said {
        ids: &RequestIds::shown(facts.headers, false),
        path: &shown_path(facts.path, facts.query),
        now,
    };
    own_response(decision, policies, facts, &said)
}

impl Response {
    fn shown(response: &LocalResponse) -> Self {
        let headers = response.headers.iter();
        let headers = headers.map(|(name, value)| (name.to_string(), shown(name, value, &INTERNAL_KEY)));
        Self {
            status: response.status,
            headers: headers.collect(),
            body: String::from_utf8_lossy(&response.body).into_owned(),
        }
    }
}
