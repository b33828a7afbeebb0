//! The metrics of requests, before their labels are chosen.

use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts};

use super::registry::Registry;
use super::sum::register_sum;

/// The upper bounds of a decision, in seconds: from microseconds to a slow signature.
const DECISION_BUCKETS: &[f64] = &[
    5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2,
];

/// The metrics of the requests of one thread, with all their labels.
#[derive(Debug, Clone)]
pub(super) struct RequestVectors {
    pub(super) requests: IntCounterVec,
    pub(super) decisions: IntCounterVec,
    pub(super) failures: IntCounterVec,
    pub(super) omitted_headers: IntCounterVec,
    pub(super) condition_types: IntCounterVec,
    pub(super) request_duration: HistogramVec,
    pub(super) upstream_duration: HistogramVec,
    pub(super) decision_duration: HistogramVec,
}

impl RequestVectors {
    pub(super) fn new() -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str, labels: &[&str]| IntCounterVec::new(Opts::new(name, help), labels);
        let histogram = |name: &str, help: &str, buckets: &[f64]| {
            let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
            HistogramVec::new(options, &["service"])
        };
        Ok(Self {
            requests: counter(
                "sidegate_requests_total",
                "Requests with a response. An unusual method is `other`, an unusual status `4xx` and the like; `none` if the client left before the response.",
                &["service", "route", "method", "status"],
            )?,
            decisions: counter(
                "sidegate_decisions_total",
                "Each decision once: `allow`, `deny`, `shadow_deny`, `preflight` or `metadata`, with the reason code of the rejection. The reason of the others is empty.",
                &["service", "route", "auth", "decision", "reason"],
            )?,
            failures: counter(
                "sidegate_failures_total",
                "Requests that failed after their decision, by reason code: `upstream_timeout`, or `body_too_large` for a body without a length.",
                &["service", "route", "failure"],
            )?,
            omitted_headers: counter(
                "sidegate_identity_headers_omitted_total",
                "Forwarded requests without an identity header, because the value in the token cannot stand in a header.",
                &["service", "header"],
            )?,
            condition_types: counter(
                "sidegate_conditions_type_total",
                "Requests that a condition rejected because the claim has a type that it does not compare. Change the policy or the issuer.",
                &["service", "route"],
            )?,
            request_duration: histogram(
                "sidegate_request_duration_seconds",
                "Time from the head of a request to the end of its response.",
                prometheus::DEFAULT_BUCKETS,
            )?,
            upstream_duration: histogram(
                "sidegate_upstream_duration_seconds",
                "Time from choosing the upstream to the head of its response.",
                prometheus::DEFAULT_BUCKETS,
            )?,
            decision_duration: histogram(
                "sidegate_decision_duration_seconds",
                "Time from the head of a request to the decision, without questions to the store.",
                DECISION_BUCKETS,
            )?,
        })
    }

    /// Registers the sums of all threads.
    pub(super) fn register(registry: &Registry, threads: &[&Self]) -> Result<(), prometheus::Error> {
        register_sum(registry, threads, |thread| &thread.requests)?;
        register_sum(registry, threads, |thread| &thread.decisions)?;
        register_sum(registry, threads, |thread| &thread.failures)?;
        register_sum(registry, threads, |thread| &thread.omitted_headers)?;
        register_sum(registry, threads, |thread| &thread.condition_types)?;
        register_sum(registry, threads, |thread| &thread.request_duration)?;
        register_sum(registry, threads, |thread| &thread.upstream_duration)?;
        register_sum(registry, threads, |thread| &thread.decision_duration)
    }
}
