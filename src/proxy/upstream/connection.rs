//! Connections to an upstream, with the traits that pingora's sessions need.

use std::fmt::Debug;
use std::io;
use std::net::SocketAddr as InetAddr;
use std::os::fd::AsRawFd;
use std::os::unix::net::SocketAddr as UnixAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_trait::async_trait;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::{
    GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, Stream, TimingDigest,
    UniqueID, UniqueIDType,
};
use pingora::{Error, ErrorType, Result};
use rustix::io::Errno;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, BufWriter, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use crate::proxy::deadline::ReusableTimer;

/// The context of an error while a connection is opened.
const CONNECTING: &str = "connecting to the service";

/// Explains that the name of an upstream was not resolved.
pub(in crate::proxy) const NO_ADDRESS: &str = "the name of the upstream has no address";

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
    Box::new(BufferedSocket(BufWriter::with_capacity(WRITE_BUFFER, socket)))
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

/// A socket that combines small writes.
#[derive(Debug)]
struct BufferedSocket<S>(BufWriter<S>);

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for BufferedSocket<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.0.get_mut()).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for BufferedSocket<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[async_trait]
impl<S: AsyncWrite + Unpin + Send> Shutdown for BufferedSocket<S> {
    async fn shutdown(&mut self) {
        // The connection is closed even if this fails.
        let _ = self.0.shutdown().await;
    }
}

impl<S: AsyncWrite + AsRawFd> UniqueID for BufferedSocket<S> {
    fn id(&self) -> UniqueIDType {
        self.0.get_ref().as_raw_fd()
    }
}

impl<S> GetTimingDigest for BufferedSocket<S> {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl<S> GetProxyDigest for BufferedSocket<S> {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        None
    }
}

impl<S> GetSocketDigest for BufferedSocket<S> {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        None
    }
}

impl<S> Ssl for BufferedSocket<S> {}

impl<S> Peek for BufferedSocket<S> {}

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
