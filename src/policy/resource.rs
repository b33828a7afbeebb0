//! A service as an OAuth 2.0 protected resource (RFC 9728): its metadata, and what challenges say about it.

use bytes::Bytes;
use serde::Serialize;

use super::origin::Origin;
use crate::document::problem::Location;

/// The start of the path of every metadata document (RFC 9728, 3).
pub const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// A protected resource, with its metadata rendered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// The identifier, which is its URL.
    pub url: String,
    /// The URL of the metadata document.
    pub metadata_url: String,
    /// The metadata document.
    pub document: Bytes,
    /// Where the policy says so.
    pub location: Origin<Location>,
    /// The path of the URL, which is the end of the path of the document.
    path: String,
}

/// What a metadata document says (RFC 9728, 2), in the order in which it is written.
#[derive(Debug, Clone, Serialize)]
pub struct Metadata<'m> {
    /// The identifier.
    pub resource: &'m str,
    /// The issuer identifiers of the authorization servers.
    pub authorization_servers: &'m [String],
    /// The scopes that a client can ask for.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub scopes_supported: &'m [String],
    /// Where a request has its token (RFC 6750, 2).
    pub bearer_methods_supported: &'m [&'static str],
    /// Whether tokens that are bound to a client certificate work with it only (RFC 8705, 3).
    pub tls_client_certificate_bound_access_tokens: bool,
}

impl Resource {
    /// Renders a resource by its metadata. The URL has an origin and a path, and nothing behind it.
    pub fn new(metadata: &Metadata<'_>, location: Location) -> Self {
        let url = metadata.resource;
        let (authority, path) = split(url);
        // RFC 9728, 3.1: a slash that ends the host is removed.
        let path = if path == "/" { "" } else { path };
        Self {
            url: url.to_owned(),
            metadata_url: format!("{authority}{WELL_KNOWN}{path}"),
            // Texts always have a JSON form.
            document: serde_json::to_vec(metadata).unwrap_or_default().into(),
            location: Origin(location),
            path: path.to_owned(),
        }
    }

    /// Returns the path of the metadata document.
    pub fn metadata_path(&self) -> String {
        format!("{WELL_KNOWN}{}", self.path)
    }

    /// Returns whether a path behind [`WELL_KNOWN`] is that of this resource, with or without a slash at its end.
    pub fn has_path(&self, rest: &[u8]) -> bool {
        without_slash(self.path.as_bytes()) == without_slash(rest)
    }

    /// Returns whether the document of another resource has the same path.
    pub fn shares_path(&self, other: &Self) -> bool {
        self.has_path(other.path.as_bytes())
    }
}

/// Splits an absolute URL at the start of its path.
pub(super) fn split(url: &str) -> (&str, &str) {
    let start = url.find("://").map_or(url.len(), |at| at + 3);
    let path = url.get(start..).and_then(|rest| rest.find('/'));
    url.split_at(path.map_or(url.len(), |at| start + at))
}

/// Removes one slash at the end of a path.
pub(super) fn without_slash(path: &[u8]) -> &[u8] {
    path.strip_suffix(b"/").unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::document::problem::SourceFile;

    fn resource(url: &str, scopes: &[String]) -> Resource {
        let metadata = Metadata {
            resource: url,
            authorization_servers: &["https://login.example.com".to_owned()],
            scopes_supported: scopes,
            bearer_methods_supported: &["header"],
            tls_client_certificate_bound_access_tokens: true,
        };
        Resource::new(&metadata, Location::new(&Arc::new(SourceFile::new("", "")), &(0..0)))
    }

    #[test]
    fn path_of_the_resource_is_inserted_behind_the_well_known_one() {
        for (url, want) in [
            (
                "https://a.example",
                "https://a.example/.well-known/oauth-protected-resource",
            ),
            (
                "https://a.example/",
                "https://a.example/.well-known/oauth-protected-resource",
            ),
            (
                "https://a.example/mcp",
                "https://a.example/.well-known/oauth-protected-resource/mcp",
            ),
            (
                "https://a.example/mcp/",
                "https://a.example/.well-known/oauth-protected-resource/mcp/",
            ),
            (
                "http://localhost:8080/a/b",
                "http://localhost:8080/.well-known/oauth-protected-resource/a/b",
            ),
            (
                "http://[::1]:8080/a",
                "http://[::1]:8080/.well-known/oauth-protected-resource/a",
            ),
        ] {
            let resource = resource(url, &[]);
            assert_eq!(resource.metadata_url, want);
            assert!(want.ends_with(&resource.metadata_path()), "{url}");
            assert_eq!(resource.url, url);
        }
    }

    #[test]
    fn path_is_compared_whole_but_for_a_slash_at_its_end() {
        for (url, rest, want) in [
            ("https://a.example/mcp", "/mcp", true),
            ("https://a.example/mcp", "/mcp/", true),
            ("https://a.example/mcp/", "/mcp", true),
            ("https://a.example/mcp", "/mcp//", false),
            ("https://a.example/mcp", "/mcpx", false),
            ("https://a.example/mcp", "/MCP", false),
            ("https://a.example/mcp", "/%6dcp", false),
            ("https://a.example/mcp", "/mcp/x", false),
            ("https://a.example/mcp", "", false),
            ("https://a.example", "", true),
            ("https://a.example", "/", true),
            ("https://a.example/", "", true),
        ] {
            assert_eq!(resource(url, &[]).has_path(rest.as_bytes()), want, "{url} {rest}");
        }
    }

    #[test]
    fn document_has_what_the_policy_says() {
        let want = r#"{"resource":"https://a.example/mcp","authorization_servers":["https://login.example.com"],"scopes_supported":["read"],"bearer_methods_supported":["header"],"tls_client_certificate_bound_access_tokens":true}"#;
        assert_eq!(resource("https://a.example/mcp", &["read".to_owned()]).document, want);
        assert!(
            !resource("https://a.example/mcp", &[])
                .document
                .windows(6)
                .any(|part| part == b"scopes")
        );
    }
}
