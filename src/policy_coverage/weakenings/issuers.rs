//! The steps for the issuers of tokens, and for where tokens are read.

use super::drafts::Drafts;
use crate::policy::issuer::TokenTypes;
use crate::policy::issuer_names::IssuerNames;
use crate::policy::{BindingMode, Issuer, Policy};
use crate::policy_coverage::weakening::Kind;
use crate::principal::AuthMethod;

/// The claim that every token needs, where a policy says nothing.
const SUBJECT: &str = "sub";

/// Adds the steps for all issuers of a policy.
pub(super) fn add(drafts: &mut Drafts<'_>) {
    let policy = drafts.policy;
    if !drafts.uses(AuthMethod::Jwt) {
        return;
    }
    for (at, issuer) in policy.issuers.iter().enumerate() {
        let mut draft = Draft { drafts, at, issuer };
        draft.names();
        draft.audience();
        draft.claims();
        draft.types();
        draft.binding();
        draft.conditions();
    }
    sources(drafts);
}

/// The steps for one issuer.
struct Draft<'d, 'p> {
    drafts: &'d mut Drafts<'p>,
    at: usize,
    issuer: &'p Issuer,
}

impl Draft<'_, '_> {
    fn add(&mut self, kind: Kind, words: &str, field: &str, change: impl FnOnce(&mut Issuer)) {
        let policy = self.drafts.policy;
        let mut weaker = policy.clone();
        let Some(issuer) = weaker.issuers.get_mut(self.at) else {
            return;
        };
        change(issuer);
        let name = field.split('[').next().unwrap_or(field);
        let subject = match policy.issuers.len() {
            1 => name.to_owned(),
            _ => format!("{name} of {}", self.issuer.label()),
        };
        let field = format!("jwt.issuers[{}].{field}", self.at);
        self.drafts.add(kind, (&subject, words), &field, weaker);
    }

    fn names(&mut self) {
        // Among several, `iss` picks one.
        if self.drafts.policy.issuers.len() == 1 {
            self.add(Kind::Issuer, "is unchecked", "issuer", |issuer| {
                issuer.names = IssuerNames::Unchecked;
            });
        }
        let Some(pattern) = self.issuer.names.pattern() else {
            return;
        };
        for name in pattern.listed() {
            let words = format!("take any value for `{name}`");
            self.add(Kind::Issuer, &words, "issuer_values", |issuer| {
                issuer.names = IssuerNames::Pattern(pattern.with_any(name));
            });
        }
    }

    fn audience(&mut self) {
        self.add(Kind::Audience, "is unchecked", "audience", |issuer| {
            issuer.audiences = None;
            "aud".clone_into(&mut issuer.audience_claim);
        });
    }

    fn claims(&mut self) {
        for claim in self.issuer.required_claims.iter().filter(|claim| *claim != SUBJECT) {
            let words = format!("leave `{claim}` out");
            self.add(Kind::RequiredClaim, &words, "required_claims", |issuer| {
                issuer.required_claims.retain(|other| other != claim);
            });
        }
    }

    fn types(&mut self) {
        let types = &self.issuer.types;
        for typ in TokenTypes::default().iter().filter(|typ| !types.has(Some(typ))) {
            let words = format!("have `{typ}` as well");
            self.add(Kind::Type, &words, "types", |issuer| {
                issuer.types = TokenTypes::new(types.iter().chain([typ]).map(str::to_owned));
            });
        }
    }

    fn binding(&mut self) {
        if self.issuer.binding == BindingMode::Required {
            self.add(Kind::Binding, "is not required", "binding", |issuer| {
                issuer.binding = BindingMode::Verify;
            });
        }
        self.add(Kind::Binding, "is ignored", "binding", |issuer| {
            issuer.binding = BindingMode::Ignore;
        });
    }

    fn conditions(&mut self) {
        for (number, condition) in self.issuer.when.iter().enumerate() {
            let words = format!("has no condition: {condition}");
            self.add(Kind::When, &words, &format!("when[{number}]"), |issuer| {
                issuer.when.remove(number);
            });
        }
    }
}

/// A policy that leaves `Authorization` out reads it.
fn sources(drafts: &mut Drafts<'_>) {
    let Policy { issuers, sources, .. } = drafts.policy;
    if issuers.is_empty() || sources.authorization {
        return;
    }
    let mut weaker = drafts.policy.clone();
    weaker.sources.authorization = true;
    // Without a word of `credentials`, what is read there reaches the service.
    let says_otherwise = drafts.fields.has("credentials") || weaker.resource.is_some();
    weaker.forward_authorization |= !says_otherwise;
    let words = ("sources", "have `authorization` as well");
    drafts.add(Kind::Source, words, "jwt.sources", weaker);
}
