//! Whether a token that is good was revoked.

use serde_json::Value;

use super::claims;
use crate::policy::shared::RevocationRule;
use crate::policy::{Fallback, Policy};
use crate::principal::{Claims, Principal, TenantId};
use crate::rejection::{Reason, Rejection};
use crate::revocation::{Millis, Revocations, Token};

/// Refuses a token that was revoked, or of which nobody can tell. Where the policy lets that pass,
/// the principal says so.
pub(super) fn check(
    policy: &Policy,
    principal: &mut Principal,
    revocations: Revocations<'_>,
    now: i64,
) -> Result<(), Rejection> {
    let (Some(rule), Revocations::Known { list, age }) = (&policy.revocation, revocations) else {
        return Ok(());
    };
    let tenants = tenants(policy, &principal.claims);
    let token = token(&principal.claims, &tenants)?;
    // What is known counts, however old it is.
    if let Some(target) = list.find(&token, now.saturating_mul(1000)) {
        let cause = format!("the token is revoked by its {target}");
        return Err(Rejection::because(Reason::TokenRevoked, cause));
    }
    principal.revocation_unknown = age.is_none_or(|age| age > rule.max_stale);
    match principal.revocation_unknown {
        true => unknown(rule),
        false => Ok(()),
    }
}

fn unknown(rule: &RevocationRule) -> Result<(), Rejection> {
    match rule.when_unavailable {
        Fallback::Allow => Ok(()),
        Fallback::Deny => Err(Rejection::because(
            Reason::StoreUnavailable,
            "nobody can tell whether the token was revoked",
        )),
    }
}

/// The tenants that the claims of the tenant rule name, whether or not they agree.
fn tenants(policy: &Policy, claims: &Claims) -> Vec<TenantId> {
    let names = policy.tenant.iter().flat_map(|rule| &rule.claims);
    names
        .filter_map(|name| claims.get(name)?.as_str().and_then(TenantId::parse))
        .collect()
}

fn token<'t>(claims: &'t Claims, tenants: &'t [TenantId]) -> Result<Token<'t>, Rejection> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    // RFC 7519, 4.1.7: a text. Another value would not be found among the revoked.
    if claims.get("jti").is_some_and(|jti| !jti.is_string()) {
        return Err(claims::invalid("jti"));
    }
    Ok(Token {
        issuer: text("iss"),
        jti: text("jti"),
        subject: text("sub"),
        tenants,
        issued: claims.get("iat").and_then(Value::as_f64).map(milliseconds),
    })
}

#[expect(clippy::cast_possible_truncation, reason = "`iat` is in range: it was verified")]
fn milliseconds(seconds: f64) -> Millis {
    (seconds * 1000.0) as Millis
}
