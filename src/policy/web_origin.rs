//! Origins of web pages as browsers write them (RFC 6454, 6.1; URL, "host serializing"), so that they can be compared
//! byte by byte.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::document::masks::without_user;

/// The hosts of this machine, to which plain http is as safe as https.
const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// Why a URL has one form.
const COMPARED: &str = "clients compare the URL byte for byte";

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

/// What a text begins with an origin for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Purpose<'t> {
    /// The origin of web pages.
    Pages,
    /// A URL that clients compare, with this path.
    Url(&'t str),
}

impl<'t> Purpose<'t> {
    /// Returns what to write for another origin.
    fn write(self, origin: &str) -> String {
        format!("write `{origin}{}`", self.path())
    }

    const fn path(self) -> &'t str {
        match self {
            Self::Pages => "",
            Self::Url(path) => path,
        }
    }

    /// Returns one of two texts.
    const fn pick<'c>(self, pages: &'c str, url: &'c str) -> &'c str {
        match self {
            Self::Pages => pages,
            Self::Url(_) => url,
        }
    }
}

/// Checks that a text is an origin: a scheme, a host, and a port unless it is the default one.
pub fn check(text: &str) -> Result<(), NoOrigin> {
    check_for(text, Purpose::Pages)
}

/// Checks that a text is an origin, and says what to write for its purpose.
pub(super) fn check_for(text: &str, purpose: Purpose<'_>) -> Result<(), NoOrigin> {
    let (scheme, rest) = scheme(text, purpose)?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let shown = without_user(text);
    if authority.contains('@') {
        return Err(NoOrigin::new(
            "a user stands in front of the host",
            "leave the user out",
        ));
    }
    if authority.is_empty() {
        return Err(unreadable(text, purpose));
    }
    if authority != rest {
        let message = format!("`{shown}` has a path, and an origin ends with its host or port");
        return Err(NoOrigin::new(message, format!("write `{scheme}://{authority}`")));
    }
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        let why = purpose.pick("browsers write origins without", COMPARED);
        let message = format!("`{text}` has capital letters, and {why}");
        return Err(NoOrigin::new(message, purpose.write(&text.to_ascii_lowercase())));
    }
    let (host, port) = split_port(authority);
    if let Some(port) = port {
        check_port((scheme, host), port, purpose)?;
    }
    if !is_host(host) {
        let message = format!(
            "`{host}` is not a host as {} write it",
            purpose.pick("browsers", "clients")
        );
        let help = "write a name such as `app.example.com` (in Punycode if it has other letters), or an IP address";
        return Err(NoOrigin::new(message, help));
    }
    if scheme == "http" && !LOOPBACK.contains(&host) {
        let what = purpose.pick("a page that comes", "the metadata that come");
        let message = format!("`{text}` is not protected: others on the network can change {what} over http");
        let write = purpose.write(&format!("https://{authority}"));
        let help = format!("{write}; `http://` is for `localhost`, `127.0.0.1` and `[::1]` only");
        return Err(NoOrigin::new(message, help));
    }
    Ok(())
}

fn scheme<'t>(text: &'t str, purpose: Purpose<'_>) -> Result<(&'static str, &'t str), NoOrigin> {
    for scheme in ["https", "http"] {
        let rest = text.strip_prefix(scheme).and_then(|rest| rest.strip_prefix("://"));
        if let Some(rest) = rest {
            return Ok((scheme, rest));
        }
    }
    if text == "null" && matches!(purpose, Purpose::Pages) {
        let message = "any page can have the origin `null`, so it cannot be allowed";
        return Err(NoOrigin::new(message, "serve the page from an origin of its own"));
    }
    match text.split_once("://") {
        Some((scheme, rest)) if ["http", "https"].contains(&&*scheme.to_ascii_lowercase()) => {
            let why = purpose.pick("browsers write origins without", COMPARED);
            let message = format!("`{}` has capital letters, and {why}", without_user(text));
            let scheme = scheme.to_ascii_lowercase();
            let origin = format!("{scheme}://{}", without_user(rest).to_ascii_lowercase());
            Err(NoOrigin::new(message, purpose.write(&origin)))
        }
        Some((scheme, _)) if !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
            let message = format!("`{scheme}://` is not possible here");
            let help = "only `https://` is, and `http://` for `localhost`, `127.0.0.1` and `[::1]`";
            Err(NoOrigin::new(message, help))
        }
        _ => Err(unreadable(text, purpose)),
    }
}

fn unreadable(text: &str, purpose: Purpose<'_>) -> NoOrigin {
    let what = purpose.pick("an origin", "an absolute URL");
    let message = format!("`{}` is not {what}", without_user(text));
    let help = purpose.pick(
        "write scheme and host, such as `https://app.example.com`, and a port if there is one",
        "write it from its scheme on, as in `https://tools.example.com/mcp`",
    );
    NoOrigin::new(message, help)
}

/// Splits an authority at the colon before its port.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

fn check_port((scheme, host): (&str, &str), port: &str, purpose: Purpose<'_>) -> Result<(), NoOrigin> {
    let is_port = port
        .parse::<u16>()
        .is_ok_and(|number| number > 0 && number.to_string() == port);
    let default = if scheme == "https" { "443" } else { "80" };
    if port == default {
        let what = purpose.pick(
            "browsers leave out",
            "clients compare the URL byte for byte, and leave out",
        );
        let message = format!("{what} `:{default}`, the default port of {scheme}");
        return Err(NoOrigin::new(message, purpose.write(&format!("{scheme}://{host}"))));
    }
    if !is_port {
        let message = format!("`{port}` is not a port");
        let help = format!(
            "write a number from 1 to 65535, or `{scheme}://{host}{}`",
            purpose.path()
        );
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
            ("ftp://app.example.com", "only `https://` is"),
            ("capacitor://localhost", "only `https://` is"),
            ("https://", "write scheme and host"),
            ("https:///x", "write scheme and host"),
            ("https://user:password@app.example.com", "leave the user out"),
            ("https://user:password@app.example.com/x", "leave the user out"),
            ("https+unix://app", "write scheme and host"),
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
