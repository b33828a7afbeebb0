//! The steps for each route.

use super::drafts::Drafts;
use crate::policy::condition::Condition;
use crate::policy::route::{AuthRule, Authentication, Requirement, Route};
use crate::policy::{Mode, PathCase, Policy, QuotaScope};
use crate::policy_coverage::weakening::Kind;
use crate::principal::AuthMethod;

/// Adds the steps for all routes of a policy.
pub(super) fn add(drafts: &mut Drafts<'_>) {
    let policy = drafts.policy;
    for (at, route) in policy.routes.iter().enumerate() {
        admission(drafts, at, route);
        roles(drafts, at, route);
        scopes(drafts, at, route);
        conditions(drafts, at, route);
        methods_of_proof(drafts, at, route);
        scope_of_route(drafts, at, route);
    }
}

/// The route lets in every caller, or is deleted.
fn admission(drafts: &mut Drafts<'_>, at: usize, route: &Route) {
    drafts.add_route(Kind::Public, at, "is open to anybody", public(route));
    let is_public = route.authentication.methods() == [AuthMethod::Public];
    if !is_public && !route.is_denied() {
        let shadow = Route {
            mode: Mode::Shadow,
            ..route.clone()
        };
        drafts.add_route(Kind::Shadow, at, "is in shadow mode", shadow);
    }
    if drafts.policy.routes.len() > 1 {
        match route.is_denied() {
            true => drafts.delete_route(Kind::DenyGone, at, "is not denied"),
            false => drafts.delete_route(Kind::Deleted, at, "is deleted"),
        }
    }
}

/// The route as a public one. What needs a proven caller cannot stand beside `auth: public`.
fn public(route: &Route) -> Route {
    let mut weaker = without_token(route);
    weaker.authentication = Authentication::new(AuthMethod::Public.into());
    weaker.idempotency = None;
    weaker.sandbox = false;
    weaker.quotas.retain(|quota| quota.per == QuotaScope::Address);
    weaker
}

/// The route without what is asked of tokens.
fn without_token(route: &Route) -> Route {
    let mut weaker = route.clone();
    weaker.requirement.roles.clear();
    weaker.requirement.scopes.clear();
    weaker
        .requirement
        .conditions
        .retain(|condition| !condition.needs_token());
    weaker
}

/// The route needs no role, or one that includes less.
fn roles(drafts: &mut Drafts<'_>, at: usize, route: &Route) {
    if route.requirement.roles.is_empty() {
        return;
    }
    let with_roles = |roles: Vec<String>| {
        let mut weaker = route.clone();
        weaker.requirement.roles = roles;
        weaker
    };
    drafts.add_route(Kind::Roles, at, "needs no role", with_roles(Vec::new()));
    let listed = &route.requirement.roles;
    for role in listed {
        for brought in drafts
            .policy
            .roles
            .brought(role)
            .iter()
            .filter(|brought| !listed.contains(brought))
        {
            let replaced = listed.iter().map(|known| if known == role { brought } else { known });
            let words = format!("takes the role `{brought}` in place of `{role}`");
            drafts.add_route(Kind::Role, at, &words, with_roles(replaced.cloned().collect()));
        }
    }
}

/// The route needs one scope less.
fn scopes(drafts: &mut Drafts<'_>, at: usize, route: &Route) {
    for scope in &route.requirement.scopes {
        let mut weaker = route.clone();
        weaker.requirement.scopes.retain(|other| other != scope);
        let words = format!("does not need the scope `{scope}`");
        drafts.add_route(Kind::Scope, at, &words, weaker);
    }
}

/// The route has one condition less.
fn conditions(drafts: &mut Drafts<'_>, at: usize, route: &Route) {
    for (number, condition) in route.requirement.conditions.iter().enumerate() {
        let mut weaker = route.clone();
        weaker.requirement.conditions.remove(number);
        let words = format!("has no condition: {condition}");
        drafts.add_route(Kind::When, at, &words, weaker);
    }
}

/// The route takes another credential as well, or needs one less.
fn methods_of_proof(drafts: &mut Drafts<'_>, at: usize, route: &Route) {
    let methods = route.authentication.methods();
    let is_all = matches!(route.authentication.rule(), AuthRule::All(methods) if methods.len() > 1);
    for method in methods.iter().filter(|_| is_all) {
        let others: Vec<_> = methods.iter().copied().filter(|other| other != method).collect();
        let Some(weaker) = with_rule(route, AuthRule::All(others)) else {
            continue;
        };
        let words = format!("does not need {}", credential(drafts.policy, *method));
        drafts.add_route(Kind::All, at, &words, weaker);
    }
    if is_all || route.is_open() || route.is_denied() {
        return;
    }
    for other in others(drafts.policy, methods) {
        let any = methods.iter().copied().chain([other]).collect();
        let Some(weaker) = with_rule(route, AuthRule::Any(any)) else {
            continue;
        };
        let words = format!("takes {} as well", credential(drafts.policy, other));
        drafts.add_route(Kind::Any, at, &words, weaker);
    }
}

/// The route with other credentials; `None` if something else of it needs a token that they may leave out.
fn with_rule(route: &Route, rule: AuthRule) -> Option<Route> {
    let brings_token = match &rule {
        AuthRule::Any(methods) => methods.iter().all(|method| *method == AuthMethod::Jwt),
        AuthRule::All(methods) => methods.contains(&AuthMethod::Jwt),
        AuthRule::Deny => true,
    };
    let Requirement {
        roles,
        scopes,
        conditions,
    } = &route.requirement;
    let needs_token = !roles.is_empty() || !scopes.is_empty() || conditions.iter().any(Condition::needs_token);
    (brings_token || !needs_token).then(|| Route {
        authentication: Authentication::new(rule),
        ..route.clone()
    })
}

/// The credentials that a policy knows, besides some.
fn others(policy: &Policy, known: &[AuthMethod]) -> Vec<AuthMethod> {
    let has_keys = policy.internal_keys.as_ref().is_some_and(|keys| !keys.keys.is_empty());
    let configured = [
        (AuthMethod::Jwt, !policy.issuers.is_empty()),
        (AuthMethod::InternalKey, has_keys),
        (AuthMethod::Mtls, !policy.certificates.is_empty()),
    ];
    let configured = configured.into_iter().filter(|(_, is_set_up)| *is_set_up);
    configured
        .map(|(method, _)| method)
        .filter(|method| !known.contains(method))
        .collect()
}

/// What a method takes, by the names of the policy.
fn credential(policy: &Policy, method: AuthMethod) -> String {
    match method {
        AuthMethod::Public => "nothing".to_owned(),
        AuthMethod::Jwt => "a token".to_owned(),
        AuthMethod::Mtls => "a client certificate".to_owned(),
        AuthMethod::InternalKey => {
            let keys = policy.internal_keys.iter().flat_map(|keys| &keys.keys);
            let names: Vec<_> = keys.map(|key| format!("`{}`", key.name())).collect();
            match names.as_slice() {
                [name] => format!("the key {name}"),
                names => format!("the keys {}", names.join(", ")),
            }
        }
    }
}

/// The route takes more requests.
fn scope_of_route(drafts: &mut Drafts<'_>, at: usize, route: &Route) {
    if drafts.fields.has(&format!("routes[{at}].content_types")) && !route.content_types.is_empty() {
        let weaker = Route {
            content_types: Vec::new(),
            ..route.clone()
        };
        let words = "takes any content type";
        drafts.add_route(Kind::ContentTypes, at, words, weaker);
    }
    if route.is_denied() {
        return;
    }
    let every_method = Route {
        methods: Vec::new(),
        ..route.clone()
    };
    if !conflicts(drafts.policy, at, &every_method) {
        drafts.add_route(Kind::Methods, at, "takes all methods", every_method);
    }
    let below = Route {
        pattern: format!("{}/*", route.pattern.trim_end_matches('/')),
        path: route.path.with_all_below(),
        ..route.clone()
    };
    if !route.path.is_prefix && !conflicts(drafts.policy, at, &below) {
        drafts.add_route(Kind::Below, at, "takes all paths below as well", below);
    }
}

/// Whether another route could win as well: then the file would not be a policy.
fn conflicts(policy: &Policy, at: usize, weaker: &Route) -> bool {
    let read = |route: &Route| match policy.case {
        PathCase::Exact => route.path.clone(),
        PathCase::Unambiguous | PathCase::Insensitive => route.path.folded(),
    };
    let path = read(weaker);
    let mut others = policy.routes.iter().enumerate().filter(|(other, _)| *other != at);
    others.any(|(_, other)| {
        let other_path = read(other);
        let is_alike = path.is_prefix == other_path.is_prefix && path.segments.len() == other_path.segments.len();
        let is_same = path.segments == other_path.segments && weaker.methods.is_empty() == other.methods.is_empty();
        is_alike && (is_same || path.crosses(&other_path)) && weaker.shared_methods(other).next().is_some()
    })
}
