//! Checks the idempotency key of a request in the store: the first request with a key gets its lease,
//! and later ones the stored response.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue};

use crate::admission::record::RequestRecord;
use crate::caller_key;
use crate::decision::StoreChecks;
use crate::digest::Fingerprint;
use crate::idempotency::{self, Record};
use crate::policy::Fallback;
use crate::policy::Policy;
use crate::policy::route::Route;
use crate::rejection::{Reason, Rejection};
use crate::request::{RequestFacts, host_of};
use crate::store::{Claim, RecordKey, Store, StoredResponse, Unavailable};

pub mod deferred;
pub mod lease;

use lease::KeyLease;

/// When the client may retry a request whose key another request holds.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The result of the check.
#[derive(Debug)]
pub enum KeyCheck {
    /// The request has no key, or the policy allows it without the store.
    Ordinary,
    /// The request is the first with its key.
    First(KeyLease),
    /// The response to the first request with the key is stored.
    Stored(StoredKey),
}

/// A key whose response is stored.
#[derive(Debug)]
pub struct StoredKey {
    key: RecordKey,
    stored: StoredResponse,
}

/// A stored response and its header fields.
pub type ReplayedResponse = (Vec<(HeaderName, HeaderValue)>, Record);

/// Claims the key of an allowed request. `target` is the decided path and the query, with the prefix of
/// the policy.
pub(super) async fn check(
    store: &Arc<Store>,
    (policy, route): (&Policy, &Route),
    checks: &StoreChecks<'_>,
    (facts, target): (&RequestFacts<'_>, &[u8]),
    record: &mut RequestRecord,
) -> Result<KeyCheck, Rejection> {
    let Some((rule, key)) = checks.idempotency else {
        return Ok(KeyCheck::Ordinary);
    };
    let principal = record.principal.as_ref().ok_or(Reason::InternalError)?;
    let host = facts.authority.map_or("", host_of);
    let request = (facts.method, host, target);
    let name = idempotency::bound((policy, route), principal, request, facts.headers, key)?;
    let share = caller_key::share(principal);
    let key = RecordKey { name, share };
    let (metrics, scope) = (&record.snapshot.metrics, record.scope);
    match KeyLease::take(store, key, rule).await {
        Ok((Claim::Granted, lease)) => {
            metrics.idempotency(scope, "first");
            record.idempotency = Some("first");
            Ok(KeyCheck::First(lease))
        }
        Ok((Claim::Taken, _)) => {
            metrics.idempotency(scope, "in_progress");
            Err(in_progress())
        }
        Ok((Claim::Stored(stored), _)) => Ok(KeyCheck::Stored(StoredKey { key, stored })),
        Err(unavailable) => {
            metrics.idempotency(scope, "unavailable");
            match rule.when_unavailable {
                Fallback::Allow => {
                    metrics.failed_open(scope, "idempotency");
                    Ok(KeyCheck::Ordinary)
                }
                Fallback::Deny => Err(unavailable.into()),
            }
        }
    }
}

/// Reads the stored response to a request. Rejects the request if its body has another digest than that of the
/// first one. Counts the decision on the request, which is final then.
pub async fn replay(
    store: &Store,
    StoredKey { key, stored }: StoredKey,
    digest: Fingerprint,
    record: &mut RequestRecord,
) -> Result<ReplayedResponse, Rejection> {
    let (result, replayed) = match stored.digest == digest {
        false => ("reused", Err(Reason::IdempotencyKeyReused.into())),
        true => match read(store, key, stored).await {
            Ok(response) => ("replayed", Ok(response)),
            Err(rejection) => ("unavailable", Err(rejection)),
        },
    };
    record.snapshot.metrics.idempotency(record.scope, result);
    match &replayed {
        Ok(_) => record.idempotency = Some(result),
        Err(rejection) => record.reject(rejection),
    }
    record.count_decision();
    replayed
}

async fn read(store: &Store, key: RecordKey, stored: StoredResponse) -> Result<ReplayedResponse, Rejection> {
    let Some(bytes) = store.read(key, stored).await? else {
        // It expired a moment ago; another request may hold the key by now.
        return Err(in_progress());
    };
    let response = Record::decode(&bytes).and_then(|record| Some((record.headers()?, record)));
    response.ok_or_else(|| Unavailable::because("error", "the stored response is malformed").into())
}

fn in_progress() -> Rejection {
    Rejection::from(Reason::IdempotencyInProgress).retry_after(RETRY_AFTER)
}
