//! The address of the other end of a client connection.

use std::net::{self, IpAddr};
use std::sync::Arc;

use pingora::http::ResponseHeader;
use pingora::protocols::l4::socket::SocketAddr;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::{SocketDigest, Stream};

/// Marks the connection of a proxy whose PROXY header names no client.
#[derive(Debug)]
struct Unnamed;

/// Returns the address of the peer of a stream. A unix socket has none.
pub(super) fn peer_of(stream: &Stream) -> Option<IpAddr> {
    ip(stream.get_socket_digest()?.peer_addr()?)
}

/// Returns the canonical form of an address. A unix socket has none.
pub(super) fn ip(address: &SocketAddr) -> Option<IpAddr> {
    Some(address.as_inet()?.ip().to_canonical())
}

/// Makes an address that of the peer of a stream.
pub(super) fn set_peer(stream: &mut Stream, address: net::SocketAddr) {
    let digest = SocketDigest::from_raw_fd(stream.id());
    // A new digest has no address yet.
    let _ = digest.peer_addr.set(Some(SocketAddr::Inet(address)));
    stream.set_socket_digest(digest);
}

/// Says of a stream that its peer is a proxy, and that nothing is known of a client behind it.
pub(super) fn set_unnamed(stream: &mut Stream) {
    let (head, ()) = http::Response::new(()).into_parts();
    // pingora keeps what a proxy said in front of a connection beside its response to `CONNECT`, which is absent here.
    let digest = ProxyDigest::new(Box::new(ResponseHeader::from(head)), Some(Box::new(Unnamed)));
    stream.set_proxy_digest(digest);
}

/// Returns whether [`set_unnamed`] said so.
pub(super) fn is_unnamed(digest: Option<&Arc<ProxyDigest>>) -> bool {
    let said = digest.and_then(|digest| digest.user_data.as_ref());
    said.is_some_and(|said| said.is::<Unnamed>())
}
