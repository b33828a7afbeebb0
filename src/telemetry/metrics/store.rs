//! What is counted of the store itself.

use prometheus::{Gauge, GaugeVec, IntCounterVec, IntGauge, Opts, Registry};

use super::{register, seconds};

/// Counters and gauges of the store.
#[derive(Debug, Clone)]
pub struct StoreMetrics {
    operations: IntCounterVec,
    up: IntGauge,
    revocations: IntGauge,
    complete: GaugeVec,
}

impl StoreMetrics {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let gauge = |name: &str, help: &str| register(registry, IntGauge::new(name, help)?);
        let operations = Opts::new(
            "sidegate_store_operations_total",
            "Questions to the store, by operation and result.",
        );
        let operations = register(registry, IntCounterVec::new(operations, &["operation", "result"])?)?;
        // An alert sees the first key that is lost only if there was a number before it.
        for operation in ["renew", "complete"] {
            operations.with_label_values(&[operation, "lost"]);
        }
        Ok(Self {
            operations,
            up: gauge("sidegate_store_up", "Whether the store answers: 1 or 0.")?,
            revocations: gauge("sidegate_revocations", "Revocations that are known.")?,
            // Without labels, and yet there only once it has a value.
            complete: register(
                registry,
                GaugeVec::new(
                    Opts::new(
                        "sidegate_revocations_last_complete_timestamp_seconds",
                        "When the list of revocations was known to be complete last; of a store in Redis.",
                    ),
                    &[],
                )?,
            )?,
        })
    }

    /// Counts a question to the store.
    pub fn operation(&self, operation: &str, result: &str) {
        self.operations.with_label_values(&[operation, result]).inc();
    }

    /// Notes whether the store answers.
    pub fn up(&self, up: bool) {
        self.up.set(i64::from(up));
    }

    /// Notes how many revocations are known.
    pub fn revocations(&self, count: usize) {
        self.revocations.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Notes that the list of revocations was complete at a moment.
    pub fn complete(&self, at: jiff::Timestamp) {
        self.last_complete().set(seconds(at.as_second()));
    }

    fn last_complete(&self) -> Gauge {
        let none: [&str; 0] = [];
        self.complete.with_label_values(&none)
    }
}
