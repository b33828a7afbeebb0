//! One idempotency key that this request answers and no other: held until the answer is kept or
//! given up. If the process ends before, it is free again once the lease is over.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};
use uuid::Uuid;

use crate::fingerprint::Fingerprint;
use crate::policy::shared::IdempotencyRule;
use crate::store::{Claim, RecordKey, Store, Unavailable};

/// How long a key stays taken after a process that held it ended.
const LEASE: Duration = Duration::from_secs(30);

/// How often the lease is prolonged.
const RENEW_EVERY: Duration = Duration::from_secs(10);

/// When it is worth asking again for a key that another request holds.
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(1);

/// How long an answer is tried to be kept, and the pauses in between.
const KEEP_TRYING: Duration = Duration::from_mins(10);
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// The bytes of answers that wait to be kept.
static WAITING: Semaphore = Semaphore::const_new(64 * 1024 * 1024);

const TAKEN: &str = "a key was lost while its request was under way; the same request may have been done twice";
const LOST: &str = "an answer could not be kept; the same request may be done twice";

/// A key that is held.
#[derive(Debug)]
pub(super) struct Held {
    store: Arc<Store>,
    key: RecordKey,
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
        key: RecordKey,
        rule: &IdempotencyRule,
    ) -> Result<(Claim, Self), Unavailable> {
        let owner = Uuid::new_v4();
        let claim = match store.claim(key, owner, LEASE).await {
            Ok(claim) => claim,
            Err(unavailable) => {
                // It may have been granted, and the word of it lost.
                tokio::spawn(give_up(Arc::clone(store), key, owner));
                return Err(unavailable);
            }
        };
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
    pub(super) async fn keep(mut self, digest: Fingerprint, record: Vec<u8>) {
        let record = Bytes::from(record);
        let Err(unavailable) = self.try_keep(digest, &record).await else {
            return;
        };
        let bytes = u32::try_from(record.len()).unwrap_or(u32::MAX);
        let Ok(room) = WAITING.try_acquire_many(bytes) else {
            tracing::error!(%unavailable, "{LOST}");
            return;
        };
        tracing::warn!(%unavailable, "an answer could not be kept; trying again");
        tokio::spawn(async move {
            self.keep_trying(digest, record).await;
            drop(room);
        });
    }

    async fn keep_trying(mut self, digest: Fingerprint, record: Bytes) {
        let deadline = Instant::now() + KEEP_TRYING;
        let mut pause = FIRST_PAUSE;
        while Instant::now() < deadline {
            sleep(pause).await;
            if self.try_keep(digest, &record).await.is_ok() {
                tracing::info!("an answer is kept after all");
                return;
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        tracing::error!("{LOST}");
    }

    async fn try_keep(&mut self, digest: Fingerprint, record: &Bytes) -> Result<(), Unavailable> {
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

/// Makes a key free again, for as long as it would not be so by itself.
async fn give_up(store: Arc<Store>, key: RecordKey, owner: Uuid) {
    let deadline = Instant::now() + LEASE;
    while store.release(key, owner).await.is_err() && Instant::now() < deadline {
        sleep(FIRST_PAUSE).await;
    }
}

/// The key is free again, unless an answer is kept.
impl Drop for Held {
    fn drop(&mut self) {
        let Some(renewing) = self.renewing.take() else { return };
        renewing.abort();
        let (store, key, owner) = (Arc::clone(&self.store), self.key, self.owner);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(give_up(store, key, owner));
        }
    }
}
