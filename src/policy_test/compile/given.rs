//! What is so while the requests of a test arrive, checked: it has to make a difference for their policies.

use std::sync::Arc;

use super::lookup;
use super::requests::Requests;
use crate::document::decode::not_one_of;
use crate::document::problem::{ProblemCode, Problems, Reported};
use crate::policy::{Policy, PolicySet};
use crate::policy_test::case::Given;
use crate::policy_test::credentials::without_revocation;
use crate::policy_test::document::{GivenDocument, PolicyTestDocument, RevokedDocument};
use crate::principal::TenantId;
use crate::revocation::{Revocation, Target};

/// What is so while the requests of one test arrive.
#[derive(Debug, Default)]
pub(super) struct GivenOfTest {
    /// The state of keys and store.
    pub(super) state: Arc<Given>,
    /// What is revoked.
    pub(super) revoked: Vec<Revocation>,
}

/// Checks what is given, one for each test.
pub(super) fn givens(
    document: &PolicyTestDocument,
    requests: &Requests,
    policies: &PolicySet,
    problems: &mut Problems,
) -> Result<Vec<Option<GivenOfTest>>, Reported> {
    let tests = document.tests.iter().flat_map(|tests| &tests.0).enumerate();
    let givens = tests.map(|(index, test)| {
        let Some(document) = &test.given else { return Ok(None) };
        let met = requests.policies_of(index).flatten();
        let met: Vec<_> = met.filter_map(|policy| policies.get(policy)).collect();
        given(document, &met, problems).map(Some)
    });
    givens.collect()
}

fn given(document: &GivenDocument, met: &[&Policy], problems: &mut Problems) -> Result<GivenOfTest, Reported> {
    let mut no_keys = Vec::new();
    for name in document.no_keys.iter().flat_map(|names| &names.0) {
        let issuers = met.iter().flat_map(|policy| &policy.issuers);
        let names = issuers.flat_map(|issuer| issuer.names.texts().chain([issuer.label()]));
        no_keys.push(lookup::issuer(name, names, problems)?);
    }
    if let Some(store) = &document.store
        && !met.iter().any(|policy| uses_store(policy))
    {
        let message = "no policy of these requests uses the store: none has `revocation`, `quotas` or `idempotency`";
        return Err(problems.add(&store.span, ProblemCode::NothingToProve, message, "leave `store` out"));
    }
    let mut revoked = Vec::new();
    if let Some(documents) = &document.revoked {
        if let Some(policy) = met.iter().find(|policy| policy.revocation.is_none()) {
            return Err(without_revocation(policy, &documents.span, problems));
        }
        for document in &documents.value.0 {
            revoked.push(revocation(document, &documents.span, problems)?);
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

fn uses_store(policy: &Policy) -> bool {
    let asks = policy
        .routes
        .iter()
        .any(|route| !route.quotas.is_empty() || route.idempotency.is_some());
    asks || policy.revocation.is_some()
}

fn revocation(
    document: &RevokedDocument,
    span: &std::ops::Range<usize>,
    problems: &mut Problems,
) -> Result<Revocation, Reported> {
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
    let issuer = document.issuer.as_ref().map(|issuer| issuer.value.clone());
    Ok(super::revocations::all_tokens(target, issuer))
}
