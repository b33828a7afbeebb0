//! All steps that may make policies weaker, each a policy that could have been written so. Whether one lets in callers
//! who were rejected is not looked at here.

use super::weakening::Weakening;
use crate::policy::PolicySet;

mod drafts;
mod issuers;
mod routes;
mod rules;

use drafts::Drafts;

/// Returns the steps for all policies: for each route in the order of the file, and then for the rules of the policy.
pub fn of(set: &PolicySet) -> Vec<Weakening> {
    let policies = set.policies().iter().enumerate();
    let of_policy = |(index, policy)| {
        let mut drafts = Drafts::of(index, policy);
        routes::add(&mut drafts);
        issuers::add(&mut drafts);
        rules::add(&mut drafts);
        drafts.into_found()
    };
    policies.flat_map(of_policy).collect()
}

#[cfg(test)]
mod tests;
