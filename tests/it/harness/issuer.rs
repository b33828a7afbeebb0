//! Who issues tokens. They are signed by another JOSE library than the one Sidegate verifies with.

use std::sync::{Arc, OnceLock};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jwt_simple::prelude::*;
use parking_lot::Mutex;
use rcgen::{KeyPair, PKCS_RSA_SHA256, RsaKeySize, SigningKey};
use serde_json::{Value, json};

use super::{Reply, SECRET, TENANT, Upstream, upstream::Recorded};

/// The algorithms that the contract names and that have a public key.
pub(crate) const ASYMMETRIC: [&str; 9] = [
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA",
];
pub(crate) const SYMMETRIC: [&str; 3] = ["HS256", "HS384", "HS512"];

/// A key that signs with one algorithm.
pub(crate) struct Key {
    pub(crate) public_pem: String,
    /// The public key as its JOSE library writes it, with `kid`, `alg` and `use`.
    pub(crate) jwk: Value,
    sign: Box<dyn Fn(JWTClaims<Value>) -> String + Send + Sync>,
}

impl Key {
    /// A new key; but all RSA keys are the same one.
    pub(crate) fn new(algorithm: &str, kid: &str) -> Self {
        macro_rules! rsa {
            ($pair:ident) => {{
                let pair = $pair::from_pem(rsa_pem()).unwrap().with_key_id(kid);
                let public = pair.public_key();
                let (pem, jwk) = (public.to_pem().unwrap(), public.to_jwk());
                Self::assemble(algorithm, kid, pem, &jwk, move |claims| {
                    pair.sign(claims).unwrap()
                })
            }};
        }
        macro_rules! curve {
            ($pair:ident) => {{
                let pair = $pair::generate().with_key_id(kid);
                let public = pair.public_key();
                let (pem, jwk) = (public.to_pem(), public.to_jwk());
                Self::assemble(algorithm, kid, pem.into_text(), &jwk, move |claims| {
                    pair.sign(claims).unwrap()
                })
            }};
        }
        match algorithm {
            "RS256" => rsa!(RS256KeyPair),
            "RS384" => rsa!(RS384KeyPair),
            "RS512" => rsa!(RS512KeyPair),
            "PS256" => rsa!(PS256KeyPair),
            "PS384" => rsa!(PS384KeyPair),
            "PS512" => rsa!(PS512KeyPair),
            "ES256" => curve!(ES256KeyPair),
            "ES384" => curve!(ES384KeyPair),
            "EdDSA" => curve!(Ed25519KeyPair),
            _ => panic!("no key for {algorithm}"),
        }
    }

    fn assemble(
        algorithm: &str,
        kid: &str,
        public_pem: String,
        jwk: &str,
        sign: impl Fn(JWTClaims<Value>) -> String + Send + Sync + 'static,
    ) -> Self {
        let mut jwk: Value = serde_json::from_str(jwk).unwrap();
        jwk["kid"] = json!(kid);
        jwk["alg"] = json!(algorithm);
        jwk["use"] = json!("sig");
        Self {
            public_pem,
            jwk,
            sign: Box::new(sign),
        }
    }

    /// A token with these claims and no other.
    pub(crate) fn sign(&self, claims: Value) -> String {
        (self.sign)(custom(claims))
    }
}

/// Some PEM writers can fail, some cannot.
trait IntoText {
    fn into_text(self) -> String;
}
impl IntoText for String {
    fn into_text(self) -> String {
        self
    }
}
impl<E: std::fmt::Debug> IntoText for Result<String, E> {
    fn into_text(self) -> String {
        self.unwrap()
    }
}

/// The RSA key of all of them, made once in the life of the process: it takes long enough.
fn rsa_pem() -> &'static str {
    static KEY: OnceLock<String> = OnceLock::new();
    KEY.get_or_init(|| {
        KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)
            .unwrap()
            .serialize_pem()
    })
}

/// A token as a Kubernetes API server writes it: RS256, with a key id and without `typ`.
pub(crate) fn kubernetes_token(kid: &str, claims: &Value) -> String {
    rs256_token(&json!({ "alg": "RS256", "kid": kid }), claims)
}

/// A token with exactly this header and these claims, signed by the key of [`Key::new`] for RS256.
pub(crate) fn rs256_token(header: &Value, claims: &Value) -> String {
    let key = KeyPair::from_pem(rsa_pem()).unwrap();
    token_signed_by(header, claims, |message| key.sign(message).unwrap())
}

/// A token with exactly this header and these claims.
pub(crate) fn token_signed_by(header: &Value, claims: &Value, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let signed = format!("{}.{}", base64url(header.to_string()), base64url(claims.to_string()));
    let signature = sign(signed.as_bytes());
    format!("{signed}.{}", base64url(signature))
}

/// A token of a shared secret, with any of the three HMACs.
pub(crate) fn hmac(algorithm: &str, secret: &str, claims: Value) -> String {
    let (secret, claims) = (secret.as_bytes(), custom(claims));
    match algorithm {
        "HS256" => HS256Key::from_bytes(secret).authenticate(claims),
        "HS384" => HS384Key::from_bytes(secret).authenticate(claims),
        "HS512" => HS512Key::from_bytes(secret).authenticate(claims),
        _ => panic!("no HMAC {algorithm}"),
    }
    .unwrap()
}

/// A token of the Wallet: [`claims`] with these changes.
pub(crate) fn token(changes: Value) -> String {
    hmac("HS256", SECRET, claims(changes))
}

/// A token whose header and claims are this very text, signed by the Wallet's secret.
pub(crate) fn token_of_text(header: &str, claims: impl AsRef<[u8]>) -> String {
    let signed = format!("{}.{}", base64url(header), base64url(claims));
    let tag = HS256Key::from_bytes(SECRET.as_bytes()).authentication_tag(signed.as_bytes());
    format!("{signed}.{}", base64url(tag))
}

pub(crate) fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The Wallet's claims; a `null` among the changes takes one away.
pub(crate) fn claims(changes: Value) -> Value {
    let mut claims = json!({
        "sub": "user-7", "email": "user@eventzr.com", "tenant": TENANT, "tenantId": TENANT,
        "roles": ["organizer", "user"], "scopes": ["read", "write"], "planTier": "pro",
        "iss": "eventzr.com", "aud": "eventzr-api", "iat": now(), "exp": now() + 3600,
    });
    let (Value::Object(changes), Some(all)) = (changes, claims.as_object_mut()) else {
        panic!("an object")
    };
    for (name, value) in changes {
        all.insert(name, value);
    }
    all.retain(|_, value| !value.is_null());
    claims
}

pub(crate) fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

fn custom(custom: Value) -> JWTClaims<Value> {
    JWTClaims {
        issued_at: None,
        expires_at: None,
        invalid_before: None,
        issuer: None,
        subject: None,
        audiences: None,
        jwt_id: None,
        nonce: None,
        custom,
    }
}

pub(crate) fn key_set(keys: &[&Key]) -> String {
    let keys: Vec<&Value> = keys.iter().map(|key| &key.jwk).collect();
    json!({ "keys": keys }).to_string()
}

/// A key server whose responses the test sets.
pub(crate) struct KeyServer {
    pub(crate) url: String,
    upstream: Upstream,
    answer: Arc<Mutex<Box<dyn Fn() -> Reply + Send>>>,
}

impl KeyServer {
    pub(crate) fn new(answer: impl Fn() -> Reply + Send + 'static) -> Self {
        let answer: Arc<Mutex<Box<dyn Fn() -> Reply + Send>>> = Arc::new(Mutex::new(Box::new(answer)));
        let shared = answer.clone();
        let upstream = Upstream::start(move |_| (shared.lock())());
        let url = format!("{}/.well-known/jwks.json", upstream.url);
        Self { url, upstream, answer }
    }

    pub(crate) fn publishing(keys: &[&Key]) -> Self {
        let set = key_set(keys);
        Self::new(move || Reply::ok(&set).header("content-type", "application/json"))
    }

    pub(crate) fn now_answers(&self, answer: impl Fn() -> Reply + Send + 'static) {
        *self.answer.lock() = Box::new(answer);
    }

    pub(crate) fn requests(&self) -> Vec<Recorded> {
        self.upstream.all()
    }

    pub(crate) fn fetches(&self) -> usize {
        self.requests().len()
    }
}
