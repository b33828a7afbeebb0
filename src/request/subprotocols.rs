//! The subprotocols that a client offers for a WebSocket (RFC 6455, 11.3.4), in one field or several. Browsers cannot
//! set headers of a handshake, but they can offer `bearer` and a token behind it.

use http::header::SEC_WEBSOCKET_PROTOCOL;
use http::{HeaderMap, HeaderValue};

use super::names::is_token;

/// Iterates over the offers in their order.
pub fn offers(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let fields = headers
        .get_all(SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .map(HeaderValue::as_bytes);
    fields
        .flat_map(|field| field.split(|&byte| byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|offer| !offer.is_empty())
}

/// Iterates over what is offered right behind each marker; `None` where nothing is, or another marker.
pub fn behind(headers: &HeaderMap, is_marker: impl Fn(&[u8]) -> bool) -> impl Iterator<Item = Option<&[u8]>> {
    let mut offers = offers(headers).peekable();
    std::iter::from_fn(move || {
        offers.find(|offer| is_marker(offer))?;
        Some(offers.next_if(|next| !is_marker(next)))
    })
}

/// Returns the offers without the markers and what stands behind each of them, and empty if nothing is left. Returns
/// `None` if there is no marker. Nothing is left of a list with something else than tokens: it may hold parts of one.
pub fn without(headers: &HeaderMap, is_marker: impl Fn(&[u8]) -> bool) -> Option<Vec<u8>> {
    if !offers(headers).any(&is_marker) {
        return None;
    }
    if !offers(headers).all(is_token) {
        return Some(Vec::new());
    }
    let mut is_behind = false;
    let kept = offers(headers).filter(|offer| {
        let was_behind = std::mem::replace(&mut is_behind, is_marker(offer));
        !is_behind && !was_behind
    });
    Some(kept.collect::<Vec<_>>().join(&b", "[..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marker_and_what_is_behind_it_leave_and_the_other_offers_stay() {
        for (fields, found, left) in [
            (&["bearer, T"][..], &[Some("T")][..], Some("")),
            (&["bearer,T,chat"], &[Some("T")], Some("chat")),
            (&["chat , bearer, T ,,\tsoap"], &[Some("T")], Some("chat, soap")),
            (&["bearer", "T", "chat"], &[Some("T")], Some("chat")),
            (&["chat, bearer"], &[None], Some("chat")),
            (&["bearer"], &[None], Some("")),
            (&["bearer, bearer"], &[None, None], Some("")),
            (&["bearer, bearer, T, chat"], &[None, Some("T")], Some("chat")),
            (&["bearer, T, bearer, U"], &[Some("T"), Some("U")], Some("")),
            (&["bearer, \"T, U\", chat"], &[Some("\"T")], Some("")),
            (&["bearer, a/b, chat"], &[Some("a/b")], Some("")),
            (&["Bearer, T"], &[], None),
            (&["chat, bearers"], &[], None),
            (&[], &[], None),
        ] {
            let mut headers = HeaderMap::new();
            for field in fields {
                headers.append(SEC_WEBSOCKET_PROTOCOL, field.parse().unwrap());
            }
            let is_marker = |offer: &[u8]| offer == b"bearer";
            let values: Vec<_> = behind(&headers, is_marker)
                .map(|value| value.map(|value| std::str::from_utf8(value).unwrap()))
                .collect();
            assert_eq!(values, found, "{fields:?}");
            let kept = without(&headers, is_marker);
            assert_eq!(kept.as_deref(), left.map(str::as_bytes), "{fields:?}");
        }
    }
}
