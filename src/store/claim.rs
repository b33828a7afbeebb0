//! Claims of requests: the key that a request claims, and what the store replies.

use crate::digest::Fingerprint;

/// The key under which a response is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordKey {
    /// The request that the response belongs to.
    pub name: Fingerprint,
    /// The callers that share one part of a store in memory.
    pub share: Fingerprint,
}

/// The result of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// The claim is granted, for as long as the lease lasts.
    Granted,
    /// Another request holds the key.
    Taken,
    /// The store has a response.
    Stored(StoredResponse),
}

/// A stored response, before its bytes are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredResponse {
    /// The digest of the request that it belongs to.
    pub digest: Fingerprint,
    /// The length of the record, in bytes.
    pub bytes: usize,
}
