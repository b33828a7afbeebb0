//! One idempotency key that this request answers and no other: held until the answer is kept or
//! given up. If the process ends before, it is free again once the lease is over.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use uuid::Uuid;

use crate::digest::Fingerprint;
use crate::policy::store_rules::IdempotencyRule;
use crate::store::{Claim, RecordKey, Store, Unavailable};

pub mod deferred;

/// How long a key stays taken after a process that held it ended.
const LEASE: Duration = Duration::from_secs(30);

/// How often the lease is prolonged.
const RENEW_EVERY: Duration = Duration::from_secs(10);

/// When it is worth asking again for a key that another request holds.
pub const RETRY_AFTER: Duration = Duration::from_secs(1);

const TAKEN: &str = "a key was lost while its request was under way; the same request may have been done twice";

/// A key that is held.
#[derive(Debug)]
pub struct Held {
    store: Arc<Store>,
    key: RecordKey,
    owner: Uuid,
    ttl: Duration,
    /// The longest body that is kept.
    pub max_body: usize,
    renewing: Option<JoinHandle<()>>,
}

impl Held {
    /// Asks for a key. What is held is worth something only if it was granted.
    pub async fn take(
        store: &Arc<Store>,
        key: RecordKey,
        rule: &IdempotencyRule,
    ) -> Result<(Claim, Self), Unavailable> {
        let owner = Uuid::new_v4();
        // A claim that may have been granted all the same, the store gives up by itself.
        let claim = store.claim(key, owner, LEASE).await?;
        let granted = claim == Claim::Granted;
        let held = Self {
            store: Arc::clone(store),
            key,
            owner,
            ttl: rule.ttl,
            max_body: rule.max_body,
            renewing: granted.then(|| tokio::spawn(renew(Arc::clone(store), key, owner))),
        };
        Ok((claim, held))
    }

    /// Stores the response. Where the store does not take it now, it is tried again for a while, for
    /// the service did what it was asked to do.
    pub async fn keep(mut self, digest: Fingerprint, record: Vec<u8>) {
        let record = Bytes::from(record.into_boxed_slice());
        if let Err(unavailable) = self.try_keep(digest, &record).await {
            deferred::keep(self, digest, record, &unavailable);
        }
    }

    /// Stores the response, if the store takes it now.
    pub async fn try_keep(&mut self, digest: Fingerprint, record: &Bytes) -> Result<(), Unavailable> {
        let record = (digest, record.clone());
        if !self.store.complete(self.key, self.owner, record, self.ttl).await? {
            tracing::error!("{TAKEN}");
        }
        // There is nothing to give up any more.
        if let Some(renewing) = self.renewing.take() {
            renewing.abort();
        }
        Ok(())
    }
}

/// Nobody else gets to answer as long as this does.
async fn renew(store: Arc<Store>, key: RecordKey, owner: Uuid) {
    let mut ticks = interval_at(Instant::now() + RENEW_EVERY, RENEW_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        // A failure is counted by the store; the next time it may go well.
        if store.renew(key, owner, LEASE).await == Ok(false) {
            tracing::error!("{TAKEN}");
            return;
        }
    }
}

/// The key is free again, unless an answer is kept.
impl Drop for Held {
    fn drop(&mut self) {
        let Some(renewing) = self.renewing.take() else { return };
        renewing.abort();
        let (store, key, owner) = (Arc::clone(&self.store), self.key, self.owner);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            // A failure is counted by the store, which releases the key later then.
            runtime.spawn(async move { store.release(key, owner).await });
        }
    }
}
