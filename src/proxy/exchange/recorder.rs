//! Records the response to a request that holds the lease of its idempotency key, and stores it.

use http::HeaderMap;
use pingora::http::ResponseHeader;

use crate::admission::idempotency::deferred;
use crate::admission::idempotency::lease::KeyLease;
use crate::digest::Hasher;
use crate::idempotency::{self, Record};
use crate::request::content_length;

/// The body of one request as far as it was forwarded, and its response as far as it has arrived. Dropped before the
/// response is stored, it releases the key.
pub(super) struct ResponseRecorder {
    lease: KeyLease,
    digest: Hasher,
    head: Option<ResponseHeader>,
    body: Vec<u8>,
    /// How many bytes are still missing, if the length is known.
    missing: Option<u64>,
    /// Whether the response can be stored, as far as is known.
    is_storable: bool,
}

impl ResponseRecorder {
    /// Records the response to a request with these fields.
    pub(super) fn new(lease: KeyLease, request: &HeaderMap) -> Self {
        Self {
            lease,
            digest: idempotency::digest(request),
            head: None,
            body: Vec::new(),
            missing: None,
            is_storable: true,
        }
    }

    /// Returns whether the response may still be stored.
    pub(super) const fn may_store(&self) -> bool {
        self.is_storable
    }

    /// Records a part of the request's body.
    pub(super) fn add_request(&mut self, part: &[u8]) {
        self.digest.add(part);
    }

    /// Records the final head. With `has_open_end`, a truncated response looks like a whole one, and is not stored.
    /// `ends`: no body follows.
    pub(super) fn begin(&mut self, head: &ResponseHeader, has_open_end: bool, ends: bool) {
        self.is_storable = Record::keeps(head.status.as_u16()) && !has_open_end;
        self.missing = match ends {
            true => Some(0),
            false => content_length(&head.headers).ok().flatten(),
        };
        self.head = Some(head.clone());
    }

    /// Records a part of the response's body.
    pub(super) fn add(&mut self, part: &[u8], ends: bool) {
        let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
        self.missing = match ends {
            true => Some(0),
            false => self.missing.map(|missing| missing.saturating_sub(length)),
        };
        self.is_storable &= self.body.len() + part.len() <= self.lease.max_body;
        match self.is_storable {
            true => self.body.extend_from_slice(part),
            false => self.body = Vec::new(),
        }
    }

    /// Returns whether the client could take what was recorded for the whole response.
    pub(super) fn is_whole(&self) -> bool {
        self.missing == Some(0)
    }

    /// Stores the response. The whole body of the request was forwarded.
    pub(super) async fn store(self) {
        let Some(head) = self.head.filter(|_| self.is_storable) else {
            return;
        };
        let record = Record::new(head.status.as_u16(), &head.headers, self.body);
        if let Some(record) = record.encode() {
            deferred::store(self.lease, self.digest.end(), record).await;
        }
    }
}
