//! What is counted of requests. Each place of a policy set has its counters at hand, so that a
//! request finds them by index.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::{HeaderName, Method};
use prometheus::{Histogram, HistogramVec, IntCounter, IntGauge};

use super::NONE;
use super::label_cache::LabelCache;
use super::threads::ThreadMetrics;
use crate::authn::token_cache::CacheResult;
use crate::policy::route::Route;
use crate::policy::{PolicySet, Scope};
use crate::rejection::Reason;

/// Counts the requests of one thread to a policy set. What was counted for the same labels before stays.
#[derive(Debug)]
pub struct PolicyMetrics {
    policies: Arc<PolicySet>,
    thread: ThreadMetrics,
    services: Vec<ServiceMetrics>,
    no_service: ServiceMetrics,
}

/// Counters of one policy, or of requests for none.
#[derive(Debug, Default)]
struct ServiceMetrics {
    request_duration: OnceLock<Histogram>,
    upstream_duration: OnceLock<Histogram>,
    decision_duration: OnceLock<Histogram>,
    idempotency: LabelCache<&'static str, IntCounter>,
    failed_open: LabelCache<&'static str, IntCounter>,
    /// Most of many routes are never asked for, and take no more than this.
    routes: Vec<OnceLock<Box<RouteMetrics>>>,
    no_route: RouteMetrics,
}

/// Counters of one route, or of requests for none.
#[derive(Debug, Default)]
struct RouteMetrics {
    decisions: LabelCache<(&'static str, Option<Reason>), IntCounter>,
    failures: LabelCache<Reason, IntCounter>,
    requests: LabelCache<(&'static str, u16), IntCounter>,
    quotas: LabelCache<(usize, &'static str), IntCounter>,
    condition_types: OnceLock<IntCounter>,
}

impl PolicyMetrics {
    /// Prepares to count.
    pub fn new(thread: &ThreadMetrics, policies: Arc<PolicySet>) -> Self {
        let of_service = |routes: usize| ServiceMetrics {
            routes: (0..routes).map(|_| OnceLock::new()).collect(),
            ..ServiceMetrics::default()
        };
        // From the start, so that alerts see the first one.
        for policy in policies.policies() {
            let with_conditions = policy
                .routes
                .iter()
                .filter(|route| !route.requirement.conditions.is_empty());
            for route in with_conditions {
                let labels = [&policy.service, &route.pattern];
                thread.requests.condition_types.with_label_values(&labels);
            }
        }
        let routes = policies.policies().iter().map(|policy| policy.routes.len());
        Self {
            thread: thread.clone(),
            services: routes.map(of_service).collect(),
            no_service: ServiceMetrics::default(),
            policies,
        }
    }

    /// The number of requests of the thread that are not yet answered.
    pub fn in_flight(&self) -> &IntGauge {
        &self.thread.in_flight
    }

    /// Counts a token that was looked for among those that are known.
    pub fn token_lookup(&self, lookup: CacheResult) {
        self.thread.token_lookups.count(lookup);
    }

    /// Counts an answered request.
    pub fn request(&self, scope: Scope, method: &Method, status: u16, took: Duration) {
        let key = (method_label(method), status_key(status));
        let counter = self.route(scope).requests.get(key, || {
            let labels = [
                self.service_label(scope),
                self.route_label(scope),
                key.0,
                &status_label(key.1),
            ];
            self.thread.requests.requests.with_label_values(&labels)
        });
        counter.inc();
        let histogram = &self.service(scope.policy).request_duration;
        self.observe(histogram, &self.thread.requests.request_duration, scope, took);
    }

    /// Counts a request that failed after its decision.
    pub fn failure(&self, scope: Scope, failure: Reason) {
        let counter = self.route(scope).failures.get(failure, || {
            let labels = [self.service_label(scope), self.route_label(scope), failure.code()];
            self.thread.requests.failures.with_label_values(&labels)
        });
        counter.inc();
    }

    /// Counts a request that is forwarded without an identity header of its policy.
    pub fn omitted_header(&self, scope: Scope, header: &HeaderName) {
        let labels = [self.service_label(scope), header.as_str()];
        self.thread.requests.omitted_headers.with_label_values(&labels).inc();
    }

    /// Counts a decision that a condition made because of the type of a claim.
    pub fn condition_type(&self, scope: Scope) {
        let labels = [self.service_label(scope), self.route_label(scope)];
        let look_up = || self.thread.requests.condition_types.with_label_values(&labels);
        self.route(scope).condition_types.get_or_init(look_up).inc();
    }

    /// Counts a decision, with its reason unless the request is allowed.
    pub fn decision(&self, scope: Scope, decision: &'static str, reason: Option<Reason>, took: Duration) {
        let counter = self.route(scope).decisions.get((decision, reason), || {
            let auth = self.found(scope).map_or(NONE, Route::auth_label);
            let reason = reason.map_or("", Reason::code);
            let labels = [
                self.service_label(scope),
                self.route_label(scope),
                auth,
                decision,
                reason,
            ];
            self.thread.requests.decisions.with_label_values(&labels)
        });
        counter.inc();
        let histogram = &self.service(scope.policy).decision_duration;
        self.observe(histogram, &self.thread.requests.decision_duration, scope, took);
    }

    /// Times the head of a service's response.
    pub fn upstream(&self, scope: Scope, took: Duration) {
        let histogram = &self.service(scope.policy).upstream_duration;
        self.observe(histogram, &self.thread.requests.upstream_duration, scope, took);
    }

    /// Counts a request with a key: `first`, `replayed`, `in_progress`, `reused` or `unavailable`.
    pub fn idempotency(&self, scope: Scope, result: &'static str) {
        let look_up = || {
            self.thread
                .store_features
                .idempotency(self.service_label(scope), result)
        };
        self.service(scope.policy).idempotency.get(result, look_up).inc();
    }

    /// Counts a request in a quota, by its position among those of the route: `allow`, `deny`,
    /// `shadow_deny`, `sandbox` or `unavailable`.
    pub fn quota(&self, scope: Scope, position: usize, result: &'static str) {
        let look_up = || {
            let quota = self.found(scope).and_then(|route| route.quotas.get(position));
            let name = quota.map_or(NONE, |quota| &quota.name);
            self.thread
                .store_features
                .quota(self.service_label(scope), name, result)
        };
        self.route(scope).quotas.get((position, result), look_up).inc();
    }

    /// Counts a request that passed without `revocation`, `idempotency` or `quota`.
    pub fn failed_open(&self, scope: Scope, feature: &'static str) {
        let look_up = || {
            self.thread
                .store_features
                .failed_open(self.service_label(scope), feature)
        };
        self.service(scope.policy).failed_open.get(feature, look_up).inc();
    }

    fn observe(&self, histogram: &OnceLock<Histogram>, all: &HistogramVec, scope: Scope, took: Duration) {
        let histogram = histogram.get_or_init(|| all.with_label_values(&[self.service_label(scope)]));
        histogram.observe(took.as_secs_f64());
    }

    fn service(&self, policy: Option<usize>) -> &ServiceMetrics {
        let service = policy.and_then(|policy| self.services.get(policy));
        service.unwrap_or(&self.no_service)
    }

    fn route(&self, scope: Scope) -> &RouteMetrics {
        let service = self.service(scope.policy);
        let slot = scope.route.and_then(|index| service.routes.get(index.route));
        slot.map_or(&service.no_route, |slot| slot.get_or_init(Box::default))
    }

    fn found(&self, scope: Scope) -> Option<&Route> {
        self.policies.matched(scope).route()
    }

    fn service_label(&self, scope: Scope) -> &str {
        let policy = self.policies.matched(scope).policy();
        policy.map_or(NONE, |policy| &policy.service)
    }

    fn route_label(&self, scope: Scope) -> &str {
        self.found(scope).map_or(NONE, |route| &route.pattern)
    }
}

/// One of the nine standard methods (RFC 9110, 9.3 and RFC 5789), or `other`.
fn method_label(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        "TRACE" => "TRACE",
        "CONNECT" => "CONNECT",
        _ => "other",
    }
}

/// The status, or its class: a service may send unregistered statuses.
fn status_key(status: u16) -> u16 {
    match status {
        100
        | 101
        | 103
        | 200..=206
        | 300..=304
        | 307
        | 308
        | 400..=406
        | 408..=410
        | 412..=417
        | 422
        | 425
        | 426
        | 428
        | 429
        | 431
        | 500..=504 => status,
        100..=599 => status / 100,
        _ => 0,
    }
}

/// The text of a [`status_key`].
fn status_label(key: u16) -> String {
    match key {
        0 => NONE.to_owned(),
        1..=5 => format!("{key}xx"),
        _ => key.to_string(),
    }
}

#[cfg(test)]
mod tests;
