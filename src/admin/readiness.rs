//! Whether the process wants requests, and what it waits for until it does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::StatusCode;

use crate::config::ReadyRule;
use crate::jwks::subscriber::IssuerStatus;
use crate::policy::{Fallback, Policy};
use crate::proxy::policy_snapshot::PolicyHandle;
use crate::store::Store;

/// Whether the process wants requests: from when it listens and has what its policies need, until its shutdown
/// begins.
///
/// What it has to have is decided by [`ReadyRule`], for the policies in force, up to the first time
/// that `/readyz` finds all of it. From then on it stays ready: neither what is lost later nor an issuer that a
/// reload adds takes a running process out of service, for other requests can still be served.
#[derive(Debug)]
pub struct Readiness {
    rule: ReadyRule,
    listening: AtomicBool,
    /// Never unset.
    met: AtomicBool,
    policies: Arc<PolicyHandle>,
    store: Arc<Store>,
}

impl Readiness {
    /// A process with these policies and this store.
    pub fn of(rule: ReadyRule, policies: &Arc<PolicyHandle>, store: &Arc<Store>) -> Self {
        Self {
            rule,
            listening: AtomicBool::new(false),
            met: AtomicBool::new(false),
            policies: Arc::clone(policies),
            store: Arc::clone(store),
        }
    }

    /// Says whether it listens.
    pub fn set(&self, listening: bool) {
        self.listening.store(listening, Ordering::Release);
    }

    /// Brings the gauges of keys up to date.
    pub(super) fn update_metrics(&self) {
        self.policies.keys().update_metrics();
    }

    /// The response to `/readyz`: a word, what is waited for, how the keys of each issuer are that are
    /// fetched, and how the store is, if it is elsewhere.
    pub(super) fn page(&self) -> (StatusCode, String) {
        let issuers = self.policies.keys().status();
        let missing = self.missing(&issuers);
        let (status, word) = match missing.is_empty() && self.listening.load(Ordering::Acquire) {
            true => (StatusCode::OK, "ok"),
            false => (StatusCode::SERVICE_UNAVAILABLE, "not ready"),
        };
        let waiting = missing.into_iter().map(|what| format!("waiting for {what}"));
        let issuers = issuers.iter().map(ToString::to_string);
        let lines = waiting.chain(issuers).chain(self.store.status());
        let page = lines.fold(word.to_owned(), |page, line| page + "\n" + &line);
        (status, page + "\n")
    }

    /// What the process still has to have before it is ready for the first time.
    fn missing(&self, issuers: &[IssuerStatus]) -> Vec<String> {
        if self.met.load(Ordering::Acquire) {
            return Vec::new();
        }
        let issuers = issuers.iter().filter(|issuer| is_missing(self.rule, issuer));
        let mut missing: Vec<_> = issuers.map(|issuer| format!("the keys of {}", issuer.name())).collect();
        let in_force = self.policies.peek();
        let denies = in_force.policies().policies().iter().any(denies_without_revocations);
        let needs_list = denies && self.rule == ReadyRule::OnceHad;
        if !self.store.has_settled() {
            missing.push("the store".to_owned());
        } else if needs_list && !self.store.had_revocations() {
            missing.push("the list of revocations".to_owned());
        }
        if missing.is_empty() {
            self.met.store(true, Ordering::Release);
        }
        missing
    }
}

/// Whether an issuer's keys are waited for: until they were fetched once, or until it was tried.
fn is_missing(rule: ReadyRule, issuer: &IssuerStatus) -> bool {
    match rule {
        ReadyRule::OnceHad => issuer.fetched.is_none(),
        ReadyRule::Always => issuer.last.is_none(),
    }
}

/// Whether a policy rejects tokens while the list of revocations is missing.
fn denies_without_revocations(policy: &Policy) -> bool {
    let rule = policy.revocation.as_ref();
    rule.is_some_and(|rule| rule.when_unavailable == Fallback::Deny)
}
