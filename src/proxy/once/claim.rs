//! One idempotency key that this request answers and no other: held until the answer is kept or
//! given up. If the process ends before, it is free again once the lease is over.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};
use uuid::Uuid;

use crate::fingerprint::Fingerprint;
use crate::policy::shared::IdempotencyRule;
use crate::store::{Claim, Store, Unavailable};

/// How long a key stays taken after a process that held it ended.
const LEASE: Duration = Duration::from_secs(30);

/// How often the lease is prolonged.
const RENEW_EVERY: Duration = Duration::from_secs(10);

/// When it is worth asking again for a key that another request holds.
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(1);

/// How long an answer is tried to be kept, and how often.
const KEEP_TRYING: Duration = Duration::from_mins(10);
const TRY_EVERY: Duration = Duration::from_secs(1);

/// A key that is held.
#[derive(Debug)]
pub(super) struct Held {
    store: Arc<Store>,
    key: Fingerprint,
    owner: Uuid,
    ttl: Duration,
    /// The longest body that is kept.
    pub(super) max_body: usize,
    renewing: Option<JoinHandle<()>>,
}

impl Held {
    /// Asks for a key. What is held is worth something only if it was granted.
    pub(super) async fn take(
        store: &Arc<Store>,
        key: Fingerprint,
        rule: &IdempotencyRule,
    ) -> Result<(Claim, Self), Unavailable> {
        let owner = Uuid::new_v4();
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

    /// Keeps the answer. Where the store does not take it now, it is tried again for a while, for
    /// the service did what it was asked to do.
    pub(super) async fn keep(self, record: Vec<u8>) {
        let record = Bytes::from(record);
        if let Err(unavailable) = self.try_keep(&record).await {
            tracing::warn!(%unavailable, "an answer could not be kept; trying again");
            tokio::spawn(self.keep_trying(record));
        }
    }

    async fn keep_trying(self, record: Bytes) {
        let deadline = Instant::now() + KEEP_TRYING;
        while Instant::now() < deadline {
            sleep(TRY_EVERY).await;
            if self.try_keep(&record).await.is_ok() {
                tracing::info!("an answer is kept after all");
                return;
            }
        }
        tracing::error!("an answer could not be kept; the same request may be done twice");
    }

    async fn try_keep(&self, record: &Bytes) -> Result<(), Unavailable> {
        let kept = self.store.complete(self.key, self.owner, record.clone(), self.ttl);
        kept.await
    }
}

/// Nobody else gets to answer as long as this does.
async fn renew(store: Arc<Store>, key: Fingerprint, owner: Uuid) {
    let mut ticks = interval_at(Instant::now() + RENEW_EVERY, RENEW_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        // A failure is counted by the store; the next time it may go well.
        let _ = store.renew(key, owner, LEASE).await;
    }
}

/// The key is free again, unless an answer is kept under it by now: releasing leaves that alone.
impl Drop for Held {
    fn drop(&mut self) {
        let Some(renewing) = self.renewing.take() else { return };
        renewing.abort();
        let (store, key, owner) = (Arc::clone(&self.store), self.key, self.owner);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { store.release(key, owner).await });
        }
    }
}
