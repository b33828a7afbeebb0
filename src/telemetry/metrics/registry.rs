//! How a metric comes into the registry.

use prometheus::Registry;
use prometheus::core::Collector;

/// Registers a metric and returns it.
pub(super) fn register<C: Collector + Clone + 'static>(
    registry: &Registry,
    collector: C,
) -> Result<C, prometheus::Error> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}
