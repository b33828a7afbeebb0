//! The tokens of the demo's first example: the demo itself is their issuer.

use aws_lc_rs::error::Unspecified;
use serde::Serialize;

use crate::keys::Algorithm;
use crate::keys::signer::SigningKey;

/// The header of each token.
const HEADER: &[u8] = br#"{"typ":"JWT","alg":"HS256"}"#;

/// How long a token of the example is valid.
const LIFETIME_SECONDS: i64 = 3600;

/// Signs the tokens of `policies/example/orders.yaml`.
pub(super) struct OrdersIssuer {
    secret: String,
}

/// A token for each caller of the example.
#[derive(Debug)]
pub(super) struct OrdersTokens {
    pub(super) clerk: String,
    pub(super) manager: String,
}

#[derive(Serialize)]
struct Claims<'c> {
    iss: &'static str,
    aud: &'static str,
    sub: &'c str,
    roles: [&'c str; 1],
    iat: i64,
    exp: i64,
}

impl OrdersIssuer {
    pub(super) fn new(secret: String) -> Self {
        Self { secret }
    }

    /// What the issuer shares with Sidegate.
    pub(super) fn secret(&self) -> &str {
        &self.secret
    }

    /// Signs a token for each caller.
    pub(super) fn tokens(&self) -> Result<OrdersTokens, Unspecified> {
        let now = jiff::Timestamp::now().as_second();
        Ok(OrdersTokens {
            clerk: self.token("user-17", "clerk", now)?,
            manager: self.token("user-4", "manager", now)?,
        })
    }

    fn token(&self, subject: &str, role: &str, now: i64) -> Result<String, Unspecified> {
        let claims = Claims {
            iss: "https://login.example.com",
            aud: "orders",
            sub: subject,
            roles: [role],
            iat: now,
            exp: now + LIFETIME_SECONDS,
        };
        let claims = serde_json::to_vec(&claims).map_err(|_| Unspecified)?;
        SigningKey::from_secret(self.secret.as_bytes()).token(Algorithm::HS256, HEADER, &claims)
    }
}
