//! What is so while the requests of a test arrive, checked: it has to make a difference for their policies.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use super::cell::{Cell, of_test};
use super::lookup;
use super::requests::Requests;
use super::revocations::{all_tokens, list};
use crate::document::decode::{Spanned, not_one_of};
use crate::document::problem::{ProblemCode, Problems, Reported};
use crate::policy::{Policy, PolicySet};
use crate::policy_test::callers::CallerPlan;
use crate::policy_test::case::{Case, Given};
use crate::policy_test::credentials::without_revocation;
use crate::policy_test::document::{GivenDocument, PolicyTestDocument, RevokedDocument};
use crate::principal::{AuthMethod, TenantId};
use crate::rehearsal::Rehearsal;
use crate::rejection::{Reason, Rejection};
use crate::revocation::{Revocation, Revocations, Target};

/// What is so while the requests of one test arrive.
#[derive(Debug, Default)]
pub(super) struct GivenOfTest {
    /// The state of keys and store.
    pub(super) state: Arc<Given>,
    /// What is revoked, and where that stands.
    revoked: Vec<(Revocation, Range<usize>)>,
}

impl GivenOfTest {
    /// Returns what is revoked.
    pub(super) fn revocations(&self) -> Vec<Revocation> {
        self.revoked.iter().map(|(revocation, _)| revocation.clone()).collect()
    }
}

/// Checks what is given, one for each test.
pub(super) fn givens(
    document: &PolicyTestDocument,
    (plans, cells, requests): (&[CallerPlan], &[Cell], &Requests),
    policies: &PolicySet,
    problems: &mut Problems,
) -> Result<Vec<Option<GivenOfTest>>, Reported> {
    let tests = document.tests.iter().flat_map(|tests| &tests.0).enumerate();
    let givens = tests.map(|(index, test)| {
        let Some(document) = &test.given else { return Ok(None) };
        let given = &document.value;
        let mut met = BTreeSet::new();
        let (mut reads_token, mut asks_store) = (false, false);
        for cell in of_test(cells, index).1 {
            let scope = requests.scope(cell);
            met.extend(scope.policy);
            let has_token = plans.get(cell.caller).is_some_and(|plan| plan.token.is_some());
            let matched = policies.matched(scope);
            let Some((policy, route)) = matched.policy().zip(matched.route()) else {
                continue;
            };
            let is_read = has_token && route.authentication.methods().contains(&AuthMethod::Jwt);
            reads_token |= is_read;
            asks_store |= !route.quotas.is_empty() || route.idempotency.is_some();
            asks_store |= is_read && policy.revocation.is_some();
        }
        if let Some(name) = given
            .no_keys
            .as_ref()
            .and_then(|names| names.0.first())
            .filter(|_| !reads_token)
        {
            let message = "no caller of the test sends a token to a route that reads it";
            let help = "leave `no_keys` out, or name a request with `auth: jwt` and a caller with a token";
            return Err(problems.add(&name.span, ProblemCode::NothingToProve, message, help));
        }
        if let Some(store) = given.store.as_ref().filter(|_| !asks_store) {
            let message = "no request of the test needs the store: its routes have no `quotas` and no `idempotency`, \
                           and no token is looked for among the revoked";
            return Err(problems.add(&store.span, ProblemCode::NothingToProve, message, "leave `store` out"));
        }
        let met: Vec<_> = met.into_iter().filter_map(|policy| policies.get(policy)).collect();
        self::given(given, &met, problems).map(Some)
    });
    givens.collect()
}

/// Reports revocations of tokens that no caller of the test has.
pub(super) fn revokes_nothing(
    givens: &[Option<GivenOfTest>],
    (cells, cases): (&[Cell], &[Case]),
    rehearsal: &Rehearsal,
    problems: &mut Problems,
) {
    for (index, given) in givens.iter().enumerate() {
        let (first, cells) = of_test(cells, index);
        for (revocation, span) in given.iter().flat_map(|given| &given.revoked) {
            let list = list([revocation]);
            let revocations = Revocations::Known {
                list: &list,
                age: Some(Duration::ZERO),
            };
            let mut of_test = cases.iter().skip(first).take(cells.len());
            let is_revoked = |case: &Case| {
                let facts = case.facts();
                let decision = rehearsal.decide(&facts, revocations, &mut ());
                let reason = decision.outcome.rejection().map(Rejection::reason);
                reason == Some(Reason::TokenRevoked)
            };
            if !of_test.any(is_revoked) {
                let message = "no caller of the test has a token that this revokes";
                let help = "name a caller whose token is revoked, or leave this out";
                problems.add(span, ProblemCode::NothingToProve, message, help);
            }
        }
    }
}

fn given(document: &GivenDocument, met: &[&Policy], problems: &mut Problems) -> Result<GivenOfTest, Reported> {
    let mut no_keys = Vec::new();
    for name in document.no_keys.iter().flat_map(|names| &names.0) {
        no_keys.push(lookup::issuer(name, names(met), problems)?);
    }
    let mut revoked = Vec::new();
    if let Some(documents) = &document.revoked {
        if let Some(policy) = met.iter().find(|policy| policy.revocation.is_none()) {
            return Err(without_revocation(policy, &documents.span, problems));
        }
        for document in &documents.value.0 {
            revoked.push(revocation(document, &documents.span, met, problems)?);
        }
    }
    Ok(GivenOfTest {
        state: Arc::new(Given {
            no_keys,
            store_is_down: document.store.is_some(),
        }),
        revoked,
    })
}

/// The names of all issuers of some policies.
fn names<'p>(met: &[&'p Policy]) -> impl Iterator<Item = Cow<'p, str>> {
    let issuers = met.iter().flat_map(|policy| &policy.issuers);
    issuers.flat_map(|issuer| issuer.names.texts().map(Cow::Borrowed).chain([issuer.label()]))
}

fn revocation(
    document: &RevokedDocument,
    span: &Range<usize>,
    met: &[&Policy],
    problems: &mut Problems,
) -> Result<(Revocation, Range<usize>), Reported> {
    let target = match (&document.jti, &document.subject, &document.tenant) {
        (Some(jti), None, None) => Target::Jti(jti.value.clone()),
        (None, Some(subject), None) => Target::Subject(subject.value.clone()),
        (None, None, Some(tenant)) => {
            let parsed = TenantId::parse(&tenant.value).or_else(|| TenantId::of_text(&tenant.value));
            Target::Tenant(parsed.ok_or_else(|| {
                let message = format!("`{}` cannot be a tenant", tenant.value);
                let help = "write a UUID, or 1 to 128 visible ASCII characters";
                problems.add(&tenant.span, ProblemCode::InvalidName, message, help)
            })?)
        }
        (jti, subject, tenant) => {
            let found = [jti, subject, tenant].iter().filter(|field| field.is_some()).count();
            let help = "write `{ subject: user-7 }`, `{ jti: … }` or `{ tenant: … }`";
            return Err(not_one_of(span, &["jti", "subject", "tenant"], found, help, problems));
        }
    };
    let is_written = |name: &Spanned<String>| {
        // A name that the pattern of an issuer takes is that of one of its tenants.
        let patterns = met.iter().flat_map(|policy| &policy.issuers);
        let mut patterns = patterns.filter_map(|issuer| issuer.names.pattern());
        patterns.any(|pattern| pattern.takes(&name.value))
    };
    let issuer = match &document.issuer {
        Some(name) if is_written(name) => Some(name.value.clone()),
        Some(name) => Some(lookup::issuer(name, names(met), problems)?),
        None => None,
    };
    let target_span = [&document.jti, &document.subject, &document.tenant];
    let target_span = target_span.into_iter().flatten().next();
    let span = target_span.map_or(span, |text| &text.span).clone();
    Ok((all_tokens(target, issuer), span))
}
