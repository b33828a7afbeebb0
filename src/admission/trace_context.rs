//! The ids of a request: `x-request-id`, and the trace that it belongs to (W3C Trace Context).

use http::{HeaderMap, HeaderValue};
use uuid::Uuid;

use crate::principal::hyphenated_uuid;

/// What `explain` shows for an id that would be made.
const NEW: HeaderValue = HeaderValue::from_static("(new)");

/// Where the trace stands in a `traceparent`.
const TRACE: std::ops::Range<usize> = 3..35;

/// Where its flags begin.
const FLAGS: usize = 53;

/// The flag of a trace id that was made at random.
const RANDOM: u32 = 2;

/// The ids of one request, as header values; empty until its header is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestIds {
    request: HeaderValue,
    traceparent: HeaderValue,
    /// Whether the trace begins here.
    pub trace_begins: bool,
}

impl Default for RequestIds {
    fn default() -> Self {
        Self {
            request: HeaderValue::from_static(""),
            traceparent: HeaderValue::from_static(""),
            trace_begins: false,
        }
    }
}

impl RequestIds {
    /// Takes over the ids of a request's header, or makes new ones. Only a trusted peer says whether a
    /// trace is sampled.
    pub fn of(headers: &HeaderMap, trusted: bool) -> Self {
        Self::given_or(headers, trusted, new_request_id, new_traceparent)
    }

    /// The ids of a request's header, and `(new)` for those that would be made.
    pub fn shown(headers: &HeaderMap, trusted: bool) -> Self {
        Self::given_or(headers, trusted, || NEW, || NEW)
    }

    /// New ids, for a request whose header could not be read.
    pub fn new() -> Self {
        Self {
            request: new_request_id(),
            traceparent: new_traceparent(),
            trace_begins: true,
        }
    }

    fn given_or(
        headers: &HeaderMap,
        trusted: bool,
        request: impl FnOnce() -> HeaderValue,
        traceparent: impl FnOnce() -> HeaderValue,
    ) -> Self {
        let given = only(headers, "x-request-id", |id| hyphenated_uuid(id).is_some());
        let trace = only(headers, "traceparent", |text| trace_id(text).is_some());
        let trace = trace.map(|given| if trusted { given } else { unsampled(given) });
        Self {
            request: given.unwrap_or_else(request),
            trace_begins: trace.is_none(),
            traceparent: trace.unwrap_or_else(traceparent),
        }
    }

    /// The id of the request: the client's, if it is a UUID; else a new one.
    pub fn request_id(&self) -> &str {
        self.request.to_str().unwrap_or_default()
    }

    /// The same, as a header has it.
    pub fn request_id_value(&self) -> HeaderValue {
        self.request.clone()
    }

    /// The client's `traceparent`, or the first of a new trace.
    pub fn traceparent(&self) -> HeaderValue {
        self.traceparent.clone()
    }

    /// The trace, 32 hex digits.
    pub fn trace_id(&self) -> &str {
        let text = self.traceparent.to_str().unwrap_or_default();
        text.get(TRACE).unwrap_or(text)
    }
}

fn new_request_id() -> HeaderValue {
    let mut text = [0; 36];
    value(Uuid::new_v4().hyphenated().encode_lower(&mut text))
}

/// The same trace without the flag that has it recorded, which costs whoever records. Of the other
/// flags, the one that is known stays (Trace Context Level 2, 3.2.2.5): how the id was made.
fn unsampled(given: HeaderValue) -> HeaderValue {
    let bytes = given.as_bytes();
    let (Some(start), Some(last)) = (bytes.get(..FLAGS), bytes.last()) else {
        return given;
    };
    let is_random = char::from(*last).to_digit(16).is_some_and(|flags| flags & RANDOM != 0);
    let flags: &[u8] = if is_random { b"02" } else { b"00" };
    if bytes.get(FLAGS..) == Some(flags) {
        return given;
    }
    HeaderValue::from_bytes(&[start, flags].concat()).unwrap_or(NEW)
}

/// A new trace. Nothing here records it, so it is not sampled.
fn new_traceparent() -> HeaderValue {
    let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
    let mut hex = [0; 32];
    Uuid::new_v4().simple().encode_lower(&mut hex);
    put(&mut text, TRACE.start, &hex);
    Uuid::new_v4().simple().encode_lower(&mut hex);
    put(&mut text, TRACE.end + 1, hex.split_at(16).0);
    value(std::str::from_utf8(&text).unwrap_or_default())
}

fn put(text: &mut [u8], at: usize, hex: &[u8]) {
    for (to, from) in text.iter_mut().skip(at).zip(hex) {
        *to = *from;
    }
}

fn value(text: &str) -> HeaderValue {
    // Hex digits and hyphens are what a value may have.
    HeaderValue::from_str(text).unwrap_or(NEW)
}

/// The value of a header that is there once, if it is fine.
fn only(headers: &HeaderMap, name: &str, fine: impl FnOnce(&str) -> bool) -> Option<HeaderValue> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    (values.next().is_none() && fine(value.to_str().ok()?)).then(|| value.clone())
}

/// The trace id in a `traceparent` of version 00 (Trace Context, 3.2.2), if it is valid.
fn trace_id(text: &str) -> Option<&str> {
    let lower_hex = |part: &str, length: usize| {
        let hex = part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        hex && part.len() == length
    };
    let mut parts = text.split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let fine = version == "00" && lower_hex(trace, 32) && lower_hex(span, 16) && lower_hex(flags, 2);
    let zero = |part: &str| part.bytes().all(|b| b == b'0');
    (fine && parts.next().is_none() && !zero(trace) && !zero(span)).then_some(trace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_is_kept_if_it_is_valid() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        for (text, want) in [
            (good, true),
            ("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", false),
            ("00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01", false),
            ("00-00000000000000000000000000000000-b7ad6b7169203331-01", false),
            ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("traceparent", text.parse().unwrap());
            let ids = RequestIds::of(&headers, true);
            assert_eq!(ids.traceparent() == text, want, "{text}");
            assert_eq!(ids.trace_begins, !want, "{text}");
            let traceparent = ids.traceparent();
            assert_eq!(trace_id(traceparent.to_str().unwrap()), Some(ids.trace_id()));
            let shown = RequestIds::shown(&headers, true);
            assert_eq!(shown.trace_id() == "(new)", !want, "{text}");
        }
    }

    #[test]
    fn trace_that_begins_here_is_not_sampled() {
        for ids in [RequestIds::new(), RequestIds::of(&HeaderMap::new(), true)] {
            let traceparent = ids.traceparent();
            assert!(traceparent.to_str().unwrap().ends_with("-00"), "{traceparent:?}");
        }
    }

    #[test]
    fn flags_of_a_trace_are_kept_from_trusted_peers_only() {
        let start = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-";
        for (flags, untrusted) in [
            ("00", "00"),
            ("01", "00"),
            ("02", "02"),
            ("03", "02"),
            ("05", "00"),
            ("fd", "00"),
            ("ff", "02"),
        ] {
            let given = format!("{start}{flags}");
            let mut headers = HeaderMap::new();
            headers.insert("traceparent", given.parse().unwrap());
            for (trusted, want) in [(true, flags), (false, untrusted)] {
                let ids = RequestIds::of(&headers, trusted);
                assert_eq!(ids.traceparent(), format!("{start}{want}"), "{flags} {trusted}");
                assert!(!ids.trace_begins, "{flags}");
                assert_eq!(
                    ids,
                    RequestIds {
                        request: ids.request.clone(),
                        ..RequestIds::shown(&headers, trusted)
                    }
                );
            }
        }
    }

    #[test]
    fn two_traces_are_none() {
        let one = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
        let mut headers = HeaderMap::new();
        headers.append("traceparent", one.parse().unwrap());
        headers.append("traceparent", one.parse().unwrap());
        let ids = RequestIds::of(&headers, true);
        assert!(ids.trace_begins && ids.traceparent() != one);
    }

    #[test]
    fn a_request_id_is_kept_if_it_is_a_uuid() {
        for (text, want) in [
            ("0B0f0000-0000-4000-8000-000000000001", true),
            ("no uuid", false),
            ("0b0f0000000040008000000000000001", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("x-request-id", text.parse().unwrap());
            assert_eq!(RequestIds::of(&headers, true).request_id() == text, want, "{text}");
            assert_eq!(
                RequestIds::shown(&headers, true).request_id() == "(new)",
                !want,
                "{text}"
            );
            headers.append("x-request-id", text.parse().unwrap());
            assert_ne!(RequestIds::of(&headers, true).request_id(), text);
        }
        let (one, other) = (RequestIds::new(), RequestIds::new());
        assert_ne!(one.request_id(), other.request_id());
        assert_ne!(one.trace_id(), other.trace_id());
        assert!(hyphenated_uuid(one.request_id()).is_some());
    }
}
