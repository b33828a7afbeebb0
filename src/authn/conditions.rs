//! The conditions of an issuer on the claims of its tokens.

use crate::policy::Issuer;
use crate::policy::condition::{Condition, Failure, Subject};
use crate::principal::Claims;
use crate::rejection::{Reason, Rejection};

/// Checks all conditions of an issuer, when a token is verified.
pub(super) fn check(issuer: &Issuer, claims: &Claims, now: i64) -> Result<(), Rejection> {
    issuer
        .when
        .iter()
        .try_for_each(|condition| meet(condition, issuer, claims, now))
}

/// Checks the conditions that depend on the time, when a token is known.
pub(super) fn check_time(issuer: &Issuer, claims: &Claims, now: i64) -> Result<(), Rejection> {
    let mut timed = issuer.when.iter().filter(|condition| condition.depends_on_time());
    timed.try_for_each(|condition| meet(condition, issuer, claims, now))
}

fn meet(condition: &Condition, issuer: &Issuer, claims: &Claims, now: i64) -> Result<(), Rejection> {
    let subject = subject(issuer, claims, now);
    condition.check(&subject).map_err(|failure| {
        let cause = condition.describe(&subject, Err(failure), false);
        Rejection::because(Reason::TokenClaimInvalid, cause).for_wrong_type(failure == Failure::WrongType)
    })
}

/// Describes the conditions of an issuer that a token meets.
pub fn describe(issuer: &Issuer, claims: &Claims, now: i64, shows_values: bool) -> Vec<String> {
    let subject = subject(issuer, claims, now);
    let describe = |condition: &Condition| condition.describe(&subject, condition.check(&subject), shows_values);
    issuer.when.iter().map(describe).collect()
}

const fn subject<'s>(issuer: &Issuer, claims: &'s Claims, now: i64) -> Subject<'s> {
    Subject {
        claims: Some(claims),
        request: None,
        now,
        leeway: issuer.leeway,
    }
}

#[cfg(test)]
mod tests;
