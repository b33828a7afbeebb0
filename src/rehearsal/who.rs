//! Who may call a route, in words.

use crate::policy::certificate::CertificateName;
use crate::policy::route::{AuthRule, Route};
use crate::policy::{Mode, Policy};
use crate::principal::AuthMethod;

/// The most names of a kind that are listed.
const MOST_NAMES: usize = 4;

/// Describes who may call a route of a policy, as in `token with role admin (or developer)`, `key scheduler` or `public`.
/// Conditions follow behind a semicolon.
pub fn who(policy: &Policy, route: &Route) -> String {
    described(policy, route, None)
}

/// The same at a time: keys that have expired are marked.
pub fn who_at(policy: &Policy, route: &Route, now: i64) -> String {
    described(policy, route, Some(now))
}

fn described(policy: &Policy, route: &Route, now: Option<i64>) -> String {
    let mut text = credentials(policy, route, now);
    for condition in &route.requirement.conditions {
        text.push_str("; ");
        text.push_str(&condition.to_string());
    }
    match route.mode == Mode::Shadow && can_reject(route) {
        true => format!("{text} (not enforced: shadow)"),
        false => text,
    }
}

/// Returns whether shadow mode changes anything: a public route rejects no caller, and one that rejects all does so in any mode.
fn can_reject(route: &Route) -> bool {
    let is_public = route.authentication.methods() == [AuthMethod::Public]
        && route.requirement.conditions.is_empty()
        && route.content_types.is_empty();
    !is_public && !route.is_denied()
}

/// Describes the credentials that a route accepts.
fn credentials(policy: &Policy, route: &Route, now: Option<i64>) -> String {
    let is_one = route.authentication.methods().len() == 1;
    let describe = |methods: &[AuthMethod], word: &str| {
        let texts: Vec<_> = methods
            .iter()
            .map(|method| credential(*method, policy, route, (now, is_one)))
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

/// Describes a credential, at a time; `is_one` says that the route asks for no other.
fn credential(method: AuthMethod, policy: &Policy, route: &Route, (now, is_one): (Option<i64>, bool)) -> String {
    match method {
        AuthMethod::Public => "public".to_owned(),
        AuthMethod::Jwt => format!("token{}{}", granted(policy, route), tenant(policy, is_one)),
        AuthMethod::InternalKey => {
            let keys = policy.internal_keys.iter().flat_map(|keys| &keys.keys);
            let names = keys.map(|key| match now.is_some_and(|now| key.has_expired(now)) {
                true => format!("{} (expired)", key.name()),
                false => key.name().to_owned(),
            });
            let names: Vec<_> = names.collect();
            format!("key {}", alternatives(names.iter().map(String::as_str)))
        }
        AuthMethod::Mtls => {
            let names = policy.certificates.iter().map(CertificateName::as_str);
            format!("client certificate {}", alternatives(names))
        }
    }
}

/// Describes the header that names the tenant of a token.
fn tenant(policy: &Policy, is_one: bool) -> String {
    let Some(rule) = &policy.tenant else {
        return String::new();
    };
    let optional = match rule.header_required || rule.lists {
        true => "",
        false => ", if that is sent",
    };
    let text = format!("tenant in {}{optional}", rule.header);
    match is_one {
        true => format!(", {text}"),
        false => format!(" ({text})"),
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
        let listed = alternatives(roles.iter().map(String::as_str));
        parts.push(match bringing.is_empty() {
            true => format!("role {listed}"),
            false => format!("role {listed} (or {})", alternatives(bringing)),
        });
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
pub fn alternatives<'n>(names: impl IntoIterator<Item = &'n str>) -> String {
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
pub fn joined<'n>(names: impl IntoIterator<Item = &'n str>, word: &str) -> String {
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
            ("auth: public, mode: shadow", "public"),
            (
                "auth: { any: [jwt, public] }, mode: shadow",
                "public (what is sent must be good: token) (not enforced: shadow)",
            ),
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
    fn tenant_and_expired_keys_are_said() {
        let text = POLICY.replace(
            "JOBS_KEY } }",
            "JOBS_KEY }, expires: '2026-01-01T00:00:00Z' }, { name: jobs, secret: { env: SECRET } }",
        );
        for (rule, fields, want) in [
            (
                "",
                "auth: jwt, roles: [viewer]",
                "token with role viewer, tenant in x-tenant-id",
            ),
            (
                "",
                "auth: jwt, when: [{ claim: sub, equals: a }]",
                "token, tenant in x-tenant-id; the claim `sub` must equal `a`",
            ),
            ("", "auth: public", "public"),
            (
                "",
                "auth: { any: [jwt, internal_key] }",
                "token (tenant in x-tenant-id) or key scheduler (expired) or jobs",
            ),
            (
                "header: x-org, header_required: false, ",
                "auth: jwt",
                "token, tenant in x-org, if that is sent",
            ),
            (
                "header_required: false, lists: true, ",
                "auth: jwt",
                "token, tenant in x-tenant-id",
            ),
        ] {
            let rule = format!("tenant: {{ {rule}claims: [tenant] }}\n");
            let policies = testing::parse(&[&format!("{rule}{text}- {{ path: '/x/{{id}}', {fields} }}\n")]);
            let policies = policies.unwrap_or_else(|problems| panic!("{fields}: {problems:?}"));
            let policy = &policies.policies()[0];
            let expires = 1_767_225_600;
            assert_eq!(who_at(policy, &policy.routes[0], expires), want, "{fields}");
            let before = want.replace(" (expired)", "");
            assert_eq!(who_at(policy, &policy.routes[0], expires - 1), before, "{fields}");
            assert_eq!(who(policy, &policy.routes[0]), before, "{fields}");
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
