//! The `RateLimit` header fields of a response (draft-ietf-httpapi-ratelimit-headers).

use std::fmt::Write as _;
use std::time::Duration;

use http::{HeaderName, HeaderValue};

use crate::policy::store_rules::Quota;
use crate::quota::{Rate, Spent};

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// The quotas that a request was counted in, with what is left of each.
#[derive(Debug, Clone, Default)]
pub struct RateLimits {
    policy: String,
    limits: String,
}

impl RateLimits {
    /// Adds a quota, with what is left of it.
    pub fn record(&mut self, quota: &Quota, rate: Rate, spent: Spent) {
        let separator = if self.policy.is_empty() { "" } else { ", " };
        let (name, limit) = (&quota.name, rate.limit());
        let window = whole_seconds(quota.window);
        let _infallible = write!(self.policy, r#"{separator}"{name}";q={limit};w={window}"#);
        let (remaining, reset) = (spent.remaining, whole_seconds(spent.reset));
        let _infallible = write!(self.limits, r#"{separator}"{name}";r={remaining};t={reset}"#);
    }

    /// Returns the header fields. Returns none if the request was counted in no quota.
    pub fn fields(&self) -> Vec<(HeaderName, HeaderValue)> {
        let fields = [(RATE_LIMIT_POLICY, &self.policy), (RATE_LIMIT, &self.limits)];
        let filled = fields.into_iter().filter(|(_, text)| !text.is_empty());
        filled
            .filter_map(|(name, text)| Some((name, HeaderValue::from_str(text).ok()?)))
            .collect()
    }
}

fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}
