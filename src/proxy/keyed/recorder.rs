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

use super::subrequest::Subrequest;
use crate::admission::idempotency::deferred;
use crate::admission::idempotency::lease::KeyLease;
use crate::admission::record::InFlightGuard;
use crate::digest::{Fingerprint, Hasher};
use crate::idempotency::Record;
use crate::proxy::context::{Report, with_context};
use crate::request::content_length;

/// How many parts of the response may be queued for the client.
const IN_FLIGHT: usize = 4;

/// How long the upstream may still respond after the client disconnected.
const DETACHED_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a whole response waits for the end of the request's body, whose digest is stored with it.
const REQUEST_ENDS: Duration = Duration::from_secs(1);

/// Passes the request's body to the subrequest and digests it. Dropped before the end of the body, it aborts the
/// subrequest, so the upstream never takes a part of the body for the whole.
pub(super) struct BodyTee {
    pub(super) input: mpsc::Sender<HttpTask>,
    running: Hasher,
    digest: Option<oneshot::Sender<Fingerprint>>,
}

impl BodyTee {
    /// Returns whether the end of the body is still to be sent.
    pub(super) const fn is_open(&self) -> bool {
        self.digest.is_some()
    }

    /// Digests the next part, and makes the task that passes it to the subrequest. `None` is the end.
    pub(super) fn task(&mut self, part: Option<Bytes>, ends: bool) -> HttpTask {
        if let Some(part) = &part {
            self.running.add(part);
        }
        if ends && let Some(digest) = self.digest.take() {
            // The receiver is gone if the recorder has already finished.
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

/// Records the response to one request, and stores it.
pub(super) struct ResponseRecorder {
    lease: Option<KeyLease>,
    /// What the subrequest reports.
    report: Arc<Mutex<Report>>,
    response: Option<PartialResponse>,
    /// Counts the request as in flight until its response is stored, so that a drain waits for that.
    _in_flight: InFlightGuard,
}

/// The client's side of the response.
struct Client {
    parts: mpsc::Sender<HttpTask>,
    /// After the client disconnected: the deadline for the rest of the response.
    detached_until: Option<Instant>,
}

impl Client {
    async fn take(&mut self, part: HttpTask) {
        if self.detached_until.is_none() && self.parts.send(part).await.is_err() {
            self.detached_until = Some(Instant::now() + DETACHED_TIMEOUT);
        }
    }
}

/// A response as far as it has arrived.
struct PartialResponse {
    head: ResponseHeader,
    body: Vec<u8>,
    /// How many bytes are still missing, if the length is known.
    missing: Option<usize>,
    /// Whether it can be stored, as far as is known.
    is_storable: bool,
}

impl PartialResponse {
    fn begin(head: &ResponseHeader) -> Self {
        let length = content_length(&head.headers).ok().flatten();
        let length = length.and_then(|length| usize::try_from(length).ok());
        let bodiless = matches!(head.status.as_u16(), 204 | 304);
        Self {
            head: head.clone(),
            body: Vec::new(),
            missing: if bodiless { Some(0) } else { length },
            is_storable: Record::keeps(head.status.as_u16()),
        }
    }

    fn add(&mut self, part: &[u8], max_body: usize) {
        self.missing = self.missing.map(|missing| missing.saturating_sub(part.len()));
        self.is_storable &= self.body.len() + part.len() <= max_body;
        match self.is_storable {
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
            response: None,
            _in_flight: in_flight,
        }
    }

    /// Starts the subrequest and the recording. Returns the sender of its body and the receiver of its response.
    pub(super) fn start(self, subrequest: Subrequest, digest: Hasher) -> (BodyTee, mpsc::Receiver<HttpTask>) {
        let Subrequest { prepared, handle, ctx } = subrequest;
        tokio::spawn(with_context(ctx, prepared.run()));
        let (ended, digested) = oneshot::channel();
        let (parts, response) = mpsc::channel(IN_FLIGHT);
        let upload = BodyTee {
            input: handle.tx.clone(),
            running: digest,
            digest: Some(ended),
        };
        let client = Client {
            parts,
            detached_until: None,
        };
        tokio::spawn(async move {
            self.run(handle.rx, client, digested).await;
            // Held until here: for pingora, a dropped sender is a client that disconnected.
            drop(handle.tx);
        });
        (upload, response)
    }

    /// Receives the response, records it, and passes it to the client. Ends early if the client is gone and the
    /// response cannot be stored; pingora then aborts the subrequest.
    async fn run(
        mut self,
        mut parts: mpsc::Receiver<HttpTask>,
        mut client: Client,
        digested: oneshot::Receiver<Fingerprint>,
    ) {
        let mut digested = Some(digested);
        loop {
            let next = match client.detached_until {
                None => parts.recv().await,
                Some(deadline) if self.may_be_stored() => timeout_at(deadline, parts.recv()).await.unwrap_or_default(),
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

    /// Returns whether the response may still be stored.
    fn may_be_stored(&self) -> bool {
        self.lease.is_some() && self.response.as_ref().is_none_or(|response| response.is_storable)
    }

    /// Records a part of the response. Returns whether the client could take it for the last one.
    fn ends(&mut self, part: &HttpTask) -> bool {
        match (part, &mut self.response) {
            (HttpTask::Header(head, ends), _) if !head.status.is_informational() => {
                let response = self.response.insert(PartialResponse::begin(head));
                let report = self.report.lock();
                // Only a response of the upstream is stored, and not one that may be truncated.
                response.is_storable &= report.is_from_upstream() && !report.has_open_end();
                *ends || response.is_whole()
            }
            (HttpTask::Body(part, ends), Some(response)) => {
                let max_body = self.lease.as_ref().map_or(0, |lease| lease.max_body);
                response.add(part.as_deref().unwrap_or_default(), max_body);
                *ends || response.is_whole()
            }
            // A record holds no trailers.
            (HttpTask::Trailer(Some(_)), Some(response)) => {
                response.is_storable = false;
                true
            }
            (HttpTask::Trailer(None) | HttpTask::Done, Some(_)) => true,
            _ => false,
        }
    }

    /// Stores the response, or releases the key.
    async fn settle(&mut self, digested: oneshot::Receiver<Fingerprint>) {
        let (Some(lease), Some(response)) = (self.lease.take(), self.response.take()) else {
            return;
        };
        if !response.is_storable {
            return;
        }
        // Without the digest of the whole body, a later request could not be compared.
        let Ok(Ok(digest)) = timeout(REQUEST_ENDS, digested).await else {
            return;
        };
        let status = response.head.status.as_u16();
        let record = Record::new(status, &response.head.headers, response.body);
        if let Some(record) = record.encode() {
            deferred::store(lease, digest, record).await;
        }
    }
}
