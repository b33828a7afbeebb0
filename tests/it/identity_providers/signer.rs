//! The key of a recipe: it signs tokens with any header and any claims.

use aws_lc_rs::{
    hmac,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use serde_json::{Value, json};

use crate::harness::issuer::{Key, base64url, key_set, rs256_token, token_signed_by};

/// The secret of tokens with HS256.
pub(super) const SECRET: &str = "the-secret-of-the-project-0123456789";
/// The variable with [`SECRET`].
pub(super) const SECRET_NAME: &str = "IT_RECIPE_SECRET";

pub(super) enum OwnKey {
    Rsa { kid: String },
    Curve { kid: String, pair: EcdsaKeyPair },
    Secret,
}

impl OwnKey {
    /// A key for the `alg` and the `kid` of a header.
    pub(super) fn for_header(header: &Value) -> Self {
        let kid = || header["kid"].as_str().expect("a `kid`").to_owned();
        match header["alg"].as_str() {
            Some("RS256") => Self::Rsa { kid: kid() },
            Some("ES256") => Self::Curve {
                kid: kid(),
                pair: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(),
            },
            Some("HS256") => Self::Secret,
            other => panic!("no key for {other:?}"),
        }
    }

    /// The key set that the issuer publishes.
    pub(super) fn set(&self) -> String {
        match self {
            Self::Rsa { kid } => key_set(&[&Key::new("RS256", kid)]),
            Self::Curve { kid, pair } => {
                // An uncompressed point: a byte, x and y.
                let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
                let (x, y) = (base64url(x), base64url(y));
                let key =
                    json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": kid, "alg": "ES256", "use": "sig" });
                json!({ "keys": [key] }).to_string()
            }
            Self::Secret => json!({ "keys": [] }).to_string(),
        }
    }

    /// A token with this header and these claims. With another `alg` than that of the key, the signature is good only
    /// for HS256.
    pub(super) fn sign(&self, header: &Value, claims: &Value, secret: &str) -> String {
        match (self, header["alg"].as_str()) {
            (Self::Rsa { .. }, Some("RS256")) => rs256_token(header, claims),
            (Self::Curve { pair, .. }, Some("ES256")) => token_signed_by(header, claims, |message| {
                pair.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec()
            }),
            _ => token_signed_by(header, claims, |message| {
                let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
                hmac::sign(&key, message).as_ref().to_vec()
            }),
        }
    }
}
