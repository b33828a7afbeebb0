//! Responses that are stored in this process, up to a number of bytes. Those who share a part of it
//! may use no more than they leave free: one alone gets half of the room, two get a third each, and
//! there is room left for the next.

use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;
use uuid::Uuid;

use crate::digest::Fingerprint;
use crate::revocation::Millis;
use crate::store::{Claim, RecordKey, StoredResponse, Unavailable};
use crate::telemetry::metrics::MemoryUsage;

/// What each record takes besides its response, in bytes.
const EACH: usize = 512;

/// How many records that are over are removed at a time.
const AT_A_TIME: usize = 64;

/// How many of them are removed before the usage is shown.
const BEFORE_SHOWN: usize = 4096;

/// Responses, and claims to give one.
#[derive(Debug)]
pub(super) struct Records {
    size: usize,
    slots: HashMap<Fingerprint, Slot>,
    /// The same records, by when they are over.
    ends: BTreeSet<(Millis, Fingerprint)>,
    /// What all take together, in bytes.
    used: usize,
    /// What those take who share a part.
    shares: HashMap<Fingerprint, usize>,
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
    Stored {
        by: Uuid,
        digest: Fingerprint,
        record: Bytes,
    },
}

impl Slot {
    fn bytes(&self) -> usize {
        match &self.state {
            State::Claimed(_) => EACH,
            State::Stored { record, .. } => EACH + record.len(),
        }
    }
}

impl Records {
    /// Room for so many bytes.
    pub(super) fn new(size: usize) -> Self {
        Self {
            size,
            slots: HashMap::new(),
            ends: BTreeSet::new(),
            used: 0,
            shares: HashMap::new(),
        }
    }

    pub(super) fn claim(
        &mut self,
        key: RecordKey,
        owner: Uuid,
        until: Millis,
        now: Millis,
    ) -> Result<Claim, Unavailable> {
        self.remove_over(now, AT_A_TIME);
        match self.get(key.name, now).map(|slot| &slot.state) {
            Some(State::Stored { digest, record, .. }) => {
                let (digest, bytes) = (*digest, record.len());
                return Ok(Claim::Stored(StoredResponse { digest, bytes }));
            }
            Some(State::Claimed(by)) if *by != owner => return Ok(Claim::Taken),
            // The same attempt may ask again.
            Some(State::Claimed(_)) | None => {}
        }
        if !self.has_room(key.share, EACH, now) {
            return Err(full());
        }
        self.insert(key, State::Claimed(owner), until);
        Ok(Claim::Granted)
    }

    pub(super) fn renew(&mut self, key: RecordKey, owner: Uuid, until: Millis, now: Millis) -> bool {
        if self.is_answered_by(key.name, owner, now) {
            return true;
        }
        let is_open = self.is_open_to(key.name, owner, now);
        if is_open {
            self.insert(key, State::Claimed(owner), until);
        }
        is_open
    }

    pub(super) fn read(&mut self, name: Fingerprint, of: Fingerprint, now: Millis) -> Option<Bytes> {
        match &self.get(name, now)?.state {
            State::Stored { digest, record, .. } if *digest == of => Some(record.clone()),
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
        if self.is_answered_by(key.name, owner, now) {
            return Ok(true);
        }
        if !self.is_open_to(key.name, owner, now) {
            return Ok(false);
        }
        if !self.can_hold(record.len()) {
            let cause = "the response is larger than half of `store.memory.size`";
            return Err(Unavailable::too_large(cause));
        }
        // Its own claim makes room for it.
        let claimed = self.slots.get(&key.name).map_or(now, |slot| slot.until);
        self.remove(key.name);
        if !self.has_room(key.share, EACH + record.len(), now) {
            self.insert(key, State::Claimed(owner), claimed);
            return Err(full());
        }
        let by = owner;
        self.insert(key, State::Stored { by, digest, record }, until);
        Ok(true)
    }

    /// Whether a response of this length fits into an empty store.
    const fn can_hold(&self, length: usize) -> bool {
        EACH + length <= self.size / 2
    }

    pub(super) fn release(&mut self, name: Fingerprint, owner: Uuid) {
        if self.is_owned(name, owner, Millis::MIN) {
            self.remove(name);
        }
    }

    /// How much is used now.
    pub(super) fn usage(&mut self, now: Millis) -> MemoryUsage {
        self.remove_over(now, BEFORE_SHOWN);
        MemoryUsage {
            limit: self.size,
            used: self.used,
            records: self.slots.len(),
            largest_share: self.shares.values().copied().max().unwrap_or(0),
        }
    }

    /// Returns the slot of a key, unless it has expired.
    fn get(&mut self, name: Fingerprint, now: Millis) -> Option<&Slot> {
        if self.slots.get(&name).is_some_and(|slot| slot.until <= now) {
            self.remove(name);
        }
        self.slots.get(&name)
    }

    /// Whether no other owner has or had the key.
    fn is_open_to(&mut self, name: Fingerprint, owner: Uuid, now: Millis) -> bool {
        self.get(name, now).is_none() || self.is_owned(name, owner, now)
    }

    fn is_owned(&mut self, name: Fingerprint, owner: Uuid, now: Millis) -> bool {
        let slot = self.get(name, now);
        slot.is_some_and(|slot| matches!(slot.state, State::Claimed(by) if by == owner))
    }

    fn is_answered_by(&mut self, name: Fingerprint, owner: Uuid, now: Millis) -> bool {
        let slot = self.get(name, now);
        slot.is_some_and(|slot| matches!(slot.state, State::Stored { by, .. } if by == owner))
    }

    /// Whether there is room for so many bytes more, once enough of what is over is gone.
    fn has_room(&mut self, share: Fingerprint, bytes: usize, now: Millis) -> bool {
        loop {
            let used = self.shares.get(&share).copied().unwrap_or_default() + bytes;
            let free = self.size.checked_sub(self.used + bytes);
            if free.is_some_and(|free| used <= free) {
                return true;
            }
            if self.remove_over(now, AT_A_TIME) == 0 {
                return false;
            }
        }
    }

    /// Removes some of what is over, and returns how many that were.
    fn remove_over(&mut self, now: Millis, most: usize) -> usize {
        for removed in 0..most {
            match self.ends.first() {
                Some((until, name)) if *until <= now => {
                    let name = *name;
                    self.remove(name);
                }
                _ => return removed,
            }
        }
        most
    }

    fn insert(&mut self, key: RecordKey, state: State, until: Millis) {
        self.remove(key.name);
        let share = key.share;
        let slot = Slot { state, until, share };
        self.used += slot.bytes();
        *self.shares.entry(share).or_default() += slot.bytes();
        self.ends.insert((until, key.name));
        self.slots.insert(key.name, slot);
    }

    fn remove(&mut self, name: Fingerprint) {
        let Some(slot) = self.slots.remove(&name) else { return };
        self.ends.remove(&(slot.until, name));
        self.used -= slot.bytes();
        if let Some(used) = self.shares.get_mut(&slot.share) {
            *used -= slot.bytes();
            if *used == 0 {
                self.shares.remove(&slot.share);
            }
        }
    }
}

fn full() -> Unavailable {
    Unavailable::full("there is no room for more answers")
}

#[cfg(test)]
mod tests;
