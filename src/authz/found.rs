//! What a caller has in place of the roles and scopes that a route needs, for operators.

use crate::authn::jwt;
use crate::policy::issuer::GrantClaims;
use crate::policy::{Issuer, Policy};
use crate::principal::{Claims, Grants, Principal, VerifiedToken, written};
use crate::rejection::{list, shown};

/// Claims that every token may have, and that never hold roles (RFC 7519, 4.1).
const REGISTERED: [&str; 7] = ["iss", "sub", "aud", "exp", "nbf", "iat", "jti"];

/// Describes the roles that a caller has, and the claims that they are read from.
pub(super) fn roles(principal: &Principal, policy: &Policy) -> String {
    grants(principal, policy, "roles", |token, issuer| {
        (&token.roles, &issuer.roles_claim)
    })
}

/// Describes the scopes that a caller has, and the claims that they are read from.
pub(super) fn scopes(principal: &Principal, policy: &Policy) -> String {
    grants(principal, policy, "scopes", |token, issuer| {
        (&token.scopes, &issuer.scopes_claim)
    })
}

fn grants(
    principal: &Principal,
    policy: &Policy,
    what: &str,
    of: impl for<'a> Fn(&'a VerifiedToken, &'a Issuer) -> (&'a Grants, &'a GrantClaims),
) -> String {
    let Some(token) = principal.token.as_deref() else {
        return format!("the caller has no token, and so no {what}");
    };
    let Ok((_, issuer)) = jwt::pick(&policy.issuers, &token.claims) else {
        return "the token has no issuer in the policy".to_owned();
    };
    let (grants, claims) = of(token, issuer);
    let read: Vec<_> = claims.of(&token.claims).map(|(path, _)| quoted(path)).collect();
    if !read.is_empty() {
        let names = list(grants.names().iter().map(String::as_str));
        return format!("the token has: {names} (read from {})", read.join(", "));
    }
    let meant = claims.paths.iter().find_map(|path| slip(&token.claims, path));
    let found = meant.unwrap_or_else(|| others(&token.claims));
    let absent: Vec<_> = claims.paths.iter().map(|path| quoted(path)).collect();
    format!("the token has no claim {}; it has {found}", absent.join(" or "))
}

fn quoted(path: &[String]) -> String {
    format!("`{}`", written(path))
}

/// Finds a claim that the path may mean: dots in a name do not lead into a claim, and a list does not name one whose
/// name has dots.
fn slip(claims: &Claims, path: &[String]) -> Option<String> {
    let meant: Vec<String> = match path {
        [name] => name.split('.').map(str::to_owned).collect(),
        names => vec![names.join(".")],
    };
    let is_there = |name: &&String| claims.get(*name).is_some_and(|value| !value.is_null());
    let first = meant.first().filter(|_| meant != path).filter(is_there)?;
    let (found, path) = (shown(first), written(&meant));
    Some(format!("`{found}`: write `{path}`"))
}

/// Lists the claims of a token that could be meant.
fn others(claims: &Claims) -> String {
    let present = claims.iter().filter(|(_, value)| !value.is_null());
    let names = present.map(|(name, _)| name.as_str());
    format!(
        "these claims: {}",
        list(names.filter(|name| !REGISTERED.contains(name)))
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn slip_in_a_path_is_found() {
        let claims = json!({ "realm_access": { "roles": [] }, "a.b": [], "roles": 7, "scope": null });
        let claims = claims.as_object().unwrap();
        for (path, want) in [
            (
                &["realm_access.roles"][..],
                Some("`realm_access`: write `[realm_access, roles]`"),
            ),
            (&["a", "b"], Some("`a.b`: write `a.b`")),
            (&["resource_access.app.roles"], None),
            (&["groups"], None),
            (&["roles"], None),
            (&["scope"], None),
            (&["scope.a"], None),
            (&["a", "c"], None),
        ] {
            let path: Vec<_> = path.iter().map(|name| (*name).to_owned()).collect();
            assert_eq!(slip(claims, &path).as_deref(), want, "{path:?}");
        }
    }
}
