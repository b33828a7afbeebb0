//! Keys that sign tokens: those of the demo, and throwaway ones. Sidegate itself never signs what a service reads.

use std::fmt;

use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hmac;
use aws_lc_rs::rand::{SystemRandom, fill};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
    RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding,
    RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use x509_parser::prelude::FromDer as _;
use x509_parser::public_key::RSAPublicKey;

use super::{Algorithm, KeyNames, KeySet, Material};

/// The length of a secret that is generated, in bytes: that of the longest hash (RFC 7518, 3.2).
const SECRET_BYTES: usize = 64;

/// A key that signs tokens. `Debug` shows nothing of it.
pub struct SigningKey(Pair);

enum Pair {
    Secret(Vec<u8>),
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({:?})", self.material())
    }
}

impl SigningKey {
    /// Takes a shared secret.
    pub fn from_secret(secret: &[u8]) -> Self {
        Self(Pair::Secret(secret.to_vec()))
    }

    /// Generates a key. One of RSA has 2048 bits and takes a hundred milliseconds; the others take microseconds.
    pub fn generate(material: Material) -> Result<Self, Unspecified> {
        Ok(Self(match material {
            Material::Secret => {
                let mut secret = vec![0; SECRET_BYTES];
                fill(&mut secret)?;
                Pair::Secret(secret)
            }
            Material::Rsa => Pair::Rsa(RsaKeyPair::generate(KeySize::Rsa2048)?),
            Material::P256 => Pair::P256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?),
            Material::P384 => Pair::P384(EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING)?),
            Material::Ed25519 => Pair::Ed25519(Ed25519KeyPair::generate()?),
        }))
    }

    /// Returns what the key is made of.
    pub const fn material(&self) -> Material {
        match &self.0 {
            Pair::Secret(_) => Material::Secret,
            Pair::Rsa(_) => Material::Rsa,
            Pair::P256(_) => Material::P256,
            Pair::P384(_) => Material::P384,
            Pair::Ed25519(_) => Material::Ed25519,
        }
    }

    /// Signs a header and claims, both JSON, as a token in the compact form (RFC 7515, 3.1). Fails for an algorithm that the
    /// key is not made for. The header is written as it is, whatever algorithm it names.
    pub fn token(&self, algorithm: Algorithm, header: &[u8], claims: &[u8]) -> Result<String, Unspecified> {
        let mut token = URL_SAFE_NO_PAD.encode(header);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(claims, &mut token);
        let signature = self.sign(algorithm, token.as_bytes())?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(token)
    }

    fn sign(&self, algorithm: Algorithm, message: &[u8]) -> Result<Vec<u8>, Unspecified> {
        let random = SystemRandom::new();
        match (&self.0, scheme(algorithm)) {
            (Pair::Secret(secret), Scheme::Hmac(algorithm)) => {
                let key = hmac::Key::new(algorithm, secret);
                Ok(hmac::sign(&key, message).as_ref().to_vec())
            }
            (Pair::Rsa(pair), Scheme::Rsa(padding)) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(padding, &random, message, &mut signature)?;
                Ok(signature)
            }
            (Pair::P256(pair), Scheme::P256) | (Pair::P384(pair), Scheme::P384) => {
                Ok(pair.sign(&random, message)?.as_ref().to_vec())
            }
            (Pair::Ed25519(pair), Scheme::Ed25519) => Ok(pair.sign(message).as_ref().to_vec()),
            _ => Err(Unspecified),
        }
    }

    /// Returns what verifies the signatures of the key: its public half, or the secret itself.
    pub(crate) fn verification_key(&self) -> Result<DecodingKey, Unspecified> {
        Ok(match &self.0 {
            Pair::Secret(secret) => DecodingKey::from_secret(secret),
            Pair::Rsa(pair) => {
                let (_, key) = RSAPublicKey::from_der(pair.public_key().as_ref()).map_err(|_| Unspecified)?;
                super::rsa_key(key.modulus, key.exponent).map_err(|_| Unspecified)?
            }
            Pair::P256(pair) | Pair::P384(pair) => DecodingKey::from_ec_der(pair.public_key().as_ref()),
            Pair::Ed25519(pair) => DecodingKey::from_ed_der(pair.public_key().as_ref()),
        })
    }
}

impl KeySet {
    /// Makes the set that verifies what some keys sign, each with its id if it has one, for the algorithms that fit it. A
    /// key that fits none is left out.
    pub fn of_signers<'k>(
        signers: impl IntoIterator<Item = (Option<&'k str>, &'k SigningKey)>,
        algorithms: &[Algorithm],
    ) -> Self {
        let mut set = Self::default();
        for (id, signer) in signers {
            let names = KeyNames { id, issuer: None };
            if let Ok(key) = signer.verification_key() {
                // It fails for a key that fits none of the algorithms, and adds nothing then.
                let _ = set.bind(names, signer.material(), &key, algorithms);
            }
        }
        set
    }
}

/// How an algorithm signs.
enum Scheme {
    Hmac(hmac::Algorithm),
    Rsa(&'static dyn RsaEncoding),
    P256,
    P384,
    Ed25519,
}

fn scheme(algorithm: Algorithm) -> Scheme {
    match algorithm {
        Algorithm::HS256 => Scheme::Hmac(hmac::HMAC_SHA256),
        Algorithm::HS384 => Scheme::Hmac(hmac::HMAC_SHA384),
        Algorithm::HS512 => Scheme::Hmac(hmac::HMAC_SHA512),
        Algorithm::RS256 => Scheme::Rsa(&RSA_PKCS1_SHA256),
        Algorithm::RS384 => Scheme::Rsa(&RSA_PKCS1_SHA384),
        Algorithm::RS512 => Scheme::Rsa(&RSA_PKCS1_SHA512),
        Algorithm::PS256 => Scheme::Rsa(&RSA_PSS_SHA256),
        Algorithm::PS384 => Scheme::Rsa(&RSA_PSS_SHA384),
        Algorithm::PS512 => Scheme::Rsa(&RSA_PSS_SHA512),
        Algorithm::ES256 => Scheme::P256,
        Algorithm::ES384 => Scheme::P384,
        Algorithm::EdDSA => Scheme::Ed25519,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_of_each_algorithm_verifies_with_its_own_key_only() {
        let materials = [
            Material::Secret,
            Material::Rsa,
            Material::P256,
            Material::P384,
            Material::Ed25519,
        ];
        let keys = materials.map(|material| SigningKey::generate(material).unwrap());
        let others = materials.map(|material| SigningKey::generate(material).unwrap());
        for algorithm in Algorithm::ALL {
            let of = |keys: &[SigningKey; 5]| keys.iter().position(|key| key.material().fits(algorithm)).unwrap();
            let (key, other) = (&keys[of(&keys)], &others[of(&others)]);
            let token = key.token(algorithm, b"{}", br#"{"sub":"a"}"#).unwrap();
            let (message, signature) = token.rsplit_once('.').unwrap();
            let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
            let verifies = |signer: &SigningKey| {
                let set = KeySet::of_signers([(None, signer)], &[algorithm]);
                let keys = set.candidates(None, algorithm).unwrap();
                keys.iter().any(|key| key.verifies(message.as_bytes(), &signature))
            };
            assert!(verifies(key) && !verifies(other), "{algorithm:?}");
        }
    }

    #[test]
    fn key_signs_by_no_algorithm_of_another_material() {
        let secret = SigningKey::from_secret(&[7; SECRET_BYTES]);
        assert!(secret.token(Algorithm::ES256, b"{}", b"{}").is_err());
        assert!(KeySet::of_signers([(None, &secret)], &[Algorithm::ES256]).is_empty());
        assert_eq!(format!("{secret:?}"), "SigningKey(Secret)");
    }
}
