//! Which pages of other origins may read the responses of a service (CORS; Fetch, 3.2), checked and rendered.

use std::fmt;
use std::time::Duration;

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::web_origin::is_label;
use crate::request::only;

/// One field of a response.
pub type Field = (HeaderName, HeaderValue);

/// The response headers that pages may always read: they tell a rejection from a response of the service.
const EXPOSED: [HeaderName; 4] = [
    HeaderName::from_static("x-request-id"),
    HeaderName::from_static("x-sidegate-reason"),
    http::header::WWW_AUTHENTICATE,
    http::header::RETRY_AFTER,
];

/// The pages that may read responses, and what their requests may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cors {
    /// The origins of the pages.
    pub origins: Vec<AllowedOrigin>,
    /// Whether requests with cookies count, too.
    pub credentials: bool,
    max_age: HeaderValue,
    headers: Option<HeaderValue>,
    exposed: HeaderValue,
}

/// An entry of the list of origins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AllowedOrigin {
    /// `*`: every origin but `null`.
    Any,
    /// This origin, as browsers write it.
    Exact(HeaderValue),
    /// `https://*.example.com`: the origins that have one label more than this end, as in `.example.com:8443`.
    Subdomain(String),
}

impl AllowedOrigin {
    /// Returns the value of `Access-Control-Allow-Origin` for an origin, if this entry is for it.
    fn value_for(&self, origin: &HeaderValue) -> Option<HeaderValue> {
        self.is_for(origin.as_bytes()).then(|| match self {
            Self::Any => HeaderValue::from_static("*"),
            Self::Exact(entry) => entry.clone(),
            // Each of its bytes is checked.
            Self::Subdomain(_) => origin.clone(),
        })
    }

    /// Returns whether this entry is for an origin. A page without an origin of its own sends `null`, and any page can
    /// (HTML, 7.1.1), so no entry is for it.
    pub fn is_for(&self, origin: &[u8]) -> bool {
        match self {
            Self::Any => !origin.is_empty() && origin != b"null",
            Self::Exact(entry) => entry.as_bytes() == origin,
            Self::Subdomain(end) => {
                let host = origin.strip_prefix(b"https://");
                let label = host.and_then(|host| host.strip_suffix(end.as_bytes()));
                label.is_some_and(is_label)
            }
        }
    }
}

/// As the policy has it.
impl fmt::Display for AllowedOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Exact(entry) => f.write_str(&String::from_utf8_lossy(entry.as_bytes())),
            Self::Subdomain(end) => write!(f, "https://*{end}"),
        }
    }
}

impl Cors {
    /// Renders what does not depend on the request. `exposed` are response headers that pages may read besides those of
    /// Sidegate.
    pub fn new(
        origins: Vec<AllowedOrigin>,
        credentials: bool,
        max_age: Duration,
        headers: &[HeaderName],
        exposed: &[HeaderName],
    ) -> Self {
        let further = exposed.iter().filter(|name| !EXPOSED.contains(name));
        Self {
            origins,
            credentials,
            max_age: max_age.as_secs().into(),
            headers: (!headers.is_empty()).then(|| list(headers.iter().map(HeaderName::as_str))),
            exposed: list(EXPOSED.iter().chain(further).map(HeaderName::as_str)),
        }
    }

    /// Returns the value of `Access-Control-Allow-Origin` for the only `Origin` of a request, if it is listed: `*`, an
    /// entry of the list, or an origin of which each byte is checked.
    pub fn allowed_origin(&self, origin: &HeaderValue) -> Option<HeaderValue> {
        self.origins.iter().find_map(|entry| entry.value_for(origin))
    }

    /// Returns the same for a request by its header fields. A request with two origins has none.
    pub fn origin_allowed_in(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        self.allowed_origin(only(headers, &ORIGIN)?)
    }

    /// Returns whether a page of an origin may send requests with cookies and read the responses.
    pub fn allows_credentials_from(&self, origin: &[u8]) -> bool {
        self.credentials && self.origins.iter().any(|entry| entry.is_for(origin))
    }

    /// Returns whether a page may send a header that browsers ask for.
    pub fn allows_header(&self, name: &[u8]) -> bool {
        let listed = self
            .headers
            .iter()
            .flat_map(|names| names.as_bytes().split(|&byte| byte == b','));
        listed
            .map(<[u8]>::trim_ascii)
            .any(|listed| listed.eq_ignore_ascii_case(name))
    }

    /// Returns the fields of a response, by what [`Cors::allowed_origin`] returned for its request.
    pub fn response_fields(&self, allowed: Option<&HeaderValue>) -> impl Iterator<Item = Field> {
        let exposed = allowed.map(|_| (ACCESS_CONTROL_EXPOSE_HEADERS, self.exposed.clone()));
        self.origin_fields(allowed).chain(exposed)
    }

    /// Returns the fields of the response to a preflight from an allowed origin, for a path with these methods (Fetch,
    /// 3.2.3).
    pub fn preflight_fields(&self, allowed: &HeaderValue, methods: &[Method]) -> impl Iterator<Item = Field> {
        let methods = (ACCESS_CONTROL_ALLOW_METHODS, list(methods.iter().map(Method::as_str)));
        let headers = self.headers.clone().map(|names| (ACCESS_CONTROL_ALLOW_HEADERS, names));
        self.origin_fields(Some(allowed))
            .chain([methods])
            .chain(headers)
            .chain([(ACCESS_CONTROL_MAX_AGE, self.max_age.clone())])
    }

    /// Returns the fields that say which origin may read a response. `Vary` keeps caches from giving it to another one.
    fn origin_fields(&self, allowed: Option<&HeaderValue>) -> impl Iterator<Item = Field> {
        let credentials = allowed.filter(|_| self.credentials);
        let credentials = credentials.map(|_| (ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true")));
        let origin = allowed.map(|origin| (ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone()));
        let vary = (VARY, HeaderValue::from_static("Origin"));
        [vary].into_iter().chain(origin).chain(credentials)
    }
}

/// Returns whether a field of a response is one of those that a policy with `cors` sets in place of the service.
pub fn is_response_field(name: &HeaderName) -> bool {
    name.as_str().starts_with("access-control-")
}

/// Joins tokens to the value of a header.
fn list<'n>(names: impl Iterator<Item = &'n str>) -> HeaderValue {
    let joined = names.collect::<Vec<_>>().join(", ");
    // Names of headers and methods are tokens.
    HeaderValue::try_from(joined).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cors(origins: &[&'static str], credentials: bool) -> Cors {
        let entry = |text: &&'static str| match (*text, text.strip_prefix("https://*")) {
            ("*", _) => AllowedOrigin::Any,
            (_, Some(end)) => AllowedOrigin::Subdomain(end.to_owned()),
            _ => AllowedOrigin::Exact(HeaderValue::from_static(text)),
        };
        let origins = origins.iter().map(entry).collect();
        let [headers, exposed] = ["authorization", "x-total"].map(|name| [HeaderName::from_static(name)]);
        Cors::new(origins, credentials, Duration::from_mins(10), &headers, &exposed)
    }

    fn shown(fields: impl Iterator<Item = Field>) -> Vec<String> {
        let shown = fields.map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()));
        shown.collect()
    }

    #[test]
    fn allowed_origin_is_an_entry_or_fits_the_pattern_in_each_byte() {
        let listed = &["https://app.example.com", "http://localhost:3000"];
        let pattern = &["https://*.example.com:8443"];
        for (entries, origin, want) in [
            (&listed[..], "https://app.example.com", Some("https://app.example.com")),
            (listed, "http://localhost:3000", Some("http://localhost:3000")),
            (listed, "https://app.example.com:443", None),
            (listed, "https://app.example.com/", None),
            (listed, "https://APP.example.com", None),
            (listed, "http://app.example.com", None),
            (listed, "https://app.example.com.evil.example", None),
            (listed, "https://app.example.com, https://app.example.com", None),
            (listed, "null", None),
            (listed, "", None),
            (
                pattern,
                "https://a.example.com:8443",
                Some("https://a.example.com:8443"),
            ),
            (
                pattern,
                "https://a-b_1.example.com:8443",
                Some("https://a-b_1.example.com:8443"),
            ),
            (pattern, "https://a.example.com", None),
            (pattern, "https://a.example.com:443", None),
            (pattern, "http://a.example.com:8443", None),
            (pattern, "https://.example.com:8443", None),
            (pattern, "https://example.com:8443", None),
            (pattern, "https://a.b.example.com:8443", None),
            (pattern, "https://A.example.com:8443", None),
            (pattern, "https://evil.example/.example.com:8443", None),
            (pattern, "https://evil.example?.example.com:8443", None),
            (pattern, "https://evil.example#.example.com:8443", None),
            (pattern, "https://user@a.example.com:8443", None),
            (pattern, "https://evil:1.example.com:8443", None),
            (pattern, "https://a%2e.example.com:8443", None),
            (pattern, "https://evilexample.com:8443", None),
            (&["*"], "https://other.example", Some("*")),
            (&["*"], "null", None),
            (&["*"], "", None),
        ] {
            let found = cors(entries, false).allowed_origin(&HeaderValue::from_static(origin));
            assert_eq!(found, want.map(HeaderValue::from_static), "{entries:?} {origin}");
        }
    }

    #[test]
    fn long_label_fits_no_pattern() {
        for (length, want) in [(63, true), (64, false)] {
            let origin = format!("https://{}.example.com", "a".repeat(length)).parse().unwrap();
            assert_eq!(
                cors(&["https://*.example.com"], false)
                    .allowed_origin(&origin)
                    .is_some(),
                want
            );
        }
    }

    #[test]
    fn cookies_count_from_listed_origins_only_where_the_policy_says_so() {
        for (credentials, origin, want) in [
            (true, &b"https://app.example.com"[..], true),
            (true, b"https://a.example.org", true),
            (true, b"https://evil.example", false),
            (true, b"null", false),
            (true, b"", false),
            (false, b"https://app.example.com", false),
        ] {
            let cors = cors(&["https://app.example.com", "https://*.example.org"], credentials);
            assert_eq!(cors.allows_credentials_from(origin), want, "{credentials} {origin:?}");
        }
    }

    #[test]
    fn fields_are_those_of_the_policy() {
        const EXPOSE: &str =
            "access-control-expose-headers: x-request-id, x-sidegate-reason, www-authenticate, retry-after, x-total";
        let origin = HeaderValue::from_static("https://app.example.com");
        let allow = "access-control-allow-origin: https://app.example.com";
        let cookies = "access-control-allow-credentials: true";
        let (plain, with_cookies) = (cors(&[], false), cors(&[], true));
        assert_eq!(shown(plain.response_fields(None)), ["vary: Origin"]);
        assert_eq!(
            shown(plain.response_fields(Some(&origin))),
            ["vary: Origin", allow, EXPOSE]
        );
        assert_eq!(
            shown(with_cookies.response_fields(Some(&origin))),
            ["vary: Origin", allow, cookies, EXPOSE]
        );
        let preflight = [
            "vary: Origin",
            allow,
            cookies,
            "access-control-allow-methods: GET, PUT",
            "access-control-allow-headers: authorization",
            "access-control-max-age: 600",
        ];
        let methods = [Method::GET, Method::PUT];
        assert_eq!(shown(with_cookies.preflight_fields(&origin, &methods)), preflight);
    }

    #[test]
    fn page_may_send_the_listed_headers_in_any_case_and_no_other() {
        let headers = ["authorization", "x-tenant-id"].map(HeaderName::from_static);
        let cors = Cors::new(Vec::new(), false, Duration::ZERO, &headers, &[]);
        for (name, want) in [
            ("authorization", true),
            ("X-Tenant-Id", true),
            ("x-tenant", false),
            ("authorization, x-tenant-id", false),
            ("", false),
        ] {
            assert_eq!(cors.allows_header(name.as_bytes()), want, "{name}");
        }
    }

    #[test]
    fn policy_without_headers_allows_none() {
        let cors = Cors::new(Vec::new(), false, Duration::ZERO, &[], &EXPOSED);
        assert!(!cors.allows_header(b"authorization"));
        let fields = shown(cors.preflight_fields(&HeaderValue::from_static("*"), &[]));
        assert!(
            !fields
                .iter()
                .any(|field| field.starts_with("access-control-allow-headers"))
        );
        assert_eq!(
            cors.exposed,
            "x-request-id, x-sidegate-reason, www-authenticate, retry-after"
        );
    }

    proptest! {
        #[test]
        fn allowed_origin_is_an_entry_or_matches_the_pattern(
            start in "(https?|ws|HTTPS)://|https://|https://|//|",
            host in "([aA.*_/@:#%-]{0,3}|[a-z0-9_-]{1,4}|)\\.?(app|)\\.?example\\.(com|org)",
            end in "(:[0-9]{0,5}|/|\\.|x||||)",
        ) {
            let origin = HeaderValue::try_from(format!("{start}{host}{end}")).unwrap();
            let entry = "https://app.example.com";
            let found = cors(&[entry, "https://*.example.org"], true).allowed_origin(&origin);
            let pattern = serde_json::json!({ "pattern": r"^https://[a-z0-9_-]{1,63}\.example\.org$" });
            let pattern = jsonschema::validator_for(&pattern).unwrap();
            let text = origin.to_str().unwrap();
            prop_assert_eq!(found.is_some(), text == entry || pattern.is_valid(&text.into()));
            prop_assert!(found.is_none_or(|found| found == entry || found == text));
        }
    }
}
