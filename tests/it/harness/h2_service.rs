//! A service over HTTP/2 that leaves each stream to a test: it can reject it, cut it, frame it badly, and write
//! frames that the library never would.

use std::{
    future::{Future, poll_fn},
    io::Write,
    net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpStream as Socket},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use aws_lc_rs::digest;
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use h2::{
    Error, Reason, RecvStream, SendStream,
    server::{Builder, SendResponse},
};
use parking_lot::Mutex;
use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

use super::{
    PATIENCE, Setup,
    frames::{GOAWAY, NO_FLAGS, frame},
    runtime,
    upstream::Recorded,
};

type Script = dyn Fn(Call) -> Pin<Box<dyn Future<Output = Result<(), Error>> + Send>> + Send + Sync;

/// Any port of this machine.
const LOCAL: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A running service; a clone is the same one.
#[derive(Clone)]
pub(crate) struct H2Service {
    pub(crate) url: String,
    state: Arc<State>,
}

struct State {
    builder: Builder,
    script: Box<Script>,
    seen: Mutex<Vec<Recorded>>,
    connections: AtomicUsize,
}

/// A request whose head has arrived. Without a response, its stream is reset when it is dropped.
pub(crate) struct Call {
    pub(crate) head: http::request::Parts,
    pub(crate) body: RecvStream,
    pub(crate) respond: SendResponse<Bytes>,
    /// Which connection of the service it came over, from 1.
    pub(crate) connection: usize,
    /// Which request with its `x-case` it is, from 1.
    pub(crate) attempt: usize,
    socket: Arc<Socket>,
}

impl H2Service {
    pub(crate) fn start<R>(script: impl Fn(Call) -> R + Send + Sync + 'static) -> Self
    where
        R: Future<Output = Result<(), Error>> + Send + 'static,
    {
        Self::with(Builder::new(), script)
    }

    /// As [`Self::start`], with other settings.
    pub(crate) fn with<R>(builder: Builder, script: impl Fn(Call) -> R + Send + Sync + 'static) -> Self
    where
        R: Future<Output = Result<(), Error>> + Send + 'static,
    {
        Self::listen(LOCAL, builder, None, script)
    }

    /// As [`Self::start`], on an address.
    pub(crate) fn at<R>(address: SocketAddr, script: impl Fn(Call) -> R + Send + Sync + 'static) -> Self
    where
        R: Future<Output = Result<(), Error>> + Send + 'static,
    {
        Self::listen(address, Builder::new(), None, script)
    }

    /// As [`Self::start`], behind TLS. A connection without HTTP/2 is one WebSocket, which sends back what comes.
    pub(crate) fn tls<R>(config: Arc<ServerConfig>, script: impl Fn(Call) -> R + Send + Sync + 'static) -> Self
    where
        R: Future<Output = Result<(), Error>> + Send + 'static,
    {
        Self::listen(LOCAL, Builder::new(), Some(config), script)
    }

    fn listen<R>(
        address: SocketAddr,
        builder: Builder,
        tls: Option<Arc<ServerConfig>>,
        script: impl Fn(Call) -> R + Send + Sync + 'static,
    ) -> Self
    where
        R: Future<Output = Result<(), Error>> + Send + 'static,
    {
        let listener = runtime().block_on(TcpListener::bind(address)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let url = match &tls {
            Some(_) => format!("https://localhost:{port}"),
            None => format!("h2c://127.0.0.1:{port}"),
        };
        let state = Arc::new(State {
            builder,
            script: Box::new(move |call| Box::pin(script(call))),
            seen: Mutex::default(),
            connections: AtomicUsize::new(0),
        });
        let shared = state.clone();
        runtime().spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(shared.clone().accept(stream, tls.clone()));
            }
        });
        Self { url, state }
    }

    /// The requests with this `x-case`, without their bodies; `:authority` and `:scheme` are among the headers.
    pub(crate) fn seen(&self, case: &str) -> Vec<Recorded> {
        let seen = self.state.seen.lock();
        let of_case = |each: &&Recorded| each.values("x-case") == [case];
        seen.iter().filter(of_case).cloned().collect()
    }

    /// How many connections were ever opened to it.
    pub(crate) fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }

    /// A Sidegate in front of it, with one thread, so that all requests share its connections. A path below `/s/keyed/`
    /// takes a token and idempotency keys, any other below `/s/` takes all. `more` are further fields of `upstream`.
    pub(crate) fn setup(&self, more: &str) -> Setup {
        in_front_of(&self.url, more)
    }
}

/// As [`H2Service::setup`], for any service.
pub(crate) fn in_front_of(url: &str, more: &str) -> Setup {
    Setup::new().config("threads: 1").policy("s", &policy("s", url, more))
}

/// The policy of [`in_front_of`], for a service of this name.
pub(crate) fn policy(name: &str, url: &str, more: &str) -> String {
    POLICY
        .replace("$name", name)
        .replace("$url", url)
        .replace("$more", more)
}

const POLICY: &str = "
version: 1
service: $name
prefix: /$name
upstream: { url: '$url'$more }
errors: { format: envelope, code_prefix: ERR }
jwt: { issuers: [{ issuer: eventzr.com, audience: [eventzr-api], algorithms: [HS256], keys: { secret: { env: IT_SECRET } } }] }
routes:
  - { path: /keyed/*, auth: jwt, idempotency: { methods: [POST, PUT] } }
  - { path: /*, auth: public }
";

impl State {
    async fn accept(self: Arc<Self>, stream: TcpStream, tls: Option<Arc<ServerConfig>>) {
        let connection = self.connections.fetch_add(1, Ordering::SeqCst) + 1;
        let stream = stream.into_std().unwrap();
        stream.set_nodelay(true).unwrap();
        let socket = Arc::new(stream.try_clone().unwrap());
        let stream = TcpStream::from_std(stream).unwrap();
        let Some(config) = tls else {
            return self.serve(stream, connection, socket).await;
        };
        let Ok(stream) = TlsAcceptor::from(config).accept(stream).await else {
            return;
        };
        match stream.get_ref().1.alpn_protocol() {
            Some(b"h2") => self.serve(stream, connection, socket).await,
            _ => drop(websocket(stream).await),
        }
    }

    async fn serve(
        self: Arc<Self>,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        connection: usize,
        socket: Arc<Socket>,
    ) {
        let Ok(mut streams) = self.builder.handshake::<_, Bytes>(stream).await else {
            return;
        };
        while let Some(Ok((request, respond))) = streams.accept().await {
            let (head, body) = request.into_parts();
            let call = Call {
                attempt: self.record(&head),
                head,
                body,
                respond,
                connection,
                socket: socket.clone(),
            };
            tokio::spawn((self.script)(call));
        }
    }

    fn record(&self, head: &http::request::Parts) -> usize {
        let pseudo = [
            (":authority", head.uri.authority().map(http::uri::Authority::as_str)),
            (":scheme", head.uri.scheme_str()),
        ];
        let pseudo = pseudo
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())));
        let recorded = Recorded {
            method: head.method.to_string(),
            target: head.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
            headers: pseudo.chain(super::http2::pairs(&head.headers)).collect(),
            body: Vec::new(),
        };
        let mut seen = self.seen.lock();
        let case = recorded.values("x-case").concat();
        seen.push(recorded);
        seen.iter().filter(|each| each.values("x-case") == [&case]).count()
    }
}

impl Call {
    /// The last segment of its path.
    pub(crate) fn name(&self) -> String {
        self.head.uri.path().rsplit('/').next().unwrap_or_default().to_owned()
    }

    pub(crate) fn stream(&self) -> u32 {
        self.respond.stream_id().as_u32()
    }

    /// The body, read to its end.
    pub(crate) async fn whole_body(&mut self) -> Result<Vec<u8>, Error> {
        let mut body = Vec::new();
        while let Some(part) = self.body.data().await {
            let part = part?;
            self.body.flow_control().release_capacity(part.len())?;
            body.extend_from_slice(&part);
        }
        Ok(body)
    }

    /// A whole response.
    pub(crate) fn reply(&mut self, status: u16, body: impl Into<Bytes>) -> Result<(), Error> {
        self.begin(status, &[])?.send_data(body.into(), true)
    }

    /// The head of a response whose body follows.
    pub(crate) fn begin(&mut self, status: u16, headers: &[(&str, &str)]) -> Result<SendStream<Bytes>, Error> {
        self.respond.send_response(response(status, headers), false)
    }

    /// A response that is only a head.
    pub(crate) fn head_only(&mut self, status: u16, headers: &[(&str, &str)]) -> Result<(), Error> {
        self.respond.send_response(response(status, headers), true).map(drop)
    }

    pub(crate) fn interim(&mut self, status: u16, headers: &[(&str, &str)]) -> Result<(), Error> {
        self.respond.send_informational(response(status, headers))
    }

    /// Says that the request was not processed.
    pub(crate) fn refuse(&mut self) {
        self.respond.send_reset(Reason::REFUSED_STREAM);
    }

    /// Says that the connection takes no streams after this one.
    pub(crate) fn go_away(&self, last: u32) {
        let payload = [last.to_be_bytes(), [0; 4]].concat();
        (&*self.socket)
            .write_all(&frame(GOAWAY, NO_FLAGS, 0, &payload))
            .unwrap();
    }

    /// Ends the connection, with all streams.
    pub(crate) fn cut(&self) {
        _ = self.socket.shutdown(Shutdown::Both);
    }

    /// How the client ends the stream; `None` if it ends with its connection.
    pub(crate) async fn reset(&mut self) -> Option<Reason> {
        poll_fn(|cx| self.respond.poll_reset(cx)).await.ok()
    }
}

pub(crate) fn response(status: u16, headers: &[(&str, &str)]) -> http::Response<()> {
    let response = http::Response::builder().status(status);
    let with = headers
        .iter()
        .fold(response, |response, (name, value)| response.header(*name, *value));
    with.body(()).unwrap()
}

/// Turns that a test gives, and a script waits for.
#[derive(Clone)]
pub(crate) struct Turns(Arc<Semaphore>);

impl Turns {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }

    pub(crate) fn give(&self) {
        self.0.add_permits(1);
    }

    pub(crate) async fn take(&self) {
        let turn = timeout(PATIENCE * 3, self.0.acquire()).await;
        turn.expect("a turn in time").unwrap().forget();
    }

    /// As [`Self::take`], for a thread.
    pub(crate) fn wait(&self) {
        runtime().block_on(self.take());
    }
}

/// Takes one handshake, and sends back what comes.
async fn websocket(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(timeout(Duration::from_mins(1), stream.read_u8()).await??);
    }
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    assert!(head.contains("\r\nupgrade: websocket\r\n"), "{head}");
    // The key of every handshake here, see `upstreams::handshake`.
    let accept = "dGhlIHNhbXBsZSBub25jZQ==258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    let accept = STANDARD.encode(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, accept.as_bytes()));
    let head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: {accept}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    let (mut read, mut write) = tokio::io::split(stream);
    tokio::io::copy(&mut read, &mut write).await.map(drop)
}
