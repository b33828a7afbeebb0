//! Tries one request on both sides, and says in which way the sides differ.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, HashMap};

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS,
};
use http::{HeaderName, HeaderValue};

use super::pair::Pair;
use super::parts::Parts;
use crate::decision::{Observer, Outcome, Step};
use crate::policy_diff::types::Incomplete;
use crate::principal::AuthMethod;
use crate::rehearsal::{Answer, Forwarded};
use crate::rejection::{Reason, Rejection};

/// The most requests that are tried for one pair of routes.
const MOST: usize = 2_000_000;

/// The most requests that are tried in all.
const MOST_IN_ALL: usize = 20_000_000;

/// What becomes of a request on one side, as far as it sets callers apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Mark {
    /// It is forwarded.
    Passes,
    /// It is forwarded in shadow mode, and would be rejected at this step.
    Shadow(u8),
    /// It is rejected at this step.
    Rejected(u8),
    /// Sidegate itself responds with this.
    Own(&'static str),
}

/// How the responses of both sides differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Kind {
    /// They do not.
    Same,
    /// The request passes and did not.
    Gained,
    /// The request does not pass and did.
    Lost,
    /// The request passes as before, and something else is forwarded or answered.
    Forwarded,
    /// The request is rejected as before in another way.
    Rejected,
}

/// What is seen of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Seen {
    /// How the responses differ.
    pub(super) kind: Kind,
    /// What becomes of it on the old side.
    pub(super) was: Mark,
    /// What becomes of it on the new side.
    pub(super) now: Mark,
    /// What differs, by its place in [`Judge::details`]; 0 for nothing.
    pub(super) detail: u32,
    /// Why it is rejected on each side, if that is for its tenant: what is wrong with the claims and with the header of a
    /// request matters together.
    pub(super) reasons: [Option<Reason>; 2],
}

/// What of something seen makes a class.
pub(super) type Print = (Kind, Mark, Mark, bool, [Option<Reason>; 2]);

/// What differs in what the upstream gets, or the client from Sidegate itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Detail {
    /// The names, each with whether the old and the new side have it.
    pub(super) names: BTreeSet<(String, bool, bool)>,
    /// Whether pages may read or call what they could not.
    pub(super) pages_gained: bool,
    /// Whether pages cannot read or call what they could.
    pub(super) pages_lost: bool,
    /// Whether a token passes that was rejected for its tenant.
    pub(super) another_tenant: bool,
}

/// The observer of a decision, which notes the step that ended it.
#[derive(Default)]
struct Failed(u8);

impl Observer for Failed {
    fn passed(&mut self, _: Step, _: impl FnOnce() -> String) {}
    fn blocked(&mut self, _: Step, _: impl FnOnce() -> String) {}
    fn failed(&mut self, step: Step, _: &Rejection) {
        self.0 = step as u8;
    }
    fn is_observing(&self) -> bool {
        false
    }
}

/// Tries requests on both sides.
#[derive(Debug)]
pub(super) struct Judge<'r> {
    pair: Pair<'r>,
    rejects_alike: bool,
    forwards_alike: bool,
    details: RefCell<(Vec<Detail>, HashMap<Detail, u32>)>,
    tried: Cell<usize>,
    before: usize,
    /// For each side, whether a caller passed, and whether one was rejected by the rules of the route.
    passed: [Cell<bool>; 2],
    rejected: [Cell<bool>; 2],
}

impl<'r> Judge<'r> {
    /// Prepares to try requests that meet a pair, after as many were tried for others.
    pub(super) fn new(pair: Pair<'r>, before: usize) -> Self {
        Self {
            rejects_alike: pair.rejects_alike(),
            forwards_alike: pair.forwards_alike(),
            pair,
            details: RefCell::new((vec![Detail::default()], HashMap::from([(Detail::default(), 0)]))),
            tried: Cell::new(0),
            before,
            passed: Default::default(),
            rejected: Default::default(),
        }
    }

    /// Returns the pair.
    pub(super) const fn pair(&self) -> &Pair<'r> {
        &self.pair
    }

    /// Returns how many requests were tried.
    pub(super) const fn tried(&self) -> usize {
        self.tried.get()
    }

    /// Returns a detail by its place.
    pub(super) fn detail(&self, place: u32) -> Detail {
        let details = self.details.borrow();
        details.0.get(place as usize).cloned().unwrap_or_default()
    }

    /// Returns whether the rules of the route of a side rejected all callers who were tried, so that nothing is known of what
    /// lies behind.
    pub(super) fn is_left_open(&self, side: usize) -> bool {
        let of_side = |flags: &[Cell<bool>; 2]| flags.get(side).is_some_and(Cell::get);
        of_side(&self.rejected) && !of_side(&self.passed)
    }

    fn note_marks(&self, marks: [Mark; 2]) {
        for ((mark, passed), rejected) in marks.into_iter().zip(&self.passed).zip(&self.rejected) {
            match mark {
                Mark::Passes => passed.set(true),
                Mark::Shadow(step) | Mark::Rejected(step) if step > Step::Route as u8 => rejected.set(true),
                _ => {}
            }
        }
    }

    /// Checks that as many more requests can be tried.
    pub(super) fn check(&self, more: usize) -> Result<(), Incomplete> {
        let tried = self.tried.get().saturating_add(more);
        match tried {
            tried if tried > MOST => Err(Incomplete::TooMany {
                what: "callers of one route",
                limit: MOST,
            }),
            tried if self.before.saturating_add(tried) > MOST_IN_ALL => Err(Incomplete::TooMany {
                what: "callers",
                limit: MOST_IN_ALL,
            }),
            _ => Ok(()),
        }
    }

    /// Tries a request.
    pub(super) fn see(&self, parts: &Parts) -> Result<Seen, Incomplete> {
        self.check(1)?;
        self.tried.set(self.tried.get() + 1);
        let request = parts.request(self.pair.old.rehearsal.keys());
        let facts = request.facts();
        Ok(parts.with_revocations(|known| {
            let [(was, old_step), (now, new_step)] = [&self.pair.old, &self.pair.new].map(|side| {
                let mut failed = Failed::default();
                let decision = side.rehearsal.decide(&facts, known, &mut failed);
                (decision, failed.0)
            });
            let marks = [(&was.outcome, old_step), (&now.outcome, new_step)].map(|(outcome, step)| mark(outcome, step));
            let [old_mark, new_mark] = marks;
            self.note_marks(marks);
            let reasons = [(&was.outcome, old_step), (&now.outcome, new_step)].map(|(outcome, step)| {
                let rejection = outcome.rejection().filter(|_| step == Step::Tenant as u8);
                rejection.map(Rejection::reason)
            });
            let seen = |kind, detail| Seen {
                reasons,
                kind,
                was: old_mark,
                now: new_mark,
                detail,
            };
            let is_expected = was.matched.scope() == self.pair.old.scope && now.matched.scope() == self.pair.new.scope;
            match (&was.outcome, &now.outcome) {
                (Outcome::Deny(old), Outcome::Deny(new)) => {
                    let is_plain = self.rejects_alike && is_expected && old.retry_seconds() == new.retry_seconds();
                    if old.reason() != new.reason() || old.allow() != new.allow() {
                        return seen(Kind::Rejected, 0);
                    }
                    if is_plain {
                        return seen(Kind::Same, 0);
                    }
                }
                (Outcome::Deny(old), Outcome::Allow(permit)) => {
                    let another_tenant = old.reason() == Reason::TenantMismatch && permit.proves(AuthMethod::Jwt);
                    let detail = Detail {
                        another_tenant,
                        ..Detail::default()
                    };
                    return seen(Kind::Gained, self.note(detail));
                }
                (Outcome::Allow(old), Outcome::Allow(new)) if old == new && self.forwards_alike && is_expected => {
                    return seen(Kind::Same, 0);
                }
                _ => {}
            }
            let [old, new] = [(&self.pair.old, &was), (&self.pair.new, &now)]
                .map(|(side, decision)| side.rehearsal.answer_of(decision, &facts));
            if old == new {
                return seen(Kind::Same, 0);
            }
            let (kind, detail) = compare(&old, &new);
            seen(kind, self.note(detail))
        }))
    }

    /// Returns what of something seen makes a class: not what exactly the upstream gets, but whether it is something else.
    pub(super) fn print(&self, seen: &Seen) -> Print {
        let details = self.details.borrow();
        let detail = details.0.get(seen.detail as usize);
        let is_particular =
            detail.is_some_and(|detail| detail.another_tenant || detail.pages_gained || detail.pages_lost);
        (seen.kind, seen.was, seen.now, is_particular, seen.reasons)
    }

    fn note(&self, detail: Detail) -> u32 {
        let mut details = self.details.borrow_mut();
        if let Some(place) = details.1.get(&detail) {
            return *place;
        }
        let place = u32::try_from(details.0.len()).unwrap_or(u32::MAX);
        details.0.push(detail.clone());
        details.1.insert(detail, place);
        place
    }

    /// Says what becomes of a request on both sides, in words.
    pub(super) fn words(&self, parts: &Parts) -> [String; 2] {
        let request = parts.request(self.pair.old.rehearsal.keys());
        let facts = request.facts();
        [&self.pair.old, &self.pair.new].map(|side| {
            parts.with_revocations(|known| {
                let decision = side.rehearsal.decide(&facts, known, &mut ());
                words(&decision.outcome)
            })
        })
    }
}

/// Says what becomes of a request.
pub(super) fn words(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Allow(_) => "allow".to_owned(),
        Outcome::ShadowDeny(_, rejection) => format!("shadow {}", rejection.reason().code()),
        Outcome::Deny(rejection) => format!("{} {}", rejection.reason().status(), rejection.reason().code()),
        Outcome::ServerOptions => "options".to_owned(),
        Outcome::Preflight(_) | Outcome::Metadata => outcome.label().to_owned(),
    }
}

fn mark(outcome: &Outcome, step: u8) -> Mark {
    match outcome {
        Outcome::Allow(_) => Mark::Passes,
        Outcome::ShadowDeny(..) => Mark::Shadow(step),
        Outcome::Deny(_) => Mark::Rejected(step),
        Outcome::ServerOptions => Mark::Own("options"),
        Outcome::Preflight(_) | Outcome::Metadata => Mark::Own(outcome.label()),
    }
}

/// Compares answers that differ.
fn compare(old: &Answer, new: &Answer) -> (Kind, Detail) {
    let mut detail = Detail::default();
    match (old, new) {
        (Answer::Rejected(_), Answer::Rejected(_)) => (Kind::Rejected, detail),
        (Answer::Own(was, old), Answer::Own(now, new)) if was == now => {
            pages(&old.headers, &new.headers, &mut detail);
            detail.names.insert(((*was).to_owned(), true, true));
            (Kind::Forwarded, detail)
        }
        (Answer::Rejected(_), _) | (Answer::Forwarded(_) | Answer::Shadow(..), Answer::Own(..)) => {
            (Kind::Gained, detail)
        }
        (_, Answer::Rejected(_)) | (Answer::Own(..), _) => (Kind::Lost, detail),
        _ => {
            if let (Some(old), Some(new)) = (old.forwarded(), new.forwarded()) {
                compare_forwarded(old, new, &mut detail);
            }
            let shadows = [old, new].map(|answer| matches!(answer, Answer::Shadow(..)));
            if shadows.contains(&true) {
                detail.names.insert(("mode".to_owned(), shadows[0], shadows[1]));
            }
            (Kind::Forwarded, detail)
        }
    }
}

fn compare_forwarded(old: &Forwarded, new: &Forwarded, detail: &mut Detail) {
    let mut note = |name: &str, was: bool, now: bool| {
        detail.names.insert((name.to_owned(), was, now));
    };
    let other = [
        ("service", old.service != new.service),
        ("upstream", old.upstream != new.upstream),
        ("path", old.path != new.path),
        ("query", old.query != new.query),
    ];
    for (name, _) in other.iter().filter(|(_, differs)| *differs) {
        note(name, true, true);
    }
    let names: BTreeSet<&str> = old
        .headers
        .keys()
        .chain(new.headers.keys())
        .map(HeaderName::as_str)
        .collect();
    for name in names {
        let [was, now] = [old, new].map(|side| side.headers.get_all(name).iter().collect::<Vec<_>>());
        if was != now {
            note(name, !was.is_empty(), !now.is_empty());
        }
    }
    if old.response_headers != new.response_headers {
        note("response", true, true);
        pages(&old.response_headers, &new.response_headers, detail);
    }
}

/// Notes what pages of other origins may do by the fields of responses that differ.
fn pages(old: &[(HeaderName, HeaderValue)], new: &[(HeaderName, HeaderValue)], detail: &mut Detail) {
    let read = [
        ACCESS_CONTROL_ALLOW_ORIGIN,
        ACCESS_CONTROL_ALLOW_CREDENTIALS,
        ACCESS_CONTROL_ALLOW_METHODS,
        ACCESS_CONTROL_ALLOW_HEADERS,
        ACCESS_CONTROL_EXPOSE_HEADERS,
    ];
    let allowed = |fields: &[(HeaderName, HeaderValue)]| -> BTreeSet<String> {
        let fields = fields.iter().filter(|(name, _)| read.contains(name));
        let items = fields.flat_map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            let items: Vec<_> = value
                .split(',')
                .map(|item| format!("{name}: {}", item.trim()))
                .collect();
            items
        });
        items.collect()
    };
    let (old, new) = (allowed(old), allowed(new));
    detail.pages_gained |= !new.is_subset(&old);
    detail.pages_lost |= !old.is_subset(&new);
}
