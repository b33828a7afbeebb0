//! Connections to an upstream that has to prove a SPIFFE ID. pingora can verify only a chain and a host name, and
//! gives access to no certificate. So the handshake is made here: no byte of a request is sent before it is
//! complete, nor to a server with another ID.
//!
//! pingora takes the stream for a connection in clear text that it cannot reuse: each serves a single request, over
//! HTTP/1.1.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use pingora::connectors::L4Connect;
use pingora::protocols::l4::socket::SocketAddr as PingoraAddr;
use pingora::protocols::l4::stream::Stream;
use pingora::protocols::l4::virt::{VirtualSockOpt, VirtualSocket, VirtualSocketStream};
use pingora::{Error, ErrorType, OrErr, Result};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, verify_server_cert_signed_by_trust_anchor};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::document::tls_material::{CaBundle, TlsIdentity};
use crate::tls::client_certificate;

/// Connects to an upstream and verifies its SPIFFE ID.
#[derive(Debug)]
pub(super) struct SpiffeConnector {
    config: Arc<ClientConfig>,
    host: ServerName<'static>,
    within: Duration,
}

impl SpiffeConnector {
    /// Trusts these CAs to issue certificates for this ID, and sends the client certificate if the server asks for one.
    pub(super) fn new(
        id: &str,
        ca: &CaBundle,
        client: Option<&TlsIdentity>,
        host: &str,
        within: Duration,
    ) -> std::result::Result<Self, String> {
        let unusable = |error: &dyn std::fmt::Display| format!("TLS to `{host}` cannot be set up: {error}");
        let provider = Arc::new(ring::default_provider());
        let verifier = SpiffeVerifier {
            id: id.to_owned(),
            roots: ca.roots(),
            provider: Arc::clone(&provider),
        };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| unusable(&error))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match client {
            None => builder.with_no_client_auth(),
            Some(client) => {
                let shown = SingleCertAndKey::from(CertifiedKey::clone(client.certified()));
                builder.with_client_cert_resolver(Arc::new(shown))
            }
        };
        // A resumed session would not be verified again.
        config.resumption = Resumption::disabled();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let host = ServerName::try_from(host.to_owned()).map_err(|error| unusable(&error))?;
        Ok(Self {
            config: Arc::new(config),
            host,
            within,
        })
    }

    async fn handshake(&self, address: &PingoraAddr) -> Result<TlsStream<TcpStream>> {
        let Some(address) = address.as_inet() else {
            return Error::e_explain(ErrorType::InternalError, "a pinned service has a network address");
        };
        let transport = TcpStream::connect(address)
            .await
            .or_err(ErrorType::ConnectError, "no connection to the service")?;
        let connector = TlsConnector::from(Arc::clone(&self.config));
        let handshake = connector.connect(self.host.clone(), transport).await;
        handshake.or_err(ErrorType::TLSHandshakeFailure, "the service did not prove its id")
    }
}

#[async_trait]
impl L4Connect for SpiffeConnector {
    async fn connect(&self, address: &PingoraAddr) -> Result<Stream> {
        match tokio::time::timeout(self.within, self.handshake(address)).await {
            Ok(proven) => Ok(VirtualSocketStream::new(Box::new(VerifiedStream(proven?))).into()),
            Err(_) => Error::e_explain(
                ErrorType::ConnectTimedout,
                "the handshake with the service took too long",
            ),
        }
    }
}

/// Accepts certificates that the CAs issued and that have exactly this ID (SPIFFE X.509-SVID, 5.2).
#[derive(Debug)]
struct SpiffeVerifier {
    id: String,
    roots: RootCertStore,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for SpiffeVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        let algorithms = self.provider.signature_verification_algorithms.all;
        let parsed = ParsedCertificate::try_from(leaf)?;
        verify_server_cert_signed_by_trust_anchor(&parsed, &self.roots, chain, now, algorithms)?;
        let names = client_certificate(leaf).unwrap_or_default();
        match names.uris.as_slice() {
            [id] if *id == self.id => Ok(ServerCertVerified::assertion()),
            _ => Err(CertificateError::NotValidForName.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            leaf,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            leaf,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// A connection to an upstream that proved its ID, with the traits that pingora needs.
#[derive(Debug)]
struct VerifiedStream(TlsStream<TcpStream>);

impl VirtualSocket for VerifiedStream {
    fn set_socket_option(&self, option: VirtualSockOpt) -> io::Result<()> {
        match option {
            VirtualSockOpt::NoDelay => self.0.get_ref().0.set_nodelay(true),
            // A connection for a single request needs no other option.
            _ => Ok(()),
        }
    }
}

impl AsyncRead for VerifiedStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for VerifiedStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
