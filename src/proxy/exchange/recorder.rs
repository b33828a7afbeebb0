//! Records the response to a request that holds the lease of its idempotency key, and stores it.

use bytes::Bytes;
use pingora::http::ResponseHeader;

use crate::admission::idempotency::deferred;
use crate::admission::idempotency::lease::KeyLease;
use crate::digest::Hasher;
use crate::idempotency::Record;
use crate::request::content_length;

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
    /// Records the response to a request with this digest up to its body. `is_empty`: the request has no body.
    pub(super) const fn new(lease: KeyLease, digest: Hasher, is_empty: bool) -> Self {
        Self {
            lease,
            digest,
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

    /// Returns whether only the rest of the request is missing, so that the response could be stored.
    pub(super) const fn lacks_request(&self) -> bool {
        !self.is_unstorable && !self.has_request
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
    pub(super) async fn store(mut self) {
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
