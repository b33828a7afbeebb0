//! All revocations that a Redis has, as they are read page by page, against those that are known.

use std::sync::Arc;

use crate::revocation::{Millis, Revocation, RevocationList};
use crate::store::Unavailable;
use crate::store::redis::failure::invalid_reply;
use crate::store::revocation_cache::RevocationCache;

/// What was read, and what of it is new.
#[derive(Debug)]
pub(super) struct FullScan {
    now: Millis,
    /// What they have, as far as it can matter: where nothing is known, nothing can be lost.
    theirs: Option<RevocationList>,
    known: RevocationList,
    fresh: Vec<Revocation>,
    unreadable: Unreadable,
}

/// Entries that cannot be read: they are invalid, or a newer version wrote them.
#[derive(Debug, Default)]
pub(super) struct Unreadable {
    /// How many there are.
    pub(super) count: usize,
    /// What is wrong with the first.
    pub(super) first: Option<String>,
}

impl Unreadable {
    fn note(&mut self, what: String) {
        self.count += 1;
        self.first.get_or_insert(what);
    }
}

/// What follows from a whole reading.
#[derive(Debug)]
pub(super) struct Outcome {
    /// Those that were not known.
    pub(super) fresh: Vec<Revocation>,
    /// Those that are known, and that Redis has lost.
    pub(super) lost: Vec<Revocation>,
    /// What could not be read.
    pub(super) unreadable: Unreadable,
}

impl FullScan {
    /// Nothing read yet.
    pub(super) fn begin(revocation_cache: &RevocationCache, now: Millis) -> Self {
        let known = revocation_cache.snapshot().list().clone();
        Self {
            now,
            theirs: (!known.is_empty()).then(RevocationList::default),
            known,
            fresh: Vec::new(),
            unreadable: Unreadable::default(),
        }
    }

    /// Takes in some members of the set, with their scores.
    pub(super) fn take_all(&mut self, members: &[(Vec<u8>, f64)]) {
        for (text, score) in members {
            self.take(text, *score);
        }
    }

    /// Takes in one member of the set.
    fn take(&mut self, text: &[u8], score: f64) {
        match parse(text) {
            Ok(revocation) => {
                let Some(theirs) = &mut self.theirs else {
                    return self.fresh.push(revocation);
                };
                theirs.add(&revocation);
                if self.known.add(&revocation) {
                    self.fresh.push(revocation);
                }
            }
            // Whatever it said, it is over.
            Err(_) if millis(score) <= self.now => {}
            Err(what) => self.unreadable.note(what),
        }
    }

    /// The end of the set. May take a while if there are many.
    pub(super) fn end(mut self) -> Outcome {
        let mut lost = Vec::new();
        if let Some(theirs) = &mut self.theirs {
            let known = self.known.iter().filter(|known| known.expires > self.now);
            lost.extend(known.filter(|known| theirs.add(known)));
        }
        Outcome {
            fresh: self.fresh,
            lost,
            unreadable: self.unreadable,
        }
    }
}

/// One revocation as it is written, if it is one.
pub(super) fn parse(text: &[u8]) -> Result<Revocation, String> {
    let revocation: Revocation = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    match revocation.problem() {
        None => Ok(revocation),
        Some(problem) => Err(problem.to_owned()),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a score is a time, and one far off stays far off"
)]
fn millis(score: f64) -> Millis {
    score as Millis
}

/// A reading ends, and what is new is known from then on. Many are not taken in beside requests.
pub(super) async fn finish(read: FullScan, revocation_cache: Arc<RevocationCache>) -> Result<Outcome, Unavailable> {
    let finish = move || {
        let now = read.now;
        let outcome = read.end();
        revocation_cache.add(&outcome.fresh, now).map(|()| outcome)
    };
    let finished = tokio::task::spawn_blocking(finish).await;
    finished.unwrap_or_else(|_| Err(invalid_reply()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::revocation::Target;

    const T: Millis = 1_800_000_000_000;

    fn of(jti: &str, expires: Millis) -> Revocation {
        Revocation {
            target: Target::Jti(jti.into()),
            issuer: None,
            before: None,
            expires,
        }
    }

    fn text(revocation: &Revocation) -> Vec<u8> {
        serde_json::to_vec(revocation).unwrap()
    }

    #[test]
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    fn what_is_new_and_what_is_lost() {
        let revocation_cache = RevocationCache::incomplete();
        revocation_cache
            .add(
                &[of("both", T + 1), of("ours", T + 1), of("over", T), of("longer", T + 9)],
                T - 1,
            )
            .unwrap();
        let mut read = FullScan::begin(&revocation_cache, T);
        for revocation in [of("both", T + 1), of("theirs", T + 1), of("longer", T + 5)] {
            read.take(&text(&revocation), revocation.expires as f64);
        }
        read.take(b"{}", T as f64);
        read.take(b"{}", (T + 1) as f64);
        read.take(b"{}", f64::INFINITY);
        let Outcome {
            fresh,
            mut lost,
            unreadable,
        } = read.end();
        lost.sort_by_key(|lost| lost.target.clone());
        assert_eq!(fresh, [of("theirs", T + 1)]);
        assert_eq!(lost, [of("longer", T + 9), of("ours", T + 1)]);
        assert_eq!(unreadable.count, 2);
    }
}
