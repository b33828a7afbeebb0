//! What is counted of state that replicas share. Each label is from a policy or a closed set.

use prometheus::{IntCounter, IntCounterVec, Opts};

use super::registry::Registry;
use super::sum::register_sum;
use crate::policy::PolicySet;

/// Counters of one thread: idempotency, quotas, and requests that passed without the store.
#[derive(Debug, Clone)]
pub struct StoreFeatureMetrics {
    idempotency: IntCounterVec,
    quotas: IntCounterVec,
    failed_open: IntCounterVec,
}

impl StoreFeatureMetrics {
    pub(super) fn new() -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str, labels: &[&str]| IntCounterVec::new(Opts::new(name, help), labels);
        Ok(Self {
            idempotency: counter(
                "sidegate_idempotency_requests_total",
                "Requests with an idempotency key: `first`, `replayed`, `in_progress`, `reused`, `unavailable`.",
                &["service", "result"],
            )?,
            quotas: counter(
                "sidegate_quota_requests_total",
                "Requests that a quota decided: `allow`, `deny`, `shadow_deny`, `sandbox`, `unavailable`.",
                &["service", "quota", "result"],
            )?,
            failed_open: counter(
                "sidegate_fail_open_total",
                "Requests that passed without `revocation`, `idempotency` or `quota` because the store was unavailable. Page on any increase.",
                &["service", "feature"],
            )?,
        })
    }

    /// Registers the sums of all threads.
    pub(super) fn register(registry: &Registry, threads: &[&Self]) -> Result<(), prometheus::Error> {
        register_sum(registry, threads, |thread| &thread.idempotency)?;
        register_sum(registry, threads, |thread| &thread.quotas)?;
        register_sum(registry, threads, |thread| &thread.failed_open)
    }

    pub(super) fn idempotency(&self, service: &str, result: &str) -> IntCounter {
        self.idempotency.with_label_values(&[service, result])
    }

    pub(super) fn quota(&self, service: &str, quota: &str, result: &str) -> IntCounter {
        self.quotas.with_label_values(&[service, quota, result])
    }

    pub(super) fn failed_open(&self, service: &str, feature: &str) -> IntCounter {
        self.failed_open.with_label_values(&[service, feature])
    }

    /// Shows from the start what policies may count, so that alerts see the first of it.
    pub fn preregister(&self, policies: &PolicySet) {
        for policy in policies.policies() {
            let routes = || policy.routes.iter();
            let features = [
                ("revocation", policy.revocation.is_some()),
                ("idempotency", routes().any(|route| route.idempotency.is_some())),
                ("quota", routes().any(|route| !route.quotas.is_empty())),
            ];
            for (feature, _) in features.iter().filter(|(_, used)| *used) {
                self.failed_open.with_label_values(&[policy.service.as_str(), feature]);
            }
        }
    }
}
