//! What a caller has in place of the roles and scopes that a route needs, for operators.

use crate::authn::jwt;
use crate::policy::Policy;
use crate::principal::{Claims, Principal, claim_at};
use crate::rejection::{list, shown};

/// Claims that every token may have, and that never hold roles (RFC 7519, 4.1).
const REGISTERED: [&str; 7] = ["iss", "sub", "aud", "exp", "nbf", "iat", "jti"];

/// Describes the roles that a caller has, and the claim that they are read from.
pub(super) fn roles(principal: &Principal, policy: &Policy) -> String {
    let Some(token) = principal.token.as_deref() else {
        return "the caller has no token, and so no roles".to_owned();
    };
    let Ok((_, issuer)) = jwt::pick(&policy.issuers, &token.claims) else {
        return "the token has no issuer in the policy".to_owned();
    };
    let path = &issuer.roles_claim;
    if claim_at(&token.claims, path).is_some() {
        let roles = list(token.roles.iter().map(String::as_str));
        return format!("the token has: {roles} (read from `{}`)", written(path));
    }
    let found = slip(&token.claims, path).unwrap_or_else(|| others(&token.claims));
    format!("the token has no claim `{}`; it has {found}", written(path))
}

/// Describes the scopes that a caller has.
pub(super) fn scopes(principal: &Principal) -> String {
    let Some(token) = principal.token.as_deref() else {
        return "the caller has no token, and so no scopes".to_owned();
    };
    let claim = ["scopes", "scope"]
        .into_iter()
        .find(|name| token.claims.contains_key(*name));
    match claim {
        Some(claim) => {
            let scopes = list(token.scopes.iter().map(String::as_str));
            format!("the token has: {scopes} (read from `{claim}`)")
        }
        None => format!(
            "the token has no claim `scopes` or `scope`; it has {}",
            others(&token.claims)
        ),
    }
}

/// Returns a path of a claim as a policy has it: a name, or a list of names.
fn written(path: &[String]) -> String {
    match path {
        [name] => shown(name),
        names => format!("[{}]", list(names.iter().map(String::as_str))),
    }
}

/// Finds a claim that the path may mean: dots in a name do not lead into a claim, and a list does not name one whose
/// name has dots.
fn slip(claims: &Claims, path: &[String]) -> Option<String> {
    let meant: Vec<String> = match path {
        [name] => name.split('.').map(str::to_owned).collect(),
        names => vec![names.join(".")],
    };
    let first = meant.first().filter(|first| claims.contains_key(*first))?;
    let (found, path) = (shown(first), written(&meant));
    Some(format!("`{found}`: write `{path}`"))
}

/// Lists the claims of a token that could be meant.
fn others(claims: &Claims) -> String {
    let names = claims.keys().map(String::as_str);
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
        let claims = json!({ "realm_access": { "roles": [] }, "a.b": [], "roles": 7 });
        let claims = claims.as_object().unwrap();
        for (path, want) in [
            (
                &["realm_access.roles"][..],
                Some("`realm_access`: write `[realm_access, roles]`"),
            ),
            (&["a", "b"], Some("`a.b`: write `a.b`")),
            (&["resource_access.app.roles"], None),
            (&["groups"], None),
            (&["a", "c"], None),
        ] {
            let path: Vec<_> = path.iter().map(|name| (*name).to_owned()).collect();
            assert_eq!(slip(claims, &path).as_deref(), want, "{path:?}");
        }
    }
}
