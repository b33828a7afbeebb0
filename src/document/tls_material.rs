//! Reads CAs, a certificate with its key, and revocation lists from PEM. Pure: bytes in, values or
//! what is wrong with them out. Everything that uses TLS gets its values from here, so that what one
//! part accepts no other part rejects later.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use rustls::pki_types::pem::{PemObject, SectionKind};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::{CertifiedKey, Signer};
use rustls::{RootCertStore, SignatureAlgorithm, SignatureScheme};
use x509_parser::certificate::X509Certificate;

use super::pem::{PemFile, REPLACE, encode};
use super::problem::{Fault, ProblemCode};

/// CAs, at least one. Each is one that rustls takes as an anchor and that pingora can parse.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CaBundle(Arc<[CertificateDer<'static>]>);

/// A certificate, those that vouch for it, and its private key.
#[derive(Clone)]
pub struct TlsIdentity {
    certified: Arc<CertifiedKey>,
    key: Arc<PrivateKeyDer<'static>>,
}

/// Which of the two files of an [`TlsIdentity`] is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The one with the certificate.
    Certificate,
    /// The one with the private key.
    Key,
}

impl CaBundle {
    /// Reads all CAs of a file.
    pub fn parse(file: PemFile<'_>) -> Result<Self, Fault> {
        let certificates = certificates(file)?;
        let mut store = RootCertStore::empty();
        for (number, certificate) in &certificates {
            let added = store.add(certificate.clone());
            added.map_err(|error| {
                let what = format!("is not a usable CA: {error}");
                file.block(ProblemCode::InvalidCertificate, *number, &what, REPLACE)
            })?;
        }
        Ok(Self(
            certificates.into_iter().map(|(_, certificate)| certificate).collect(),
        ))
    }

    /// Makes what stands for the CAs of a file which is not read. Nothing is verified by it.
    pub fn stand_in(file: &str) -> Self {
        Self([CertificateDer::from(file.as_bytes().to_vec())].into())
    }

    /// Takes of the CAs of the system those that can be used.
    pub fn usable(certificates: impl IntoIterator<Item = CertificateDer<'static>>) -> Self {
        let can_vouch = |der: &CertificateDer<'static>| RootCertStore::empty().add(der.clone()).is_ok();
        let usable = certificates
            .into_iter()
            .filter(|der| parse(der).is_some() && can_vouch(der));
        Self(usable.collect())
    }

    /// The CAs as rustls wants them.
    pub fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(self.0.iter().cloned());
        roots
    }

    /// The CAs as PEM, without anything that stood between them.
    pub fn pem(&self) -> Vec<u8> {
        self.0.iter().flat_map(|der| encode("CERTIFICATE", der)).collect()
    }
}

impl Deref for CaBundle {
    type Target = [CertificateDer<'static>];

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl TlsIdentity {
    /// Reads a chain and the key of its first certificate, or says what is wrong with either.
    pub fn parse(chain: PemFile<'_>, key: PemFile<'_>) -> Result<Self, Vec<(Side, Fault)>> {
        let certificates = certificates(chain).map_err(|fault| (Side::Certificate, fault));
        let read = private_key(key).map_err(|fault| (Side::Key, fault));
        let (certificates, (signing, der)) = match (certificates, read) {
            (Ok(certificates), Ok(read)) => (certificates, read),
            (certificates, read) => return Err(certificates.err().into_iter().chain(read.err()).collect()),
        };
        let certificates = certificates.into_iter().map(|(_, certificate)| certificate).collect();
        let certified = CertifiedKey::new(certificates, signing);
        if certified.keys_match().is_err() {
            let message = format!(
                "the private key in `{}` does not belong to the certificate in `{}`",
                key.name, chain.name
            );
            let help = "name the key that the certificate was issued for; the first certificate of the file counts";
            return Err(vec![(
                Side::Key,
                Fault::new(ProblemCode::PrivateKeyMismatch, message, help),
            )]);
        }
        Ok(Self {
            certified: Arc::new(certified),
            key: Arc::new(der),
        })
    }

    /// Makes what stands for the identity in two files which are not read. It signs nothing.
    pub fn stand_in(certificate: &str, key: &str) -> Self {
        let chain = vec![CertificateDer::from(certificate.as_bytes().to_vec())];
        Self {
            certified: Arc::new(CertifiedKey::new(chain, Arc::new(Unread))),
            key: Arc::new(PrivatePkcs8KeyDer::from(key.as_bytes().to_vec()).into()),
        }
    }

    /// The certificate and its key as rustls wants them.
    pub fn certified(&self) -> &Arc<CertifiedKey> {
        &self.certified
    }

    /// The certificate, and those that vouch for it.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.certified.cert
    }

    /// The certificate itself.
    pub fn leaf(&self) -> Option<X509Certificate<'_>> {
        self.chain().first().and_then(|leaf| parse(leaf))
    }

    /// The private key. Never for a log.
    pub fn key(&self) -> &PrivateKeyDer<'static> {
        &self.key
    }

    /// The chain as PEM.
    pub fn chain_pem(&self) -> Vec<u8> {
        self.chain().iter().flat_map(|der| encode("CERTIFICATE", der)).collect()
    }

    /// The private key as PEM. Never for a log.
    pub fn key_pem(&self) -> Vec<u8> {
        let label = match &*self.key {
            PrivateKeyDer::Pkcs1(_) => "RSA PRIVATE KEY",
            PrivateKeyDer::Sec1(_) => "EC PRIVATE KEY",
            _ => "PRIVATE KEY",
        };
        encode(label, self.key.secret_der())
    }
}

/// A private key that is not there.
#[derive(Debug)]
struct Unread;

impl rustls::sign::SigningKey for Unread {
    fn choose_scheme(&self, _: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        None
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ED25519
    }
}

impl PartialEq for TlsIdentity {
    fn eq(&self, other: &Self) -> bool {
        self.chain() == other.chain() && self.key == other.key
    }
}

impl Eq for TlsIdentity {}

/// Without the key.
impl fmt::Debug for TlsIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsIdentity")
            .field("certificates", &self.chain().len())
            .finish_non_exhaustive()
    }
}

/// Reads all revocation lists of a file.
pub fn revocations(file: PemFile<'_>) -> Result<Vec<CertificateRevocationListDer<'static>>, Fault> {
    let mut lists = Vec::new();
    for block in file.blocks()? {
        let Some((SectionKind::Crl, der)) = block.content else {
            continue;
        };
        if !x509_parser::parse_x509_crl(&der).is_ok_and(|(rest, _)| rest.is_empty()) {
            return Err(file.block(
                ProblemCode::InvalidRevocationList,
                block.number,
                "is not a readable revocation list",
                REPLACE,
            ));
        }
        lists.push(CertificateRevocationListDer::from(der));
    }
    match lists.is_empty() {
        true => Err(file.fault(
            ProblemCode::InvalidRevocationList,
            "has no revocation list as PEM",
            "name a file with `-----BEGIN X509 CRL-----`",
        )),
        false => Ok(lists),
    }
}

/// Reads one certificate.
pub fn parse<'d>(der: &'d CertificateDer<'_>) -> Option<X509Certificate<'d>> {
    let parsed = x509_parser::parse_x509_certificate(der).ok();
    parsed
        .filter(|(rest, _)| rest.is_empty())
        .map(|(_, certificate)| certificate)
}

/// All certificates of a file with the numbers of their blocks; what is neither is left out, as the
/// key of a file that has both.
pub fn certificates(file: PemFile<'_>) -> Result<Vec<(usize, CertificateDer<'static>)>, Fault> {
    let mut found = Vec::new();
    for block in file.blocks()? {
        match block.content {
            Some((SectionKind::Certificate, der)) => {
                let der = CertificateDer::from(der);
                if parse(&der).is_none() {
                    let what = "is not a readable certificate";
                    return Err(file.block(ProblemCode::InvalidCertificate, block.number, what, REPLACE));
                }
                found.push((block.number, der));
            }
            None if block.label.contains("CERTIFICATE") => {
                let what = format!("is a `{}`, and only a `CERTIFICATE` counts", block.label);
                let help = "convert it with `openssl x509`, or take it out";
                return Err(file.block(ProblemCode::InvalidCertificate, block.number, &what, help));
            }
            _ => {}
        }
    }
    match found.is_empty() {
        true => Err(file.fault(
            ProblemCode::InvalidCertificate,
            "has no certificate as PEM",
            "name a file with `-----BEGIN CERTIFICATE-----`",
        )),
        false => Ok(found),
    }
}

/// A key that can sign, and its bytes.
type SigningKey = (Arc<dyn rustls::sign::SigningKey>, PrivateKeyDer<'static>);

fn private_key(file: PemFile<'_>) -> Result<SigningKey, Fault> {
    for block in file.blocks()? {
        let Some(key) = block.content.and_then(|(kind, der)| PrivateKeyDer::from_pem(kind, der)) else {
            if block.label == "ENCRYPTED PRIVATE KEY" {
                let help = "decrypt it with `openssl pkey`, and let Sidegate alone read the file";
                let what = "is a private key with a passphrase";
                return Err(file.block(ProblemCode::InvalidPrivateKey, block.number, what, help));
            }
            continue;
        };
        let signing = rustls::crypto::ring::sign::any_supported_type(&key).ok();
        // pingora has the bytes alone, and finds out from them what kind of key it is.
        let known = PrivateKeyDer::try_from(key.secret_der()).is_ok();
        return signing.filter(|_| known).map(|signing| (signing, key)).ok_or_else(|| {
            Fault::new(
                ProblemCode::InvalidPrivateKey,
                format!("the private key in `{}` has a type that is not supported", file.name),
                "take an RSA key of 2048 to 8192 bits, or one for P-256, P-384 or Ed25519",
            )
        });
    }
    Err(file.fault(
        ProblemCode::InvalidPrivateKey,
        "has no private key as PEM",
        "name a file with `-----BEGIN PRIVATE KEY-----`",
    ))
}

#[cfg(test)]
mod tests;
