//! The ids of a request: `x-request-id`, and the trace that it belongs to (W3C Trace Context).

use http::HeaderMap;
use uuid::Uuid;

use crate::principal::hyphenated_uuid;

/// The ids of one request; empty until its header is read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestIds {
    /// The client's, if it is a UUID; else a new one.
    pub request_id: String,
    /// The trace, 32 hex digits.
    pub trace_id: String,
    /// The client's `traceparent`, or the first of a new trace.
    pub traceparent: String,
    /// Whether the trace begins here.
    pub trace_begins: bool,
}

impl RequestIds {
    /// Takes over the ids of a request's header, or makes new ones.
    pub fn of(headers: &HeaderMap) -> Self {
        let request_id = only(headers, "x-request-id").filter(|id| hyphenated_uuid(id).is_some());
        let request_id = request_id.map_or_else(|| Uuid::new_v4().to_string(), ToOwned::to_owned);
        match only(headers, "traceparent").and_then(|text| Some((text, trace_id(text)?))) {
            Some((traceparent, trace_id)) => Self {
                request_id,
                trace_id: trace_id.to_owned(),
                traceparent: traceparent.to_owned(),
                trace_begins: false,
            },
            None => Self::beginning(request_id),
        }
    }

    /// New ids, for a request whose header could not be read.
    pub fn new() -> Self {
        Self::beginning(Uuid::new_v4().to_string())
    }

    fn beginning(request_id: String) -> Self {
        let trace_id = Uuid::new_v4().simple().to_string();
        let (span, _) = Uuid::new_v4().as_u64_pair();
        Self {
            request_id,
            traceparent: format!("00-{trace_id}-{span:016x}-01"),
            trace_id,
            trace_begins: true,
        }
    }
}

fn only<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
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
            ("00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", false),
            ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("traceparent", text.parse().unwrap());
            let ids = RequestIds::of(&headers);
            assert_eq!(ids.traceparent == text, want, "{text}");
            assert_eq!(ids.trace_begins, !want, "{text}");
            assert_eq!(trace_id(&ids.traceparent), Some(ids.trace_id.as_str()));
        }
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
            assert_eq!(RequestIds::of(&headers).request_id == text, want, "{text}");
            headers.append("x-request-id", text.parse().unwrap());
            assert_ne!(RequestIds::of(&headers).request_id, text);
        }
    }
}
