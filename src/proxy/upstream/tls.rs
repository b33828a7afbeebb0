//! TLS to an upstream: which certificates Sidegate accepts, what it presents, and the protocols it offers.

use std::sync::{Arc, OnceLock};

use pingora::{Error, ErrorType, OrErr, Result};
use rustls::client::danger::ServerCertVerifier;
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::ServerName;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::document::tls_material::TlsIdentity;
use crate::policy::Upstream;
use crate::system_roots;

mod spiffe;

use spiffe::SpiffeVerifier;

/// How many TLS sessions are stored for resumption: those of one server.
const SESSIONS: usize = 8;

type Verifier = Arc<dyn ServerCertVerifier>;

/// Makes TLS connections to one upstream. All of them verify the same identity.
#[derive(Debug)]
pub(super) struct UpstreamTls {
    host: ServerName<'static>,
    client: Option<TlsIdentity>,
    /// What is known at the start; `None` if the CAs of the system are still to be read.
    configs: OnceLock<Configs>,
}

/// The same settings with two lists of protocols.
#[derive(Debug)]
struct Configs {
    any: Arc<ClientConfig>,
    /// For a WebSocket, which HTTP/2 does not carry.
    http1: Arc<ClientConfig>,
}

impl UpstreamTls {
    /// Trusts the CAs of the upstream, or those of the system. With a SPIFFE ID, the certificate has to have that ID
    /// in place of the host name.
    pub(super) fn new(host: &str, upstream: &Upstream) -> Result<Self, String> {
        let unusable = |error: &dyn std::fmt::Display| format!("TLS to `{host}` cannot be set up: {error}");
        let tls = Self {
            host: ServerName::try_from(host.to_owned()).map_err(|error| unusable(&error))?,
            client: upstream.client.clone(),
            configs: OnceLock::new(),
        };
        let configs = match (&upstream.spiffe_id, &upstream.ca) {
            (Some(id), None) => return Err(format!("`{id}` cannot be verified without CAs")),
            (Some(id), Some(ca)) => {
                let verifier = Arc::new(SpiffeVerifier::new(id, ca.roots(), provider()));
                // A resumed session would not be verified again.
                tls.configs(verifier, Resumption::disabled())
            }
            (None, Some(ca)) => verifier(ca.roots()).and_then(|verifier| tls.configs(verifier, resumption())),
            (None, None) => return Ok(tls),
        };
        let _ = tls.configs.set(configs.map_err(|error| unusable(&error))?);
        Ok(tls)
    }

    /// Reads the CAs of the system, if they are needed and not read yet.
    pub(super) async fn prepare(&self) -> Result<()> {
        self.ready().await.map(drop)
    }

    /// Makes the handshake over a connection.
    pub(super) async fn handshake(&self, transport: TcpStream, needs_http1: bool) -> Result<TlsStream<TcpStream>> {
        let configs = self.ready().await?;
        let config = match needs_http1 {
            true => &configs.http1,
            false => &configs.any,
        };
        let connector = TlsConnector::from(Arc::clone(config));
        let handshake = connector.connect(self.host.clone(), transport).await;
        handshake.or_err(ErrorType::TLSHandshakeFailure, "TLS handshake with the service")
    }

    async fn ready(&self) -> Result<&Configs> {
        if let Some(configs) = self.configs.get() {
            return Ok(configs);
        }
        let configs = self.configs(system_verifier().await?, resumption());
        let configs = configs.or_err(ErrorType::TLSHandshakeFailure, "setting up TLS")?;
        Ok(self.configs.get_or_init(|| configs))
    }

    fn configs(&self, verifier: Verifier, resumption: Resumption) -> Result<Configs, rustls::Error> {
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut http1 = match &self.client {
            None => builder.with_no_client_auth(),
            Some(client) => {
                let shown = SingleCertAndKey::from(CertifiedKey::clone(client.certified()));
                builder.with_client_cert_resolver(Arc::new(shown))
            }
        };
        http1.resumption = resumption;
        http1.alpn_protocols = vec![b"http/1.1".to_vec()];
        let mut any = http1.clone();
        any.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Configs {
            any: Arc::new(any),
            http1: Arc::new(http1),
        })
    }
}

fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| Arc::new(ring::default_provider())))
}

fn resumption() -> Resumption {
    Resumption::in_memory_sessions(SESSIONS)
}

fn verifier(roots: RootCertStore) -> Result<Verifier, rustls::Error> {
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build();
    verifier
        .map(|verifier| verifier as Verifier)
        .map_err(|error| rustls::Error::General(error.to_string()))
}

/// Returns the verifier with the CAs of the system, which all upstreams share. If they cannot be read, the next call
/// reads them again.
async fn system_verifier() -> Result<Verifier> {
    static VERIFIER: OnceCell<Verifier> = OnceCell::const_new();
    let read = || async {
        let roots = tokio::task::spawn_blocking(|| system_roots::authorities().roots()).await;
        let roots = roots.or_err(ErrorType::InternalError, "reading the CAs of the system")?;
        verifier(roots).or_err(ErrorType::TLSHandshakeFailure, "using the CAs of the system")
    };
    VERIFIER.get_or_try_init(read).await.cloned().map_err(Error::into_up)
}
