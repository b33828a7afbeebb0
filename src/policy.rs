//! YAML text to an immutable, indexed [`Policy`]: one service, checked.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method};

use crate::document::problem::{Location, Problem, SourceFile};
use crate::document::tls_material::{CaBundle, TlsIdentity};
use crate::request::names::{FoldedName, fold};
use crate::request::path::Allowance;

pub mod certificate;
pub mod compile;
pub mod condition;
pub mod cors;
pub mod document;
pub mod identity;
pub mod internal_key;
pub mod issuer;
pub mod issuer_names;
pub mod lint;
pub mod origin;
mod path_case;
pub mod remote_keys;
pub mod resource;
pub mod route;
pub mod router;
pub mod set;
pub mod store_rules;
pub mod stream_rule;
pub mod tenant;
pub mod token_sources;
mod unasked_certificates;
pub mod web_origin;

pub use document::{BindingMode, ErrorFormat, Fallback, Mode, QuotaScope};
pub use issuer::{Issuer, IssuerKeys};
pub use path_case::PathCase;
pub use set::{Matched, PolicySet, RouteIndex, Scope};

use certificate::CertificateName;
use cors::Cors;
use identity::{INTERNAL_KEY, Identity};
use internal_key::InternalKeys;
use lint::Lint;
use origin::Origin;
use resource::Resource;
use route::Route;
use router::{RouteMatch, Router};
use store_rules::RevocationRule;
use stream_rule::StreamRule;
use tenant::TenantRule;
use token_sources::TokenSources;

/// One service as it is enforced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// The name of the service.
    pub service: String,
    /// The path that all routes are below, without a slash at its end, as in `/wallet/v1`; empty for all paths.
    pub prefix: String,
    /// The hosts that the policy is for; empty for all.
    pub hosts: Vec<HostPattern>,
    /// Where the service is.
    pub upstream: Upstream,
    /// How long streams may be silent.
    pub streams: StreamRule,
    /// How the service writes its errors.
    pub errors: ErrorStyle,
    /// The pages of other origins that may read responses.
    pub cors: Option<Cors>,
    /// The service as a protected resource, whose metadata Sidegate serves.
    pub resource: Option<Resource>,
    /// Who issues the tokens that the service takes.
    pub issuers: Vec<Issuer>,
    /// Where the tokens of requests may be.
    pub sources: TokenSources,
    /// The rule that a token belongs to the tenant that the request names.
    pub tenant: Option<TenantRule>,
    /// The internal keys that the service takes.
    pub internal_keys: Option<InternalKeys>,
    /// The client certificates that the service takes.
    pub certificates: Vec<CertificateName>,
    /// What other roles a role brings along.
    pub roles: RoleHierarchy,
    /// How the case of paths is read.
    pub case: PathCase,
    /// Ambiguous paths that are let through.
    pub allowance: Allowance,
    /// The value of `x-forwarded-prefix`, where the service receives paths without the prefix.
    pub forwarded_prefix: Option<HeaderValue>,
    /// The `Host` that the service receives in place of the client's.
    pub upstream_host: Option<HeaderValue>,
    /// Whether `Authorization` reaches the service.
    pub forward_authorization: bool,
    /// Whether the internal key reaches the service.
    pub forward_internal_key: bool,
    /// The identity headers and the names that only Sidegate may set.
    pub identity: Identity,
    /// The headers that conditions of routes compare, each once. They are identity headers, too.
    pub compared: Vec<HeaderName>,
    /// Whether and how tokens are looked for among the revoked.
    pub revocation: Option<RevocationRule>,
    /// The routes, in the order of the file.
    pub routes: Vec<Route>,
    /// The name of the file.
    pub file: Origin<String>,
    /// What `check` warns of in the file.
    pub warnings: Origin<Vec<Problem>>,
    lints: Origin<Vec<Lint>>,
    /// Where the URL of the upstream stands.
    pub upstream_location: Origin<Location>,
    router: Router,
}

impl Policy {
    /// The warnings that are true at a time and that only `check` shows.
    pub fn lints(&self, now: i64) -> impl Iterator<Item = &Problem> {
        let due = self.lints.iter().filter(move |lint| lint.since <= now);
        due.map(|lint| &lint.problem)
    }

    /// Returns the policy with other routes, as if they stood in its file.
    #[must_use]
    pub fn with_routes(mut self, routes: Vec<Route>) -> Self {
        let is_compared = |header: &HeaderName| routes.iter().any(|route| route.requirement.compares(header));
        self.compared.retain(is_compared);
        self.router = Router::new(&routes, self.case);
        self.routes = routes;
        self
    }

    /// Returns the policy with another reading of the case of paths.
    #[must_use]
    pub fn with_case(mut self, case: PathCase) -> Self {
        self.router = Router::new(&self.routes, case);
        self.case = case;
        self
    }

    /// Takes the names for Sidegate's own that the policy reads or sets, and no others: those that other policies for
    /// the same service added are forgotten.
    fn own_names(&mut self) {
        let tenant = self.tenant.as_ref().map(|tenant| tenant.header.clone());
        let mut identity = Identity::new(self.identity.headers().to_vec(), tenant.as_slice());
        let tokens = self.sources.read.headers.iter();
        identity.own_too(tokens.chain(&self.compared).map(|name| fold(name.as_str())));
        self.identity = identity;
        self.sources.removed = self.sources.read.clone();
    }

    /// Returns the file that the policy was read from.
    pub fn source(&self) -> &Arc<SourceFile> {
        self.upstream_location.source()
    }

    /// Returns the policy without its routes.
    #[must_use]
    pub fn without_routes(&self) -> Self {
        Self {
            routes: Vec::new(),
            router: Router::default(),
            ..self.clone()
        }
    }

    /// Returns the part of a path below the prefix, if the path begins with it.
    pub fn below_prefix<'p>(&self, path: &'p str) -> Option<&'p str> {
        let rest = match self.case {
            PathCase::Insensitive => return self.below_prefix_in_any_case(path),
            PathCase::Unambiguous | PathCase::Exact => path.strip_prefix(self.prefix.as_str())?,
        };
        (rest.is_empty() || rest.starts_with('/')).then_some(rest)
    }

    /// The same, if the case of the prefix does not count.
    pub fn below_prefix_in_any_case<'p>(&self, path: &'p str) -> Option<&'p str> {
        let (head, rest) = path.split_at_checked(self.prefix.len())?;
        let is_below = head.eq_ignore_ascii_case(&self.prefix) && (rest.is_empty() || rest.starts_with('/'));
        is_below.then_some(rest)
    }

    /// Returns the part of a path below the prefix in the form in which it is forwarded, for a path that was found to be
    /// below it: the prefix is as many segments, however they are escaped.
    pub fn forwarded_below_prefix<'p>(&self, path: &'p str) -> &'p str {
        let mut slashes = path.match_indices('/');
        let below = slashes.nth(self.prefix.matches('/').count());
        below.and_then(|(at, _)| path.get(at..)).unwrap_or_default()
    }

    /// Returns the path that the service receives, for a path of the policy in the form in which it is forwarded.
    pub fn forwarded_path<'p>(&self, path: &'p str) -> &'p str {
        match &self.forwarded_prefix {
            None => path,
            Some(_) => Some(self.forwarded_below_prefix(path))
                .filter(|below| !below.is_empty())
                .unwrap_or("/"),
        }
    }

    /// The most specific route for a path and method.
    pub fn find(&self, path: &str, method: &Method) -> RouteMatch {
        match self.below_prefix(path) {
            Some(rest) => self.router.find(&self.routes, rest, method),
            None => RouteMatch::NotFound,
        }
    }

    /// The same as a route.
    pub fn route_for(&self, path: &str, method: &Method) -> Option<&Route> {
        match self.find(path, method) {
            RouteMatch::Found(index) => self.routes.get(index),
            RouteMatch::MethodMismatch | RouteMatch::NotFound => None,
        }
    }

    /// The route that a service whose router ignores case comes to.
    pub fn find_in_any_case(&self, path: &str, method: &Method) -> RouteMatch {
        match self.below_prefix_in_any_case(path) {
            Some(rest) => self.router.find_in_any_case(&self.routes, rest, method),
            None => RouteMatch::NotFound,
        }
    }

    /// Whether a path in lower case may lead elsewhere in another case: a prefix or route has capital letters.
    pub fn has_capitals(&self) -> bool {
        let in_prefix = self.case != PathCase::Insensitive && self.prefix.bytes().any(|byte| byte.is_ascii_uppercase());
        in_prefix || self.router.has_capitals()
    }

    /// The header of internal keys; the usual one where the policy names none.
    pub fn key_header(&self) -> &HeaderName {
        let keys = self.internal_keys.as_ref();
        keys.map_or(&INTERNAL_KEY, |keys| &keys.header)
    }

    /// Whether a header name is one that the policy reads or sets, or another policy for the same service.
    pub fn is_reserved(&self, name: &FoldedName<'_>) -> bool {
        self.identity.is_reserved(name) || name.spells(self.key_header())
    }

    /// The methods that the routes of a path take.
    pub fn methods(&self, path: &str) -> Vec<Method> {
        let rest = self.below_prefix(path).unwrap_or(path);
        self.router.methods(&self.routes, rest)
    }
}

/// A host as policies name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostPattern {
    /// This host.
    Exact(String),
    /// Any host that ends in this, as in `.example.com`.
    Suffix(String),
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Suffix(suffix) => write!(f, "*{suffix}"),
        }
    }
}

#[cfg(test)]
impl HostPattern {
    /// Whether a host (without port, any case) is meant: what the table of a set is held against.
    pub(crate) fn matches(&self, host: &str) -> bool {
        match self {
            Self::Exact(name) => host.eq_ignore_ascii_case(name),
            Self::Suffix(suffix) => {
                let start = host.len().saturating_sub(suffix.len());
                start > 0 && host.get(start..).is_some_and(|end| end.eq_ignore_ascii_case(suffix))
            }
        }
    }
}

/// Where a service is and how long it may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// How to reach it.
    pub address: UpstreamAddress,
    /// The variable that the address comes from, as the file writes it.
    pub variable: Origin<Option<String>>,
    /// How long a connection may take.
    pub connect_timeout: Duration,
    /// How long the service may be silent.
    pub timeout: Duration,
    /// How long a connection to the service may be idle.
    pub idle_timeout: Duration,
    /// The CAs of an https service; `None` for those of the system.
    pub ca: Option<CaBundle>,
    /// What an https service gets to see.
    pub client: Option<TlsIdentity>,
    /// The one id that the service has to prove, in place of its host name; only with `ca`.
    pub spiffe_id: Option<String>,
}

/// How to reach a service.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum UpstreamAddress {
    /// A host and port.
    Network {
        /// HTTP/1.1, HTTP/1.1 or 2 over TLS, or HTTP/2 in clear text.
        scheme: UpstreamScheme,
        /// A name or an IP address, without brackets.
        host: String,
        /// The port.
        port: u16,
    },
    /// A unix socket that speaks HTTP/1.1.
    Unix(PathBuf),
}

/// What is spoken with a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UpstreamScheme {
    /// HTTP/1.1 in clear text.
    Http,
    /// TLS, with HTTP/2 where the service offers it.
    Https,
    /// HTTP/2 in clear text with prior knowledge (RFC 9113, 3.3).
    H2c,
}

impl fmt::Display for UpstreamAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Network { scheme, host, port } => {
                let scheme = match scheme {
                    UpstreamScheme::Http => "http",
                    UpstreamScheme::Https => "https",
                    UpstreamScheme::H2c => "h2c",
                };
                match host.contains(':') {
                    true => write!(f, "{scheme}://[{host}]:{port}"),
                    false => write!(f, "{scheme}://{host}:{port}"),
                }
            }
        }
    }
}

/// How a service writes its errors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorStyle {
    /// The form of the body.
    pub format: ErrorFormat,
    /// The start of the code.
    pub code_prefix: String,
    /// Whether a 403 for a missing scope has a challenge.
    pub scope_challenge: bool,
    /// Whether rejections have the header `x-sidegate-reason`.
    pub reason_header: bool,
    /// The start of `type` in the format `problem`, before the reason code.
    pub type_base: Option<String>,
}

impl ErrorStyle {
    /// The style of a format. All formats but `envelope` have the challenge: clients of services with an envelope
    /// know challenges of a 401 only.
    pub fn new(format: ErrorFormat, code_prefix: String) -> Self {
        Self {
            format,
            code_prefix,
            scope_challenge: format != ErrorFormat::Envelope,
            reason_header: true,
            type_base: None,
        }
    }
}

impl Default for ErrorStyle {
    fn default() -> Self {
        Self::new(ErrorFormat::Flat, "ERR_SIDEGATE".into())
    }
}

/// What other roles a role brings along, directly or through another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RoleHierarchy(HashMap<String, Vec<String>>);

impl RoleHierarchy {
    /// Closes the relation: each role with all that it brings along.
    pub fn new(direct: &[(String, Vec<String>)]) -> Self {
        let mut brings: HashMap<&str, Vec<&str>> = HashMap::new();
        for (role, brought) in direct {
            let names = brought.iter().map(String::as_str);
            brings.entry(role).or_default().extend(names);
        }
        let close = |role: &String| {
            let mut all: HashSet<&str> = HashSet::new();
            let mut open = vec![role.as_str()];
            while let Some(role) = open.pop() {
                let brought = brings.get(role).into_iter().flatten();
                open.extend(brought.filter(|role| all.insert(role)));
            }
            let mut all: Vec<_> = all.into_iter().map(ToOwned::to_owned).collect();
            all.sort_unstable();
            (role.clone(), all)
        };
        Self(direct.iter().map(|(role, _)| close(role)).collect())
    }

    /// Returns the roles that it names, each perhaps several times.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let names = self
            .0
            .iter()
            .flat_map(|(role, brought)| std::iter::once(role).chain(brought));
        names.map(String::as_str)
    }

    /// Returns all roles that a role brings along.
    pub fn brought(&self, role: &str) -> &[String] {
        self.0.get(role).map_or(&[], Vec::as_slice)
    }

    /// Returns the roles that bring one along, sorted.
    pub fn bringing(&self, wanted: &str) -> Vec<&str> {
        let brings = |(_, brought): &(&String, &Vec<String>)| brought.iter().any(|role| role == wanted);
        let found = self.0.iter().filter(brings).map(|(role, _)| role.as_str());
        let mut found: Vec<_> = found.filter(|role| *role != wanted).collect();
        found.sort_unstable();
        found
    }

    /// Whether a role is another, or brings it along.
    pub fn covers(&self, role: &str, wanted: &str) -> bool {
        role == wanted
            || self
                .0
                .get(role)
                .is_some_and(|brought| brought.iter().any(|r| r == wanted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_bring_others_along() {
        let direct = [
            ("developer", "admin"),
            ("admin", "organizer"),
            ("organizer", "user"),
            ("x", "y"),
            ("y", "x"),
        ]
        .map(|(role, brings)| (role.to_owned(), vec![brings.to_owned()]));
        let roles = RoleHierarchy::new(&direct);
        for (role, wanted, want) in [
            ("developer", "user", true),
            ("admin", "user", true),
            ("user", "admin", false),
            ("users", "user", false),
            ("user", "user", true),
            ("x", "x", true),
            ("x", "user", false),
        ] {
            assert_eq!(roles.covers(role, wanted), want, "{role} {wanted}");
        }
        assert_eq!(roles.bringing("organizer"), ["admin", "developer"]);
        assert_eq!(roles.bringing("x"), ["y"]);
    }

    #[test]
    fn path_below_the_prefix_is_that_of_the_wire() {
        for (prefix, path, want) in [
            ("/", "/a/b", "/a/b"),
            ("/w/v1", "/w/v1/a%20b", "/a%20b"),
            ("/w/v1", "/w/v1/", "/"),
            ("/w/v1", "/w/v1", ""),
            ("/é", "/%C3%A9/x", "/x"),
            ("/a:b", "/a%3Ab/x", "/x"),
        ] {
            let text = format!(
                "version: 1\nservice: s\nprefix: {prefix}\nupstream: {{ url: 'http://127.0.0.1:1' }}\n\
                 routes: [{{ path: /*, auth: public }}]\n"
            );
            let policies = crate::testing::parse(&[&text]).unwrap();
            assert_eq!(
                policies.policies()[0].forwarded_below_prefix(path),
                want,
                "{prefix} {path}"
            );
        }
    }

    #[test]
    fn hosts() {
        let exact = HostPattern::Exact("api.example.com".into());
        let suffix = HostPattern::Suffix(".example.com".into());
        for (host, is_exact, is_suffix) in [
            ("api.example.com", true, true),
            ("API.EXAMPLE.COM", true, true),
            ("example.com", false, false),
            (".example.com", false, false),
            ("evilexample.com", false, false),
            ("a.b.example.com", false, true),
        ] {
            assert_eq!(
                (exact.matches(host), suffix.matches(host)),
                (is_exact, is_suffix),
                "{host}"
            );
        }
    }
}
