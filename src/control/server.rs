//! Serves the control socket.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::io::{AsyncWrite, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::message::{Asking, Fault, MAX_REQUEST, Reply, Request};
use super::socket::{Socket, SocketFile};
use super::{Line, flush, gather, is_trusted, read_line};
use crate::background;
use crate::policy::Policy;
use crate::proxy::policy_snapshot::PolicyHandle;
use crate::revocation::{Revocation, Revocations, Target};
use crate::store::Store;

/// The most connections at a time; others are rejected, and may retry.
const CONNECTIONS: usize = 16;

/// How long a connection may be silent, or take for a line.
const IDLE: Duration = Duration::from_secs(10);

/// The bytes of a list that are written at a time.
const PIECE: usize = 32 * 1024;

/// What is asked and changed over the socket.
#[derive(Debug, Clone)]
pub struct Control {
    /// Keeps what is revoked.
    pub store: Arc<Store>,
    /// Says which policies look up revocations.
    pub policies: Arc<PolicyHandle>,
}

/// A socket that is served until this value is dropped.
#[derive(Debug)]
pub struct Served {
    file: SocketFile,
    task: JoinHandle<()>,
}

impl Control {
    /// Serves a socket.
    pub fn serve(self, socket: Socket) -> io::Result<Served> {
        let listener = UnixListener::from_std(socket.listener)?;
        let task = background::spawn("control", accept(listener, self));
        let file = socket.file;
        Ok(Served { file, task })
    }

    /// Which policies look for a revocation of this kind. A policy without `tenant` verifies no
    /// tenant, so it cannot know the tokens of one; nor can one that reads UUIDs know another text.
    fn asking(&self, target: &Target) -> Asking {
        let in_force = self.policies.peek();
        let knows = |policy: &Policy| match target {
            Target::Tenant(tenant) => policy.tenant.as_ref().is_some_and(|rule| rule.may_be(tenant)),
            Target::Jti(_) | Target::Subject(_) => true,
        };
        let policies = in_force.policies().policies().iter();
        let policies: Vec<_> = policies
            .map(|policy| (policy.service.as_str(), policy.revocation.is_some() && knows(policy)))
            .collect();
        Asking::of(&policies, self.store.ends_with_process())
    }
}

impl Served {
    /// Where the socket is.
    pub fn path(&self) -> &Path {
        self.file.path()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: UnixListener, control: Control) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "the control socket takes no connection");
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            }
        };
        if !matches!(is_trusted(&stream), Ok(true)) {
            let uid = stream.peer_cred().ok().map(|peer| peer.uid());
            tracing::warn!(?uid, "rejected a control connection from another user");
            continue;
        }
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            turn_away(stream);
            continue;
        };
        let control = control.clone();
        tokio::spawn(async move {
            if let Err(error) = converse(stream, &control).await {
                tracing::debug!(%error, "a control connection broke off");
            }
            drop(place);
        });
    }
}

/// Says so as far as that takes no time.
fn turn_away(stream: UnixStream) {
    let mut line = Vec::new();
    let reply = error(Fault::Busy, &"too many ask at the same time");
    if let (Ok(()), Ok(mut stream)) = (gather(&reply, &mut line), stream.into_std()) {
        // It does not block, and a new socket has room for a line.
        let _ = stream.write(&line);
    }
}

/// Answers one request after the other.
async fn converse(stream: UnixStream, control: &Control) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    loop {
        let mut out = Vec::new();
        match read_line(&mut reader, MAX_REQUEST, IDLE).await? {
            Line::Whole(line) => answer(&line, control, &mut writer, &mut out).await?,
            Line::End => return Ok(()),
            Line::TooLong => {
                gather(&error(Fault::Invalid, &"the line is too long"), &mut out)?;
                return flush(&mut writer, &mut out).await;
            }
        }
        flush(&mut writer, &mut out).await?;
    }
}

async fn answer(
    line: &[u8],
    control: &Control,
    writer: &mut (impl AsyncWrite + Unpin),
    out: &mut Vec<u8>,
) -> io::Result<()> {
    match serde_json::from_slice(line) {
        Ok(Request::Revoke(revocation)) => gather(&revoke(revocation, control).await, out),
        Ok(Request::Revocations {}) => list(&control.store, writer, out).await,
        Err(cause) => gather(&error(Fault::Invalid, &cause), out),
    }
}

async fn revoke(revocation: Revocation, control: &Control) -> Reply {
    let now = Timestamp::now();
    let ends = Timestamp::from_millisecond(revocation.expires);
    if let Some(problem) = revocation.problem() {
        return error(Fault::Invalid, &problem);
    }
    if !ends.is_ok_and(|ends| ends > now) {
        return error(Fault::Invalid, &"it would be over at once, or never");
    }
    if revocation
        .before
        .is_some_and(|before| before > now.as_millisecond() + 60_000)
    {
        return error(Fault::Invalid, &"those tokens are not issued yet");
    }
    match control.store.revoke(&revocation).await {
        Ok(()) => {
            log(&revocation);
            Reply::Revoked {
                revocation: control.store.revocations().list().with(&revocation),
                asking: control.asking(&revocation.target),
            }
        }
        Err(unavailable) => {
            let kind = match unavailable.is_full() {
                true => Fault::Full,
                false => Fault::Unavailable,
            };
            tracing::warn!(cause = %unavailable, "tokens could not be revoked");
            error(kind, &unavailable)
        }
    }
}

fn log(revocation: &Revocation) {
    let time = |millis| Timestamp::from_millisecond(millis).ok().map(tracing::field::display);
    tracing::info!(
        kind = revocation.target.kind(),
        value = revocation.target.value().as_str(),
        issuer = revocation.issuer.as_deref(),
        before = revocation.before.and_then(time),
        expires = time(revocation.expires),
        "tokens revoked"
    );
}

/// A line for each that is in force, in pieces, and one that says that they are all.
async fn list(store: &Store, writer: &mut (impl AsyncWrite + Unpin), out: &mut Vec<u8>) -> io::Result<()> {
    let now = Timestamp::now().as_millisecond();
    let known = store.revocations();
    let mut count = 0;
    for revocation in known.list().iter().filter(|revocation| revocation.expires > now) {
        gather(&Reply::Revocation(revocation), out)?;
        count += 1;
        if out.len() >= PIECE {
            flush(writer, out).await?;
        }
    }
    let age_ms = match known.view() {
        Revocations::Known { age, .. } => age.and_then(|age| u64::try_from(age.as_millis()).ok()),
        Revocations::Unasked => None,
    };
    gather(&Reply::End { count, age_ms }, out)
}

fn error(kind: Fault, cause: &impl ToString) -> Reply {
    let message = cause.to_string();
    Reply::Error { kind, message }
}
