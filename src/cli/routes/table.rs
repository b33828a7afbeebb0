//! The rows of the table: routes, and what Sidegate itself responds to, the more specific first.

use std::cmp::Ordering;

use http::Method;
use serde::Serialize;

use crate::document::problem::Location;
use crate::policy::route::{Route, Segment};
use crate::policy::{HostPattern, Mode, PathCase, Policy, PolicySet};
use crate::principal::AuthMethod;
use crate::rehearsal::{Reached, who_at};

/// All that policies guard.
#[derive(Debug, Serialize)]
pub(super) struct Table {
    /// What names the policies in `sidegate_policy_info`.
    pub(super) hash: String,
    /// The routes.
    pub(super) routes: Vec<Row>,
    /// What Sidegate itself responds to, before any route.
    pub(super) own: Vec<OwnRow>,
    /// Whether a policy is for some hosts only.
    #[serde(skip)]
    pub(super) has_hosts: bool,
}

/// One route.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    /// The hosts, `*` for those that no other policy names.
    pub(super) hosts: Vec<String>,
    /// The path with the prefix of the policy.
    pub(super) path: String,
    /// Whether the case of the path does not count. It counts for public routes.
    pub(super) any_case: bool,
    /// Whether the case of the prefix does not count.
    pub(super) any_case_prefix: bool,
    /// The methods as the route names them; empty for all but TRACE, and for all where every request is rejected.
    pub(super) methods: Vec<String>,
    /// `auth` in one word.
    pub(super) auth: String,
    /// One of these roles.
    pub(super) roles: Vec<String>,
    /// Further roles, each of which brings one of those along.
    pub(super) roles_above: Vec<String>,
    /// All of these scopes.
    pub(super) scopes: Vec<String>,
    /// The header that names the tenant, which must be that of a token.
    pub(super) tenant: Option<String>,
    /// The names of the internal keys that have expired, if the route takes keys.
    pub(super) expired_keys: Vec<String>,
    /// The conditions in words.
    pub(super) when: Vec<String>,
    /// The media types of a body of a POST, PUT or PATCH; empty for any.
    pub(super) content_types: Vec<String>,
    /// `enforce` or `shadow`.
    pub(super) mode: &'static str,
    /// All of that in words.
    pub(super) who: String,
    /// The name of the service.
    pub(super) service: String,
    /// Where the service is.
    pub(super) upstream: String,
    #[serde(flatten)]
    pub(super) place: Place,
    #[serde(skip)]
    order: Order,
}

/// What Sidegate itself responds to.
#[derive(Debug, Serialize)]
pub(super) struct OwnRow {
    /// `metadata` or `preflight`.
    pub(super) kind: &'static str,
    /// The hosts, `*` for those that no other policy names.
    pub(super) hosts: Vec<String>,
    /// The path; `/*` stands for all below.
    pub(super) path: String,
    /// The methods.
    pub(super) methods: Vec<&'static str>,
    /// Which requests, in words.
    pub(super) who: String,
    /// The name of the service.
    pub(super) service: String,
    /// The file that says so.
    pub(super) file: String,
}

/// Where something stands.
#[derive(Debug, Serialize)]
pub(super) struct Place {
    pub(super) file: String,
    pub(super) line: usize,
    pub(super) column: usize,
}

/// What rows are in order by: hosts, and then paths.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Order {
    hosts: Vec<HostRank>,
    segments: Vec<Segment>,
    is_prefix: bool,
    is_for_all_methods: bool,
    methods: Vec<String>,
}

/// Exact hosts before suffixes before all, in each the longer suffix first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum HostRank {
    Exact(String),
    Suffix(std::cmp::Reverse<usize>, String),
    All,
}

impl Table {
    /// Lists all routes of some policies as they are at a time, and what Sidegate itself responds to.
    pub(super) fn of(policies: &PolicySet, hash: String, now: i64) -> Self {
        let all = || policies.policies().iter();
        let mut routes: Vec<_> = all()
            .flat_map(|policy| policy.routes.iter().map(move |route| Row::of(policy, route, now)))
            .collect();
        routes.sort_by(|one, other| one.order.compare(&other.order));
        Self {
            hash,
            routes,
            own: all().flat_map(OwnRow::of).collect(),
            has_hosts: all().any(|policy| !policy.hosts.is_empty()),
        }
    }
}

impl Table {
    /// Returns the services that have routes of some kind.
    pub(super) fn services(&self, takes: fn(&Row) -> bool) -> Vec<&str> {
        let rows = self.routes.iter().filter(|row| takes(row));
        let mut services: Vec<_> = rows.map(|row| row.service.as_str()).collect();
        services.sort_unstable();
        services.dedup();
        services
    }
}

impl Row {
    fn of(policy: &Policy, route: &Route, now: i64) -> Self {
        let requirement = &route.requirement;
        let is_new = |role: &&str| !requirement.roles.iter().any(|listed| listed == role);
        let above = requirement.roles.iter().flat_map(|role| policy.roles.bringing(role));
        let mut roles_above: Vec<_> = above.filter(is_new).map(str::to_owned).collect();
        roles_above.sort_unstable();
        roles_above.dedup();
        let ignores_case = policy.case == PathCase::Insensitive;
        Self {
            hosts: hosts(policy),
            path: route.pattern.clone(),
            any_case: ignores_case && !route.is_open(),
            any_case_prefix: ignores_case && !policy.prefix.is_empty(),
            methods: route.methods.iter().map(ToString::to_string).collect(),
            auth: route.auth_label().to_owned(),
            roles: requirement.roles.clone(),
            roles_above,
            scopes: requirement.scopes.clone(),
            tenant: tenant(policy, route),
            expired_keys: expired_keys(policy, route, now),
            when: requirement.conditions.iter().map(ToString::to_string).collect(),
            content_types: route.content_types.clone(),
            mode: match route.mode {
                Mode::Enforce => "enforce",
                Mode::Shadow => "shadow",
            },
            who: who_at(policy, route, now),
            service: policy.service.clone(),
            upstream: Reached::of(&policy.upstream).to_string(),
            place: Place::of(&route.location),
            order: Order::of(policy, route),
        }
    }

    /// The methods in words. HEAD goes where GET goes.
    pub(super) fn methods_in_words(&self) -> String {
        let has = |method: &Method| self.methods.iter().any(|named| named == method.as_str());
        let adds_head = has(&Method::GET) && !has(&Method::HEAD);
        match self.methods.is_empty() {
            true if self.auth == crate::principal::DENY => "all".to_owned(),
            true => "all but TRACE".to_owned(),
            false if adds_head => self.methods.join(", ").replacen("GET", "GET, HEAD", 1),
            false => self.methods.join(", "),
        }
    }

    /// Who may call, and with what body, if the route takes one whose type counts.
    pub(super) fn who_in_words(&self) -> String {
        let has_body = |method: &String| {
            [Method::POST, Method::PUT, Method::PATCH]
                .iter()
                .any(|with| with == method.as_str())
        };
        let takes_body = self.methods.is_empty() || self.methods.iter().any(has_body);
        match takes_body && !self.content_types.is_empty() {
            true => format!("{}; body {}", self.who, self.content_types.join(" or ")),
            false => self.who.clone(),
        }
    }
}

impl OwnRow {
    fn of(policy: &Policy) -> Vec<Self> {
        let row = |kind, path, methods, who| Self {
            kind,
            hosts: hosts(policy),
            path,
            methods,
            who,
            service: policy.service.clone(),
            file: policy.file.to_string(),
        };
        let metadata = policy.resource.as_ref().map(|resource| {
            let who = format!("public: the metadata of {}", resource.url);
            row(
                "metadata",
                resource.metadata_path(),
                vec!["GET", "HEAD", "OPTIONS"],
                who,
            )
        });
        let preflight = policy.cors.as_ref().map(|cors| {
            let origins: Vec<_> = cors.origins.iter().map(ToString::to_string).collect();
            let who = format!("preflights of pages from {}", origins.join(", "));
            row("preflight", format!("{}/*", policy.prefix), vec!["OPTIONS"], who)
        });
        metadata.into_iter().chain(preflight).collect()
    }
}

impl Place {
    fn of(location: &Location) -> Self {
        Self {
            file: location.file().to_owned(),
            line: location.line(),
            column: location.column(),
        }
    }
}

impl Order {
    fn of(policy: &Policy, route: &Route) -> Self {
        let prefix = policy.prefix.split('/').filter(|segment| !segment.is_empty());
        let prefix = prefix.map(|segment| Segment::Literal(segment.to_owned()));
        let mut hosts: Vec<_> = policy.hosts.iter().map(HostRank::of).collect();
        hosts.sort_unstable();
        if hosts.is_empty() {
            hosts.push(HostRank::All);
        }
        Self {
            hosts,
            segments: prefix.chain(route.path.segments.iter().cloned()).collect(),
            is_prefix: route.path.is_prefix,
            is_for_all_methods: route.methods.is_empty(),
            methods: route.methods.iter().map(ToString::to_string).collect(),
        }
    }

    /// A path stands before those below it, and those before the pattern of all below.
    fn compare(&self, other: &Self) -> Ordering {
        let by_path = || {
            let mut pairs = self.segments.iter().zip(&other.segments);
            let differs = pairs.find_map(|(one, other)| Some(one.cmp(other)).filter(|order| order.is_ne()));
            differs.unwrap_or_else(|| self.end_rank(other).cmp(&other.end_rank(self)))
        };
        let methods = |order: &Self| (order.is_for_all_methods, order.methods.clone());
        let by_methods = || methods(self).cmp(&methods(other));
        self.hosts.cmp(&other.hosts).then_with(by_path).then_with(by_methods)
    }

    /// The rank of the end of a path beside a path that begins alike: it ends, it continues, it is for all below.
    fn end_rank(&self, other: &Self) -> u8 {
        match self.segments.len() > other.segments.len() {
            true => 1,
            false if self.is_prefix => 2,
            false => 0,
        }
    }
}

impl HostRank {
    fn of(host: &HostPattern) -> Self {
        match host {
            HostPattern::Exact(name) => Self::Exact(name.clone()),
            HostPattern::Suffix(suffix) => Self::Suffix(std::cmp::Reverse(suffix.len()), suffix.clone()),
        }
    }
}

fn tenant(policy: &Policy, route: &Route) -> Option<String> {
    let rule = policy.tenant.as_ref()?;
    let takes_tokens = route.authentication.methods().contains(&AuthMethod::Jwt);
    takes_tokens.then(|| rule.header.to_string())
}

fn expired_keys(policy: &Policy, route: &Route, now: i64) -> Vec<String> {
    let takes_keys = route.authentication.methods().contains(&AuthMethod::InternalKey);
    let keys = policy
        .internal_keys
        .iter()
        .filter(|_| takes_keys)
        .flat_map(|keys| &keys.keys);
    let expired = keys.filter(|key| key.has_expired(now));
    expired.map(|key| key.name().to_owned()).collect()
}

fn hosts(policy: &Policy) -> Vec<String> {
    match policy.hosts.is_empty() {
        true => vec!["*".to_owned()],
        false => policy.hosts.iter().map(ToString::to_string).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn routes_are_in_order_of_hosts_and_paths_with_the_more_specific_first() {
        let policy = |fields: &str, routes: &[&str]| {
            let routes: Vec<_> = routes
                .iter()
                .map(|route| format!("- {{ {route}, auth: public }}\n"))
                .collect();
            format!(
                "version: 1\nservice: s\nupstream: {{ url: 'http://127.0.0.1:1' }}\n{fields}routes:\n{}",
                routes.concat()
            )
        };
        let all = policy(
            "prefix: /b\n",
            &[
                "path: /*",
                "path: /x/*",
                "path: '/x/{id}:run'",
                "path: '/x/{id}', methods: [POST]",
                "path: '/x/{id}', methods: [GET]",
                "path: '/x/{id}/y'",
                "path: /x",
                "path: /a",
            ],
        );
        let exact = policy("hosts: [b.example]\n", &["path: /*"]);
        let suffixes = policy("hosts: ['*.example', '*.a.example']\n", &["path: /*"]);
        let set = testing::parse(&[&all, &exact, &suffixes]).unwrap();
        let table = Table::of(&set, String::new(), testing::NOW);
        let rows = table.routes.iter();
        let found: Vec<_> = rows
            .map(|row| format!("{} {} {}", row.hosts.join(","), row.methods_in_words(), row.path))
            .collect();
        assert_eq!(
            found,
            [
                "b.example all but TRACE /*",
                "*.example,*.a.example all but TRACE /*",
                "* all but TRACE /b/a",
                "* all but TRACE /b/x",
                "* all but TRACE /b/x/{id}:run",
                "* GET, HEAD /b/x/{id}",
                "* POST /b/x/{id}",
                "* all but TRACE /b/x/{id}/y",
                "* all but TRACE /b/x/*",
                "* all but TRACE /b/*",
            ]
        );
    }
}
