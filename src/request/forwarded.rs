//! The forwarded addresses of a request: finds the client's address in `X-Forwarded-For`, by the proxies that are
//! trusted.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName, HeaderValue};

use super::only::only;

/// `X-Forwarded-For`: the addresses on the way of a request, that of the client first.
pub const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// `X-Forwarded-Proto`: the scheme that the client used.
pub const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// `X-Forwarded-Prefix`: the part of the path that the service does not receive.
pub const X_FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");

/// `X-Forwarded-Host`: the host that the client asked for.
pub const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Returns what a trusted proxy says in a header, which then occurs once.
pub fn said<'h>(headers: &'h HeaderMap, is_trusted: bool, name: &HeaderName) -> Option<&'h HeaderValue> {
    is_trusted.then(|| only(headers, name)).flatten()
}

/// Returns the scheme that the client used: that of the connection, or the one that a trusted proxy names.
pub fn scheme(headers: &HeaderMap, is_trusted: bool, is_tls: bool) -> &'static str {
    match said(headers, is_trusted, &X_FORWARDED_PROTO).map(HeaderValue::as_bytes) {
        Some(b"https") => "https",
        Some(b"http") => "http",
        _ if is_tls => "https",
        _ => "http",
    }
}

/// Returns the address of the client: that of the peer, or the one that trusted proxies name as their own peer.
pub fn client_address(peer: Option<IpAddr>, headers: &HeaderMap, trusts: impl Fn(IpAddr) -> bool) -> Option<IpAddr> {
    walk(peer?, headers, trusts).map_or_else(Some, Some)
}

/// Returns the address of the client as [`client_address`] does, unless a trusted proxy names its own peer by something
/// else than an address. Then the proxy stands in for a client that nothing is known of.
pub fn known_client_address(
    peer: Option<IpAddr>,
    headers: &HeaderMap,
    trusts: impl Fn(IpAddr) -> bool,
) -> Option<IpAddr> {
    walk(peer?, headers, trusts).ok()
}

/// Walks from the peer to the client. Fails with the last trusted proxy whose own peer is not an address: the items
/// before that one cannot be trusted.
fn walk(peer: IpAddr, headers: &HeaderMap, trusts: impl Fn(IpAddr) -> bool) -> Result<IpAddr, IpAddr> {
    let mut forwarded = addresses(headers);
    let mut client = peer;
    while trusts(client) {
        match forwarded.next() {
            Some(Some(earlier)) => client = earlier,
            Some(None) => return Err(client),
            None => break,
        }
    }
    Ok(client)
}

/// Iterates over the addresses of `X-Forwarded-For`, the nearest first; `None` stands for an item that
/// is not an address.
pub fn addresses(headers: &HeaderMap) -> impl Iterator<Item = Option<IpAddr>> {
    let values = headers.get_all(X_FORWARDED_FOR).iter().rev();
    let items = values.flat_map(|value| value.as_bytes().rsplit(|&b| b == b','));
    items.map(address)
}

/// Parses an address, which may have a port or brackets.
fn address(item: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(item).ok()?.trim();
    let with_port = || text.parse().ok().map(|address: SocketAddr| address.ip());
    let in_brackets = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok().map(IpAddr::V6);
    let address = text.parse().ok().or_else(with_port).or_else(in_brackets)?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forwarded_for(values: &[&'static str]) -> HeaderMap {
        values
            .iter()
            .map(|value| (X_FORWARDED_FOR, value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn addresses_of_all_fields_are_read_nearest_first() {
        let headers = forwarded_for(&[
            "1.2.3.4, evil",
            "::ffff:5.6.7.8,  2001:db8::1, 1.1.1.1:80,[::1]:80, [::1]",
        ]);
        let found: Vec<_> = addresses(&headers)
            .map(|address| address.map(|address| address.to_string()))
            .collect();
        let want = [
            Some("::1"),
            Some("::1"),
            Some("1.1.1.1"),
            Some("2001:db8::1"),
            Some("5.6.7.8"),
            None,
            Some("1.2.3.4"),
        ];
        assert_eq!(found, want.map(|address| address.map(str::to_owned)));
    }

    #[test]
    fn client_is_the_nearest_address_that_is_not_trusted() {
        let peer = "10.0.0.1";
        let trusts = |address: IpAddr| address.to_string().starts_with("10.");
        for (peer, values, want) in [
            (Some("192.0.2.9"), &["198.51.100.1"][..], Some("192.0.2.9")),
            (Some(peer), &[], Some(peer)),
            (Some(peer), &["198.51.100.1"], Some("198.51.100.1")),
            (Some(peer), &["198.51.100.1, 10.0.0.2"], Some("198.51.100.1")),
            (
                Some(peer),
                &["203.0.113.1", "198.51.100.1, 10.0.0.2"],
                Some("198.51.100.1"),
            ),
            (Some(peer), &["10.0.0.3, 10.0.0.2"], Some("10.0.0.3")),
            (Some(peer), &["198.51.100.1, evil"], Some(peer)),
            (Some(peer), &["198.51.100.1, evil, 10.0.0.2"], Some("10.0.0.2")),
            (Some(peer), &["evil, 198.51.100.1"], Some("198.51.100.1")),
            (None, &["198.51.100.1"], None),
        ] {
            let peer = peer.map(|peer| peer.parse().unwrap());
            let known = known_client_address(peer, &forwarded_for(values), trusts);
            let is_unreadable = values
                .iter()
                .any(|value| value.ends_with("evil") || value.contains("evil, 10."));
            assert_eq!(
                known.is_none(),
                peer.is_none() || (is_unreadable && trusts(peer.unwrap())),
                "{values:?}"
            );
            let found = client_address(peer, &forwarded_for(values), trusts);
            assert_eq!(
                found.map(|found| found.to_string()).as_deref(),
                want,
                "{peer:?} {values:?}"
            );
        }
    }
}
