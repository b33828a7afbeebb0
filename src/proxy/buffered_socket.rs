//! A socket with buffers, and with what pingora asks of a transport.

use std::fmt::Debug;
use std::io::{self, IoSlice};
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_trait::async_trait;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::{
    GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, TimingDigest, UniqueID,
    UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, BufStream, ReadBuf};

/// A socket that combines small reads and small writes.
#[derive(Debug)]
pub(super) struct BufferedSocket<S: AsyncRead + AsyncWrite> {
    io: BufStream<S>,
    socket_digest: Option<Arc<SocketDigest>>,
    proxy_digest: Option<Arc<ProxyDigest>>,
}

impl<S: AsyncRead + AsyncWrite> BufferedSocket<S> {
    /// Adds buffers of these sizes to a socket. A buffer of one byte passes all bytes on at once.
    pub(super) fn new(socket: S, read: usize, write: usize) -> Self {
        Self {
            io: BufStream::with_capacity(read, write, socket),
            socket_digest: None,
            proxy_digest: None,
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for BufferedSocket<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for BufferedSocket<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

#[async_trait]
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Shutdown for BufferedSocket<S> {
    async fn shutdown(&mut self) {
        // The connection is closed even if this fails.
        let _ = self.io.shutdown().await;
    }
}

impl<S: AsyncRead + AsyncWrite + AsRawFd> UniqueID for BufferedSocket<S> {
    fn id(&self) -> UniqueIDType {
        self.io.get_ref().as_raw_fd()
    }
}

impl<S: AsyncRead + AsyncWrite> GetSocketDigest for BufferedSocket<S> {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.socket_digest.clone()
    }

    fn set_socket_digest(&mut self, digest: SocketDigest) {
        self.socket_digest = Some(Arc::new(digest));
    }
}

impl<S: AsyncRead + AsyncWrite> GetProxyDigest for BufferedSocket<S> {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.proxy_digest.clone()
    }

    fn set_proxy_digest(&mut self, digest: ProxyDigest) {
        self.proxy_digest = Some(Arc::new(digest));
    }
}

impl<S: AsyncRead + AsyncWrite> GetTimingDigest for BufferedSocket<S> {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl<S: AsyncRead + AsyncWrite> Ssl for BufferedSocket<S> {}

impl<S: AsyncRead + AsyncWrite> Peek for BufferedSocket<S> {}
