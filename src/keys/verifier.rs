//! Keys as the cryptographic library verifies with them, made once: to read a key takes a fifth of
//! the time of an RSA verification.

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384,
    RSA_PSS_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents, VerificationAlgorithm,
};
use jsonwebtoken::{DecodingKey, DecodingKeyKind};

use super::algorithm::Algorithm;
use super::problem::KeyProblem;

/// A key for one algorithm, ready to verify.
#[derive(Clone)]
pub(super) enum Verifier {
    /// A shared secret.
    Secret(Box<hmac::Key>),
    /// A public key.
    Public(ParsedPublicKey),
}

/// What the library knows an algorithm as.
enum Known {
    Hmac(hmac::Algorithm),
    Rsa(&'static RsaParameters),
    Curve(&'static dyn VerificationAlgorithm),
}

fn known(algorithm: Algorithm) -> Known {
    match algorithm {
        Algorithm::HS256 => Known::Hmac(hmac::HMAC_SHA256),
        Algorithm::HS384 => Known::Hmac(hmac::HMAC_SHA384),
        Algorithm::HS512 => Known::Hmac(hmac::HMAC_SHA512),
        Algorithm::RS256 => Known::Rsa(&RSA_PKCS1_2048_8192_SHA256),
        Algorithm::RS384 => Known::Rsa(&RSA_PKCS1_2048_8192_SHA384),
        Algorithm::RS512 => Known::Rsa(&RSA_PKCS1_2048_8192_SHA512),
        Algorithm::PS256 => Known::Rsa(&RSA_PSS_2048_8192_SHA256),
        Algorithm::PS384 => Known::Rsa(&RSA_PSS_2048_8192_SHA384),
        Algorithm::PS512 => Known::Rsa(&RSA_PSS_2048_8192_SHA512),
        Algorithm::ES256 => Known::Curve(&ECDSA_P256_SHA256_FIXED),
        Algorithm::ES384 => Known::Curve(&ECDSA_P384_SHA384_FIXED),
        Algorithm::EdDSA => Known::Curve(&ED25519),
    }
}

impl Verifier {
    /// Makes a key ready for an algorithm.
    pub(super) fn new(key: &DecodingKey, algorithm: Algorithm) -> Result<Self, KeyProblem> {
        use DecodingKeyKind::{RsaModulusExponent, SecretOrDer};
        let public = match (known(algorithm), key.kind()) {
            (Known::Hmac(algorithm), SecretOrDer(secret)) => {
                return Ok(Self::Secret(Box::new(hmac::Key::new(algorithm, secret))));
            }
            (Known::Rsa(algorithm), RsaModulusExponent { n, e }) => {
                RsaPublicKeyComponents { n, e }.to_parsed_public_key(algorithm).ok()
            }
            (Known::Rsa(algorithm), SecretOrDer(der)) => ParsedPublicKey::new(algorithm, der).ok(),
            (Known::Curve(algorithm), SecretOrDer(bytes)) => ParsedPublicKey::new(algorithm, bytes).ok(),
            _ => None,
        };
        let unusable = || KeyProblem::new("the public key is not one of its kind");
        public.map(Self::Public).ok_or_else(unusable)
    }

    /// Whether a signature over a message is one of this key.
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Secret(key) => hmac::verify(key, message, signature).is_ok(),
            Self::Public(key) => key.verify_sig(message, signature).is_ok(),
        }
    }
}
