//! The sockets that clients connect to, and their connections before they are served.

use std::io;
use std::net::{IpAddr, SocketAddr as InetAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::{net, os::unix::net as unix};

use pingora::protocols::Stream;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use crate::proxy::buffered_socket::BufferedSocket;
use crate::proxy::peer::set_peer;
use crate::proxy::strict_stream::PREFACE;

/// How many connections wait to be accepted.
const BACKLOG: i32 = 65_535;

/// What is written of a response at a time, in bytes.
const WRITE_BUFFER: usize = 4 * 1024;

/// A socket that clients connect to. All serving threads accept its connections.
#[derive(Debug)]
pub enum ListeningSocket {
    /// Over TCP.
    Tcp(net::TcpListener),
    /// On this machine.
    Unix(unix::UnixListener),
}

/// The same on one thread.
#[derive(Debug)]
pub(super) enum ThreadListener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// A connection of this thread.
#[derive(Debug)]
pub(super) enum ClientSocket {
    Tcp(TcpStream, InetAddr),
    Unix(UnixStream),
}

/// A connection that belongs to no thread.
#[derive(Debug)]
pub(super) enum DetachedSocket {
    Tcp(net::TcpStream, InetAddr),
    Unix(unix::UnixStream),
}

impl ListeningSocket {
    /// Lets many connections wait to be accepted, and accepts without blocking.
    pub fn prepare(&self) -> io::Result<()> {
        rustix::net::listen(self, BACKLOG)?;
        match self {
            Self::Tcp(socket) => socket.set_nonblocking(true),
            Self::Unix(socket) => socket.set_nonblocking(true),
        }
    }

    /// Accepts a connection if one waits.
    pub(super) fn accept(&self) -> io::Result<DetachedSocket> {
        match self {
            Self::Tcp(socket) => {
                let (socket, peer) = socket.accept()?;
                socket.set_nonblocking(true)?;
                Ok(DetachedSocket::Tcp(socket, peer))
            }
            Self::Unix(socket) => {
                let (socket, _) = socket.accept()?;
                socket.set_nonblocking(true)?;
                Ok(DetachedSocket::Unix(socket))
            }
        }
    }

    /// Lets this thread accept connections.
    pub(super) fn on_this_thread(&self) -> io::Result<ThreadListener> {
        match self {
            Self::Tcp(socket) => TcpListener::from_std(socket.try_clone()?).map(ThreadListener::Tcp),
            Self::Unix(socket) => UnixListener::from_std(socket.try_clone()?).map(ThreadListener::Unix),
        }
    }
}

impl AsFd for ListeningSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(socket) => socket.as_fd(),
            Self::Unix(socket) => socket.as_fd(),
        }
    }
}

impl ThreadListener {
    /// Accepts the next connection. Cancel safe.
    pub(super) async fn accept(&self) -> io::Result<ClientSocket> {
        match self {
            Self::Tcp(socket) => socket
                .accept()
                .await
                .map(|(socket, peer)| ClientSocket::Tcp(socket, peer)),
            Self::Unix(socket) => socket.accept().await.map(|(socket, _)| ClientSocket::Unix(socket)),
        }
    }
}

impl ClientSocket {
    /// Returns the address of the peer. A unix socket has none.
    pub(super) fn peer(&self) -> Option<IpAddr> {
        match self {
            Self::Tcp(_, peer) => Some(peer.ip().to_canonical()),
            Self::Unix(_) => None,
        }
    }

    /// Waits for the first bytes, which stay unread, and returns whether HTTP/2 begins with them.
    pub(super) async fn begins_with_preface(&self) -> bool {
        let Self::Tcp(socket, _) = self else { return false };
        let mut first = [0; 4];
        socket.peek(&mut first).await.is_ok() && PREFACE.starts_with(&first)
    }

    /// Takes the connection from this thread.
    pub(super) fn detach(self) -> io::Result<DetachedSocket> {
        match self {
            Self::Tcp(socket, peer) => socket.into_std().map(|socket| DetachedSocket::Tcp(socket, peer)),
            Self::Unix(socket) => socket.into_std().map(DetachedSocket::Unix),
        }
    }

    /// Makes it a stream with a buffer of some size to read.
    pub(super) fn into_stream(self, read_buffer: usize) -> io::Result<Stream> {
        match self {
            Self::Tcp(socket, peer) => {
                socket.set_nodelay(true)?;
                let mut stream: Stream = Box::new(BufferedSocket::new(socket, read_buffer, WRITE_BUFFER));
                set_peer(&mut stream, peer);
                Ok(stream)
            }
            Self::Unix(socket) => Ok(Box::new(BufferedSocket::new(socket, read_buffer, WRITE_BUFFER))),
        }
    }
}

impl DetachedSocket {
    /// Gives the connection to this thread.
    pub(super) fn attach(self) -> io::Result<ClientSocket> {
        match self {
            Self::Tcp(socket, peer) => TcpStream::from_std(socket).map(|socket| ClientSocket::Tcp(socket, peer)),
            Self::Unix(socket) => UnixStream::from_std(socket).map(ClientSocket::Unix),
        }
    }
}
