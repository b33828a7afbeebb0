//! Connections to an upstream, with the traits that pingora's sessions need.

use std::fmt::Debug;
use std::io;
use std::net::SocketAddr as InetAddr;
use std::os::fd::AsRawFd;
use std::os::unix::net::SocketAddr as UnixAddr;

use pingora::protocols::Stream;
use pingora::{Error, ErrorType, Result};
use rustix::io::Errno;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use crate::proxy::buffered_socket::BufferedSocket;
use crate::proxy::deadline::ReusableTimer;

/// The context of an error while a connection is opened.
const CONNECTING: &str = "connecting to the service";

/// Explains that the name of an upstream was not resolved.
pub(in crate::proxy) const NO_ADDRESS: &str = "the name of the upstream has no address";

/// The reader above has a buffer of its own.
const READ_BUFFER: usize = 1;

/// The size of the write buffer: about a packet.
const WRITE_BUFFER: usize = 1460;

/// A connection to an upstream, with the timer for all its waits.
pub(super) struct PooledConnection {
    pub(super) stream: Stream,
    pub(super) timer: ReusableTimer,
}

impl From<Stream> for PooledConnection {
    fn from(stream: Stream) -> Self {
        Self {
            stream,
            timer: ReusableTimer::default(),
        }
    }
}

/// Why no connection was opened.
#[derive(Debug)]
pub(in crate::proxy) struct ConnectFailure {
    /// What failed last, or took too long.
    pub(in crate::proxy) error: Box<Error>,
    /// The addresses that were tried, if there is one.
    pub(in crate::proxy) addresses: Option<Box<str>>,
}

impl ConnectFailure {
    /// Attributes an error to the upstream at some addresses.
    pub(super) fn at(error: Box<Error>, addresses: &[impl ToString]) -> Self {
        let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
        Self {
            error: error.into_up(),
            addresses: (!addresses.is_empty()).then(|| addresses.join(", ").into()),
        }
    }

    /// Returns the same failure for another request that waited for the connection.
    pub(super) fn again(&self) -> Self {
        let kind = self.error.etype().clone();
        let cause = self.error.cause.is_some().then(|| self.error.root_cause().to_string());
        let error = match cause {
            Some(cause) => Error::because(kind, CONNECTING, cause),
            None => Error::explain(kind, self.error.context.clone().unwrap_or_else(|| CONNECTING.into())),
        };
        Self {
            error: error.into_up(),
            addresses: self.addresses.clone(),
        }
    }

    /// Creates the failure of a connection that takes too long.
    pub(super) fn late(addresses: &[impl ToString]) -> Self {
        Self::at(Error::explain(ErrorType::ConnectTimedout, CONNECTING), addresses)
    }
}

/// Connects to an upstream over TCP.
pub(super) async fn tcp(address: &InetAddr) -> Result<TcpStream> {
    let connect = async {
        let socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        Ok(socket)
    };
    connect.await.map_err(failed)
}

/// Connects to an upstream over a unix socket.
pub(super) async fn unix(address: &UnixAddr) -> Result<UnixStream> {
    let connect = async {
        let path = address.as_pathname().ok_or(io::ErrorKind::AddrNotAvailable)?;
        UnixStream::connect(path).await
    };
    connect.await.map_err(failed)
}

/// Boxes a socket, as pingora's sessions take it.
pub(super) fn boxed<S>(socket: S) -> Stream
where
    S: AsyncRead + AsyncWrite + AsRawFd + Debug + Unpin + Send + Sync + 'static,
{
    Box::new(BufferedSocket::new(socket, READ_BUFFER, WRITE_BUFFER))
}

#[expect(clippy::unnecessary_box_returns, reason = "pingora's errors are boxed")]
fn failed(error: io::Error) -> Box<Error> {
    Error::because(kind(&error), CONNECTING, error)
}

fn kind(error: &io::Error) -> ErrorType {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => ErrorType::ConnectRefused,
        io::ErrorKind::TimedOut => ErrorType::ConnectTimedout,
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkDown => {
            ErrorType::ConnectNoRoute
        }
        // So it is where a machine has no address in the family.
        io::ErrorKind::AddrNotAvailable => ErrorType::ConnectNoRoute,
        _ if error.raw_os_error() == Some(Errno::AFNOSUPPORT.raw_os_error()) => ErrorType::ConnectNoRoute,
        _ => ErrorType::ConnectError,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn failed_connect_says_why() {
        let refused = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        assert_eq!(tcp(&refused).await.unwrap_err().etype(), &ErrorType::ConnectRefused);
        let folder = tempfile::tempdir().unwrap();
        let missing = UnixAddr::from_pathname(folder.path().join("missing")).unwrap();
        assert_eq!(unix(&missing).await.unwrap_err().etype(), &ErrorType::ConnectError);
    }
}
