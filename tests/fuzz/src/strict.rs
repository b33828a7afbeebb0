//! A strict reader of HTTP/1.1 requests (RFC 9112), from nothing but the standard library. It
//! repairs nothing: what two services could read in two ways is a [`Violation`].

/// One request, as sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: String,
    /// The target in origin-form.
    pub target: String,
    /// The header fields: names as sent, values without the white space around them.
    pub fields: Vec<(String, Vec<u8>)>,
    /// The body without its framing, as far as it came.
    pub body: Vec<u8>,
    /// How the body is framed.
    pub framing: Framing,
}

/// How the end of a body is announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    None,
    /// `Content-Length`.
    Length(usize),
    /// `Transfer-Encoding: chunked`.
    Chunked,
}

/// What some bytes are the beginning of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading {
    /// A head that is not complete.
    Partial,
    /// A request whose body is not complete.
    Head(Request),
    /// A complete request, and how many bytes it has.
    Whole(Request, usize),
}

/// Why services may read some bytes as different requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation(pub String);

impl Request {
    /// All values of a field.
    pub fn values(&self, name: &str) -> Vec<&[u8]> {
        let named = self.fields.iter().filter(|(each, _)| each.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_slice()).collect()
    }

    /// The path of the target, without the query.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }
}

/// Reads the first request in some bytes.
pub fn read(bytes: &[u8]) -> Result<Reading, Violation> {
    let Some(end) = find(bytes, b"\r\n\r\n") else {
        return Ok(Reading::Partial);
    };
    let request = read_head(bytes.get(..end).unwrap_or_default())?;
    let rest = bytes.get(end + 4..).unwrap_or_default();
    let (body, used) = match request.framing {
        Framing::None => (Vec::new(), Some(0)),
        Framing::Length(length) => match rest.get(..length) {
            Some(body) => (body.to_vec(), Some(length)),
            None => (rest.to_vec(), None),
        },
        Framing::Chunked => read_chunks(rest)?,
    };
    let request = Request { body, ..request };
    Ok(match used {
        Some(used) => Reading::Whole(request, end + 4 + used),
        None => Reading::Head(request),
    })
}

fn read_head(head: &[u8]) -> Result<Request, Violation> {
    let mut lines = split_lines(head)?.into_iter();
    let (method, target) = read_request_line(lines.next().unwrap_or_default())?;
    let fields: Result<Vec<_>, _> = lines.map(read_field).collect();
    let mut request = Request {
        method,
        target,
        fields: fields?,
        body: Vec::new(),
        framing: Framing::None,
    };
    check_host(&request)?;
    request.framing = read_framing(&request)?;
    Ok(request)
}

fn split_lines(head: &[u8]) -> Result<Vec<&[u8]>, Violation> {
    let mut lines = Vec::new();
    let mut rest = head;
    while let Some(end) = find(rest, b"\r\n") {
        let (line, behind) = rest.split_at(end);
        lines.push(line);
        rest = behind.get(2..).unwrap_or_default();
    }
    lines.push(rest);
    match lines.iter().any(|line| line.contains(&b'\r') || line.contains(&b'\n')) {
        true => wrong("half a line end", head),
        false => Ok(lines),
    }
}

/// RFC 9112, 3: three words with one space between them; the target in origin-form.
fn read_request_line(line: &[u8]) -> Result<(String, String), Violation> {
    let Ok(text) = std::str::from_utf8(line) else {
        return wrong("a request line that is no text", line);
    };
    let words: Vec<_> = text.split(' ').collect();
    let [method, target, "HTTP/1.1"] = words.as_slice() else {
        return wrong("a request line that is not three words", line);
    };
    if method.is_empty() || !method.bytes().all(is_token) {
        return wrong("a method that is no token", line);
    }
    check_target(target)?;
    Ok(((*method).to_owned(), (*target).to_owned()))
}

/// RFC 9112, 3.2.1. A query may have any visible character but `#`, as clients send them.
fn check_target(target: &str) -> Result<(), Violation> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let in_query = |byte: u8| byte.is_ascii_graphic() && byte != b'#';
    if !path.starts_with('/') || !query.bytes().all(in_query) {
        return wrong("a target that is not in origin-form", target.as_bytes());
    }
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        let fine = match byte {
            b'%' => [bytes.next(), bytes.next()]
                .iter()
                .all(|b| b.is_some_and(|b| b.is_ascii_hexdigit())),
            _ => byte.is_ascii_alphanumeric() || b"/-._~:@!$&'()*+,;=".contains(&byte),
        };
        if !fine {
            return wrong("a path with a character that must be encoded", target.as_bytes());
        }
    }
    Ok(())
}

/// RFC 9112, 5: a token, a colon right behind it, a value on one line.
fn read_field(line: &[u8]) -> Result<(String, Vec<u8>), Violation> {
    let Some(colon) = line.iter().position(|&byte| byte == b':') else {
        return wrong("a field without a colon", line);
    };
    let (name, value) = line.split_at(colon);
    if name.is_empty() || !name.iter().all(|&byte| is_token(byte)) {
        return wrong("a field name that is no token", line);
    }
    let value = value.get(1..).unwrap_or_default();
    if value.iter().any(|&byte| byte != b'\t' && byte.is_ascii_control()) {
        return wrong("a field value with a control character", line);
    }
    let name = String::from_utf8_lossy(name).into_owned();
    Ok((name, value.trim_ascii().to_vec()))
}

/// RFC 9112, 3.2: exactly one, and a host with an optional port.
fn check_host(request: &Request) -> Result<(), Violation> {
    let [host] = request.values("host")[..] else {
        return wrong("not exactly one host", request.target.as_bytes());
    };
    let text = std::str::from_utf8(host).unwrap_or_default();
    let (name, port) = match text.strip_prefix('[').and_then(|inside| inside.split_once(']')) {
        Some((address, port)) if address.parse::<std::net::Ipv6Addr>().is_ok() => ("address", port),
        Some(_) => return wrong("a host that is no address", host),
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let in_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let port_is_fine = match port.strip_prefix(':') {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_digit()) && digits.parse::<u16>().is_ok(),
        None => port.is_empty(),
    };
    match !name.is_empty() && name.bytes().all(in_name) && port_is_fine {
        true => Ok(()),
        false => wrong("a host that is none", host),
    }
}

/// RFC 9112, 6.3, in the one spelling that every service reads alike.
fn read_framing(request: &Request) -> Result<Framing, Violation> {
    let lengths = request.values("content-length");
    let codings = request.values("transfer-encoding");
    match (&lengths[..], &codings[..]) {
        ([], []) => Ok(Framing::None),
        ([], [b"chunked"]) => Ok(Framing::Chunked),
        ([length], []) => match std::str::from_utf8(length).ok().and_then(|text| text.parse().ok()) {
            Some(number) if length.len() <= 12 && length.iter().all(u8::is_ascii_digit) => Ok(Framing::Length(number)),
            _ => wrong("a length that is no number", length),
        },
        _ => wrong(
            "framing with two readings",
            format!("{lengths:?} {codings:?}").as_bytes(),
        ),
    }
}

/// RFC 9112, 7.1: no extensions, no trailers. The second value is `None` while the end is missing.
fn read_chunks(bytes: &[u8]) -> Result<(Vec<u8>, Option<usize>), Violation> {
    let mut body = Vec::new();
    let mut at = 0;
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        let Some(end) = find(rest, b"\r\n") else {
            if !rest.is_empty() {
                chunk_size(rest.strip_suffix(b"\r").unwrap_or(rest))?;
            }
            return Ok((body, None));
        };
        let size = chunk_size(rest.get(..end).unwrap_or_default())?;
        let chunk = rest.get(end + 2..).unwrap_or_default();
        body.extend(chunk.iter().take(size));
        match chunk.get(size..).unwrap_or_default() {
            [b'\r', b'\n', ..] => at += end + 2 + size + 2,
            [] | [b'\r'] => return Ok((body, None)),
            other => return wrong("a chunk without its end", other),
        }
        if size == 0 {
            return Ok((body, Some(at)));
        }
    }
}

fn chunk_size(line: &[u8]) -> Result<usize, Violation> {
    if line.is_empty() || line.len() > 8 || !line.iter().all(u8::is_ascii_hexdigit) {
        return wrong("a chunk size that is none", line);
    }
    let digits = line.iter().filter_map(|&digit| char::from(digit).to_digit(16));
    Ok(digits.fold(0, |size, digit| size * 16 + digit as usize))
}

/// RFC 9110, 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

fn wrong<T>(what: &str, bytes: &[u8]) -> Result<T, Violation> {
    Err(Violation(format!("{what}: {:?}", bytes.escape_ascii().to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(head: &str, body: &str) -> Vec<u8> {
        format!("POST /a HTTP/1.1\r\nHost: h\r\n{head}\r\n{body}").into_bytes()
    }

    #[test]
    fn a_request_ends_where_its_framing_says() {
        for (head, body, want, left) in [
            ("", "GET", "", 3),
            ("content-length: 2\r\n", "{}GET", "{}", 3),
            ("Transfer-Encoding: chunked\r\n", "2\r\n{}\r\n0\r\n\r\nG", "{}", 1),
        ] {
            let bytes = framed(head, body);
            let Ok(Reading::Whole(request, used)) = read(&bytes) else {
                panic!("{head}{body}");
            };
            assert_eq!((request.body.as_slice(), bytes.len() - used), (want.as_bytes(), left));
        }
    }

    #[test]
    fn incomplete_request_is_not_a_violation() {
        let whole = framed("transfer-encoding: chunked\r\n", "2\r\n{}\r\n0\r\n\r\n");
        let head = whole.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        for length in 0..whole.len() {
            let reading = read(&whole[..length]).unwrap();
            assert_eq!(
                matches!(reading, Reading::Partial),
                length < head,
                "{length}: {reading:?}"
            );
            assert!(!matches!(reading, Reading::Whole(..)), "{length}: {reading:?}");
        }
    }

    #[test]
    fn two_readings_are_a_violation() {
        for head in [
            "GET  /a HTTP/1.1\r\nhost: h",
            "GET /a HTTP/1.0\r\nhost: h",
            "GET a HTTP/1.1\r\nhost: h",
            "GET http://h/a HTTP/1.1\r\nhost: h",
            "GET /a#b HTTP/1.1\r\nhost: h",
            "GET /%zz HTTP/1.1\r\nhost: h",
            "GET /a|b HTTP/1.1\r\nhost: h",
            "GET /\u{e9} HTTP/1.1\r\nhost: h",
            "G@T /a HTTP/1.1\r\nhost: h",
            "GET /a HTTP/1.1",
            "GET /a HTTP/1.1\r\nhost: h\r\nhost: h",
            "GET /a HTTP/1.1\r\nhost: a b",
            "GET /a HTTP/1.1\r\nhost: h:99999",
            "GET /a HTTP/1.1\r\nhost: [::g]",
            "GET /a HTTP/1.1\r\nhost: h\r\n folded",
            "GET /a HTTP/1.1\r\nhost: h\r\nx : y",
            "GET /a HTTP/1.1\r\nhost: h\nx: y",
            "GET /a HTTP/1.1\r\nhost: h\r\nx: \0",
            "GET /a HTTP/1.1\r\nhost: h\r\ncontent-length: +1",
            "GET /a HTTP/1.1\r\nhost: h\r\ncontent-length: 1, 1",
            "GET /a HTTP/1.1\r\nhost: h\r\ncontent-length: 1\r\ncontent-length: 1",
            "GET /a HTTP/1.1\r\nhost: h\r\ncontent-length: 1\r\ntransfer-encoding: chunked",
            "GET /a HTTP/1.1\r\nhost: h\r\ntransfer-encoding: gzip, chunked",
        ] {
            let reading = read(format!("{head}\r\n\r\n").as_bytes());
            assert!(reading.is_err(), "{head}: {reading:?}");
        }
        for body in [
            "2;x\r\n{}\r\n",
            "+2\r\n",
            "2\r\n{}x",
            "2 ",
            "0\r\nx: y\r\n\r\n",
            "\r\n",
            "123456789",
        ] {
            let reading = read(&framed("transfer-encoding: chunked\r\n", body));
            assert!(reading.is_err(), "{body}: {reading:?}");
        }
    }
}
