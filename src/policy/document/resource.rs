//! `resource` of a policy as written.

use super::web_forms::{ResourceUrl, ScopeName};
use crate::document::collections::List;
use crate::document::decode::{Spanned, document};

/// The most authorization servers of a resource.
pub const MAX_SERVERS: usize = 16;

/// The most scopes of a resource.
pub const MAX_SCOPES: usize = 256;

document! {
    /// The service as an OAuth 2.0 protected resource (RFC 9728): a client that has no token finds the authorization
    /// server by itself, as MCP clients do. Needs a `jwt` block. With it, the token does not reach the service unless
    /// the policy says `credentials: forward`.
    pub struct ResourceDocument {
        /// The identifier of the resource: its URL as clients use it, over https or on this machine, without query and
        /// fragment. Each issuer of the policy must list it as an `audience` (RFC 8707).
        #[schemars(with = "ResourceUrl")]
        url: Spanned<String>,
        /// The issuer identifiers of the authorization servers where clients get tokens (RFC 8414). At most 16.
        #[schemars(with = "List<ResourceUrl>", extend("maxItems" = 16, "examples" = [["https://login.example.com"]]))]
        authorization_servers: List<Spanned<String>>,
        /// The scopes that clients can ask for. Without it, the document names none. At most 256.
        #[schemars(with = "Option<List<ScopeName>>", extend("maxItems" = 256, "examples" = [["tools.read", "tools.write"]]))]
        scopes: Option<List<Spanned<String>>>,
    }
}
