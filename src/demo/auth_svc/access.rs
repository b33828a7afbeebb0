//! The tokens of auth-svc: what they claim, and the keys that sign them. A refresh token is signed with
//! the key of its tenant's access tokens and has no `roles`, which access tokens always have.
//!
//! The Hub's are signed with an RSA key whose public half is published; the Wallet's with a secret that the
//! Wallet shares. No private key leaves this file.

use std::error::Error;
use std::fmt;

use aws_lc_rs::error::Unspecified;
use jsonwebtoken::errors::Error as JwtError;
use jsonwebtoken::jwk::{Jwk, JwkSet, PublicKeyUse};
use serde::Serialize;
use uuid::Uuid;

use super::refresh;
use super::users::{Tenant, User};
use crate::keys::signer::SigningKey;
use crate::keys::{Algorithm, Material};

/// The shortest secret that HS256 may have, in bytes (RFC 7518, 3.2).
const SECRET_BYTES: usize = 32;

/// Why auth-svc could not be given its keys.
#[derive(Debug)]
pub enum KeyError {
    /// The secret shared with the Wallet is shorter than the 32 bytes which HS256 asks for.
    SecretTooShort,
    /// The RSA key could not be generated.
    Generate(Unspecified),
    /// The RSA key that was generated cannot be published.
    Publish(JwtError),
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SecretTooShort => write!(f, "the wallet's secret is shorter than {SECRET_BYTES} bytes"),
            Self::Generate(cause) => write!(f, "could not generate an RSA key: {cause}"),
            Self::Publish(cause) => write!(f, "could not publish the generated RSA key: {cause}"),
        }
    }
}

impl Error for KeyError {}

impl From<Unspecified> for KeyError {
    fn from(cause: Unspecified) -> Self {
        Self::Generate(cause)
    }
}

impl From<JwtError> for KeyError {
    fn from(cause: JwtError) -> Self {
        Self::Publish(cause)
    }
}

/// The keys of both tenants. `Debug` shows none of them.
#[derive(Debug)]
pub(super) struct SigningKeys {
    hub: SigningKey,
    hub_key_id: String,
    wallet: SigningKey,
    jwks: JwkSet,
}

impl SigningKeys {
    /// Makes a new RSA key for the Hub, and takes the Wallet's secret.
    pub(super) fn generate(wallet_secret: &str) -> Result<Self, KeyError> {
        if wallet_secret.len() < SECRET_BYTES {
            return Err(KeyError::SecretTooShort);
        }
        let hub = SigningKey::generate(Material::Rsa)?;
        let key_id = Uuid::new_v4().to_string();
        Ok(Self {
            jwks: JwkSet {
                keys: vec![public_key(&hub, &key_id)?],
            },
            hub,
            hub_key_id: key_id,
            wallet: SigningKey::from_secret(wallet_secret.as_bytes()),
        })
    }

    /// The public half of the Hub's key.
    pub(super) fn jwks(&self) -> &JwkSet {
        &self.jwks
    }

    /// Signs an access token for `user`, in the form of its tenant.
    pub(super) fn access_token(&self, user: User, now: i64) -> Result<String, Unspecified> {
        match user.tenant {
            Tenant::Hub => self.sign(user.tenant, &HubClaims::new(user, now)),
            Tenant::Wallet => self.sign(user.tenant, &WalletClaims::new(user, now)),
        }
    }

    /// Signs a refresh token for `user`.
    pub(super) fn refresh_token(&self, user: User, now: i64) -> Result<String, Unspecified> {
        self.sign(user.tenant, &RefreshClaims::new(user, now))
    }

    /// Signs claims with the key of a tenant (RFC 7515, 3.1). In the header `alg` comes first, as in the
    /// tokens of the services.
    fn sign(&self, tenant: Tenant, claims: &impl Serialize) -> Result<String, Unspecified> {
        let (key, algorithm, kid) = match tenant {
            Tenant::Hub => (&self.hub, Algorithm::RS256, Some(self.hub_key_id.as_str())),
            Tenant::Wallet => (&self.wallet, Algorithm::HS256, None),
        };
        let header = TokenHeader {
            alg: algorithm.name(),
            typ: "JWT",
            kid,
        };
        key.token(algorithm, &json(&header)?, &json(claims)?)
    }
}

fn json(part: &impl Serialize) -> Result<Vec<u8>, Unspecified> {
    serde_json::to_vec(part).map_err(|_| Unspecified)
}

/// The members of a token's header, in the order in which they are written.
#[derive(Serialize)]
struct TokenHeader<'k> {
    alg: &'static str,
    typ: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    kid: Option<&'k str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct HubClaims {
    sub: String,
    tenant_id: String,
    email: &'static str,
    roles: &'static [&'static str],
    plan_tier: &'static str,
    iat: i64,
    exp: i64,
}

impl HubClaims {
    fn new(user: User, now: i64) -> Self {
        Self {
            sub: user.account.subject().to_string(),
            tenant_id: user.tenant.id().to_string(),
            email: user.account.email(),
            roles: user.account.roles(),
            plan_tier: "enterprise",
            iat: now,
            exp: now.saturating_add(user.tenant.access_token_seconds()),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WalletClaims {
    sub: String,
    email: &'static str,
    tenant: String,
    tenant_id: String,
    roles: &'static [&'static str],
    scopes: &'static [&'static str],
    jti: String,
    iss: &'static str,
    aud: &'static str,
    iat: i64,
    exp: i64,
}

impl WalletClaims {
    fn new(user: User, now: i64) -> Self {
        Self {
            sub: user.account.subject().to_string(),
            email: user.account.email(),
            tenant: user.tenant.id().to_string(),
            tenant_id: user.tenant.id().to_string(),
            roles: user.account.roles(),
            scopes: user.account.scopes(),
            jti: Uuid::new_v4().to_string(),
            iss: "eventzr.com",
            aud: "eventzr-api",
            iat: now,
            exp: now.saturating_add(user.tenant.access_token_seconds()),
        }
    }
}

/// What a refresh token says. It has all claims that an access token of its tenant must have, except `roles`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RefreshClaims {
    sub: String,
    tenant: String,
    tenant_id: String,
    #[serde(rename = "type")]
    kind: &'static str,
    jti: String,
    iss: &'static str,
    aud: &'static str,
    iat: i64,
    exp: i64,
}

impl RefreshClaims {
    fn new(user: User, now: i64) -> Self {
        Self {
            sub: user.account.subject().to_string(),
            tenant: user.tenant.id().to_string(),
            tenant_id: user.tenant.id().to_string(),
            kind: "refresh",
            jti: Uuid::new_v4().to_string(),
            iss: "eventzr.com",
            aud: "eventzr-api",
            iat: now,
            exp: now.saturating_add(refresh::LIFETIME_SECONDS),
        }
    }
}

fn public_key(key: &SigningKey, key_id: &str) -> Result<Jwk, KeyError> {
    let mut public = Jwk::from_decoding_key(&key.verification_key()?, Some(jsonwebtoken::Algorithm::RS256))?;
    public.common.public_key_use = Some(PublicKeyUse::Signature);
    public.common.key_id = Some(key_id.to_owned());
    Ok(public)
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
    use serde_json::{Value, json};

    use super::super::users::Account;
    use super::*;

    const NOW: i64 = 1_771_934_400;
    const SECRET: &str = "0123456789abcdef0123456789abcdef";
    static KEYS: LazyLock<SigningKeys> = LazyLock::new(|| SigningKeys::generate(SECRET).unwrap());

    const USER: User = User {
        tenant: Tenant::Hub,
        account: Account::Admin,
    };

    fn claims(token: &str, key: &DecodingKey, algorithm: Algorithm) -> Value {
        let mut validation = Validation::new(algorithm);
        validation.validate_exp = false;
        validation.validate_aud = false;
        decode(token, key, &validation).unwrap().claims
    }

    #[test]
    fn a_hub_token_verifies_with_the_published_key() {
        let token = KEYS.access_token(USER, NOW).unwrap();
        let header = decode_header(&token).unwrap();
        assert_eq!(header.alg, Algorithm::RS256);
        let published = KEYS.jwks().find(&header.kid.unwrap()).unwrap();
        assert_eq!(
            claims(&token, &DecodingKey::from_jwk(published).unwrap(), Algorithm::RS256),
            json!({
                "sub": "b0000001-0000-4000-8000-000000000001",
                "tenantId": "a0000001-0000-0000-0000-000000000001",
                "email": "admin@eventzr.com",
                "roles": ["admin", "organizer", "user"],
                "planTier": "enterprise",
                "iat": NOW,
                "exp": NOW + 3600,
            })
        );
    }

    #[test]
    fn a_wallet_token_verifies_with_the_shared_secret() {
        for (account, roles, scopes) in [
            (
                Account::Admin,
                json!(["admin", "organizer", "user"]),
                json!(["read", "write", "admin"]),
            ),
            (
                Account::Organizer,
                json!(["organizer", "user"]),
                json!(["read", "write"]),
            ),
            (Account::User, json!(["user"]), json!(["read"])),
            (
                Account::Developer,
                json!(["developer", "user"]),
                json!(["read", "write"]),
            ),
        ] {
            let tenant = Tenant::Wallet;
            let token = KEYS.access_token(User { tenant, account }, NOW).unwrap();
            let mut found = claims(&token, &DecodingKey::from_secret(SECRET.as_bytes()), Algorithm::HS256);
            let jti = found.as_object_mut().unwrap().remove("jti").unwrap();
            assert!(Uuid::try_parse(jti.as_str().unwrap()).is_ok(), "{jti}");
            assert_eq!(
                found,
                json!({
                    "sub": account.subject().to_string(),
                    "email": account.email(),
                    "tenant": "00000000-0000-4000-a000-000000000001",
                    "tenantId": "00000000-0000-4000-a000-000000000001",
                    "roles": roles,
                    "scopes": scopes,
                    "iss": "eventzr.com",
                    "aud": "eventzr-api",
                    "iat": NOW,
                    "exp": NOW + 86_400,
                })
            );
        }
    }

    #[test]
    fn a_refresh_token_has_all_claims_of_an_access_token_but_roles() {
        for tenant in Tenant::ALL {
            let user = User { tenant, ..USER };
            let key = match tenant {
                Tenant::Hub => DecodingKey::from_jwk(&KEYS.jwks().keys[0]).unwrap(),
                Tenant::Wallet => DecodingKey::from_secret(SECRET.as_bytes()),
            };
            let token = KEYS.refresh_token(user, NOW).unwrap();
            let mut found = claims(&token, &key, decode_header(&token).unwrap().alg);
            let jti = found.as_object_mut().unwrap().remove("jti").unwrap();
            assert!(Uuid::try_parse(jti.as_str().unwrap()).is_ok(), "{jti}");
            assert_eq!(
                found,
                json!({
                    "sub": "b0000001-0000-4000-8000-000000000001",
                    "tenant": tenant.id().to_string(),
                    "tenantId": tenant.id().to_string(),
                    "type": "refresh",
                    "iss": "eventzr.com",
                    "aud": "eventzr-api",
                    "iat": NOW,
                    "exp": NOW + 7 * 86_400,
                })
            );
        }
    }

    #[test]
    fn the_algorithm_stands_first_in_each_header() {
        for tenant in Tenant::ALL {
            let user = User { tenant, ..USER };
            for token in [KEYS.access_token(user, NOW), KEYS.refresh_token(user, NOW)] {
                let token = token.unwrap();
                let header = URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
                let expected = match tenant {
                    Tenant::Hub => format!(r#"{{"alg":"RS256","typ":"JWT","kid":"{}"}}"#, KEYS.hub_key_id),
                    Tenant::Wallet => r#"{"alg":"HS256","typ":"JWT"}"#.to_owned(),
                };
                assert_eq!(String::from_utf8(header).unwrap(), expected);
            }
        }
    }

    #[test]
    fn the_published_key_is_public() {
        let published = serde_json::to_value(KEYS.jwks()).unwrap();
        let key = published["keys"][0].as_object().unwrap();
        let mut names: Vec<_> = key.keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["alg", "e", "kid", "kty", "n", "use"]);
        assert_eq!(
            (&key["kty"], &key["use"], &key["alg"], &key["e"]),
            (&json!("RSA"), &json!("sig"), &json!("RS256"), &json!("AQAB"))
        );
        // 256 bytes of modulus are 342 characters of base64url.
        assert_eq!(key["n"].as_str().map(str::len), Some(342));
    }

    #[test]
    fn short_secret_is_rejected() {
        let refused = SigningKeys::generate("0123456789abcdef0123456789abcde");
        assert!(matches!(refused, Err(KeyError::SecretTooShort)));
    }

    #[test]
    fn debug_shows_no_key() {
        let shown = format!("{:?}", *KEYS);
        assert!(
            !shown.contains(SECRET) && shown.contains("SigningKey(Secret)"),
            "{shown}"
        );
    }
}
