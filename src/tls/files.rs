//! The files of a listener, read and checked: every problem at once, or all that is needed.

use std::fmt;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::CertificateRevocationListDer;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::CertifiedKey;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;

use super::ends;
use super::names::ByName;
use crate::config::{KeyPairFiles, NamedFile, TlsFiles};
use crate::document::environment::fix;
use crate::document::pem::PemFile;
use crate::document::problem::{Fault, Problem, ProblemCode};
use crate::document::tls_material::{CaBundle, Side, TlsIdentity, certificates, parse, revocations};
use crate::read_file::{MAX_PEM_BYTES, read_file};
use crate::telemetry::metrics::CertificateEnds;

/// Everything that is wrong with the files of a listener.
#[derive(Debug)]
pub struct TlsProblems(pub(super) Vec<Problem>);

impl TlsProblems {
    /// TLS itself that cannot be set up with files that are fine.
    pub(super) fn of(files: &TlsFiles, error: &dyn fmt::Display) -> Self {
        let location = files.pair.certificate.location.clone();
        let message = format!("TLS cannot be set up: {error}");
        let help = "check the certificates, CAs and revocation lists of this listener";
        Self(vec![Problem::new(
            location,
            &Fault::new(ProblemCode::TlsSetup, message, help),
        )])
    }

    /// Each of them.
    pub fn each(&self) -> &[Problem] {
        &self.0
    }
}

impl fmt::Display for TlsProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let each: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&each.join("; "))
    }
}

impl std::error::Error for TlsProblems {}

/// What a listener needs for its handshakes.
pub(super) struct Material {
    pub(super) certificates: ByName,
    pub(super) verifier: Option<Arc<dyn ClientCertVerifier>>,
    /// When all of it comes to its end.
    pub(super) ends: CertificateEnds,
}

/// Reads and checks the files of a listener.
pub(super) fn read(files: &TlsFiles, now: i64) -> Result<Material, TlsProblems> {
    let mut reader = Reader {
        now,
        problems: Vec::new(),
    };
    let certificates = reader.certificates(files);
    let clients = match &files.client_ca {
        Some(ca) => reader.clients(ca, files.client_crl.as_ref()).map(Some),
        None => Some(None),
    };
    match (certificates, clients) {
        (Some((certificates, certificate)), Some(clients)) if reader.problems.is_empty() => Ok(Material {
            certificates,
            ends: CertificateEnds {
                certificate,
                client_ca: clients.as_ref().and_then(|clients| clients.authorities_end),
                client_crl: clients.as_ref().and_then(|clients| clients.lists_end),
            },
            verifier: clients.map(|clients| clients.verifier),
        }),
        _ => Err(TlsProblems(reader.problems)),
    }
}

/// Reads on after a problem, to find the others.
struct Reader {
    now: i64,
    problems: Vec<Problem>,
}

/// The CAs of clients, and until when they are valid.
struct Clients {
    verifier: Arc<dyn ClientCertVerifier>,
    authorities_end: Option<i64>,
    lists_end: Option<i64>,
}

/// A certificate with its key, its names, and its end.
struct Pair {
    certificate: Arc<CertifiedKey>,
    names: Vec<String>,
    expires: i64,
}

impl Reader {
    fn add(&mut self, file: &NamedFile, code: ProblemCode, message: String, help: &str) {
        self.note(file, &Fault::new(code, message, help));
    }

    fn note(&mut self, file: &NamedFile, fault: &Fault) {
        self.problems.push(Problem::new(file.location.clone(), fault));
    }

    fn file(&mut self, file: &NamedFile) -> Option<Vec<u8>> {
        let read = read_file(&file.path, MAX_PEM_BYTES);
        read.map_err(|error| {
            let message = format!("the file `{}` cannot be read: {error}", file.path.display());
            let help = fix(&error).unwrap_or("let the user that `sidegate` runs as read it, or name another file");
            self.add(file, ProblemCode::NamedFileUnreadable, message, help);
        })
        .ok()
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
            let path = files.certificate.path.display();
            if pair.names.is_empty() {
                let message = format!("the certificate in `{path}` has no DNS name that a client could ask for");
                let help = "issue it with a DNS name, or name it as `tls.certificate`";
                self.add(&files.certificate, ProblemCode::InvalidCertificate, message, help);
            }
            for name in &pair.names {
                if !by_name.add(name, &pair.certificate) {
                    let message = format!("`{name}` of the certificate in `{path}` is the name of another one too");
                    let help = "remove one of the certificates, or issue it for another name";
                    self.add(&files.certificate, ProblemCode::DuplicateItem, message, help);
                }
            }
        }
        Some((by_name, expires))
    }

    fn pair(&mut self, files: &KeyPairFiles) -> Option<Pair> {
        let (chain, key) = (self.file(&files.certificate), self.file(&files.key));
        if let Some(chain) = &chain {
            self.expired(files, chain);
        }
        let (chain, key) = (chain?, key?);
        let [chain_name, key_name] = [&files.certificate, &files.key].map(|file| file.path.display().to_string());
        let chain = PemFile {
            name: &chain_name,
            bytes: &chain,
        };
        let key = PemFile {
            name: &key_name,
            bytes: &key,
        };
        let identity = match TlsIdentity::parse(chain, key) {
            Ok(identity) => identity,
            Err(faults) => {
                for (side, fault) in faults {
                    let file = match side {
                        Side::Certificate => &files.certificate,
                        Side::Key => &files.key,
                    };
                    self.note(file, &fault);
                }
                return None;
            }
        };
        let leaf = identity.leaf()?;
        Some(Pair {
            names: dns_names(&leaf),
            expires: leaf.validity().not_after.timestamp(),
            certificate: Arc::clone(identity.certified()),
        })
    }

    fn expired(&mut self, files: &KeyPairFiles, chain: &[u8]) {
        let name = files.certificate.path.display().to_string();
        let found = certificates(PemFile {
            name: &name,
            bytes: chain,
        });
        let found = found.unwrap_or_default();
        let leaf = found.first().and_then(|(_, leaf)| parse(leaf));
        if leaf.is_some_and(|leaf| leaf.validity().not_after.timestamp() < self.now) {
            let message = format!("the certificate in `{name}` has expired");
            let help = "issue a new certificate, and replace the file";
            self.add(&files.certificate, ProblemCode::CertificateExpired, message, help);
        }
    }

    /// Asks for a certificate without insisting. One that does not verify ends the handshake; with
    /// revocation lists, so does one of a CA that none of the lists is for.
    fn clients(&mut self, ca: &NamedFile, crl: Option<&NamedFile>) -> Option<Clients> {
        let roots = self.authorities(ca);
        let lists = match crl {
            Some(crl) => self.lists(crl),
            None => Some(Vec::new()),
        };
        let ((roots, authorities_end), lists) = (roots?, lists?);
        let lists_end = ends::of_lists(&lists);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            .allow_unauthenticated()
            .with_crls(lists);
        let built = builder.build().map_err(|error| {
            let file = crl.unwrap_or(ca);
            let path = file.path.display();
            let message = format!("client certificates cannot be verified with `{path}`: {error}");
            let help = "check that `client_ca` and `client_crl` belong together";
            self.add(file, ProblemCode::TlsSetup, message, help);
        });
        Some(Clients {
            verifier: built.ok()?,
            authorities_end,
            lists_end,
        })
    }

    /// The CAs in a file, and when the first of them expires that has not; at least one has not.
    fn authorities(&mut self, file: &NamedFile) -> Option<(RootCertStore, Option<i64>)> {
        let bytes = self.file(file)?;
        let name = file.path.display().to_string();
        let bundle = CaBundle::parse(PemFile {
            name: &name,
            bytes: &bytes,
        });
        let bundle = bundle.map_err(|fault| self.note(file, &fault)).ok()?;
        let end = ends::of_authorities(bundle.iter(), self.now);
        if end.is_none() {
            let message = format!("every CA in `{name}` has expired");
            let help = "name a file with a CA that is valid";
            self.add(file, ProblemCode::CertificateExpired, message, help);
            return None;
        }
        Some((bundle.roots(), end))
    }

    fn lists(&mut self, file: &NamedFile) -> Option<Vec<CertificateRevocationListDer<'static>>> {
        let bytes = self.file(file)?;
        let name = file.path.display().to_string();
        let lists = revocations(PemFile {
            name: &name,
            bytes: &bytes,
        });
        lists.map_err(|fault| self.note(file, &fault)).ok()
    }
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
