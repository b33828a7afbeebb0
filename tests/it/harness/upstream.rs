//! The service behind Sidegate: it reads HTTP/1.1 strictly, keeps every request, and answers what
//! the test tells it to.

use std::{
    io::{self, ErrorKind},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::net::UnixListener,
    path::Path,
    sync::Arc,
    thread,
};

use parking_lot::Mutex;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::{
    PATIENCE,
    client::Stream,
    message::{parse_head, read_chunked, read_until, values},
};

/// One request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Recorded {
    /// All values of a header under this name, or under one that a service may take for it.
    pub(crate) fn values(&self, name: &str) -> Vec<&str> {
        let same = |each: &str| each.to_ascii_lowercase().replace(['_', '.'], "-") == name;
        let named = self.headers.iter().filter(|(each, _)| same(each));
        named.map(|(_, value)| value.as_str()).collect()
    }
}

/// What a connection does after its request was read.
pub(crate) enum Reply {
    Answer {
        status: u16,
        headers: Vec<(String, String)>,
        body: Vec<u8>,
    },
    /// Writes whatever it likes, and closes when it returns.
    Script(Box<Script>),
}

impl Reply {
    pub(crate) fn ok(body: impl AsRef<[u8]>) -> Self {
        Self::status(200, body)
    }

    pub(crate) fn status(status: u16, body: impl AsRef<[u8]>) -> Self {
        Self::Answer {
            status,
            headers: Vec::new(),
            body: body.as_ref().to_vec(),
        }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        if let Self::Answer { headers, .. } = &mut self {
            headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    pub(crate) fn script(script: impl FnOnce(&mut dyn Stream) -> io::Result<()> + 'static) -> Self {
        Self::Script(Box::new(script))
    }

    /// Exactly these bytes, then the end of the connection.
    pub(crate) fn bytes(bytes: &'static [u8]) -> Self {
        Self::script(move |stream| stream.write_all(bytes))
    }
}

type Script = dyn FnOnce(&mut dyn Stream) -> io::Result<()>;
type Handler = dyn Fn(&Recorded) -> Reply + Send + Sync;

/// A running upstream; a clone is the same one. Its threads end with the test process.
#[derive(Clone)]
pub(crate) struct Upstream {
    pub(crate) url: String,
    state: Arc<State>,
}

struct State {
    handler: Box<Handler>,
    seen: Mutex<Vec<Recorded>>,
    violations: Mutex<Vec<String>>,
    connections: Mutex<usize>,
}

impl Upstream {
    /// Answers 200 and `{}` to everything.
    pub(crate) fn recording() -> Self {
        Self::start(|_| Reply::ok("{}").header("content-type", "application/json"))
    }

    pub(crate) fn start(handler: impl Fn(&Recorded) -> Reply + Send + Sync + 'static) -> Self {
        Self::on_port(0, handler)
    }

    pub(crate) fn on_port(port: u16, handler: impl Fn(&Recorded) -> Reply + Send + Sync + 'static) -> Self {
        Self::at(SocketAddr::from(([127, 0, 0, 1], port)), handler)
    }

    pub(crate) fn at(address: SocketAddr, handler: impl Fn(&Recorded) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = State::new(handler);
        state
            .clone()
            .serve(move || Ok(Box::new(accept(&listener)?) as Box<dyn Stream>));
        Self { url, state }
    }

    pub(crate) fn unix(path: &Path, handler: impl Fn(&Recorded) -> Reply + Send + Sync + 'static) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        let state = State::new(handler);
        state
            .clone()
            .serve(move || Ok(Box::new(listener.accept()?.0) as Box<dyn Stream>));
        Self {
            url: format!("unix:{}", path.display()),
            state,
        }
    }

    pub(crate) fn tls(config: Arc<ServerConfig>, handler: impl Fn(&Recorded) -> Reply + Send + Sync + 'static) -> Self {
        Self::tls_at(SocketAddr::from(([127, 0, 0, 1], 0)), config, handler)
    }

    pub(crate) fn tls_at(
        address: SocketAddr,
        config: Arc<ServerConfig>,
        handler: impl Fn(&Recorded) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = State::new(handler);
        state.clone().serve(move || {
            let connection = ServerConnection::new(config.clone()).map_err(io::Error::other)?;
            let stream = StreamOwned::new(connection, accept(&listener)?);
            Ok(Box::new(Secured(stream)) as Box<dyn Stream>)
        });
        Self {
            url: format!("https://localhost:{port}"),
            state,
        }
    }

    /// Hands every connection to `converse`, unread.
    pub(crate) fn raw(converse: impl Fn(&mut dyn Stream) -> io::Result<()> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let converse = Arc::new(converse);
        thread::spawn(move || {
            while let Ok(mut stream) = accept(&listener) {
                let converse = converse.clone();
                thread::spawn(move || converse(&mut stream));
            }
        });
        Self {
            url,
            state: State::new(|_| Reply::ok("")),
        }
    }

    /// What arrived for the request with this `x-case`.
    pub(crate) fn seen(&self, case: &str) -> Vec<Recorded> {
        let of_case = |each: &&Recorded| values(&each.headers, "x-case") == [case];
        self.state.seen.lock().iter().filter(of_case).cloned().collect()
    }

    pub(crate) fn all(&self) -> Vec<Recorded> {
        self.state.seen.lock().clone()
    }

    /// How many connections were ever opened to it.
    pub(crate) fn connections(&self) -> usize {
        *self.state.connections.lock()
    }

    /// Fails when anything arrived that a strict reader rejects.
    pub(crate) fn assert_strict(&self) {
        let violations = self.state.violations.lock();
        assert!(
            violations.is_empty(),
            "the upstream was sent what is no HTTP: {violations:?}"
        );
    }
}

impl State {
    fn new(handler: impl Fn(&Recorded) -> Reply + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            handler: Box::new(handler),
            seen: Mutex::default(),
            violations: Mutex::default(),
            connections: Mutex::default(),
        })
    }

    fn serve(self: Arc<Self>, accept: impl Fn() -> io::Result<Box<dyn Stream>> + Send + 'static) {
        thread::spawn(move || {
            while let Ok(stream) = accept() {
                *self.connections.lock() += 1;
                let state = self.clone();
                thread::spawn(move || state.converse(stream));
            }
        });
    }

    fn converse(&self, mut stream: Box<dyn Stream>) {
        loop {
            let request = match read_request(&mut *stream) {
                Ok(Some(request)) => request,
                Ok(None) => return,
                Err(error) => return self.note(&error),
            };
            self.seen.lock().push(request.clone());
            let written = match (self.handler)(&request) {
                Reply::Answer { status, headers, body } => {
                    write_answer(&mut *stream, &request, status, &headers, &body)
                }
                Reply::Script(script) => {
                    _ = script(&mut *stream);
                    return;
                }
            };
            if written.is_err() {
                return;
            }
        }
    }

    fn note(&self, error: &io::Error) {
        if error.kind() == ErrorKind::Other {
            self.violations.lock().push(error.to_string());
        }
    }
}

/// A connection with TLS that says so when it ends.
struct Secured(StreamOwned<ServerConnection, TcpStream>);

impl io::Read for Secured {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.read(into)
    }
}

impl io::Write for Secured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Drop for Secured {
    fn drop(&mut self) {
        self.0.conn.send_close_notify();
        _ = io::Write::flush(&mut self.0);
    }
}

fn accept(listener: &TcpListener) -> io::Result<TcpStream> {
    let (socket, _) = listener.accept()?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(PATIENCE * 6))?;
    Ok(socket)
}

/// The next request; `None` when the connection ended between two.
pub(crate) fn read_request(stream: &mut dyn Stream) -> io::Result<Option<Recorded>> {
    let Some(head) = read_until(stream, b"\r\n\r\n")? else {
        return Ok(None);
    };
    let (start, headers) = parse_head(&head)?;
    let parts: Vec<&str> = start.split(' ').collect();
    let wrong = |what: &str| io::Error::other(format!("{what} in {start:?} {headers:?}"));
    let [method, target, "HTTP/1.1"] = parts[..] else {
        return Err(wrong("a bad request line"));
    };
    if !target.starts_with('/') || target.bytes().any(|byte| !(0x21..=0x7e).contains(&byte)) {
        return Err(wrong("a bad target"));
    }
    if values(&headers, "host").len() != 1 {
        return Err(wrong("not exactly one host"));
    }
    let body = match (
        &values(&headers, "content-length")[..],
        &values(&headers, "transfer-encoding")[..],
    ) {
        ([], []) => Vec::new(),
        ([], ["chunked"]) => read_chunked(stream)?,
        ([length], []) if length.bytes().all(|byte| byte.is_ascii_digit()) => {
            let mut body = vec![0; length.parse().map_err(|_| wrong("a bad content-length"))?];
            stream.read_exact(&mut body)?;
            body
        }
        _ => return Err(wrong("bad framing")),
    };
    let (method, target) = (method.to_owned(), target.to_owned());
    Ok(Some(Recorded {
        method,
        target,
        headers,
        body,
    }))
}

fn write_answer(
    stream: &mut dyn Stream,
    request: &Recorded,
    status: u16,
    headers: &[(String, String)],
    body: &[u8],
) -> io::Result<()> {
    let mut answer = format!("HTTP/1.1 {status} Whatever\r\n");
    for (name, value) in headers {
        answer.extend([name, ": ", value, "\r\n"]);
    }
    answer.extend(["content-length: ", &body.len().to_string(), "\r\n\r\n"]);
    let mut answer = answer.into_bytes();
    if request.method != "HEAD" {
        answer.extend_from_slice(body);
    }
    stream.write_all(&answer)?;
    stream.flush()
}
