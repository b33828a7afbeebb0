//! The files of a TLS listener: where they are. What is in them is read in `tls.rs`.

use std::path::{Path, PathBuf};

use super::document::TlsDocument;
use crate::document::collections::List;
use crate::document::decode::Spanned;
use crate::document::problem::{Location, ProblemCode, Problems};

/// The files of a TLS listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate for clients that ask for no name, or for one that no certificate has.
    pub pair: KeyPairFiles,
    /// Further certificates, each for its own names.
    pub others: Vec<KeyPairFiles>,
    /// The CAs of client certificates.
    pub client_ca: Option<NamedFile>,
    /// Revoked client certificates.
    pub client_crl: Option<NamedFile>,
}

/// A certificate and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPairFiles {
    /// The certificate chain.
    pub certificate: NamedFile,
    /// Its private key.
    pub key: NamedFile,
}

/// A file, and where it is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedFile {
    /// Where it is.
    pub path: PathBuf,
    /// The value that names it.
    pub location: Location,
}

impl NamedFile {
    /// A file that no document names.
    pub fn at(path: PathBuf) -> Self {
        let location = Location::of_file(&path);
        Self { path, location }
    }
}

impl TlsFiles {
    /// Every file, each of which may change.
    pub fn paths(&self) -> Vec<PathBuf> {
        let pairs = std::iter::once(&self.pair).chain(&self.others);
        let pairs = pairs.flat_map(|pair| [&pair.certificate, &pair.key]);
        let files = pairs.chain(&self.client_ca).chain(&self.client_crl);
        files.map(|file| file.path.clone()).collect()
    }
}

/// Places the files of a listener below the folder of the configuration.
pub(super) fn check(document: TlsDocument, base: &Path, problems: &mut Problems) -> TlsFiles {
    if let Some(crl) = document.client_crl.as_ref().filter(|_| document.client_ca.is_none()) {
        let help = "add `client_ca: PATH`, or leave `client_crl` out";
        problems.add(
            &crl.span,
            ProblemCode::FieldNeedsOther,
            "`client_crl` needs `client_ca`",
            help,
        );
    }
    let file = |named: Spanned<String>| NamedFile {
        path: base.join(named.value),
        location: Location::new(problems.source(), &named.span),
    };
    let pair = |certificate, key| KeyPairFiles {
        certificate: file(certificate),
        key: file(key),
    };
    let others = document.certificates.map(|List(others)| others).unwrap_or_default();
    TlsFiles {
        pair: pair(document.certificate, document.key),
        others: others
            .into_iter()
            .map(|other| pair(other.certificate, other.key))
            .collect(),
        client_ca: document.client_ca.map(file),
        client_crl: document.client_crl.map(file),
    }
}
