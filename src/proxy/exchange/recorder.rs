//! Records the response to a request that holds the lease of its idempotency key. It is stored before the client
//! receives its end, and even if the client disconnects.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use pingora::http::ResponseHeader;
use pingora::{Error, ErrorType, Result};
use tokio::time::{Instant, timeout, timeout_at};

use super::{Event, Exchange, RequestBody};
use crate::admission::idempotency::deferred;
use crate::admission::idempotency::lease::KeyLease;
use crate::digest::Hasher;
use crate::idempotency::{self, Record};
use crate::proxy::upstream::UpstreamSession;
use crate::request::content_length;

/// How long the upstream may still respond after the client disconnected, if the response is to be stored.
const DETACHED_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a whole response waits for the end of the request's body, whose digest is stored with it.
const REQUEST_ENDS: Duration = Duration::from_secs(1);

/// The body of one request as far as it was forwarded, and its response as far as it has arrived. Dropped before the
/// response is stored, it releases the key.
pub(super) struct ResponseRecorder {
    lease: KeyLease,
    digest: Hasher,
    /// Whether the digest is that of the whole request.
    has_request: bool,
    /// The response, as long as it can be stored as far as is known.
    record: Option<Record>,
    /// How many bytes are still missing, if the length is known.
    missing: Option<u64>,
    /// Whether the response cannot be stored.
    is_unstorable: bool,
}

impl ResponseRecorder {
    /// Records the response to a request with these fields. `is_empty`: the request has no body.
    pub(super) fn new(lease: KeyLease, request: &HeaderMap, is_empty: bool) -> Self {
        Self {
            lease,
            digest: idempotency::digest(request),
            has_request: is_empty,
            record: None,
            missing: None,
            is_unstorable: false,
        }
    }

    /// Returns whether the response may still be stored without the client.
    pub(super) const fn may_store(&self) -> bool {
        !self.is_unstorable && self.has_request
    }

    /// Returns whether the client has sent the whole request.
    pub(super) const fn has_request(&self) -> bool {
        self.has_request
    }

    /// Records a part of the request's body. `ends`: it is the last one.
    pub(super) fn add_request(&mut self, part: &[u8], ends: bool) {
        self.digest.add(part);
        self.has_request |= ends;
    }

    /// Records the final head. With `has_open_end`, a truncated response looks like a whole one, and is not stored.
    /// `ends`: no body follows.
    pub(super) fn begin(&mut self, head: &ResponseHeader, has_open_end: bool, ends: bool) {
        let status = head.status.as_u16();
        self.is_unstorable = !Record::keeps(status) || has_open_end;
        self.record = (!self.is_unstorable).then(|| Record::new(status, &head.headers, Vec::new()));
        self.missing = match ends {
            true => Some(0),
            false => content_length(&head.headers).ok().flatten(),
        };
    }

    /// Records a part of the response's body.
    pub(super) fn add(&mut self, part: &[u8], ends: bool) {
        let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
        self.missing = match ends {
            true => Some(0),
            false => self.missing.map(|missing| missing.saturating_sub(length)),
        };
        let max_body = self.lease.max_body;
        if !self.record.as_mut().is_some_and(|record| record.add(part, max_body)) {
            self.record = None;
            self.is_unstorable = true;
        }
    }

    /// Returns whether the client could take what was recorded for the whole response.
    pub(super) fn is_whole(&self) -> bool {
        self.missing == Some(0)
    }

    /// Stores the response, if that is possible. Without the digest of the whole request, a later one could not be
    /// compared.
    async fn store(mut self) {
        let may_store = self.may_store();
        let Some(record) = self.record.filter(|_| may_store).and_then(|record| record.encode()) else {
            return;
        };
        let (digest, record) = (self.digest.end(), Bytes::from(record.into_boxed_slice()));
        if let Err(unavailable) = self.lease.try_store(digest, &record).await {
            // The upstream has done its work.
            deferred::store_later(self.lease, digest, record, &unavailable);
        }
    }
}

impl Exchange<'_> {
    /// Waits for the next event of the upstream, as long as the response may be stored.
    pub(super) async fn next_event_detached(
        &mut self,
        service: &mut UpstreamSession,
        deadline: Instant,
    ) -> Result<Event> {
        let is_gone = |why| Err(Error::explain(ErrorType::ConnectionClosed, why).into_down());
        if !self.may_store() {
            return is_gone("the client is gone, and the response cannot be stored");
        }
        match timeout_at(deadline, service.next(true)).await {
            Ok(event) => event.map(Event::Upstream),
            Err(_) => is_gone("the client is gone, and the response is late"),
        }
    }

    fn may_store(&self) -> bool {
        self.recorder.as_ref().is_some_and(ResponseRecorder::may_store)
    }

    /// Receives the rest of the response without the client, if it is still to be stored.
    pub(super) fn tolerate_disconnect(&mut self, written: Result<()>) -> Result<()> {
        let Err(error) = written else { return Ok(()) };
        if !self.may_store() {
            return Err(error);
        }
        tracing::debug!(%error, "the client is gone; its response is still stored");
        self.detached_until = Some(Instant::now() + DETACHED_TIMEOUT);
        Ok(())
    }

    /// Stores a whole response before the client receives its end.
    pub(super) async fn store_if_whole(&mut self, service: &mut UpstreamSession) {
        let Some(recorder) = self.recorder.as_ref().filter(|recorder| recorder.is_whole()) else {
            return;
        };
        if !recorder.has_request()
            && Box::pin(timeout(REQUEST_ENDS, self.finish_request(service)))
                .await
                .is_err()
        {
            // A part may be half written.
            self.body = RequestBody::Aborted;
        }
        if let Some(recorder) = self.recorder.take() {
            Box::pin(recorder.store()).await;
        }
    }

    /// Reads the rest of the request's body after the response is complete. The upstream gets it as long as it takes
    /// it.
    async fn finish_request(&mut self, service: &mut UpstreamSession) -> Result<()> {
        while self.recorder.as_ref().is_some_and(|recorder| !recorder.has_request()) {
            if service.is_blocked() {
                self.body = RequestBody::Aborted;
            }
            let part = self.next_part(true).await?;
            let ends = part.is_none() || self.session.is_body_done();
            self.send(service, part, ends).await?;
        }
        Ok(())
    }
}
