//! TLS listeners: their certificate, and client certificates that are asked for while the route
//! decides whether one is needed.

use std::any::Any;
use std::fmt;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use pingora::listeners::TlsAccept;
use pingora::listeners::tls::TlsSettings;
use pingora::protocols::ALPN;
use pingora::protocols::tls::TlsRef;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use x509_parser::extensions::GeneralName;

use crate::config::TlsFiles;
use crate::credential::ClientCertificate;

/// Why a TLS listener cannot start.
#[derive(Debug)]
pub struct TlsError(String);

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TlsError {}

/// A TLS listener that is ready to be opened.
pub struct TlsListener {
    /// For the engine.
    pub settings: TlsSettings,
    /// When the listener's certificate expires, in seconds since the epoch.
    pub expires: i64,
}

impl fmt::Debug for TlsListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsListener")
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

/// Reads the files of a TLS listener.
pub fn listener(files: &TlsFiles) -> Result<TlsListener, TlsError> {
    let certificate = certified_key(files)?;
    let expires = certificate
        .cert
        .first()
        .and_then(|der| not_after(der))
        .unwrap_or_default();
    let verifier = files
        .client_ca
        .as_deref()
        .map(|ca| client_verifier(ca, files.client_crl.as_deref()))
        .transpose()?;
    let handshake = Handshake {
        verifier: verifier.clone(),
    };
    let mut settings = TlsSettings::with_callbacks(Box::new(handshake))
        .map_err(|error| TlsError(format!("TLS cannot be set up: {error}")))?;
    settings.set_cert_resolver(Arc::new(OneCertificate(Arc::new(certificate))));
    if let Some(verifier) = verifier {
        settings.set_client_cert_verifier(verifier);
    }
    settings.set_alpn(ALPN::H2H1);
    Ok(TlsListener { settings, expires })
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|error| TlsError(format!("`{}` cannot be read: {error}", path.display())))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(TlsError(format!("`{}` has no certificate as PEM", path.display()))),
    }
}

fn certified_key(files: &TlsFiles) -> Result<CertifiedKey, TlsError> {
    let chain = certificates(&files.certificate)?;
    let path = files.key.display();
    let key = PrivateKeyDer::from_pem_slice(&read(&files.key)?)
        .map_err(|_| TlsError(format!("`{path}` has no private key as PEM")))?;
    let key = rustls::crypto::ring::sign::any_supported_type(&key)
        .map_err(|_| TlsError(format!("the private key in `{path}` is of no supported type")))?;
    let certified = CertifiedKey::new(chain, key);
    certified.keys_match().map_err(|_| {
        let certificate = files.certificate.display();
        TlsError(format!(
            "the private key in `{path}` does not belong to the certificate in `{certificate}`"
        ))
    })?;
    Ok(certified)
}

/// Asks for a certificate without insisting. One that does not verify ends the handshake; with
/// revocation lists, so does one of a CA that none of the lists is for.
fn client_verifier(ca: &Path, crl: Option<&Path>) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(ca)? {
        roots
            .add(certificate)
            .map_err(|error| TlsError(format!("`{}` has an unusable CA: {error}", ca.display())))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).allow_unauthenticated();
    if let Some(path) = crl {
        builder = builder.with_crls(revocations(path)?);
    }
    builder.build().map_err(|error| {
        TlsError(format!(
            "client certificates cannot be verified with `{}`: {error}",
            ca.display()
        ))
    })
}

fn revocations(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
    let pem = read(path)?;
    let found: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(&pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(TlsError(format!("`{}` has no revocation list as PEM", path.display()))),
    }
}

/// One certificate for every name.
#[derive(Debug)]
struct OneCertificate(Arc<CertifiedKey>);

impl ResolvesServerCert for OneCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

/// Takes the names out of the client certificate once for a connection.
struct Handshake {
    verifier: Option<Arc<dyn ClientCertVerifier>>,
}

#[async_trait]
impl TlsAccept for Handshake {
    async fn handshake_complete_callback(&self, tls: &TlsRef) -> Option<Arc<dyn Any + Send + Sync>> {
        let (leaf, chain) = tls.peer_cert_chain_der()?.split_first()?;
        // A resumed session skips the verifier (RFC 8446, 2.2), so the certificate that it brings
        // along is verified here, again or for the first time.
        let verified = self.verifier.as_ref()?.verify_client_cert(leaf, chain, UnixTime::now());
        let refused = |why| ClientCertificate {
            refused: Some(why),
            ..ClientCertificate::default()
        };
        let certificate = match verified {
            Ok(_) => client_certificate(leaf).unwrap_or_else(|| refused("the client certificate is unreadable")),
            Err(error) => {
                tracing::warn!(%error, "the client certificate of a resumed session is no longer good");
                refused("the client certificate is no longer good")
            }
        };
        Some(Arc::new(certificate))
    }
}

/// The names in a certificate.
pub fn client_certificate(der: &[u8]) -> Option<ClientCertificate> {
    let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
    let mut names = ClientCertificate {
        not_after: certificate.validity().not_after.timestamp(),
        ..ClientCertificate::default()
    };
    if let Some(alternatives) = certificate.subject_alternative_name().ok()? {
        for name in &alternatives.value.general_names {
            match name {
                GeneralName::URI(uri) => names.uris.push((*uri).to_owned()),
                GeneralName::DNSName(dns) => names.dns.push((*dns).to_owned()),
                _ => {}
            }
        }
    }
    let common_names = certificate.subject().iter_common_name();
    names
        .common_names
        .extend(common_names.filter_map(|cn| cn.as_str().ok()).map(ToOwned::to_owned));
    Some(names)
}

fn not_after(der: &[u8]) -> Option<i64> {
    let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
    Some(certificate.validity().not_after.timestamp())
}
