//! One issuer of tokens: what its tokens have, and the keys that verify them.

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::Value;

use super::condition::Condition;
use super::document::{BindingMode, LinkHeader};
use super::issuer_names::IssuerNames;
use super::origin::Origin;
use super::remote_keys::RemoteKeys;
use crate::document::key_reference::KeyReference;
use crate::document::problem::Location;
use crate::keys::{Algorithm, KeySet};
use crate::principal::{Claims, claim_at};

/// The keys of an issuer, as its policy gives them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IssuerKeys {
    /// Keys that were read with the policy.
    Local(Arc<KeySet>),
    /// Keys that are fetched while Sidegate runs.
    Remote(RemoteKeys),
}

/// No keys.
impl Default for IssuerKeys {
    fn default() -> Self {
        Self::Local(Arc::default())
    }
}

/// One issuer of tokens and its keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issuer {
    /// What the `iss` of its tokens can be.
    pub names: IssuerNames,
    /// The audiences; `None` if it is said aloud that they are unchecked.
    pub audiences: Option<Vec<String>>,
    /// The claim that names the audience.
    pub audience_claim: String,
    /// The algorithms that the issuer signs with.
    pub algorithms: Vec<Algorithm>,
    /// The types of its tokens.
    pub types: TokenTypes,
    /// Parameters of the header that point to a key, and that Sidegate passes over.
    pub ignored_headers: Vec<LinkHeader>,
    /// The keys that verify its tokens, or where they are.
    pub keys: IssuerKeys,
    /// Where the file says that the keys are.
    pub signer: KeyReference,
    /// How far clocks may differ, in seconds.
    pub leeway: i64,
    /// Claims that a token must have besides `exp`.
    pub required_claims: Vec<String>,
    /// The claims with roles.
    pub roles_claim: GrantClaims,
    /// The claims with scopes.
    pub scopes_claim: GrantClaims,
    /// What becomes of tokens by the key that they are bound to.
    pub binding: BindingMode,
    /// Where the file says so, if it does.
    pub binding_location: Origin<Option<Location>>,
    /// Conditions on the claims of its tokens.
    pub when: Vec<Condition>,
}

impl Issuer {
    /// Returns where the keys are fetched from; `None` if they were read with the policy.
    pub fn remote(&self) -> Option<&RemoteKeys> {
        match &self.keys {
            IssuerKeys::Remote(remote) => Some(remote),
            IssuerKeys::Local(_) => None,
        }
    }

    /// Tells whether Sidegate passes over a parameter of the header that points to a key.
    pub fn ignores(&self, parameter: LinkHeader) -> bool {
        self.ignored_headers.contains(&parameter)
    }

    /// Returns the issuer's name in metrics and logs: the first of several names, or the pattern; where the issuer is not
    /// checked, the URL of its keys without what may be a secret. It never comes from a token.
    pub fn label(&self) -> Cow<'_, str> {
        match (self.names.texts().next(), &self.keys) {
            (Some(name), _) => name.into(),
            (None, IssuerKeys::Remote(remote)) => remote.shown_url(),
            (None, IssuerKeys::Local(_)) => "unchecked".into(),
        }
    }
}

/// The claims that grant roles or scopes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantClaims {
    /// The names that lead to each claim.
    pub paths: Vec<Vec<String>>,
    /// Whether the first claim that a token has counts alone, or all of them together.
    first_only: bool,
    /// Whether a text is a list, with spaces between its items.
    pub splits_text: bool,
}

impl GrantClaims {
    /// Makes the claims with roles, whose texts are one role each.
    pub fn roles(paths: Option<Vec<Vec<String>>>) -> Self {
        Self {
            paths: paths.unwrap_or_else(|| vec![vec!["roles".to_owned()]]),
            first_only: false,
            splits_text: false,
        }
    }

    /// Makes the claims with scopes: those that a policy names, or `scopes` and else `scope` (RFC 8693, 4.2).
    pub fn scopes(paths: Option<Vec<Vec<String>>>) -> Self {
        Self {
            first_only: paths.is_none(),
            paths: paths.unwrap_or_else(|| ["scopes", "scope"].map(|name| vec![name.to_owned()]).to_vec()),
            splits_text: true,
        }
    }

    /// Returns the claims that a token has and that count, with their paths. `null` counts as absent.
    pub fn of<'s>(&'s self, claims: &'s Claims) -> impl Iterator<Item = (&'s [String], &'s Value)> {
        let present = |path: &'s Vec<String>| Some((path.as_slice(), present(claims, path)?));
        let most = if self.first_only { 1 } else { usize::MAX };
        self.paths.iter().filter_map(present).take(most)
    }
}

/// The claim at the end of a path, unless it is `null`.
fn present<'c>(claims: &'c Claims, path: &[String]) -> Option<&'c Value> {
    claim_at(claims, path).filter(|value| !value.is_null())
}

/// The types of tokens that an issuer signs for this purpose (RFC 8725, 3.11).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenTypes(Vec<String>);

impl TokenTypes {
    /// Takes the types that a policy lists.
    pub fn new(types: impl IntoIterator<Item = String>) -> Self {
        Self(types.into_iter().collect())
    }

    /// Tells whether a `typ` is one of them; a token without `typ` has the type `JWT`.
    pub fn has(&self, typ: Option<&str>) -> bool {
        let typ = subtype(typ.unwrap_or("JWT"));
        self.0.iter().any(|one| subtype(one).eq_ignore_ascii_case(typ))
    }

    /// Returns them as the policy has them.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl Default for TokenTypes {
    /// Access tokens, with or without a type of their own (RFC 7519, 5.1; RFC 9068, 2.1).
    fn default() -> Self {
        Self::new(["JWT", "at+jwt"].map(str::to_owned))
    }
}

/// A type without `application/`, which may be left out (RFC 7515, 4.1.9).
pub fn subtype(typ: &str) -> &str {
    const APPLICATION: &str = "application/";
    match typ.split_at_checked(APPLICATION.len()) {
        Some((start, rest)) if start.eq_ignore_ascii_case(APPLICATION) => rest,
        _ => typ,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn type_of_a_token_is_compared_in_any_case_with_or_without_its_family() {
        let one = |typ: &str| TokenTypes::new([typ.to_owned()]);
        for (types, typ, want) in [
            (TokenTypes::default(), None, true),
            (TokenTypes::default(), Some("jwt"), true),
            (TokenTypes::default(), Some("Application/AT+JWT"), true),
            (TokenTypes::default(), Some("application/application/jwt"), false),
            (TokenTypes::default(), Some("id+jwt"), false),
            (TokenTypes::default(), Some(""), false),
            (one("at+jwt"), None, false),
            (one("at+jwt"), Some("JWT"), false),
            (one("application/vnd.x+JWT"), Some("VND.X+jwt"), true),
            (one("application/jwt"), None, true),
        ] {
            assert_eq!(types.has(typ), want, "{types:?} {typ:?}");
        }
    }

    #[test]
    fn grants_come_from_all_named_claims_or_from_the_first_standard_one() {
        let path = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let claims = json!({ "scopes": null, "scope": "a", "scp": ["b"], "x": { "y": "c" }, "z": null });
        let claims = claims.as_object().unwrap();
        let named = GrantClaims::scopes(Some(vec![
            path(&["scp"]),
            path(&["x", "y"]),
            path(&["z"]),
            path(&["scope", "y"]),
        ]));
        let found = |grants: &GrantClaims| grants.of(claims).map(|(_, value)| value.clone()).collect::<Vec<_>>();
        assert_eq!(found(&named), [json!(["b"]), json!("c")]);
        assert_eq!(found(&GrantClaims::scopes(None)), [json!("a")]);
        assert_eq!(found(&GrantClaims::roles(None)), Vec::<Value>::new());
    }
}
