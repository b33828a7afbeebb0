//! The header names that `Connection` lists (RFC 9110, 7.6.1). Sidegate removes these headers before it forwards the
//! request. So a request is malformed if it lists a header that decisions read: the upstream would not see it.

use http::header::CONNECTION;
use http::{HeaderMap, HeaderName};

use super::listed::Listed;
use super::names::{FoldedName, is_token};

/// The most names that `Connection` may have, as in pingora.
const MOST: usize = 9;

/// Headers for the service that decisions read, whatever the policy. The headers that a policy reads and those of the
/// lists of [`Listed`], except [`OF_THE_HOP`], are protected in the same way.
const DECIDING: [&str; 7] = [
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-unmodified-since",
    "origin",
    "x-internal-api-key",
    "x-tenant-id",
];

/// Headers on the list of one spelling that are hop-by-hop anyway, so `Connection` may list them.
const OF_THE_HOP: [&str; 5] = ["connection", "keep-alive", "te", "trailer", "upgrade"];

/// Prefixes of further such headers: those of CORS, and of the WebSocket handshake.
const DECIDING_BEGINS: [&str; 2] = ["access-control-request-", "sec-websocket-"];

/// Describes a request whose `Connection` lists a header that decisions read.
pub const NOMINATED: &str = "`connection` names a header that is meant for the service";

/// Iterates over the names, in any case and with any characters.
pub fn names(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let values = headers.get_all(CONNECTION).iter();
    values
        .flat_map(|value| value.as_bytes().split(|&b| b == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|name| !name.is_empty())
}

/// Returns the names of the fields that apply to one connection only: `own`, and those that `Connection` lists. A name
/// that no field can have is left out.
pub fn of_connection(headers: &HeaderMap, own: &[HeaderName]) -> Vec<HeaderName> {
    let listed = names(headers).filter_map(|name| HeaderName::from_bytes(name).ok());
    let own = headers.keys().filter(|name| own.contains(name)).cloned();
    listed.chain(own).collect()
}

/// Finds what is wrong with `Connection`, whatever the policy.
pub fn malformed(headers: &HeaderMap) -> Option<&'static str> {
    if !headers.contains_key(CONNECTION) {
        return None;
    }
    if names(headers).nth(MOST).is_some() || !names(headers).all(is_token) {
        return Some("`connection` has more, or other, than names");
    }
    let decides = |name: &FoldedName<'_>| {
        let listed = Listed::of(name);
        DECIDING.iter().any(|known| name.is(known))
            || DECIDING_BEGINS.iter().any(|start| name.begins(start))
            || listed.exact_only.is_some_and(|known| !OF_THE_HOP.contains(&known))
            || listed.forwarding
            || listed.foreign
    };
    has(headers, decides).then_some(NOMINATED)
}

/// Returns whether `Connection` lists a name of this kind, in any spelling.
pub fn has(headers: &HeaderMap, is_one: impl Fn(&FoldedName<'_>) -> bool) -> bool {
    let unusual = names(headers).filter(|name| !is_usual(name));
    let mut texts = unusual.filter_map(|name| std::str::from_utf8(name).ok());
    texts.any(|name| FoldedName::with(name, |name| is_one(&name)))
}

/// The usual values of `Connection`.
fn is_usual(name: &[u8]) -> bool {
    let usual: [&[u8]; 3] = [b"keep-alive", b"close", b"upgrade"];
    usual.iter().any(|known| name.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(values: &[&str]) -> HeaderMap {
        values
            .iter()
            .map(|value| (CONNECTION, value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn connection_lists_only_names_and_not_too_many() {
        let many = ["a"; MOST].join(",");
        for (value, fine) in [
            ("", true),
            (" , ,", true),
            ("close", true),
            ("a,B , c", true),
            ("Keep-Alive, Upgrade, HTTP2-Settings, TE", true),
            (&*many, true),
            (&*format!("{many},a"), false),
            ("\"a\"", false),
            (":path", false),
            ("a b", false),
            ("a;b", false),
        ] {
            assert_eq!(malformed(&connection(&[value])).is_none(), fine, "{value}");
        }
        assert!(malformed(&connection(&[&many, "a"])).is_some());
        assert!(malformed(&HeaderMap::new()).is_none());
    }

    #[test]
    fn header_that_decides_cannot_be_nominated_in_any_spelling() {
        let deciding = [
            "authorization",
            "content-encoding",
            "content-length",
            "content-type",
            "cookie",
            "expect",
            "host",
            "idempotency-key",
            "traceparent",
            "tracestate",
            "transfer-encoding",
            "x-request-id",
            "x-sandbox",
            "access-control-request-method",
            "sec-websocket-key",
            "x-forwarded-for",
            "x-forwarded-proto",
            "forwarded",
            "x-real-ip",
            "cf-connecting-ip",
            "x-userinfo",
        ];
        for name in DECIDING.into_iter().chain(deciding) {
            for spelling in [
                name.to_owned(),
                name.to_uppercase(),
                name.replace('-', "_"),
                name.replace('-', "."),
            ] {
                for values in [
                    &[spelling.as_str()][..],
                    &["close", &spelling],
                    &[&format!("keep-alive ,\t{spelling}")],
                    &[&format!("x-hop,{spelling},close")],
                ] {
                    assert_eq!(malformed(&connection(values)), Some(NOMINATED), "{values:?}");
                }
            }
        }
        for name in ["x-hop", "x-sandboxes", "te", "http2-settings", "proxy-authorization"] {
            assert_eq!(malformed(&connection(&[name])), None, "{name}");
        }
    }
}
