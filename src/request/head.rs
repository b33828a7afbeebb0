//! Reads the raw head of an HTTP/1 request, which may be cut off anywhere. It does not check that the head is
//! well-formed; other code does.

/// The request line of a head, split at its spaces. The parts may be malformed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestLine<'h> {
    /// The bytes up to the first space.
    pub method: &'h [u8],
    /// The bytes between the first and the last space, other spaces included.
    pub target: &'h [u8],
    /// The bytes after the last space, if the line has two or more.
    pub version: Option<&'h [u8]>,
}

/// Returns the first line that is not empty (RFC 9112, 2.2), if there is any.
pub fn request_line(head: &[u8]) -> Option<RequestLine<'_>> {
    let line = lines(head).find(|line| !line.is_empty())?;
    let Some((method, rest)) = split_at(line, line.iter().position(|&b| b == b' ')) else {
        return Some(RequestLine {
            method: line,
            target: b"",
            version: None,
        });
    };
    let (target, version) = match split_at(rest, rest.iter().rposition(|&b| b == b' ')) {
        Some((target, version)) => (target, Some(version)),
        None => (rest, None),
    };
    Some(RequestLine {
        method,
        target,
        version,
    })
}

/// Iterates over the values of a field, whose name is in lower case.
pub fn values<'h>(head: &'h [u8], name: &'static str) -> impl Iterator<Item = &'h [u8]> {
    lines(head).filter_map(move |line| {
        let (found, value) = split_at(line, line.iter().position(|&b| b == b':'))?;
        // Parsers should reject space before the colon; one that accepts it would read this field.
        let is_named = found.trim_ascii_end().eq_ignore_ascii_case(name.as_bytes());
        is_named.then_some(value.trim_ascii())
    })
}

/// Iterates over the lines; a bare CR or LF ends one, too.
fn lines(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    head.split(|b| matches!(b, b'\r' | b'\n'))
}

/// Splits at a byte, which belongs to neither part.
fn split_at(bytes: &[u8], at: Option<usize>) -> Option<(&[u8], &[u8])> {
    let at = at?;
    Some((bytes.get(..at)?, bytes.get(at + 1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_line_is_split_at_its_first_and_last_space() {
        for (head, want) in [
            (
                &b"GET /a?b HTTP/1.1\r\nhost: x\r\n\r\n"[..],
                Some(("GET", "/a?b", Some("HTTP/1.1"))),
            ),
            (b"\r\nGET /a HTTP/1.1\r\n", Some(("GET", "/a", Some("HTTP/1.1")))),
            (b"GET /a b HTTP/1.1\r\n", Some(("GET", "/a b", Some("HTTP/1.1")))),
            (b"GET  / HTTP/1.1\r\n", Some(("GET", " /", Some("HTTP/1.1")))),
            (b"GET /a#b HTTP/1.1\n", Some(("GET", "/a#b", Some("HTTP/1.1")))),
            (b"GET * HTTP/1.1\r\n", Some(("GET", "*", Some("HTTP/1.1")))),
            // Cut off, or without a version.
            (b"GET /a HT", Some(("GET", "/a", Some("HT")))),
            (b"GET /a ", Some(("GET", "/a", Some("")))),
            (b"GET /a", Some(("GET", "/a", None))),
            (b"GET /a\r\nhost: x y", Some(("GET", "/a", None))),
            (b"GET ", Some(("GET", "", None))),
            (b"GE", Some(("GE", "", None))),
            (b"\r\n\r\n", None),
            (b"", None),
        ] {
            let text = |bytes| std::str::from_utf8(bytes).unwrap();
            let line = request_line(head).map(|line| (text(line.method), text(line.target), line.version.map(text)));
            assert_eq!(line, want, "{:?}", String::from_utf8_lossy(head));
        }
    }

    #[test]
    fn field_is_found_by_its_name_in_any_case() {
        for (head, want) in [
            (&b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"[..], &["x"][..]),
            (b"GET / HTTP/1.1\r\nHOST:x:80 \r\na: b\r\nHost: \ty\r\n", &["x:80", "y"]),
            (b"GET / HTTP/1.1\r\nhost : x\r\n", &["x"]),
            (b"GET / HTTP/1.1\nhost: x", &["x"]),
            (b"GET / HTTP/1.1\r\nhost:", &[""]),
            (b"GET / HTTP/1.1\r\na: b\rhost: x\r\n", &["x"]),
            (b"GET / HTTP/1.1\r\nhost\r\nx-host: x\r\nhosts: x\r\n host: x\r\n", &[]),
        ] {
            let found: Vec<_> = values(head, "host")
                .map(|value| std::str::from_utf8(value).unwrap())
                .collect();
            assert_eq!(found, want, "{:?}", String::from_utf8_lossy(head));
        }
    }
}
