//! Bearer token to principal: RFC 7515 (form and signature), 7519 (claims), 8725 (what to reject).

use std::sync::Arc;

use serde_json::Value;

use super::binding;
use super::claims;
use super::conditions;
use super::context::Context;
use super::grants;
use super::json::{self, Unreadable};
use super::jws::Jws;
use super::key_rings::KeyRing;
use crate::authn::token_cache::{CacheResult, KnownToken, TokenKey};
use crate::keys::KeyFingerprint;
use crate::policy::issuer_names::{Compared, IssuerNames};
use crate::policy::{Issuer, Policy};
use crate::principal::{AuthMethod, Claims, Principal, VerifiedToken};
use crate::rejection::{Reason, Rejection, kind, list, span};

/// Verifies a token for a policy at a time in seconds since the epoch, unless it is known to be good
/// but for the time. Says whether it was known.
pub fn authenticate(token: &str, context: Context<'_>, now: i64) -> (CacheResult, Result<Principal, Rejection>) {
    let Context {
        policy, keys, tokens, ..
    } = context;
    let (policy, index) = policy;
    let key = TokenKey::of(index, token);
    if let Some((found, issuer)) = tokens.get(&key).and_then(|found| in_force(found, policy, keys)) {
        let claims = &found.token.claims;
        let is_good = claims::lifetime(claims, issuer.leeway, now);
        return match is_good.and_then(|()| conditions::check_time(issuer, claims, now)) {
            Ok(()) => (CacheResult::Hit, Ok(principal(found))),
            Err(rejection) => {
                tokens.remove(&key);
                (CacheResult::Hit, Err(rejection.of_caller(bearer(policy, &found.token))))
            }
        };
    }
    let verified = verify(token, policy, keys, now).map(|found| {
        tokens.insert(key, found.clone());
        principal(found)
    });
    (CacheResult::Miss, verified)
}

/// What is known of a token, as long as its key is in force.
fn in_force<'p>(found: KnownToken, policy: &'p Policy, keys: &[Arc<KeyRing>]) -> Option<(KnownToken, &'p Issuer)> {
    let issuer = policy.issuers.get(found.issuer)?;
    let set = keys.get(found.issuer)?.load();
    set.as_deref()?.has(&found.key).then_some((found, issuer))
}

fn principal(known: KnownToken) -> Principal {
    Principal {
        token: Some(known.token),
        identity: known.identity,
        ..Principal::by(AuthMethod::Jwt)
    }
}

/// Verifies a token that is not in the cache.
fn verify(token: &str, policy: &Policy, keys: &[Arc<KeyRing>], now: i64) -> Result<KnownToken, Rejection> {
    let jws = Jws::parse(token)?;
    let claims = json::bounded_object(jws.payload()).map_err(unreadable)?;
    let signed = verify_signature(&jws, &claims, policy, keys, now);
    let (index, key) = signed.map_err(|rejection| claimed(rejection, &jws, &claims))?;
    let mut token = VerifiedToken {
        tenants: policy
            .tenant
            .as_ref()
            .map(|rule| rule.in_claims(&claims))
            .unwrap_or_default(),
        claims,
        ..VerifiedToken::default()
    };
    let issuer = policy.issuers.get(index).ok_or(Reason::InternalError)?;
    let checked = check_claims(&mut token, issuer, now);
    let token = Arc::new(token);
    let bearer = bearer(policy, &token);
    match checked {
        Err(rejection) => Err(rejection.of_caller(bearer)),
        Ok(()) => Ok(KnownToken {
            // With lists, the tenant belongs to the request and not to the token.
            identity: policy.identity.render(&bearer).filter(|_| !lists_tenants(policy)),
            token,
            issuer: index,
            key,
        }),
    }
}

fn unreadable(claims: Unreadable) -> Rejection {
    match claims {
        Unreadable::NotAnObject => {
            Rejection::because(Reason::TokenMalformed, "the claims are not an object with unique names")
        }
        Unreadable::TooManyValues => {
            let cause = format!("the claims have more values than the limit of {}", json::MAX_VALUES);
            Rejection::because(Reason::HeadersTooLarge, cause)
        }
    }
}

/// Verifies that an issuer of the policy signed a token. Returns the issuer and the key.
fn verify_signature(
    jws: &Jws<'_>,
    claims: &Claims,
    policy: &Policy,
    keys: &[Arc<KeyRing>],
    now: i64,
) -> Result<(usize, KeyFingerprint), Rejection> {
    let (index, issuer) = pick(&policy.issuers, claims)?;
    // Before any key is looked for: only what the issuer may have signed is worth that.
    jws.check_header_for(issuer)?;
    let algorithm = jws.algorithm_among(&issuer.algorithms)?;
    let ring = keys.get(index);
    let set = ring.map(|ring| ring.load());
    let Some(set) = set.as_ref().and_then(|set| set.as_deref()) else {
        let cause = format!("no key set of `{}` was fetched", issuer.label());
        return Err(Rejection::because(Reason::KeysUnavailable, cause).for_want_of_keys(index));
    };
    // Keys of several organizations stand in one set; an exact issuer trusts the whole set.
    let iss = issuer.names.pattern().and_then(|_| claims.get("iss")?.as_str());
    let signed = jws.verify(set, algorithm, iss);
    let key = signed.map_err(|rejection| match rejection.reason() {
        Reason::TokenKeyUnknown => {
            let age = ring.and_then(|ring| ring.age(now));
            let age = age
                .map(|age| format!(", fetched {} ago", span(age)))
                .unwrap_or_default();
            let cause = format!("{}{age}", rejection.cause());
            Rejection::because(Reason::TokenKeyUnknown, cause).for_want_of_keys(index)
        }
        _ => rejection,
    })?;
    Ok((index, key))
}

/// Adds what a token claims whose signature is not verified.
fn claimed(rejection: Rejection, jws: &Jws<'_>, claims: &Claims) -> Rejection {
    let text = |name| claims.get(name).and_then(Value::as_str);
    let parameters = ["alg", "kid"].map(|name| (name, jws.parameter(name)));
    let values = parameters.into_iter().chain([("iss", text("iss"))]);
    values.fold(rejection, |rejection, (name, value)| match value {
        Some(value) => rejection.unverified(name, value),
        None => rejection,
    })
}

/// Checks the claims of a token whose signature is verified, and reads what follows from them.
fn check_claims(token: &mut VerifiedToken, issuer: &Issuer, now: i64) -> Result<(), Rejection> {
    claims::check(&token.claims, issuer, now)?;
    conditions::check(issuer, &token.claims, now)?;
    token.roles = grants::read(&token.claims, &issuer.roles_claim);
    token.scopes = grants::read(&token.claims, &issuer.scopes_claim);
    token.binding = binding::read(&token.claims, issuer.binding)?;
    Ok(())
}

/// Returns the caller that a token proves.
pub(super) fn bearer(policy: &Policy, token: &Arc<VerifiedToken>) -> Principal {
    Principal {
        tenant: policy
            .tenant
            .as_ref()
            .and_then(|rule| rule.agreed(&token.tenants))
            .cloned(),
        token: Some(Arc::clone(token)),
        ..Principal::by(AuthMethod::Jwt)
    }
}

fn lists_tenants(policy: &Policy) -> bool {
    policy.tenant.as_ref().is_some_and(|rule| rule.lists)
}

/// `iss` picks the issuer, before anything else is tried: never "the first that works".
pub fn pick<'i>(issuers: &'i [Issuer], claims: &Claims) -> Result<(usize, &'i Issuer), Rejection> {
    if let [only] = issuers
        && only.names == IssuerNames::Unchecked
    {
        return Ok((0, only));
    }
    match claims.get("iss") {
        None => Err(claims::missing("iss")),
        Some(Value::String(name)) => by_name(issuers, name, claims),
        Some(value) => Err(claims::unfit("iss", value, "a text")),
    }
}

/// Finds the one issuer that has an `iss`: by its exact name, or by the pattern that it fits.
fn by_name<'i>(issuers: &'i [Issuer], iss: &str, claims: &Claims) -> Result<(usize, &'i Issuer), Rejection> {
    let mut exact = issuers.iter().enumerate();
    if let Some(found) = exact.find(|(_, issuer)| issuer.names.has(iss)) {
        return Ok(found);
    }
    for (index, issuer) in issuers.iter().enumerate() {
        let Some(pattern) = issuer.names.pattern() else {
            continue;
        };
        let text = pattern.template().text();
        let cause = match pattern.compare(iss, claims) {
            Compared::OtherForm => continue,
            Compared::Fits => return Ok((index, issuer)),
            // Another pattern may list the value; two of them never do.
            Compared::ValueNotListed(name) => {
                if issuers
                    .iter()
                    .any(|other| other.names.pattern().is_some_and(|other| other.takes(iss)))
                {
                    continue;
                }
                format!("the `iss` of the token has the form `{text}`, and `issuer_values` does not list its `{name}`")
            }
            Compared::OtherClaim(name) => format!(
                "the `iss` of the token has the form `{text}`, and its `{name}` is not that of the claim `{name}`: {}",
                claims
                    .get(name)
                    .map_or("the token has no such claim".to_owned(), |claim| match claim {
                        Value::String(_) => "the claim has another value".to_owned(),
                        other => format!("the claim is {}", kind(other)),
                    })
            ),
        };
        return Err(Rejection::because(Reason::TokenIssuerMismatch, cause));
    }
    Err(unknown_issuer(issuers))
}

fn unknown_issuer(issuers: &[Issuer]) -> Rejection {
    let accepted = list(issuers.iter().flat_map(|issuer| issuer.names.texts()));
    let cause = format!("no issuer of the policy has the `iss` of the token; accepted: {accepted}");
    Rejection::because(Reason::TokenIssuerMismatch, cause)
}

#[cfg(test)]
mod tests;
