//! Where connections to an upstream lead: to one address, or to those of a name.

use std::net::{IpAddr, SocketAddr as InetAddr};
use std::time::{Duration, Instant};

use pingora::Result;
use pingora::protocols::l4::socket::SocketAddr;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use super::connection::{ConnectFailure, tcp, unix};
use super::race;
use super::resolve::ResolvedHost;
use crate::policy::UpstreamAddress;

/// The addresses of an upstream.
#[derive(Debug)]
pub(super) enum Target {
    Fixed(SocketAddr),
    Named(ResolvedHost),
}

/// The address that a request takes first.
#[derive(Debug, Clone)]
pub(in crate::proxy) struct Choice {
    /// `None` if the name has no address.
    pub(super) address: Option<SocketAddr>,
    /// Whether the request tries an address whose rest is over, by a new connection.
    pub(super) is_trial: bool,
}

/// An open socket.
pub(super) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Target {
    /// Begins to resolve a name.
    pub(super) fn start(address: &UpstreamAddress) -> Result<Self, String> {
        match address {
            UpstreamAddress::Unix(path) => {
                let address = std::os::unix::net::SocketAddr::from_pathname(path);
                let too_long = |_| format!("`{}` is too long for a socket", path.display());
                Ok(Self::Fixed(SocketAddr::Unix(address.map_err(too_long)?)))
            }
            UpstreamAddress::Network { host, port, .. } => Ok(match host.parse::<IpAddr>() {
                Ok(ip) => Self::Fixed(SocketAddr::Inet(InetAddr::new(ip, *port))),
                Err(_) => Self::Named(ResolvedHost::start(host, *port)),
            }),
        }
    }

    /// Chooses the address for a request that begins.
    pub(super) fn choose(&self, now: Instant) -> Choice {
        match self {
            Self::Fixed(address) => Choice {
                address: Some(address.clone()),
                is_trial: false,
            },
            Self::Named(name) => {
                let pick = name.pick(now);
                Choice {
                    address: pick.map(|pick| SocketAddr::Inet(pick.socket)),
                    is_trial: pick.is_some_and(|pick| pick.is_trial),
                }
            }
        }
    }

    /// Connects within a time. Returns the address that accepted.
    pub(super) async fn connect(
        &self,
        choice: &Choice,
        within: Duration,
    ) -> Result<(Socket, SocketAddr), ConnectFailure> {
        let address = match self {
            Self::Named(name) => {
                let first = choice.address.as_ref().and_then(SocketAddr::as_inet).copied();
                let (socket, address) = race::connect(name, first, within).await?;
                return Ok((Socket::Tcp(socket), SocketAddr::Inet(address)));
            }
            Self::Fixed(address) => address,
        };
        let connect = async {
            match address {
                SocketAddr::Inet(address) => tcp(address).await.map(Socket::Tcp),
                SocketAddr::Unix(address) => unix(address).await.map(Socket::Unix),
            }
        };
        match timeout(within, connect).await {
            Ok(Ok(socket)) => Ok((socket, address.clone())),
            Ok(Err(error)) => Err(ConnectFailure::at(error, &[address])),
            Err(_) => Err(ConnectFailure::late(&[address])),
        }
    }
}
