//! What policies let through: what is meant, listed, and what no policy should say for long.

use super::finding::{Finding, Severity};
use super::opaque_slash;
use crate::config::Surroundings;
use crate::document::problem::Problem;
use crate::policy::cors::AllowedOrigin;
use crate::policy::route::Route;
use crate::policy::token_sources::SourceKind;
use crate::policy::{Mode, Policy};

/// Judges all policies of a process.
pub fn judge(policies: &[Policy], surroundings: Surroundings, now: i64) -> Vec<Finding> {
    let mut findings = Vec::new();
    for policy in policies {
        findings.extend(warnings(policy, surroundings));
        findings.extend(routes(policy));
        findings.extend(opaque_slash::judge(policy));
        findings.extend(pages(policy));
        findings.extend(revocation(policy, surroundings));
        findings.extend(token_sources(policy));
        findings.extend(credentials(policy, now));
    }
    let is_closed = |route: &Route| route.mode != Mode::Shadow && !route.is_open();
    if policies.iter().flat_map(|policy| &policy.routes).all(is_closed) {
        let found = "each one wants a credential".to_owned();
        findings.push(finding("all routes", Severity::Ok, "routes_closed", found, ""));
    }
    findings
}

fn finding(about: &str, severity: Severity, code: &'static str, found: String, advice: &'static str) -> Finding {
    Finding {
        code,
        area: "policies",
        severity,
        about: about.to_owned(),
        found,
        advice,
    }
}

/// Lists what `check` warns of.
fn warnings(policy: &Policy, surroundings: Surroundings) -> Vec<Finding> {
    let caution = |code, warning: &Problem, advice| {
        let found = format!("{}: [{}] {}", warning.location(), warning.code(), warning.message());
        finding(&policy.service, Severity::Caution, code, found, advice)
    };
    let written = policy
        .warnings
        .iter()
        .map(|warning| caution("policy_warning", warning, "`sidegate check` shows how to mend it"));
    let unasked = policy
        .unasked_certificates()
        .filter(|_| !surroundings.asks_for_certificates)
        .map(|warning| caution("certificates_not_asked", &warning, "give a listener a `tls.client_ca`"));
    written.chain(unasked).collect()
}

/// Lists the routes that let requests through without a credential.
fn routes(policy: &Policy) -> Vec<Finding> {
    let mut findings = Vec::new();
    for route in &policy.routes {
        let shown = shown(route);
        if route.mode == Mode::Shadow {
            findings.push(finding(
                &policy.service,
                Severity::Problem,
                "route_shadow",
                format!("{shown} forwards what it would reject"),
                "take out `mode: shadow` once the log shows no `shadow_deny`",
            ));
        }
        if route.is_open() {
            findings.push(finding(
                &policy.service,
                Severity::Note,
                "route_public",
                format!("{shown} lets every client in ({})", route.auth_label()),
                match route.path.is_prefix {
                    true => "see that this is meant, and all below it",
                    false => "see that this is meant",
                },
            ));
        }
    }
    findings
}

/// Lists what the policy opens to pages of other origins.
fn pages(policy: &Policy) -> Vec<Finding> {
    let Some(cors) = &policy.cors else { return Vec::new() };
    let mut findings = Vec::new();
    let mut add = |severity, code, found, advice| {
        findings.push(finding(&policy.service, severity, code, found, advice));
    };
    for origin in &cors.origins {
        match origin {
            AllowedOrigin::Any => add(
                Severity::Caution,
                "cors_any_origin",
                "pages of every origin may read responses, also in the browser of a user who reaches a private network"
                    .to_owned(),
                "list the origins of your pages in `cors.origins`, unless the service is public",
            ),
            AllowedOrigin::Subdomain(end) => add(
                if cors.credentials {
                    Severity::Caution
                } else {
                    Severity::Note
                },
                "cors_wildcard_origin",
                match cors.credentials {
                    true => format!("pages of every host `*{end}` may act with the session of a user"),
                    false => format!("pages of every host `*{end}` may read responses"),
                },
                "list the origins, unless each such host has pages of yours alone",
            ),
            AllowedOrigin::Exact(origin) if cors.credentials && !origin.as_bytes().starts_with(b"https:") => add(
                Severity::Caution,
                "cors_local_origin",
                format!(
                    "whatever serves `{}` on the machine of a user may act with the session of that user",
                    String::from_utf8_lossy(origin.as_bytes())
                ),
                "remove it in production",
            ),
            AllowedOrigin::Exact(_) => {}
        }
    }
    if cors.credentials {
        add(
            Severity::Note,
            "cors_credentials",
            "pages of the listed origins may send requests with the cookies of a user".to_owned(),
            "see that this is meant",
        );
    }
    findings
}

/// Checks whether tokens can be revoked before they expire.
fn revocation(policy: &Policy, surroundings: Surroundings) -> Option<Finding> {
    let (severity, code, found, advice) = match &policy.revocation {
        None if !policy.issuers.is_empty() => (
            Severity::Note,
            "revocation_absent",
            "a token that is stolen serves until it expires: the policy asks for no revocations",
            "`revocation: {}`, if tokens live for long",
        ),
        Some(_) if surroundings.forgets_revocations => (
            Severity::Caution,
            "revocations_in_memory",
            "what is revoked is good again when the process restarts: the store is `memory`",
            "`store: { redis: … }` in `sidegate.yaml`",
        ),
        _ => return None,
    };
    Some(finding(&policy.service, severity, code, found.to_owned(), advice))
}

/// Lists the places that browsers, and what stands between them and Sidegate, send or keep tokens in by themselves.
fn token_sources(policy: &Policy) -> impl Iterator<Item = Finding> {
    policy.sources.read.iter().filter_map(|(kind, name)| {
        let (code, found, advice) = match kind {
            SourceKind::Cookie => (
                "token_in_cookie",
                format!("browsers send the token in the cookie `{name}` by themselves"),
                "set `SameSite=Lax` or `Strict` on the cookie, too: Sidegate accepts it only from pages of this origin, and of those listed with credentials",
            ),
            SourceKind::Query => (
                "token_in_query",
                format!("a token may be in the URL, as `{name}`: browsers keep it in their history, and proxies in their logs"),
                "issue tokens for it that expire within a minute, and turn off the logging of queries in front of Sidegate",
            ),
            SourceKind::Header | SourceKind::WebSocketProtocol => return None,
        };
        Some(finding(&policy.service, Severity::Caution, code, found, advice))
    })
}

/// Lists the credentials that the service gets, and the internal keys that have expired.
fn credentials(policy: &Policy, now: i64) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut note = |severity, code, found, advice| {
        findings.push(finding(&policy.service, severity, code, found, advice));
    };
    // A policy that does not read `Authorization` and forwards it has a warning.
    if policy.forward_authorization && policy.sources.authorization && !policy.issuers.is_empty() {
        note(
            Severity::Note,
            "token_forwarded",
            "the service gets the caller's token".to_owned(),
            "`credentials: strip`, if it reads the headers alone",
        );
    }
    let Some(keys) = &policy.internal_keys else {
        return findings;
    };
    if policy.forward_internal_key {
        note(
            Severity::Note,
            "internal_key_forwarded",
            format!("the service gets the internal key, in `{}`", keys.header),
            "`credentials: strip`, if it does not need it",
        );
    }
    for key in keys.keys.iter().filter(|key| key.has_expired(now)) {
        note(
            Severity::Caution,
            "internal_key_expired",
            format!("the internal key `{}` has expired", key.name()),
            "take it out, once its holder has another",
        );
    }
    findings
}

/// A route with its methods.
fn shown(route: &Route) -> String {
    let methods: Vec<_> = route.methods.iter().map(http::Method::as_str).collect();
    match methods.is_empty() {
        true => format!("`{}`", route.pattern),
        false => format!("`{}` ({})", route.pattern, methods.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::document::environment::FixedEnvironment;
    use crate::document::problem::SourceFile;
    use crate::policy::{ErrorStyle, PolicySet};

    #[test]
    fn what_is_open_is_listed() {
        let secret = "0123456789abcdef0123456789abcdef";
        let environment = FixedEnvironment {
            variables: vec![("S".into(), secret.into())],
            files: Vec::new(),
        };
        let jwt =
            "jwt: { issuers: [{ issuer: i, audience: [a], algorithms: [HS256], keys: { secret: { env: S } } }] }\n";
        let key = "internal_key: { keys: [{ name: k, secret: { env: S }, expires: 2020-01-01T00:00:00Z }] }\n";
        for (rest, want) in [
            (
                format!("{jwt}credentials: strip\nroutes: [{{ path: /*, auth: jwt }}]"),
                &["revocation_absent", "routes_closed"][..],
            ),
            (
                format!("{jwt}routes: [{{ path: /*, auth: jwt }}]"),
                &["revocation_absent", "token_forwarded", "routes_closed"],
            ),
            (
                format!("{jwt}credentials: strip\nrevocation: {{}}\nroutes: [{{ path: /*, auth: jwt }}]"),
                &["revocations_in_memory", "routes_closed"],
            ),
            ("routes: [{ path: /*, auth: public }]".to_owned(), &["route_public"]),
            (
                "mode: shadow\nroutes: [{ path: /*, auth: public }]".to_owned(),
                &["route_shadow", "route_public"],
            ),
            (
                format!("{jwt}credentials: strip\nroutes: [{{ path: /*, auth: {{ any: [jwt, public] }} }}]"),
                &["route_public", "revocation_absent"],
            ),
            (
                format!("{key}routes: [{{ path: /*, auth: internal_key }}]"),
                &["internal_key_expired", "routes_closed"],
            ),
            (
                format!("{key}credentials: forward\nroutes: [{{ path: /*, auth: internal_key }}]"),
                &["internal_key_forwarded", "internal_key_expired", "routes_closed"],
            ),
            (
                format!("{jwt}credentials: strip\nroutes: [{{ path: /*, auth: jwt }}]").replace(
                    "jwt: {",
                    "jwt: { sources: [{ cookie: __Host-a }, { query: a }, { header: a }],",
                ),
                &[
                    "revocation_absent",
                    "token_in_cookie",
                    "token_in_query",
                    "routes_closed",
                ],
            ),
            (
                format!("{jwt}routes: [{{ path: /*, auth: jwt }}]")
                    .replace("jwt: {", "jwt: { sources: [{ cookie: __Host-a }],"),
                &["revocation_absent", "token_in_cookie", "routes_closed"],
            ),
            (
                format!("{jwt}credentials: forward\nroutes: [{{ path: /*, auth: jwt }}]")
                    .replace("jwt: {", "jwt: { sources: [{ cookie: __Host-a }],"),
                &[
                    "policy_warning",
                    "revocation_absent",
                    "token_in_cookie",
                    "routes_closed",
                ],
            ),
            (
                format!("{jwt}credentials: strip\nroutes: [{{ path: /*, auth: jwt }}]")
                    .replace(" issuer: i,", " issuer: i, binding: required,"),
                &["certificates_not_asked", "revocation_absent", "routes_closed"],
            ),
            (
                format!("{jwt}credentials: strip\nroutes: [{{ path: /*, auth: jwt }}]")
                    .replace(" issuer: i,", " issuer: i, binding: ignore,"),
                &["policy_warning", "revocation_absent", "routes_closed"],
            ),
            (
                "cors: { origins: ['https://a.example'] }\nroutes: [{ path: /*, auth: public }]".to_owned(),
                &["route_public"],
            ),
            (
                "cors: { origins: ['*'] }\nroutes: [{ path: /*, auth: public }]".to_owned(),
                &["route_public", "cors_any_origin"],
            ),
            (
                "cors: { origins: ['https://*.a.example'], credentials: true }\nroutes: [{ path: /*, auth: public }]"
                    .to_owned(),
                &["route_public", "cors_wildcard_origin", "cors_credentials"],
            ),
            (
                "cors: { origins: ['http://localhost:5173'], credentials: true }\nroutes: [{ path: /*, auth: public }]"
                    .to_owned(),
                &["route_public", "cors_local_origin", "cors_credentials"],
            ),
            (
                "cors: { origins: ['http://localhost:5173'] }\nroutes: [{ path: /*, auth: public }]".to_owned(),
                &["route_public"],
            ),
            (
                "mtls: { allow: [{ dns: a.b }] }\nroutes: [{ path: /*, auth: mtls }]".to_owned(),
                &["certificates_not_asked", "routes_closed"],
            ),
        ] {
            let text = format!("version: 1\nservice: s\nupstream: {{ url: 'http://127.0.0.1:1' }}\n{rest}\n");
            let source = Arc::new(SourceFile::new("p.yaml", text));
            let set = PolicySet::parse(&[source], &environment, ErrorStyle::default()).unwrap();
            let surroundings = Surroundings {
                asks_for_certificates: false,
                forgets_revocations: true,
            };
            let found = judge(set.policies(), surroundings, 1_700_000_000);
            let codes: Vec<_> = found.iter().map(|finding| finding.code).collect();
            assert_eq!(codes, want, "{rest}");
            assert!(!format!("{found:?}").contains(secret));
            let lasting = Surroundings {
                forgets_revocations: false,
                ..surroundings
            };
            let found = judge(set.policies(), lasting, 1_700_000_000);
            assert!(
                found.iter().all(|finding| finding.code != "revocations_in_memory"),
                "{rest}"
            );
        }
    }
    #[test]
    fn open_route_has_all_below_it_only_with_a_wildcard() {
        let text = "version: 1\nservice: s\nupstream: { url: 'http://127.0.0.1:1' }\nroutes:\n  \
                    - { path: /health, auth: public }\n  - { path: /open/*, auth: public }\n";
        let source = Arc::new(SourceFile::new("p.yaml", text));
        let environment = FixedEnvironment {
            variables: Vec::new(),
            files: Vec::new(),
        };
        let set = PolicySet::parse(&[source], &environment, ErrorStyle::default()).unwrap();
        let found: Vec<_> = set.policies().iter().flat_map(routes).collect();
        let advice: Vec<_> = found.iter().map(|finding| finding.advice).collect();
        assert_eq!(
            advice,
            ["see that this is meant", "see that this is meant, and all below it"]
        );
    }
}
