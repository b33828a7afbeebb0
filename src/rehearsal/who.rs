//! Who may call a route, in words.

use crate::policy::route::{AuthRule, Route};
use crate::policy::{Mode, Policy};
use crate::principal::AuthMethod;

/// The most names of a kind that are listed.
const MOST_NAMES: usize = 4;

/// Describes who may call a route of a policy, as in `token with role admin (or developer)`, `key scheduler` or `public`.
/// Conditions follow behind a semicolon.
pub fn who(policy: &Policy, route: &Route) -> String {
    let mut text = credentials(policy, route);
    for condition in &route.requirement.conditions {
        text.push_str("; ");
        text.push_str(&condition.to_string());
    }
    match route.mode {
        Mode::Enforce => text,
        Mode::Shadow => format!("{text} (not enforced: shadow)"),
    }
}

/// Describes the credentials that a route accepts.
fn credentials(policy: &Policy, route: &Route) -> String {
    let describe = |methods: &[AuthMethod], word: &str| {
        let texts: Vec<_> = methods
            .iter()
            .map(|method| credential(*method, policy, route))
            .collect();
        texts.join(word)
    };
    match route.authentication.rule() {
        AuthRule::Deny => "no caller: every request is rejected".to_owned(),
        AuthRule::All(methods) => describe(methods, " and "),
        AuthRule::Any(methods) if route.is_open() && methods.len() > 1 => {
            let others: Vec<_> = methods
                .iter()
                .copied()
                .filter(|method| *method != AuthMethod::Public)
                .collect();
            format!("public (what is sent must be good: {})", describe(&others, " or "))
        }
        AuthRule::Any(methods) => describe(methods, " or "),
    }
}

fn credential(method: AuthMethod, policy: &Policy, route: &Route) -> String {
    match method {
        AuthMethod::Public => "public".to_owned(),
        AuthMethod::Jwt => format!("token{}", granted(policy, route)),
        AuthMethod::InternalKey => {
            let keys = policy.internal_keys.iter().flat_map(|keys| &keys.keys);
            format!("key {}", alternatives(keys.map(|key| key.name())))
        }
        AuthMethod::Mtls => {
            let names = policy.certificates.iter().map(|name| name.as_str());
            format!("client certificate {}", alternatives(names))
        }
    }
}

/// Describes the roles and scopes that a token needs, with the roles that bring those along.
fn granted(policy: &Policy, route: &Route) -> String {
    let requirement = &route.requirement;
    let roles = &requirement.roles;
    let mut parts = Vec::new();
    if !roles.is_empty() {
        let mut bringing: Vec<_> = roles.iter().flat_map(|role| policy.roles.bringing(role)).collect();
        bringing.retain(|role| !roles.iter().any(|listed| listed == role));
        bringing.sort_unstable();
        bringing.dedup();
        let mut text = format!("role {}", alternatives(roles.iter().map(String::as_str)));
        if !bringing.is_empty() {
            text.push_str(&format!(" (or {})", alternatives(bringing)));
        }
        parts.push(text);
    }
    match requirement.scopes.as_slice() {
        [] => {}
        [scope] => parts.push(format!("scope {scope}")),
        scopes => parts.push(format!("scopes {}", joined(scopes.iter().map(String::as_str), "and"))),
    }
    match parts.is_empty() {
        true => String::new(),
        false => format!(" with {}", parts.join(" and ")),
    }
}

/// Lists names any of which will do.
fn alternatives<'n>(names: impl IntoIterator<Item = &'n str>) -> String {
    let names: Vec<_> = names.into_iter().collect();
    match names.len().checked_sub(MOST_NAMES) {
        None | Some(0) => joined(names, "or"),
        Some(more) => {
            let first = names.into_iter().take(MOST_NAMES).collect::<Vec<_>>().join(", ");
            format!("{first} or {more} more")
        }
    }
}

/// Lists names with a word before the last.
fn joined<'n>(names: impl IntoIterator<Item = &'n str>, word: &str) -> String {
    let names: Vec<_> = names.into_iter().collect();
    match names.split_last() {
        None => String::new(),
        Some((last, [])) => (*last).to_owned(),
        Some((last, others)) => format!("{} {word} {last}", others.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    const POLICY: &str = "\
version: 1
service: s
prefix: /s
upstream: { url: 'http://127.0.0.1:1' }
roles: { admin: [editor], developer: [admin] }
jwt: { issuers: [{ issuer: i, audience: [a], algorithms: [HS256], keys: { secret: { env: SECRET } } }] }
internal_key: { keys: [{ name: scheduler, secret: { env: JOBS_KEY } }] }
mtls: { allow: [{ uri: 'spiffe://example.org/*/job' }, { dns: job.internal }] }
routes:
";

    #[test]
    fn route_says_in_words_who_may_call_it() {
        for (fields, want) in [
            ("auth: public", "public"),
            ("auth: deny", "no caller: every request is rejected"),
            ("auth: jwt", "token"),
            ("auth: jwt, roles: [admin]", "token with role admin (or developer)"),
            (
                "auth: jwt, roles: [editor, viewer]",
                "token with role editor or viewer (or admin or developer)",
            ),
            (
                "auth: jwt, roles: [admin, developer]",
                "token with role admin or developer",
            ),
            ("auth: jwt, scopes: [read]", "token with scope read"),
            (
                "auth: jwt, roles: [developer], scopes: [read, write]",
                "token with role developer and scopes read and write",
            ),
            ("auth: internal_key", "key scheduler"),
            (
                "auth: mtls",
                "client certificate spiffe://example.org/*/job or job.internal",
            ),
            ("auth: { any: [jwt, internal_key] }", "token or key scheduler"),
            (
                "auth: { all: [jwt, mtls] }, roles: [viewer]",
                "token with role viewer and client certificate spiffe://example.org/*/job or job.internal",
            ),
            (
                "auth: { any: [jwt, public] }",
                "public (what is sent must be good: token)",
            ),
            ("auth: jwt, mode: shadow", "token (not enforced: shadow)"),
            (
                "auth: jwt, when: [{ claim: sub, equals: '{id}' }]",
                "token; the claim `sub` must equal `{id}`",
            ),
        ] {
            let policies = testing::parse(&[&format!("{POLICY}- {{ path: '/x/{{id}}', {fields} }}\n")]);
            let policies = policies.unwrap_or_else(|problems| panic!("{fields}: {problems:?}"));
            let policy = &policies.policies()[0];
            assert_eq!(who(policy, &policy.routes[0]), want, "{fields}");
        }
    }

    #[test]
    fn names_beyond_the_fourth_are_counted() {
        let names = ["a", "b", "c", "d", "e", "f"];
        for (count, want) in [
            (1, "a"),
            (2, "a or b"),
            (4, "a, b, c or d"),
            (6, "a, b, c, d or 2 more"),
        ] {
            assert_eq!(alternatives(names.into_iter().take(count)), want);
        }
    }
}
