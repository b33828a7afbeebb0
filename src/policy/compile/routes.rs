//! The routes of a policy: what each asks for, and whether each can ever match.

use std::collections::HashMap;

use http::Method;

use super::compiler::{ASCII_OR_EXACT, Compiler, NOT_FOLDED};
use super::conditions::{Parameters, brings_token};
use super::route_defaults::RouteDefaults;
use super::wildcard_overlap::Crossings;
use crate::document::collections::List;
use crate::document::decode::{Spanned, twice};
use crate::document::problem::{Location, ProblemCode};
use crate::document::suggestion::{is_close, suggest};
use crate::policy::PathCase;
use crate::policy::document::{AuthDocument, Mode, RouteDocument};
use crate::policy::origin::Origin;
use crate::policy::route::path_texts::with_suggestion;
use crate::policy::route::{AuthRule, Authentication, PathPattern, Requirement, Route, Segment};
use crate::principal::AuthMethod;

/// The most routes of a policy: each is compared with the others.
const MAX_ROUTES: usize = 5000;

impl Compiler<'_> {
    pub(super) fn routes(
        &mut self,
        List(documents): List<Spanned<RouteDocument>>,
        defaults: &RouteDefaults<'_>,
    ) -> Vec<Route> {
        if let Some(first) = documents.get(MAX_ROUTES) {
            let message = format!("a policy has at most {MAX_ROUTES} routes, and this is one more");
            let help = "use `/*` and `{name}`, or a policy for each prefix";
            self.problems.add(&first.span, ProblemCode::TooLarge, message, help);
            return Vec::new();
        }
        let routes: Vec<_> = documents.into_iter().filter_map(|d| self.route(d, defaults)).collect();
        self.conflicts(&routes, defaults.case);
        self.quotas_agree(&routes);
        self.passes_on_open_routes(&routes, defaults);
        routes
    }

    fn route(&mut self, document: Spanned<RouteDocument>, defaults: &RouteDefaults<'_>) -> Option<Route> {
        let Spanned { value: route, .. } = document;
        let path = match PathPattern::parse(&route.path.value) {
            Ok(path) => Some(path),
            Err(fault) => {
                let fault = with_suggestion(&route.path.value, fault);
                self.problems.add_fault(&route.path.span, &fault);
                None
            }
        };
        if defaults.case == PathCase::Insensitive && !route.path.value.is_ascii() {
            self.problems.add(
                &route.path.span,
                ProblemCode::CaseContradiction,
                NOT_FOLDED,
                ASCII_OR_EXACT,
            );
        }
        let authentication = self.authentication(&route.auth);
        self.requirement_fits(&route, &authentication);
        let parameters = Parameters::of(defaults.prefix, path.as_ref());
        let conditions = self.route_conditions(route.when.as_ref(), &authentication, &parameters);
        self.passes_compared(&route);
        self.roles_are_meant(&route, &defaults.roles);
        let methods = self.methods(route.methods.clone());
        let mode = route.mode.or(defaults.mode).unwrap_or(Mode::Enforce);
        let pass = self.route_pass(route.pass.as_ref(), &authentication, mode, defaults);
        let content_types = match route.content_types {
            None => defaults.content_types.clone(),
            own => self.content_types(own),
        };
        let idempotency = self.route_idempotency(route.idempotency, &authentication, defaults);
        let quotas = self.route_quotas(route.quotas, &authentication, defaults);
        let sandbox = self.route_sandbox(route.sandbox.as_ref(), &authentication, &quotas, defaults);
        Some(Route {
            pattern: format!("{}{}", defaults.prefix, route.path.value),
            path: path?,
            methods,
            authentication,
            requirement: Requirement {
                roles: names(route.roles),
                scopes: names(route.scopes),
                conditions,
            },
            content_types,
            mode,
            pass_through: pass,
            idempotency,
            quotas,
            sandbox,
            location: Origin(Location::new(self.problems.source(), &route.path.span)),
        })
    }

    pub(super) fn methods(&mut self, methods: Option<List<Spanned<String>>>) -> Vec<Method> {
        const STANDARD: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"];
        let mut read = Vec::new();
        for method in methods.map(|List(methods)| methods).unwrap_or_default() {
            let text = method.value.as_str();
            let token = text.bytes().all(|b| b.is_ascii_uppercase() || matches!(b, b'-' | b'_'));
            match Method::from_bytes(text.as_bytes()) {
                Ok(known) if token && is_method(text, &STANDARD) && !read.contains(&known) => read.push(known),
                Ok(known) if read.contains(&known) => {
                    self.problems.add(
                        &method.span,
                        ProblemCode::DuplicateItem,
                        twice(text),
                        "leave one of them out",
                    );
                }
                slip => {
                    let help = suggest(text, STANDARD);
                    let message = format!("unknown method `{text}`");
                    self.problems
                        .add(&method.span, ProblemCode::UnknownMethod, message, help);
                    // One is kept, so that the route is not taken for one without methods.
                    read.extend(slip.ok().filter(|_| read.is_empty()));
                }
            }
        }
        read
    }

    fn authentication(&mut self, auth: &Spanned<AuthDocument>) -> Authentication {
        let (listed, any) = match &auth.value {
            AuthDocument::One(method) => {
                self.is_set_up(*method, &auth.span);
                return Authentication::new(AuthRule::All(vec![*method]));
            }
            AuthDocument::Any(listed) => (listed, true),
            AuthDocument::All(listed) => (listed, false),
        };
        let mut methods = Vec::new();
        for (at, method) in listed.iter().enumerate() {
            let last = at + 1 == listed.len();
            if methods.contains(&method.value) {
                let message = twice(method.value.as_str());
                self.problems.add(
                    &method.span,
                    ProblemCode::DuplicateItem,
                    message,
                    "leave one of them out",
                );
            } else if method.value == AuthMethod::Public && !(any && last && at > 0) {
                let message = "`public` needs no credential: it can only be the last of `any`, after another";
                let help = "write `{ any: [jwt, public] }` for an optional login, or `auth: public`";
                self.problems
                    .add(&method.span, ProblemCode::AuthCombination, message, help);
            } else {
                self.is_set_up(method.value, &method.span);
            }
            methods.push(method.value);
        }
        Authentication::new(if any {
            AuthRule::Any(methods)
        } else {
            AuthRule::All(methods)
        })
    }

    /// A method that a route uses needs its block in the policy.
    fn is_set_up(&mut self, method: AuthMethod, span: &std::ops::Range<usize>) {
        if method != AuthMethod::Public && !self.declared.contains_key(method.as_str()) {
            let message = format!("the route needs `{method}`, and the policy has no `{method}:` block");
            let help = format!("add the `{method}:` block, or change `auth`");
            self.problems.add(span, ProblemCode::AuthNotConfigured, message, help);
        }
    }

    /// Roles and scopes come from tokens: every way into the route must bring one.
    fn requirement_fits(&mut self, route: &RouteDocument, authentication: &Authentication) {
        let bring_token = brings_token(authentication);
        for (name, list) in [("roles", &route.roles), ("scopes", &route.scopes)] {
            if let Some(list) = list.as_ref().filter(|_| !bring_token) {
                let message = format!("`{name}` come from tokens, and callers get in here without one");
                let help = format!("write `auth: jwt`, or leave `{name}` out");
                self.problems
                    .add(&list.span, ProblemCode::RolesWithoutToken, message, help);
            }
        }
    }

    /// Roles are open, but one that is nearly a name of the hierarchy is a slip.
    fn roles_are_meant(&mut self, route: &RouteDocument, known: &[String]) {
        let roles = route.roles.iter().flat_map(|Spanned { value: List(roles), .. }| roles);
        for role in roles.filter(|role| !known.contains(&role.value)) {
            if known.iter().any(|known| is_close(&role.value, known)) {
                let help = suggest(&role.value, known.iter().map(String::as_str));
                let message = format!("`{}` is not among the policy's `roles`", role.value);
                self.problems.add(&role.span, ProblemCode::UnknownRole, message, help);
            }
        }
    }

    /// Notes routes of which none, or either, could win.
    fn conflicts(&mut self, routes: &[Route], case: PathCase) {
        let fold = |path: &PathPattern| match case {
            PathCase::Exact => path.clone(),
            PathCase::Unambiguous | PathCase::Insensitive => path.folded(),
        };
        let mut groups: HashMap<(bool, usize), Vec<(PathPattern, &Route)>> = HashMap::new();
        for route in routes {
            let path = fold(&route.path);
            let group = groups.entry((path.is_prefix, path.segments.len())).or_default();
            group.push((path, route));
        }
        for group in groups.values() {
            let mut same: HashMap<&[Segment], Vec<&Route>> = HashMap::new();
            for (path, route) in group {
                let earlier = same.entry(&path.segments).or_default();
                if let Some(other) = earlier.iter().find(|other| take_the_same(other, route, true)) {
                    self.conflict(route, other, ProblemCode::RouteUnreachable);
                }
                earlier.push(route);
            }
            let mut crossings = Crossings::of(group.iter().map(|(path, _)| path).collect());
            for (path, route) in group.iter().filter(|(path, _)| path.has_wildcard()) {
                let crossing = crossings.with(path);
                let mut others = crossing.iter().filter_map(|&at| group.get(at)).map(|(_, other)| *other);
                let wins_too = |other: &&Route| starts_before(route, other) && take_the_same(route, other, false);
                if let Some(other) = others.find(wins_too) {
                    self.conflict(other, route, ProblemCode::RouteConflict);
                }
            }
        }
    }

    fn conflict(&mut self, route: &Route, other: &Route, code: ProblemCode) {
        let what = match code {
            ProblemCode::RouteUnreachable => "the route can never match",
            _ => "the route and another could both win",
        };
        let line = other.location.line();
        let message = format!("{what}: `{}` on line {line} takes the same requests", other.pattern);
        let differ_in_case =
            route.path.segments != other.path.segments && route.pattern.eq_ignore_ascii_case(&other.pattern);
        let help = match differ_in_case {
            true => "leave one of them out, or write `paths: { case: exact }` if the service tells them apart",
            false => "make the paths or the methods differ, or leave one of them out",
        };
        self.problems.add(&route.location.span(), code, message, help);
    }
}

/// Whether some method is taken by both routes. With `ranked`, methods beat none: a route with
/// methods and one without can then stand side by side.
fn take_the_same(a: &Route, b: &Route, ranked: bool) -> bool {
    match (a.methods.is_empty(), b.methods.is_empty()) {
        (true, true) => true,
        (false, false) => a.methods.iter().any(|m| b.accepts(m)) || b.methods.iter().any(|m| a.accepts(m)),
        _ => !ranked,
    }
}

/// A standard method, or one that is not just a slip in a standard one.
fn is_method(text: &str, standard: &[&str]) -> bool {
    standard.contains(&text) || (text != "CONNECT" && !standard.iter().any(|known| is_close(text, known)))
}

fn starts_before(a: &Route, b: &Route) -> bool {
    a.location.span().start < b.location.span().start
}

fn names(list: Option<Spanned<List<Spanned<String>>>>) -> Vec<String> {
    let list = list.map(|Spanned { value: List(names), .. }| names);
    list.unwrap_or_default().into_iter().map(|name| name.value).collect()
}
