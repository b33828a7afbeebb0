//! What is counted of the store itself.

use std::fmt;
use std::sync::{Arc, OnceLock};

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Gauge, GaugeVec, IntCounterVec, IntGauge, Opts};

use super::gauge_value::seconds;
use super::registry::{Registry, register};

/// Counters and gauges of the store.
#[derive(Clone)]
pub struct StoreMetrics {
    operations: IntCounterVec,
    up: IntGauge,
    revocations: IntGauge,
    complete: GaugeVec,
    memory: Arc<OnceLock<Usage>>,
}

impl fmt::Debug for StoreMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreMetrics").finish_non_exhaustive()
    }
}

impl StoreMetrics {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let gauge = |name: &str, help: &str| register(registry, IntGauge::new(name, help)?);
        let operations = Opts::new(
            "sidegate_store_operations_total",
            "Operations of the store: `claim`, `renew`, `read`, `complete`, `release`, `spend`, `revoke`, `connect`, `follow`. Any result but `ok` is worth a look.",
        );
        let operations = register(registry, IntCounterVec::new(operations, &["operation", "result"])?)?;
        // An alert sees the first key that is lost only if there was a number before it.
        for operation in ["renew", "complete"] {
            operations.with_label_values(&[operation, "lost"]);
        }
        let memory = Arc::<OnceLock<Usage>>::default();
        registry.register(MemoryGauges::new(Arc::clone(&memory))?)?;
        Ok(Self {
            operations,
            memory,
            up: gauge("sidegate_store_up", "1 while the store responds, else 0.")?,
            revocations: gauge("sidegate_revocations", "Revocations that this replica knows.")?,
            // Without labels, and yet there only once it has a value.
            complete: register(
                registry,
                GaugeVec::new(
                    Opts::new(
                        "sidegate_revocations_last_complete_timestamp_seconds",
                        "When this replica last knew all revocations in Redis.",
                    ),
                    &[],
                )?,
            )?,
        })
    }

    /// Shows from now on how much of its room a store in memory uses.
    pub fn show_memory(&self, usage: impl Fn() -> Option<MemoryUsage> + Send + Sync + 'static) {
        // A process has one store.
        let _ = self.memory.set(Box::new(usage));
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

/// How much of its room a store in memory uses, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MemoryUsage {
    /// All that there is.
    pub limit: usize,
    /// What is used of it.
    pub used: usize,
    /// How many responses and claims use it.
    pub records: usize,
    /// What the tenant uses that uses the most, or the caller without one.
    pub largest_share: usize,
}

/// Reports how much a store in memory uses, as long as it exists.
type Usage = Box<dyn Fn() -> Option<MemoryUsage> + Send + Sync>;

/// The gauges of a store in memory, which are set when they are asked for; 0 without one.
struct MemoryGauges {
    usage: Arc<OnceLock<Usage>>,
    gauges: [IntGauge; 4],
}

impl MemoryGauges {
    fn new(usage: Arc<OnceLock<Usage>>) -> Result<Self, prometheus::Error> {
        let gauge = |name: &str, help: &str| IntGauge::new(format!("sidegate_store_memory_{name}"), help);
        let gauges = [
            gauge(
                "limit_bytes",
                "The room of a store in memory for responses to requests with an idempotency key. 0 with Redis.",
            )?,
            gauge("used_bytes", "How much of this room is in use.")?,
            gauge("records", "Stored responses, and claims of requests in flight.")?,
            gauge(
                "largest_share_bytes",
                "The largest share of one tenant, or of one caller without a tenant.",
            )?,
        ];
        Ok(Self { usage, gauges })
    }
}

impl Collector for MemoryGauges {
    fn desc(&self) -> Vec<&Desc> {
        self.gauges.iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let usage = self.usage.get().and_then(|usage| usage()).unwrap_or_default();
        let values = [usage.limit, usage.used, usage.records, usage.largest_share];
        for (gauge, value) in self.gauges.iter().zip(values) {
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        }
        self.gauges.iter().flat_map(Collector::collect).collect()
    }
}
