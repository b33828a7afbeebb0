//! What policies let through: what is meant, listed, and what no policy should say for long.

use super::{Finding, Severity};
use crate::config::Surroundings;
use crate::policy::route::Route;
use crate::policy::{Mode, Policy};

/// Judges all policies of a process.
pub fn judge(policies: &[Policy], surroundings: Surroundings, now: i64) -> Vec<Finding> {
    let mut findings = Vec::new();
    for policy in policies {
        let mut note = |severity, code, found: String, advice| {
            findings.push(Finding {
                code,
                area: "policies",
                severity,
                about: policy.service.clone(),
                found,
                advice,
            });
        };
        for warning in &policy.warnings {
            let found = format!("{}: {}", warning.place(), warning.message());
            note(
                Severity::Caution,
                "policy_warning",
                found,
                "`sidegate check` shows how to mend it",
            );
        }
        for warning in policy
            .unasked_certificates()
            .filter(|_| !surroundings.asks_for_certificates)
        {
            let found = format!("{}: {}", warning.place(), warning.message());
            note(
                Severity::Caution,
                "certificates_not_asked",
                found,
                "give a listener a `tls.client_ca`",
            );
        }
        for route in &policy.routes {
            let shown = shown(route);
            if route.mode == Mode::Shadow {
                let found = format!("{shown} forwards what it would refuse");
                note(
                    Severity::Problem,
                    "route_shadow",
                    found,
                    "take out `mode: shadow` once the log shows no `shadow_deny`",
                );
            }
            if route.is_open() {
                let found = format!("{shown} lets anybody in ({})", route.auth_label());
                note(
                    Severity::Note,
                    "route_public",
                    found,
                    "see that this is meant, and all below it",
                );
            }
        }
        if let Some((severity, code, found, advice)) = revocation(policy, surroundings) {
            note(severity, code, found.to_owned(), advice);
        }
        if policy.forward_authorization && !policy.issuers.is_empty() {
            let found = "the service gets the caller's token".to_owned();
            note(
                Severity::Note,
                "token_forwarded",
                found,
                "`credentials: strip`, if it reads the headers alone",
            );
        }
        if let Some(keys) = &policy.internal_keys {
            if policy.forward_internal_key {
                let found = format!("the service gets the internal key, in `{}`", keys.header);
                note(
                    Severity::Note,
                    "internal_key_forwarded",
                    found,
                    "`credentials: strip`, if it does not need it",
                );
            }
            for key in keys.keys.iter().filter(|key| key.has_expired(now)) {
                let found = format!("the internal key `{}` has expired", key.name());
                note(
                    Severity::Caution,
                    "internal_key_expired",
                    found,
                    "take it out, once its holder has another",
                );
            }
        }
    }
    let is_closed = |route: &Route| route.mode != Mode::Shadow && !route.is_open();
    if policies.iter().flat_map(|policy| &policy.routes).all(is_closed) {
        findings.push(Finding {
            code: "routes_closed",
            area: "policies",
            severity: Severity::Ok,
            about: "all routes".to_owned(),
            found: "each one wants a credential".to_owned(),
            advice: "",
        });
    }
    findings
}

/// What becomes of tokens that have to be refused before they expire.
fn revocation(
    policy: &Policy,
    surroundings: Surroundings,
) -> Option<(Severity, &'static str, &'static str, &'static str)> {
    match &policy.revocation {
        None if !policy.issuers.is_empty() => Some((
            Severity::Note,
            "revocation_absent",
            "a token that is stolen serves until it expires: the policy asks for no revocations",
            "`revocation: {}`, if tokens live for long",
        )),
        Some(_) if surroundings.forgets_revocations => Some((
            Severity::Caution,
            "revocations_in_memory",
            "what is revoked is good again when the process restarts: the store is `memory`",
            "`store: { redis: … }` in `sidegate.yaml`",
        )),
        _ => None,
    }
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
    use crate::policy::problem::Source;
    use crate::policy::sources::Given;
    use crate::policy::{ErrorStyle, PolicySet};

    #[test]
    fn what_is_open_is_listed() {
        let secret = "0123456789abcdef0123456789abcdef";
        let sources = Given {
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
                "mtls: { allow: [{ dns: a.b }] }\nroutes: [{ path: /*, auth: mtls }]".to_owned(),
                &["certificates_not_asked", "routes_closed"],
            ),
        ] {
            let text = format!("version: 1\nservice: s\nupstream: {{ url: 'http://127.0.0.1:1' }}\n{rest}\n");
            let source = Arc::new(Source::new("p.yaml", text));
            let set = PolicySet::parse(&[source], &sources, ErrorStyle::default()).unwrap();
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
}
