//! What all replicas know together, kept in this process or in Redis: revoked tokens, answers to
//! requests that may come again, how often callers called.
//!
//! Every operation ends within the deadline of the store. One without a reply is [`Unavailable`]; the policy
//! decides what that means for the request.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use crate::config::StoreConfig;
use crate::config::store::{MemoryConfig, RedisConfig};
use crate::digest::Fingerprint;
use crate::quota::{Rate, Spent};
use crate::rejection::{Reason, Rejection};
use crate::revocation::{Revocation, Revocations};
use crate::telemetry::metrics::Metrics;

mod memory;
mod redis;
pub mod revocation_cache;

use memory::MemoryStore;
use redis::RedisStore;
use revocation_cache::{RevocationCache, Snapshot};

/// Why the store is unavailable. Holds no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unavailable {
    result: &'static str,
    cause: Cow<'static, str>,
    reached: Reached,
}

/// How far a question came that has no good answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reached {
    /// It was not sent: nothing has changed.
    Nothing,
    /// It was sent, and the reply is unknown: it may have been done.
    Perhaps,
    /// It was answered: it was not done.
    Answer,
}

impl Unavailable {
    /// Creates one from the word of the metric and the cause.
    pub fn because(result: &'static str, cause: impl Into<Cow<'static, str>>) -> Self {
        Self {
            result,
            cause: cause.into(),
            reached: Reached::Answer,
        }
    }

    /// The same, of a question that was not sent.
    #[must_use]
    fn unsent(self) -> Self {
        let reached = Reached::Nothing;
        Self { reached, ..self }
    }

    /// The same, for an operation whose reply was lost.
    #[must_use]
    fn unanswered(self) -> Self {
        let reached = Reached::Perhaps;
        Self { reached, ..self }
    }

    /// Whether the question may have been done all the same.
    fn may_be_done(&self) -> bool {
        self.reached == Reached::Perhaps
    }

    /// Whether the store itself said no.
    fn is_answer(&self) -> bool {
        self.reached == Reached::Answer
    }

    /// There is no room for more.
    pub fn full(cause: &'static str) -> Self {
        Self::because("full", cause)
    }

    /// There will never be room for this one.
    pub fn too_large(cause: &'static str) -> Self {
        Self::because("too_large", cause)
    }

    /// Whether it is for want of room.
    pub fn is_full(&self) -> bool {
        self.result == "full"
    }

    /// Whether it is of no use to try again.
    pub fn is_final(&self) -> bool {
        self.result == "too_large"
    }

    /// What was found, for the operator.
    pub fn cause(&self) -> &str {
        &self.cause
    }
}

/// The rejection of a request that the store had to be asked about.
impl From<Unavailable> for Rejection {
    fn from(unavailable: Unavailable) -> Self {
        Self::because(Reason::StoreUnavailable, unavailable.cause().to_owned())
    }
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cause)
    }
}

/// The key under which a response is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordKey {
    /// The request that it answers.
    pub name: Fingerprint,
    /// Those who share what a store in memory keeps for them.
    pub share: Fingerprint,
}

/// What became of a wish to be the one who answers a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// The claim is granted, for as long as the lease lasts.
    Granted,
    /// Another request holds the key.
    Taken,
    /// The store has a response.
    Stored(StoredResponse),
}

/// A stored response, before its bytes are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredResponse {
    /// The digest of the request that it belongs to.
    pub digest: Fingerprint,
    /// The length of the record, in bytes.
    pub bytes: usize,
}

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

    /// Whether what is kept is lost when the process ends.
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

    /// Asks to be the one who answers the request of a key, for as long as a lease; the owner is
    /// this one attempt.
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

    /// Reads a kept answer; nothing if it is not kept any more. Takes longer for a longer one.
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
