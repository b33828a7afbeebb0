//! Names of policies that test files use: routes and services.

use std::borrow::Cow;

use crate::document::decode::Spanned;
use crate::document::masks::shown_url;
use crate::document::problem::{ProblemCode, Problems, Reported};
use crate::document::suggestion::suggest;
use crate::policy::PolicySet;
use crate::policy_test::credentials::unique;

/// Finds a route by its pattern.
pub(super) fn route(name: &Spanned<String>, policies: &PolicySet, problems: &mut Problems) -> Result<String, Reported> {
    let routes = policies.policies().iter().flat_map(|policy| &policy.routes);
    known(("route", name), routes.map(|route| route.pattern.as_str()), problems)
}

/// Finds a service by its name.
pub(super) fn service(
    name: &Spanned<String>,
    policies: &PolicySet,
    problems: &mut Problems,
) -> Result<String, Reported> {
    let services = policies.policies().iter().map(|policy| policy.service.as_str());
    known(("service", name), services, problems)
}

/// Finds an issuer by one of its names, in the policies of some requests.
pub(super) fn issuer<'p>(
    name: &Spanned<String>,
    issuers: impl Iterator<Item = Cow<'p, str>>,
    problems: &mut Problems,
) -> Result<String, Reported> {
    let issuers: Vec<_> = issuers.collect();
    // The URL of keys is a name, too, as it is shown.
    let shown = shown_url(&name.value);
    match issuers.contains(&shown) {
        true => Ok(shown.into_owned()),
        false => known(("issuer", name), issuers.iter().map(|issuer| &**issuer), problems),
    }
}

fn known<'k>(
    (what, name): (&str, &Spanned<String>),
    known: impl Iterator<Item = &'k str>,
    problems: &mut Problems,
) -> Result<String, Reported> {
    let known = unique(known);
    if known.contains(&name.value.as_str()) {
        return Ok(name.value.clone());
    }
    let message = match known.is_empty() {
        true => format!("the policies have no {what}, so not `{}`", name.value),
        false => format!("the policies have no {what} `{}`", name.value),
    };
    let help = match known.is_empty() {
        true => "leave it out".to_owned(),
        false => suggest(&name.value, known),
    };
    Err(problems.add(&name.span, ProblemCode::NotInPolicies, message, help))
}
