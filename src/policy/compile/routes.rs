//! The routes of a policy: what each asks for, and whether each can ever match.

use http::Method;

use super::compiler::{ASCII_OR_EXACT, Compiler, NOT_FOLDED};
use super::conditions::{Parameters, brings_token};
use super::route_defaults::RouteDefaults;
use crate::document::collections::List;
use crate::document::decode::{Spanned, twice};
use crate::document::problem::{Location, ProblemCode};
use crate::document::suggestion::{is_close, suggest};
use crate::policy::PathCase;
use crate::policy::document::{AuthDocument, LogMode, Mode, NOT_BESIDE_DENY, RouteDocument};
use crate::policy::origin::Origin;
use crate::policy::route::path_texts::with_suggestion;
use crate::policy::route::{AuthRule, Authentication, PathPattern, Requirement, Route};
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
        let parameters = Parameters::of(defaults.prefix, path.as_ref());
        let conditions = self.route_conditions(route.when.as_ref(), &authentication, &parameters);
        self.passes_compared(&route);
        let denies = *authentication.rule() == AuthRule::Deny;
        match denies {
            true => self.nothing_beside_deny(&route),
            false => self.requirement_fits(&route, &authentication),
        }
        self.roles_are_meant(&route, &defaults.roles);
        let methods = self.methods(route.methods.clone());
        let mode = route.mode.or(defaults.mode).filter(|_| !denies);
        let mode = mode.unwrap_or(Mode::Enforce);
        let pass = self.route_pass(route.pass.as_ref(), &authentication, mode, defaults);
        let content_types = match route.content_types {
            None => defaults.content_types.clone(),
            own => self.content_types(own),
        };
        let idempotency = self.route_idempotency(route.idempotency, &authentication, defaults);
        let quotas = self.route_quotas(route.quotas, &authentication, defaults);
        let sandbox = self.route_sandbox(route.sandbox.as_ref(), &authentication, &quotas, defaults);
        let route = Route {
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
            access_log: route.log != Some(LogMode::Off),
            timeout: route.timeout.map(|timeout| timeout.0),
            body_bytes: route.body_bytes.map(|size| size.0),
            location: Origin(Location::new(self.problems.source(), &route.path.span)),
        };
        Some(if denies { route.denied() } else { route })
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
                return Authentication::new((*method).into());
            }
            AuthDocument::Any(listed) => (listed, true),
            AuthDocument::All(listed) => (listed, false),
            AuthDocument::Deny => return Authentication::new(AuthRule::Deny),
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

    /// A route that rejects every request says nothing about those that it would accept.
    fn nothing_beside_deny(&mut self, route: &RouteDocument) {
        let given = [
            route.roles.is_some(),
            route.scopes.is_some(),
            route.when.is_some(),
            route.content_types.is_some(),
            route.pass.is_some(),
            route.idempotency.is_some(),
            route.quotas.is_some(),
            route.sandbox.is_some(),
            route.log.is_some(),
            route.timeout.is_some(),
            route.body_bytes.is_some(),
        ];
        let given = NOT_BESIDE_DENY.into_iter().zip(given).filter(|(_, is_given)| *is_given);
        let shadow = (route.mode == Some(Mode::Shadow)).then_some("mode: shadow");
        let fields: Vec<_> = given.map(|(field, _)| field).chain(shadow).collect();
        if !fields.is_empty() {
            let message = format!("the route rejects every request, and has {}", quoted(&fields));
            let help = "leave out all but `path` and `methods`, or use another `auth`";
            self.problems
                .add(&route.auth.span, ProblemCode::DenyContradiction, message, help);
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
}

/// A standard method, or one that is not just a slip in a standard one.
fn is_method(text: &str, standard: &[&str]) -> bool {
    standard.contains(&text) || (text != "CONNECT" && !standard.iter().any(|known| is_close(text, known)))
}

fn quoted(fields: &[&str]) -> String {
    let fields: Vec<_> = fields.iter().map(|field| format!("`{field}`")).collect();
    fields.join(", ")
}

fn names(list: Option<Spanned<List<Spanned<String>>>>) -> Vec<String> {
    let list = list.map(|Spanned { value: List(names), .. }| names);
    list.unwrap_or_default().into_iter().map(|name| name.value).collect()
}
