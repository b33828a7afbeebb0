//! The ids of a request: `x-request-id`, and the trace that it belongs to (W3C Trace Context).

use http::{HeaderMap, HeaderValue};
use uuid::Uuid;

use crate::principal::hyphenated_uuid;

/// What `explain` shows for an id that would be generated.
const NEW: HeaderValue = HeaderValue::from_static("(new)");

/// The position of the trace id in a `traceparent`.
const TRACE: std::ops::Range<usize> = 3..35;

/// The position of the flags in a `traceparent`.
const FLAGS: usize = 53;

/// The flag of a random trace id.
const RANDOM: u32 = 2;

/// The ids of one request, as header values; empty until its header is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestIds {
    request: HeaderValue,
    traceparent: HeaderValue,
    /// Whether Sidegate began the trace.
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
    /// Takes the ids from a request's header, or generates new ones. Only a trusted peer may set the sampled flag.
    pub fn of(headers: &HeaderMap, trusted: bool) -> Self {
        Self::given_or(headers, trusted, new_request_id, new_traceparent)
    }

    /// Takes the ids from a request's header, with `(new)` for those that would be generated.
    pub fn shown(headers: &HeaderMap, trusted: bool) -> Self {
        Self::given_or(headers, trusted, || NEW, || NEW)
    }

    /// Generates new ids, for a request whose header could not be parsed.
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
        let given = single(headers, "x-request-id", |id| hyphenated_uuid(id).is_some());
        let trace = single(headers, "traceparent", |text| trace_id(text).is_some());
        let trace = trace.map(|given| if trusted { given } else { unsampled(given) });
        Self {
            request: given.unwrap_or_else(request),
            trace_begins: trace.is_none(),
            traceparent: trace.unwrap_or_else(traceparent),
        }
    }

    /// Returns the id of the request: the client's if it is a UUID, else a new one.
    pub fn request_id(&self) -> &str {
        self.request.to_str().unwrap_or_default()
    }

    /// Returns the id of the request as a header value.
    pub fn request_id_value(&self) -> HeaderValue {
        self.request.clone()
    }

    /// Returns the client's `traceparent`, or the first of a new trace.
    pub fn traceparent(&self) -> HeaderValue {
        self.traceparent.clone()
    }

    /// Returns the trace id, 32 hex digits.
    pub fn trace_id(&self) -> &str {
        let text = self.traceparent.to_str().unwrap_or_default();
        text.get(TRACE).unwrap_or(text)
    }
}

fn new_request_id() -> HeaderValue {
    let mut text = [0; 36];
    value(Uuid::new_v4().hyphenated().encode_lower(&mut text))
}

/// Clears the sampled flag, so that a client cannot cause the cost of recording. The random flag stays (Trace
/// Context Level 2, 3.2.2.5), and all other flags are cleared.
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

/// Begins a new trace. Sidegate records no traces, so it is not sampled.
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
    // The text has only hex digits and hyphens, which are valid.
    HeaderValue::from_str(text).unwrap_or(NEW)
}

/// Returns the value of a header that occurs exactly once, if it is valid.
fn single(headers: &HeaderMap, name: &str, is_valid: impl FnOnce(&str) -> bool) -> Option<HeaderValue> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    (values.next().is_none() && is_valid(value.to_str().ok()?)).then(|| value.clone())
}

/// Returns the trace id of a `traceparent` of version 00 (Trace Context, 3.2.2), if it is valid.
fn trace_id(text: &str) -> Option<&str> {
    let lower_hex = |part: &str, length: usize| {
        let hex = part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        hex && part.len() == length
    };
    let mut parts = text.split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_well_formed = version == "00" && lower_hex(trace, 32) && lower_hex(span, 16) && lower_hex(flags, 2);
    let zero = |part: &str| part.bytes().all(|b| b == b'0');
    (is_well_formed && parts.next().is_none() && !zero(trace) && !zero(span)).then_some(trace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_traceparent_is_forwarded() {
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
    fn new_trace_is_not_sampled() {
        for ids in [RequestIds::new(), RequestIds::of(&HeaderMap::new(), true)] {
            let traceparent = ids.traceparent();
            assert!(traceparent.to_str().unwrap().ends_with("-00"), "{traceparent:?}");
        }
    }

    #[test]
    fn sampled_flag_is_forwarded_from_trusted_peers_only() {
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
    fn repeated_traceparent_is_replaced() {
        let one = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
        let mut headers = HeaderMap::new();
        headers.append("traceparent", one.parse().unwrap());
        headers.append("traceparent", one.parse().unwrap());
        let ids = RequestIds::of(&headers, true);
        assert!(ids.trace_begins && ids.traceparent() != one);
    }

    #[test]
    fn request_id_is_forwarded_if_it_is_a_uuid() {
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
