//! One key of a set: its members, what it is made of, and the algorithms that it is for.

use jsonwebtoken::DecodingKey;
use serde_json::{Map, Value};

use super::encoding;
use crate::keys::{Algorithm, KeyNames, KeyProblem, MIN_SECRET_BYTES, Material, SECRET_HELP, fingerprint, rsa_key};

/// The members of a key. Private ones are never read.
pub(super) struct Jwk<'v>(&'v Map<String, Value>);

/// A key of a set that is meant for signatures.
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) id: Option<String>,
    /// The algorithms of the issuer that the key says it is for.
    pub(super) serves: Vec<Algorithm>,
    /// What it is made of.
    pub(super) key: Result<ReadKey, KeyProblem>,
}

/// What a key is made of.
pub(super) struct ReadKey {
    pub(super) material: Material,
    pub(super) key: DecodingKey,
    /// The one issuer that signs with it, in sets that several issuers share.
    pub(super) issuer: Option<String>,
    /// What the set says that the key is for, if this is not for the issuer.
    pub(super) describe: String,
    /// The members that are not in base64url.
    pub(super) misspelt: Vec<&'static str>,
}

/// A part of a public key, and whether it is spelled as it should be.
type Part = (Vec<u8>, bool);

impl<'v> Jwk<'v> {
    /// The key, if the value is an object.
    pub(super) fn of(value: &'v Value) -> Option<Self> {
        value.as_object().map(Self)
    }

    /// A member that is text; `null` counts as absent.
    pub(super) fn text(&self, name: &str) -> Result<Option<&'v str>, KeyProblem> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(KeyProblem::member(
                format!("`{name}` is not text"),
                format!("write `{name}` as text in quotes"),
            )),
        }
    }

    /// What the key may be used for, if it says so.
    pub(super) fn operations(&self) -> Result<Option<Vec<&'v str>>, KeyProblem> {
        let items = match self.0.get("key_ops") {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::Array(items)) => items.iter().map(Value::as_str).collect::<Option<Vec<_>>>(),
            Some(_) => None,
        };
        let help = r#"write `"key_ops": ["verify"]`, or leave it out of the key"#;
        let problem = || KeyProblem::member("`key_ops` is not a list of texts", help);
        items.map(Some).ok_or_else(problem)
    }

    /// Reads all that counts for signatures of some algorithms.
    pub(super) fn entry(&self, name: String, algorithms: &[Algorithm], may_be_secret: bool) -> Entry {
        let id = self.text("kid");
        let declared = self
            .declared()
            .and_then(|material| Ok((material, self.bound_to(material)?)));
        let serves = match declared {
            Ok((material, bound)) => {
                let fits =
                    |algorithm: &Algorithm| material.fits(*algorithm) && bound.is_none_or(|bound| bound == *algorithm);
                algorithms.iter().copied().filter(fits).collect()
            }
            Err(_) => Vec::new(),
        };
        let key = declared.and_then(|(material, bound)| {
            if material == Material::Secret && !may_be_secret {
                return Err(KeyProblem::new("a shared secret does not belong in a public key set"));
            }
            let issuer = self.text("issuer")?.map(str::to_owned);
            let (key, misspelt) = self.read(material, bound)?;
            let describe = match bound {
                Some(algorithm) => format!("is for {}", algorithm.name()),
                None => format!("is {}", material.describe()),
            };
            Ok(ReadKey {
                material,
                key,
                issuer,
                describe,
                misspelt,
            })
        });
        match id {
            Ok(id) => Entry {
                name,
                id: id.map(str::to_owned),
                serves,
                key,
            },
            Err(problem) => Entry {
                name,
                id: None,
                serves,
                key: Err(problem),
            },
        }
    }

    /// What the key says that it is made of.
    fn declared(&self) -> Result<Material, KeyProblem> {
        match (self.text("kty")?, self.text("crv")?) {
            (Some("RSA"), None) => Ok(Material::Rsa),
            (Some("EC"), Some("P-256")) => Ok(Material::P256),
            (Some("EC"), Some("P-384")) => Ok(Material::P384),
            (Some("OKP"), Some("Ed25519")) => Ok(Material::Ed25519),
            (Some("oct"), None) => Ok(Material::Secret),
            (None, _) => Err(KeyProblem::new("`kty` is missing")),
            _ => Err(KeyProblem::new(
                "`kty` and `crv` name no key that can verify a token here",
            )),
        }
    }

    /// The one algorithm that the key names, if it names one.
    fn bound_to(&self, material: Material) -> Result<Option<Algorithm>, KeyProblem> {
        let Some(name) = self.text("alg")? else {
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

    /// Reads the key, and which of its members are not in base64url.
    fn read(
        &self,
        material: Material,
        bound: Option<Algorithm>,
    ) -> Result<(DecodingKey, Vec<&'static str>), KeyProblem> {
        let mut misspelt = Vec::new();
        let mut exact = |name: &'static str, (bytes, exact): Part| {
            if !exact {
                misspelt.push(name);
            }
            bytes
        };
        let key = match material {
            Material::Rsa => {
                let (n, e) = (self.part("n")?, self.part("e")?);
                rsa_key(&exact("n", n), &exact("e", e))?
            }
            Material::P256 | Material::P384 => {
                // RFC 7518, 6.2.1: both coordinates have the full length of the curve.
                let length = if material == Material::P256 { 32 } else { 48 };
                let (x, y) = (self.sized("x", length)?, self.sized("y", length)?);
                let mut point = vec![4];
                point.extend(exact("x", x));
                point.extend(exact("y", y));
                DecodingKey::from_ec_der(&point)
            }
            Material::Ed25519 => DecodingKey::from_ed_der(&exact("x", self.sized("x", 32)?)),
            Material::Secret => DecodingKey::from_secret(&self.secret(bound)?),
        };
        Ok((key, misspelt))
    }

    /// A secret as long as the hash, or longer (RFC 7518, 3.2).
    fn secret(&self, bound: Option<Algorithm>) -> Result<Vec<u8>, KeyProblem> {
        let secret = encoding::strict(self.required("k")?).ok_or_else(|| not_base64("k"))?;
        let least = match bound {
            Some(Algorithm::HS384) => 48,
            Some(Algorithm::HS512) => 64,
            _ => MIN_SECRET_BYTES,
        };
        match secret.len() < least {
            true => Err(KeyProblem::weak(
                format!("the secret is shorter than {least} bytes"),
                SECRET_HELP,
            )),
            false => Ok(secret),
        }
    }

    fn required(&self, name: &str) -> Result<&'v str, KeyProblem> {
        let missing = || KeyProblem::new(format!("`{name}` is missing"));
        self.text(name)?.ok_or_else(missing)
    }

    fn part(&self, name: &str) -> Result<Part, KeyProblem> {
        encoding::lenient(self.required(name)?).ok_or_else(|| not_base64(name))
    }

    fn sized(&self, name: &str, length: usize) -> Result<Part, KeyProblem> {
        let part = self.part(name)?;
        match part.0.len() == length {
            true => Ok(part),
            false => Err(KeyProblem::new(format!("`{name}` is not {length} bytes long"))),
        }
    }
}

impl Entry {
    /// An algorithm for which a different key of the set has the same id: a token could mean either.
    pub(super) fn clash(&self, all: &[Self]) -> Option<Algorithm> {
        let id = self.id.as_deref()?;
        let others = all.iter().filter(|other| other.id.as_deref() == Some(id));
        let mut shared = others
            .filter(|other| !std::ptr::eq(*other, self))
            .flat_map(|other| other.serves.iter().map(move |algorithm| (other, *algorithm)))
            .filter(|(_, algorithm)| self.serves.contains(algorithm));
        let differs = |other: &Self| match (&self.key, &other.key) {
            (Ok(one), Ok(other)) => {
                let made_of = |key| fingerprint(KeyNames::default(), None, key);
                made_of(&one.key) != made_of(&other.key)
            }
            _ => true,
        };
        let clash = shared.find(|(other, _)| differs(other));
        clash.map(|(_, algorithm)| algorithm)
    }
}

fn not_base64(name: &str) -> KeyProblem {
    KeyProblem::new(format!("`{name}` is not base64url"))
}
