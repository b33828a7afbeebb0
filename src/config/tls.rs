//! The files of a TLS listener: where they are. What is in them is read in `tls.rs`.

use std::path::{Path, PathBuf};

use super::document::TlsDocument;
use crate::policy::decode::List;
use crate::policy::problem::Problems;

/// The files of a TLS listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate for clients that ask for no name, or for one that no certificate has.
    pub pair: KeyPairFiles,
    /// Further certificates, each for its own names.
    pub others: Vec<KeyPairFiles>,
    /// The CAs of client certificates.
    pub client_ca: Option<PathBuf>,
    /// Revoked client certificates.
    pub client_crl: Option<PathBuf>,
}

/// A certificate and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPairFiles {
    /// The certificate chain.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl TlsFiles {
    /// Every file, each of which may change.
    pub fn paths(&self) -> Vec<PathBuf> {
        let pairs = std::iter::once(&self.pair).chain(&self.others);
        let pairs = pairs.flat_map(|pair| [&pair.certificate, &pair.key]);
        pairs.chain(&self.client_ca).chain(&self.client_crl).cloned().collect()
    }
}

/// Places the files of a listener below the folder of the configuration.
pub(super) fn check(document: TlsDocument, base: &Path, problems: &mut Problems) -> TlsFiles {
    if let Some(crl) = document.client_crl.as_ref().filter(|_| document.client_ca.is_none()) {
        problems.add(&crl.span, "`client_crl` needs `client_ca`");
    }
    let pair = |certificate: String, key: String| KeyPairFiles {
        certificate: base.join(certificate),
        key: base.join(key),
    };
    let others = document.certificates.map(|List(others)| others).unwrap_or_default();
    TlsFiles {
        pair: pair(document.certificate, document.key),
        others: others
            .into_iter()
            .map(|other| pair(other.certificate, other.key))
            .collect(),
        client_ca: document.client_ca.map(|file| base.join(file)),
        client_crl: document.client_crl.map(|file| base.join(file.value)),
    }
}
