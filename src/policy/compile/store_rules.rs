//! What a policy says of state that replicas share.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http::Method;

use super::compiler::Compiler;
use super::route_defaults::RouteDefaults;
use crate::document::collections::{List, Map, OffOr};
use crate::document::decode::{Spanned, twice};
use crate::document::problem::ProblemCode;
use crate::document::scalars::{HumanDuration, Size};
use crate::policy::document::{IdempotencyDocument, QuotaDocument, RevocationDocument};
use crate::policy::route::{Authentication, Route};
use crate::policy::store_rules::{IdempotencyRule, Quota, RevocationRule};
use crate::policy::{Fallback, Mode, QuotaScope};
use crate::principal::AuthMethod;
use crate::quota::Rate;

const MAX_STALE: Duration = Duration::from_secs(30);
const MIN_STALE: Duration = Duration::from_secs(2);
const TTL: Duration = Duration::from_hours(24);
const LONGEST_TTL: Duration = Duration::from_hours(30 * 24);
const MAX_BODY: u64 = 1024 * 1024;
const LONGEST_BODY: u64 = 16 * 1024 * 1024;

/// The most quotas of a policy or route: each is a question to the store.
const MAX_QUOTAS: usize = 8;

impl Compiler<'_> {
    pub(super) fn revocation(&mut self, revocation: &Spanned<RevocationDocument>) -> RevocationRule {
        if !self.declared.contains_key("jwt") {
            let message = "there are no tokens to revoke: the policy has no `jwt:` block";
            let help = "add a `jwt:` block, or leave `revocation` out";
            self.problems
                .add(&revocation.span, ProblemCode::AuthNotConfigured, message, help);
        }
        let max_stale = revocation.value.max_stale.as_ref();
        if let Some(stale) = max_stale.filter(|stale| stale.value.0 < MIN_STALE) {
            let message = "`max_stale` must be at least `2s`";
            let help = "write `2s` or more; the default is `30s`";
            self.problems.add(&stale.span, ProblemCode::OutOfRange, message, help);
        }
        RevocationRule {
            max_stale: max_stale.map_or(MAX_STALE, |stale| stale.value.0),
            when_unavailable: revocation.value.when_unavailable.unwrap_or(Fallback::Deny),
        }
    }

    pub(super) fn idempotency(&mut self, document: IdempotencyDocument) -> Arc<IdempotencyRule> {
        for method in document.methods.iter().flat_map(|List(methods)| methods) {
            if matches!(method.value.as_str(), "GET" | "HEAD" | "OPTIONS" | "TRACE") {
                let message = format!("`{}` changes nothing, and needs no key", method.value);
                let help = "leave it out; the default is `[POST, PUT, PATCH]`";
                self.problems
                    .add(&method.span, ProblemCode::IdempotencyMisplaced, message, help);
            }
        }
        let methods = match document.methods {
            None => vec![Method::POST, Method::PUT, Method::PATCH],
            named => self.methods(named),
        };
        Arc::new(IdempotencyRule {
            methods,
            required: document.required.unwrap_or(false),
            ttl: self.ttl(document.ttl.as_ref()),
            max_body: self.max_body(document.max_body.as_ref()),
            when_unavailable: document.when_unavailable.unwrap_or(Fallback::Deny),
        })
    }

    fn ttl(&mut self, ttl: Option<&Spanned<HumanDuration>>) -> Duration {
        if let Some(ttl) = ttl.filter(|ttl| !(Duration::from_secs(1)..=LONGEST_TTL).contains(&ttl.value.0)) {
            let message = "a response is stored for `1s` to `30d`";
            let help = "write a time in that range; the default is `24h`";
            self.problems.add(&ttl.span, ProblemCode::OutOfRange, message, help);
        }
        ttl.map_or(TTL, |ttl| ttl.value.0)
    }

    fn max_body(&mut self, size: Option<&Spanned<Size>>) -> usize {
        if let Some(size) = size.filter(|size| size.value.0 > LONGEST_BODY) {
            let message = "a response of at most `16MiB` can be stored";
            let help = "write `16MiB` or less; the default is `1MiB`";
            self.problems.add(&size.span, ProblemCode::OutOfRange, message, help);
        }
        let bytes = size.map_or(MAX_BODY, |size| size.value.0);
        usize::try_from(bytes).unwrap_or(usize::MAX)
    }

    pub(super) fn quotas(&mut self, List(documents): List<Spanned<QuotaDocument>>) -> Vec<Arc<Quota>> {
        if let Some(first) = documents.get(MAX_QUOTAS) {
            let message = format!("there are at most {MAX_QUOTAS} quotas, and this is one more");
            let help = "remove the quotas that others cover";
            self.problems.add(&first.span, ProblemCode::TooLarge, message, help);
        }
        let mut quotas: Vec<Arc<Quota>> = Vec::new();
        for Spanned { value: document, .. } in documents {
            self.quota_name(&document.name, &quotas);
            self.scope_is_known(&document.per);
            quotas.extend(self.quota(document).map(Arc::new));
        }
        quotas
    }

    fn quota(&mut self, document: QuotaDocument) -> Option<Quota> {
        let window = document.window.value.0;
        let rate = self.rate(&document.limit, window);
        let plans = document.plans.map(|Map(plans)| plans).unwrap_or_default();
        let plans: Vec<_> = plans
            .into_iter()
            .filter_map(|(plan, limit)| Some((plan.value, self.rate(&limit, window)?)))
            .collect();
        Some(Quota {
            name: document.name.value,
            per: document.per.value,
            rate: rate?,
            window,
            plans,
            plan_claim: self.claim_path(document.plan_claim, "planTier"),
            mode: document.mode.unwrap_or(Mode::Enforce),
            when_unavailable: document.when_unavailable.unwrap_or(Fallback::Allow),
        })
    }

    fn rate(&mut self, limit: &Spanned<u32>, window: Duration) -> Option<Rate> {
        let rate = Rate::new(u64::from(limit.value), window);
        if rate.is_none() && !window.is_zero() {
            let message = "a quota is at least one request, and at most one in a microsecond";
            let help = "write a limit of at least `1`, and a longer `window` for a high limit";
            self.problems.add(&limit.span, ProblemCode::OutOfRange, message, help);
        }
        rate
    }

    /// The name stands in a header (RFC 9651, 3.3.3) and in metrics.
    fn quota_name(&mut self, name: &Spanned<String>, earlier: &[Arc<Quota>]) {
        let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if !name.value.chars().all(fine) || name.value.len() > 64 {
            let message = "the name of a quota has letters, digits, `-`, `_` and `.` only";
            let help = "write a short name, such as `per-minute`";
            self.problems.add(&name.span, ProblemCode::InvalidName, message, help);
        }
        if earlier.iter().any(|quota| quota.name == name.value) {
            let help = "give each quota a name of its own";
            self.problems
                .add(&name.span, ProblemCode::DuplicateItem, twice(&name.value), help);
        }
    }

    fn scope_is_known(&mut self, per: &Spanned<QuotaScope>) {
        let message = match per.value {
            QuotaScope::Tenant if !self.declared.contains_key("tenant") => {
                "no tenant is verified: the policy has no `tenant:` block"
            }
            QuotaScope::Subject if !self.declared.contains_key("jwt") => {
                "there are no subjects: the policy has no `jwt:` block"
            }
            QuotaScope::Client
                if !self.declared.contains_key("internal_key") && !self.declared.contains_key("mtls") =>
            {
                "there are no clients: the policy has neither `internal_key:` nor `mtls:`"
            }
            _ => return,
        };
        let help = "add the block, or write `per: address`";
        self.problems.add(&per.span, ProblemCode::QuotaScope, message, help);
    }

    /// An answer is for one caller only, so the route has to know who calls.
    pub(super) fn route_idempotency(
        &mut self,
        own: Option<Spanned<OffOr<IdempotencyDocument>>>,
        authentication: &Authentication,
        defaults: &RouteDefaults<'_>,
    ) -> Option<Arc<IdempotencyRule>> {
        let is_open = authentication.methods().contains(&AuthMethod::Public);
        match own {
            None => defaults.idempotency.clone().filter(|_| !is_open),
            Some(Spanned { value: OffOr::Off, .. }) => None,
            Some(Spanned {
                value: OffOr::On(document),
                span,
            }) => {
                if is_open {
                    let message = "`idempotency` needs an authenticated route: responses are stored per caller";
                    let help = "require a credential on the route, or leave `idempotency` out";
                    self.problems
                        .add(&span, ProblemCode::IdempotencyMisplaced, message, help);
                }
                Some(self.idempotency(document))
            }
        }
    }

    pub(super) fn route_quotas(
        &mut self,
        own: Option<Spanned<OffOr<List<Spanned<QuotaDocument>>>>>,
        authentication: &Authentication,
        defaults: &RouteDefaults<'_>,
    ) -> Vec<Arc<Quota>> {
        let proves_nothing = authentication.methods() == [AuthMethod::Public];
        let fits = |quota: &Arc<Quota>| !proves_nothing || quota.per == QuotaScope::Address;
        match own {
            None => defaults.quotas.iter().filter(|quota| fits(quota)).cloned().collect(),
            Some(Spanned { value: OffOr::Off, .. }) => Vec::new(),
            Some(Spanned {
                value: OffOr::On(documents),
                span,
            }) => {
                let quotas = self.quotas(documents);
                if !quotas.iter().all(fits) {
                    let message = "the route verifies nothing about its clients, so a quota can only be `per: address`";
                    let help = "write `per: address`, or require a credential on the route";
                    self.problems.add(&span, ProblemCode::QuotaScope, message, help);
                }
                quotas
            }
        }
    }

    /// Quotas of one name are counted together, so they are the same.
    pub(super) fn quotas_agree(&mut self, routes: &[Route]) {
        let mut known: HashMap<&str, &Arc<Quota>> = HashMap::new();
        for route in routes {
            for quota in &route.quotas {
                let first = *known.entry(&quota.name).or_insert(quota);
                if first != quota {
                    let message = format!("another route has another quota `{}`", quota.name);
                    let help = "quotas of one name are counted together: make them the same, or rename one";
                    self.problems
                        .add(&route.location.span(), ProblemCode::QuotaConflict, message, help);
                }
            }
        }
    }

    /// Returns whether a route leaves requests with `x-sandbox: true` out of its quotas. What the policy
    /// says holds where callers are proven: an address alone must not opt out of its quota by a header.
    pub(super) fn route_sandbox(
        &mut self,
        own: Option<&Spanned<bool>>,
        authentication: &Authentication,
        quotas: &[Arc<Quota>],
        defaults: &RouteDefaults<'_>,
    ) -> bool {
        let Some(own) = own else {
            return defaults.sandbox && !authentication.methods().contains(&AuthMethod::Public);
        };
        if own.value && quotas.is_empty() {
            let message = "`sandbox` has no effect: the route has no quotas";
            let help = "add `quotas` to the route, or leave `sandbox` out";
            self.problems
                .add(&own.span, ProblemCode::SandboxWithoutQuotas, message, help);
        }
        own.value
    }

    /// Notes a policy whose `sandbox` changes nothing on any route.
    pub(super) fn sandbox_has_quotas(&mut self, sandbox: Option<&Spanned<bool>>, routes: &[Route]) {
        let mut routes = routes.iter();
        if let Some(sandbox) = sandbox.filter(|sandbox| sandbox.value)
            && !routes.any(|route| route.sandbox && !route.quotas.is_empty())
        {
            let message = "`sandbox` has no effect: no authenticated route has quotas";
            let help = "add `quotas`, or remove `sandbox`";
            self.problems
                .add(&sandbox.span, ProblemCode::SandboxWithoutQuotas, message, help);
        }
    }
}
