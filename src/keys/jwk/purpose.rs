//! What a key of a set is for, as it says itself (RFC 7517, 4.2 to 4.4).

use super::entry::Jwk;
use crate::keys::KeyProblem;

/// What a key is for.
pub(super) enum Purpose {
    /// Signatures, or it does not say.
    Signatures,
    /// Something else, such as encryption: it is passed over, and its id does not count.
    Other(String),
    /// Its `use` is a word that is not registered: it is passed over, too.
    Unknown(KeyProblem),
}

impl Purpose {
    /// Reads what a key is for. A member of the wrong type is a problem.
    pub(super) fn of(jwk: &Jwk<'_>) -> Result<Self, KeyProblem> {
        match jwk.text("use")? {
            None | Some("sig") => {}
            Some("enc") => return Ok(Self::Other("is for encryption: `use` is `enc`".to_owned())),
            Some(word) => return Ok(Self::Unknown(KeyProblem::unknown_use(word))),
        }
        if let Some(operations) = jwk.operations()?
            && !operations.contains(&"verify")
        {
            return Ok(Self::Other(
                "is not for signatures: `key_ops` has no `verify`".to_owned(),
            ));
        }
        if let Some(name) = jwk.text("alg")?.filter(|name| is_encryption(name)) {
            return Ok(Self::Other(format!("is for encryption: `alg` is `{name}`")));
        }
        match (jwk.text("kty")?, jwk.text("crv")?) {
            (Some("OKP"), Some(curve @ ("X25519" | "X448"))) => {
                Ok(Self::Other(format!("is for key agreement: `crv` is `{curve}`")))
            }
            _ => Ok(Self::Signatures),
        }
    }
}

/// Whether an algorithm is one for encryption (RFC 7518, 4.1 and 5.1; RFC 8037, 3.2), or of a family that is only for
/// that, whose members become more.
fn is_encryption(name: &str) -> bool {
    const NAMES: [&str; 14] = [
        "RSA1_5",
        "A128KW",
        "A192KW",
        "A256KW",
        "dir",
        "A128GCMKW",
        "A192GCMKW",
        "A256GCMKW",
        "A128CBC-HS256",
        "A192CBC-HS384",
        "A256CBC-HS512",
        "A128GCM",
        "A192GCM",
        "A256GCM",
    ];
    const FAMILIES: [&str; 5] = ["RSA-OAEP", "ECDH-ES", "ECDH-SS", "PBES2-", "HPKE-"];
    NAMES.contains(&name) || FAMILIES.iter().any(|family| name.starts_with(family))
}
