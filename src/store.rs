//! State that all replicas share, stored in this process or in Redis: revoked tokens, responses to
//! requests that may come again, and the quotas of callers.
//!
//! Every operation ends within the deadline of the store. One without a reply is [`Unavailable`]; the policy
//! decides what that means for the request.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use crate::config::StoreConfig;
use crate::config::store::{MemoryConfig, RedisConfig};
use crate::digest::Fingerprint;
use crate::quota::{Rate, Spent};
use crate::revocation::{Revocation, Revocations};
use crate::telemetry::metrics::Metrics;

mod claim;
mod memory;
mod redis;
pub mod revocation_cache;
mod unavailable;

pub use claim::{Claim, RecordKey, StoredResponse};
pub use unavailable::Unavailable;

use memory::MemoryStore;
use redis::RedisStore;
use revocation_cache::{RevocationCache, Snapshot};

/// Shared state.
#[derive(Debug)]
pub struct Store {
    kind: Kind,
    metrics: Metrics,
}

#[derive(Debug)]
enum Kind {
    Memory(Box<MemoryStore>),
    Redis(Box<RedisStore>),
}

impl Store {
    /// Creates a store in memory, which no other process shares and which ends with this one.
    pub fn memory(metrics: &Metrics) -> Arc<Self> {
        Self::in_memory(MemoryConfig::default(), metrics)
    }

    fn in_memory(config: MemoryConfig, metrics: &Metrics) -> Arc<Self> {
        let memory = MemoryStore::new(config.size);
        metrics.store().up(true);
        metrics.store().show_memory(memory.usage());
        Arc::new(Self {
            kind: Kind::Memory(Box::new(memory)),
            metrics: metrics.clone(),
        })
    }

    /// The state that a configuration says, on a runtime. A Redis that is down is waited for while
    /// requests are served; an error is one of the configuration.
    pub fn start(config: &StoreConfig, metrics: &Metrics) -> Result<Arc<Self>, String> {
        match config {
            StoreConfig::Memory(memory) => Ok(Self::in_memory(*memory, metrics)),
            StoreConfig::Redis(redis) => Ok(Arc::new(Self {
                kind: Kind::Redis(Box::new(RedisStore::start(RedisConfig::clone(redis), metrics)?)),
                metrics: metrics.clone(),
            })),
        }
    }

    /// Whether its state is lost when the process ends.
    pub fn ends_with_process(&self) -> bool {
        matches!(self.kind, Kind::Memory(_))
    }

    fn revocation_cache(&self) -> &RevocationCache {
        match &self.kind {
            Kind::Memory(memory) => memory.revocation_cache(),
            Kind::Redis(redis) => redis.revocation_cache(),
        }
    }

    /// Whether the store can be asked, once that is known. Takes a few seconds at the most.
    pub async fn connected(&self) -> Result<(), Unavailable> {
        match &self.kind {
            Kind::Memory(_) => Ok(()),
            Kind::Redis(redis) => redis.connection().settled().await,
        }
    }

    /// All revocations, once they were read. Takes a few seconds at the most, if not for their
    /// number.
    pub async fn loaded(&self) -> Result<Snapshot, Unavailable> {
        if let Kind::Redis(redis) = &self.kind {
            redis.revocations().settled().await?;
        }
        Ok(self.revocations())
    }

    /// Waits until the first attempts to connect and to read the revocations are over, well or not.
    pub async fn settled(&self) {
        let _ = self.connected().await;
        let _ = self.loaded().await;
    }

    /// Whether the first attempts to connect and to read the revocations are over, well or not.
    pub fn has_settled(&self) -> bool {
        match &self.kind {
            Kind::Memory(_) => true,
            Kind::Redis(redis) => redis.connection().now().is_some() && redis.revocations().now().is_some(),
        }
    }

    /// Whether the list of revocations was complete once.
    pub fn had_revocations(&self) -> bool {
        matches!(self.revocations().view(), Revocations::Known { age: Some(_), .. })
    }

    /// How a store is that is not in this process, in one line.
    pub fn status(&self) -> Option<String> {
        match &self.kind {
            Kind::Memory(_) => None,
            Kind::Redis(redis) => Some(redis.status()),
        }
    }

    /// The revocations that are known now. Asks no network.
    pub fn revocations(&self) -> Snapshot {
        self.revocation_cache().snapshot()
    }

    /// Adds a revocation for all replicas.
    pub async fn revoke(&self, revocation: &Revocation) -> Result<(), Unavailable> {
        let done = match &self.kind {
            Kind::Memory(memory) => memory.revoke(revocation, now()),
            Kind::Redis(redis) => redis.revoke(revocation).await,
        };
        self.metrics
            .store()
            .revocations(self.revocation_cache().snapshot().list().len());
        self.count("revoke", done)
    }

    /// Claims the key of a request for as long as a lease; the owner is this one attempt.
    pub async fn claim(&self, key: RecordKey, owner: Uuid, lease: Duration) -> Result<Claim, Unavailable> {
        let claim = match &self.kind {
            Kind::Memory(memory) => memory.claim(key, owner, lease, now()),
            Kind::Redis(redis) => redis.claim(key.name, owner, lease).await,
        };
        self.count("claim", claim)
    }

    /// Renews the lease of a claim that was granted. Returns `false` if another owner has it now.
    pub async fn renew(&self, key: RecordKey, owner: Uuid, lease: Duration) -> Result<bool, Unavailable> {
        let done = match &self.kind {
            Kind::Memory(memory) => Ok(memory.renew(key, owner, lease, now())),
            Kind::Redis(redis) => redis.renew(key.name, owner, lease).await,
        };
        self.count_owned("renew", done)
    }

    /// Reads a stored response; `None` if it is not stored any more. Takes longer for a longer one.
    pub async fn read(&self, key: RecordKey, answered: StoredResponse) -> Result<Option<Bytes>, Unavailable> {
        let record = match &self.kind {
            Kind::Memory(memory) => Ok(memory.read(key.name, answered, now())),
            Kind::Redis(redis) => redis.read(key.name, answered).await,
        };
        self.count("read", record)
    }

    /// Stores the response to a granted claim, with the digest of its request. Returns whether it is
    /// stored, by this call or by an earlier one of the same owner; not if another owner has the key
    /// now. Takes longer for a longer one.
    pub async fn complete(
        &self,
        key: RecordKey,
        owner: Uuid,
        answer: (Fingerprint, Bytes),
        ttl: Duration,
    ) -> Result<bool, Unavailable> {
        let done = match &self.kind {
            Kind::Memory(memory) => memory.complete(key, owner, answer, ttl, now()),
            Kind::Redis(redis) => redis.complete(key.name, owner, answer, ttl).await,
        };
        self.count_owned("complete", done)
    }

    /// Gives up a claim that was granted, so that another request may have it. If a Redis cannot be
    /// asked now, the claim is released once it can be.
    pub async fn release(&self, key: RecordKey, owner: Uuid) -> Result<(), Unavailable> {
        let done = match &self.kind {
            Kind::Memory(memory) => {
                memory.release(key.name, owner);
                Ok(())
            }
            Kind::Redis(redis) => redis.release(key.name, owner).await,
        };
        self.count("release", done)
    }

    /// Takes one request out of a bucket, if there is one.
    pub async fn spend(&self, bucket: Fingerprint, rate: Rate) -> Result<Spent, Unavailable> {
        let spent = match &self.kind {
            Kind::Memory(memory) => memory.spend(bucket, rate, now()),
            Kind::Redis(redis) => redis.spend(bucket, rate).await,
        };
        self.count("spend", spent)
    }

    /// Counts like [`Self::count`], with a word of its own if another owner has the key.
    fn count_owned(&self, operation: &'static str, had: Result<bool, Unavailable>) -> Result<bool, Unavailable> {
        match had {
            Ok(false) => {
                self.metrics.store().operation(operation, "lost");
                Ok(false)
            }
            had => self.count(operation, had),
        }
    }

    fn count<T>(&self, operation: &'static str, answer: Result<T, Unavailable>) -> Result<T, Unavailable> {
        let result = answer.as_ref().map_or_else(|unavailable| unavailable.result, |_| "ok");
        self.metrics.store().operation(operation, result);
        answer
    }
}

/// Returns the current time.
fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}
