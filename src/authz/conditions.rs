//! The conditions of a route.

use crate::authn::jwt;
use crate::policy::Policy;
use crate::policy::condition::{Condition, Failure, Subject};
use crate::policy::route::Requirement;
use crate::principal::Principal;
use crate::rejection::{Reason, Rejection};
use crate::request::RequestFacts;
use crate::request::path::NormalizedPath;

/// The proof that a request meets the conditions of a route.
#[derive(Debug)]
#[must_use]
pub struct ConditionProof<'r>(pub(super) &'r Requirement);

/// Checks that a request meets all conditions of a route. `passed` gets each that it meets; with `shows_values`, the
/// cause of a rejection has the value that was compared.
pub fn check<'r>(
    requirement: &'r Requirement,
    subject: &Subject<'_>,
    shows_values: bool,
    mut passed: impl FnMut(&Condition),
) -> Result<ConditionProof<'r>, Rejection> {
    for condition in &requirement.conditions {
        if let Err(failure) = condition.check(subject) {
            let cause = condition.describe(subject, Err(failure), shows_values);
            let rejection = Rejection::because(Reason::ConditionFailed, cause);
            return Err(rejection.for_wrong_type(failure == Failure::WrongType));
        }
        passed(condition);
    }
    Ok(ConditionProof(requirement))
}

/// Returns what the conditions of a route are held against.
pub fn subject<'s>(
    requirement: &Requirement,
    policy: &Policy,
    principal: &'s Principal,
    request: (&'s RequestFacts<'s>, &'s NormalizedPath<'s>),
) -> Subject<'s> {
    let claims = principal.token.as_deref().map(|token| &token.claims);
    let needs_leeway = requirement.conditions.iter().any(Condition::depends_on_time);
    let issuer = claims
        .filter(|_| needs_leeway)
        .map(|claims| jwt::pick(&policy.issuers, claims));
    let leeway = issuer.and_then(Result::ok).map_or(0, |(_, issuer)| issuer.leeway);
    Subject {
        claims,
        now: request.0.now,
        leeway,
        request: Some(request),
    }
}
