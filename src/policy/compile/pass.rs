//! The headers of a client that reach the service although they are removed elsewhere.

use http::HeaderName;

use super::compiler::Compiler;
use super::conditions::headers_of;
use super::headers::HEADER_HELP;
use super::route_defaults::RouteDefaults;
use crate::document::collections::List;
use crate::document::decode::Spanned;
use crate::document::problem::ProblemCode;
use crate::document::suggestion::{closest, did_you_mean};
use crate::policy::document::{Mode, RouteDocument};
use crate::policy::route::{Authentication, Route};
use crate::principal::AuthMethod;
use crate::request::listed::{Listed, passable};
use crate::request::names::FoldedName;

impl Compiler<'_> {
    /// The names that a policy passes on all of its routes.
    pub(super) fn policy_pass(
        &mut self,
        names: Option<List<Spanned<String>>>,
        defaults: &RouteDefaults<'_>,
    ) -> Vec<Spanned<HeaderName>> {
        let mut passed = Vec::new();
        for name in names.map(|List(names)| names).unwrap_or_default() {
            if name.value.eq_ignore_ascii_case(defaults.tenant_header.as_str()) {
                let message = format!("`{}` is passed by a route, not by a policy", defaults.tenant_header);
                let help = "write `pass` on each route that verifies no tenant and needs it, such as a login";
                self.problems
                    .add(&name.span, ProblemCode::PassNotAllowed, message, help);
            } else {
                passed.extend(self.passed(&name, defaults));
            }
        }
        passed
    }

    /// The names that a route passes; those of its policy where it says nothing.
    pub(super) fn route_pass(
        &mut self,
        names: Option<&List<Spanned<String>>>,
        authentication: &Authentication,
        mode: Mode,
        defaults: &RouteDefaults<'_>,
    ) -> Vec<HeaderName> {
        let Some(List(names)) = names else {
            return defaults.pass.iter().map(|name| name.value.clone()).collect();
        };
        let mut read = Vec::new();
        let verified = defaults.has_tenant && authentication.methods().contains(&AuthMethod::Jwt);
        for name in names {
            if !name.value.eq_ignore_ascii_case(defaults.tenant_header.as_str()) {
                if let Some(passed) = self.passed(name, defaults) {
                    if proves_nobody(authentication, mode) {
                        self.passes_unproven(&passed, "the route");
                    }
                    read.push(passed.value);
                }
                continue;
            }
            if verified {
                let message = format!("`{}` is verified on this route, and set then", defaults.tenant_header);
                let help = "leave it out of `pass`: the upstream gets the verified value";
                self.problems
                    .add(&name.span, ProblemCode::PassNotAllowed, message, help);
            }
            read.push(defaults.tenant_header.clone());
        }
        read
    }

    /// Notes a header that a route both compares and passes.
    pub(super) fn passes_compared(&mut self, route: &RouteDocument) {
        for name in route.pass.iter().flat_map(|List(names)| names) {
            if headers_of(route).any(|compared| compared.value.eq_ignore_ascii_case(&name.value)) {
                let message = format!("`{}` is compared on this route, and forwarded then", name.value);
                let help = "leave it out of `pass`: the upstream gets the compared value";
                self.problems
                    .add(&name.span, ProblemCode::PassNotAllowed, message, help);
            }
        }
    }

    /// Warns, once for each name, where a policy passes names on a route that proves no caller.
    pub(super) fn passes_on_open_routes(&mut self, routes: &[Route], defaults: &RouteDefaults<'_>) {
        for name in &defaults.pass {
            let inherits = |route: &&Route| route.pass_through.contains(&name.value);
            let mut open = routes.iter().filter(inherits);
            if let Some(route) = open.find(|route| proves_nobody(&route.authentication, route.mode)) {
                self.passes_unproven(name, &format!("`{}`", route.pattern));
            }
        }
    }

    fn passes_unproven(&mut self, name: &Spanned<HeaderName>, route: &str) {
        let message = format!("{route} proves no caller, so any client can set `{}`", name.value);
        let help = "leave it out of `pass`, unless only a proxy that sets it can reach Sidegate";
        self.problems.warn(&name.span, ProblemCode::PassUnproven, message, help);
    }

    /// A name that other products use and that this policy does not.
    fn passed(&mut self, name: &Spanned<String>, defaults: &RouteDefaults<'_>) -> Option<Spanned<HeaderName>> {
        let (text, span) = (&name.value, &name.span);
        let Ok(header) = HeaderName::from_bytes(text.as_bytes()) else {
            let message = format!("`{text}` is not a header name");
            self.problems
                .add(span, ProblemCode::InvalidHeaderName, message, HEADER_HELP);
            return None;
        };
        let (is_own, listed) = FoldedName::with(header.as_str(), |folded| {
            let is_key = defaults.key_header.is_some_and(|key| folded.spells(key));
            (is_key || defaults.identity.is_reserved(&folded), Listed::of(&folded))
        });
        if defaults.compared.contains(&header) {
            return Some(Spanned {
                value: header,
                span: span.clone(),
            });
        } else if is_own {
            let message = format!("`{header}` is read or set by Sidegate, and a client's never passes");
            self.problems
                .add(span, ProblemCode::PassNotAllowed, message, "leave it out of `pass`");
        } else if listed.never || listed.exact_only.is_some() {
            let message = format!("`{header}` frames, routes or authenticates a request, and a client's never passes");
            self.problems
                .add(span, ProblemCode::PassNotAllowed, message, "leave it out of `pass`");
        } else if listed.foreign {
            return Some(Spanned {
                value: header,
                span: span.clone(),
            });
        } else if listed.forwarding {
            let message = format!("`{header}` passes from trusted proxies only");
            let help = "name them in `trusted_proxies` of sidegate.yaml";
            self.problems.add(span, ProblemCode::PassNotAllowed, message, help);
        } else {
            let mut known: Vec<&str> = passable().collect();
            known.push(defaults.tenant_header.as_str());
            let meant = closest(text, known).map(did_you_mean);
            let message = format!("`{header}` is not removed, so there is nothing to pass");
            let help = meant.unwrap_or_else(|| "leave it out of `pass`".into());
            self.problems.add(span, ProblemCode::PassNotAllowed, message, help);
        }
        None
    }
}

/// Whether a request gets in that has no good credential.
fn proves_nobody(authentication: &Authentication, mode: Mode) -> bool {
    authentication.methods().contains(&AuthMethod::Public) || mode == Mode::Shadow
}
