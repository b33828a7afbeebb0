//! Records the upstream response and stores it before its last bytes are forwarded, even if the client
//! disconnects.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use pingora::http::ResponseHeader;
use pingora::protocols::http::HttpTask;
use pingora::{Error, ErrorType};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout, timeout_at};

use super::handover::Child;
use crate::admission::idempotency::deferred;
use crate::admission::idempotency::lease::KeyLease;
use crate::admission::record::InFlightGuard;
use crate::digest::{Fingerprint, Hasher};
use crate::idempotency::Record;
use crate::proxy::context::{Report, with_context};
use crate::request::content_length;

/// The parts of an answer that may be on their way to a client.
const IN_FLIGHT: usize = 4;

/// How long an answer may go on for nobody, so that it is kept.
const DETACHED_TIMEOUT: Duration = Duration::from_secs(10);

/// How long an answer that is whole waits for the end of its request.
const REQUEST_ENDS: Duration = Duration::from_secs(1);

/// The body of the request on its way. If it is dropped before its end, the service hears that it
/// was broken off, and never takes a part for the whole.
pub(super) struct BodyTee {
    pub(super) input: mpsc::Sender<HttpTask>,
    running: Hasher,
    digest: Option<oneshot::Sender<Fingerprint>>,
}

impl BodyTee {
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

impl Drop for BodyTee {
    fn drop(&mut self) {
        if self.is_open() {
            let input = self.input.clone();
            let broken = Error::new(ErrorType::ConnectionClosed).into_down();
            tokio::spawn(async move { input.send(HttpTask::Failed(broken)).await });
        }
    }
}

/// Keeps the answer to one request.
pub(super) struct ResponseRecorder {
    lease: Option<KeyLease>,
    /// What the request tells about itself.
    report: Arc<Mutex<Report>>,
    answer: Option<Answer>,
    /// Until the answer is kept, so that the process does not end before.
    _in_flight: InFlightGuard,
}

/// Where the parts of an answer go.
struct Client {
    parts: mpsc::Sender<HttpTask>,
    /// Until when the service may go on, once there is nobody.
    gone: Option<Instant>,
}

impl Client {
    async fn take(&mut self, part: HttpTask) {
        if self.gone.is_none() && self.parts.send(part).await.is_err() {
            self.gone = Some(Instant::now() + DETACHED_TIMEOUT);
        }
    }
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
        let length = content_length(&head.headers).ok().flatten();
        let length = length.and_then(|length| usize::try_from(length).ok());
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

impl ResponseRecorder {
    /// Records the response to a request that holds the lease of its key.
    pub(super) fn new(lease: KeyLease, report: Arc<Mutex<Report>>, in_flight: InFlightGuard) -> Self {
        Self {
            lease: Some(lease),
            report,
            answer: None,
            _in_flight: in_flight,
        }
    }

    /// Starts the request. Where its body goes, and where the answer comes from.
    pub(super) fn start(self, child: Child, digest: Hasher) -> (BodyTee, mpsc::Receiver<HttpTask>) {
        let Child { prepared, handle, ctx } = child;
        tokio::spawn(with_context(ctx, prepared.run()));
        let (ended, digested) = oneshot::channel();
        let (parts, answer) = mpsc::channel(IN_FLIGHT);
        let upload = BodyTee {
            input: handle.tx.clone(),
            running: digest,
            digest: Some(ended),
        };
        let client = Client { parts, gone: None };
        tokio::spawn(async move {
            self.run(handle.rx, client, digested).await;
            // Until here: the engine would take its end for a client that went.
            drop(handle.tx);
        });
        (upload, answer)
    }

    /// Takes the answer, up to its end or until it is of no use to anybody: what is not taken, the
    /// engine cuts.
    async fn run(
        mut self,
        mut parts: mpsc::Receiver<HttpTask>,
        mut client: Client,
        digested: oneshot::Receiver<Fingerprint>,
    ) {
        let mut digested = Some(digested);
        loop {
            let next = match client.gone {
                None => parts.recv().await,
                Some(deadline) if self.is_worth_it() => timeout_at(deadline, parts.recv()).await.unwrap_or_default(),
                Some(_) => None,
            };
            let Some(part) = next else { return };
            if self.ends(&part)
                && let Some(digested) = digested.take()
            {
                self.settle(digested).await;
            }
            client.take(part).await;
        }
    }

    /// Whether there is an answer to keep, or may be.
    fn is_worth_it(&self) -> bool {
        self.lease.is_some() && self.answer.as_ref().is_none_or(|answer| answer.keeps)
    }

    /// Takes a part of the answer into account: whether a client could take it for the last.
    fn ends(&mut self, part: &HttpTask) -> bool {
        match (part, &mut self.answer) {
            (HttpTask::Header(head, ends), _) if !head.status.is_informational() => {
                let answer = self.answer.insert(Answer::begin(head));
                let report = self.report.lock();
                // What Sidegate or the engine says in place of the service is no answer of it, and a
                // response that has no end of its own may be a part of one.
                answer.keeps &= report.is_of_the_service() && !report.has_open_end();
                *ends || answer.is_whole()
            }
            (HttpTask::Body(part, ends), Some(answer)) => {
                let max_body = self.lease.as_ref().map_or(0, |lease| lease.max_body);
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

    /// Keeps the answer, or gives the key up.
    async fn settle(&mut self, digested: oneshot::Receiver<Fingerprint>) {
        let (Some(lease), Some(answer)) = (self.lease.take(), self.answer.take()) else {
            return;
        };
        if !answer.keeps {
            return;
        }
        // A request that was not read to its end cannot be told from others.
        let Ok(Ok(digest)) = timeout(REQUEST_ENDS, digested).await else {
            return;
        };
        let status = answer.head.status.as_u16();
        let record = Record::new(status, &answer.head.headers, answer.body);
        if let Some(record) = record.encode() {
            deferred::store(lease, digest, record).await;
        }
    }
}
