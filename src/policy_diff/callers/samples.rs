//! Callers of the classes for whom a change matters, made small enough to show: what is left out changes nothing for them.

use serde_json::{Map, Value};

use super::parts::{Parts, Sent};
use super::seen::words;
use crate::policy::{Issuer, Policy};
use crate::policy_diff::shown::Shown;
use crate::policy_diff::types::Change;
use crate::rehearsal::claims::{completed, missing};
use crate::rehearsal::{Caller, Rehearsal, Request, Token};
use crate::revocation::Revocations;

/// The most callers of one change that are tried.
pub(super) const MOST: usize = 8;

/// A caller of a class for which a change matters.
#[derive(Debug, Clone)]
pub(super) struct Sample {
    /// The request of the caller.
    pub(super) parts: Parts,
    /// What becomes of it on both sides.
    pub(super) words: [String; 2],
}

/// Finds a caller whom `explain` can show among those for whom a change matters.
pub(super) fn shown(samples: &[Sample], sides: [&Rehearsal; 2], change: &Change) -> Option<Shown> {
    let example = Example { sides, change };
    samples.iter().find_map(|sample| example.smallest(sample))
}

/// The example of a change, on both sides.
struct Example<'c> {
    sides: [&'c Rehearsal; 2],
    change: &'c Change,
}

impl Example<'_> {
    fn smallest(&self, sample: &Sample) -> Option<Shown> {
        let now = sample.parts.now;
        let fits = |shown: &Shown| self.is_seen((shown, now), &sample.words);
        let mut shown = whole(&sample.parts);
        if !fits(&shown) {
            return None;
        }
        let mut keep = |smaller: Shown| {
            if fits(&smaller) {
                shown = smaller;
            }
            shown.clone()
        };
        let mut known = keep(Shown::default());
        for name in known
            .claims
            .iter()
            .flatten()
            .map(|(name, _)| name.clone())
            .collect::<Vec<_>>()
        {
            let mut smaller = known.clone();
            smaller.claims.as_mut().map(|claims| claims.remove(&name));
            known = keep(smaller);
        }
        for (name, _) in known.headers.clone() {
            let mut smaller = known.clone();
            smaller.headers.retain(|(other, _)| *other != name);
            known = keep(smaller);
        }
        known = keep(Shown { client: None, ..known });
        let is_kept = |path: &[String]| {
            let claims = known.claims.as_ref();
            claims.is_some_and(|claims| path.first().is_some_and(|name| claims.contains_key(name)))
        };
        let has_times = sample.parts.times.iter().any(|(path, _)| is_kept(path));
        known.at = has_times.then_some(now);
        Some(known)
    }

    /// Whether a request is answered as these words say on both sides, and not alike.
    fn is_seen(&self, (shown, now): (&Shown, i64), wanted: &[String; 2]) -> bool {
        let [_, new] = self.sides;
        let example = &self.change.example;
        let mut request = Request::new(example.method.clone(), &example.path, &example.host, now);
        request.headers.extend(shown.headers.iter().cloned());
        request.client = shown.client;
        if let Some(claims) = &shown.claims {
            let policy = new.policies().matched(self.change.now).policy();
            let Some(token) = policy.and_then(|policy| token(policy, claims, now)) else {
                return false;
            };
            let caller = Caller {
                token: Some(token),
                ..Caller::default()
            };
            caller.apply(&mut request, new.keys());
        }
        let facts = request.facts();
        let [was, is] = self.sides.map(|side| {
            let decision = side.decide(&facts, Revocations::Unasked, &mut ());
            (words(&decision.outcome), side.answer_of(&decision, &facts))
        });
        [&was.0, &is.0] == [&wanted[0], &wanted[1]] && was.1 != is.1
    }
}

/// Returns what `explain` can show of a request.
fn whole(parts: &Parts) -> Shown {
    let value = |sent: &Sent| match sent {
        Sent::Value(value) => Some(value.clone()),
        Sent::Key(_) => None,
    };
    let fields = parts.headers.iter().flat_map(|(name, values)| {
        let values = values.iter().filter_map(value);
        values.map(|value| (name.clone(), value))
    });
    Shown {
        claims: parts.timed_token().map(|token| token.claims),
        headers: fields.collect(),
        client: parts.client,
        at: None,
    }
}

/// Makes the token that `explain` makes of claims.
fn token(policy: &Policy, claims: &Map<String, Value>, now: i64) -> Option<Token> {
    let named = claims.get("iss").and_then(Value::as_str);
    let has_name = |issuer: &&Issuer| named.is_some_and(|name| issuer.names.has(name));
    let issuer = match policy.issuers.as_slice() {
        [issuer] => Some(issuer),
        _ => policy.issuers.iter().find(has_name),
    }?;
    match missing(issuer, claims) {
        Some(_) => None,
        None => Token::of(issuer, completed(issuer, claims.clone(), now)),
    }
}
