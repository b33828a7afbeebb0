//! What `cors` keeps from pages that the policy expects of them, what it opens wide, and what in `resource` does not fit
//! the rest of the policy.

use std::collections::BTreeSet;
use std::ops::Range;

use super::lints::{Declared, Found};
use crate::document::collections::List;
use crate::document::decode::Spanned;
use crate::document::problem::ProblemCode;
use crate::policy::document::{CorsDocument, PolicyDocument};
use crate::policy::issuer::Issuer;
use crate::policy::resource;
use crate::policy::{HostPattern, Policy};
use crate::principal::AuthMethod;

/// Request headers that pages cannot set, whatever a preflight allows (Fetch, 2.2.2), of those that are written by
/// mistake.
const NEVER_SENT: [&str; 6] = [
    "cookie",
    "host",
    "origin",
    "referer",
    "content-length",
    "accept-encoding",
];

/// Response headers that pages cannot read (Fetch, 2.2.2).
const NEVER_READ: [&str; 2] = ["set-cookie", "set-cookie2"];

/// The part of a URL at which documents of authorization servers are.
const WELL_KNOWN: &str = "/.well-known/";

impl Found<'_> {
    pub(super) fn pages(&mut self, written: &PolicyDocument, policy: &Policy, declared: &Declared) {
        let (Some(cors), Some(span)) = (&written.cors, declared.get("cors")) else {
            return;
        };
        self.unsent_tokens(cors, policy, span);
        self.unsent_headers(cors, policy, span);
        self.open_origins(cors);
        self.names_without_effect(cors.headers.as_ref(), &NEVER_SENT, "set");
        self.names_without_effect(cors.expose.as_ref(), &NEVER_READ, "read");
    }

    /// A page that cannot put a token in any place gets 401 for each request.
    fn unsent_tokens(&mut self, cors: &CorsDocument, policy: &Policy, span: &Range<usize>) {
        let sources = &policy.sources;
        let authorization = sources.authorization.then_some("authorization");
        let headers: Vec<_> = sources.read.headers.iter().map(http::HeaderName::as_str).collect();
        let headers: Vec<_> = authorization.into_iter().chain(headers).collect();
        let by_header = headers.iter().any(|name| allows(cors, name));
        let by_cookie = !sources.read.cookies.is_empty() && has_credentials(cors);
        let elsewhere = !sources.read.queries.is_empty() || !sources.read.protocols.is_empty();
        if !takes_tokens(policy) || by_header || by_cookie || elsewhere {
            return;
        }
        let (message, help) = match (sources.read.cookies.first(), headers.first()) {
            (Some(cookie), _) => (
                format!("pages of these origins cannot use the cookie `{cookie}`: `cors` has no `credentials: true`"),
                "list the origins, and write `credentials: true` in `cors`".to_owned(),
            ),
            (None, Some(header)) => not_listed("a token", header),
            (None, None) => return,
        };
        self.add(span, ProblemCode::PagesCannotSend, message, help);
    }

    fn unsent_headers(&mut self, cors: &CorsDocument, policy: &Policy, span: &Range<usize>) {
        let tenant = policy.tenant.as_ref().filter(|tenant| tenant.header_required);
        let tenant = tenant.filter(|_| takes_tokens(policy));
        let tenant = tenant.map(|tenant| ("the tenant", tenant.header.as_str()));
        let repeats = policy.routes.iter().any(|route| route.idempotency.is_some());
        let key = repeats.then_some(("the key of a repeatable request", "idempotency-key"));
        for (what, header) in tenant.into_iter().chain(key) {
            if !allows(cors, header) {
                let (message, help) = not_listed(what, header);
                self.add(span, ProblemCode::PagesCannotSend, message, help);
            }
        }
    }

    fn open_origins(&mut self, cors: &CorsDocument) {
        let origins = cors.origins.0.iter().filter(|_| has_credentials(cors));
        for Spanned { value: origin, span } in origins {
            if let Some(end) = origin.strip_prefix("https://*") {
                let message = format!("pages of every host `*{end}` can act with the session of a user");
                let help = "list the origins, unless every such host has pages of yours alone";
                self.add(span, ProblemCode::OpenOrigin, message, help);
            }
        }
    }

    fn names_without_effect(&mut self, names: Option<&List<Spanned<String>>>, never: &[&str], verb: &str) {
        for Spanned { value: name, span } in names.iter().flat_map(|List(names)| names) {
            let lower = name.to_ascii_lowercase();
            if never.contains(&lower.as_str()) {
                let message = format!("`{name}` has no effect: browsers never let a page {verb} it");
                let help = match lower.contains("cookie") {
                    true => "leave it out; `credentials: true` is for cookies",
                    false => "leave it out",
                };
                self.add(span, ProblemCode::ReservedHeader, message, help);
            }
        }
    }

    pub(super) fn resource(&mut self, written: &PolicyDocument, policy: &Policy) {
        let Some(document) = &written.resource else { return };
        self.other_host(&document.url, policy);
        for server in &document.authorization_servers.0 {
            self.server_without_issuer(server, policy);
        }
        let Some(List(listed)) = &document.scopes else { return };
        let mut known: BTreeSet<_> = listed.iter().map(|scope| &scope.value).collect();
        let scopes = written.routes.0.iter().filter_map(|route| route.value.scopes.as_ref());
        for Spanned { value: scope, span } in scopes.flat_map(|scopes| &scopes.value.0) {
            if known.insert(scope) {
                let message = format!("clients do not ask for the scope `{scope}`: `resource.scopes` does not list it");
                let help = format!("add `{scope}` to `resource.scopes`");
                self.add(span, ProblemCode::ResourceMetadata, message, help);
            }
        }
    }

    fn other_host(&mut self, url: &Spanned<String>, policy: &Policy) {
        let (origin, _) = resource::split(&url.value);
        let authority = origin.split_once("://").map_or("", |(_, authority)| authority);
        let host = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => host,
            _ => authority,
        };
        let is_for = |pattern: &HostPattern| match pattern {
            HostPattern::Exact(name) => name == host,
            HostPattern::Suffix(end) => host.len() > end.len() && host.ends_with(end.as_str()),
        };
        if !policy.hosts.is_empty() && !policy.hosts.iter().any(is_for) {
            let message = format!("the policy is not for the host `{host}`, so it has no metadata for clients there");
            let help = format!("add `{host}` to `hosts`, or write the URL that clients use");
            self.add(&url.span, ProblemCode::ResourceMetadata, message, help);
        }
    }

    fn server_without_issuer(&mut self, server: &Spanned<String>, policy: &Policy) {
        let Spanned { value: url, span } = server;
        if let Some((issuer, _)) = url.split_once(WELL_KNOWN) {
            let message = format!("`{url}` is the URL of a document: clients look for documents below it");
            let help = format!("write the issuer, such as `{issuer}`");
            self.add(span, ProblemCode::ResourceMetadata, message, help);
            return;
        }
        let is_its =
            |issuer: &Issuer| issuer.names.has(url) || issuer.names.pattern().is_some_and(|pattern| pattern.takes(url));
        let is_unchecked = |issuer: &Issuer| issuer.names.pattern().is_none() && issuer.names.texts().next().is_none();
        if !policy
            .issuers
            .iter()
            .any(|issuer| is_its(issuer) || is_unchecked(issuer))
        {
            let message = format!("the policy accepts no tokens of `{url}`: none of its issuers has this name");
            let help = "write an issuer as in `jwt.issuers`, with or without a slash at its end, or add it there";
            self.add(span, ProblemCode::ResourceMetadata, message, help);
        }
    }
}

fn not_listed(what: &str, header: &str) -> (String, String) {
    (
        format!("pages cannot send {what}: `cors.headers` does not list `{header}`"),
        format!("add `{header}` to `cors.headers`"),
    )
}

fn takes_tokens(policy: &Policy) -> bool {
    let takes = |route: &crate::policy::route::Route| route.authentication.methods().contains(&AuthMethod::Jwt);
    policy.routes.iter().any(takes)
}

fn has_credentials(cors: &CorsDocument) -> bool {
    cors.credentials.as_ref().is_some_and(|credentials| credentials.value)
}

fn allows(cors: &CorsDocument, header: &str) -> bool {
    let mut names = cors.headers.iter().flat_map(|List(names)| names);
    names.any(|name| name.value.eq_ignore_ascii_case(header))
}

#[cfg(test)]
mod tests {
    const POLICY: &str = "version: 1\nservice: s\nupstream: { url: 'http://127.0.0.1:1' }\n";

    /// What `check` warns of, without the places.
    fn warnings(text: &str) -> Vec<(&'static str, String)> {
        let policies = crate::testing::parse(&[text]).unwrap_or_else(|problems| panic!("{text}: {problems:?}"));
        let lints = policies.policies()[0].lints.iter();
        lints
            .map(|lint| (lint.problem.code().as_str(), lint.problem.fix().to_owned()))
            .collect()
    }

    #[test]
    fn page_that_cannot_send_what_is_expected_is_a_warning() {
        let jwt = |more: &str, rest: &str| {
            format!(
                "{POLICY}jwt: {{ {more}issuers: [{{ issuer: i, audience: [a], algorithms: [HS256], keys: {{ secret: {{ env: SECRET }} }} }}] }}\n\
                 routes: [{{ path: /*, auth: jwt }}]\n{rest}\n"
            )
        };
        let cors = |more: &str| format!("cors: {{ origins: ['https://a.example']{more} }}");
        let listed = "headers: [Authorization]";
        let cookie = "sources: [{ cookie: __Host-s }], ";
        for (policy, want) in [
            (jwt("", &cors("")), Some("add `authorization` to `cors.headers`")),
            (
                jwt("", &cors(", headers: [content-type]")),
                Some("add `authorization` to `cors.headers`"),
            ),
            (jwt("", &cors(&format!(", {listed}"))), None),
            (
                jwt("sources: [{ header: x-token }], ", &cors("")),
                Some("add `x-token` to `cors.headers`"),
            ),
            (
                jwt("sources: [{ header: x-token }], ", &cors(", headers: [x-token]")),
                None,
            ),
            (jwt("sources: [authorization, { query: t }], ", &cors("")), None),
            (
                jwt("sources: [authorization, { websocket_protocol: t }], ", &cors("")),
                None,
            ),
            (
                jwt(cookie, &cors("")),
                Some("list the origins, and write `credentials: true` in `cors`"),
            ),
            (
                jwt(cookie, &cors(", credentials: false")),
                Some("list the origins, and write `credentials: true` in `cors`"),
            ),
            (jwt(cookie, &cors(", credentials: true")), None),
            (
                jwt(
                    "sources: [authorization, { cookie: __Host-s }], ",
                    &cors(&format!(", {listed}")),
                ),
                None,
            ),
            (
                jwt("", &format!("{}\nidempotency: {{}}", cors(&format!(", {listed}")))),
                Some("add `idempotency-key` to `cors.headers`"),
            ),
            (
                jwt(
                    "",
                    &format!(
                        "{}\nidempotency: {{}}",
                        cors(", headers: [authorization, Idempotency-Key]")
                    ),
                ),
                None,
            ),
            (
                jwt(
                    "",
                    &format!("{}\ntenant: {{ claims: [t] }}", cors(&format!(", {listed}"))),
                ),
                Some("add `x-tenant-id` to `cors.headers`"),
            ),
            (
                jwt(
                    "",
                    &format!(
                        "{}\ntenant: {{ claims: [t], header_required: false }}",
                        cors(&format!(", {listed}"))
                    ),
                ),
                None,
            ),
            (
                format!("{POLICY}routes: [{{ path: /*, auth: public }}]\n{}\n", cors("")),
                None,
            ),
        ] {
            let want: Vec<_> = want
                .map(|help| ("pages_cannot_send", help.to_owned()))
                .into_iter()
                .collect();
            assert_eq!(warnings(&policy), want, "{policy}");
        }
    }

    #[test]
    fn wildcard_beside_credentials_and_names_without_effect_are_warnings() {
        for (cors, want) in [
            (
                "origins: ['https://*.github.io'], credentials: true",
                &["open_origin"][..],
            ),
            ("origins: ['https://*.github.io']", &[]),
            ("origins: ['https://a.example'], credentials: true", &[]),
            (
                "origins: ['https://a.example'], headers: [Cookie]",
                &["reserved_header"],
            ),
            (
                "origins: ['https://a.example'], expose: [Set-Cookie]",
                &["reserved_header"],
            ),
            (
                "origins: ['https://a.example'], expose: [cookie], headers: [set-cookie]",
                &[],
            ),
        ] {
            let found = warnings(&format!(
                "{POLICY}routes: [{{ path: /*, auth: public }}]\ncors: {{ {cors} }}\n"
            ));
            let found: Vec<_> = found.iter().map(|(code, _)| *code).collect();
            assert_eq!(found, want, "{cors}");
        }
    }

    #[test]
    fn metadata_that_does_not_fit_the_policy_is_a_warning() {
        const SERVERS: &str = "authorization_servers: ['https://login.example']";
        for (resource, more, want) in [
            (SERVERS, "", None),
            (SERVERS, "hosts: [a.example]", None),
            (SERVERS, "hosts: [b.example, '*.example']", None),
            (
                SERVERS,
                "hosts: [b.example]",
                Some("add `a.example` to `hosts`, or write the URL that clients use"),
            ),
            (
                SERVERS,
                "hosts: ['*.a.example']",
                Some("add `a.example` to `hosts`, or write the URL that clients use"),
            ),
            (
                "authorization_servers: ['https://login.example/']",
                "",
                Some("write an issuer as in `jwt.issuers`, with or without a slash at its end, or add it there"),
            ),
            (
                "authorization_servers: ['https://login.example/.well-known/openid-configuration']",
                "",
                Some("write the issuer, such as `https://login.example`"),
            ),
            (
                "authorization_servers: ['https://login.example'], scopes: [read, write]",
                "",
                None,
            ),
            (
                "authorization_servers: ['https://login.example'], scopes: [read]",
                "",
                Some("add `write` to `resource.scopes`"),
            ),
        ] {
            let text = format!(
                "{POLICY}routes: [{{ path: /*, auth: jwt, scopes: [read, write] }}, {{ path: /a, auth: jwt, scopes: [write] }}]\n\
                 jwt: {{ issuers: [{{ issuer: 'https://login.example', audience: ['https://a.example:8443/mcp'], algorithms: [HS256], keys: {{ secret: {{ env: SECRET }} }} }}] }}\n\
                 resource: {{ url: 'https://a.example:8443/mcp', {resource} }}\n{more}\n"
            );
            let want: Vec<_> = want
                .map(|help| ("resource_metadata", help.to_owned()))
                .into_iter()
                .collect();
            assert_eq!(warnings(&text), want, "{resource} {more}");
        }
    }
}
