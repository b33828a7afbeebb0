//! The upstream as pingora's proxy connects to it: for HTTP/2, upgrades, and requests with an idempotency key.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use pingora::connectors::L4Connect;
use pingora::protocols::ALPN;
use pingora::protocols::l4::socket::SocketAddr as PingoraAddr;
use pingora::protocols::l4::stream::Stream;
use pingora::protocols::l4::virt::{VirtualSockOpt, VirtualSocket, VirtualSocketStream};
use pingora::upstreams::peer::{HttpPeer, Scheme};
use pingora::utils::tls::{CertKey, WrappedX509, parse_x509};
use pingora::{Error, ErrorType, OrErr, Result};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::tls::UpstreamTls;
use crate::document::tls_material::{CaBundle, TlsIdentity};
use crate::policy::{Upstream, UpstreamAddress, UpstreamScheme};
use crate::system_roots;

/// How long a connection of pingora's pool may be idle.
const IDLE: Duration = Duration::from_mins(1);

/// How many requests may share one HTTP/2 connection to an upstream.
const H2_STREAMS: usize = 100;

/// Makes the peer without its resolved address. `tls` verifies a SPIFFE ID.
pub(super) fn template(upstream: &Upstream, tls: Option<&Arc<UpstreamTls>>) -> Result<HttpPeer, String> {
    let mut template = match &upstream.address {
        UpstreamAddress::Unix(path) => {
            let path = path.to_string_lossy();
            let peer = HttpPeer::new_uds(&path, false, String::new());
            peer.map_err(|_| format!("`{path}` is too long for a socket"))?
        }
        UpstreamAddress::Network { scheme, host, port } => network(*scheme, host, *port),
    };
    let options = &mut template.options;
    options.connection_timeout = Some(upstream.connect_timeout);
    options.total_connection_timeout = Some(upstream.connect_timeout);
    options.read_timeout = Some(upstream.timeout);
    options.write_timeout = Some(upstream.timeout);
    options.idle_timeout = Some(IDLE);
    options.max_h2_streams = H2_STREAMS;
    options.ca = match &upstream.ca {
        Some(ca) => Some(for_pingora(ca)),
        None => tls.map(|_| system_authorities()),
    };
    template.client_cert_key = upstream.client.as_ref().map(client_cert_key);
    template.group_key = pool_key(upstream);
    if let (Some(_), Some(tls)) = (&upstream.spiffe_id, tls) {
        template.options.custom_l4 = Some(Arc::new(SpiffeConnector {
            tls: Arc::clone(tls),
            within: upstream.connect_timeout,
        }));
        // The connector makes the TLS handshake itself.
        template.scheme = Scheme::HTTP;
        template.options.set_http_version(1, 1);
    }
    Ok(template)
}

fn network(scheme: UpstreamScheme, host: &str, port: u16) -> HttpPeer {
    let literal = host.parse::<IpAddr>().ok();
    let address = SocketAddr::new(literal.unwrap_or(IpAddr::from([0, 0, 0, 0])), port);
    let tls = scheme == UpstreamScheme::Https;
    // Only TLS needs it, and pingora copies it for each request.
    let sni = if tls { host } else { "" };
    let mut peer = HttpPeer::new(address, tls, sni.to_owned());
    match scheme {
        UpstreamScheme::Http => {}
        UpstreamScheme::Https => peer.options.alpn = ALPN::H2H1,
        UpstreamScheme::H2c => peer.options.set_http_version(2, 2),
    }
    peer
}

/// Returns the CAs of the system, and reads them when they are first needed. pingora would read them at each start.
fn system_authorities() -> Arc<[WrappedX509]> {
    static FOUND: OnceLock<Arc<[WrappedX509]>> = OnceLock::new();
    if let Some(found) = FOUND.get() {
        return Arc::clone(found);
    }
    let usable = for_pingora(&system_roots::authorities());
    match usable.is_empty() {
        true => usable,
        false => Arc::clone(FOUND.get_or_init(|| usable)),
    }
}

/// Converts CAs. pingora panics on a certificate that it cannot parse; those of a [`CaBundle`] were checked.
fn for_pingora(ca: &CaBundle) -> Arc<[WrappedX509]> {
    ca.iter()
        .map(|der| WrappedX509::new(der.to_vec(), parse_x509))
        .collect()
}

fn client_cert_key(client: &TlsIdentity) -> Arc<CertKey> {
    let chain = client.chain().iter().map(|der| der.to_vec()).collect();
    Arc::new(CertKey::new(chain, client.key().secret_der().to_vec()))
}

/// Returns the key that separates connections in pingora's pool by their CA and their client certificate. pingora
/// itself compares only the serial number of the certificate.
fn pool_key(upstream: &Upstream) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    upstream.ca.hash(&mut hasher);
    let client = upstream.client.as_ref();
    client
        .map(|client| (client.chain(), client.key().secret_der()))
        .hash(&mut hasher);
    upstream.spiffe_id.hash(&mut hasher);
    hasher.finish()
}

/// Connects to an upstream and verifies its SPIFFE ID. pingora takes the stream for a connection in clear text that
/// it cannot reuse: each serves a single request, over HTTP/1.1.
#[derive(Debug)]
struct SpiffeConnector {
    tls: Arc<UpstreamTls>,
    within: Duration,
}

impl SpiffeConnector {
    async fn handshake(&self, address: &PingoraAddr) -> Result<TlsStream<TcpStream>> {
        let Some(address) = address.as_inet() else {
            return Error::e_explain(ErrorType::InternalError, "a pinned service has a network address");
        };
        let transport = TcpStream::connect(address)
            .await
            .or_err(ErrorType::ConnectError, "no connection to the service")?;
        self.tls.handshake(transport, true).await
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
