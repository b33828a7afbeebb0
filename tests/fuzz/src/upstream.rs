//! The service behind the gateway: it reads strictly, keeps every request, and responds as the input says.

use std::io::{self, Read as _};
use std::os::unix::net::UnixListener as StdListener;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;

use crate::strict::{self, Reading, Request, Violation};

/// How the service behaves in one round.
#[derive(Debug, Clone, Copy, Default)]
pub struct Manner {
    /// It answers before it has the body.
    pub early: bool,
    /// It closes the connection after its response.
    pub close: bool,
    /// It takes a WebSocket that it is asked for.
    pub switch: bool,
}

/// What reached the service in one round.
#[derive(Debug, Default)]
pub struct Record {
    /// The requests whose head is whole.
    pub requests: Vec<Request>,
    /// Bytes that are not a request.
    pub violations: Vec<Violation>,
}

/// A service on a unix socket.
#[derive(Debug)]
pub struct Upstream {
    path: PathBuf,
    listener: StdListener,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    manner: watch::Sender<Manner>,
    record: Mutex<Record>,
    /// Goes up when a round ends.
    round: watch::Sender<u64>,
    open: watch::Sender<usize>,
}

impl Upstream {
    /// Listens and serves. Needs a runtime.
    pub fn start() -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("sidegate-fuzz-{}.sock", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let listener = StdListener::bind(&path)?;
        listener.set_nonblocking(true)?;
        let shared = Arc::new(Shared {
            manner: watch::Sender::default(),
            record: Mutex::default(),
            round: watch::Sender::default(),
            open: watch::Sender::default(),
        });
        let served = UnixListener::from_std(listener.try_clone()?)?;
        tokio::spawn(accept(served, Arc::clone(&shared)));
        Ok(Self { path, listener, shared })
    }

    /// Its address in a policy.
    pub fn url(&self) -> String {
        format!("unix:{}", self.path.display())
    }

    /// Begins a round.
    pub fn begin(&self, manner: Manner) {
        self.shared.manner.send_replace(manner);
    }

    /// Ends a round: reads all that was sent, closes all connections, tells what came.
    pub async fn end(&self) -> io::Result<Record> {
        while let Ok((stream, _)) = self.listener.accept() {
            stream.set_nonblocking(true)?;
            Shared::open(&self.shared, UnixStream::from_std(stream)?);
        }
        self.shared.round.send_modify(|round| *round += 1);
        let mut open = self.shared.open.subscribe();
        let _ = open.wait_for(|open| *open == 0).await;
        Ok(std::mem::take(&mut *self.shared.record.lock().unwrap()))
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

async fn accept(listener: UnixListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        Shared::open(&shared, stream);
    }
}

impl Shared {
    fn open(shared: &Arc<Self>, stream: UnixStream) {
        shared.open.send_modify(|open| *open += 1);
        let connection = Connection {
            manner: *shared.manner.borrow(),
            round: shared.round.subscribe(),
            shared: Arc::clone(shared),
            bytes: Vec::new(),
            answered: false,
            last: false,
            switched: false,
        };
        tokio::spawn(connection.serve(stream));
    }
}

struct Connection {
    manner: Manner,
    round: watch::Receiver<u64>,
    shared: Arc<Shared>,
    bytes: Vec<u8>,
    /// The request that is being read has its response.
    answered: bool,
    /// No request may follow.
    last: bool,
    /// What follows is not HTTP.
    switched: bool,
}

impl Connection {
    async fn serve(mut self, mut stream: UnixStream) {
        loop {
            self.read_requests(&mut stream).await;
            tokio::select! {
                read = stream.read_buf(&mut self.bytes) => match read {
                    Ok(length) if length > 0 => {}
                    _ => break,
                },
                _ = self.round.changed() => {
                    // What has arrived is read without waiting for more.
                    if let Ok(mut stream) = stream.into_std() {
                        let _ = stream.read_to_end(&mut self.bytes);
                    }
                    break;
                }
            }
        }
        self.finish();
        self.shared.open.send_modify(|open| *open -= 1);
    }

    async fn read_requests(&mut self, stream: &mut UnixStream) {
        while !self.switched {
            match strict::read(&self.bytes) {
                Ok(Reading::Partial) => return,
                Ok(Reading::Head(request)) => {
                    if self.manner.early {
                        self.answer(&request, stream).await;
                    }
                    return;
                }
                Ok(Reading::Whole(request, used)) => {
                    self.answer(&request, stream).await;
                    self.answered = false;
                    self.bytes.drain(..used);
                    self.note(request);
                }
                Err(violation) => {
                    self.accuse(violation);
                    self.switched = true;
                    let _ = stream.shutdown().await;
                }
            }
        }
    }

    async fn answer(&mut self, request: &Request, stream: &mut UnixStream) {
        if std::mem::replace(&mut self.answered, true) {
            return;
        }
        let websocket = request.values("upgrade").contains(&&b"websocket"[..]);
        let (head, body) = match (self.manner.switch && websocket, request.method.as_str()) {
            (true, _) => (
                "101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n",
                "frames",
            ),
            (false, "HEAD") => ("200 OK\r\ncontent-length: 2\r\n", ""),
            (false, _) => ("200 OK\r\ncontent-length: 2\r\n", "{}"),
        };
        self.switched = head.starts_with("101");
        let close = if self.manner.close { "connection: close\r\n" } else { "" };
        let answer = format!("HTTP/1.1 {head}{close}\r\n{body}");
        let _ = stream.write_all(answer.as_bytes()).await;
        if self.manner.close || self.switched {
            let _ = stream.shutdown().await;
        }
    }

    /// Looks at what is left when nothing more comes.
    fn finish(&mut self) {
        while !self.switched && !self.bytes.is_empty() {
            match strict::read(&self.bytes) {
                Ok(Reading::Whole(request, used)) => {
                    self.bytes.drain(..used);
                    self.note(request);
                }
                Ok(Reading::Head(request)) => {
                    self.note(request);
                    return;
                }
                Ok(Reading::Partial) => {
                    let bytes = self.bytes.escape_ascii();
                    return self.accuse(Violation(format!("bytes that are no request: {bytes}")));
                }
                Err(violation) => return self.accuse(violation),
            }
        }
    }

    fn note(&mut self, request: Request) {
        if std::mem::replace(&mut self.last, self.manner.close) {
            self.accuse(Violation("a request on a connection that was to be closed".into()));
        }
        self.shared.record.lock().unwrap().requests.push(request);
    }

    fn accuse(&self, violation: Violation) {
        self.shared.record.lock().unwrap().violations.push(violation);
    }
}
