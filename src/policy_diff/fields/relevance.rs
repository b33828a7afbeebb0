//! Which fields can be the cause of which change.

use std::ops::BitOr;

use crate::policy::route::Route;
use crate::principal::AuthMethod;

/// What a field decides, and what of a decision changed: some of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Aspects(u16);

impl Aspects {
    /// Which policy and route a request is for.
    pub(super) const ROUTING: Self = Self(1);
    /// Whether a credential is asked for, and which.
    pub(super) const CREDENTIAL: Self = Self(1 << 1);
    /// Which tokens are good.
    pub(super) const TOKEN: Self = Self(1 << 2);
    /// Which internal keys are good.
    pub(super) const KEY: Self = Self(1 << 3);
    /// Which client certificates are good.
    pub(super) const CERTIFICATE: Self = Self(1 << 4);
    /// What a token grants.
    pub(super) const GRANTS: Self = Self(1 << 5);
    /// Whose tenant a request is for.
    pub(super) const TENANT: Self = Self(1 << 6);
    /// Conditions.
    pub(super) const CONDITION: Self = Self(1 << 7);
    /// Types of bodies.
    pub(super) const CONTENT: Self = Self(1 << 8);
    /// Idempotency keys.
    pub(super) const IDEMPOTENCY: Self = Self(1 << 9);
    /// Revoked tokens.
    pub(super) const REVOKED: Self = Self(1 << 10);
    /// What the upstream gets.
    pub(super) const FORWARDED: Self = Self(1 << 11);
    /// How a response is written.
    pub(super) const RESPONSE: Self = Self(1 << 12);
    /// All of them.
    pub(super) const ALL: Self = Self(u16::MAX);

    /// Whether both have something in common.
    pub(super) const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl BitOr for Aspects {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// What fields decide, by the beginnings of their paths; the first that fits counts. What decides nothing is a setting.
const FIELDS: &[(&str, Aspects)] = &[
    ("routes[].auth", Aspects::ALL),
    ("routes[].mode", Aspects::ALL),
    ("mode", Aspects::ALL),
    ("routes[].path", Aspects::ROUTING),
    ("routes[].methods", Aspects(Aspects::ROUTING.0 | Aspects::RESPONSE.0)),
    ("hosts", Aspects::ROUTING),
    ("prefix", Aspects(Aspects::ROUTING.0 | Aspects::FORWARDED.0)),
    ("paths.case", Aspects::ROUTING),
    ("paths.allow", Aspects(0)),
    ("paths.encoded_slash", Aspects(0)),
    ("paths", Aspects::ROUTING),
    ("routes[].roles", Aspects::GRANTS),
    ("roles", Aspects::GRANTS),
    ("routes[].scopes", Aspects::GRANTS),
    ("routes[].when", Aspects(Aspects::CONDITION.0 | Aspects::FORWARDED.0)),
    ("routes[].content_types", Aspects::CONTENT),
    ("content_types", Aspects::CONTENT),
    ("routes[].idempotency", Aspects::IDEMPOTENCY),
    ("idempotency", Aspects::IDEMPOTENCY),
    ("routes[].pass", Aspects::FORWARDED),
    ("tenant", Aspects(Aspects::TENANT.0 | Aspects::FORWARDED.0)),
    ("revocation.", Aspects(0)),
    ("revocation", Aspects::REVOKED),
    (
        "jwt.sources",
        Aspects(Aspects::TOKEN.0 | Aspects::CREDENTIAL.0 | Aspects::FORWARDED.0),
    ),
    (
        "jwt.issuers[].roles_claim",
        Aspects(Aspects::GRANTS.0 | Aspects::TOKEN.0 | Aspects::FORWARDED.0),
    ),
    (
        "jwt.issuers[].scopes_claim",
        Aspects(Aspects::GRANTS.0 | Aspects::TOKEN.0 | Aspects::FORWARDED.0),
    ),
    ("jwt.issuers[].keys.jwks.url", Aspects::TOKEN),
    ("jwt.issuers[].keys.oidc.issuer", Aspects::TOKEN),
    ("jwt.issuers[].keys.oidc.url", Aspects::TOKEN),
    ("jwt.issuers[].keys.", Aspects(0)),
    ("jwt", Aspects::TOKEN),
    (
        "internal_key.header",
        Aspects(Aspects::KEY.0 | Aspects::CREDENTIAL.0 | Aspects::FORWARDED.0),
    ),
    ("internal_key", Aspects(Aspects::KEY.0 | Aspects::FORWARDED.0)),
    (
        "mtls",
        Aspects(Aspects::CERTIFICATE.0 | Aspects::CREDENTIAL.0 | Aspects::FORWARDED.0),
    ),
    ("identity", Aspects(Aspects::FORWARDED.0 | Aspects::TOKEN.0)),
    ("pass", Aspects::FORWARDED),
    ("credentials", Aspects::FORWARDED),
    ("service", Aspects(Aspects::FORWARDED.0 | Aspects::RESPONSE.0)),
    ("upstream.url", Aspects::FORWARDED),
    ("upstream.host", Aspects::FORWARDED),
    (
        "upstream.strip_prefix",
        Aspects(Aspects::FORWARDED.0 | Aspects::ROUTING.0),
    ),
    ("resource", Aspects(Aspects::FORWARDED.0 | Aspects::RESPONSE.0)),
    (
        "cors",
        Aspects(Aspects::FORWARDED.0 | Aspects::RESPONSE.0 | Aspects::TOKEN.0),
    ),
    ("errors", Aspects::RESPONSE),
];

/// Returns what a field decides, by its path without places in lists.
pub(super) fn decides(field: &str) -> Aspects {
    let fits = |start: &str| match field.strip_prefix(start) {
        Some(rest) => rest.is_empty() || rest.starts_with(['.', '[']) || start.ends_with('.'),
        None => false,
    };
    let found = FIELDS.iter().find(|(start, _)| fits(start));
    found.map(|(_, aspects)| *aspects).unwrap_or_default()
}

/// Returns what can lead to an outcome, as in `403 role_missing` or `shadow credential_missing`.
pub(super) fn behind(outcome: &str) -> Aspects {
    let reason = outcome.rsplit(' ').next().unwrap_or_default();
    let table: &[(&str, Aspects)] = &[
        ("allow", Aspects(0)),
        ("route_denied", Aspects::CREDENTIAL),
        ("route_", Aspects::ROUTING),
        ("method_", Aspects::ROUTING),
        ("path_", Aspects::ROUTING),
        ("credential_missing", Aspects::CREDENTIAL),
        (
            "token_claim_invalid",
            Aspects::TOKEN | Aspects::TENANT | Aspects::GRANTS,
        ),
        ("token_revoked", Aspects::REVOKED),
        ("token_", Aspects::TOKEN),
        ("keys_", Aspects::TOKEN),
        ("store_", Aspects::REVOKED | Aspects::IDEMPOTENCY),
        ("internal_key_", Aspects::KEY),
        ("client_certificate_", Aspects::CERTIFICATE | Aspects::CREDENTIAL),
        ("role_", Aspects::GRANTS),
        ("scope_", Aspects::GRANTS),
        ("tenant_", Aspects::TENANT),
        ("condition_", Aspects::CONDITION),
        ("content_type_", Aspects::CONTENT),
        ("idempotency_", Aspects::IDEMPOTENCY),
    ];
    let found = table.iter().find(|(start, _)| reason.starts_with(start));
    found.map_or(Aspects::ALL, |(_, aspects)| *aspects)
}

/// Returns what both routes look at: what one of them does not ask for is not a cause by itself.
pub(super) fn looked_at(was: Option<&Route>, now: Option<&Route>) -> Aspects {
    let (Some(was), Some(now)) = (was, now) else {
        return Aspects::ALL;
    };
    let both =
        |method| was.authentication.methods().contains(&method) && now.authentication.methods().contains(&method);
    let unless = |holds: bool, aspects: Aspects| if holds { 0 } else { aspects.0 };
    let tokens = Aspects::TOKEN | Aspects::GRANTS | Aspects::TENANT | Aspects::REVOKED;
    let ignored = unless(both(AuthMethod::Jwt), tokens)
        | unless(both(AuthMethod::InternalKey), Aspects::KEY)
        | unless(both(AuthMethod::Mtls), Aspects::CERTIFICATE);
    Aspects(!ignored)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_the_cause_of_what_they_decide() {
        for (field, outcome, want) in [
            ("routes[].auth", "401 credential_missing", true),
            ("roles.support", "403 role_missing", true),
            ("roles.support", "401 credential_missing", false),
            ("jwt.issuers[]", "401 token_issuer_mismatch", true),
            ("jwt.issuers[].keys", "401 token_signature_invalid", true),
            ("jwt.issuers[].keys.jwks.refresh", "401 token_signature_invalid", false),
            ("jwt.issuers[].keys.jwks.url", "401 token_key_unknown", true),
            ("upstream.timeout", "401 credential_missing", false),
            ("upstream.timeout", "403 role_missing", false),
            ("revocation", "401 token_revoked", true),
            ("revocation.max_stale", "401 token_revoked", false),
            ("routes[].path", "404 route_not_found", true),
            ("internal_key.keys[].secret", "401 internal_key_invalid", true),
            ("quotas[].limit", "403 role_missing", false),
            ("tenant.claims", "403 tenant_mismatch", true),
        ] {
            assert_eq!(decides(field).meets(behind(outcome)), want, "{field} {outcome}");
        }
    }
}
