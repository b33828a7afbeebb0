//! A connection to an upstream in clear text, with the traits that pingora's sessions need.

use std::fmt::Debug;
use std::io;
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use pingora::protocols::l4::socket::SocketAddr;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::{
    GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, Stream, TimingDigest,
    UniqueID, UniqueIDType,
};
use pingora::{Error, ErrorType, Result};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, BufWriter, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

/// The size of the write buffer: about a packet.
const WRITE_BUFFER: usize = 1460;

/// Connects to an upstream.
pub(super) async fn connect(address: &SocketAddr, within: Duration) -> Result<Stream> {
    let connected = timeout(within, async {
        Ok(match address {
            SocketAddr::Inet(address) => {
                let socket = TcpStream::connect(address).await?;
                socket.set_nodelay(true)?;
                BufferedSocket::new(socket)
            }
            SocketAddr::Unix(address) => {
                let path = address.as_pathname().ok_or(io::ErrorKind::AddrNotAvailable)?;
                BufferedSocket::new(UnixStream::connect(path).await?)
            }
        })
    });
    match connected.await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(Error::because(kind(&error), "connecting to the service", error).into_up()),
        Err(_) => Err(Error::explain(ErrorType::ConnectTimedout, "connecting to the service").into_up()),
    }
}

fn kind(error: &io::Error) -> ErrorType {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => ErrorType::ConnectRefused,
        io::ErrorKind::TimedOut => ErrorType::ConnectTimedout,
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable => ErrorType::ConnectNoRoute,
        _ => ErrorType::ConnectError,
    }
}

/// A socket that combines small writes.
#[derive(Debug)]
struct BufferedSocket<S>(BufWriter<S>);

impl<S> BufferedSocket<S>
where
    S: AsyncRead + AsyncWrite + AsRawFd + Debug + Unpin + Send + Sync + 'static,
{
    /// Boxes a socket, as pingora's sessions take it.
    #[expect(clippy::new_ret_no_self, reason = "callers need only its traits")]
    fn new(socket: S) -> Stream {
        Box::new(Self(BufWriter::with_capacity(WRITE_BUFFER, socket)))
    }
}

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
    use std::os::unix::net::SocketAddr as Unix;

    use super::*;

    #[tokio::test]
    async fn failed_connect_says_why_and_names_the_upstream() {
        let refused = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let missing = Unix::from_pathname(folder.path().join("missing")).unwrap();
        for (address, want) in [
            (SocketAddr::Inet(refused), ErrorType::ConnectRefused),
            (SocketAddr::Unix(missing), ErrorType::ConnectError),
        ] {
            let error = connect(&address, Duration::from_secs(10)).await.unwrap_err();
            assert_eq!(
                (error.etype(), error.esource()),
                (&want, &pingora::ErrorSource::Upstream)
            );
        }
    }
}
