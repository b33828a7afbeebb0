//! Reads PEM: certificates of CAs, a certificate with its key, revocation lists. Pure: bytes in,
//! values or what is wrong with them out. Everything that uses TLS gets its values from here, so
//! that what one part takes no other part refuses later.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use memchr::memmem;
use rustls::RootCertStore;
use rustls::pki_types::pem::{PemObject, SectionKind};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::certificate::X509Certificate;

/// A file with PEM in it, and the name that messages have for it.
#[derive(Debug, Clone, Copy)]
pub struct PemFile<'f> {
    /// The name that the user gave.
    pub name: &'f str,
    /// What is in it.
    pub bytes: &'f [u8],
}

/// What is wrong with a file, and what would fix it. Never quotes what is in a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What is wrong.
    pub message: String,
    /// What would fix it.
    pub help: &'static str,
}

/// CAs, at least one. Each is one that rustls takes as an anchor and that the engine can parse.
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

/// A block that was begun in a file, and read to its end.
struct Block {
    number: usize,
    label: String,
    /// Its kind and content; `None` where TLS has no use for its label.
    content: Option<(SectionKind, Vec<u8>)>,
}

impl CaBundle {
    /// Reads all CAs of a file.
    pub fn parse(file: PemFile<'_>) -> Result<Self, Fault> {
        let certificates = certificates(file)?;
        let mut store = RootCertStore::empty();
        for (number, certificate) in &certificates {
            let added = store.add(certificate.clone());
            added.map_err(|error| file.block(*number, &format!("is not a usable CA: {error}"), REPLACE))?;
        }
        Ok(Self(
            certificates.into_iter().map(|(_, certificate)| certificate).collect(),
        ))
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
        self.0.iter().flat_map(|der| block("CERTIFICATE", der)).collect()
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
            return Err(vec![(Side::Key, Fault { message, help })]);
        }
        Ok(Self {
            certified: Arc::new(certified),
            key: Arc::new(der),
        })
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
        self.chain().iter().flat_map(|der| block("CERTIFICATE", der)).collect()
    }

    /// The private key as PEM. Never for a log.
    pub fn key_pem(&self) -> Vec<u8> {
        let label = match &*self.key {
            PrivateKeyDer::Pkcs1(_) => "RSA PRIVATE KEY",
            PrivateKeyDer::Sec1(_) => "EC PRIVATE KEY",
            _ => "PRIVATE KEY",
        };
        block(label, self.key.secret_der())
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
            return Err(file.block(block.number, "is not a readable revocation list", REPLACE));
        }
        lists.push(CertificateRevocationListDer::from(der));
    }
    match lists.is_empty() {
        true => Err(file.fault(
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
                    return Err(file.block(block.number, "is not a readable certificate", REPLACE));
                }
                found.push((block.number, der));
            }
            None if block.label.contains("CERTIFICATE") => {
                let what = format!("is a `{}`, and only a `CERTIFICATE` counts", block.label);
                return Err(file.block(block.number, &what, "convert it with `openssl x509`, or take it out"));
            }
            _ => {}
        }
    }
    match found.is_empty() {
        true => Err(file.fault(
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
                return Err(file.block(block.number, "is a private key with a passphrase", help));
            }
            continue;
        };
        let signing = rustls::crypto::ring::sign::any_supported_type(&key).ok();
        // The engine has the bytes alone, and tells from them what kind of key it is.
        let known = PrivateKeyDer::try_from(key.secret_der()).is_ok();
        return signing
            .filter(|_| known)
            .map(|signing| (signing, key))
            .ok_or_else(|| Fault {
                message: format!("the private key in `{}` is of no supported type", file.name),
                help: "take an RSA key of 2048 to 8192 bits, or one for P-256, P-384 or Ed25519",
            });
    }
    Err(file.fault(
        "has no private key as PEM",
        "name a file with `-----BEGIN PRIVATE KEY-----`",
    ))
}

/// What mends most broken blocks.
const REPLACE: &str = "write the file again, or take the block out";

impl PemFile<'_> {
    fn fault(&self, what: &str, help: &'static str) -> Fault {
        Fault {
            message: format!("the file `{}` {what}", self.name),
            help,
        }
    }

    fn block(&self, number: usize, what: &str, help: &'static str) -> Fault {
        Fault {
            message: format!("block {number} of the file `{}` {what}", self.name),
            help,
        }
    }

    /// All blocks that are begun. One that is not read to its end is a fault: what it holds would
    /// be left out without a word.
    fn blocks(&self) -> Result<Vec<Block>, Fault> {
        const BEGIN: &[u8] = b"-----BEGIN ";
        let starts: Vec<usize> = memmem::find_iter(self.bytes, BEGIN).collect();
        let ends = starts.iter().skip(1).copied().chain([self.bytes.len()]);
        let spans = starts.iter().copied().zip(ends).enumerate();
        let blocks: Result<Vec<Block>, Fault> = spans
            .map(|(at, (start, end))| {
                let number = at + 1;
                let text = self.bytes.get(start..end).unwrap_or_default();
                let own_line = start == 0 || self.bytes.get(start - 1).is_some_and(|b| matches!(b, b'\n' | b'\r'));
                if !own_line {
                    let help = "begin each block at the start of a line: was a line end or an indentation lost?";
                    return Err(self.block(number, "does not begin on a line of its own", help));
                }
                let label = label(text.get(BEGIN.len()..).unwrap_or_default());
                let broken = || self.block(number, "is cut off, or is not base64", REPLACE);
                let content = match <(SectionKind, Vec<u8>)>::from_pem_slice(text) {
                    Ok(content) => Some(content),
                    Err(rustls::pki_types::pem::Error::NoItemsFound) => None,
                    Err(_) => return Err(broken()),
                };
                let label = label.ok_or_else(broken)?;
                Ok(Block { number, label, content })
            })
            .collect();
        let blocks = blocks?;
        self.only_blocks()?;
        Ok(blocks)
    }

    /// Checks that nothing between blocks looks like a part of one: a damaged line would drop a block.
    fn only_blocks(&self) -> Result<(), Fault> {
        let mut inside = false;
        for (at, line) in self.bytes.split(|byte| matches!(byte, b'\n' | b'\r')).enumerate() {
            let begins = line.starts_with(b"-----BEGIN ");
            let ends = line.starts_with(b"-----END ");
            if begins || (inside && ends) {
                inside = begins;
            } else if !inside && is_part_of_block(line) {
                let what = format!("has a part of a block on line {} that belongs to none", at + 1);
                return Err(self.fault(&what, REPLACE));
            }
        }
        Ok(())
    }
}

/// Whether a line looks like a part of a block: a boundary, or base64 of the usual length.
fn is_part_of_block(line: &[u8]) -> bool {
    const USUAL: usize = 48;
    let base64 = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
    let line = line.trim_ascii();
    let names = |word| memmem::find(&line.to_ascii_uppercase(), word).is_some();
    let boundary = memmem::find(line, b"--").is_some() && (names(b"BEGIN") || names(b"END"));
    boundary || (line.len() >= USUAL && line.iter().all(base64))
}

fn label(text: &[u8]) -> Option<String> {
    let end = memmem::find(text, b"-----")?;
    let label = std::str::from_utf8(text.get(..end)?).ok()?;
    let plain = label.len() <= 64 && label.chars().all(|c| c.is_ascii_alphanumeric() || c == ' ');
    plain.then(|| label.to_owned())
}

fn block(label: &str, der: &[u8]) -> Vec<u8> {
    let mut text = format!("-----BEGIN {label}-----\n").into_bytes();
    for line in STANDARD.encode(der).as_bytes().chunks(64) {
        text.extend_from_slice(line);
        text.push(b'\n');
    }
    text.extend(format!("-----END {label}-----\n").bytes());
    text
}

#[cfg(test)]
mod tests;
