//! Scans the head of a request as it is read, in pieces of any size: where it ends, how long it is, and
//! whether only a lenient reader accepts it. It stores no fields.

use memchr::memchr_iter;

use crate::request::target::ByteFault;
use crate::request::{Body, RequestFraming};

/// How much of a head is stored, so that its rejection can name the path.
const KEPT_BYTES: usize = 512;

/// How much of a line is stored, enough for a field that frames the body.
const LINE_BYTES: usize = 64;

/// How a TLS connection begins: a handshake record of TLS 1.0 to 1.3 (RFC 8446, 5.1).
const TLS: &[u8] = &[0x16, 3];

/// The names of the fields that frame the body.
const CODING: &[u8] = b"transfer-encoding";
const LENGTH: &[u8] = b"content-length";

/// The state of a head, as far as it was read.
#[derive(Debug, Default)]
pub(super) struct HeadScanner {
    bytes: usize,
    lines: usize,
    kept: Vec<u8>,
    request_line: RequestLine,
    /// The first bytes of the current line, and its length.
    line: Vec<u8>,
    line_bytes: usize,
    last: u8,
    framing: RequestFraming,
    has_bare_end: bool,
}

impl HeadScanner {
    /// Reads on. Returns where the head ends, if it ends within these bytes.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut start = 0;
        for end in memchr_iter(b'\n', bytes) {
            self.read_part(bytes.get(start..end).unwrap_or_default());
            start = end + 1;
            if self.end_line() {
                self.count(bytes, start);
                return Some(start);
            }
        }
        self.read_part(bytes.get(start..).unwrap_or_default());
        self.count(bytes, bytes.len());
        None
    }

    /// Starts a new head, with the memory of the last one.
    pub(super) fn restart(&mut self) {
        let Self { mut kept, mut line, .. } = std::mem::take(self);
        kept.clear();
        line.clear();
        *self = Self {
            kept,
            line,
            ..Self::default()
        };
    }

    fn count(&mut self, bytes: &[u8], read: usize) {
        self.bytes += read;
        let room = KEPT_BYTES.saturating_sub(self.kept.len());
        let kept = bytes.get(..read.min(room)).unwrap_or_default();
        self.kept.extend_from_slice(kept);
    }

    fn read_part(&mut self, part: &[u8]) {
        self.request_line.read(part);
        let room = LINE_BYTES.saturating_sub(self.line.len());
        let start = part.get(..part.len().min(room)).unwrap_or_default();
        self.line.extend_from_slice(start);
        self.line_bytes += part.len();
        self.last = part.last().copied().unwrap_or(self.last);
    }

    /// Ends a line. Returns whether it was the empty one that ends the head.
    fn end_line(&mut self) -> bool {
        // RFC 9112, 2.2: a line ends in CRLF; a reader that accepts a bare LF may see another head.
        self.has_bare_end |= self.last != b'\r';
        let empty = self.line_bytes <= 1;
        let ended = empty && self.request_line.ended;
        self.request_line.end();
        if let Some(b'c' | b'C' | b't' | b'T') = self.line.first() {
            self.read_framing();
        }
        self.lines += 1;
        self.line.clear();
        (self.line_bytes, self.last) = (0, 0);
        ended
    }

    /// Reads a line that may be a field that frames the body. A value that is not stored as a whole counts as
    /// an empty one, which is not a framing.
    fn read_framing(&mut self) {
        let is_whole = self.line.len() == self.line_bytes;
        let value = |name: &[u8]| {
            let (start, value) = self.line.split_at_checked(name.len())?;
            let value = value.strip_prefix(b":").filter(|_| start.eq_ignore_ascii_case(name))?;
            Some(if is_whole { trimmed(value) } else { b"" })
        };
        if let Some(length) = value(LENGTH) {
            self.framing.add_length(length);
        } else if let Some(coding) = value(CODING) {
            self.framing.add_coding(coding);
        }
    }

    /// Returns its length in bytes.
    pub(super) fn len(&self) -> usize {
        self.bytes
    }

    /// Returns whether none of it was read.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Returns the number of complete lines.
    pub(super) fn lines(&self) -> usize {
        self.lines
    }

    /// Returns its first bytes.
    pub(super) fn kept(&self) -> &[u8] {
        &self.kept
    }

    /// Returns why a strict reader rejects the head, if it does.
    pub(super) fn malformed(&self) -> Option<&'static str> {
        let line = &self.request_line;
        if !(self.has_bare_end || line.malformed || line.unencoded) {
            return None;
        }
        Some(match line.malformed {
            _ if self.kept.starts_with(TLS) => "the client speaks TLS, and the listener has no TLS",
            true => ByteFault::NotGraphic.describe(),
            false if line.unencoded => ByteFault::NotAscii.describe(),
            false => "a line of the head does not end in CRLF",
        })
    }

    /// Returns the framing of the body behind it. Returns `None` where that is uncertain: what follows a
    /// `CONNECT` is for another protocol.
    pub(super) fn body(&self) -> Option<Body> {
        let start = self.kept.iter().take_while(|byte| b"\r\n".contains(byte)).count();
        let is_tunnel = self.kept.get(start..).is_some_and(|line| line.starts_with(b"CONNECT "));
        self.framing.body().ok().filter(|_| !is_tunnel)
    }
}

/// Returns the value of a field without the end of its line and the white space around it (RFC 9112, 5).
fn trimmed(text: &[u8]) -> &[u8] {
    let mut text = text.strip_suffix(b"\r").unwrap_or(text);
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

/// The state of the request line. pingora encodes characters that are not allowed in it, and the result
/// looks valid (RFC 9112, 3.2: reject, do not repair).
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own about the line")]
struct RequestLine {
    begun: bool,
    ended: bool,
    spaces: usize,
    /// The last byte of the line so far: after a carriage return, nothing may follow in it.
    last: u8,
    malformed: bool,
    /// Whether the target has bytes beyond ASCII, such as raw UTF-8.
    unencoded: bool,
}

impl RequestLine {
    fn read(&mut self, part: &[u8]) {
        if self.ended {
            return;
        }
        for &byte in part {
            self.malformed |= std::mem::replace(&mut self.last, byte) == b'\r';
            match byte {
                b'\r' => {}
                b' ' => self.spaces += 1,
                _ => match ByteFault::of(byte) {
                    Some(ByteFault::NotAscii) if self.spaces == 1 => self.unencoded = true,
                    fault => self.malformed |= fault.is_some(),
                },
            }
            self.begun |= byte != b'\r';
        }
    }

    /// Ends a line; empty lines before the request line are skipped (RFC 9112, 2.2).
    fn end(&mut self) {
        self.last = 0;
        if self.begun && !self.ended {
            self.ended = true;
            self.malformed |= self.spaces != 2;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a head whole, again byte by byte, and again after another one: the results must be equal.
    fn read(bytes: &[u8]) -> (Option<usize>, HeadScanner) {
        let mut whole = HeadScanner::default();
        let end = whole.read(bytes);
        let mut parts = HeadScanner::default();
        let at = bytes.chunks(1).position(|part| parts.read(part).is_some());
        assert_eq!(end, at.map(|at| at + 1), "{bytes:?}");
        let seen = |head: &HeadScanner| (head.len(), head.lines(), head.malformed(), head.body());
        let mut next = HeadScanner::default();
        next.read(b"GET /\0 HTTP/1.1\r\ntransfer-encoding: chunked\r\nhost: x\n");
        next.restart();
        assert_eq!(next.read(bytes), end, "{bytes:?}");
        for head in [&parts, &next] {
            assert_eq!(seen(&whole), seen(head), "{bytes:?}");
            assert_eq!(whole.kept(), head.kept());
        }
        (end, whole)
    }

    #[test]
    fn a_request_line_is_three_words_and_a_line_ends_in_crlf() {
        for (bytes, malformed) in [
            (&b"GET / HTTP/1.1\r\nhost: a b c\xff\r\n"[..], false),
            (b"\r\n\r\nGET / HTTP/1.1\r\n", false),
            (b"GET /a b", false),
            (b"GET /a b HTTP/1.1\r\n", true),
            (b"GET  / HTTP/1.1\r\n", true),
            (b"GET / HTTP/1.1 \r\n", true),
            (b"GET /\r\n", true),
            (b"GET /\0", true),
            (b"GET /\t", true),
            (b"GET /\xc3\xa9", true),
            (b"GET /?a\rb HTTP/1.1\r\n", true),
            (b"GET\r / HTTP/1.1\r\n", true),
            (b"GET / HTTP/1.1\r\r\n", true),
            (b"\r\r\nGET / HTTP/1.1\r\n", true),
            (b"\rGET / HTTP/1.1\r\n", true),
            (b"GET / HTTP/1.1\n", true),
            (b"\nGET / HTTP/1.1\r\n", true),
            (b"GET / HTTP/1.1\r\nhost: a\n", true),
            (b"GET / HTTP/1.1\r\nhost: a\r\n\n", true),
        ] {
            assert_eq!(read(bytes).1.malformed().is_some(), malformed, "{bytes:?}");
        }
    }

    #[test]
    fn malformed_head_has_its_true_cause() {
        for (bytes, cause) in [
            (
                &b"\x16\x03\x01\x02\0\x01"[..],
                "the client speaks TLS, and the listener has no TLS",
            ),
            (
                b"GET /a b HTTP/1.1\r\n",
                "the request line is not a method, a target and a version",
            ),
            (
                b"GET /caf\xc3\xa9 HTTP/1.1\r\n",
                "the target has bytes that must be percent-encoded: only ASCII can stand in it",
            ),
            (
                b"GET /?q=\xe9",
                "the target has bytes that must be percent-encoded: only ASCII can stand in it",
            ),
            (
                b"G\xc3\x89T / HTTP/1.1\r\n",
                "the request line is not a method, a target and a version",
            ),
            (
                b"GET /\xc3\xa9 b HTTP/1.1\r\n",
                "the request line is not a method, a target and a version",
            ),
            (
                b"GET / HTTP/1.\xc3\xa9\r\n",
                "the request line is not a method, a target and a version",
            ),
            (
                b"\x16HTTP\r\n",
                "the request line is not a method, a target and a version",
            ),
            (
                b"GET / HTTP/1.1\r\nhost: a\n",
                "a line of the head does not end in CRLF",
            ),
        ] {
            assert_eq!(read(bytes).1.malformed(), Some(cause), "{bytes:?}");
        }
    }

    #[test]
    fn a_head_ends_with_its_empty_line() {
        for (bytes, end) in [
            (&b"GET / HTTP/1.1\r\n\r\nbody"[..], Some(18)),
            (b"\r\nGET / HTTP/1.1\r\n\r\n", Some(20)),
            (b"\r\n\r\n", None),
            (b"GET / HTTP/1.1\r\na: b\r\n", None),
        ] {
            let (found, head) = read(bytes);
            assert_eq!((found, head.len()), (end, end.unwrap_or(bytes.len())), "{bytes:?}");
        }
    }

    #[test]
    fn framing_of_the_body_is_that_of_the_fields() {
        for (fields, want) in [
            ("", Some(Body::None)),
            ("Transfer-Encoding: chunked\r\n", Some(Body::Streamed)),
            ("transfer-encoding:CHUNKED\t \r\n", Some(Body::Streamed)),
            ("transfer-encoding: x\r\n", None),
            ("transfer-encodin: chunked\r\n", Some(Body::None)),
            ("x-transfer-encoding: chunked\r\n", Some(Body::None)),
            ("transfer-encoding-x: chunked\r\n", Some(Body::None)),
            ("CONTENT-LENGTH: \t 12\r\n", Some(Body::Sized(12))),
            ("content-length: 0\r\n", Some(Body::None)),
            ("content-length-x: 12\r\n", Some(Body::None)),
            ("content-length: 1 2\r\n", None),
            ("content-length: 12\r\nContent-Length: 12\r\n", None),
            ("content-length: 12\r\ntransfer-encoding: chunked\r\n", None),
        ] {
            let (_, head) = read(format!("POST / HTTP/1.1\r\nhost: a\r\n{fields}\r\n").as_bytes());
            assert_eq!(head.body(), want, "{fields:?}");
        }
        assert_eq!(read(b"\r\nCONNECT a:1 HTTP/1.1\r\n\r\n").1.body(), None);
    }
}
