//! What a policy says without effect, or should not say for long. Only `check` shows it.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use crate::document::decode::Spanned;
use crate::document::problem::{Fault, Location, Problem, ProblemCode, SourceFile};
use crate::policy::document::{Mode, PolicyDocument};
use crate::policy::lint::Lint;
use crate::policy::route::{Route, Segment};
use crate::policy::{Policy, RoleHierarchy};
use crate::principal::AuthMethod;

/// The fields of a file, by their names, where they stand.
pub(super) type Declared = BTreeMap<String, Range<usize>>;

/// Finds all in a policy that is otherwise fine. `written` is the document that it was compiled from.
pub(super) fn lints(
    written: &PolicyDocument,
    policy: &Policy,
    declared: &Declared,
    source: &Arc<SourceFile>,
) -> Vec<Lint> {
    let mut found = Found {
        source,
        lints: Vec::new(),
    };
    found.unused_blocks(policy, declared);
    found.unused_roles(written, policy);
    found.repeated_prefix(written, policy);
    found.shadow(written, declared);
    found.expired_keys(written);
    found.opened_denials(policy);
    found.pages(written, policy, declared);
    found.resource(written, policy);
    found.lints
}

/// The warnings so far.
pub(super) struct Found<'s> {
    source: &'s Arc<SourceFile>,
    lints: Vec<Lint>,
}

impl Found<'_> {
    pub(super) fn add(&mut self, span: &Range<usize>, code: ProblemCode, message: String, help: impl Into<String>) {
        self.add_since(i64::MIN, span, code, message, help);
    }

    fn add_since(
        &mut self,
        since: i64,
        span: &Range<usize>,
        code: ProblemCode,
        message: String,
        help: impl Into<String>,
    ) {
        let location = Location::new(self.source, span);
        self.lints.push(Lint {
            since,
            problem: Problem::warning(location, &Fault::new(code, message, help)),
        });
    }

    fn unused_blocks(&mut self, policy: &Policy, declared: &Declared) {
        let is_used = |method| {
            policy
                .routes
                .iter()
                .any(|route| route.authentication.methods().contains(&method))
        };
        for (block, method) in [
            ("jwt", AuthMethod::Jwt),
            ("internal_key", AuthMethod::InternalKey),
            ("mtls", AuthMethod::Mtls),
        ] {
            if let Some(span) = declared.get(block).filter(|_| !is_used(method)) {
                let message = format!("`{block}` has no effect: no route has `auth: {block}`");
                let help = format!("write `auth: {block}` on a route, or leave the block out");
                self.add(span, ProblemCode::UnusedBlock, message, help);
            }
        }
        if let Some(span) = declared.get("tenant").filter(|_| !is_used(AuthMethod::Jwt)) {
            let message = "`tenant` has no effect: no route takes tokens, so no tenant is verified".to_owned();
            let help = "write `auth: jwt` on a route, or leave the block out";
            self.add(span, ProblemCode::UnusedBlock, message, help);
        }
    }

    /// Entries of the hierarchy that let no caller into any route.
    fn unused_roles(&mut self, written: &PolicyDocument, policy: &Policy) {
        let required: Vec<_> = policy
            .routes
            .iter()
            .flat_map(|route| &route.requirement.roles)
            .collect();
        let brings_in = |role: &str, roles: &RoleHierarchy| {
            required
                .iter()
                .any(|wanted| *wanted != role && roles.covers(role, wanted))
        };
        let entries = written.roles.iter().flat_map(|roles| &roles.0);
        for (Spanned { value: role, span }, _) in entries {
            if !brings_in(role, &policy.roles) {
                let message =
                    format!("the entry `{role}` has no effect: no route requires a role that it brings along");
                let help = "require one of these roles on a route, or leave the entry out";
                self.add(span, ProblemCode::UnusedRole, message, help);
            }
        }
    }

    fn repeated_prefix(&mut self, written: &PolicyDocument, policy: &Policy) {
        if policy.prefix.is_empty() {
            return;
        }
        for route in &written.routes.0 {
            let Spanned { value: path, span } = &route.value.path;
            let Some(rest) = path.strip_prefix(policy.prefix.as_str()) else {
                continue;
            };
            if rest.is_empty() || rest.starts_with('/') {
                let below = if rest.is_empty() { "/" } else { rest };
                let message = format!(
                    "the route matches `{0}{path}`: paths of routes are below the prefix `{0}`",
                    policy.prefix
                );
                self.add(span, ProblemCode::PrefixRepeated, message, format!("write `{below}`"));
            }
        }
    }

    fn shadow(&mut self, written: &PolicyDocument, declared: &Declared) {
        let help = "leave `mode: shadow` out once the log shows no `shadow_deny` that should pass";
        if let Some(span) = declared.get("mode").filter(|_| written.mode == Some(Mode::Shadow)) {
            let message = "shadow mode is on: requests that would be rejected are forwarded".to_owned();
            self.add(span, ProblemCode::ShadowMode, message, help);
            return;
        }
        for route in &written.routes.0 {
            if route.value.mode == Some(Mode::Shadow) {
                let message = "the route is in shadow mode: requests that would be rejected are forwarded".to_owned();
                self.add(&route.value.path.span, ProblemCode::ShadowMode, message, help);
            }
        }
    }

    /// A route that rejects every request loses the paths that a more specific one takes. Where that one has a wildcard
    /// in the place of a literal, it seldom means to take them.
    fn opened_denials(&mut self, policy: &Policy) {
        let ranks_before = |a: &Route, b: &Route| {
            (a.path.is_prefix, Reverse(a.path.segments.len())) < (b.path.is_prefix, Reverse(b.path.segments.len()))
        };
        for denied in policy.routes.iter().filter(|route| route.is_denied()) {
            let opens = |route: &&Route| {
                let mut pairs = denied.path.segments.iter().zip(&route.path.segments);
                let is_wider = pairs.any(|pair| matches!(pair, (Segment::Literal(_), Segment::Wildcard(_))));
                let shares = || denied.shared_methods(route).next().is_some();
                !route.is_denied()
                    && is_wider
                    && ranks_before(route, denied)
                    && route.path.overlaps(&denied.path)
                    && shares()
            };
            if let Some(route) = policy.routes.iter().find(opens) {
                let message = format!(
                    "`{}` on line {} takes paths from this route, because it is more specific",
                    route.pattern,
                    route.location.line()
                );
                let help = "add routes with `auth: deny` for these paths, as specific as that one";
                self.add(&denied.location.span(), ProblemCode::DenialOpened, message, help);
            }
        }
    }

    fn expired_keys(&mut self, written: &PolicyDocument) {
        let keys = written.internal_key.iter().flat_map(|block| &block.keys.0);
        for key in keys {
            let Some(Spanned { value: expires, span }) = &key.value.expires else {
                continue;
            };
            let Ok(time) = expires.parse::<jiff::Timestamp>() else {
                continue;
            };
            let message = format!("the internal key `{}` expired at {expires}", key.value.name.value);
            let help = "leave the key out once its holder has another one";
            self.add_since(time.as_second(), span, ProblemCode::KeyExpired, message, help);
        }
    }
}
