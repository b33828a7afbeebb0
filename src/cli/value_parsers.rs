//! Values of flags that several commands take.

use std::time::Duration;

use jiff::Timestamp;

use crate::document::scalars::HumanDuration;

/// A moment, as in `2026-02-24T12:00:00Z`, or in seconds since the epoch.
pub(super) fn time(text: &str) -> Result<Timestamp, String> {
    let seconds = text
        .parse()
        .ok()
        .and_then(|seconds| Timestamp::from_second(seconds).ok());
    let time = seconds.or_else(|| text.parse().ok());
    time.ok_or_else(|| "write `2026-02-24T12:00:00Z`, or seconds since the epoch".to_owned())
}

/// A length of time, as in `24h` or `30d`.
pub(super) fn period(text: &str) -> Result<Duration, String> {
    let period: Option<HumanDuration> = text.parse().ok();
    period
        .map(|HumanDuration(period)| period)
        .ok_or_else(|| "write a length of time such as `15m`, `24h` or `30d`".to_owned())
}

/// The value of a variable; one that is set to nothing is as good as unset.
pub(super) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
