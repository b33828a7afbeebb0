//! What the caller presented: a bearer token, an internal key, a client certificate.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName};

use crate::digest::Hasher;

/// The client certificate of this connection, verified in its handshake or rejected since.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The URIs of the subject alternative name.
    pub uris: Vec<String>,
    /// The DNS names of the subject alternative name.
    pub dns: Vec<String>,
    /// The common names of the subject.
    pub common_names: Vec<String>,
    /// The thumbprint of the certificate; absent if the certificate proves nothing.
    pub thumbprint: Option<Thumbprint>,
    /// The last second at which the certificate is valid, since the epoch.
    pub not_after: i64,
    /// Why it proves nothing, although it came.
    pub refused: Option<&'static str>,
}

impl ClientCertificate {
    /// Says why the certificate proves nothing at a time in seconds since the epoch, if that is so.
    pub fn unproven(&self, now: i64) -> Option<&'static str> {
        // A connection may outlive the certificate that it began with.
        let expired = (now > self.not_after).then_some("the client certificate has expired");
        self.refused.or(expired)
    }
}

/// The SHA-256 thumbprint of a certificate (RFC 8705, 3.1). Two of them are compared in constant time.
#[derive(Debug, Clone, Copy)]
pub struct Thumbprint([u8; 32]);

impl Thumbprint {
    /// Computes the thumbprint of a certificate in DER.
    pub fn of(der: &[u8]) -> Self {
        let mut digest = Hasher::default();
        digest.add(der);
        Self(*digest.end().as_bytes())
    }

    /// Reads the one spelling that `x5t#S256` has: 43 characters of base64url without padding.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        bytes.try_into().ok().map(Self)
    }
}

impl PartialEq for Thumbprint {
    fn eq(&self, other: &Self) -> bool {
        verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

impl Eq for Thumbprint {}

/// The credentials of a request's `Authorization` header (RFC 6750, 2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bearer<'r> {
    /// No `Authorization`, or one with another scheme.
    Absent,
    /// The scheme is `Bearer`, or meant to be, and what follows cannot be a token.
    Malformed,
    /// What follows the scheme, not looked into.
    Token(&'r str),
}

impl<'r> Bearer<'r> {
    /// Reads the header. `RequestFacts::malformed` has rejected a request with two of them before.
    pub fn of(headers: &'r HeaderMap) -> Self {
        let Some(value) = headers.get(AUTHORIZATION) else {
            return Self::Absent;
        };
        let bytes = value.as_bytes();
        let (scheme, rest) = match bytes.iter().position(|b| matches!(b, b' ' | b'\t')) {
            Some(space) => bytes.split_at(space),
            None => (bytes, &[][..]),
        };
        if !scheme.eq_ignore_ascii_case(b"bearer") {
            return match is_almost_bearer(scheme) {
                true => Self::Malformed,
                false => Self::Absent,
            };
        }
        // RFC 9110, 11.4: one or more spaces; some do not take a tab for a separator.
        let value = rest.trim_ascii_start();
        if rest.contains(&b'\t') {
            return Self::Malformed;
        }
        match token(value) {
            Some(token) => Self::Token(token),
            None => Self::Malformed,
        }
    }
}

/// Returns a text that may be a token: visible ASCII without spaces.
pub fn token(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    // All of it is looked at, for then the processor looks at many bytes at a time.
    let is_visible = bytes.iter().fold(true, |fine, b| fine & b.is_ascii_graphic());
    (is_visible && !text.is_empty()).then_some(text)
}

/// Whether a scheme is meant to be `Bearer`, and some would take it for that.
fn is_almost_bearer(scheme: &[u8]) -> bool {
    let start = scheme.iter().position(u8::is_ascii_alphanumeric).unwrap_or(0);
    let name = scheme.get(start..).and_then(|scheme| scheme.get(..6));
    name.is_some_and(|name| name.eq_ignore_ascii_case(b"bearer"))
}

/// Returns the bytes of an internal key's header, if the request has one.
pub fn internal_key<'r>(headers: &'r HeaderMap, name: &HeaderName) -> Option<&'r [u8]> {
    headers.get(name).map(http::HeaderValue::as_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bearer_is_read_by_its_scheme() {
        for (value, want) in [
            ("Bearer a.b.c", Bearer::Token("a.b.c")),
            ("bearer a.b.c", Bearer::Token("a.b.c")),
            ("BEARER  a.b.c", Bearer::Token("a.b.c")),
            ("Bearer", Bearer::Malformed),
            ("Bearer ", Bearer::Malformed),
            ("Bearer a b", Bearer::Malformed),
            ("Bearer a\tb", Bearer::Malformed),
            ("Bearer\ta", Bearer::Malformed),
            ("Basic\ta", Bearer::Absent),
            ("Basic YTpi", Bearer::Absent),
            ("Bearerx a", Bearer::Malformed),
            ("Bearer,a", Bearer::Malformed),
            ("\"Bearer\" a", Bearer::Malformed),
            (",bearer a", Bearer::Malformed),
            ("Bear a", Bearer::Absent),
            ("", Bearer::Absent),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, value.parse().unwrap());
            assert_eq!(Bearer::of(&headers), want, "{value:?}");
        }
        assert_eq!(Bearer::of(&HeaderMap::new()), Bearer::Absent);
        let mut headers = HeaderMap::new();
        let long = "a".repeat(1 << 20);
        headers.insert(AUTHORIZATION, format!("Bearer {long}").parse().unwrap());
        assert_eq!(Bearer::of(&headers), Bearer::Token(&long));
    }
}
