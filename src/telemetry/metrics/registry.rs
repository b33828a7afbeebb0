//! The registry of metrics, and what the documentation says of each.

use std::cell::RefCell;

use prometheus::core::Collector;
use prometheus::proto::MetricType;

/// Registers metrics, and describes them where that is asked for: it collects each of them once.
#[derive(Debug, Default)]
pub(super) struct Registry {
    metrics: prometheus::Registry,
    describes: bool,
    families: RefCell<Vec<MetricFamily>>,
}

/// A metric as the documentation describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricFamily {
    /// The name, as in `sidegate_requests_total`.
    pub name: String,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// The names of its labels.
    pub labels: Vec<String>,
    /// What it counts or shows.
    pub help: String,
}

impl Registry {
    /// A registry that describes its metrics.
    pub(super) fn describing() -> Self {
        Self {
            describes: true,
            ..Self::default()
        }
    }

    /// Registers a metric.
    pub(super) fn register<C: Collector + 'static>(&self, collector: C) -> Result<(), prometheus::Error> {
        if self.describes {
            self.families.borrow_mut().extend(describe(&collector));
        }
        self.metrics.register(Box::new(collector))
    }

    /// The registry to gather samples from.
    pub(super) fn metrics(&self) -> prometheus::Registry {
        self.metrics.clone()
    }

    /// The descriptions, in the order in which the metrics were registered.
    pub(super) fn families(&self) -> Vec<MetricFamily> {
        self.families.borrow().clone()
    }
}

/// Registers a metric and returns it.
pub(super) fn register<C: Collector + Clone + 'static>(
    registry: &Registry,
    collector: C,
) -> Result<C, prometheus::Error> {
    registry.register(collector.clone())?;
    Ok(collector)
}

/// Describes the metrics of a collector. A metric without a sample has its type all the same.
fn describe(collector: &impl Collector) -> Vec<MetricFamily> {
    let families = collector.collect();
    let described = collector.desc().into_iter().map(|description| {
        let family = families.iter().find(|family| family.name() == description.fq_name);
        let constant = description.const_label_pairs.iter().map(|pair| pair.name().to_owned());
        MetricFamily {
            name: description.fq_name.clone(),
            kind: family.map_or("gauge", |family| kind(family.get_field_type())),
            labels: constant.chain(description.variable_labels.iter().cloned()).collect(),
            help: description.help.clone(),
        }
    });
    described.collect()
}

fn kind(metric: MetricType) -> &'static str {
    match metric {
        MetricType::COUNTER => "counter",
        MetricType::HISTOGRAM => "histogram",
        MetricType::SUMMARY => "summary",
        MetricType::GAUGE | MetricType::UNTYPED => "gauge",
    }
}
