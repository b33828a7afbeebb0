//! Responses that end with their connection (RFC 9112, 6.3, item 8). A truncated one looks like a whole one,
//! so Sidegate stores none of them.

use http::Version;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use pingora::http::ResponseHeader;

use super::context::RequestContext;

/// Reports to the recorder of the response that it ends with its connection. The head must be the upstream's,
/// before pingora adds framing.
pub(super) fn report_open_end(response: &ResponseHeader, ctx: &RequestContext) {
    if ctx.is_subrequest() && has_open_end(response) {
        ctx.report_open_end();
    }
}

fn has_open_end(response: &ResponseHeader) -> bool {
    let bodiless = response.status.is_informational() || matches!(response.status.as_u16(), 204 | 304);
    if bodiless || response.version == Version::HTTP_2 {
        return false;
    }
    let is_chunked = |value: &[u8]| {
        let last = value.rsplit(|&b| b == b',').next().unwrap_or_default();
        last.trim_ascii().eq_ignore_ascii_case(b"chunked")
    };
    let coding = response.headers.get_all(TRANSFER_ENCODING).iter().next_back();
    match coding {
        Some(coding) => !is_chunked(coding.as_bytes()),
        None => !response.headers.contains_key(CONTENT_LENGTH),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn response_ends_by_itself_or_with_its_connection() {
        for (version, status, fields, want) in [
            (Version::HTTP_11, 200, &[][..], true),
            (Version::HTTP_10, 200, &[], true),
            (Version::HTTP_11, 200, &[("content-length", "2")], false),
            (Version::HTTP_10, 200, &[("content-length", "0")], false),
            (Version::HTTP_11, 200, &[("transfer-encoding", "chunked")], false),
            (Version::HTTP_11, 200, &[("transfer-encoding", "gzip, Chunked")], false),
            (Version::HTTP_11, 200, &[("transfer-encoding", "gzip")], true),
            (Version::HTTP_11, 200, &[("transfer-encoding", "chunked, gzip")], true),
            (
                Version::HTTP_11,
                200,
                &[("transfer-encoding", "gzip"), ("content-length", "2")],
                true,
            ),
            (
                Version::HTTP_11,
                200,
                &[("transfer-encoding", "gzip"), ("transfer-encoding", "chunked")],
                false,
            ),
            (Version::HTTP_11, 204, &[], false),
            (Version::HTTP_11, 304, &[], false),
            (Version::HTTP_11, 100, &[], false),
            (Version::HTTP_2, 200, &[], false),
        ] {
            let mut response = ResponseHeader::build(status, None).unwrap();
            response.set_version(version);
            for (name, value) in fields {
                response.append_header(*name, *value).unwrap();
            }
            assert_eq!(has_open_end(&response), want, "{version:?} {status} {fields:?}");
        }
    }
}
