//! Forms of what browsers and OAuth clients see: origins, URLs of resources, scopes, names of headers.

use super::forms::{PLAIN_PORT, TOKEN};
use crate::document::schema::text_forms;

/// A port as browsers write it, other than the default one of a scheme.
fn origin_port(default: &str) -> String {
    format!("(:(?!{default}([^0-9]|$)){PLAIN_PORT})?")
}

/// An origin over https, or one of this machine; with `open` also one whose first label is a wildcard. A host
/// whose last label begins with a digit is an address.
fn origin(open: bool) -> String {
    const LABELS: &str = r"([a-z0-9_-]{1,63}\.)*";
    const BYTE: &str = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])";
    let name = format!("{LABELS}(?![0-9])[a-z0-9_-]{{1,63}}");
    let address = format!(r"{BYTE}(\.{BYTE}){{3}}|\[[0-9a-f:]+\]");
    let wildcard = r"|\*\.([a-z0-9_-]{1,63}\.)+(?![0-9])[a-z0-9_-]{1,63}";
    let wildcard = if open { wildcard } else { "" };
    let (https, http) = (origin_port("443"), origin_port("80"));
    format!(r"(https://({name}|{address}{wildcard}){https}|http://(localhost|127\.0\.0\.1|\[::1\]){http})")
}

text_forms! {
    /// The origin of web pages.
    WebOrigin {
        pattern: format!(r"^(\*|{})$", origin(true)),
        expected: "an origin such as https://app.example.com or \"https://*.example.com\", without a path; or `*`",
        examples: ["https://app.example.com", "https://*.example.com", "http://localhost:3000", "*"],
    }

    /// The URL of a protected resource, or of an authorization server.
    ResourceUrl {
        pattern: format!(r"^(?!.*[^:]//)(?!.*/\.{{1,2}}(/|$)){}(/[A-Za-z0-9._~!$&'()+,=:@/-]*)?$", origin(false)),
        expected: "an https URL in lower case up to its path, without default port, query and fragment",
        examples: ["https://tools.example.com/mcp"],
    }

    /// A scope (RFC 6749, 3.3).
    ScopeName {
        pattern: r"^[!#-\[\]-~]+$",
        expected: "one scope, of visible ASCII characters without quotes and backslashes",
        examples: ["tools.read"],
    }

    /// The name of a header that a page may set or read.
    CorsHeader {
        pattern: format!(r"^(?!\*$)[*{TOKEN}]+$"),
        expected: "the name of a header, without wildcards",
        examples: ["authorization"],
    }
}
