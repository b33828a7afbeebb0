//! The lease of an idempotency key: held until the response is stored or given up. If the process ends
//! before, the key is free again once the lease expires.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use uuid::Uuid;

use crate::digest::Fingerprint;
use crate::policy::store_rules::IdempotencyRule;
use crate::store::{Claim, RecordKey, Store, Unavailable};

/// How long a key stays claimed after its process has ended.
const LEASE: Duration = Duration::from_secs(30);

/// How often the lease is renewed.
const RENEW_EVERY: Duration = Duration::from_secs(10);

const TAKEN: &str = "a key was lost while its request was under way; the same request may have been done twice";

/// A key that one request holds.
#[derive(Debug)]
pub struct KeyLease {
    store: Arc<Store>,
    key: RecordKey,
    owner: Uuid,
    ttl: Duration,
    /// The longest body that is stored.
    pub max_body: usize,
    renewing: Option<JoinHandle<()>>,
}

impl KeyLease {
    /// Claims a key. The lease is held only if the claim is granted.
    pub async fn take(
        store: &Arc<Store>,
        key: RecordKey,
        rule: &IdempotencyRule,
    ) -> Result<(Claim, Self), Unavailable> {
        let owner = Uuid::new_v4();
        // If the store is unavailable but may have granted the claim, the store releases it by itself.
        let claim = store.claim(key, owner, LEASE).await?;
        let granted = claim == Claim::Granted;
        let lease = Self {
            store: Arc::clone(store),
            key,
            owner,
            ttl: rule.ttl,
            max_body: rule.max_body,
            renewing: granted.then(|| tokio::spawn(renew(Arc::clone(store), key, owner))),
        };
        Ok((claim, lease))
    }

    /// Tries once to store the response.
    pub async fn try_store(&mut self, digest: Fingerprint, record: &Bytes) -> Result<(), Unavailable> {
        let record = (digest, record.clone());
        if !self.store.complete(self.key, self.owner, record, self.ttl).await? {
            tracing::error!("{TAKEN}");
        }
        // Without a renewing task, dropping the lease does not release the key.
        if let Some(renewing) = self.renewing.take() {
            renewing.abort();
        }
        Ok(())
    }
}

/// Renews the lease, so that no other request is granted the key meanwhile.
async fn renew(store: Arc<Store>, key: RecordKey, owner: Uuid) {
    let mut ticks = interval_at(Instant::now() + RENEW_EVERY, RENEW_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        // The store counts a failure, and the next renewal may succeed.
        if store.renew(key, owner, LEASE).await == Ok(false) {
            tracing::error!("{TAKEN}");
            return;
        }
    }
}

/// Releases the key, unless a response is stored.
impl Drop for KeyLease {
    fn drop(&mut self) {
        let Some(renewing) = self.renewing.take() else { return };
        renewing.abort();
        let (store, key, owner) = (Arc::clone(&self.store), self.key, self.owner);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            // If this fails, the store counts that and releases the key later.
            runtime.spawn(async move { store.release(key, owner).await });
        }
    }
}
