//! Prints signed tokens, one a line, alike but for their `jti`. Those with a secret need no program.
//!
//! ```text
//! tokens ALGORITHM KEY COUNT CLAIMS
//! ```
//!
//! KEY is a PEM file, CLAIMS is a JSON object.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "it prints, and cannot do without any of its arguments"
)]

use std::fmt::Write as _;

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Map, Value};

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [algorithm, key, count, claims] = &arguments[..] else {
        panic!("tokens ALGORITHM KEY COUNT CLAIMS");
    };
    let key = std::fs::read(key).unwrap();
    let (algorithm, key) = match algorithm.as_str() {
        "RS256" => (Algorithm::RS256, EncodingKey::from_rsa_pem(&key).unwrap()),
        "ES256" => (Algorithm::ES256, EncodingKey::from_ec_pem(&key).unwrap()),
        other => panic!("{other} is not known here"),
    };
    let claims: Map<String, Value> = serde_json::from_str(claims).unwrap();
    let header = Header {
        kid: Some("bench".into()),
        ..Header::new(algorithm)
    };
    let mut out = String::new();
    for number in 0..count.parse().unwrap() {
        let mut claims = claims.clone();
        claims.insert("jti".into(), identifier(number).into());
        writeln!(out, "{}", encode(&header, &claims, &key).unwrap()).unwrap();
    }
    print!("{out}");
}

/// Of one length, so that all tokens are.
fn identifier(number: u64) -> String {
    format!("00000000-0000-4000-8000-{number:012}")
}
