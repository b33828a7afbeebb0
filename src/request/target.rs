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

    /// Returns the path as text for logs and error bodies.
    pub fn shown_path(&self) -> Cow<'_, str> {
        shown_path(self.path(), self.query())
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

/// What is wrong with a byte of a target. The greater fault outweighs the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ByteFault {
    /// It is not ASCII, as in raw UTF-8.
    NotAscii,
    /// It is a space or a control character, which ends a target or the line.
    NotGraphic,
}

impl ByteFault {
    /// Judges a byte.
    pub const fn of(byte: u8) -> Option<Self> {
        match byte {
            0x80.. => Some(Self::NotAscii),
            _ if byte.is_ascii_graphic() => None,
            _ => Some(Self::NotGraphic),
        }
    }

    /// Describes, for the operator, what is wrong with the target.
    pub const fn describe(self) -> &'static str {
        match self {
            Self::NotAscii => "the target has bytes that must be percent-encoded: only ASCII can stand in it",
            Self::NotGraphic => "the request line is not a method, a target and a version",
        }
    }
}

/// Returns a path as logs and error bodies show it: without a fragment, and without what may be the user of an
/// authority.
pub fn shown_path<'r>(path: &'r [u8], query: &[u8]) -> Cow<'r, str> {
    let end = path.iter().position(|&b| b == b'#').unwrap_or(path.len());
    let (path, fragment) = path.split_at_checked(end).unwrap_or_default();
    let authority = authority_at(path).and_then(|start| Some((start, path.split_at_checked(start)?)));
    let Some((start, (front, rest))) = authority else {
        return String::from_utf8_lossy(path);
    };
    // A password with a delimiter in it ends behind the path.
    let is_server = start <= 2 || !path.starts_with(b"/");
    let is_split = is_server && (user_end(fragment).is_some() || user_end(query).is_some());
    let shown = match user_end(rest) {
        _ if is_split => &[],
        Some(at) => rest.get(at..).unwrap_or_default(),
        None => return String::from_utf8_lossy(path),
    };
    let [front, shown] = [front, shown].map(String::from_utf8_lossy);
    Cow::Owned(format!("{front}***{shown}"))
}

/// Returns what can be shown of a target that is cut off: nothing behind the start of an authority.
pub fn before_authority(target: &[u8]) -> &[u8] {
    let start = authority_at(target);
    start.and_then(|start| target.get(..start)).unwrap_or(target)
}

/// Returns where the authority of a target starts, or that of a URL in its path.
fn authority_at(target: &[u8]) -> Option<usize> {
    let mut pairs = target.windows(2);
    let slashes = pairs.position(|pair| pair.iter().all(|b| matches!(b, b'/' | b'\\')));
    if target.starts_with(b"/") {
        return slashes.map(|at| at + 2);
    }
    let is_scheme = |text: &[u8]| {
        let name = text.strip_suffix(b":");
        name.is_some_and(|name| name.iter().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(b)))
    };
    let scheme = slashes.filter(|&at| target.get(..at).is_some_and(is_scheme));
    Some(scheme.map_or(0, |at| at + 2))
}

/// Returns where a user ends: at an `@` in any spelling.
fn user_end(bytes: &[u8]) -> Option<usize> {
    let at = bytes.iter().rposition(|&b| b == b'@');
    at.max(bytes.windows(3).rposition(|part| part == b"%40"))
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
    fn path_is_shown_without_query_fragment_and_user() {
        for (target, want) in [
            ("", ""),
            ("*", "*"),
            ("/", "/"),
            ("/a/b?hush", "/a/b"),
            ("/a/b#hush", "/a/b"),
            ("/a/b#hush?hush", "/a/b"),
            ("/users/@me", "/users/@me"),
            ("/users/a%40b.example", "/users/a%40b.example"),
            ("/users/a@b//c", "/users/a@b//c"),
            ("//api/x", "//api/x"),
            ("//u:hush@h/x", "//***@h/x"),
            ("/\\u:hush@h/x", "/\\***@h/x"),
            ("//u:hush?hush@h/x", "//***"),
            ("/http://u:hush@h/x", "/http://***@h/x"),
            ("/a//b?mail=a@b", "/a//b"),
            ("http://h/x", "http://h/x"),
            ("http://h:80/x?hush", "http://h:80/x"),
            ("http://u:hush@h/x?hush", "http://***@h/x"),
            ("http://hush@h/x", "http://***@h/x"),
            ("HTTPS://u:hush@h", "HTTPS://***@h"),
            ("http://u:hush%40h/x", "http://***%40h/x"),
            ("http://u:hu/sh@h/x", "http://***@h/x"),
            ("http://u:hu@sh@h/x", "http://***@h/x"),
            ("http://u:hu?sh@h/x", "http://***"),
            ("http://u:hu#sh@h/x", "http://***"),
            ("http://u:hu#sh?hush%40h/x", "http://***"),
            ("http:u:hush@h/x", "***@h/x"),
            ("http:/u:hush@h/x", "***@h/x"),
            ("http:\\\\u:hush@h\\x", "http:\\\\***@h\\x"),
            ("u:hush@h//x", "***@h//x"),
            ("u:hush@h:443", "***@h:443"),
            ("h:443", "h:443"),
            ("a/b", "a/b"),
        ] {
            let target = RequestTarget::new(Bytes::copy_from_slice(target.as_bytes()));
            assert_eq!(target.shown_path(), want, "{target:?}");
        }
        let target = RequestTarget::new(Bytes::from_static(b"http://\xffu:hush\xff@h/x\xff"));
        assert_eq!(target.shown_path(), "http://***@h/x\u{fffd}");
    }

    #[test]
    fn target_that_is_not_whole_is_shown_up_to_an_authority() {
        for (target, want) in [
            ("", ""),
            ("/a/b", "/a/b"),
            ("/a//hush", "/a//"),
            ("//hush", "//"),
            ("http://u:hush", "http://"),
            ("http:/hush", ""),
            ("hush", ""),
        ] {
            let shown = before_authority(target.as_bytes());
            assert_eq!(shown, want.as_bytes(), "{target}");
        }
        assert_eq!(before_authority(b"\xff\xff://hush"), b"");
        assert_eq!(before_authority(b"/\xff\xff//hush"), b"/\xff\xff//");
    }

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
