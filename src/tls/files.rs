//! The files of a listener, read and checked: every problem at once, or all that is needed.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::CertifiedKey;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;

use super::names::ByName;
use crate::config::{KeyPairFiles, TlsFiles};

/// Everything that is wrong with the files of a listener.
#[derive(Debug)]
pub struct TlsProblems(Vec<String>);

impl TlsProblems {
    /// A single one.
    pub(super) fn one(problem: String) -> Self {
        Self(vec![problem])
    }

    /// Each of them, lowercase and with values in backticks.
    pub fn each(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Display for TlsProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("; "))
    }
}

impl std::error::Error for TlsProblems {}

/// What a listener needs for its handshakes.
pub(super) struct Material {
    pub(super) certificates: ByName,
    pub(super) verifier: Option<Arc<dyn ClientCertVerifier>>,
    /// When the first of the certificates expires, in seconds since the epoch.
    pub(super) expires: i64,
}

/// Reads and checks the files of a listener.
pub(super) fn read(files: &TlsFiles, now: i64) -> Result<Material, TlsProblems> {
    let mut reader = Reader {
        now,
        problems: Vec::new(),
    };
    let certificates = reader.certificates(files);
    let verifier = match &files.client_ca {
        Some(ca) => reader.verifier(ca, files.client_crl.as_deref()).map(Some),
        None => Some(None),
    };
    match (certificates, verifier) {
        (Some((certificates, expires)), Some(verifier)) if reader.problems.is_empty() => Ok(Material {
            certificates,
            verifier,
            expires,
        }),
        _ => Err(TlsProblems(reader.problems)),
    }
}

/// Reads on after a problem, to find the others.
struct Reader {
    now: i64,
    problems: Vec<String>,
}

/// A certificate with its key, its names, and its end.
struct Pair {
    certificate: Arc<CertifiedKey>,
    names: Vec<String>,
    expires: i64,
}

impl Reader {
    fn note<T>(&mut self, result: Result<T, String>) -> Option<T> {
        result.map_err(|problem| self.problems.push(problem)).ok()
    }

    /// All certificates, and when the first of them expires.
    fn certificates(&mut self, files: &TlsFiles) -> Option<(ByName, i64)> {
        let first = self.pair(&files.pair);
        let others: Vec<_> = files.others.iter().map(|files| (files, self.pair(files))).collect();
        let first = first?;
        let mut expires = first.expires;
        let mut by_name = ByName::new(Arc::clone(&first.certificate));
        for name in &first.names {
            by_name.add(name, &first.certificate);
        }
        for (files, pair) in others {
            let pair = pair?;
            expires = expires.min(pair.expires);
            let path = files.certificate.display();
            if pair.names.is_empty() {
                self.problems.push(format!(
                    "the certificate in `{path}` has no DNS name that a client could ask for"
                ));
            }
            for name in &pair.names {
                if !by_name.add(name, &pair.certificate) {
                    self.problems.push(format!(
                        "`{name}` of the certificate in `{path}` is the name of another one too"
                    ));
                }
            }
        }
        Some((by_name, expires))
    }

    fn pair(&mut self, files: &KeyPairFiles) -> Option<Pair> {
        let path = files.certificate.display();
        let chain = certificates(&files.certificate);
        let chain = self.note(chain);
        let key = private_key(&files.key);
        let key = self.note(key);
        let (chain, key) = (chain?, key?);
        let leaf = chain.first().and_then(|leaf| parse(leaf));
        let names = leaf.as_ref().map(dns_names).unwrap_or_default();
        let expires = leaf.map(|leaf| leaf.validity().not_after.timestamp());
        let expires = self.note(expires.ok_or_else(|| format!("the certificate in `{path}` is unreadable")))?;
        if expires < self.now {
            self.problems.push(format!("the certificate in `{path}` has expired"));
        }
        let certificate = CertifiedKey::new(chain, key);
        let matches = certificate.keys_match().map_err(|_| {
            let key = files.key.display();
            format!("the private key in `{key}` does not belong to the certificate in `{path}`")
        });
        self.note(matches)?;
        Some(Pair {
            certificate: Arc::new(certificate),
            names,
            expires,
        })
    }

    /// Asks for a certificate without insisting. One that does not verify ends the handshake; with
    /// revocation lists, so does one of a CA that none of the lists is for.
    fn verifier(&mut self, ca: &Path, crl: Option<&Path>) -> Option<Arc<dyn ClientCertVerifier>> {
        let roots = authorities(ca, self.now);
        let roots = self.note(roots);
        let lists = crl.map(revocations).transpose();
        let lists = self.note(lists);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots?), provider)
            .allow_unauthenticated()
            .with_crls(lists?.unwrap_or_default());
        let built = builder.build().map_err(|error| {
            let ca = ca.display();
            match crl {
                Some(crl) => format!(
                    "client certificates cannot be verified with `{ca}` and `{}`: {error}",
                    crl.display()
                ),
                None => format!("client certificates cannot be verified with `{ca}`: {error}"),
            }
        });
        self.note(built)
    }
}

fn read_file(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("`{}` cannot be read: {error}", path.display()))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let pem = read_file(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(format!("`{}` has no certificate as PEM", path.display())),
    }
}

fn private_key(path: &Path) -> Result<Arc<dyn rustls::sign::SigningKey>, String> {
    let shown = path.display();
    let key = PrivateKeyDer::from_pem_slice(&read_file(path)?);
    let key = key.map_err(|_| format!("`{shown}` has no private key as PEM"))?;
    rustls::crypto::ring::sign::any_supported_type(&key)
        .map_err(|_| format!("the private key in `{shown}` is of no supported type"))
}

/// The CAs in a file; at least one of them has not expired.
fn authorities(path: &Path, now: i64) -> Result<RootCertStore, String> {
    let shown = path.display();
    let mut roots = RootCertStore::empty();
    let mut alive = false;
    for certificate in certificates(path)? {
        alive |= parse(&certificate).is_some_and(|ca| ca.validity().not_after.timestamp() >= now);
        roots
            .add(certificate)
            .map_err(|error| format!("`{shown}` has an unusable CA: {error}"))?;
    }
    match alive {
        true => Ok(roots),
        false => Err(format!("every CA in `{shown}` has expired")),
    }
}

fn revocations(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, String> {
    let pem = read_file(path)?;
    let found: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(&pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(format!("`{}` has no revocation list as PEM", path.display())),
    }
}

fn parse<'d>(der: &'d CertificateDer<'_>) -> Option<X509Certificate<'d>> {
    x509_parser::parse_x509_certificate(der)
        .ok()
        .map(|(_, certificate)| certificate)
}

fn dns_names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let alternatives = certificate.subject_alternative_name().ok().flatten();
    let names = alternatives.iter().flat_map(|names| &names.value.general_names);
    let dns = names.filter_map(|name| match name {
        GeneralName::DNSName(dns) => Some((*dns).to_owned()),
        _ => None,
    });
    dns.collect()
}
