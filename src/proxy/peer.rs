//! The address of the other end of a client connection.

use std::net::IpAddr;

use pingora::protocols::Stream;
use pingora::protocols::l4::socket::SocketAddr;

/// Returns the address of the peer of a stream. A unix socket has none.
pub(super) fn peer_of(stream: &Stream) -> Option<IpAddr> {
    ip(stream.get_socket_digest()?.peer_addr()?)
}

/// Returns the canonical form of an address. A unix socket has none.
pub(super) fn ip(address: &SocketAddr) -> Option<IpAddr> {
    Some(address.as_inet()?.ip().to_canonical())
}
