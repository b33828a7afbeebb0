//! Asks a process over its control socket.

use std::fmt;
use std::io;
use std::time::Duration;

use tokio::io::BufReader;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;

use super::message::{Asking, Fault, Reply, Request};
use super::place::Place;
use super::{Line, flush, gather, read_line};
use crate::revocation::Revocation;

/// The longest answer: names have their own bound, and each byte of one may be written as six.
const MAX_REPLY: usize = 256 * 1024;

/// How long a reply may take: the process may have to ask a slow Redis.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection to a process.
#[derive(Debug)]
pub struct Client {
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
}

/// Why a process did not do what it was asked.
#[derive(Debug)]
pub enum ControlError {
    /// It said no.
    No(Fault, String),
    /// It said nothing, or nothing that makes sense.
    Broken(io::Error),
}

impl fmt::Display for ControlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::No(_, message) => f.write_str(message),
            Self::Broken(error) => write!(f, "the process did not reply: {error}"),
        }
    }
}

impl From<io::Error> for ControlError {
    fn from(error: io::Error) -> Self {
        Self::Broken(error)
    }
}

/// All revocations that a process knows.
#[derive(Debug)]
pub struct Known {
    /// The revocations, in no order.
    pub revocations: Vec<Revocation>,
    /// How long ago the list was complete; `None` if it never was.
    pub age: Option<Duration>,
}

impl Client {
    /// Connects to the process that listens at a place.
    pub async fn connect(place: &Place) -> io::Result<Self> {
        place.check()?;
        let stream = timeout(PATIENCE, UnixStream::connect(place.path())).await??;
        let (reader, writer) = stream.into_split();
        let reader = BufReader::new(reader);
        Ok(Self { reader, writer })
    }

    /// Revokes tokens; what is in force then, and which policies look for it.
    pub async fn revoke(&mut self, revocation: &Revocation) -> Result<(Revocation, Asking), ControlError> {
        self.ask(&Request::Revoke(revocation.clone())).await?;
        match self.reply().await? {
            Reply::Revoked { revocation, asking } => Ok((revocation, asking)),
            other => Err(unexpected(&other)),
        }
    }

    /// Asks what is revoked.
    pub async fn revocations(&mut self) -> Result<Known, ControlError> {
        self.ask(&Request::Revocations {}).await?;
        let mut revocations = Vec::new();
        loop {
            match self.reply().await? {
                Reply::Revocation(revocation) => revocations.push(revocation),
                Reply::End { age_ms, .. } => {
                    let age = age_ms.map(Duration::from_millis);
                    return Ok(Known { revocations, age });
                }
                other => return Err(unexpected(&other)),
            }
        }
    }

    /// A process that is at capacity replies before it reads the request: its reply says more than the broken
    /// connection.
    async fn ask(&mut self, request: &Request) -> Result<(), ControlError> {
        let mut line = Vec::new();
        gather(request, &mut line)?;
        match flush(&mut self.writer, &mut line).await {
            Err(error) if matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) => Ok(()),
            written => Ok(written?),
        }
    }

    async fn reply(&mut self) -> Result<Reply, ControlError> {
        let line = match read_line(&mut self.reader, MAX_REPLY, PATIENCE).await? {
            Line::Whole(line) => line,
            Line::End => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            Line::TooLong => return Err(io::Error::other("the reply is too long").into()),
        };
        match serde_json::from_slice(&line).map_err(io::Error::from)? {
            Reply::Error { kind, message } => Err(ControlError::No(kind, message)),
            reply => Ok(reply),
        }
    }
}

fn unexpected(reply: &Reply) -> ControlError {
    io::Error::other(format!("a reply to another request: {reply:?}")).into()
}
