//! Counts and times as values of gauges.

/// Returns a count as a gauge shows it.
pub(super) fn number(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

/// Returns seconds since the epoch as a gauge shows them.
#[expect(clippy::cast_precision_loss, reason = "seconds since the epoch are far below 2^53")]
pub(super) fn seconds(at: i64) -> f64 {
    at as f64
}
