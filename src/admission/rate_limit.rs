//! Counts requests in the store and tells clients what is left
//! (draft-ietf-httpapi-ratelimit-headers).

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue};

use super::record::RequestRecord;
use crate::caller_key;
use crate::decision::StoreChecks;
use crate::policy::route::Route;
use crate::policy::store_rules::Quota;
use crate::policy::{Fallback, Mode, Policy};
use crate::quota::{Rate, Spent};
use crate::rejection::{Reason, Rejection};
use crate::store::{Store, Unavailable};

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// What is left of the quotas of a request.
#[derive(Debug, Clone, Default)]
pub struct RateLimits {
    policy: String,
    limits: String,
}

impl RateLimits {
    fn record(&mut self, quota: &Quota, rate: Rate, spent: Spent) {
        use std::fmt::Write as _;
        let separator = if self.policy.is_empty() { "" } else { ", " };
        let (name, limit) = (&quota.name, rate.limit());
        let window = whole_seconds(quota.window);
        let _infallible = write!(self.policy, r#"{separator}"{name}";q={limit};w={window}"#);
        let (remaining, reset) = (spent.remaining, whole_seconds(spent.reset));
        let _infallible = write!(self.limits, r#"{separator}"{name}";r={remaining};t={reset}"#);
    }

    /// The header fields; none where nothing was counted.
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

/// Counts an allowed request in every quota of its route, up to the first that is exceeded.
pub(super) async fn check(
    store: &Store,
    (policy, route): (&Policy, &Route),
    checks: &StoreChecks<'_>,
    client: Option<IpAddr>,
    record: &mut RequestRecord,
) -> Result<(), Rejection> {
    let (snapshot, scope) = (Arc::clone(&record.snapshot), record.scope);
    let principal = record.principal.take().unwrap_or_default();
    let mut result = Ok(());
    for (position, quota) in checks.quotas.iter().enumerate() {
        let count = |result| snapshot.metrics.quota(scope, position, result);
        if checks.sandbox {
            count("sandbox");
            continue;
        }
        let is_enforced = quota.mode == Mode::Enforce && route.mode == Mode::Enforce;
        let (bucket, rate) = caller_key::bucket(policy, quota, &principal, client);
        let spent = store.spend(bucket, rate).await;
        if let (Ok(spent), true) = (&spent, is_enforced) {
            record.rate_limits.record(quota, rate, *spent);
        }
        let (label, checked) = judge(quota, rate, spent, is_enforced);
        count(label);
        if label == UNAVAILABLE && checked.is_ok() && is_enforced {
            snapshot.metrics.failed_open(scope, "quota");
        }
        if checked.is_err() {
            result = checked;
            break;
        }
    }
    record.principal = Some(principal);
    result
}
const UNAVAILABLE: &str = "unavailable";

/// The label of a request that was counted in a quota, and whether it is within that quota.
fn judge(
    quota: &Quota,
    rate: Rate,
    spent: Result<Spent, Unavailable>,
    is_enforced: bool,
) -> (&'static str, Result<(), Rejection>) {
    match (spent, is_enforced) {
        (Ok(spent), _) if spent.allowed => ("allow", Ok(())),
        (Ok(_), false) => ("shadow_deny", Ok(())),
        (Ok(spent), true) => {
            let cause = format!("the quota `{}` of {} is used up", quota.name, rate.limit());
            let rejection = Rejection::because(Reason::QuotaExceeded, cause);
            ("deny", Err(rejection.retry_after(spent.retry_after)))
        }
        (Err(_), false) => (UNAVAILABLE, Ok(())),
        (Err(_), true) if quota.when_unavailable == Fallback::Allow => (UNAVAILABLE, Ok(())),
        (Err(unavailable), true) => (UNAVAILABLE, Err(unavailable.into())),
    }
}
