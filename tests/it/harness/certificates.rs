//! Certificates of every kind that a handshake can meet, made once in the life of the process.

use std::sync::{Arc, OnceLock};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevocationReason, RevokedCertParams, SanType,
    SerialNumber, date_time_ymd,
};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};

/// The identity that the policies allow.
pub(crate) const SCHEDULER: &str = "spiffe://eventzr/ns/core/sa/scheduler";

/// One certificate and its key, as PEM.
pub(crate) struct Identity {
    pub(crate) chain: String,
    pub(crate) key: String,
}

pub(crate) struct Pki {
    pub(crate) ca: String,
    /// Revokes only the certificate `revoked`.
    pub(crate) crl: String,
    pub(crate) server: Identity,
    pub(crate) scheduler: Identity,
    /// Allowed by its DNS name.
    pub(crate) by_dns: Identity,
    /// Of the same CA, and named nowhere.
    pub(crate) stranger: Identity,
    /// Has the scheduler's name as a DNS name and as its common name, and the wrong URI.
    pub(crate) pretender: Identity,
    pub(crate) expired: Identity,
    pub(crate) revoked: Identity,
    /// Of another CA, with the scheduler's name.
    pub(crate) rogue: Identity,
}

pub(crate) fn pki() -> &'static Pki {
    static PKI: OnceLock<Pki> = OnceLock::new();
    PKI.get_or_init(make)
}

fn make() -> Pki {
    let (ca, rogue_ca) = (authority("Test CA"), authority("Rogue CA"));
    let mut server = dns("localhost");
    server.push(SanType::IpAddress([127, 0, 0, 1].into()));
    let mut pretender = uri("spiffe://eventzr/ns/core/sa/scheduler/../stranger");
    pretender.extend(dns("scheduler.eventzr"));
    Pki {
        ca: ca.pem(),
        crl: revocations(&ca, &[REVOKED]),
        server: leaf(&ca, 1, server, |_| {}),
        scheduler: leaf(&ca, 2, uri(SCHEDULER), |_| {}),
        by_dns: leaf(&ca, 3, dns("jobs.internal"), |_| {}),
        stranger: leaf(&ca, 4, uri("spiffe://eventzr/ns/core/sa/stranger"), |_| {}),
        pretender: leaf(&ca, 5, pretender, |params| {
            params.distinguished_name.push(DnType::CommonName, SCHEDULER);
        }),
        expired: leaf(&ca, 6, uri(SCHEDULER), |params| {
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(2021, 1, 1);
        }),
        revoked: leaf(&ca, REVOKED, uri(SCHEDULER), |_| {}),
        rogue: leaf(&rogue_ca, 8, uri(SCHEDULER), |_| {}),
    }
}

const REVOKED: u64 = 7;

pub(crate) type Authority = CertifiedIssuer<'static, KeyPair>;

/// A CA of its own.
pub(crate) fn authority(name: &str) -> Authority {
    CertifiedIssuer::self_signed(authority_params(name), KeyPair::generate().unwrap()).unwrap()
}

/// A CA of its own that ends when a year begins.
pub(crate) fn authority_until(name: &str, year: i32) -> Authority {
    let mut params = authority_params(name);
    params.not_after = date_time_ymd(year, 1, 1);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A CA that another one signed.
pub(crate) fn intermediate(above: &Authority, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Authority {
    let mut params = authority_params(name);
    change(&mut params);
    CertifiedIssuer::signed_by(params, KeyPair::generate().unwrap(), above).unwrap()
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

pub(crate) fn uri(name: &str) -> Vec<SanType> {
    vec![SanType::URI(name.try_into().unwrap())]
}

pub(crate) fn dns(name: &str) -> Vec<SanType> {
    vec![SanType::DnsName(name.try_into().unwrap())]
}

/// A certificate for both sides of a connection.
pub(crate) fn leaf(
    authority: &Authority,
    serial: u64,
    names: Vec<SanType>,
    change: impl FnOnce(&mut CertificateParams),
) -> Identity {
    leaf_for(&KeyPair::generate().unwrap(), authority, serial, names, change)
}

/// Another certificate for the key of one.
pub(crate) fn renewed(identity: &Identity, authority: &Authority, serial: u64, names: Vec<SanType>) -> Identity {
    leaf_for(
        &KeyPair::from_pem(&identity.key).unwrap(),
        authority,
        serial,
        names,
        |_| {},
    )
}

fn leaf_for(
    key: &KeyPair,
    authority: &Authority,
    serial: u64,
    names: Vec<SanType>,
    change: impl FnOnce(&mut CertificateParams),
) -> Identity {
    let mut params = CertificateParams::default();
    params.serial_number = Some(SerialNumber::from(serial));
    params.subject_alt_names = names;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
    change(&mut params);
    let certificate: Certificate = params.signed_by(key, authority).unwrap();
    Identity {
        chain: certificate.pem(),
        key: key.serialize_pem(),
    }
}

/// A list of the serial numbers that a CA revokes.
pub(crate) fn revocations(authority: &Authority, serials: &[u64]) -> String {
    let revoked = |serial: &u64| RevokedCertParams {
        serial_number: SerialNumber::from(*serial),
        revocation_time: date_time_ymd(2024, 1, 1),
        reason_code: Some(RevocationReason::KeyCompromise),
        invalidity_date: None,
    };
    let params = CertificateRevocationListParams {
        this_update: date_time_ymd(2024, 1, 1),
        next_update: date_time_ymd(2090, 1, 1),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: serials.iter().map(revoked).collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    params.signed_by(authority).unwrap().pem().unwrap()
}

/// A client that trusts the CA, offers these protocols, and shows this certificate.
pub(crate) fn client(identity: Option<&Identity>, protocols: &[&str]) -> Arc<ClientConfig> {
    client_of(rustls::ALL_VERSIONS, &pki().ca, identity, protocols)
}

/// As [`client`], with some versions of TLS and another CA.
pub(crate) fn client_of(
    versions: &[&'static SupportedProtocolVersion],
    ca: &str,
    identity: Option<&Identity>,
    protocols: &[&str],
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(ca.as_bytes()).unwrap())
        .unwrap();
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let (chain, key) = identity.der();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    };
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    Arc::new(config)
}

/// A server with the server's certificate, or another, that asks for none.
pub(crate) fn server(identity: &Identity, protocols: &[&str]) -> Arc<ServerConfig> {
    let (chain, key) = identity.der();
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap();
    let mut config = builder.with_no_client_auth().with_single_cert(chain, key).unwrap();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    Arc::new(config)
}

/// A server that insists on a client certificate of a CA.
pub(crate) fn mutual(identity: &Identity, clients: &str) -> Arc<ServerConfig> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(clients.as_bytes()).unwrap())
        .unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
        .build()
        .unwrap();
    let (chain, key) = identity.der();
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap();
    let config = builder.with_client_cert_verifier(verifier).with_single_cert(chain, key);
    Arc::new(config.unwrap())
}

impl Identity {
    /// Itself, with the chain that signed it.
    pub(crate) fn through(mut self, chain: &[&Authority]) -> Self {
        self.chain.extend(chain.iter().map(|ca| ca.pem()));
        self
    }

    /// The certificate itself, as DER.
    pub(crate) fn leaf(&self) -> Vec<u8> {
        CertificateDer::from_pem_slice(self.chain.as_bytes()).unwrap().to_vec()
    }

    fn der(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let chain = CertificateDer::pem_slice_iter(self.chain.as_bytes())
            .map(Result::unwrap)
            .collect();
        (chain, PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap())
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
