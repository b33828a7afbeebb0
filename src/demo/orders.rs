//! The tokens of the demo's first example: the demo itself is their issuer.

use jsonwebtoken::errors::Error as JwtError;
use jsonwebtoken::{EncodingKey, Header, encode};
use serde::Serialize;

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
    pub(super) fn tokens(&self) -> Result<OrdersTokens, JwtError> {
        let now = jiff::Timestamp::now().as_second();
        Ok(OrdersTokens {
            clerk: self.token("user-17", "clerk", now)?,
            manager: self.token("user-4", "manager", now)?,
        })
    }

    /// HS256 is the default of the header.
    fn token(&self, subject: &str, role: &str, now: i64) -> Result<String, JwtError> {
        let claims = Claims {
            iss: "https://login.example.com",
            aud: "orders",
            sub: subject,
            roles: [role],
            iat: now,
            exp: now + LIFETIME_SECONDS,
        };
        encode(
            &Header::default(),
            &claims,
            &EncodingKey::from_secret(self.secret.as_bytes()),
        )
    }
}
