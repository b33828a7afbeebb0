//! Counts requests in the quotas of their route, in the store.

use super::record::RequestRecord;
use crate::caller_key;
use crate::decision::StoreChecks;
use crate::policy::route::Route;
use crate::policy::store_rules::Quota;
use crate::policy::{Fallback, Mode, Policy};
use crate::quota::{Rate, Spent};
use crate::rejection::{Reason, Rejection};
use crate::store::{Store, Unavailable};

/// Counts an allowed request in every quota of its route, up to the first that is exceeded.
pub(super) async fn check(
    store: &Store,
    (policy, route): (&Policy, &Route),
    checks: &StoreChecks<'_>,
    record: &mut RequestRecord,
) -> Result<(), Rejection> {
    let RequestRecord {
        snapshot,
        scope,
        principal: Some(principal),
        rate_limits,
        client,
        ..
    } = record
    else {
        return Err(Reason::InternalError.into());
    };
    for (position, quota) in checks.quotas.iter().enumerate() {
        let count = |result| snapshot.metrics.quota(*scope, position, result);
        if checks.sandbox {
            count("sandbox");
            continue;
        }
        let is_enforced = quota.mode == Mode::Enforce && route.mode == Mode::Enforce;
        let (bucket, rate) = caller_key::bucket(policy, quota, principal, *client);
        let spent = store.spend(bucket, rate).await;
        if let (Ok(spent), true) = (&spent, is_enforced) {
            rate_limits.record(quota, rate, *spent);
        }
        let (label, checked) = evaluate(quota, rate, spent, is_enforced);
        count(label);
        if label == UNAVAILABLE && checked.is_ok() && is_enforced {
            snapshot.metrics.failed_open(*scope, "quota");
        }
        checked?;
    }
    Ok(())
}

/// The result for the metrics if the store is unavailable.
const UNAVAILABLE: &str = "unavailable";

/// Returns the result for the metrics, and whether the request is within the quota.
fn evaluate(
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
