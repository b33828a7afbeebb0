//! The conditions of routes and issuers: each compares one thing in one way, and together they can hold.

use std::ops::Range;

use http::HeaderName;

use super::compiler::Compiler;
use crate::document::collections::List;
use crate::document::decode::{Spanned, not_one_of, twice};
use crate::document::networks::network;
use crate::document::problem::ProblemCode;
use crate::document::scalars::HumanDuration;
use crate::policy::condition::{ClaimTest, Condition, HeaderTest, Texts};
use crate::policy::document::{
    ClaimConditionDocument, ClaimPath, ClientConditionDocument, ConditionDocument, MAX_CONDITIONS, OperandDocument,
};
use crate::policy::route::{AuthRule, Authentication};
use crate::principal::AuthMethod;

mod contradictions;
mod known_claims;
mod operands;
mod subjects;

pub(super) use operands::Parameters;
pub(super) use subjects::headers_of;

const ONE_SUBJECT: &str = "write what is compared, as in `{ claim: sub, equals: VALUE }`";

/// The operators of one condition that are written.
struct Operators {
    equals: Option<Spanned<OperandDocument>>,
    one_of: Option<List<Spanned<OperandDocument>>>,
    has: Option<Spanned<OperandDocument>>,
    has_any: Option<List<Spanned<OperandDocument>>>,
    within: Option<Spanned<HumanDuration>>,
    equals_claim: Option<Spanned<ClaimPath>>,
}

impl Operators {
    /// The names of those that are written.
    fn written(&self) -> Vec<&'static str> {
        let all = [
            ("equals", self.equals.is_some()),
            ("in", self.one_of.is_some()),
            ("has", self.has.is_some()),
            ("has_any", self.has_any.is_some()),
            ("within", self.within.is_some()),
            ("equals_claim", self.equals_claim.is_some()),
        ];
        all.into_iter().filter(|(_, is)| *is).map(|(name, _)| name).collect()
    }
}

impl Compiler<'_> {
    /// The conditions of a route, and where each stands.
    pub(super) fn route_conditions(
        &mut self,
        documents: Option<&List<Spanned<ConditionDocument>>>,
        authentication: &Authentication,
        parameters: &Parameters<'_>,
    ) -> Vec<Condition> {
        let Some(List(documents)) = documents else {
            return Vec::new();
        };
        self.count(documents);
        let mut read = Vec::new();
        for document in documents {
            if let Some(condition) = self.route_condition(document, parameters) {
                if condition.needs_token() && !brings_token(authentication) {
                    let message = "the condition compares a claim, and callers get in here without a token";
                    let help = "write `auth: jwt`, or leave the condition out";
                    self.problems
                        .add(&document.span, ProblemCode::ConditionWithoutToken, message, help);
                }
                read.push((condition, document.span.clone()));
            }
        }
        self.together(&read);
        read.into_iter().map(|(condition, _)| condition).collect()
    }

    /// The conditions of an issuer.
    pub(super) fn issuer_conditions(
        &mut self,
        documents: Option<List<Spanned<ClaimConditionDocument>>>,
    ) -> Vec<Condition> {
        let Some(List(documents)) = documents else {
            return Vec::new();
        };
        self.count(&documents);
        let mut read = Vec::new();
        for Spanned { value, span } in documents {
            let operators = Operators {
                equals: value.equals,
                one_of: value.r#in,
                has: value.has,
                has_any: value.has_any,
                within: value.within,
                equals_claim: None,
            };
            let condition = self.claim_condition((value.claim, operators), &span, &Parameters::none());
            read.extend(condition.map(|condition| (condition, span)));
        }
        self.together(&read);
        read.into_iter().map(|(condition, _)| condition).collect()
    }

    fn count<T>(&mut self, documents: &[Spanned<T>]) {
        if let Some(first) = documents.get(MAX_CONDITIONS) {
            let message = format!("there are at most {MAX_CONDITIONS} conditions, and this is one more");
            let help = "compare with several values in one condition: `in`, `has_any`";
            self.problems.add(&first.span, ProblemCode::TooLarge, message, help);
        }
    }

    fn route_condition(
        &mut self,
        document: &Spanned<ConditionDocument>,
        parameters: &Parameters<'_>,
    ) -> Option<Condition> {
        let Spanned { value, span } = document.clone();
        let operators = Operators {
            equals: value.equals,
            one_of: value.r#in,
            has: value.has,
            has_any: value.has_any,
            within: value.within,
            equals_claim: value.equals_claim,
        };
        match (value.claim, value.header, value.client) {
            (Some(claim), None, None) => self.claim_condition((claim, operators), &span, parameters),
            (None, Some(header), None) => self.header_condition((&header, operators), &span, parameters),
            (None, None, Some(client)) => self.client_condition((client, &operators), &span),
            (claim, header, client) => {
                let found = [claim.is_some(), header.is_some(), client.is_some()];
                let found = found.into_iter().filter(|is_written| *is_written).count();
                not_one_of(&span, &["claim", "header", "client"], found, ONE_SUBJECT, self.problems);
                None
            }
        }
    }

    fn claim_condition(
        &mut self,
        (claim, operators): (Spanned<ClaimPath>, Operators),
        span: &Range<usize>,
        parameters: &Parameters<'_>,
    ) -> Option<Condition> {
        const FIT: [&str; 5] = ["equals", "in", "has", "has_any", "within"];
        self.likely_path(&claim);
        self.one_operator(&operators, &FIT, span)?;
        self.fits_known_claim(&claim, &operators.written());
        let test = match operators {
            Operators { equals: Some(one), .. } => ClaimTest::Equals(self.operand(&one, parameters)?),
            Operators {
                one_of: Some(several), ..
            } => ClaimTest::In(self.operands(&several, parameters)?),
            Operators { has: Some(one), .. } => ClaimTest::Has(self.text_operand(&one, parameters, "an item")?),
            Operators {
                has_any: Some(several), ..
            } => {
                self.count_parameters(&several)?;
                ClaimTest::HasAny(Texts::of(self.text_operands(&several, parameters, "an item")?))
            }
            Operators {
                within: Some(longest), ..
            } => {
                if longest.value.0.as_secs() < 1 {
                    let message = "a time is within `1s` or more";
                    let help = "write how long ago it may be, such as `15m`";
                    self.problems.add(&longest.span, ProblemCode::OutOfRange, message, help);
                }
                ClaimTest::Within(longest.value.0)
            }
            _ => return None,
        };
        let path = claim.value.0;
        Some(Condition::Claim { path, test })
    }

    /// A header. Its name was checked with the names of all routes.
    fn header_condition(
        &mut self,
        (header, operators): (&Spanned<String>, Operators),
        span: &Range<usize>,
        parameters: &Parameters<'_>,
    ) -> Option<Condition> {
        self.one_operator(&operators, &["equals", "in", "equals_claim"], span)?;
        let name = HeaderName::from_bytes(header.value.as_bytes()).ok()?;
        let test = match operators {
            Operators { equals: Some(one), .. } => HeaderTest::Equals(self.text_operand(&one, parameters, "a header")?),
            Operators {
                one_of: Some(several), ..
            } => HeaderTest::In(self.text_operands(&several, parameters, "a header")?),
            Operators {
                equals_claim: Some(claim),
                ..
            } => {
                self.likely_path(&claim);
                HeaderTest::EqualsClaim(claim.value.0)
            }
            _ => return None,
        };
        Some(Condition::Header { name, test })
    }

    fn client_condition(
        &mut self,
        (client, operators): (ClientConditionDocument, &Operators),
        span: &Range<usize>,
    ) -> Option<Condition> {
        if let Some(other) = operators.written().first() {
            let message = format!("the address of the client is not compared by `{other}`");
            let help = "write `{ client: { in: [10.0.0.0/8] } }`";
            self.problems.add(span, ProblemCode::OneOfFields, message, help);
            return None;
        }
        let List(written) = client.r#in;
        self.count_values(&written)?;
        let mut networks = Vec::new();
        for text in &written {
            match network(&text.value) {
                Ok(network) if networks.contains(&network.trunc()) => {
                    let help = "leave one of them out";
                    self.problems
                        .add(&text.span, ProblemCode::DuplicateItem, twice(&text.value), help);
                }
                Ok(network) => networks.push(network.trunc()),
                Err(fault) => _ = self.problems.add_fault(&text.span, &fault),
            }
        }
        Some(Condition::Client { networks })
    }

    /// Notes a condition that has no operator, several, or one that does not fit.
    fn one_operator(&mut self, operators: &Operators, fit: &[&str], span: &Range<usize>) -> Option<()> {
        let written = operators.written();
        let help = "write one of them, as in `{ claim: sub, equals: VALUE }`";
        match written.as_slice() {
            [one] if fit.contains(one) => Some(()),
            [one] => {
                let (what, help) = match fit.contains(&"equals_claim") {
                    true => ("a header", "write `equals`, `in` or `equals_claim`"),
                    false => (
                        "a claim",
                        "write `{ header: NAME, equals_claim: CLAIM }` to compare a header",
                    ),
                };
                let message = format!("{what} is not compared by `{one}`");
                self.problems.add(span, ProblemCode::OneOfFields, message, help);
                None
            }
            several => {
                not_one_of(span, fit, several.len(), help, self.problems);
                None
            }
        }
    }
}

/// Whether every way into a route brings a token.
pub(super) fn brings_token(authentication: &Authentication) -> bool {
    match authentication.rule() {
        AuthRule::All(methods) => methods.contains(&AuthMethod::Jwt),
        AuthRule::Any(methods) => methods.iter().all(|method| *method == AuthMethod::Jwt),
        // No request gets in.
        AuthRule::Deny => true,
    }
}

#[cfg(test)]
mod tests;
