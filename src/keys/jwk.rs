//! JSON Web Key Sets (RFC 7517), read with every check that the library leaves to us.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use serde::Deserialize;

use super::{Algorithm, KeyProblem, KeySet, MAX_KEYS, Material, rsa_key};

/// The members of a key that matter here. Private members are not read.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    k: Option<String>,
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<serde_json::Value>,
}

/// Whether shared secrets may stand in a set. Never in one that comes over a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secrets {
    /// They may, if no public key stands beside them.
    Allow,
    /// They may not.
    Refuse,
}

/// A key set and why some of its keys are not used.
#[derive(Debug)]
pub struct Loaded {
    /// The keys in use.
    pub set: KeySet,
    /// What is wrong with others, in the order of the file.
    pub refused: Vec<KeyProblem>,
}

/// Reads a key set for an issuer that signs with some algorithms. Keys meant for something else
/// are passed over; keys that are weak or contradict themselves are rejected one by one.
pub fn parse(json: &[u8], algorithms: &[Algorithm], secrets: Secrets) -> Result<Loaded, KeyProblem> {
    let document: Document = serde_json::from_slice(json)
        .map_err(|error| KeyProblem::new(format!("this is not a JWKS: {}", describe(&error))))?;
    if document.keys.len() > MAX_KEYS {
        return Err(KeyProblem::new(format!("the set has more than {MAX_KEYS} keys")));
    }
    let mut refused = Vec::new();
    let mut keys = Vec::new();
    for value in document.keys {
        match serde_json::from_value::<Jwk>(value) {
            Ok(key) => keys.push(key),
            Err(error) => refused.push(KeyProblem::new(format!("a key is unreadable: {}", describe(&error)))),
        }
    }
    let mut set = KeySet::default();
    for key in keys.iter().filter(|key| key.is_for_signatures()) {
        if let Err(problem) = key.add_to(&mut set, &keys, algorithms, secrets) {
            let name = key.kid.as_deref().unwrap_or("without an id");
            refused.push(problem.of_key(name));
        }
    }
    Ok(Loaded { set, refused })
}

/// What the parser found, without quoting the input.
fn describe(error: &serde_json::Error) -> String {
    let what = match error.classify() {
        serde_json::error::Category::Data => "a member is missing or of the wrong type",
        _ => "it is not JSON",
    };
    format!("{what} at line {} column {}", error.line(), error.column())
}

impl Jwk {
    /// RFC 7517, 4.2 and 4.3: a key that says what it is for is for nothing else.
    fn is_for_signatures(&self) -> bool {
        let usage = self.usage.as_deref().is_none_or(|usage| usage == "sig");
        let operations = self
            .key_ops
            .as_ref()
            .is_none_or(|ops| ops.iter().any(|op| op == "verify"));
        usage && operations
    }

    fn add_to(
        &self,
        set: &mut KeySet,
        all: &[Self],
        algorithms: &[Algorithm],
        secrets: Secrets,
    ) -> Result<(), KeyProblem> {
        if self.kid.is_some() && all.iter().filter(|other| other.kid == self.kid).count() > 1 {
            return Err(KeyProblem::new("the id comes twice"));
        }
        let (material, key) = self.read()?;
        if material == Material::Secret {
            let alone = all.iter().all(|other| other.kty == "oct");
            if secrets == Secrets::Refuse || !alone {
                return Err(KeyProblem::new("a shared secret does not belong in a public key set"));
            }
        }
        let bound = self.bound_to(material)?;
        let wanted: Vec<_> = algorithms
            .iter()
            .copied()
            .filter(|a| bound.is_none_or(|b| b == *a))
            .collect();
        // A key for an algorithm that the issuer does not use here is not a fault.
        match wanted.iter().any(|a| material.fits(*a)) {
            true => set.bind(self.kid.as_deref(), material, &key, &wanted),
            false => Ok(()),
        }
    }

    /// The one algorithm that the key names, if it names one.
    fn bound_to(&self, material: Material) -> Result<Option<Algorithm>, KeyProblem> {
        let Some(name) = self.alg.as_deref() else {
            return Ok(None);
        };
        match name.parse() {
            Ok(algorithm) if material.fits(algorithm) => Ok(Some(algorithm)),
            _ => Err(KeyProblem::mismatch(
                "`alg` does not fit the type of the key",
                "correct `alg`, or leave it out of the key",
            )),
        }
    }

    fn read(&self) -> Result<(Material, DecodingKey), KeyProblem> {
        match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", None) => {
                let key = rsa_key(&member("n", self.n.as_ref())?, &member("e", self.e.as_ref())?)?;
                Ok((Material::Rsa, key))
            }
            ("EC", Some("P-256")) => Ok((Material::P256, self.point(32)?)),
            ("EC", Some("P-384")) => Ok((Material::P384, self.point(48)?)),
            ("OKP", Some("Ed25519")) => {
                let x = sized("x", self.x.as_ref(), 32)?;
                Ok((Material::Ed25519, DecodingKey::from_ed_der(&x)))
            }
            ("oct", None) => {
                let secret = member("k", self.k.as_ref())?;
                self.check_length(&secret)?;
                Ok((Material::Secret, DecodingKey::from_secret(&secret)))
            }
            _ => Err(KeyProblem::new(
                "`kty` and `crv` name no key that can verify a token here",
            )),
        }
    }

    /// RFC 7518, 6.2.1: both coordinates have the full length of the curve.
    fn point(&self, length: usize) -> Result<DecodingKey, KeyProblem> {
        let mut point = vec![4];
        point.extend(sized("x", self.x.as_ref(), length)?);
        point.extend(sized("y", self.y.as_ref(), length)?);
        Ok(DecodingKey::from_ec_der(&point))
    }

    /// RFC 7518, 3.2: a key as long as the hash, or longer.
    fn check_length(&self, secret: &[u8]) -> Result<(), KeyProblem> {
        let lengths: HashMap<_, _> = [("HS384", 48), ("HS512", 64)].into();
        let least = self.alg.as_deref().and_then(|alg| lengths.get(alg)).copied();
        let least = least.unwrap_or(super::MIN_SECRET_BYTES);
        if secret.len() < least {
            return Err(KeyProblem::weak(
                format!("the secret is shorter than {least} bytes"),
                super::SECRET_HELP,
            ));
        }
        Ok(())
    }
}

fn member(name: &str, value: Option<&String>) -> Result<Vec<u8>, KeyProblem> {
    let text = value.ok_or_else(|| KeyProblem::new(format!("`{name}` is missing")))?;
    URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_| KeyProblem::new(format!("`{name}` is not base64url")))
}

fn sized(name: &str, value: Option<&String>, length: usize) -> Result<Vec<u8>, KeyProblem> {
    let bytes = member(name, value)?;
    match bytes.len() == length {
        true => Ok(bytes),
        false => Err(KeyProblem::new(format!("`{name}` is not {length} bytes long"))),
    }
}
