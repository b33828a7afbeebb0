//! What a request meets on both sides, and what of it decides.

use std::ptr;

use http::Method;

use crate::policy::route::Route;
use crate::policy::{Issuer, Policy, PolicySet, Scope};
use crate::principal::AuthMethod;
use crate::rehearsal::Rehearsal;

/// What a request meets on one side.
#[derive(Debug, Clone, Copy)]
pub(super) struct Side<'r> {
    /// The policies.
    pub(super) rehearsal: &'r Rehearsal,
    /// The place of what is met.
    pub(super) scope: Scope,
    /// The policy, if there is one for the request.
    pub(super) policy: Option<&'r Policy>,
    /// The route, if there is one.
    pub(super) route: Option<&'r Route>,
}

impl<'r> Side<'r> {
    /// Looks up what a request meets.
    pub(super) fn new(rehearsal: &'r Rehearsal, scope: Scope) -> Self {
        let policies: &PolicySet = rehearsal.policies();
        let matched = policies.matched(scope);
        Self {
            rehearsal,
            scope,
            policy: matched.policy(),
            route: matched.route(),
        }
    }

    /// Returns the policy and the route, if the route may accept a request.
    pub(super) fn met(&self) -> Option<(&'r Policy, &'r Route)> {
        let route = self.route.filter(|route| !route.is_denied())?;
        Some((self.policy?, route))
    }

    /// Returns the policy, if its route looks at a kind of credential.
    pub(super) fn asking(&self, method: AuthMethod) -> Option<&'r Policy> {
        let (policy, route) = self.met()?;
        route.authentication.methods().contains(&method).then_some(policy)
    }
}

/// What a request meets on both sides.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pair<'r> {
    /// The old policies.
    pub(super) old: Side<'r>,
    /// The new policies.
    pub(super) new: Side<'r>,
}

impl<'r> Pair<'r> {
    /// Returns both sides.
    pub(super) const fn sides(&self) -> [&Side<'r>; 2] {
        [&self.old, &self.new]
    }

    /// Returns the policies whose routes look at a kind of credential.
    pub(super) fn asking(&self, method: AuthMethod) -> impl Iterator<Item = &'r Policy> + use<'r> {
        let policies = [self.old.asking(method), self.new.asking(method)];
        policies.into_iter().flatten()
    }

    /// Returns the policies and routes that may accept a request.
    pub(super) fn met(&self) -> impl Iterator<Item = (&'r Policy, &'r Route)> + use<'r> {
        [self.old.met(), self.new.met()].into_iter().flatten()
    }

    /// Returns the policies.
    pub(super) fn policies(&self) -> impl Iterator<Item = &'r Policy> + use<'r> {
        [self.old.policy, self.new.policy].into_iter().flatten()
    }

    /// Returns whether both sides are the same by a function of the policy and the route.
    pub(super) fn is_same<T: PartialEq>(&self, of: impl Fn(&'r Policy, &'r Route) -> T) -> bool {
        let [old, new] = [self.old.met(), self.new.met()].map(|met| met.map(|(policy, route)| of(policy, route)));
        old == new
    }

    /// Returns whether both sides are the same by a function of the policy.
    pub(super) fn has_same_policy<T: PartialEq>(&self, of: impl Fn(&'r Policy) -> T) -> bool {
        self.old.policy.map(&of) == self.new.policy.map(&of)
    }

    /// Returns whether a rejection for the same reason is written alike on both sides.
    pub(super) fn rejects_alike(&self) -> bool {
        let default_errors = [&self.old, &self.new].map(|side| side.rehearsal.policies().default_errors());
        let style = [&self.old, &self.new].map(|side| side.policy.map(|policy| &policy.errors));
        let challenges = |side: &Side<'r>| {
            side.route
                .map(|route| (route.authentication.methods(), &route.requirement.scopes))
        };
        let [old, new] = default_errors;
        let [old_style, new_style] = style;
        old_style.unwrap_or(old) == new_style.unwrap_or(new)
            && self.has_same_policy(|policy| (&policy.service, &policy.cors, &policy.resource, &policy.sources))
            && challenges(&self.old) == challenges(&self.new)
    }

    /// Returns whether a request with the same permit is forwarded alike on both sides.
    pub(super) fn forwards_alike(&self) -> bool {
        self.is_same(|policy, route| {
            let own = (
                policy.key_header(),
                &policy.identity,
                &policy.sources.removed,
                &policy.compared,
            );
            let passed = (
                policy.forward_authorization,
                policy.forward_internal_key,
                &route.pass_through,
            );
            let compared: Vec<_> = route.requirement.compared().collect();
            let place = (&policy.service, &policy.upstream.address, &policy.upstream.variable.0);
            let path = (&policy.forwarded_prefix, policy.prefix.matches('/').count());
            (own, passed, compared, place, path, &policy.upstream_host, &policy.cors)
        })
    }

    /// Returns whether all that decides is the same in both policies, but for their routes.
    pub(super) fn has_equal_policies(&self) -> bool {
        let (Some(old), Some(new)) = (self.old.policy, self.new.policy) else {
            return false;
        };
        ptr::eq(old, new) || same_policy(old, new)
    }
}

/// What a route asks of its callers, and what becomes of their requests.
pub(super) fn asks(route: &Route) -> impl std::fmt::Debug + '_ {
    let idempotency = route.idempotency.as_ref().map(|rule| (&rule.methods, rule.required));
    (
        (&route.authentication, &route.requirement, route.mode),
        (&route.content_types, route.body_bytes, idempotency),
        &route.pass_through,
    )
}

fn same_policy(old: &Policy, new: &Policy) -> bool {
    let own = |policy: &'_ Policy| {
        (
            policy.service.clone(),
            policy.prefix.clone(),
            policy.upstream.address.clone(),
            policy.upstream.variable.0.clone(),
            (policy.forward_authorization, policy.forward_internal_key, policy.case),
            (policy.forwarded_prefix.clone(), policy.upstream_host.clone()),
        )
    };
    let read = |one: &Policy, other: &Policy| {
        one.errors == other.errors
            && one.cors == other.cors
            && one.resource == other.resource
            && one.sources == other.sources
            && one.tenant == other.tenant
            && one.internal_keys == other.internal_keys
            && one.certificates == other.certificates
            && one.roles == other.roles
            && one.allowance == other.allowance
            && one.identity == other.identity
            && one.compared == other.compared
            && one.revocation == other.revocation
    };
    own(old) == own(new) && read(old, new) && same_issuers(&old.issuers, &new.issuers)
}

fn same_issuers(old: &[Issuer], new: &[Issuer]) -> bool {
    let mut pairs = old.iter().zip(new);
    old.len() == new.len() && pairs.all(|(old, new)| rules(old) == rules(new))
}

/// What decides about the tokens of an issuer.
fn rules(issuer: &Issuer) -> impl PartialEq + '_ {
    (
        (&issuer.names, &issuer.signer, &issuer.algorithms, &issuer.types),
        (&issuer.audiences, &issuer.audience_claim, &issuer.required_claims),
        (&issuer.roles_claim, &issuer.scopes_claim, issuer.leeway),
        (&issuer.ignored_headers, issuer.binding, &issuer.when),
    )
}

/// What of the method matters to the routes of a pair.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct MethodClass {
    /// It writes a body that routes look at.
    pub(super) writes: bool,
    /// It only reads, where tokens may be in queries and cookies.
    pub(super) reads: bool,
    /// It may open a WebSocket, where tokens may be in its handshake.
    pub(super) opens: bool,
    /// It may have an idempotency key, on each side.
    pub(super) may_repeat: [bool; 2],
    /// It may ask for a page.
    pub(super) asks: bool,
}

impl MethodClass {
    /// Looks at a method.
    pub(super) fn new(pair: &Pair<'_>, method: &Method) -> Self {
        let has_types = pair.met().any(|(_, route)| !route.content_types.is_empty());
        let has_places = pair.policies().any(|policy| !policy.sources.read.is_empty());
        let may_repeat = pair.sides().map(|side| {
            let rule = side.met().and_then(|(_, route)| route.idempotency.as_ref());
            rule.is_some_and(|rule| rule.methods.contains(method))
        });
        Self {
            writes: has_types && matches!(*method, Method::POST | Method::PUT | Method::PATCH),
            reads: has_places && matches!(*method, Method::GET | Method::HEAD),
            opens: has_places && *method == Method::GET,
            may_repeat,
            asks: *method == Method::OPTIONS && pair.policies().any(|policy| policy.cors.is_some()),
        }
    }
}
