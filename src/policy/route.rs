//! One route, checked: what it matches, how callers authenticate, what is asked of them.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, Method};

use super::condition::Condition;
use super::document::Mode;
use super::origin::Origin;
use super::store_rules::{IdempotencyRule, Quota};
use crate::document::problem::Location;
use crate::principal::{AuthMethod, DENY};

mod path_pattern;
pub mod path_texts;

pub use path_pattern::{PathPattern, Segment, without_suffix};

/// One route of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The prefix of the policy and the path of the route, as in `/wallet/v1/jobs/*`: the label of
    /// the route in metrics and logs.
    pub pattern: String,
    /// What it matches below the prefix.
    pub path: PathPattern,
    /// The methods that it takes; empty for all.
    pub methods: Vec<Method>,
    /// How callers prove who they are.
    pub authentication: Authentication,
    /// What is asked of a proven caller.
    pub requirement: Requirement,
    /// The media types that a POST, PUT or PATCH may have; empty for any.
    pub content_types: Vec<String>,
    /// Whether rejections are enforced.
    pub mode: Mode,
    /// Identity headers of the client that reach the service.
    pub pass_through: Vec<HeaderName>,
    /// How requests are answered that may come again.
    pub idempotency: Option<Arc<IdempotencyRule>>,
    /// How often callers may call.
    pub quotas: Vec<Arc<Quota>>,
    /// Whether quotas leave out a request with `x-sandbox: true`.
    pub sandbox: bool,
    /// Whether requests that are allowed and do not fail have an access line.
    pub access_log: bool,
    /// How long the service may be silent, in place of the time of the policy.
    pub timeout: Option<Duration>,
    /// The longest body of a request, in place of the limit of the process.
    pub body_bytes: Option<u64>,
    /// Where it stands.
    pub location: Origin<Location>,
}

impl Route {
    /// Tells whether the route accepts a method by itself. HEAD is GET without a body (RFC 9110, 9.3.2),
    /// and services answer it with the code for GET. TRACE has to be named: a service that answers
    /// it would show the identity headers (RFC 9110, 9.3.8). A route that rejects every request rejects TRACE, too.
    pub fn accepts(&self, method: &Method) -> bool {
        (self.methods.is_empty() && (*method != Method::TRACE || self.is_denied()))
            || self.methods.contains(method)
            || (*method == Method::HEAD && self.methods.contains(&Method::GET))
    }

    /// Tells whether the route is public: it accepts requests without a credential.
    pub fn is_open(&self) -> bool {
        self.authentication.methods().contains(&AuthMethod::Public)
    }

    /// Whether the route lets every client through, or every client with a static key: routes that an
    /// allowance for ambiguous paths must never open.
    pub fn is_permissive(&self) -> bool {
        self.is_open() || self.authentication.methods().contains(&AuthMethod::InternalKey)
    }

    /// Tells whether the route rejects every request.
    pub fn is_denied(&self) -> bool {
        *self.authentication.rule() == AuthRule::Deny
    }

    /// Returns the route as one that rejects every request, also where its policy is in shadow mode.
    #[must_use]
    pub fn denied(self) -> Self {
        Self {
            mode: Mode::Enforce,
            content_types: Vec::new(),
            pass_through: Vec::new(),
            idempotency: None,
            quotas: Vec::new(),
            sandbox: false,
            timeout: None,
            body_bytes: None,
            ..self
        }
    }

    /// The methods that both routes take and one of them names; GET where neither names any.
    pub fn shared_methods<'r>(&'r self, other: &'r Self) -> impl Iterator<Item = &'r Method> {
        let any = (self.methods.is_empty() && other.methods.is_empty()).then_some(&Method::GET);
        let named = self.methods.iter().chain(&other.methods);
        any.into_iter()
            .chain(named)
            .filter(|method| self.accepts(method) && other.accepts(method))
    }

    /// The route's `auth` as one word, for metrics and logs.
    pub fn auth_label(&self) -> &str {
        &self.authentication.label
    }
}

/// How callers prove who they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authentication {
    rule: AuthRule,
    label: String,
}

/// How the methods of a route combine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthRule {
    /// Any one; whatever is presented must be good.
    Any(Vec<AuthMethod>),
    /// All of them.
    All(Vec<AuthMethod>),
    /// No method: the route rejects every request.
    Deny,
}

impl From<AuthMethod> for AuthRule {
    fn from(method: AuthMethod) -> Self {
        Self::All(vec![method])
    }
}

impl Authentication {
    /// One method is an `all` of one.
    pub fn new(rule: AuthRule) -> Self {
        let joined = |methods: &[AuthMethod], separator| {
            let words: Vec<_> = methods.iter().map(|m| m.as_str()).collect();
            words.join(separator)
        };
        let label = match &rule {
            AuthRule::Any(methods) => joined(methods, "|"),
            AuthRule::All(methods) => joined(methods, "+"),
            AuthRule::Deny => DENY.to_owned(),
        };
        Self { rule, label }
    }

    /// How the methods combine.
    pub fn rule(&self) -> &AuthRule {
        &self.rule
    }

    /// The methods, in the order of the file.
    pub fn methods(&self) -> &[AuthMethod] {
        match &self.rule {
            AuthRule::Any(methods) | AuthRule::All(methods) => methods,
            AuthRule::Deny => &[],
        }
    }
}

/// What is asked of a proven caller.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Requirement {
    /// One of these roles; empty for none.
    pub roles: Vec<String>,
    /// All of these scopes.
    pub scopes: Vec<String>,
    /// All of these conditions.
    pub conditions: Vec<Condition>,
}

impl Requirement {
    /// Whether a condition compares a header.
    pub fn compares(&self, header: &HeaderName) -> bool {
        self.compared().any(|compared| compared == header)
    }

    /// The headers that conditions compare, one for each such condition.
    pub fn compared(&self) -> impl Iterator<Item = &HeaderName> {
        self.conditions.iter().filter_map(Condition::header)
    }
}
