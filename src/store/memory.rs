//! Shared state of one replica: bounded, and gone with the process.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use parking_lot::Mutex;
use uuid::Uuid;

use super::revocation_cache::RevocationCache;
use super::{Claim, RecordKey, StoredResponse, Unavailable};
use crate::digest::Fingerprint;
use crate::quota::{Micros, Rate, Spent};
use crate::revocation::{Millis, Revocation};
use crate::telemetry::metrics::MemoryUsage;

/// The most buckets that are not full.
const MAX_BUCKETS: usize = 1_000_000;

/// The parts of the buckets, so that callers seldom wait for another.
const PARTS: usize = 16;

mod records;

use records::Records;

/// Shared state in this process.
#[derive(Debug)]
pub(super) struct MemoryStore {
    revocation_cache: RevocationCache,
    records: Arc<Mutex<Records>>,
    buckets: [Mutex<HashMap<Fingerprint, Micros>>; PARTS],
}

impl MemoryStore {
    /// A store whose responses take so many bytes at the most.
    pub(super) fn new(size: usize) -> Self {
        Self {
            revocation_cache: RevocationCache::complete(),
            records: Arc::new(Mutex::new(Records::new(size))),
            buckets: Default::default(),
        }
    }

    /// Returns a function that reports how much of the room is used, as long as the store exists.
    pub(super) fn usage(&self) -> impl Fn() -> Option<MemoryUsage> + Send + Sync + 'static {
        let records = Arc::downgrade(&self.records);
        move || Some(records.upgrade()?.lock().usage(Timestamp::now().as_millisecond()))
    }

    pub(super) fn revocation_cache(&self) -> &RevocationCache {
        &self.revocation_cache
    }

    pub(super) fn revoke(&self, revocation: &Revocation, now: Timestamp) -> Result<(), Unavailable> {
        self.revocation_cache
            .add(std::slice::from_ref(revocation), now.as_millisecond())
    }

    pub(super) fn claim(
        &self,
        key: RecordKey,
        owner: Uuid,
        lease: Duration,
        now: Timestamp,
    ) -> Result<Claim, Unavailable> {
        self.records
            .lock()
            .claim(key, owner, after(now, lease), now.as_millisecond())
    }

    pub(super) fn renew(&self, key: RecordKey, owner: Uuid, lease: Duration, now: Timestamp) -> bool {
        let mut records = self.records.lock();
        records.renew(key, owner, after(now, lease), now.as_millisecond())
    }

    pub(super) fn read(&self, name: Fingerprint, answered: StoredResponse, now: Timestamp) -> Option<Bytes> {
        self.records.lock().read(name, answered.digest, now.as_millisecond())
    }

    pub(super) fn complete(
        &self,
        key: RecordKey,
        owner: Uuid,
        answer: (Fingerprint, Bytes),
        ttl: Duration,
        now: Timestamp,
    ) -> Result<bool, Unavailable> {
        let mut records = self.records.lock();
        records.complete(key, owner, answer, after(now, ttl), now.as_millisecond())
    }

    pub(super) fn release(&self, name: Fingerprint, owner: Uuid) {
        self.records.lock().release(name, owner);
    }

    pub(super) fn spend(&self, bucket: Fingerprint, rate: Rate, now: Timestamp) -> Result<Spent, Unavailable> {
        let now = Micros::try_from(now.as_microsecond()).unwrap_or(0);
        let first = usize::from(bucket.as_bytes().first().copied().unwrap_or(0));
        let Some(part) = self.buckets.get(first % PARTS) else {
            return Err(Unavailable::full("there is no room for more buckets"));
        };
        let mut part = part.lock();
        if part.len() >= MAX_BUCKETS / PARTS && !part.contains_key(&bucket) {
            part.retain(|_, full_at| *full_at > now);
            if part.len() >= MAX_BUCKETS / PARTS {
                return Err(Unavailable::full("there is no room for more buckets"));
            }
        }
        let full_at = part.entry(bucket).or_insert(0);
        let (spent, next) = rate.spend(*full_at, now);
        *full_at = next;
        Ok(spent)
    }
}

fn after(now: Timestamp, time: Duration) -> Millis {
    let time = Millis::try_from(time.as_millis()).unwrap_or(Millis::MAX);
    now.as_millisecond().saturating_add(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_apart() {
        let store = MemoryStore::new(1 << 20);
        let rate = Rate::new(1, Duration::from_secs(10)).unwrap();
        for (bucket, seconds, want) in [("a", 0, true), ("a", 9, false), ("b", 9, true), ("a", 10, true)] {
            let at = Timestamp::from_second(1_800_000_000 + seconds).unwrap();
            let bucket = Fingerprint::of(&[bucket.as_bytes()]);
            let spent = store.spend(bucket, rate, at).unwrap();
            assert_eq!(spent.allowed, want, "{bucket:?} {seconds}");
        }
    }
}
