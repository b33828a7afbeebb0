//! Sees to it that an answer is kept before its end is passed on, whether or not there is somebody
//! to pass it on to.

use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use pingora::http::ResponseHeader;
use pingora::protocols::http::HttpTask;
use pingora::protocols::http::subrequest::server::SubrequestHandle;
use pingora::proxy::PreparedSubrequest;
use pingora::{Error, ErrorType};
use tokio::sync::{mpsc, oneshot};

use super::claim::Held;
use crate::fingerprint::{Fingerprint, Running};
use crate::idempotency::Record;
use crate::proxy::places::Place;

/// The parts of an answer that may be on their way to a client.
const IN_FLIGHT: usize = 4;

/// How long an answer that is whole waits for the end of its request.
const REQUEST_ENDS: Duration = Duration::from_secs(1);

/// A request of its own that is about to be forwarded.
pub(super) struct Child {
    pub(super) prepared: PreparedSubrequest,
    pub(super) handle: SubrequestHandle,
}

/// Starts the request, with somebody who keeps its answer. Where its body goes, and where the
/// answer comes from.
pub(super) fn start(child: Child, held: Held, place: Option<Place>) -> (Upload, mpsc::Receiver<HttpTask>) {
    let Child { prepared, handle } = child;
    tokio::spawn(prepared.run());
    let (digest, digested) = oneshot::channel();
    let (parts, answer) = mpsc::channel(IN_FLIGHT);
    let upload = Upload {
        input: handle.tx.clone(),
        running: Running::default(),
        digest: Some(digest),
    };
    let keeper = Keeper {
        held: Some(held),
        digested: Some(digested),
        answer: None,
        client: Some(parts),
        _input: handle.tx,
        _place: place,
    };
    tokio::spawn(keeper.run(handle.rx));
    (upload, answer)
}

/// The body of the request on its way. If it is dropped before its end, the service hears that it
/// was broken off, and never takes a part for the whole.
pub(super) struct Upload {
    pub(super) input: mpsc::Sender<HttpTask>,
    running: Running,
    digest: Option<oneshot::Sender<Fingerprint>>,
}

impl Upload {
    /// Whether there is more to come.
    pub(super) const fn is_open(&self) -> bool {
        self.digest.is_some()
    }

    /// Takes the next part into account; `None` is the end.
    pub(super) fn task(&mut self, part: Option<Bytes>, ends: bool) -> HttpTask {
        if let Some(part) = &part {
            self.running.add(part);
        }
        if ends && let Some(digest) = self.digest.take() {
            // Nobody listens any more if the service has answered already.
            let _ = digest.send(std::mem::take(&mut self.running).end());
        }
        HttpTask::Body(part, ends)
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if self.is_open() {
            let input = self.input.clone();
            let broken = Error::new(ErrorType::ConnectionClosed).into_down();
            tokio::spawn(async move { input.send(HttpTask::Failed(broken)).await });
        }
    }
}

struct Keeper {
    held: Option<Held>,
    digested: Option<oneshot::Receiver<Fingerprint>>,
    answer: Option<Answer>,
    /// Gone when the client is.
    client: Option<mpsc::Sender<HttpTask>>,
    /// The engine takes its end for a client that went.
    _input: mpsc::Sender<HttpTask>,
    /// Until the answer is kept, so that the process does not end before.
    _place: Option<Place>,
}

/// An answer as far as it has come.
struct Answer {
    head: ResponseHeader,
    body: Vec<u8>,
    /// The bytes that are still to come, if that is known.
    missing: Option<usize>,
    /// Whether it is one that can be kept, so far.
    keeps: bool,
}

impl Answer {
    fn begin(head: &ResponseHeader) -> Self {
        let length = head.headers.get(CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
        let bodiless = matches!(head.status.as_u16(), 204 | 304);
        Self {
            head: head.clone(),
            body: Vec::new(),
            missing: if bodiless { Some(0) } else { length },
            keeps: Record::keeps(head.status.as_u16()),
        }
    }

    fn add(&mut self, part: &[u8], max_body: usize) {
        self.missing = self.missing.map(|missing| missing.saturating_sub(part.len()));
        self.keeps &= self.body.len() + part.len() <= max_body;
        match self.keeps {
            true => self.body.extend_from_slice(part),
            false => self.body = Vec::new(),
        }
    }

    fn is_whole(&self) -> bool {
        self.missing == Some(0)
    }
}

impl Keeper {
    async fn run(mut self, mut parts: mpsc::Receiver<HttpTask>) {
        while let Some(part) = parts.recv().await {
            if self.ends(&part) {
                self.settle().await;
            }
            self.pass_on(part).await;
        }
    }

    /// Takes a part of the answer into account: whether a client could take it for the last.
    fn ends(&mut self, part: &HttpTask) -> bool {
        match (part, &mut self.answer) {
            (HttpTask::Header(head, ends), _) if !head.status.is_informational() => {
                let answer = self.answer.insert(Answer::begin(head));
                *ends || answer.is_whole()
            }
            (HttpTask::Body(part, ends), Some(answer)) => {
                let max_body = self.held.as_ref().map_or(0, |held| held.max_body);
                answer.add(part.as_deref().unwrap_or_default(), max_body);
                *ends || answer.is_whole()
            }
            // A record holds no trailers.
            (HttpTask::Trailer(Some(_)), Some(answer)) => {
                answer.keeps = false;
                true
            }
            (HttpTask::Trailer(None) | HttpTask::Done, Some(_)) => true,
            _ => false,
        }
    }

    /// Keeps the answer, or gives the key up. Once: whatever comes later is not waited for.
    async fn settle(&mut self) {
        let (Some(held), Some(answer), Some(digested)) = (self.held.take(), self.answer.take(), self.digested.take())
        else {
            return;
        };
        if !answer.keeps {
            return;
        }
        // A request that was not read to its end cannot be told from others.
        let Ok(Ok(digest)) = tokio::time::timeout(REQUEST_ENDS, digested).await else {
            return;
        };
        let status = answer.head.status.as_u16();
        let record = Record::new(digest, status, &answer.head.headers, answer.body);
        if let Some(record) = record.encode() {
            held.keep(record).await;
        }
    }

    async fn pass_on(&mut self, part: HttpTask) {
        if let Some(client) = &self.client
            && client.send(part).await.is_err()
        {
            self.client = None;
        }
    }
}
