//! The certificate that Sidegate shows to a service, and its key. Pure: bytes in, no files.

use std::fmt;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

/// A certificate with what vouches for it, and its private key, all as DER.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientIdentity {
    chain: Vec<Vec<u8>>,
    key: Vec<u8>,
}

/// Without the key.
impl fmt::Debug for ClientIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientIdentity")
            .field("certificates", &self.chain.len())
            .finish_non_exhaustive()
    }
}

/// Why two files are no identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdentityProblem {
    /// The one has no certificate that can be read.
    NoCertificate,
    /// The other has no private key that can be used.
    NoKey,
    /// The key belongs to another certificate.
    Mismatch,
}

impl ClientIdentity {
    /// Reads a certificate chain and a private key, both PEM.
    pub fn parse(chain: &[u8], key: &[u8]) -> Result<Self, IdentityProblem> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain).collect();
        let chain = chain.map_err(|_| IdentityProblem::NoCertificate)?;
        let readable = |der: &CertificateDer<'_>| x509_parser::parse_x509_certificate(der).is_ok();
        if chain.is_empty() || !chain.iter().all(readable) {
            return Err(IdentityProblem::NoCertificate);
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| IdentityProblem::NoKey)?;
        let signing = rustls::crypto::ring::sign::any_supported_type(&key).map_err(|_| IdentityProblem::NoKey)?;
        // The engine has the bytes alone, and tells from them what kind of key it is.
        PrivateKeyDer::try_from(key.secret_der()).map_err(|_| IdentityProblem::NoKey)?;
        let certified = CertifiedKey::new(chain, signing);
        certified.keys_match().map_err(|_| IdentityProblem::Mismatch)?;
        Ok(Self {
            chain: certified.cert.iter().map(|der| der.to_vec()).collect(),
            key: key.secret_der().to_vec(),
        })
    }

    /// The certificate, and those that vouch for it.
    pub fn chain(&self) -> &[Vec<u8>] {
        &self.chain
    }

    /// The private key. Never for a log.
    pub fn key(&self) -> &[u8] {
        &self.key
    }
}
