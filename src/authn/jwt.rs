//! Bearer token to principal: RFC 7515 (form and signature), 7519 (claims), 8725 (what to refuse).

use std::sync::Arc;

use serde_json::Value;

use super::binding;
use super::claims;
use super::context::Context;
use super::json;
use super::jws::Jws;
use super::key_rings::KeyRing;
use crate::authn::token_cache::{CacheResult, KnownToken, TokenKey};
use crate::policy::{Issuer, Policy};
use crate::principal::{AuthMethod, Claims, Principal, TenantId, VerifiedToken};
use crate::rejection::{Reason, Rejection};

/// Verifies a token for a policy at a time in seconds since the epoch, unless it is known to be good
/// but for the time. Says whether it was known.
pub fn authenticate(token: &str, context: Context<'_>, now: i64) -> (CacheResult, Result<Principal, Rejection>) {
    let Context {
        policy, keys, tokens, ..
    } = context;
    let (policy, index) = policy;
    let key = TokenKey::of(index, token);
    if let Some((found, issuer)) = tokens.get(&key).and_then(|found| in_force(found, policy, keys)) {
        let result = claims::lifetime(&found.token.claims, issuer.leeway, now);
        if result.is_err() {
            tokens.remove(&key);
        }
        return (CacheResult::Hit, result.map(|()| principal(found)));
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
    let claims = json::object(jws.payload())
        .ok_or_else(|| Rejection::because(Reason::TokenMalformed, "the claims are not an object with unique names"))?;
    let (index, issuer) = pick(&policy.issuers, &claims)?;
    // Before any key is looked for: only what the issuer may have signed is worth that.
    let algorithm = jws.algorithm_among(&issuer.algorithms)?;
    let set = keys.get(index).map(|ring| ring.load());
    let Some(set) = set.as_ref().and_then(|set| set.as_deref()) else {
        let cause = format!("no key set of `{}` was fetched", issuer.label());
        return Err(Rejection::because(Reason::KeysUnavailable, cause).for_want_of_keys(index));
    };
    let key = jws
        .verify(set, algorithm)
        .map_err(|rejection| match rejection.reason() {
            Reason::TokenKeyUnknown => rejection.for_want_of_keys(index),
            _ => rejection,
        })?;
    claims::check(&claims, issuer, now)?;
    let verified = Arc::new(VerifiedToken {
        roles: claims::roles(&claims, &issuer.roles_claim)?,
        scopes: claims::scopes(&claims)?,
        tenants: tenants(policy, &claims),
        binding: binding::read(&claims, issuer.binding)?,
        claims,
    });
    let bearer = Principal {
        tenant: agreed(policy, &verified.tenants),
        token: Some(Arc::clone(&verified)),
        ..Principal::by(AuthMethod::Jwt)
    };
    Ok(KnownToken {
        identity: policy.identity.render(&bearer),
        token: verified,
        issuer: index,
        key,
    })
}

/// The tenants that the claims of the tenant rule name, whether or not they agree.
fn tenants(policy: &Policy, claims: &Claims) -> Vec<TenantId> {
    let names = policy.tenant.iter().flat_map(|rule| &rule.claims);
    names
        .filter_map(|name| claims.get(name)?.as_str().and_then(TenantId::parse))
        .collect()
}

/// The one tenant that a request with the token can be for.
fn agreed(policy: &Policy, tenants: &[TenantId]) -> Option<TenantId> {
    let rule = policy.tenant.as_ref()?;
    let first = *tenants.first()?;
    let all = tenants.len() == rule.claims.len() && tenants.iter().all(|tenant| *tenant == first);
    all.then_some(first)
}

/// `iss` picks the issuer, before anything else is tried: never "the first that works".
fn pick<'i>(issuers: &'i [Issuer], claims: &Claims) -> Result<(usize, &'i Issuer), Rejection> {
    if let [only] = issuers
        && only.name.is_none()
    {
        return Ok((0, only));
    }
    match claims.get("iss") {
        None => Err(claims::missing("iss")),
        Some(Value::String(name)) => issuers
            .iter()
            .enumerate()
            .find(|(_, issuer)| issuer.name.as_ref() == Some(name))
            .ok_or_else(|| Reason::TokenIssuerMismatch.into()),
        Some(_) => Err(claims::invalid("iss")),
    }
}

#[cfg(test)]
mod tests;
