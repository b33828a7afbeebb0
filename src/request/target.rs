//! The target of a request (RFC 9112, 3.2), as the client sent it.

use std::borrow::Cow;

use bytes::Bytes;
use http::HeaderValue;
use http::uri::Authority;

use super::query;

/// The longest host in a log line, in bytes: a name has at most 253 (RFC 1035, 2.3.4).
const SHOWN_HOST: usize = 255;

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

    /// Removes the parameters of some names from the query. Returns whether there were any.
    pub fn remove_parameters(&mut self, is_one: impl Fn(&[u8]) -> bool) -> bool {
        let Some(left) = query::without(self.query(), is_one) else {
            return false;
        };
        self.bytes = [self.path(), &left].concat().into();
        true
    }

    /// Returns the target with another path and the same query.
    pub fn with_path(&self, path: &[u8]) -> Bytes {
        match path == self.path() {
            true => self.bytes.clone(),
            false => [path, self.query()].concat().into(),
        }
    }
}

/// The host of a request as the client sent it, for logs. Shares the bytes of the head.
#[derive(Debug, Clone, Default)]
pub enum RequestHost {
    /// The request has none.
    #[default]
    None,
    /// The field `Host`.
    Field(HeaderValue),
    /// The pseudo-header `:authority` of HTTP/2.
    Authority(Authority),
}

impl RequestHost {
    /// Returns the host as text for logs, which escape it. A host that is too long is cut off.
    pub fn shown(&self) -> Option<Cow<'_, str>> {
        let bytes = match self {
            Self::None => return None,
            Self::Field(value) => value.as_bytes(),
            Self::Authority(authority) => authority.as_str().as_bytes(),
        };
        // What stands before an `@` may be a secret.
        let user = bytes
            .iter()
            .rposition(|byte| *byte == b'@')
            .map(|at| bytes.get(at..).unwrap_or_default());
        let host = user.unwrap_or(bytes);
        let cut = host.get(..SHOWN_HOST).filter(|start| start.len() < host.len());
        let shown = String::from_utf8_lossy(cut.unwrap_or(host));
        if user.is_none() && cut.is_none() {
            return Some(shown);
        }
        let [start, end] = [user.map_or("", |_| "***"), cut.map_or("", |_| "…")];
        Some(Cow::Owned(format!("{start}{shown}{end}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_is_shown_as_it_was_sent_up_to_a_length() {
        let field = |bytes: &[u8]| RequestHost::Field(HeaderValue::from_bytes(bytes).unwrap());
        let long = "a".repeat(256);
        let cut = format!("{}…", "a".repeat(255));
        for (host, want) in [
            (RequestHost::None, None),
            (field(b"a.example:80"), Some("a.example:80")),
            (field(b""), Some("")),
            (field(b"caf\xc3\xa9"), Some("caf\u{e9}")),
            (field(b"caf\xe9"), Some("caf\u{fffd}")),
            (field(long.as_bytes()), Some(cut.as_str())),
            (field(b"u:hush@a@b"), Some("***@b")),
            (
                RequestHost::Authority(Authority::from_static("b.example")),
                Some("b.example"),
            ),
        ] {
            assert_eq!(host.shown().as_deref(), want, "{host:?}");
        }
    }
}
