//! What the tokens of an issuer have: their audience, their types, their claims.

use super::compiler::{Compiler, UNCHECKED};
use super::headers::dotted;
use crate::document::collections::{List, ListOrEmpty};
use crate::document::decode::{Spanned, twice};
use crate::document::problem::ProblemCode;
use crate::policy::document::{AudienceDocument, LinkHeader};
use crate::policy::issuer::{TokenTypes, subtype};

impl Compiler<'_> {
    /// The audiences, unless they are unchecked, and the claim that names one.
    pub(super) fn audience(
        &mut self,
        audience: Spanned<AudienceDocument>,
        claim: Option<Spanned<String>>,
    ) -> (Option<Vec<String>>, String) {
        let audiences = match audience.value {
            AudienceDocument::Unchecked => None,
            AudienceDocument::AnyOf(names) => Some(names),
        };
        if audiences
            .iter()
            .flatten()
            .any(|name| name.eq_ignore_ascii_case(UNCHECKED))
        {
            let message = format!("`{UNCHECKED}` stands alone, not in a list");
            let help = format!("write `audience: {UNCHECKED}`, or audiences only");
            self.problems
                .add(&audience.span, ProblemCode::UncheckedNotAlone, message, help);
        }
        if let Some(claim) = claim.as_ref().filter(|_| audiences.is_none()) {
            let message = "`audience_claim` needs audiences: with `audience: unchecked` it has no effect";
            let help = "write `audience: […]`, or leave `audience_claim` out";
            self.problems
                .add(&claim.span, ProblemCode::FieldNeedsOther, message, help);
        }
        if let Some(claim) = &claim {
            self.claim_name(claim, "a claim inside another one cannot name the audience");
        }
        (audiences, claim.map_or_else(|| "aud".to_owned(), |claim| claim.value))
    }

    /// The types of tokens.
    pub(super) fn token_types(&mut self, types: Option<List<Spanned<String>>>) -> TokenTypes {
        let Some(List(types)) = types else {
            return TokenTypes::default();
        };
        for (at, typ) in types.iter().enumerate() {
            let name = subtype(&typ.value);
            if name.eq_ignore_ascii_case("dpop+jwt") {
                let message = format!("`{}` is the type of a DPoP proof, which the client signs", typ.value);
                let help = "leave it out: a proof is not a token (RFC 9449, 4.2)";
                self.problems
                    .add(&typ.span, ProblemCode::InvalidTokenType, message, help);
            } else if !is_subtype(name) {
                let message = format!("`{}` is not the type of a token", typ.value);
                let help = "write `typ` as in the header of the tokens, such as `at+jwt`";
                self.problems
                    .add(&typ.span, ProblemCode::InvalidTokenType, message, help);
            }
            let mut earlier = types.iter().take(at).map(|other| subtype(&other.value));
            if earlier.any(|other| other.eq_ignore_ascii_case(name)) {
                let help = "leave one of them out: neither case nor `application/` counts";
                self.problems
                    .add(&typ.span, ProblemCode::DuplicateItem, twice(&typ.value), help);
            }
        }
        TokenTypes::new(types.into_iter().map(|typ| typ.value))
    }

    /// The parameters of the header that are passed over.
    pub(super) fn ignored_headers(&mut self, parameters: Option<List<Spanned<LinkHeader>>>) -> Vec<LinkHeader> {
        let mut read = Vec::new();
        for parameter in parameters.into_iter().flat_map(|List(parameters)| parameters) {
            if read.contains(&parameter.value) {
                let message = twice(parameter.value.name());
                let help = "leave one of them out";
                self.problems
                    .add(&parameter.span, ProblemCode::DuplicateItem, message, help);
            }
            read.push(parameter.value);
        }
        read
    }

    /// The claims that a token must have.
    pub(super) fn required_claims(&mut self, claims: Option<ListOrEmpty<Spanned<String>>>) -> Vec<String> {
        let Some(ListOrEmpty(claims)) = claims else {
            return vec!["sub".to_owned()];
        };
        for claim in &claims {
            self.claim_name(claim, "a claim inside another one cannot be required");
        }
        claims.into_iter().map(|claim| claim.value).collect()
    }

    /// Notes what is not the name of a claim at the top of a token. A name with `=` is meant as a condition.
    fn claim_name(&mut self, claim: &Spanned<String>, nested: &str) {
        if let Some((name, value)) = claim.value.split_once('=') {
            let (name, value) = (name.trim(), value.trim_start_matches('=').trim());
            let message = format!("`{}` is not the name of a claim: a name has no `=` here", claim.value);
            let help = match name.is_empty() || value.is_empty() {
                true => format!("write the name of the claim alone, such as `{}`", or_sub(name)),
                false => format!(
                    "write `when: [{{ claim: {name}, equals: {value} }}]` beside it for a claim with this value, or \
                     `{name}` for one with any value"
                ),
            };
            self.problems
                .add(&claim.span, ProblemCode::InvalidClaimName, message, help);
        } else if let Some([first, ..]) = dotted(&claim.value).as_deref() {
            let message = format!("`{}` is taken for the name of one claim, with its dots", claim.value);
            let help = format!("write `{first}`: {nested}");
            self.problems.warn(&claim.span, ProblemCode::DottedClaim, message, help);
        }
    }
}

fn or_sub(name: &str) -> &str {
    if name.is_empty() { "sub" } else { name }
}

/// Whether a text is the name of a media type (RFC 6838, 4.2) behind `application/`.
fn is_subtype(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&byte);
    (1..=127).contains(&name.len()) && name.bytes().all(fits)
}
