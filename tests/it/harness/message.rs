//! Requests as a client writes them and answers as it reads them, byte by byte.

use std::{
    fmt,
    io::{self, Read},
};

use serde_json::Value;

use super::{JOBS_KEY, TENANT, unique};

/// One request, sent exactly as written: names keep their case, nothing is added but `host`,
/// `content-length` where there is a body, and `x-case`, by which the upstream's records find it.
#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) case: String,
    pub(crate) host: String,
}

impl Request {
    pub(crate) fn new(method: &str, target: &str) -> Self {
        Self {
            method: method.to_owned(),
            target: target.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            case: unique().to_string(),
            host: "localhost".to_owned(),
        }
    }

    pub(crate) fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    pub(crate) fn post(target: &str, body: &str) -> Self {
        Self::new("POST", target)
            .header("content-type", "application/json")
            .body(body)
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn bearer(self, token: &str) -> Self {
        self.header("Authorization", &format!("Bearer {token}"))
    }

    pub(crate) fn tenant(self) -> Self {
        self.header("x-tenant-id", TENANT)
    }

    pub(crate) fn jobs_key(self) -> Self {
        self.header("x-internal-api-key", JOBS_KEY)
    }

    pub(crate) fn host(mut self, host: &str) -> Self {
        host.clone_into(&mut self.host);
        self
    }

    pub(crate) fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = body.as_ref().to_vec();
        self
    }

    /// The request on the wire. A body goes with a content-length, unless the headers frame it.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        for (name, value) in self.all_headers() {
            head.extend([name, ": ", value, "\r\n"]);
        }
        let framed = |(name, _): &(String, String)| {
            name.eq_ignore_ascii_case("content-length") || name.eq_ignore_ascii_case("transfer-encoding")
        };
        if !self.headers.iter().any(framed) && (!self.body.is_empty() || self.method == "POST") {
            head.extend(["content-length: ", &self.body.len().to_string(), "\r\n"]);
        }
        head.push_str("\r\n");
        let mut bytes = latin1(&head);
        bytes.extend_from_slice(&self.body);
        bytes
    }

    fn all_headers(&self) -> impl Iterator<Item = (&str, &str)> {
        [("Host", self.host.as_str()), ("x-case", self.case.as_str())]
            .into_iter()
            .chain(self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())))
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.target)?;
        self.headers
            .iter()
            .try_for_each(|(name, value)| write!(f, "\n  {name}: {value:.60}"))
    }
}

/// Header text holds one byte per character, so that a test can write any byte.
pub(crate) fn latin1(text: &str) -> Vec<u8> {
    text.chars()
        .map(|c| u8::try_from(u32::from(c)).expect("one byte per character"))
        .collect()
}

/// One response, with its headers in order; `trailers` only ever come over HTTP/2.
#[derive(Clone, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Vec<(String, String)>,
}

impl Answer {
    /// The one value of a header; two of them are a failure.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let values = values(&self.headers, name);
        assert!(values.len() < 2, "`{name}` more than once: {values:?}");
        values.first().copied()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("no JSON ({error}): {self:?}"))
    }

    /// The reason code of an `envelope` or a `problem` body.
    pub(crate) fn reason(&self) -> String {
        let body = self.json();
        let reason = body.pointer("/error/details/reason").or_else(|| body.get("reason"));
        reason
            .and_then(Value::as_str)
            .unwrap_or_else(|| panic!("no reason: {self:?}"))
            .to_owned()
    }

    /// The code of a body of any format.
    pub(crate) fn code(&self) -> String {
        let body = self.json();
        let code = body.pointer("/error/code").or_else(|| body.get("code"));
        code.and_then(Value::as_str)
            .unwrap_or_else(|| panic!("no code: {self:?}"))
            .to_owned()
    }

    pub(crate) fn keeps_alive(&self) -> bool {
        self.header("connection")
            .is_none_or(|value| !value.eq_ignore_ascii_case("close"))
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text: String = self.text().chars().take(600).collect();
        write!(f, "{} {:?} {:?} {text}", self.status, self.headers, self.trailers)
    }
}

/// All values of a header, in order.
pub(crate) fn values<'a>(headers: &'a [(String, String)], name: &str) -> Vec<&'a str> {
    let named = headers.iter().filter(|(each, _)| each.eq_ignore_ascii_case(name));
    named.map(|(_, value)| value.as_str()).collect()
}

/// Reads up to and including `end`; an end of input before the first byte is `None`.
pub(crate) fn read_until(input: &mut (impl Read + ?Sized), end: &[u8]) -> io::Result<Option<Vec<u8>>> {
    let mut read = Vec::new();
    let mut byte = [0];
    while !read.ends_with(end) {
        match input.read(&mut byte)? {
            0 if read.is_empty() => return Ok(None),
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            _ => read.push(byte[0]),
        }
        if read.len() > 1 << 20 {
            return Err(io::Error::other("a head that never ends"));
        }
    }
    Ok(Some(read))
}

/// A start line and its headers, read strictly (RFC 9112): CRLF line ends, no folding, no space
/// before a colon, no control characters, every byte a character.
pub(crate) fn parse_head(head: &[u8]) -> io::Result<(String, Vec<(String, String)>)> {
    let text: String = head.iter().map(|&byte| char::from(byte)).collect();
    let wrong = |what: &str| io::Error::other(format!("{what} in {text:?}"));
    let lines = text.strip_suffix("\r\n\r\n").ok_or_else(|| wrong("no empty line"))?;
    let mut lines = lines.split("\r\n");
    let start = lines.next().unwrap_or_default().to_owned();
    let mut headers = Vec::new();
    for line in lines {
        let (name, value) = line.split_once(':').ok_or_else(|| wrong("no colon"))?;
        let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        if name.is_empty() || !name.chars().all(token) {
            return Err(wrong("a bad header name"));
        }
        if value.chars().any(|c| c.is_ascii_control() && c != '\t') {
            return Err(wrong("a control character"));
        }
        headers.push((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()));
    }
    Ok((start, headers))
}

/// A chunked body, read strictly; trailers are an error, as nothing here sends any.
pub(crate) fn read_chunked(input: &mut (impl Read + ?Sized)) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = read_until(input, b"\r\n")?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let text = String::from_utf8_lossy(&line);
        let size =
            usize::from_str_radix(text.trim_end(), 16).map_err(|_| io::Error::other(format!("chunk size {text:?}")))?;
        let mut chunk = vec![0; size + 2];
        input.read_exact(&mut chunk)?;
        if chunk.split_off(size) != b"\r\n" {
            return Err(io::Error::other("a chunk without its end"));
        }
        if size == 0 {
            return Ok(body);
        }
        body.append(&mut chunk);
    }
}
