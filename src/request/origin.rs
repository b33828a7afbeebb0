//! Origins as browsers write them (RFC 6454, 6.2): a scheme, a host, and a port unless it is that of the scheme.

/// Returns whether an origin is that of a scheme and an authority (`host` or `host:port`). Only the case of a host and
/// a default port may differ.
pub fn is_of(origin: &[u8], scheme: &str, authority: &str) -> bool {
    let default = if scheme == "https" { 443 } else { 80 };
    let same = || {
        let place = std::str::from_utf8(origin).ok()?;
        let place = place.strip_prefix(scheme)?.strip_prefix("://")?;
        let (host, port) = host_and_port(place, default)?;
        let (own_host, own_port) = host_and_port(authority, default)?;
        Some(port == own_port && host.eq_ignore_ascii_case(own_host))
    };
    same().unwrap_or(false)
}

/// Returns whether a text is an origin and no more: `null`, or a scheme, a host and a port. What has a user, a path or a
/// query may have a secret.
pub fn is_bare(text: &str) -> bool {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    text == "null" || host.is_some_and(|host| !host.is_empty() && host.bytes().all(is_plain))
}

fn host_and_port(authority: &str, default: u16) -> Option<(&str, u16)> {
    let (host, port) = match authority.rsplit_once(':') {
        // The end of an IPv6 address without a port.
        Some((_, end)) if end.contains(']') => (authority, default),
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => (host, port.parse().ok()?),
        Some(_) => return None,
        None => (authority, default),
    };
    (!host.is_empty()).then_some((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bare_origin_has_no_user_path_or_query() {
        for (text, want) in [
            ("null", true),
            ("https://app.example", true),
            ("http://[::1]:3000", true),
            ("https://my_app.example:8443", true),
            ("https://user:hush@app.example", false),
            ("https://app.example/hush", false),
            ("https://app.example?token=hush", false),
            ("https://app.example#hush", false),
            ("https://", false),
            ("eyJhbGciOiJIUzI1NiJ9.e30.aHVzaA", false),
            ("", false),
        ] {
            assert_eq!(is_bare(text), want, "{text}");
        }
    }

    #[test]
    fn origin_is_a_scheme_with_a_host_and_a_port() {
        for (origin, scheme, authority, want) in [
            ("https://a.example", "https", "a.example", true),
            ("https://a.example", "https", "A.Example:443", true),
            ("https://a.example:443", "https", "a.example", true),
            ("http://a.example", "http", "a.example:80", true),
            ("http://a.example:8080", "http", "a.example:8080", true),
            ("http://[::1]:8080", "http", "[::1]:8080", true),
            ("http://[::1]", "http", "[::1]:80", true),
            ("http://127.0.0.1:8080", "http", "127.0.0.1:8080", true),
            ("http://a.example", "https", "a.example", false),
            ("https://a.example", "http", "a.example", false),
            ("https://a.example", "https", "a.example:8443", false),
            ("https://a.example:80", "https", "a.example", false),
            ("https://a.example.evil", "https", "a.example", false),
            ("https://evil.a.example", "https", "a.example", false),
            ("https://a.example.", "https", "a.example", false),
            ("https://a.example/", "https", "a.example", false),
            ("https://u@a.example", "https", "a.example", false),
            ("https://a.example https://evil", "https", "a.example", false),
            ("https://a.example:", "https", "a.example", false),
            ("https://a.example:+443", "https", "a.example", false),
            ("HTTPS://a.example", "https", "a.example", false),
            ("https:a.example", "https", "a.example", false),
            ("null", "https", "null", false),
            ("", "https", "", false),
            ("https://", "https", "", false),
            ("https://:443", "https", ":443", false),
        ] {
            assert_eq!(
                is_of(origin.as_bytes(), scheme, authority),
                want,
                "{origin} {scheme} {authority}"
            );
        }
        assert!(!is_of(b"https://a\xff", "https", "a\u{fffd}"));
    }
}
