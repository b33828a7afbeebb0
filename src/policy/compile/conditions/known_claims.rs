//! Claims whose type the standards give: an operator of another type would not hold for any token.

use crate::document::decode::Spanned;
use crate::document::problem::ProblemCode;
use crate::policy::compile::compiler::Compiler;
use crate::policy::document::ClaimPath;

/// Claims with one value that is not a time (RFC 7519, 4.1; RFC 9068, 2.2; OpenID Connect Core 1.0, 2 and 5.1).
const SINGLE: [&str; 15] = [
    "acr",
    "azp",
    "client_id",
    "email",
    "email_verified",
    "iss",
    "jti",
    "name",
    "nonce",
    "phone_number_verified",
    "preferred_username",
    "scope",
    "sid",
    "sub",
    "typ",
];

/// Claims that are times.
const TIMES: [&str; 5] = ["auth_time", "exp", "iat", "nbf", "updated_at"];

/// Claims that are lists (OpenID Connect Core 1.0, 2; RFC 9068, 2.2.3.1).
const LISTS: [&str; 5] = ["amr", "entitlements", "groups", "roles", "scopes"];

impl Compiler<'_> {
    /// Notes an operator that does not fit a claim at the top of a token.
    pub(super) fn fits_known_claim(&mut self, claim: &Spanned<ClaimPath>, operators: &[&str]) {
        let ([name], [operator]) = (claim.value.0.as_slice(), operators) else {
            return;
        };
        let is = |known: &[&str]| known.contains(&name.as_str());
        let needs_list = ["has", "has_any"].contains(operator);
        if *operator == "within" && (is(&SINGLE) || is(&LISTS) || name == "exp") {
            let message = match name.as_str() {
                "exp" => "`exp` is in the future as long as the token is valid".to_owned(),
                name => format!("`{name}` is not a time"),
            };
            let help = "name a claim with the time of something that is over, such as `auth_time`";
            self.problems
                .add(&claim.span, ProblemCode::ConditionContradiction, message, help);
        } else if needs_list && (is(&SINGLE) || is(&TIMES)) {
            let message = format!("`{name}` is one value, and `{operator}` needs a list");
            let help = match name.as_str() {
                "scope" => "write `scopes: […]` on the route, which reads `scope`",
                _ => "write `equals` or `in`",
            };
            self.problems
                .warn(&claim.span, ProblemCode::ConditionType, message, help);
        } else if ["equals", "in"].contains(operator) && is(&LISTS) {
            let message = format!("`{name}` is a list, and `{operator}` needs one value");
            let help = "write `has` or `has_any`";
            self.problems
                .warn(&claim.span, ProblemCode::ConditionType, message, help);
        }
    }
}
