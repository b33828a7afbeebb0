//! `cors` of a policy as written.

use std::time::Duration;

use super::web_forms::{CorsHeader, WebOrigin};
use crate::document::collections::List;
use crate::document::decode::{Spanned, document};
use crate::document::patterns::whole_seconds;
use crate::document::scalars::HumanDuration;

/// The longest time for which a browser may keep the response to a preflight. Browsers keep it for less.
pub const LONGEST_MAX_AGE: Duration = Duration::from_hours(24);

/// The most origins of a policy: each is compared with that of the request.
pub const MAX_ORIGINS: usize = 256;

/// The most names of headers in a list, which is a field of each response.
pub const MAX_NAMES: usize = 64;

document! {
    /// The pages of other origins that may call the service and read its responses, rejections included (CORS).
    /// Sidegate answers preflights and sets the `Access-Control-*` headers; those of the service are removed.
    #[schemars(extend("allOf" = [
        { "properties": { "origins": { "anyOf": [{ "maxItems": 1 }, { "not": { "contains": { "const": "*" } } }] } } },
        { "not": {
            "required": ["credentials", "origins"],
            "properties": { "credentials": { "const": true }, "origins": { "contains": { "const": "*" } } }
        } },
    ]))]
    pub struct CorsDocument {
        /// The origins of the pages, as browsers write them: scheme and host in lower case, a port unless it is the
        /// default one, no path. `https://*.example.com` is for all hosts with one label more. `["*"]` is for all
        /// origins, and cannot stand beside `credentials: true`. `http://` is for `localhost`, `127.0.0.1` and `[::1]`
        /// only. At most 256.
        #[schemars(with = "List<WebOrigin>", extend(
            "maxItems" = 256,
            "uniqueItems" = true,
            "examples" = [["https://app.example.com"]]
        ))]
        origins: List<Spanned<String>>,
        /// The request headers that a page may set, besides those that need no permission (Fetch, 2.2.2). A page that
        /// sends a token needs `authorization`. At most 64.
        #[schemars(with = "Option<List<CorsHeader>>", extend(
            "maxItems" = 64,
            "examples" = [["authorization", "content-type", "x-tenant-id"]]
        ))]
        headers: Option<List<Spanned<String>>>,
        /// The response headers that a page may read, besides those that need no permission (Fetch, 2.2.2).
        /// `x-request-id`, `x-sidegate-reason`, `www-authenticate` and `retry-after` are always among them. At most 64.
        #[schemars(with = "Option<List<CorsHeader>>", extend("maxItems" = 64, "examples" = [["x-total-count"]]))]
        expose: Option<List<Spanned<String>>>,
        /// Whether requests with cookies may come from these pages, and their responses be read.
        #[schemars(extend("default" = false))]
        credentials: Option<Spanned<bool>>,
        /// How long a browser may keep the response to a preflight, in whole seconds, at most `24h`. Chromium
        /// keeps it for two hours at most, Firefox for one day. `0s` for not at all.
        #[schemars(extend("default" = "10m", "pattern" = whole_seconds(LONGEST_MAX_AGE)))]
        max_age: Option<Spanned<HumanDuration>>,
    }
}
