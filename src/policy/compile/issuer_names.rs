//! What the `iss` of an issuer's tokens can be, and that no two issuers of a policy have one in common.

use std::collections::HashSet;

use super::compiler::{Compiler, UNCHECKED};
use crate::document::collections::Map;
use crate::document::decode::Spanned;
use crate::document::problem::ProblemCode;
use crate::policy::document::{AudienceDocument, IssuerDocument, IssuerNamesDocument, PlaceholderDocument};
use crate::policy::issuer_names::{
    IssuerNames, IssuerPattern, NoTemplate, PlaceholderValues, Template, TextSet, is_value,
};
use crate::policy::remote_keys::issuer_of;

/// What the issuers of a policy take so far.
#[derive(Default)]
pub(super) struct TakenNames {
    exact: HashSet<String>,
    patterns: Vec<IssuerPattern>,
}

impl Compiler<'_> {
    /// The names of an issuer; `None` if what is wrong with them was reported.
    pub(super) fn issuer_names(&mut self, document: &IssuerDocument, alone: bool) -> Option<IssuerNames> {
        let is_several = matches!(document.issuer, IssuerNamesDocument::Several(_));
        let mut fine = true;
        for name in document.issuer.texts() {
            fine &= self.issuer_name(name, alone && !is_several);
            if is_several && name.value.contains(['{', '}']) {
                let message = format!("the pattern `{}` stands in a list", name.value);
                let help = "write an issuer of its own for each pattern; they may have the same `keys`";
                self.problems.add(&name.span, ProblemCode::InvalidIssuer, message, help);
                fine = false;
            }
        }
        let pattern = match &document.issuer {
            IssuerNamesDocument::One(name) if fine && name.value.contains(['{', '}']) => Some(name),
            IssuerNamesDocument::One(_) | IssuerNamesDocument::Several(_) => None,
        };
        if let Some(pattern) = pattern {
            return self.issuer_pattern(pattern, document).map(IssuerNames::Pattern);
        }
        if let Some(values) = document.issuer_values.as_ref().filter(|_| fine) {
            let message = "`issuer_values` needs an `issuer` with placeholders";
            let help = "leave it out, or write a placeholder, as in `https://login.example.com/{tid}/v2.0`";
            self.problems
                .add(&values.span, ProblemCode::FieldNeedsOther, message, help);
        }
        match &document.issuer {
            IssuerNamesDocument::One(name) if name.value == UNCHECKED => Some(IssuerNames::Unchecked),
            names => {
                let texts = names.texts().iter().map(|name| name.value.clone());
                Some(IssuerNames::Exact(TextSet::new(texts.collect())))
            }
        }
        .filter(|_| fine)
    }

    /// Whether a text may be the `iss` of a token.
    fn issuer_name(&mut self, name: &Spanned<String>, alone: bool) -> bool {
        if name.value.eq_ignore_ascii_case(UNCHECKED) && name.value != UNCHECKED {
            let message = format!("`{}` would be the name of an issuer", name.value);
            let help = format!("write `{UNCHECKED}` in lower case");
            self.problems.add(&name.span, ProblemCode::InvalidIssuer, message, help);
            return false;
        }
        if name.value == UNCHECKED && !alone {
            let message = "`unchecked` cannot stand beside other issuers: `iss` has to pick one";
            let help = "name each issuer as the `iss` of its tokens does";
            self.problems
                .add(&name.span, ProblemCode::UncheckedNotAlone, message, help);
            return false;
        }
        if let Some(issuer) = issuer_of(&name.value) {
            let message = format!("`{}` is the document of an issuer, not its name", name.value);
            let help = format!("leave the suffix out: `issuer: {issuer}`");
            self.problems.add(&name.span, ProblemCode::InvalidIssuer, message, help);
            return false;
        }
        true
    }

    fn issuer_pattern(&mut self, name: &Spanned<String>, document: &IssuerDocument) -> Option<IssuerPattern> {
        if document.audience.value == AudienceDocument::Unchecked {
            let message = "`audience: unchecked` beside a pattern accepts tokens of others for other services";
            let help = "write the audience of this service, as in `audience: [orders]`";
            self.problems
                .add(&document.audience.span, ProblemCode::OpenIssuer, message, help);
        }
        let template = match Template::parse(&name.value) {
            Ok(template) => template,
            Err(fault) => {
                let (message, help) = no_template(&name.value, &fault);
                self.problems.add(&name.span, ProblemCode::InvalidIssuer, message, help);
                return None;
            }
        };
        // Entra writes so in its discovery document, and `tid` into its tokens.
        let is_entra = |claim: &&str| claim.eq_ignore_ascii_case("tenantid");
        if let Some(claim) = template.claims().iter().copied().find(|claim| is_entra(claim)) {
            let message = format!("`{{{claim}}}` would be the claim `{claim}`, and tokens have the claim `tid`");
            let help = format!(
                "write `issuer: {}`",
                name.value.replace(&format!("{{{claim}}}"), "{tid}")
            );
            self.problems.add(&name.span, ProblemCode::InvalidIssuer, message, help);
            return None;
        }
        let Some(values) = &document.issuer_values else {
            let first = template.claims().first().map_or_else(String::new, ToString::to_string);
            let message = format!("`issuer_values` is missing: the pattern accepts many issuers by `{{{first}}}`");
            let help = format!(
                "add `issuer_values: {{ {first}: [ID, ID] }}`, or `{{ {first}: any }}` for every organization there is"
            );
            self.problems.add(&name.span, ProblemCode::MissingField, message, help);
            return None;
        };
        let values = self.placeholders(&template, values);
        Some(IssuerPattern::new(template, values))
    }

    /// The values of each placeholder of a template.
    fn placeholders(
        &mut self,
        template: &Template,
        values: &Spanned<Map<PlaceholderDocument>>,
    ) -> Vec<(String, PlaceholderValues)> {
        let Map(entries) = &values.value;
        let claims = template.claims();
        for claim in &claims {
            if !entries.iter().any(|(name, _)| name.value == *claim) {
                let message = format!("`issuer_values` does not have the placeholder `{{{claim}}}`");
                let help = format!("add `{claim}: [ID, ID]`, or `{claim}: any`");
                self.problems
                    .add(&values.span, ProblemCode::IssuerValues, message, help);
            }
        }
        let mut read = Vec::new();
        for (name, values) in entries {
            if !claims.contains(&name.value.as_str()) {
                let message = format!("`{}` has no placeholder `{{{}}}`", template.text(), name.value);
                let help = format!("name its placeholders: {}", claims.join(", "));
                self.problems.add(&name.span, ProblemCode::IssuerValues, message, help);
            }
            let values = match values {
                PlaceholderDocument::Any => PlaceholderValues::Any,
                PlaceholderDocument::OneOf(values) => PlaceholderValues::OneOf(self.values(values)),
            };
            read.push((name.value.clone(), values));
        }
        read
    }

    fn values(&mut self, values: &[Spanned<String>]) -> TextSet {
        let mut known = HashSet::new();
        for value in values {
            if !is_value(&value.value) || value.value.eq_ignore_ascii_case("any") {
                let message = format!("a placeholder cannot have the value `{}`", value.value);
                let help = "write letters, digits and `-`, at most 64; `any` stands alone, without brackets";
                self.problems.add(&value.span, ProblemCode::IssuerValues, message, help);
            }
            if !known.insert(value.value.as_str()) {
                let message = format!("the value `{}` is written twice", value.value);
                let help = "leave one of them out";
                self.problems
                    .add(&value.span, ProblemCode::DuplicateItem, message, help);
            }
        }
        TextSet::new(values.iter().map(|value| value.value.clone()).collect())
    }

    /// Notes an `iss` that an earlier issuer takes as well.
    pub(super) fn told_apart(&mut self, names: &IssuerNames, written: &[Spanned<String>], taken: &mut TakenNames) {
        if let Some(pattern) = names.pattern() {
            let other = taken.patterns.iter().find(|other| pattern.overlaps(other));
            let other = other.map(|other| other.template().text());
            let exact = || {
                taken
                    .exact
                    .iter()
                    .map(String::as_str)
                    .filter(|name| pattern.takes(name))
                    .min()
            };
            if let (Some(other), Some(name)) = (other.or_else(exact), written.first()) {
                self.overlap(name, other);
            }
            taken.patterns.push(pattern.clone());
            return;
        }
        for name in written {
            if !taken.exact.insert(name.value.clone()) {
                let message = format!("the issuer `{}` is written twice", name.value);
                let help = "leave one of them out; a key set may have the keys of both";
                self.problems.add(&name.span, ProblemCode::DuplicateItem, message, help);
            }
            let pattern = taken.patterns.iter().find(|pattern| pattern.takes(&name.value));
            if let Some(pattern) = pattern {
                self.overlap(name, pattern.template().text());
            }
        }
    }

    fn overlap(&mut self, name: &Spanned<String>, other: &str) {
        let message = format!("`{}` and `{other}` match the same `iss`", name.value);
        let help = "leave one of them out, or list `issuer_values` that differ";
        self.problems.add(&name.span, ProblemCode::IssuerOverlap, message, help);
    }
}

/// What is wrong with a text in braces, and what to write.
fn no_template(text: &str, fault: &NoTemplate) -> (String, &'static str) {
    let message = match fault {
        NoTemplate::NotUrl => format!("`{text}` is not an http or https URL with a placeholder in its path"),
        NoTemplate::OutsidePath => format!("`{text}` has a placeholder in front of its path"),
        NoTemplate::PartOfSegment(segment) => format!("`{segment}` is not a placeholder as a whole"),
        NoTemplate::NotAClaim(name) => format!("`{{{name}}}` does not have the name of a claim"),
    };
    let help =
        "write a placeholder for a whole segment, as in `https://login.example.com/{tid}/v2.0`, or the exact `iss`";
    (message, help)
}
