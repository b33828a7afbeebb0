//! The client certificate of a connection, verified in its handshake and again whenever the CAs or
//! the revocation lists are others.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use pingora::listeners::TlsAccept;
use pingora::protocols::tls::TlsRef;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use x509_parser::extensions::GeneralName;

use crate::credential::{ClientCertificate, Thumbprint};

/// The CAs and revocation lists that the clients of a listener are verified with now.
#[derive(Debug)]
pub(super) struct Authorities(ArcSwap<Vouching>);

#[derive(Debug)]
struct Vouching {
    /// Counts up with every change.
    generation: u64,
    verifier: Arc<dyn ClientCertVerifier>,
}

impl Authorities {
    pub(super) fn new(verifier: Arc<dyn ClientCertVerifier>) -> Arc<Self> {
        let vouching = Vouching {
            generation: 1,
            verifier,
        };
        Arc::new(Self(ArcSwap::from_pointee(vouching)))
    }

    pub(super) fn replace(&self, verifier: &Arc<dyn ClientCertVerifier>) {
        self.0.rcu(|before| Vouching {
            generation: before.generation + 1,
            verifier: Arc::clone(verifier),
        });
    }
}

/// A certificate that came with a connection.
pub struct PeerCertificate {
    chain: Vec<CertificateDer<'static>>,
    good: ClientCertificate,
    refused: ClientCertificate,
    authorities: Arc<Authorities>,
    /// The generation that verified it last, and in the lowest bit whether it was good.
    verified: AtomicU64,
}

impl fmt::Debug for PeerCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerCertificate")
            .field("good", &self.good)
            .field("verified", &self.verified)
            .finish_non_exhaustive()
    }
}

impl PeerCertificate {
    fn new(chain: &[CertificateDer<'_>], authorities: &Arc<Authorities>) -> Option<Self> {
        let leaf = chain.first()?;
        let good = client_certificate(leaf).unwrap_or_else(|| refused("the client certificate is unreadable"));
        Some(Self {
            chain: chain.iter().map(|der| der.clone().into_owned()).collect(),
            refused: refused("the client certificate is no longer good"),
            good,
            authorities: Arc::clone(authorities),
            verified: AtomicU64::new(0),
        })
    }

    /// What the certificate proves by the CAs and revocation lists that are in force now.
    pub fn certificate(&self) -> &ClientCertificate {
        let vouching = self.authorities.0.load();
        let verified = self.verified.load(Ordering::Acquire);
        let good = match verified >> 1 == vouching.generation {
            true => verified & 1 == 1,
            false => self.verify(&vouching),
        };
        if good { &self.good } else { &self.refused }
    }

    fn verify(&self, vouching: &Vouching) -> bool {
        let verified = self.chain.split_first().map(|(leaf, chain)| {
            let verifier = &vouching.verifier;
            verifier.verify_client_cert(leaf, chain, UnixTime::now())
        });
        if let Some(Err(error)) = &verified {
            tracing::warn!(%error, "the client certificate of a connection is no longer good");
        }
        let good = matches!(verified, Some(Ok(_)));
        self.verified
            .store(vouching.generation << 1 | u64::from(good), Ordering::Release);
        good
    }
}

fn refused(why: &'static str) -> ClientCertificate {
    ClientCertificate {
        refused: Some(why),
        ..ClientCertificate::default()
    }
}

/// Takes the names out of the client certificate once for a connection.
pub(super) struct Handshake {
    pub(super) authorities: Option<Arc<Authorities>>,
}

#[async_trait]
impl TlsAccept for Handshake {
    async fn handshake_complete_callback(&self, tls: &TlsRef) -> Option<Arc<dyn Any + Send + Sync>> {
        let certificate = PeerCertificate::new(tls.peer_cert_chain_der()?, self.authorities.as_ref()?)?;
        // A resumed session skips the verifier (RFC 8446, 2.2), so the certificate that it brings
        // along is verified here, again or for the first time.
        certificate.certificate();
        Some(Arc::new(certificate))
    }
}

/// Reads the names in a certificate, and computes its thumbprint.
pub fn client_certificate(der: &[u8]) -> Option<ClientCertificate> {
    let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
    let mut names = ClientCertificate {
        thumbprint: Some(Thumbprint::of(der)),
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

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    use rustls::RootCertStore;
    use rustls::server::WebPkiClientVerifier;

    use super::*;

    fn authority() -> CertifiedIssuer<'static, KeyPair> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    }

    fn vouches(authority: &CertifiedIssuer<'_, KeyPair>) -> Arc<dyn ClientCertVerifier> {
        let mut roots = RootCertStore::empty();
        roots.add(authority.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        builder.build().unwrap()
    }

    /// What a resumed session brings along has been through no verifier.
    #[test]
    fn certificate_whose_ca_is_withdrawn_proves_nothing() {
        let (ours, theirs) = (authority(), authority());
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(vec!["job.internal".to_owned()]).unwrap();
        let leaf = leaf.signed_by(&key, &ours).unwrap();
        let authorities = Authorities::new(vouches(&ours));
        let peer = PeerCertificate::new(&[leaf.der().clone()], &authorities).unwrap();
        let proves = || peer.certificate().refused.is_none() && peer.certificate().dns == ["job.internal"];
        assert!(proves() && proves());
        authorities.replace(&vouches(&theirs));
        assert!(!proves() && !proves());
        authorities.replace(&vouches(&ours));
        assert!(proves());
        let late = PeerCertificate::new(&[leaf.der().clone()], &Authorities::new(vouches(&theirs))).unwrap();
        assert!(late.certificate().refused.is_some());
    }
}
