//! All callers of one kind as a product of dimensions, each an aspect by which they differ.

use std::sync::Arc;

use http::HeaderName;
use serde_json::Value;

use super::parts::{Parts, Patch};
use super::rules::UNNAMED;
use super::solve::Solution;

/// An aspect by which callers differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Aspect {
    /// What stands in the places of tokens, where there is no token of an issuer.
    Presented(Vec<HeaderName>),
    /// All that is in the token, but for the aspects of it that follow.
    Token,
    /// A member of the header of the token.
    Jose(&'static str),
    /// A claim of the token.
    Claim(Vec<String>),
    /// Who signs the token, and by which algorithm.
    Signer,
    /// The place of the token, with the other headers for tokens.
    Place(Vec<HeaderName>),
    /// A header.
    Header(HeaderName),
    /// The header of an internal key, with the time.
    Key(HeaderName),
    /// The page that the request comes from, by these headers.
    Page(Vec<HeaderName>),
    /// The client certificate.
    Certificate,
    /// The body and its type.
    Body,
    /// The address of the client.
    Client,
    /// Whether the request opens a WebSocket.
    Handshake,
    /// What is known of revoked tokens.
    Known,
}

/// What to write of a variant where it matters.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) enum Label {
    /// Nothing: it is what callers usually have.
    #[default]
    None,
    /// The token has one of these roles; none if there are none.
    Roles(Vec<String>),
    /// The token has all of these scopes; none if there are none.
    Scopes(Vec<String>),
    /// Whose tenant the token names.
    Tenant(&'static str),
    /// A claim.
    Claim(String, Value),
    /// Something wrong with the token, or with what stands in its place.
    Fault(String),
    /// Who signs.
    Signer(String),
    /// Where the token is.
    Place(String),
    /// An internal key.
    Key(String),
    /// A client certificate.
    Certificate(String),
    /// A header, or that it is not there.
    Header(String, Option<String>),
    /// A body.
    Body(String),
    /// An address.
    Address(String),
    /// Anything else.
    When(String),
    /// All of these.
    Several(Vec<Label>),
}

impl Label {
    /// Makes it the label of a class that has another variant as well.
    pub(super) fn merge(&mut self, other: &Self) {
        match (&mut *self, other) {
            (Self::Several(all), other) => all.iter_mut().for_each(|one| one.merge(other)),
            (one, other) if one.is_absence() || !one.is_of_the_kind_of(other) => {}
            (one, other) if other.is_absence() => *one = Self::None,
            (Self::Roles(all), Self::Roles(names)) => {
                all.extend(names.iter().cloned());
                all.sort_unstable();
                all.dedup();
            }
            (Self::Scopes(all), Self::Scopes(names)) if names.len() < all.len() => all.clone_from(names),
            _ => {}
        }
    }

    /// Whether both say something about the same part of a request.
    fn is_of_the_kind_of(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Roles(_), Self::Roles(_)) | (Self::Scopes(_), Self::Scopes(_)) => true,
            (Self::Claim(name, _), Self::Claim(other, _)) | (Self::Header(name, _), Self::Header(other, _)) => {
                name == other
            }
            _ => false,
        }
    }

    /// Returns whether it says that the request lacks what either side names.
    pub(super) fn is_absence(&self) -> bool {
        match self {
            Self::Roles(names) | Self::Scopes(names) => names.iter().all(|name| name == UNNAMED),
            Self::Claim(_, value) => value.is_null() || value == UNNAMED,
            Self::Header(_, value) => value.is_none(),
            _ => false,
        }
    }
}

/// One of the forms that an aspect has.
#[derive(Debug, Clone, Default)]
pub(super) struct Variant {
    /// What it changes in a request.
    pub(super) patches: Vec<Patch>,
    /// What to write of it.
    pub(super) label: Label,
    /// Whether it is a credential, or what looks like one.
    pub(super) is_credential: bool,
}

impl Variant {
    /// Makes a variant of one change.
    pub(super) fn new(patch: Patch, label: Label) -> Self {
        Self {
            patches: vec![patch],
            label,
            is_credential: false,
        }
    }

    /// Makes a variant of several changes.
    pub(super) const fn of(patches: Vec<Patch>, label: Label) -> Self {
        Self {
            patches,
            label,
            is_credential: false,
        }
    }

    /// Marks it as a credential.
    #[must_use]
    pub(super) fn credential(mut self) -> Self {
        self.is_credential = true;
        self
    }
}

/// An aspect and the forms that it has.
#[derive(Debug, Clone)]
pub(super) struct Dimension {
    /// The aspect.
    pub(super) aspect: Aspect,
    /// The forms, the usual one first.
    pub(super) variants: Vec<Variant>,
}

impl Dimension {
    /// Gives a request the usual form.
    pub(super) fn apply_usual(&self, parts: &mut Parts) {
        let patches = self.variants.first().map(|usual| &usual.patches);
        for patch in patches.into_iter().flatten() {
            patch.apply(parts);
        }
    }

    /// Makes a dimension.
    pub(super) const fn new(aspect: Aspect, variants: Vec<Variant>) -> Self {
        Self { aspect, variants }
    }

    /// Returns whether it belongs to the token itself.
    pub(super) const fn is_of_token(&self) -> bool {
        matches!(
            self.aspect,
            Aspect::Token | Aspect::Jose(_) | Aspect::Claim(_) | Aspect::Signer
        )
    }

    /// Returns whether some forms of it are credentials.
    pub(super) fn is_credential(&self) -> bool {
        self.variants.iter().any(|variant| variant.is_credential)
    }
}

/// All callers of one kind.
#[derive(Debug)]
pub(super) struct Space {
    /// What all of them have.
    pub(super) base: Parts,
    /// The issuer of their tokens, if they have tokens of an issuer.
    pub(super) issuer: Option<String>,
    /// Whether their tokens are in cookies.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "the law of the tests asks for the space of a caller")
    )]
    pub(super) has_cookie: bool,
    /// The aspects.
    pub(super) dimensions: Vec<Dimension>,
    /// Who meets all rules, as far as there is such a caller, and others who differ from it in what the sides tell apart.
    pub(super) starts: Vec<Start>,
    /// What several rules read that the sides differ in.
    pub(super) doubtful: Vec<String>,
}

/// A caller that a search for callers begins with.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Start {
    /// What it has in place of the usual forms of single aspects.
    pub(super) patches: Vec<Patch>,
    /// What else its token has.
    pub(super) token: Vec<Patch>,
}

impl Start {
    /// Makes a caller of values that meet all rules. Some claims are not aspects of their own, and have usual values.
    pub(super) fn of(solution: &Solution, base: &[Patch], is_in_token: impl Fn(&Vec<String>) -> bool) -> Self {
        let mut start = Self::default();
        for (path, value) in &solution.claims {
            let patch = Patch::Claim(path.clone(), Some(value.clone()));
            match is_in_token(path) {
                true if base.contains(&patch) => {}
                true => start.token.push(patch),
                false => start.patches.push(patch),
            }
        }
        for (name, value) in &solution.headers {
            let name = HeaderName::try_from(name.as_str()).ok();
            start.patches.extend(name.map(|name| Patch::header(&name, value)));
        }
        start
    }
}

/// For each dimension, the place of a variant.
pub(super) type Choice = Vec<usize>;

impl Space {
    /// Makes the request of a choice.
    pub(super) fn parts(&self, choice: &[usize]) -> Parts {
        let mut parts = self.base.clone();
        for (dimension, at) in self.dimensions.iter().zip(choice) {
            if let Some(variant) = dimension.variants.get(*at) {
                for patch in &variant.patches {
                    patch.apply(&mut parts);
                }
            }
        }
        parts
    }

    /// Returns the time of the request of a choice.
    pub(super) fn now(&self, choice: &[usize]) -> i64 {
        let chosen = self.dimensions.iter().zip(choice);
        let chosen = chosen.filter_map(|(dimension, at)| dimension.variants.get(*at));
        let times = chosen
            .flat_map(|variant| &variant.patches)
            .filter_map(|patch| match patch {
                Patch::Now(now) => Some(*now),
                _ => None,
            });
        times.last().unwrap_or(self.base.now)
    }

    /// Makes the request of a choice whose token is signed, but for what belongs to the token.
    pub(super) fn parts_around(&self, choice: &[usize], text: &Arc<str>, bare: &Parts) -> Parts {
        let mut parts = bare.clone();
        parts.text = Some(Arc::clone(text));
        for (dimension, at) in self.dimensions.iter().zip(choice) {
            if let Some(variant) = dimension.variants.get(*at).filter(|_| !dimension.is_of_token()) {
                for patch in &variant.patches {
                    patch.apply(&mut parts);
                }
            }
        }
        parts
    }

    /// Makes the request of a choice with other changes in place of those of a dimension.
    #[cfg(test)]
    pub(super) fn parts_with(&self, choice: &[usize], replaced: usize, patches: &[Patch]) -> Parts {
        let mut parts = self.base.clone();
        for (at, dimension) in self.dimensions.iter().enumerate() {
            let chosen = choice.get(at).and_then(|variant| dimension.variants.get(*variant));
            let patches = match at == replaced {
                true => patches,
                false => chosen.map(|variant| variant.patches.as_slice()).unwrap_or_default(),
            };
            for patch in patches {
                patch.apply(&mut parts);
            }
        }
        parts
    }
}
