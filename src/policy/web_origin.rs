//! Origins of web pages as browsers write them (RFC 6454, 6.1; URL, "host serializing"), so that they can be compared
//! byte by byte.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::document::masks::without_user;

/// The hosts of this machine, to which plain http is as safe as https.
const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// What is wrong with a text that should be an origin, and what to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoOrigin {
    /// What is wrong.
    pub message: String,
    /// How to fix it.
    pub help: String,
}

impl NoOrigin {
    pub(super) fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            help: help.into(),
        }
    }
}

/// Checks that a text is an origin: a scheme, a host, and a port unless it is the default one.
pub fn check(text: &str) -> Result<(), NoOrigin> {
    let (scheme, rest) = scheme(text)?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let shown = without_user(text);
    if authority.contains('@') || authority.is_empty() {
        return Err(unreadable(text));
    }
    if authority != rest {
        let message = format!("`{shown}` has a path, and an origin ends with its host or port");
        return Err(NoOrigin::new(message, format!("write `{scheme}://{authority}`")));
    }
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        let message = format!("`{text}` has capital letters, and browsers write origins without");
        return Err(NoOrigin::new(message, format!("write `{}`", text.to_ascii_lowercase())));
    }
    let (host, port) = split_port(authority);
    if let Some(port) = port {
        check_port((scheme, host), port)?;
    }
    if !is_host(host) {
        let message = format!("`{host}` is not a host as browsers write it");
        let help = "write a name such as `app.example.com` (in Punycode if it has other letters), or an IP address";
        return Err(NoOrigin::new(message, help));
    }
    if scheme == "http" && !LOOPBACK.contains(&host) {
        let message =
            format!("`{text}` is not protected: others on the network can change a page that comes over http");
        let help = format!("write `https://{authority}`; `http://` is for `localhost`, `127.0.0.1` and `[::1]` only");
        return Err(NoOrigin::new(message, help));
    }
    Ok(())
}

fn scheme(text: &str) -> Result<(&'static str, &str), NoOrigin> {
    for scheme in ["https", "http"] {
        let rest = text.strip_prefix(scheme).and_then(|rest| rest.strip_prefix("://"));
        if let Some(rest) = rest {
            return Ok((scheme, rest));
        }
    }
    if text == "null" {
        let message = "any page can have the origin `null`, so it cannot be allowed";
        return Err(NoOrigin::new(message, "serve the page from an origin of its own"));
    }
    match text.split_once("://") {
        Some((scheme, rest)) if ["http", "https"].contains(&&*scheme.to_ascii_lowercase()) => {
            let message = format!(
                "`{}` has capital letters, and browsers write origins without",
                without_user(text)
            );
            let help = format!(
                "write `{}://{}`",
                scheme.to_ascii_lowercase(),
                without_user(rest).to_ascii_lowercase()
            );
            Err(NoOrigin::new(message, help))
        }
        _ => Err(unreadable(text)),
    }
}

fn unreadable(text: &str) -> NoOrigin {
    let message = format!("`{}` is not an origin", without_user(text));
    NoOrigin::new(
        message,
        "write scheme and host, such as `https://app.example.com`, and a port if there is one",
    )
}

/// Splits an authority at the colon before its port.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

fn check_port((scheme, host): (&str, &str), port: &str) -> Result<(), NoOrigin> {
    let is_port = port
        .parse::<u16>()
        .is_ok_and(|number| number > 0 && number.to_string() == port);
    let default = if scheme == "https" { "443" } else { "80" };
    if port == default {
        let message = format!("browsers leave out `:{default}`, the default port of {scheme}");
        return Err(NoOrigin::new(message, format!("write `{scheme}://{host}`")));
    }
    if !is_port {
        let message = format!("`{port}` is not a port");
        let help = format!("write a number from 1 to 65535, or `{scheme}://{host}`");
        return Err(NoOrigin::new(message, help));
    }
    Ok(())
}

/// Returns whether a host is a name in lower case, or an IP address in its shortest form. A name whose last label begins
/// with a digit is read as an address, if at all.
fn is_host(host: &str) -> bool {
    if let Some(inside) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        let address = inside.parse::<Ipv6Addr>();
        return address.is_ok_and(|address| address.to_string() == inside && !inside.contains('.'));
    }
    let last = host.rsplit('.').next().unwrap_or_default();
    match last.starts_with(|first: char| first.is_ascii_digit()) {
        true => host.parse::<Ipv4Addr>().is_ok(),
        false => host.len() <= 253 && host.split('.').all(|label| is_label(label.as_bytes())),
    }
}

/// Returns whether bytes are one label of a host name, in lower case.
pub(super) fn is_label(label: &[u8]) -> bool {
    let fine = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
    (1..=63).contains(&label.len()) && label.iter().all(fine)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origin_is_what_browsers_write() {
        for text in [
            "https://app.example.com",
            "https://app.example.com:8443",
            "https://app.example.com:80",
            "https://intranet",
            "https://my_app.example.com",
            "https://xn--mller-kva.example",
            "https://10.0.0.1:3000",
            "https://[2001:db8::1]",
            "http://localhost",
            "http://localhost:3000",
            "http://127.0.0.1:5173",
            "http://[::1]:3000",
            "http://localhost:443",
        ] {
            assert_eq!(check(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn other_text_gets_what_to_write() {
        for (text, help) in [
            ("app.example.com", "write scheme and host"),
            ("//app.example.com", "write scheme and host"),
            ("ftp://app.example.com", "write scheme and host"),
            ("https://", "write scheme and host"),
            ("https:///x", "write scheme and host"),
            ("https://user:password@app.example.com", "write scheme and host"),
            ("https://user:password@app.example.com/x", "write scheme and host"),
            ("null", "serve the page from an origin of its own"),
            ("https://app.example.com/", "write `https://app.example.com`"),
            ("https://app.example.com/app", "write `https://app.example.com`"),
            ("https://app.example.com?x", "write `https://app.example.com`"),
            ("https://app.example.com#x", "write `https://app.example.com`"),
            ("https://App.example.com", "write `https://app.example.com`"),
            ("HTTPS://app.example.com", "write `https://app.example.com`"),
            ("https://app.example.com:443", "write `https://app.example.com`"),
            ("http://localhost:80", "write `http://localhost`"),
            ("https://app.example.com:", "write a number from 1 to 65535"),
            ("https://app.example.com:0", "write a number from 1 to 65535"),
            ("https://app.example.com:0443", "write a number from 1 to 65535"),
            ("https://app.example.com:65536", "write a number from 1 to 65535"),
            ("https://app.example.com:+1", "write a number from 1 to 65535"),
            ("https://app.example.com.", "write a name such as"),
            ("https://.example.com", "write a name such as"),
            ("https://a..b", "write a name such as"),
            ("https://a b", "write a name such as"),
            ("https://müller.example", "write a name such as"),
            ("https://a%2eb", "write a name such as"),
            ("https://*.example.com", "write a name such as"),
            ("https://010.0.0.1", "write a name such as"),
            ("https://1.2.3", "write a name such as"),
            ("https://[2001:DB8::1", "write `https://[2001:db8::1`"),
            ("https://[2001:db8:0::1]", "write a name such as"),
            ("https://[::ffff:1.2.3.4]", "write a name such as"),
            ("http://app.example.com", "write `https://app.example.com`"),
            ("http://localhost.example.com", "write `https://localhost.example.com`"),
            ("http://127.0.0.2", "write `https://127.0.0.2`"),
        ] {
            let fault = check(text).unwrap_err();
            assert!(fault.help.starts_with(help), "{text}: {fault:?}");
            assert!(!format!("{fault:?}").contains("password"), "{text}: {fault:?}");
        }
    }
}
