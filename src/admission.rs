//! Decides whether a request is forwarded, and with what. Independent of the proxy library.
//!
//! From [`RequestFacts`] it makes an [`Admission`]; a [`RequestRecord`] counts and logs the request. Nothing here
//! names pingora or a socket. The first step that rejects the request is the last one:
//!
//! 1. The policies decide: [`crate::decision::decide`], which is pure.
//! 2. If only a key is missing that may still arrive, wait for it once, and decide again.
//! 3. Take a slot, within the limits of the client. This is before the store, so that requests that
//!    wait for the store are limited too, and a rejected one uses up no quota.
//! 4. Ask the store what the decision names: the idempotency key, then the quotas.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ipnet::IpNet;

use crate::authz::Permit;
use crate::decision::{Decision, Outcome, StoreChecks};
use crate::jwks::KeySources;
use crate::policy::Matched;
use crate::rejection::{Reason, Rejection};
use crate::request::{IDEMPOTENCY_KEY, RequestFacts};
use crate::store::Store;
use crate::telemetry::metrics::Metrics;

pub mod client_limit;
pub mod concurrency_limit;
pub mod forwarding;
pub mod header_edits;
pub mod idempotency;
pub mod local_response;
pub mod own_response;
pub mod rate_limit;
pub mod rate_limit_fields;
pub mod record;
pub mod rejection_response;
pub mod response_names;
pub mod snapshot;
pub mod trace_context;

use client_limit::ClientRequests;
use concurrency_limit::ConcurrencyLimit;
use idempotency::lease::KeyLease;
use idempotency::{KeyCheck, StoredKey};
use local_response::LocalResponse;
use record::RequestRecord;
use snapshot::Snapshot;

/// Admits or rejects requests.
#[derive(Debug)]
pub struct AdmissionController {
    /// The state that replicas share.
    pub store: Arc<Store>,
    /// The key sets that are fetched.
    pub keys: Arc<KeySources>,
    /// The limit of requests that are forwarded at the same time.
    pub concurrency: ConcurrencyLimit,
    /// The limit of these requests for each client.
    pub client_requests: ClientRequests,
    /// Networks whose `X-Forwarded-*` headers count.
    pub trusted_proxies: Vec<IpNet>,
    /// The metrics of the process. What a request counts is in its [`Snapshot`].
    pub metrics: Metrics,
    /// Whether each request is a log line.
    pub access_log: bool,
}

/// The result of admission.
#[derive(Debug)]
pub enum Admission {
    /// The request is forwarded.
    Forward(Forward),
    /// The store has the response of the first request with this key. It is sent if the body is the same.
    Replay(StoredKey),
    /// The request is rejected.
    Reject(Rejection),
    /// Sidegate itself responds to `OPTIONS *`.
    ServerOptions,
    /// Sidegate itself responds, with this.
    Respond(LocalResponse),
}

/// What a request is forwarded with.
#[derive(Debug)]
pub struct Forward {
    /// The proof that it may be forwarded.
    pub permit: Permit,
    /// The path and query for the service.
    pub target: Bytes,
    /// The lease of its idempotency key, if it is the first with that key.
    pub lease: Option<KeyLease>,
    /// Whether it has an idempotency key that its route knows, with a lease or without.
    pub has_key: bool,
}

impl AdmissionController {
    /// Begins the record of a request whose head is read.
    pub fn begin(&self, snapshot: Arc<Snapshot>) -> RequestRecord {
        RequestRecord::begin(snapshot, self.access_log)
    }

    /// Returns whether a peer is a trusted proxy.
    pub fn trusts(&self, peer: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|net| net.contains(&peer))
    }

    /// Admits or rejects a request, and records the reasons. The decision is counted, unless the body of the
    /// request is still to be compared with the one whose response is stored.
    pub async fn admit(&self, facts: &RequestFacts<'_>, record: &mut RequestRecord) -> Admission {
        let snapshot = Arc::clone(&record.snapshot);
        record.client = facts.client_address();
        let decision = self.decide(&snapshot, facts, record).await;
        let label = decision.outcome.label();
        let checked = self.check_limits(decision, facts, record).await;
        let admission = checked.unwrap_or_else(Admission::Reject);
        match &admission {
            Admission::Reject(rejection) => record.reject(rejection),
            _ => record.admit(label),
        }
        if let Admission::Forward(Forward { permit, .. }) = &admission {
            record.omit(permit.omitted());
        }
        if !matches!(admission, Admission::Replay(_)) {
            record.count_decision();
        }
        admission
    }

    /// Decides, and decides again if a key that was missing may have arrived.
    async fn decide<'s, 'r>(
        &self,
        snapshot: &'s Snapshot,
        facts: &RequestFacts<'r>,
        record: &mut RequestRecord,
    ) -> Decision<'s, 'r> {
        let decide = || snapshot.decide(facts, self.store.revocations().view(), &mut ());
        let mut started = record.started;
        let mut decision = decide();
        let (scope, rejection) = (decision.matched.scope(), decision.outcome.rejection());
        let policies = snapshot.policies();
        if self.keys.wait_for_keys(policies, scope.policy, rejection).await {
            started = Instant::now();
            decision = decide();
        }
        record.decided(&decision, started);
        record.find_page(|cors| cors.origin_allowed_in(facts.headers));
        if let Some(lookup) = decision.lookup {
            snapshot.metrics.token_lookup(lookup);
        }
        decision
    }

    /// Takes a slot for a request that the policies let pass, and asks the store.
    async fn check_limits(
        &self,
        decision: Decision<'_, '_>,
        facts: &RequestFacts<'_>,
        record: &mut RequestRecord,
    ) -> Result<Admission, Rejection> {
        let (checks, matched) = (decision.checks, decision.matched);
        record.principal = decision.principal;
        let (permit, is_allowed) = match decision.outcome {
            Outcome::Allow(permit) => (permit, true),
            Outcome::ShadowDeny(permit, rejection) => {
                record.would_reject(rejection);
                (permit, false)
            }
            Outcome::Deny(rejection) => return Err(rejection),
            Outcome::ServerOptions => return Ok(Admission::ServerOptions),
            Outcome::Metadata => return Ok(Admission::Respond(record.metadata_response()?)),
            Outcome::Preflight(methods) => return Ok(Admission::Respond(record.preflight_response(&methods)?)),
        };
        let path = decision.path.ok_or(Reason::InternalError)?;
        self.take_slot(record)?;
        let policy = matched.policy().ok_or(Reason::InternalError)?;
        let forward = Forward {
            permit,
            target: record.target.with_path(policy.forwarded_path(path.as_str()).as_bytes()),
            lease: None,
            has_key: matched.route().is_some_and(|route| route.idempotency.is_some())
                && facts.headers.contains_key(IDEMPOTENCY_KEY),
        };
        // A request that shadow mode would reject uses up no quota and claims no key.
        match is_allowed && !checks.is_empty() {
            // In a box: a connection has room for the largest of its futures, and most requests ask no store.
            true => {
                let request = (facts, path.as_str());
                Box::pin(self.ask_store((matched, &checks), forward, request, record)).await
            }
            false => Ok(Admission::Forward(forward)),
        }
    }

    /// Asks the store for the idempotency key of a request, and counts the request in its quotas.
    async fn ask_store(
        &self,
        (matched, checks): (Matched<'_>, &StoreChecks<'_>),
        mut forward: Forward,
        (facts, path): (&RequestFacts<'_>, &str),
        record: &mut RequestRecord,
    ) -> Result<Admission, Rejection> {
        let (Some(policy), Some(route)) = (matched.policy(), matched.route()) else {
            return Err(Reason::InternalError.into());
        };
        // Of the whole path: prefixes of a service tell requests apart.
        let target = record.target.with_path(path.as_bytes());
        let request = (facts, &*target);
        match idempotency::check(&self.store, (policy, route), checks, request, record).await? {
            KeyCheck::Ordinary => {}
            KeyCheck::First(lease) => forward.lease = Some(lease),
            KeyCheck::Stored(stored) => return Ok(Admission::Replay(stored)),
        }
        if !checks.quotas.is_empty() {
            rate_limit::check(&self.store, (policy, route), checks, record).await?;
        }
        // The time of the upstream begins after the store's.
        record.admitted = Instant::now();
        Ok(Admission::Forward(forward))
    }

    /// Takes a slot, within the limits of the client.
    fn take_slot(&self, record: &mut RequestRecord) -> Result<(), Rejection> {
        let overloaded = |rejection: Rejection| rejection.retry_after(Duration::from_secs(1));
        let service = record.matched().policy().map(|policy| policy.service.as_str());
        let counted = self
            .client_requests
            .count(record.client, record.principal.as_ref(), service)
            .map_err(|cause| overloaded(Rejection::because(Reason::Overloaded, cause)))?;
        let slot = self
            .concurrency
            .take()
            .ok_or_else(|| overloaded(self.concurrency.exceeded()))?;
        record.hold((slot, counted));
        Ok(())
    }
}

#[cfg(test)]
mod tests;
