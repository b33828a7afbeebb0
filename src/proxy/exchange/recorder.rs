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
    /// Whether the digest is that of the whole request.
    has_request: bool,
    head: Option<ResponseHeader>,
    body: Vec<u8>,
    /// How many bytes are still missing, if the length is known.
    missing: Option<u64>,
    /// Whether the response can be stored, as far as is known.
    is_storable: bool,
}

impl ResponseRecorder {
    /// Records the response to a request with these fields. `is_empty`: the request has no body.
    pub(super) fn new(lease: KeyLease, request: &HeaderMap, is_empty: bool) -> Self {
        Self {
            lease,
            digest: idempotency::digest(request),
            has_request: is_empty,
            head: None,
            body: Vec::new(),
            missing: None,
            is_storable: true,
        }
    }

    /// Returns whether the response may still be stored without the client.
    pub(super) const fn may_store(&self) -> bool {
        self.is_storable && self.has_request
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

    /// Stores the response, if that is possible. Without the digest of the whole request, a later one could not be
    /// compared.
    pub(super) async fn store(self) {
        let may_store = self.may_store();
        let Some(head) = self.head.filter(|_| may_store) else {
            return;
        };
        let record = Record::new(head.status.as_u16(), &head.headers, self.body);
        if let Some(record) = record.encode() {
            deferred::store(self.lease, self.digest.end(), record).await;
        }
    }
}
