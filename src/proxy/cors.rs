//! The fields of responses that say which pages of other origins may read them.

use http::HeaderName;
use http::header::{ORIGIN, VARY};
use pingora::Result;
use pingora::http::ResponseHeader;

use crate::admission::record::RequestRecord;
use crate::policy::cors::is_response_field;

/// Sets the fields in the response of a service, in place of its own, if the policy has `cors`. `Vary` keeps what the
/// service says.
pub(super) fn set_fields(head: &mut ResponseHeader, record: &RequestRecord) -> Result<()> {
    if record.cors().is_none() {
        return Ok(());
    }
    remove_fields(head);
    let varies = varies_by_origin(head);
    for (name, value) in record.cors_fields().filter(|(name, _)| name != VARY || !varies) {
        head.append_header(name, value)?;
    }
    Ok(())
}

fn remove_fields(head: &mut ResponseHeader) {
    let fields: Vec<HeaderName> = head
        .headers
        .keys()
        .filter(|name| is_response_field(name))
        .cloned()
        .collect();
    for name in fields {
        head.remove_header(&name);
    }
}

/// Returns whether `Vary` lists the origin already.
fn varies_by_origin(head: &ResponseHeader) -> bool {
    let values = head.headers.get_all(VARY).iter();
    let mut names = values.flat_map(|value| value.as_bytes().split(|&byte| byte == b','));
    names.any(|name| name.trim_ascii().eq_ignore_ascii_case(ORIGIN.as_str().as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vary_of_a_service_is_read_as_a_list() {
        for (values, want) in [
            (&[][..], false),
            (&["accept-encoding"], false),
            (&["accept-encoding, ORIGIN"], true),
            (&["accept-encoding", "Origin"], true),
            (&["x-origin"], false),
            (&["*"], false),
        ] {
            let mut head = ResponseHeader::build(200, None).unwrap();
            for value in values {
                head.append_header(VARY, *value).unwrap();
            }
            assert_eq!(varies_by_origin(&head), want, "{values:?}");
        }
    }

    #[test]
    fn only_fields_of_cors_are_removed() {
        let mut head = ResponseHeader::build(200, None).unwrap();
        for name in [
            "Access-Control-Allow-Origin",
            "access-control-x",
            "access-controls",
            "vary",
        ] {
            head.append_header(name, "*").unwrap();
        }
        head.append_header("access-control-allow-origin", "null").unwrap();
        remove_fields(&mut head);
        let mut left: Vec<_> = head.headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["access-controls", "vary"]);
    }
}
