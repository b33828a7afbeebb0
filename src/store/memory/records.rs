//! Answers that are kept in this process. There is an end to how many and how long, for all
//! together and for those who share a part, so that nobody keeps out the others.

use std::collections::HashMap;

use bytes::Bytes;
use uuid::Uuid;

use crate::fingerprint::Fingerprint;
use crate::revocation::Millis;
use crate::store::{Answered, Claim, RecordKey, Unavailable};

/// The most that is kept for all.
const ALL: Usage = Usage {
    records: 100_000,
    bytes: 256 * 1024 * 1024,
};

/// The most that is kept for those who share a part.
const SHARE: Usage = Usage {
    records: ALL.records / 8,
    bytes: ALL.bytes / 8,
};

/// Answers, and claims to give one.
#[derive(Debug, Default)]
pub(super) struct Records {
    slots: HashMap<Fingerprint, Slot>,
    all: Usage,
    shares: HashMap<Fingerprint, Usage>,
}

#[derive(Debug)]
struct Slot {
    state: State,
    until: Millis,
    share: Fingerprint,
}

#[derive(Debug)]
enum State {
    Claimed(Uuid),
    Answered(Fingerprint, Bytes),
}

/// What is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Usage {
    records: usize,
    bytes: usize,
}

impl Usage {
    fn has_room(self, bytes: usize, most: Self) -> bool {
        self.records < most.records && self.bytes + bytes <= most.bytes
    }
}

impl Slot {
    fn bytes(&self) -> usize {
        match &self.state {
            State::Claimed(_) => 0,
            State::Answered(_, record) => record.len(),
        }
    }
}

impl Records {
    pub(super) fn claim(
        &mut self,
        key: RecordKey,
        owner: Uuid,
        until: Millis,
        now: Millis,
    ) -> Result<Claim, Unavailable> {
        match self.get(key.name, now).map(|slot| &slot.state) {
            Some(State::Answered(digest, record)) => {
                let (digest, bytes) = (*digest, record.len());
                return Ok(Claim::Answered(Answered { digest, bytes }));
            }
            Some(State::Claimed(by)) if *by != owner => return Ok(Claim::Taken),
            // The same attempt may ask again.
            Some(State::Claimed(_)) | None => {}
        }
        if !self.has_room(key.share, 0, now) {
            return Err(full());
        }
        self.insert(key, State::Claimed(owner), until);
        Ok(Claim::Granted)
    }

    pub(super) fn renew(&mut self, key: RecordKey, owner: Uuid, until: Millis, now: Millis) -> bool {
        let is_open = self.is_open_to(key.name, owner, now);
        if is_open {
            self.insert(key, State::Claimed(owner), until);
        }
        is_open
    }

    pub(super) fn read(&mut self, name: Fingerprint, digest: Fingerprint, now: Millis) -> Option<Bytes> {
        match &self.get(name, now)?.state {
            State::Answered(of, record) if *of == digest => Some(record.clone()),
            _ => None,
        }
    }

    pub(super) fn complete(
        &mut self,
        key: RecordKey,
        owner: Uuid,
        (digest, record): (Fingerprint, Bytes),
        until: Millis,
        now: Millis,
    ) -> Result<bool, Unavailable> {
        if !self.is_open_to(key.name, owner, now) {
            return Ok(false);
        }
        // Its own claim makes room for it.
        let claimed = self.slots.get(&key.name).map_or(now, |slot| slot.until);
        self.remove(key.name);
        if !self.has_room(key.share, record.len(), now) {
            self.insert(key, State::Claimed(owner), claimed);
            return Err(full());
        }
        self.insert(key, State::Answered(digest, record), until);
        Ok(true)
    }

    pub(super) fn release(&mut self, name: Fingerprint, owner: Uuid) {
        if self.is_owned(name, owner, Millis::MIN) {
            self.remove(name);
        }
    }

    /// What is there, unless it is over.
    fn get(&mut self, name: Fingerprint, now: Millis) -> Option<&Slot> {
        if self.slots.get(&name).is_some_and(|slot| slot.until <= now) {
            self.remove(name);
        }
        self.slots.get(&name)
    }

    /// Whether nobody else has it, nor had it.
    fn is_open_to(&mut self, name: Fingerprint, owner: Uuid, now: Millis) -> bool {
        self.get(name, now).is_none() || self.is_owned(name, owner, now)
    }

    fn is_owned(&mut self, name: Fingerprint, owner: Uuid, now: Millis) -> bool {
        let slot = self.get(name, now);
        slot.is_some_and(|slot| matches!(slot.state, State::Claimed(by) if by == owner))
    }

    /// Whether there is room for one more, once what is over is gone.
    fn has_room(&mut self, share: Fingerprint, bytes: usize, now: Millis) -> bool {
        let fits = |records: &Self| {
            let used = records.shares.get(&share).copied().unwrap_or_default();
            records.all.has_room(bytes, ALL) && used.has_room(bytes, SHARE)
        };
        if !fits(self) {
            let over = self.slots.iter().filter(|(_, slot)| slot.until <= now);
            let over: Vec<_> = over.map(|(name, _)| *name).collect();
            for name in over {
                self.remove(name);
            }
        }
        fits(self)
    }

    fn insert(&mut self, key: RecordKey, state: State, until: Millis) {
        self.remove(key.name);
        let share = key.share;
        let slot = Slot { state, until, share };
        let bytes = slot.bytes();
        for usage in [&mut self.all, self.shares.entry(share).or_default()] {
            usage.records += 1;
            usage.bytes += bytes;
        }
        self.slots.insert(key.name, slot);
    }

    fn remove(&mut self, name: Fingerprint) {
        let Some(slot) = self.slots.remove(&name) else { return };
        let bytes = slot.bytes();
        for usage in [&mut self.all, self.shares.entry(slot.share).or_default()] {
            usage.records -= 1;
            usage.bytes -= bytes;
        }
        if self.shares.get(&slot.share) == Some(&Usage::default()) {
            self.shares.remove(&slot.share);
        }
    }
}

fn full() -> Unavailable {
    Unavailable::full("there is no room for more answers")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Millis = 30;
    const TTL: Millis = 100;
    const ONE: Uuid = Uuid::from_u128(1);
    const OTHER: Uuid = Uuid::from_u128(2);

    fn key(name: &str) -> RecordKey {
        of(name, "share")
    }

    fn of(name: &str, share: &str) -> RecordKey {
        RecordKey {
            name: Fingerprint::of(&[name.as_bytes()]),
            share: Fingerprint::of(&[share.as_bytes()]),
        }
    }

    fn digest() -> Fingerprint {
        Fingerprint::of(&[b"request"])
    }

    fn answer(record: &[u8]) -> (Fingerprint, Bytes) {
        (digest(), Bytes::copy_from_slice(record))
    }

    fn answered(bytes: usize) -> Claim {
        let digest = digest();
        Claim::Answered(Answered { digest, bytes })
    }

    fn claim(records: &mut Records, owner: Uuid, now: Millis) -> Result<Claim, Unavailable> {
        records.claim(key("k"), owner, now + LEASE, now)
    }

    #[test]
    fn one_answers_and_others_get_the_answer() {
        let mut records = Records::default();
        assert_eq!(claim(&mut records, ONE, 0), Ok(Claim::Granted));
        assert_eq!(claim(&mut records, ONE, 0), Ok(Claim::Granted), "the same attempt");
        assert_eq!(claim(&mut records, OTHER, 29), Ok(Claim::Taken));
        records.renew(key("k"), ONE, 29 + LEASE, 29);
        assert_eq!(claim(&mut records, OTHER, 31), Ok(Claim::Taken));
        assert_eq!(claim(&mut records, OTHER, 59), Ok(Claim::Granted), "the lease is over");
        records.release(key("k").name, ONE);
        assert_eq!(records.complete(key("k"), ONE, answer(b"late"), TTL, 60), Ok(false));
        assert_eq!(
            claim(&mut records, ONE, 60),
            Ok(Claim::Taken),
            "only the owner has a say"
        );
        records.complete(key("k"), OTHER, answer(b"r"), 61 + TTL, 61).unwrap();
        records.release(key("k").name, OTHER);
        assert_eq!(claim(&mut records, ONE, 160), Ok(answered(1)));
        assert_eq!(records.read(key("k").name, digest(), 160), Some(Bytes::from("r")));
        assert_eq!(records.read(key("k").name, Fingerprint::of(&[]), 160), None);
        assert_eq!(records.read(key("k").name, digest(), 161), None);
        assert_eq!(
            claim(&mut records, ONE, 161),
            Ok(Claim::Granted),
            "it was kept for its time"
        );
        records.release(key("k").name, ONE);
        assert_eq!(claim(&mut records, OTHER, 161), Ok(Claim::Granted));
        records.release(key("k").name, OTHER);
        assert_eq!((records.all, records.shares.len()), (Usage::default(), 0));
    }

    #[test]
    fn a_lease_that_was_lost_is_had_again_if_nobody_else_has_begun() {
        let mut records = Records::default();
        records.renew(key("k"), ONE, LEASE, 0);
        assert_eq!(claim(&mut records, OTHER, 29), Ok(Claim::Taken));
        assert_eq!(claim(&mut records, OTHER, 30), Ok(Claim::Granted));
        assert!(!records.renew(key("k"), ONE, 31 + LEASE, 31), "somebody else has it");
        records.complete(key("k"), OTHER, answer(b"r"), TTL, 32).unwrap();
        records.renew(key("k"), ONE, 33 + LEASE, 33);
        assert_eq!(claim(&mut records, ONE, 34), Ok(answered(1)));
    }

    #[test]
    fn an_answer_that_comes_after_the_lease_is_kept_if_nobody_else_has_begun() {
        let mut records = Records::default();
        claim(&mut records, ONE, 0).unwrap();
        records.complete(key("k"), ONE, answer(b"r"), 40 + TTL, 40).unwrap();
        assert_eq!(claim(&mut records, OTHER, 41), Ok(answered(1)));
    }

    #[test]
    fn nobody_keeps_out_the_others() {
        let mut records = Records::default();
        let half = vec![0; SHARE.bytes / 2];
        let keep = |records: &mut Records, name: &str, share: &str, now: Millis| {
            assert_eq!(records.claim(of(name, share), ONE, now + LEASE, now)?, Claim::Granted);
            records.complete(of(name, share), ONE, answer(&half), now + TTL, now)
        };
        assert_eq!(keep(&mut records, "a", "x", 0), Ok(true));
        assert_eq!(keep(&mut records, "b", "x", 0), Ok(true));
        assert_eq!(keep(&mut records, "c", "x", 1), Err(full()), "the share is used up");
        for share in 1..8 {
            for name in ["a", "b"] {
                let name = format!("{name}{share}");
                assert_eq!(keep(&mut records, &name, &share.to_string(), 1), Ok(true), "{share}");
            }
        }
        assert_eq!(records.all.bytes, ALL.bytes);
        assert_eq!(keep(&mut records, "d", "y", 2), Err(full()), "all is used up");
        assert_eq!(keep(&mut records, "d", "y", 200), Ok(true), "what is over makes room");
        assert_eq!((records.all.records, records.shares.len()), (1, 1));
    }
}
