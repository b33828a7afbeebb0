//! The target of a request (RFC 9112, 3.2), as the client sent it.

use std::borrow::Cow;

use bytes::Bytes;

/// A path and its query.
#[derive(Debug, Clone, Default)]
pub struct RequestTarget {
    bytes: Bytes,
    query_at: usize,
}

impl RequestTarget {
    /// Splits a target at the start of its query.
    pub fn new(bytes: Bytes) -> Self {
        let query_at = bytes.iter().position(|&b| b == b'?').unwrap_or(bytes.len());
        Self { bytes, query_at }
    }

    /// Returns the path.
    pub fn path(&self) -> &[u8] {
        self.bytes.get(..self.query_at).unwrap_or_default()
    }

    /// Returns the path as text for logs.
    pub fn shown_path(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self.path())
    }

    /// Returns the query with its `?`. Empty if the target has no query.
    pub fn query(&self) -> &[u8] {
        self.bytes.get(self.query_at..).unwrap_or_default()
    }

    /// Returns the target with another path and the same query.
    pub fn with_path(&self, path: &[u8]) -> Bytes {
        match path == self.path() {
            true => self.bytes.clone(),
            false => [path, self.query()].concat().into(),
        }
    }
}
