//! The cookies of a request (RFC 6265, 4.2), also where HTTP/2 splits them into several fields (RFC 9113, 8.2.3).

use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};

/// Iterates over the names and values of all cookies. A cookie without `=` is a name without a value.
pub fn cookies(headers: &HeaderMap) -> impl Iterator<Item = (&[u8], &[u8])> {
    fields(headers).flat_map(items).map(name_and_value)
}

fn fields(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes)
}

fn items(field: &[u8]) -> impl Iterator<Item = &[u8]> {
    field.split(|&byte| byte == b';')
}

fn name_and_value(item: &[u8]) -> (&[u8], &[u8]) {
    let at = item.iter().position(|&byte| byte == b'=').unwrap_or(item.len());
    let (name, value) = item.split_at(at);
    (name.trim_ascii(), value.get(1..).unwrap_or_default().trim_ascii())
}

/// Returns the value of `Cookie` without the cookies of some names, and empty if nothing is left. Returns `None` if the
/// request has no such cookie. The other cookies stay as they are, and several fields become one.
pub fn without(headers: &HeaderMap, is_one: impl Fn(&[u8]) -> bool) -> Option<Vec<u8>> {
    if !cookies(headers).any(|(name, _)| is_one(name)) {
        return None;
    }
    let kept = |field| {
        let kept: Vec<_> = items(field).filter(|item| !is_one(name_and_value(item).0)).collect();
        kept.join(&b';').trim_ascii().to_vec()
    };
    let kept: Vec<_> = fields(headers).map(kept).filter(|field| !field.is_empty()).collect();
    Some(kept.join(&b"; "[..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_of_a_name_leave_and_the_others_stay_byte_for_byte() {
        for (fields, values, left) in [
            (&["s=T"][..], &["T"][..], Some("")),
            (&["a=1; s=T; b=2"], &["T"], Some("a=1; b=2")),
            (&["s=T; a=1"], &["T"], Some("a=1")),
            (&["a=1; s=T"], &["T"], Some("a=1")),
            (&["a=1;s=T;b=\"x y\";  c"], &["T"], Some("a=1;b=\"x y\";  c")),
            (&["a=1", "s=T", "b=2"], &["T"], Some("a=1; b=2")),
            (&["s=T; s=U"], &["T", "U"], Some("")),
            (&["s=T", "s=U; a=1"], &["T", "U"], Some("a=1")),
            (&["s"], &[""], Some("")),
            (&["s="], &[""], Some("")),
            (&[" s = T =="], &["T =="], Some("")),
            (&["a=1; S=T; ss=2; xs=3; a=s=4"], &[], None),
            (&["=s=T; =s"], &[], None),
            (&[], &[], None),
        ] {
            let mut headers = HeaderMap::new();
            for field in fields {
                headers.append(COOKIE, field.parse().unwrap());
            }
            let found: Vec<_> = cookies(&headers).filter(|(name, _)| *name == b"s").collect();
            let found: Vec<_> = found
                .iter()
                .map(|(_, value)| std::str::from_utf8(value).unwrap())
                .collect();
            assert_eq!(found, values, "{fields:?}");
            let kept = without(&headers, |name| name == b"s");
            assert_eq!(kept.as_deref(), left.map(str::as_bytes), "{fields:?}");
        }
    }
}
