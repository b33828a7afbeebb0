//! Addresses to listen on, and networks.

use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;

use crate::document::decode::{Spanned, twice};
use crate::document::networks::network;
use crate::document::patterns::SOCKET_PATH_BYTES;
use crate::document::problem::{Fault, ProblemCode, Problems};

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
pub fn listen_address(text: &str) -> Result<ListenAddress, Fault> {
    match text.strip_prefix("unix:") {
        Some(path) if path.len() > SOCKET_PATH_BYTES => Err(Fault::new(
            ProblemCode::InvalidAddress,
            format!("`{text}` is too long for the path of a socket"),
            "write a path of at most 107 bytes, such as `unix:/run/sidegate/http.sock`",
        )),
        Some(path) if path.starts_with('/') => Ok(ListenAddress::Unix(path.into())),
        Some(path) => Err(Fault::new(
            ProblemCode::InvalidAddress,
            format!("`{text}` is not an absolute path of a socket"),
            format!(
                "write `unix:/run/sidegate/{}`",
                path.rsplit('/').next().unwrap_or_default()
            ),
        )),
        None => socket_address(text).map(ListenAddress::Tcp),
    }
}

pub(super) fn socket_address(text: &str) -> Result<SocketAddr, Fault> {
    let text = match text.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None => text.to_owned(),
    };
    text.parse().map_err(|_| {
        let message = format!("`{text}` is not an address");
        Fault::new(ProblemCode::InvalidAddress, message, address_help(&text))
    })
}

/// How an address is written: with an IP address and a port.
fn address_help(text: &str) -> String {
    let bare = text
        .split_once("://")
        .map_or(text, |(_, rest)| rest)
        .trim_end_matches('/');
    let port = bare.strip_prefix(':').unwrap_or(bare);
    match (
        port.parse::<u16>(),
        bare.parse::<SocketAddr>(),
        bare.parse::<std::net::IpAddr>(),
    ) {
        (Ok(port), ..) => format!("write `0.0.0.0:{port}` for all interfaces, or `127.0.0.1:{port}` for this machine"),
        (_, Ok(address), _) => format!("write `{address}`"),
        (_, _, Ok(ip)) => format!("write the port too: `{}`", SocketAddr::from((ip, 8080))),
        _ => "write `127.0.0.1:8080`, `0.0.0.0:8080` or `[::]:8080`".to_owned(),
    }
}

/// The shortest prefixes of networks that may be trusted without a warning: IPv4 and IPv6. Private networks
/// such as `10.0.0.0/8` and `fc00::/7` are not shorter.
const WIDE: (u8, u8) = (8, 7);

/// The same where `proxy_protocol` believes peers: those are load balancers, which have few addresses.
const WIDE_FOR_BALANCERS: (u8, u8) = (16, 48);

/// Warns of a network that has most clients in it.
pub(super) fn warn_of_wide(written: &Spanned<String>, with_proxy_protocol: bool, problems: &mut Problems) {
    let (v4, v6) = if with_proxy_protocol { WIDE_FOR_BALANCERS } else { WIDE };
    let wide = match network(&written.value) {
        Ok(IpNet::V4(network)) => network.prefix_len() < v4,
        Ok(IpNet::V6(network)) => network.prefix_len() < v6,
        Err(_) => false,
    };
    if wide {
        let (clients, or) = match with_proxy_protocol {
            true => ("may have clients in it", ", or in a PROXY header"),
            false => ("has most clients in it", ""),
        };
        let message = format!(
            "`{}` {clients}, and each of them can claim any address in `x-forwarded-for`{or}",
            written.value
        );
        let help = "name the addresses that your proxies connect from, such as `10.0.0.4`";
        problems.warn(&written.span, ProblemCode::WideTrustedProxies, message, help);
    }
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
        let help = "give one of them another port or path";
        problems.add(
            &at.span,
            ProblemCode::DuplicateAddress,
            twice(&address.to_string()),
            help,
        );
    }
    taken.push(address.clone());
}

/// Reports the error of a value at its place.
pub(super) fn or_report<T>(result: Result<T, Fault>, at: &Spanned<String>, problems: &mut Problems) -> Option<T> {
    result.map_err(|fault| problems.add_fault(&at.span, &fault)).ok()
}
