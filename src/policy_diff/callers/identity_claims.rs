//! Values of claims that identity headers of both sides may write in different ways.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::rules::{ClaimPath, Rules, UNNAMED};
use crate::policy::identity::{IdentityHeader, IdentitySource};

/// A text with all that separators and encodings are about.
const ODD: &str = "50% a,b;c|d";

/// Returns values of claims, if a header of the sides is not the same on both.
pub(super) fn values(sides: [Option<Rules<'_>>; 2]) -> Vec<(ClaimPath, Value)> {
    let [Some(old), Some(new)] = sides else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for (rules, others) in [(old, new), (new, old)] {
        for header in rules.policy.identity.headers() {
            let mut known = others.policy.identity.headers().iter();
            if known.any(|other| other == header) {
                continue;
            }
            found.extend(of_header(header, rules, [old, new]));
        }
    }
    found
}

fn of_header(header: &IdentityHeader, rules: Rules<'_>, sides: [Rules<'_>; 2]) -> Vec<(ClaimPath, Value)> {
    let names = |required: BTreeSet<&str>| {
        let all = required.into_iter().chain([UNNAMED, ODD, "x", "y"]);
        json!(all.collect::<Vec<_>>())
    };
    match &header.source {
        IdentitySource::Claim(path) => {
            let values = [json!(ODD), json!(["x", "y"]), json!([ODD, "x"])];
            values.into_iter().map(|value| (path.clone(), value)).collect()
        }
        IdentitySource::Roles => {
            let required = sides.iter().flat_map(|side| &side.route.requirement.roles);
            let value = names(required.map(String::as_str).collect());
            let paths = rules.issuer.roles_claim.paths.iter();
            paths.map(|path| (path.clone(), value.clone())).collect()
        }
        IdentitySource::Scopes => {
            let scopes = sides.iter().flat_map(|side| &side.route.requirement.scopes);
            let value = names(scopes.map(String::as_str).collect());
            let paths = rules.issuer.scopes_claim.paths.iter();
            paths.map(|path| (path.clone(), value.clone())).collect()
        }
        IdentitySource::Tenant | IdentitySource::AuthMethod | IdentitySource::ClientId => Vec::new(),
    }
}
