//! What a test file says that makes no difference: callers without tests, fields without a token, claims that no policy reads.

use std::collections::{BTreeMap, BTreeSet};

use super::cell::Cell;
use super::requests::Requests;
use super::unnamed_roles::roles;
use crate::document::problem::{ProblemCode, Problems};
use crate::policy::{BindingMode, Policy, PolicySet};
use crate::policy_test::callers::CallerPlan;
use crate::policy_test::document::{BoundDocument, PolicyTestDocument};
use crate::policy_test::outcome::Found;
use crate::policy_test::read_claims::read_claims;
use crate::policy_test::served::Process;
use crate::rejection::Reason;

/// The callers of a file, and the policies that they meet.
pub(super) struct Checks<'c> {
    pub(super) document: &'c PolicyTestDocument,
    pub(super) plans: &'c [CallerPlan],
    pub(super) policies: &'c PolicySet,
    pub(super) process: &'c Process,
    pub(super) problems: &'c mut Problems,
}

/// The policies that each caller meets, by their places. `None` stands for a caller that no test uses.
type Met = Vec<Option<BTreeSet<usize>>>;

impl<'c> Checks<'c> {
    /// Reports all of it.
    pub(super) fn all(&mut self, cells: &[Cell], requests: &Requests) {
        let mut met: Met = vec![None; self.plans.len()];
        for cell in cells {
            if let Some(met) = met.get_mut(cell.caller) {
                met.get_or_insert_default().extend(requests.policy(cell));
            }
        }
        self.unused(&met);
        self.without_token(&met);
        self.without_client_ca(&met);
        self.unread(&met);
        self.unnamed_roles(&met, cells);
        self.tokens_for_nothing(&met);
        self.keys_for_nothing(&met);
        self.certificates_for_nothing(&met);
    }

    /// Reports callers that no test uses.
    fn unused(&mut self, met: &Met) {
        let callers = self.document.callers.0.iter();
        let likes: BTreeSet<_> = callers
            .filter_map(|(_, caller)| caller.like.as_ref())
            .map(|like| like.value.as_str())
            .collect();
        for (plan, met) in self.plans.iter().zip(met) {
            if met.is_none() && !likes.contains(plan.name.as_str()) {
                let message = format!("no test uses the caller `{}`", plan.name);
                let help = "use it in `expect`, in `caller` or in the matrix, or remove it";
                self.problems.add(&plan.span, ProblemCode::UnusedCaller, message, help);
            }
        }
    }

    /// Reports what is about a token or a certificate that a caller does not have.
    fn without_token(&mut self, met: &Met) {
        let mut seen = BTreeSet::new();
        let used = self.plans.iter().zip(met).filter(|(_, met)| met.is_some());
        for (plan, _) in used {
            let bound = plan.bound.as_ref().filter(|bound| bound.value != BoundDocument::No);
            let revoked = plan.revoked.as_ref().filter(|revoked| revoked.value);
            let fields = [
                ("source", plan.source.as_ref().map(|field| &field.span)),
                ("corrupt", plan.corrupt.as_ref().map(|field| &field.span)),
                ("bound", bound.map(|field| &field.span)),
                ("revoked", revoked.map(|field| &field.span)),
            ];
            let spare = fields.into_iter().filter_map(|(name, span)| Some((name, span?)));
            for (name, span) in spare.filter(|_| plan.token.is_none()) {
                if seen.insert(span.start) {
                    let message = format!("`{}` has no token that `{name}` could be about", plan.name);
                    let help = format!("add a `token`, or leave `{name}` out");
                    self.problems.add(span, ProblemCode::NothingToProve, message, help);
                }
            }
            let own = bound.filter(|bound| bound.value == BoundDocument::Own && plan.token.is_some());
            if let Some(own) = own.filter(|own| plan.certificate.is_none() && seen.insert(own.span.start)) {
                let message = format!("`{}` has no certificate that its token could be bound to", plan.name);
                let help = "add a `certificate`, or write `bound: other` for a token that is bound to another one";
                self.problems.add(&own.span, ProblemCode::NothingToProve, message, help);
            }
        }
    }

    /// Reports certificates of callers where no listener asks for one.
    fn without_client_ca(&mut self, met: &Met) {
        if !self.process.without_certificates {
            return;
        }
        let used = self.plans.iter().zip(met).filter(|(_, met)| met.is_some());
        for (plan, _) in used.filter(|(plan, _)| plan.certificate.is_some()) {
            let message = format!(
                "`{}` has a certificate, and no listener has a `client_ca` to ask for one",
                plan.name
            );
            let help = "give a listener in `sidegate.yaml` a `tls.client_ca`, or leave `certificate` out";
            self.problems
                .add(&plan.span, ProblemCode::NothingToProve, message, help);
        }
    }

    fn policies(&self, met: Option<&BTreeSet<usize>>) -> Vec<&'c Policy> {
        let met = met.into_iter().flatten();
        met.filter_map(|index| self.policies.get(*index)).collect()
    }

    /// Warns of claims that none of the policies reads which the callers with this claim meet.
    fn unread(&mut self, met: &Met) {
        let mut claims = BTreeMap::new();
        for (plan, met) in self.plans.iter().zip(met) {
            let policies = self.policies(met.as_ref());
            let mut policies = policies
                .into_iter()
                .filter(|policy| !policy.issuers.is_empty())
                .peekable();
            let Some(token) = plan.token.as_ref().filter(|_| policies.peek().is_some()) else {
                continue;
            };
            let read: BTreeSet<_> = policies.flat_map(read_claims).collect();
            for claim in token.claims.iter().filter(|claim| !claim.value.is_null()) {
                let known = claims.entry(claim.name_span.start).or_insert((claim, false));
                known.1 |= read.contains(claim.name.as_str());
            }
        }
        for (claim, _) in claims.values().filter(|(_, is_read)| !is_read) {
            let message = format!("no policy that its callers meet reads the claim `{}`", claim.name);
            let help = "leave it out, or correct its name";
            self.problems
                .warn(&claim.name_span, ProblemCode::UnreadClaim, message, help);
        }
    }

    /// Warns of roles that none of the policies names which the callers with this role meet.
    fn unnamed_roles(&mut self, met: &Met, cells: &[Cell]) {
        let missing = Found::Rejected {
            reason: Reason::RoleMissing,
            by_route: true,
        };
        let mut odd = BTreeMap::new();
        for (caller, (plan, met)) in self.plans.iter().zip(met).enumerate() {
            let Some(token) = plan.token.as_ref().filter(|_| met.is_some()) else {
                continue;
            };
            let mut own = cells.iter().filter(|cell| cell.caller == caller);
            let may_miss = own.any(|cell| cell.expected.outcome.is_met_by(missing));
            for role in roles(token, (&self.policies(met.as_ref()), may_miss)) {
                let known = odd
                    .entry((role.span.start, role.name))
                    .or_insert((role.span, role.help.clone()));
                known.1 = known.1.take().and(role.help);
            }
        }
        for ((_, role), (span, help)) in odd {
            if let Some(help) = help {
                let message = format!("no policy that its callers meet names the role `{role}`");
                self.problems.warn(&span, ProblemCode::UnreadClaim, message, help);
            }
        }
    }

    /// Reports tokens of callers that only meet policies without issuers.
    fn tokens_for_nothing(&mut self, met: &Met) {
        for (plan, met) in self.plans.iter().zip(met) {
            let Some(token) = &plan.token else { continue };
            let met = self.policies(met.as_ref());
            let Some(first) = met
                .first()
                .filter(|_| met.iter().all(|policy| policy.issuers.is_empty()))
            else {
                continue;
            };
            let roles = token.get("roles").filter(|claim| !claim.value.is_null());
            let span = roles.map_or(&token.span, |claim| &claim.name_span);
            let what = if roles.is_some() { "roles" } else { "a token" };
            let message = format!(
                "`{}` has {what}, and `{}` has no `jwt` and reads no token",
                plan.name, first.service
            );
            let help = "leave the token out, or add `jwt` to the policy";
            self.problems.add(span, ProblemCode::NothingToProve, message, help);
        }
    }

    /// Reports keys of callers that only meet policies without internal keys.
    fn keys_for_nothing(&mut self, met: &Met) {
        for (plan, met) in self.plans.iter().zip(met) {
            let Some(key) = &plan.key else { continue };
            let met = self.policies(met.as_ref());
            if let Some(first) = met
                .first()
                .filter(|_| met.iter().all(|policy| policy.internal_keys.is_none()))
            {
                let message = format!(
                    "`{}` has a key, and `{}` has no `internal_key`",
                    plan.name, first.service
                );
                let help = "leave the key out, or add `internal_key` to the policy";
                self.problems.add(&key.span, ProblemCode::NothingToProve, message, help);
            }
        }
    }

    /// Reports certificates of callers that only meet policies which look at none.
    fn certificates_for_nothing(&mut self, met: &Met) {
        let is_looked_at = |policy: &Policy| {
            let required = policy
                .issuers
                .iter()
                .any(|issuer| issuer.binding == BindingMode::Required);
            required || !policy.certificates.is_empty()
        };
        let unbound = |plan: &CallerPlan| plan.bound.as_ref().is_none_or(|bound| bound.value == BoundDocument::No);
        for (plan, met) in self.plans.iter().zip(met) {
            let met = self.policies(met.as_ref());
            let is_spare = plan.certificate.is_some() && unbound(plan) && !met.iter().copied().any(is_looked_at);
            if let Some(first) = met.first().filter(|_| is_spare) {
                let message = format!(
                    "`{}` has a certificate, and `{}` has no `mtls`",
                    plan.name, first.service
                );
                let help = "leave the certificate out, add `mtls` to the policy, or bind a token to it";
                self.problems
                    .add(&plan.span, ProblemCode::NothingToProve, message, help);
            }
        }
    }
}
