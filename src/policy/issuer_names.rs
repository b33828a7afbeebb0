//! The `iss` of an issuer's tokens: one text, several, or a pattern whose placeholders equal claims of the token.

use std::collections::HashSet;
use std::fmt;

use serde_json::Value;

use crate::principal::Claims;

/// The longest value of a placeholder, in bytes.
const LONGEST_VALUE: usize = 64;

/// The longest name of a placeholder, in bytes.
const LONGEST_NAME: usize = 64;

/// What the `iss` of the tokens of one issuer can be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IssuerNames {
    /// Any text, or none: it is said aloud that `iss` is unchecked.
    Unchecked,
    /// One of these texts.
    Exact(TextSet),
    /// A text of this form.
    Pattern(IssuerPattern),
}

impl IssuerNames {
    /// Returns the texts as the policy has them: the names, or the pattern.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        let (names, pattern) = match self {
            Self::Unchecked => (&[][..], None),
            Self::Exact(names) => (names.texts(), None),
            Self::Pattern(pattern) => (&[][..], Some(pattern.template.text.as_str())),
        };
        names.iter().map(String::as_str).chain(pattern)
    }

    /// Returns the pattern, if it is one.
    pub const fn pattern(&self) -> Option<&IssuerPattern> {
        match self {
            Self::Pattern(pattern) => Some(pattern),
            Self::Unchecked | Self::Exact(_) => None,
        }
    }

    /// Tells whether a text is one of the names.
    pub fn has(&self, name: &str) -> bool {
        matches!(self, Self::Exact(names) if names.has(name))
    }
}

impl fmt::Display for IssuerNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::Unchecked {
            return f.write_str("unchecked");
        }
        f.write_str(&self.texts().collect::<Vec<_>>().join(", "))
    }
}

/// Texts in the order of the file. However many there are, one is found at once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TextSet {
    texts: Vec<String>,
    index: HashSet<String>,
}

impl TextSet {
    /// Takes some texts.
    pub fn new(texts: Vec<String>) -> Self {
        let index = texts.iter().cloned().collect();
        Self { texts, index }
    }

    /// Returns the texts.
    pub fn texts(&self) -> &[String] {
        &self.texts
    }

    /// Tells whether a text is one of them.
    pub fn has(&self, text: &str) -> bool {
        self.index.contains(text)
    }
}

/// A URL whose path has placeholders such as `{tid}` for whole segments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    text: String,
    segments: Vec<Segment>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Literal(String),
    /// Any value, which is that of the claim with this name.
    Claim(String),
}

/// Why a text with braces is not a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoTemplate {
    /// It is not an http or https URL of visible ASCII, without a query and a fragment.
    NotUrl,
    /// A placeholder stands in front of the path.
    OutsidePath,
    /// A segment with a brace is not a placeholder as a whole.
    PartOfSegment(String),
    /// A placeholder is not the name of a claim.
    NotAClaim(String),
}

impl Template {
    /// Reads a text with placeholders.
    pub fn parse(text: &str) -> Result<Self, NoTemplate> {
        let (scheme, rest) = text.split_once("://").ok_or(NoTemplate::NotUrl)?;
        let (host, _) = rest.split_once('/').unwrap_or((rest, ""));
        if scheme.contains(['{', '}']) || host.contains(['{', '}']) {
            return Err(NoTemplate::OutsidePath);
        }
        let is_http = scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("http");
        let is_visible = text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !b"?#".contains(&byte));
        if !is_http || host.is_empty() || !is_visible {
            return Err(NoTemplate::NotUrl);
        }
        let segments = text.split('/').map(segment).collect::<Result<_, _>>()?;
        let text = text.to_owned();
        Ok(Self { text, segments })
    }

    /// Returns the text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the names of its placeholders, each once.
    pub fn claims(&self) -> Vec<&str> {
        let mut claims = Vec::new();
        for segment in &self.segments {
            if let Segment::Claim(name) = segment
                && !claims.contains(&name.as_str())
            {
                claims.push(name.as_str());
            }
        }
        claims
    }

    /// Tells whether it has any placeholder.
    pub fn has_placeholders(&self) -> bool {
        self.segments.iter().any(|segment| matches!(segment, Segment::Claim(_)))
    }

    /// Tells whether another template differs in the names of its placeholders only, as in `{tenantid}` for `{tid}`.
    pub fn is_alike(&self, other: &str) -> bool {
        let mut others = other.split('/');
        let alike = |segment: &Segment| match (segment, others.next()) {
            (Segment::Literal(literal), Some(other)) => literal == other,
            (Segment::Claim(_), Some(other)) => placeholder(other).is_some_and(is_claim_name),
            (_, None) => false,
        };
        self.segments.iter().all(alike) && others.next().is_none()
    }
}

/// Tells whether an `iss` has the form of a text, each of whose placeholders stands for one segment. The text is not
/// of the policy: that the values are listed is for the pattern of the issuer to say.
pub fn has_form(form: &str, iss: &str) -> bool {
    let mut parts = iss.split('/');
    let fits = |segment: &str| {
        let part = parts.next();
        match placeholder(segment).is_some_and(is_claim_name) {
            true => part.is_some_and(is_value),
            false => part == Some(segment),
        }
    };
    form.split('/').all(fits) && parts.next().is_none()
}

fn segment(text: &str) -> Result<Segment, NoTemplate> {
    match placeholder(text) {
        Some(name) if is_claim_name(name) => Ok(Segment::Claim(name.to_owned())),
        Some(name) => Err(NoTemplate::NotAClaim(name.to_owned())),
        None if text.contains(['{', '}']) => Err(NoTemplate::PartOfSegment(text.to_owned())),
        None => Ok(Segment::Literal(text.to_owned())),
    }
}

/// What stands between the braces of a segment that is in braces as a whole.
fn placeholder(segment: &str) -> Option<&str> {
    let name = segment.strip_prefix('{')?.strip_suffix('}')?;
    (!name.contains(['{', '}'])).then_some(name)
}

fn is_claim_name(name: &str) -> bool {
    let first = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    name.len() <= LONGEST_NAME && name.bytes().next().is_some_and(first) && name.bytes().all(fits)
}

/// Tells whether a text can be the value of a placeholder.
pub fn is_value(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (1..=LONGEST_VALUE).contains(&text.len()) && text.bytes().all(fits)
}

/// The values that a placeholder can have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlaceholderValues {
    /// It is said aloud that it has any.
    Any,
    /// One of these.
    OneOf(TextSet),
}

impl PlaceholderValues {
    fn has(&self, value: &str) -> bool {
        is_value(value)
            && match self {
                Self::Any => true,
                Self::OneOf(values) => values.has(value),
            }
    }

    fn meets(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) | (_, Self::Any) => true,
            (Self::OneOf(values), other) => values.texts().iter().any(|value| other.has(value)),
        }
    }
}

/// A template, and the values of its placeholders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerPattern {
    template: Template,
    /// The values of each placeholder, by its name.
    values: Vec<(String, PlaceholderValues)>,
}

/// How an `iss` and the claims of its token compare with a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compared<'p> {
    /// Both fit.
    Fits,
    /// The `iss` has another form.
    OtherForm,
    /// The `iss` has a value for this placeholder that the policy does not list.
    ValueNotListed(&'p str),
    /// The token does not have the claim of this placeholder, or has it with another value.
    OtherClaim(&'p str),
}

impl IssuerPattern {
    /// Makes a pattern. A placeholder without values matches nothing.
    pub const fn new(template: Template, values: Vec<(String, PlaceholderValues)>) -> Self {
        Self { template, values }
    }

    /// Returns the names of the placeholders whose values are listed.
    pub fn listed(&self) -> impl Iterator<Item = &str> {
        let listed = self
            .values
            .iter()
            .filter(|(_, values)| *values != PlaceholderValues::Any);
        listed.map(|(name, _)| name.as_str())
    }

    /// Returns the pattern with any value for a placeholder.
    #[must_use]
    pub fn with_any(&self, name: &str) -> Self {
        let values = self.values.iter().map(|(known, values)| match known == name {
            true => (known.clone(), PlaceholderValues::Any),
            false => (known.clone(), values.clone()),
        });
        Self::new(self.template.clone(), values.collect())
    }

    /// Returns the template.
    pub const fn template(&self) -> &Template {
        &self.template
    }

    /// Returns the values of each placeholder, by its name.
    pub fn values(&self) -> &[(String, PlaceholderValues)] {
        &self.values
    }

    /// Compares an `iss` and the claims of its token. The work is bounded by the length of the pattern.
    pub fn compare(&self, iss: &str, claims: &Claims) -> Compared<'_> {
        let Some(found) = self.values_in(iss) else {
            return Compared::OtherForm;
        };
        let not_listed = |(name, value): &&(&str, &str)| !self.values_of(name).is_some_and(|values| values.has(value));
        if let Some((name, _)) = found.iter().find(not_listed) {
            return self.named(name).map_or(Compared::OtherForm, Compared::ValueNotListed);
        }
        let other_claim = |(name, value): &&(&str, &str)| {
            claims
                .get(*name)
                .and_then(Value::as_str)
                .is_none_or(|claim| claim != *value)
        };
        match found.iter().find(other_claim) {
            Some((name, _)) => self.named(name).map_or(Compared::OtherForm, Compared::OtherClaim),
            None => Compared::Fits,
        }
    }

    /// The placeholders and their values in a text of this form.
    fn values_in<'t>(&'t self, text: &'t str) -> Option<Vec<(&'t str, &'t str)>> {
        let mut found = Vec::new();
        let mut parts = text.split('/');
        for segment in &self.template.segments {
            let part = parts.next()?;
            match segment {
                Segment::Literal(literal) if literal == part => {}
                Segment::Claim(name) if is_value(part) => found.push((name.as_str(), part)),
                Segment::Literal(_) | Segment::Claim(_) => return None,
            }
        }
        parts.next().is_none().then_some(found)
    }

    fn named(&self, name: &str) -> Option<&str> {
        let mut names = self.values.iter().map(|(name, _)| name.as_str());
        names.find(|known| *known == name)
    }

    fn values_of(&self, name: &str) -> Option<&PlaceholderValues> {
        let found = self.values.iter().find(|(known, _)| known == name);
        found.map(|(_, values)| values)
    }

    /// Tells whether a text, whatever the claims beside it, has this form and these values.
    pub fn takes(&self, iss: &str) -> bool {
        let listed = |(name, value): &(&str, &str)| self.values_of(name).is_some_and(|values| values.has(value));
        self.values_in(iss).is_some_and(|found| found.iter().all(listed))
    }

    /// Tells whether some `iss` may have the form of both patterns.
    pub fn overlaps(&self, other: &Self) -> bool {
        let pairs = self.template.segments.iter().zip(&other.template.segments);
        let meets = |(one, two): (&Segment, &Segment)| match (one, two) {
            (Segment::Literal(one), Segment::Literal(two)) => one == two,
            (Segment::Claim(name), Segment::Literal(text)) => {
                self.values_of(name).is_some_and(|values| values.has(text))
            }
            (Segment::Literal(text), Segment::Claim(name)) => {
                other.values_of(name).is_some_and(|values| values.has(text))
            }
            (Segment::Claim(one), Segment::Claim(two)) => {
                let values = self.values_of(one).zip(other.values_of(two));
                values.is_some_and(|(one, two)| one.meets(two))
            }
        };
        self.template.segments.len() == other.template.segments.len() && pairs.into_iter().all(meets)
    }
}

#[cfg(test)]
mod tests;
