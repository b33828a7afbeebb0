//! Drops the case in which header names were written.
//!
//! pingora stores each name a second time, as it was written, and copies and searches both.
//! Names are case-insensitive (RFC 9110, 5.1), and HTTP/2 forwards them in lower case anyway.

use http::request::Parts;
use http::{HeaderMap, Request, Response};
use pingora::http::{RequestHeader, ResponseHeader};

/// Drops the case of the names of a request.
pub(super) fn drop_header_case(request: &mut RequestHeader) {
    let target = request.uri.path_and_query();
    // Of the target, only what the URI holds would be left.
    if request.has_case() && target.is_some_and(|target| target.as_str().as_bytes() == request.raw_path()) {
        edit_headers(request, |_| {});
    }
}

/// Edits the fields of a request, and drops their case. The caller sets the target anew after that.
pub(super) fn edit_headers(request: &mut RequestHeader, edit: impl FnOnce(&mut HeaderMap)) {
    let nothing = RequestHeader::from(Request::new(()).into_parts().0);
    let mut parts = Parts::from(std::mem::replace(request, nothing));
    edit(&mut parts.headers);
    *request = parts.into();
}

/// Copies a response without the case of its names.
pub(super) fn clone_without_case(response: &ResponseHeader) -> ResponseHeader {
    let mut parts = Response::new(()).into_parts().0;
    parts.status = response.status;
    parts.version = response.version;
    parts.headers.clone_from(&response.headers);
    let mut copy = ResponseHeader::from(parts);
    let reason = response.get_reason_phrase();
    if reason != response.status.canonical_reason() {
        // pingora has validated it.
        let _ = copy.set_reason_phrase(reason);
    }
    copy
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(target: &[u8]) -> RequestHeader {
        let mut request = RequestHeader::build("PUT", target, None).unwrap();
        request.append_header("X-Twice", "a").unwrap();
        request.append_header("x-twice", "b").unwrap();
        request
    }

    #[test]
    fn only_the_case_of_names_is_dropped() {
        for (target, forgotten) in [
            (&b"/a?b%20c"[..], true),
            (b"/", true),
            (b"//a/../%2e?", true),
            (b"*", true),
            (b"x:1", false),
            (b"http://x/a", false),
            (b"/\xff", false),
        ] {
            let mut request = request(target);
            let before = request.clone();
            drop_header_case(&mut request);
            assert_eq!(request.has_case(), !forgotten, "{target:?}");
            assert_eq!(request.raw_path(), before.raw_path());
            assert_eq!(request.uri, before.uri);
            assert_eq!(request.method, before.method);
            assert_eq!(request.version, before.version);
            assert_eq!(request.headers, before.headers);
        }
    }

    #[test]
    fn edit_leaves_method_and_target_unchanged() {
        let mut request = request(b"/a");
        edit_headers(&mut request, |fields| {
            fields.remove("x-twice");
            fields.insert("x-new", "1".parse().unwrap());
        });
        let mut wire = Vec::new();
        request.header_to_h1_wire(&mut wire);
        assert_eq!(wire, b"x-new: 1\r\n");
        assert_eq!((request.method.as_str(), request.raw_path()), ("PUT", &b"/a"[..]));
    }
}
