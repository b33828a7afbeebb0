//! How the fields of a head frame the body (RFC 9112, 6): `Content-Length` and `Transfer-Encoding`.

use http::HeaderMap;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};

/// The most digits of a request's `Content-Length`.
const LENGTH_DIGITS: usize = 12;

/// The framing of the body by its head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// No body.
    None,
    /// A body of this many bytes.
    Sized(u64),
    /// A body of unknown length.
    Streamed,
}

/// The error of a `Content-Length` that is not one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidLength;

/// Returns the value of `Content-Length`, of requests and responses. Repeated fields must have equal
/// values (RFC 9110, 8.6).
pub fn content_length(headers: &HeaderMap) -> Result<Option<u64>, InvalidLength> {
    let mut values = headers.get_all(CONTENT_LENGTH).iter();
    let Some(first) = values.next() else { return Ok(None) };
    let length = number(first.as_bytes()).ok_or(InvalidLength)?;
    let agree = values.all(|value| number(value.as_bytes()) == Some(length));
    agree.then_some(Some(length)).ok_or(InvalidLength)
}

/// Parses digits alone: the parser of the standard library also accepts a sign.
fn number(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?;
    let is_digits = text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| is_digits)
}

/// Returns the framing of the body by the fields of a head. Returns `None` without such fields: a request over
/// HTTP/1.1 has no body then, and one over HTTP/2 may have one.
pub fn body(headers: &HeaderMap) -> Option<Body> {
    match content_length(headers) {
        Ok(Some(0)) => Some(Body::None),
        Ok(Some(length)) => Some(Body::Sized(length)),
        _ => headers.contains_key(TRANSFER_ENCODING).then_some(Body::Streamed),
    }
}

/// The fields of a request that frame its body, read one by one. The rules are stricter than RFC 9112: one
/// `Transfer-Encoding` that is `chunked`, or one `Content-Length` in its shortest form.
#[derive(Debug, Clone, Copy, Default)]
pub struct RequestFraming {
    /// Whether the only transfer coding is `chunked`.
    is_chunked: Option<bool>,
    length: Option<Result<u64, InvalidLength>>,
}

impl RequestFraming {
    /// Reads a value of `Transfer-Encoding`.
    pub fn add_coding(&mut self, value: &[u8]) {
        let is_first = self.is_chunked.is_none();
        self.is_chunked = Some(is_first && value.eq_ignore_ascii_case(b"chunked"));
    }

    /// Reads a value of `Content-Length`.
    pub fn add_length(&mut self, value: &[u8]) {
        let is_shortest = value == b"0" || value.first() != Some(&b'0');
        let is_fine = self.length.is_none() && is_shortest && value.len() <= LENGTH_DIGITS;
        self.length = Some(number(value).filter(|_| is_fine).ok_or(InvalidLength));
    }

    /// Returns the body that the fields frame over HTTP/1.1, or describes what is wrong with them.
    pub fn body(self) -> Result<Body, &'static str> {
        match (self.is_chunked, self.length) {
            (None, None | Some(Ok(0))) => Ok(Body::None),
            (None, Some(Ok(length))) => Ok(Body::Sized(length)),
            (Some(true), None) => Ok(Body::Streamed),
            (Some(false), _) => Err("`transfer-encoding` is not `chunked`"),
            (Some(true), Some(_)) => Err("`content-length` stands beside `transfer-encoding`"),
            (None, Some(Err(InvalidLength))) => Err("`content-length` is not one number"),
        }
    }
}

/// Describes what is wrong with the framing of a request.
pub(super) fn malformed(headers: &HeaderMap, double_framing: bool) -> Option<&'static str> {
    let mut framing = RequestFraming::default();
    for coding in headers.get_all(TRANSFER_ENCODING) {
        framing.add_coding(coding.as_bytes());
    }
    for length in headers.get_all(CONTENT_LENGTH) {
        framing.add_length(length.as_bytes());
    }
    if double_framing {
        framing.add_length(b"");
    }
    framing.body().err()
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let field =
            |&(name, value): &(&'static str, &'static str)| (HeaderName::from_static(name), value.parse().unwrap());
        fields.iter().map(field).collect()
    }

    #[test]
    fn length_is_the_number_on_which_all_fields_agree() {
        for (values, want) in [
            (&[][..], Ok(None)),
            (&["0"], Ok(Some(0))),
            (&["12"], Ok(Some(12))),
            (&["012"], Ok(Some(12))),
            (&["12", "12"], Ok(Some(12))),
            (&["18446744073709551615"], Ok(Some(u64::MAX))),
            (&["18446744073709551616"], Err(InvalidLength)),
            (&["12", "13"], Err(InvalidLength)),
            (&["12", "x"], Err(InvalidLength)),
            (&["12, 12"], Err(InvalidLength)),
            (&["+12"], Err(InvalidLength)),
            (&["-12"], Err(InvalidLength)),
            (&["1_2"], Err(InvalidLength)),
            (&["0x12"], Err(InvalidLength)),
            (&["1 2"], Err(InvalidLength)),
            (&[""], Err(InvalidLength)),
        ] {
            let fields: Vec<_> = values.iter().map(|value| ("content-length", *value)).collect();
            assert_eq!(content_length(&headers(&fields)), want, "{values:?}");
        }
    }

    #[test]
    fn body_has_the_framing_of_its_fields() {
        for (fields, want) in [
            (&[][..], None),
            (&[("content-length", "0")], Some(Body::None)),
            (&[("content-length", "7")], Some(Body::Sized(7))),
            (&[("transfer-encoding", "chunked")], Some(Body::Streamed)),
            (&[("content-length", "x")], None),
        ] {
            assert_eq!(body(&headers(fields)), want, "{fields:?}");
        }
    }

    #[test]
    fn framing_is_canonical_or_malformed() {
        for (fields, double_framing, fine) in [
            (&[][..], false, true),
            (&[("content-length", "12")], false, true),
            (&[("content-length", "0")], false, true),
            (&[("content-length", "123456789012")], false, true),
            (&[("content-length", "1234567890123")], false, false),
            (&[("content-length", "+12")], false, false),
            (&[("content-length", "012")], false, false),
            (&[("content-length", "00")], false, false),
            (&[("content-length", "1, 1")], false, false),
            (&[("content-length", "")], false, false),
            (&[("content-length", "1"), ("content-length", "1")], false, false),
            (&[("transfer-encoding", "chunked")], false, true),
            (&[("transfer-encoding", "Chunked")], false, true),
            (&[("transfer-encoding", "chunked")], true, false),
            (&[("transfer-encoding", "gzip, chunked")], false, false),
            (
                &[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")],
                false,
                false,
            ),
            (
                &[("transfer-encoding", "chunked"), ("content-length", "1")],
                false,
                false,
            ),
        ] {
            let problem = malformed(&headers(fields), double_framing);
            assert_eq!(problem.is_none(), fine, "{fields:?} {double_framing}");
        }
    }
}
