//! A caller with nothing between it and the socket.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, Shutdown, TcpStream},
    os::unix::net::UnixStream,
    path::Path,
    sync::Arc,
};

use rustls::{ClientConfig, ClientConnection, HandshakeKind, StreamOwned, pki_types::ServerName};
use tokio::net::TcpSocket;

use super::{
    Answer, PATIENCE, Request,
    message::{parse_head, read_chunked, read_until, values},
    runtime,
};

/// Bytes in both directions.
pub(crate) trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

/// One connection to Sidegate.
pub(crate) struct Wire {
    stream: Box<dyn Stream>,
    socket: Option<TcpStream>,
}

/// How a client connects that is not like others.
#[derive(Default)]
pub(crate) struct SocketOptions {
    /// The address of this machine that it connects from.
    pub(crate) from: Option<Ipv4Addr>,
    /// The bytes that it takes before they are read.
    pub(crate) receive_buffer: Option<u32>,
}

impl SocketOptions {
    pub(crate) fn connect(&self, port: u16) -> TcpStream {
        let socket = runtime().block_on(async {
            let socket = TcpSocket::new_v4().unwrap();
            if let Some(bytes) = self.receive_buffer {
                socket.set_recv_buffer_size(bytes).unwrap();
            }
            if let Some(from) = self.from {
                socket.bind((from, 0).into()).unwrap();
            }
            socket.connect((Ipv4Addr::LOCALHOST, port).into()).await.unwrap()
        });
        let socket = socket.into_std().unwrap();
        socket.set_nonblocking(false).unwrap();
        prepared(socket)
    }
}

/// What a client knows after a handshake.
pub(crate) struct Handshake {
    pub(crate) resumed: bool,
    /// The certificate of the server, as DER.
    pub(crate) server: Vec<u8>,
}

impl Wire {
    pub(crate) fn connect(port: u16) -> Self {
        Self::of(open(port))
    }

    /// As [`Self::connect`], where there may be no listener.
    pub(crate) fn try_connect(port: u16) -> Option<Self> {
        let socket = TcpStream::connect(("127.0.0.1", port)).ok()?;
        Some(Self::of(prepared(socket)))
    }

    pub(crate) fn of(socket: TcpStream) -> Self {
        Self {
            stream: Box::new(socket.try_clone().unwrap()),
            socket: Some(socket),
        }
    }

    pub(crate) fn unix(path: &Path) -> Self {
        Self::try_unix(path).unwrap()
    }

    /// As [`Self::unix`], where there may be no listener.
    pub(crate) fn try_unix(path: &Path) -> Option<Self> {
        let socket = UnixStream::connect(path).ok()?;
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Some(Self {
            stream: Box::new(socket),
            socket: None,
        })
    }

    /// A TLS connection whose handshake is done, as far as the client can tell: with TLS 1.3 a rejected client
    /// certificate shows on the first read.
    pub(crate) fn tls(port: u16, config: Arc<ClientConfig>) -> io::Result<Self> {
        Self::tls_to(port, config, "localhost").map(|(wire, _)| wire)
    }

    /// As [`Self::tls`], over an open connection.
    pub(crate) fn tls_over(socket: TcpStream, config: Arc<ClientConfig>) -> io::Result<Self> {
        Self::handshake(socket, config, "localhost").map(|(wire, _)| wire)
    }

    /// As [`Self::tls`], for a server of this name; with what came of the handshake.
    pub(crate) fn tls_to(port: u16, config: Arc<ClientConfig>, name: &str) -> io::Result<(Self, Handshake)> {
        Self::handshake(open(port), config, name)
    }

    fn handshake(socket: TcpStream, config: Arc<ClientConfig>, name: &str) -> io::Result<(Self, Handshake)> {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let mut connection = ClientConnection::new(config, name).map_err(io::Error::other)?;
        let mut transport = socket.try_clone()?;
        while connection.is_handshaking() {
            connection.complete_io(&mut transport)?;
        }
        let handshake = Handshake {
            resumed: connection.handshake_kind() == Some(HandshakeKind::Resumed),
            server: connection.peer_certificates().unwrap()[0].to_vec(),
        };
        let stream = Box::new(StreamOwned::new(connection, transport));
        let socket = Some(socket);
        Ok((Self { stream, socket }, handshake))
    }

    pub(crate) fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_write(bytes.as_ref()).unwrap();
    }

    pub(crate) fn try_write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    /// Says that nothing more will be sent, unless the other side has gone already.
    pub(crate) fn finish(&mut self) {
        let _ = self.socket.as_ref().unwrap().shutdown(Shutdown::Write);
    }

    pub(crate) fn read(&mut self, count: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; count];
        self.stream.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// Start line and headers of the next message.
    pub(crate) fn head(&mut self) -> io::Result<(u16, Vec<(String, String)>)> {
        let head = read_until(&mut *self.stream, b"\r\n\r\n")?;
        let head = head.ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, "closed without an answer"))?;
        let (start, headers) = parse_head(&head)?;
        let status = start.split(' ').nth(1).and_then(|status| status.parse().ok());
        Ok((
            status.ok_or_else(|| io::Error::other(format!("start line {start:?}")))?,
            headers,
        ))
    }

    /// The next final answer, read to its end.
    pub(crate) fn answer(&mut self, method: &str) -> io::Result<Answer> {
        let (status, headers) = loop {
            let (status, headers) = self.head()?;
            if status >= 200 {
                break (status, headers);
            }
        };
        let body = self.body(method, status, &headers)?;
        Ok(Answer {
            status,
            headers,
            body,
            trailers: Vec::new(),
        })
    }

    fn body(&mut self, method: &str, status: u16, headers: &[(String, String)]) -> io::Result<Vec<u8>> {
        if method == "HEAD" || status == 204 || status == 304 {
            return Ok(Vec::new());
        }
        if values(headers, "transfer-encoding") == ["chunked"] {
            return read_chunked(&mut *self.stream);
        }
        match values(headers, "content-length")[..] {
            [length] => self.read(length.parse().map_err(io::Error::other)?),
            [] => self.rest(),
            _ => Err(io::Error::other("two content-lengths")),
        }
    }

    /// One chunk of a chunked answer; empty at its end.
    pub(crate) fn chunk(&mut self) -> Vec<u8> {
        let line = read_until(&mut *self.stream, b"\r\n").unwrap().unwrap();
        let size = usize::from_str_radix(String::from_utf8_lossy(&line).trim_end(), 16).unwrap();
        let mut chunk = self.read(size + 2).unwrap();
        assert_eq!(chunk.split_off(size), b"\r\n");
        chunk
    }

    /// Everything up to the end of the connection. An abrupt end is an end.
    pub(crate) fn rest(&mut self) -> io::Result<Vec<u8>> {
        let mut rest = Vec::new();
        match self.stream.read_to_end(&mut rest) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(rest),
        }
    }

    /// Sends one request and reads its response.
    pub(crate) fn exchange(&mut self, request: &Request) -> Answer {
        self.write(request.bytes());
        self.answer(&request.method)
            .unwrap_or_else(|error| panic!("{request}: {error}"))
    }
}

fn open(port: u16) -> TcpStream {
    prepared(TcpStream::connect(("127.0.0.1", port)).unwrap())
}

fn prepared(socket: TcpStream) -> TcpStream {
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.set_write_timeout(Some(PATIENCE)).unwrap();
    socket.set_nodelay(true).unwrap();
    socket
}

/// One request over a connection of its own.
pub(crate) fn send(port: u16, request: &Request) -> Answer {
    Wire::connect(port).exchange(request)
}
