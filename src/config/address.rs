//! Addresses to listen on, and networks.

use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::{IpNet, Ipv4Net};

use crate::document::decode::Spanned;
use crate::document::problem::Problems;

/// An address to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenAddress {
    /// A TCP port.
    Tcp(SocketAddr),
    /// A unix socket.
    Unix(PathBuf),
}

impl std::fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// `host:port` with an IP address, or `unix:/path`.
pub fn listen_address(text: &str) -> Result<ListenAddress, String> {
    match text.strip_prefix("unix:") {
        Some(path) if path.starts_with('/') => Ok(ListenAddress::Unix(path.into())),
        Some(_) => Err(format!("`{text}` is not an absolute path of a socket")),
        None => socket_address(text).map(ListenAddress::Tcp),
    }
}

pub(super) fn socket_address(text: &str) -> Result<SocketAddr, String> {
    let text = match text.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None => text.to_owned(),
    };
    text.parse()
        .map_err(|_| format!("`{text}` is not an address: write `127.0.0.1:8080`, `0.0.0.0:8080` or `[::]:8080`"))
}

/// A network such as `10.0.0.0/8`; an address alone is a network of one.
pub(super) fn network(text: &str) -> Result<IpNet, String> {
    let address = text.parse::<std::net::IpAddr>().map(IpNet::from);
    text.parse()
        .or(address)
        .map(canonical)
        .map_err(|_| format!("`{text}` is not a CIDR such as `10.0.0.0/8`"))
}

/// A network of IPv4 addresses that are written as IPv6 (RFC 4291, 2.5.5.2), as peers are compared with it.
fn canonical(network: IpNet) -> IpNet {
    let IpNet::V6(mapped) = network else {
        return network;
    };
    let v4 = mapped.addr().to_ipv4_mapped();
    let length = mapped.prefix_len().checked_sub(96);
    let canonical = v4
        .zip(length)
        .and_then(|(address, length)| Ipv4Net::new(address, length).ok());
    canonical.map_or(network, IpNet::V4)
}

/// Reserves an address: two listeners on one are a problem. Port 0 is another port each time.
pub(super) fn reserve(
    address: Option<&ListenAddress>,
    at: &Spanned<String>,
    taken: &mut Vec<ListenAddress>,
    problems: &mut Problems,
) {
    let Some(address) = address else { return };
    let any_port = matches!(address, ListenAddress::Tcp(address) if address.port() == 0);
    if taken.contains(address) && !any_port {
        problems.add(&at.span, format!("`{address}` is here twice"));
    }
    taken.push(address.clone());
}

/// Reports the error of a value at its place.
pub(super) fn or_report<T>(result: Result<T, String>, at: &Spanned<String>, problems: &mut Problems) -> Option<T> {
    result.map_err(|message| problems.add(&at.span, message)).ok()
}
