//! Shared state of one replica: bounded, and gone with the process.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use parking_lot::Mutex;
use uuid::Uuid;

use super::ledger::Ledger;
use super::{Claim, Unavailable};
use crate::fingerprint::Fingerprint;
use crate::quota::{Micros, Rate, Spent};
use crate::revocation::{Millis, Revocation};

/// The most answers that are kept, and their bytes.
const MAX_RECORDS: usize = 100_000;
const MAX_RECORD_BYTES: usize = 256 * 1024 * 1024;

/// The most buckets that are not full.
const MAX_BUCKETS: usize = 1_000_000;

/// The parts of the buckets, so that callers seldom wait for another.
const PARTS: usize = 16;

/// Shared state in this process.
#[derive(Debug)]
pub(super) struct MemoryStore {
    ledger: Ledger,
    records: Mutex<Records>,
    buckets: [Mutex<HashMap<Fingerprint, Micros>>; PARTS],
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self {
            ledger: Ledger::alone(),
            records: Mutex::default(),
            buckets: Default::default(),
        }
    }
}

#[derive(Debug, Default)]
struct Records {
    slots: HashMap<Fingerprint, Slot>,
    bytes: usize,
}

#[derive(Debug)]
struct Slot {
    state: State,
    until: Millis,
}

#[derive(Debug)]
enum State {
    Claimed(Uuid),
    Answered(Bytes),
}

impl Slot {
    fn bytes(&self) -> usize {
        match &self.state {
            State::Claimed(_) => 0,
            State::Answered(record) => record.len(),
        }
    }
}

impl Records {
    /// What is there, unless it is over.
    fn get(&mut self, key: Fingerprint, now: Millis) -> Option<&mut Slot> {
        if self.slots.get(&key).is_some_and(|slot| slot.until <= now) {
            self.remove(key);
        }
        self.slots.get_mut(&key)
    }

    fn remove(&mut self, key: Fingerprint) {
        let removed = self.slots.remove(&key);
        self.bytes -= removed.map_or(0, |slot| slot.bytes());
    }

    fn insert(&mut self, key: Fingerprint, slot: Slot) {
        self.remove(key);
        self.bytes += slot.bytes();
        self.slots.insert(key, slot);
    }

    /// Whether there is room for one more answer, once what is over is gone.
    fn has_room(&mut self, now: Millis) -> bool {
        let is_full = |records: &Self| records.slots.len() >= MAX_RECORDS || records.bytes >= MAX_RECORD_BYTES;
        if is_full(self) {
            self.slots.retain(|_, slot| slot.until > now);
            self.bytes = self.slots.values().map(Slot::bytes).sum();
        }
        !is_full(self)
    }

    /// Whether nobody else has it, nor had it.
    fn is_open_to(&mut self, key: Fingerprint, owner: Uuid, now: Millis) -> bool {
        self.get(key, now).is_none() || self.is_owned(key, owner, now)
    }

    fn is_owned(&mut self, key: Fingerprint, owner: Uuid, now: Millis) -> bool {
        let slot = self.get(key, now);
        slot.is_some_and(|slot| matches!(slot.state, State::Claimed(by) if by == owner))
    }
}

impl MemoryStore {
    pub(super) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    pub(super) fn revoke(&self, revocation: &Revocation, now: Timestamp) -> Result<(), Unavailable> {
        self.ledger.add(std::slice::from_ref(revocation), now.as_millisecond())
    }

    pub(super) fn claim(
        &self,
        key: Fingerprint,
        owner: Uuid,
        lease: Duration,
        now: Timestamp,
    ) -> Result<Claim, Unavailable> {
        let mut records = self.records.lock();
        match records.get(key, now.as_millisecond()).map(|slot| &slot.state) {
            Some(State::Answered(record)) => return Ok(Claim::Answered(record.clone())),
            Some(State::Claimed(by)) if *by != owner => return Ok(Claim::Taken),
            // The same attempt may ask again.
            Some(State::Claimed(_)) | None => {}
        }
        if !records.has_room(now.as_millisecond()) {
            return Err(Unavailable::full("there is no room for more answers"));
        }
        let state = State::Claimed(owner);
        let until = after(now, lease);
        records.insert(key, Slot { state, until });
        Ok(Claim::Granted)
    }

    pub(super) fn renew(&self, key: Fingerprint, owner: Uuid, lease: Duration, now: Timestamp) {
        let mut records = self.records.lock();
        if records.is_open_to(key, owner, now.as_millisecond()) {
            let state = State::Claimed(owner);
            let until = after(now, lease);
            records.insert(key, Slot { state, until });
        }
    }

    pub(super) fn complete(&self, key: Fingerprint, owner: Uuid, record: Bytes, ttl: Duration, now: Timestamp) {
        let mut records = self.records.lock();
        if records.is_open_to(key, owner, now.as_millisecond()) {
            let state = State::Answered(record);
            let until = after(now, ttl);
            records.insert(key, Slot { state, until });
        }
    }

    pub(super) fn release(&self, key: Fingerprint, owner: Uuid) {
        let mut records = self.records.lock();
        if records.is_owned(key, owner, Millis::MIN) {
            records.remove(key);
        }
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

    const LEASE: Duration = Duration::from_secs(30);
    const TTL: Duration = Duration::from_secs(100);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    fn key(name: &str) -> Fingerprint {
        Fingerprint::of(&[name.as_bytes()])
    }

    #[test]
    fn one_answers_and_others_get_the_answer() {
        let store = MemoryStore::default();
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let claim = |owner, seconds| store.claim(key("k"), owner, LEASE, at(seconds)).unwrap();
        assert_eq!(claim(one, 0), Claim::Granted);
        assert_eq!(claim(other, 29), Claim::Taken);
        store.renew(key("k"), one, LEASE, at(29));
        assert_eq!(claim(other, 31), Claim::Taken);
        assert_eq!(claim(other, 59), Claim::Granted, "the lease is over");
        store.release(key("k"), one);
        store.complete(key("k"), one, Bytes::from("late"), TTL, at(60));
        assert_eq!(claim(one, 60), Claim::Taken, "only the owner has a say");
        store.complete(key("k"), other, Bytes::from("r"), TTL, at(61));
        store.release(key("k"), other);
        assert_eq!(claim(one, 160), Claim::Answered(Bytes::from("r")));
        assert_eq!(claim(one, 161), Claim::Granted, "it was kept as long as it should be");
        store.release(key("k"), one);
        assert_eq!(claim(other, 161), Claim::Granted);
        assert_eq!(store.claim(key("l"), one, LEASE, at(161)), Ok(Claim::Granted));
        assert_eq!(store.records.lock().bytes, 0);
    }

    #[test]
    fn a_lease_that_was_lost_is_had_again_if_nobody_else_has_begun() {
        let store = MemoryStore::default();
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        store.renew(key("k"), one, LEASE, at(0));
        assert_eq!(store.claim(key("k"), other, LEASE, at(29)), Ok(Claim::Taken));
        assert_eq!(store.claim(key("k"), other, LEASE, at(30)), Ok(Claim::Granted));
        store.renew(key("k"), one, LEASE, at(31));
        store.complete(key("k"), other, Bytes::from("r"), TTL, at(32));
        store.renew(key("k"), one, LEASE, at(33));
        let answered = Claim::Answered(Bytes::from("r"));
        assert_eq!(store.claim(key("k"), one, LEASE, at(34)), Ok(answered));
    }

    #[test]
    fn an_answer_that_comes_after_the_lease_is_kept_if_nobody_else_has_begun() {
        let store = MemoryStore::default();
        let one = Uuid::from_u128(1);
        store.claim(key("k"), one, LEASE, at(0)).unwrap();
        store.complete(key("k"), one, Bytes::from("r"), TTL, at(40));
        let claim = store.claim(key("k"), Uuid::from_u128(2), LEASE, at(41)).unwrap();
        assert_eq!(claim, Claim::Answered(Bytes::from("r")));
    }

    #[test]
    fn there_is_an_end_to_what_is_kept() {
        let store = MemoryStore::default();
        let half = Bytes::from(vec![0; MAX_RECORD_BYTES / 2]);
        for name in ["a", "b"] {
            store.claim(key(name), Uuid::nil(), LEASE, at(0)).unwrap();
            store.complete(key(name), Uuid::nil(), half.clone(), TTL, at(0));
        }
        let claim = |seconds| store.claim(key("c"), Uuid::nil(), LEASE, at(seconds));
        assert_eq!(claim(1), Err(Unavailable::full("there is no room for more answers")));
        assert_eq!(claim(100), Ok(Claim::Granted));
    }

    #[test]
    fn buckets_are_apart() {
        let store = MemoryStore::default();
        let rate = Rate::new(1, Duration::from_secs(10)).unwrap();
        for (bucket, seconds, want) in [("a", 0, true), ("a", 9, false), ("b", 9, true), ("a", 10, true)] {
            let spent = store.spend(key(bucket), rate, at(seconds)).unwrap();
            assert_eq!(spent.allowed, want, "{bucket} {seconds}");
        }
    }
}
