//! The steps for the rules of a policy: tenants, revocation, certificates, content types, case.

use super::drafts::Drafts;
use crate::policy::PathCase;
use crate::policy::certificate::CertificateName;
use crate::policy::identity::{Identity, default_headers};
use crate::policy::tenant::TenantRule;
use crate::policy_coverage::weakening::Kind;
use crate::principal::{AuthMethod, written};

/// Adds the steps for the rules of a policy.
pub(super) fn add(drafts: &mut Drafts<'_>) {
    let policy = drafts.policy;
    let has_tokens = drafts.uses(AuthMethod::Jwt);
    if let Some(rule) = policy.tenant.as_ref().filter(|_| has_tokens) {
        tenants(drafts, rule);
    }
    if policy.revocation.is_some() && has_tokens {
        let mut weaker = policy.clone();
        weaker.revocation = None;
        drafts.add(Kind::Revocation, ("revocation", "is deleted"), "revocation", weaker);
    }
    let has_certificates = drafts.uses(AuthMethod::Mtls);
    for (at, name) in policy.certificates.iter().enumerate().filter(|_| has_certificates) {
        certificate(drafts, at, name);
    }
    content_types(drafts);
    if policy.case == PathCase::Insensitive {
        let words = ("paths", "in another case are other paths");
        let weaker = policy.clone().with_case(PathCase::Exact);
        drafts.add(Kind::Case, words, "paths.case_insensitive", weaker);
    }
}

fn tenants(drafts: &mut Drafts<'_>, rule: &TenantRule) {
    let policy = drafts.policy;
    let with = |tenant: Option<TenantRule>| {
        let mut weaker = policy.clone();
        weaker.tenant = tenant;
        weaker
    };
    let mut none = with(None);
    // A header of the tenant's own is set by default only with the rule.
    if none.identity.headers() == default_headers(Some(&rule.header)) {
        none.identity = Identity::new(default_headers(None), &[]);
    }
    let claims = rule.claims.iter().enumerate().filter(|_| rule.claims.len() > 1);
    let claims = claims.map(|(at, claim)| {
        let mut weaker = rule.clone();
        weaker.claims.remove(at);
        let words = format!("does not compare the claim `{}`", written(claim));
        (words, format!("tenant.claims[{at}]"), with(Some(weaker)))
    });
    let claims: Vec<_> = claims.collect();
    let header = with(Some(TenantRule {
        header_required: false,
        ..rule.clone()
    }));
    let lists = with(Some(TenantRule {
        lists: true,
        ..rule.clone()
    }));
    drafts.add(Kind::Tenant, ("tenant", "is not compared"), "tenant", none);
    for (words, field, weaker) in claims {
        drafts.add(Kind::TenantClaim, ("tenant", &words), &field, weaker);
    }
    let words = ("tenant", "does not need its header");
    drafts.add(Kind::TenantHeader, words, "tenant.header_required", header);
    let words = ("tenant", "may be one of several in a token");
    drafts.add(Kind::TenantLists, words, "tenant.lists", lists);
}

/// One segment of the path of a URI may be any.
fn certificate(drafts: &mut Drafts<'_>, at: usize, name: &CertificateName) {
    let CertificateName::Uri(pattern) = name else {
        return;
    };
    let segments: Vec<_> = pattern.split('/').collect();
    // Behind `scheme:`, or `scheme:`, nothing and the authority.
    let first = if segments.get(1).is_some_and(|part| part.is_empty()) {
        3
    } else {
        1
    };
    for (place, segment) in segments.iter().enumerate().skip(first) {
        if *segment == "*" || segment.is_empty() {
            continue;
        }
        let wider = segments.iter().enumerate();
        let wider: Vec<_> = wider
            .map(|(other, text)| if other == place { "*" } else { text })
            .collect();
        let wider = wider.join("/");
        let mut weaker = drafts.policy.clone();
        if let Some(name) = weaker.certificates.get_mut(at) {
            *name = CertificateName::Uri(wider.clone());
        }
        let words = format!("takes `{wider}`");
        drafts.add(
            Kind::Certificate,
            ("mtls", &words),
            &format!("mtls.allow[{at}].uri"),
            weaker,
        );
    }
}

/// The routes without content types of their own take any.
fn content_types(drafts: &mut Drafts<'_>) {
    if !drafts.fields.has("content_types") {
        return;
    }
    let mut routes = drafts.policy.routes.clone();
    for (at, route) in routes.iter_mut().enumerate() {
        if !drafts.fields.has(&format!("routes[{at}].content_types")) {
            route.content_types.clear();
        }
    }
    let weaker = drafts.policy.clone().with_routes(routes);
    drafts.add(
        Kind::ContentTypes,
        ("content_types", "are any"),
        "content_types",
        weaker,
    );
}
