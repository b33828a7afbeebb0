//! The compact form of a JSON Web Signature (RFC 7515, 3.1), in its one canonical spelling.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::json;
use crate::keys::{Algorithm, KeyFingerprint, KeySet, NoKey, VerificationKey};
use crate::policy::Issuer;
use crate::policy::document::LinkHeader;
use crate::policy::issuer_names::has_form;
use crate::rejection::{Reason, Rejection, list};

/// A token taken apart; nothing in it is verified yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Jws<'t> {
    message: &'t str,
    signature: Vec<u8>,
    payload: Vec<u8>,
    algorithm: Option<Algorithm>,
    header: Map<String, Value>,
}

fn malformed(cause: &'static str) -> Rejection {
    Rejection::because(Reason::TokenMalformed, cause)
}

impl<'t> Jws<'t> {
    /// Takes a token apart: exactly three segments of canonical unpadded base64url, and a header
    /// that asks for no extension (RFC 8725, 3.10). What its issuer decides is left to
    /// [`Jws::check_header_for`].
    pub fn parse(token: &'t str) -> Result<Self, Rejection> {
        let (message, signature) = token
            .rsplit_once('.')
            .ok_or_else(|| malformed("the token has no dots"))?;
        let (header, payload) = message
            .split_once('.')
            .ok_or_else(|| malformed("the token has one dot"))?;
        if payload.contains('.') {
            return Err(malformed("the token has more than three segments"));
        }
        let header = json::object(&decode(header)?).ok_or_else(|| malformed("the header is not an object"))?;
        let algorithm = check_header(&header)?;
        check_key_id(&header)?;
        let signature = decode(signature)?;
        if signature.is_empty() && algorithm.is_some() {
            return Err(malformed("the signature is empty"));
        }
        Ok(Self {
            message,
            signature,
            payload: decode(payload)?,
            algorithm,
            header,
        })
    }

    /// The payload, not verified.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// A parameter of the header that is text, not verified.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.header.get(name).and_then(Value::as_str)
    }

    /// Checks that the header points to no key but by what the issuer ignores, and that the token has one of the
    /// issuer's types (RFC 8725, 3.10 and 3.11).
    pub fn check_header_for(&self, issuer: &Issuer) -> Result<(), Rejection> {
        let links = LinkHeader::ALL.into_iter();
        let mut rejected = links.filter(|link| self.header.contains_key(link.name()) && !issuer.ignores(*link));
        if let Some(name) = rejected.next().map(LinkHeader::name) {
            let cause = format!(
                "the header has `{name}`, which leads to a key of the token's own choice; the issuer has no \
                 `ignore_headers: [{name}]`"
            );
            return Err(Rejection::because(Reason::TokenMalformed, cause));
        }
        let typ = match self.header.get("typ") {
            None => None,
            Some(Value::String(typ)) => Some(typ.as_str()),
            Some(_) => return Err(malformed("`typ` is not text")),
        };
        if issuer.types.has(typ) {
            return Ok(());
        }
        let accepted = list(issuer.types.iter());
        Err(match typ {
            None => Rejection::because(
                Reason::TokenMalformed,
                format!("the header has no `typ`, which means JWT; accepted: {accepted}"),
            ),
            Some(typ) => Rejection::because(
                Reason::TokenMalformed,
                format!("the issuer does not sign tokens with the `typ` in the header; accepted: {accepted}"),
            )
            .unverified("typ", typ),
        })
    }

    /// The algorithm in the header, if it is one of some.
    pub fn algorithm_among(&self, algorithms: &[Algorithm]) -> Result<Algorithm, Rejection> {
        let allowed = self.algorithm.filter(|algorithm| algorithms.contains(algorithm));
        allowed.ok_or_else(|| {
            let accepted = list(algorithms.iter().map(|algorithm| algorithm.name()));
            let cause = format!("the issuer does not sign with the algorithm in the header; accepted: {accepted}");
            Rejection::because(Reason::TokenAlgorithmNotAllowed, cause)
        })
    }

    /// Verifies the signature with one of some keys, by an algorithm of
    /// [`Jws::algorithm_among`]. Returns the key. With the `iss` of the token, a key that names an issuer verifies
    /// tokens of that issuer alone.
    pub fn verify(&self, keys: &KeySet, algorithm: Algorithm, iss: Option<&str>) -> Result<KeyFingerprint, Rejection> {
        match keys.candidates(self.parameter("kid"), algorithm) {
            Ok(candidates) => {
                let mut is_for_another = false;
                let signer = candidates.iter().find(|key| {
                    let is_signed = self.is_signed_with(key);
                    let is_for_it = is_for(key, iss);
                    is_for_another |= is_signed && !is_for_it;
                    is_signed && is_for_it
                });
                match signer {
                    Some(key) => Ok(keys.fingerprint(key)),
                    None if is_for_another => Err(other_issuer()),
                    None => Err(bad_signature(candidates.len())),
                }
            }
            Err(NoKey::OtherAlgorithm) => Err(Rejection::because(
                Reason::TokenAlgorithmNotAllowed,
                "the key with the id in the header is made for another algorithm",
            )),
            Err(NoKey::Unknown) => {
                // As much work as for a bad signature, so that time does not tell which it was.
                let others = keys.candidates(None, algorithm).unwrap_or_default();
                let _ = others.first().is_some_and(|key| self.is_signed_with(key));
                Err(unknown_key(self.parameter("kid").is_some(), keys.count()))
            }
        }
    }

    fn is_signed_with(&self, key: &VerificationKey) -> bool {
        key.verifies(self.message.as_bytes(), &self.signature)
    }
}

/// Tells whether a key may sign for an issuer, if that counts.
fn is_for(key: &VerificationKey, iss: Option<&str>) -> bool {
    let named = iss.zip(key.issuer());
    named.is_none_or(|(iss, form)| has_form(form, iss))
}

fn other_issuer() -> Rejection {
    let cause = "the key that signed the token is for another issuer: its `issuer` in the key set is not the `iss`";
    Rejection::because(Reason::TokenIssuerMismatch, cause)
}

fn bad_signature(candidates: usize) -> Rejection {
    let cause = match candidates {
        1 => "the signature does not verify with the key that the header selects".into(),
        keys => Cow::Owned(format!(
            "the signature verifies with none of the {keys} keys of its algorithm"
        )),
    };
    Rejection::because(Reason::TokenSignatureInvalid, cause)
}

fn unknown_key(has_id: bool, keys: usize) -> Rejection {
    let what = if has_id {
        "has the id in the header"
    } else {
        "is made for the algorithm in the header"
    };
    let s = if keys == 1 { "" } else { "s" };
    let cause = format!("no key {what}; the set has {keys} key{s}");
    Rejection::because(Reason::TokenKeyUnknown, cause)
}

/// Canonical unpadded base64url (RFC 7515, 2): no padding, no white space, no stray bits.
fn decode(segment: &str) -> Result<Vec<u8>, Rejection> {
    URL_SAFE_NO_PAD
        .decode(segment)
        .map_err(|_| malformed("a segment is not canonical base64url"))
}

/// Rejects headers that change how the token is read, or that bring a key. An algorithm that is not known, `none`
/// among them, is `None`.
fn check_header(header: &Map<String, Value>) -> Result<Option<Algorithm>, Rejection> {
    const REJECTED: [&str; 6] = ["crit", "b64", "zip", "enc", "jwk", "epk"];
    if let Some(name) = REJECTED.iter().find(|name| header.contains_key(**name)) {
        let cause = format!("the header has `{name}`, which is not allowed");
        return Err(Rejection::because(Reason::TokenMalformed, cause));
    }
    // RFC 7519, 5.2: `cty` says that a token is nested in this one.
    if header.contains_key("cty") {
        return Err(malformed("the header has `cty`: nested tokens are rejected"));
    }
    match header.get("alg") {
        Some(Value::String(name)) => Ok(name.parse().ok()),
        _ => Err(malformed("the header has no `alg`")),
    }
}

fn check_key_id(header: &Map<String, Value>) -> Result<(), Rejection> {
    match header.get("kid") {
        None => Ok(()),
        Some(Value::String(id)) if !id.is_empty() => Ok(()),
        Some(_) => Err(malformed("`kid` is not text")),
    }
}

#[cfg(test)]
mod tests;
