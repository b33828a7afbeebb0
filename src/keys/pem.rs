//! One public key as PEM: `PUBLIC KEY` (RFC 5280, 4.1), `RSA PUBLIC KEY` (RFC 8017, A.1.1), or the one
//! in a `CERTIFICATE`.

use jsonwebtoken::DecodingKey;
use rustls::pki_types::CertificateDer;
use x509_parser::oid_registry::{OID_EC_P256, OID_NIST_EC_P384, OID_SIG_ED25519};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::{PublicKey, RSAPublicKey};
use x509_parser::x509::SubjectPublicKeyInfo;

use super::{Algorithm, KeyProblem, KeySet, Material, rsa_key};
use crate::document::pem::PemBlock;
use crate::document::tls_material;

/// A public key.
#[derive(Debug)]
pub struct Loaded {
    /// The key alone.
    pub set: KeySet,
    /// When the certificate that it came in expires, in seconds since 1970. The policy names the key, so its
    /// signatures are good beyond that time.
    pub expires: Option<i64>,
}

/// Reads a public key. A private key is rejected: it does not belong here.
pub fn parse(block: &PemBlock, algorithms: &[Algorithm]) -> Result<Loaded, KeyProblem> {
    let mut expires = None;
    let (material, key) = match block.label.as_str() {
        "PUBLIC KEY" => public_key(&block.der)?,
        "RSA PUBLIC KEY" => {
            let (_, key) = RSAPublicKey::from_der(&block.der).map_err(|_| unreadable())?;
            (Material::Rsa, rsa_key(key.modulus, key.exponent)?)
        }
        "CERTIFICATE" => {
            let der = CertificateDer::from(block.der.as_slice());
            let certificate = tls_material::parse(&der);
            let certificate = certificate.ok_or_else(|| KeyProblem::new("the certificate is unreadable"))?;
            expires = Some(certificate.validity().not_after.timestamp());
            public_key(certificate.public_key().raw)?
        }
        label if label.contains("PRIVATE") => {
            return Err(KeyProblem::new("this is a private key; only its public key is needed"));
        }
        label => {
            let label = label.escape_debug();
            return Err(KeyProblem::new(format!(
                "`{label}` is neither a `PUBLIC KEY` nor a `CERTIFICATE`"
            )));
        }
    };
    let set = KeySet::single(material, &key, algorithms)?;
    Ok(Loaded { set, expires })
}

fn public_key(der: &[u8]) -> Result<(Material, DecodingKey), KeyProblem> {
    let (rest, info) = SubjectPublicKeyInfo::from_der(der).map_err(|_| unreadable())?;
    if !rest.is_empty() {
        return Err(unreadable());
    }
    let bits = info.subject_public_key.data.as_ref();
    if info.algorithm.algorithm == OID_SIG_ED25519 && bits.len() == 32 {
        return Ok((Material::Ed25519, DecodingKey::from_ed_der(bits)));
    }
    match info.parsed() {
        Ok(PublicKey::RSA(key)) => Ok((Material::Rsa, rsa_key(key.modulus, key.exponent)?)),
        Ok(PublicKey::EC(point)) => {
            let curve = info.algorithm.parameters.as_ref().and_then(|p| p.as_oid().ok());
            let material = match (curve, point.data().len()) {
                (Some(curve), 65) if curve == OID_EC_P256 => Material::P256,
                (Some(curve), 97) if curve == OID_NIST_EC_P384 => Material::P384,
                _ => return Err(KeyProblem::new("the curve is neither P-256 nor P-384")),
            };
            Ok((material, DecodingKey::from_ec_der(point.data())))
        }
        _ => Err(KeyProblem::new("the key is neither RSA, P-256, P-384 nor Ed25519")),
    }
}

fn unreadable() -> KeyProblem {
    KeyProblem::new("the public key is unreadable")
}
