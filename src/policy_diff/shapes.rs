//! Patterns of paths as regions are written with: more precise than those of routes, as for the case of letters.

use super::letters::{Alphabet, Fold, Letter};

/// A class of texts of a segment that a region names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Shape {
    /// What they are in lower case, the texts of more specific ones included.
    pub fold: Fold,
    /// Which spellings are meant.
    pub case: Spelling,
    /// The literal of a policy, as it is written.
    pub text: String,
}

/// Which spellings of a segment are meant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Spelling {
    /// All of them.
    Any,
    /// Those with this end as it is written.
    Ends(String),
    /// All but those with this end.
    Not(String),
}

/// A pattern of paths.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Pattern {
    /// The segments.
    pub shapes: Vec<Shape>,
    /// Whether all that follows is meant, too.
    pub is_prefix: bool,
}

impl Shape {
    /// Returns the texts of a letter, those of more specific letters included.
    pub(super) fn of(letter: &Letter, alphabet: &Alphabet) -> Self {
        let case = match letter.end.is_empty() {
            true => Spelling::Any,
            false => Spelling::Ends(letter.end.clone()),
        };
        let text = match &letter.fold {
            Fold::Any => String::new(),
            Fold::Ends(folded) | Fold::Is(folded) if letter.end.len() == folded.len() => letter.end.clone(),
            fold @ (Fold::Ends(_) | Fold::Is(_)) => alphabet.written(fold),
        };
        Self {
            fold: letter.fold.clone(),
            case,
            text,
        }
    }

    /// Returns whether each letter of an alphabet is of the shape, or is not.
    pub(super) fn is_known_in(&self, alphabet: &Alphabet) -> bool {
        let is_known = match &self.fold {
            Fold::Any => true,
            Fold::Ends(_) => alphabet.has_suffix(&self.text),
            Fold::Is(_) => alphabet.has_literal(&self.text),
        };
        is_known
            && match &self.case {
                Spelling::Any => true,
                Spelling::Ends(end) | Spelling::Not(end) => end.len() == self.text.len() || alphabet.has_end(end),
            }
    }

    /// Makes it so.
    pub(super) fn add_to(&self, alphabet: &mut Alphabet) {
        match &self.fold {
            Fold::Any => {}
            Fold::Ends(_) => alphabet.add_suffix(&self.text),
            Fold::Is(_) => alphabet.add_literal(&self.text),
        }
        if let Spelling::Ends(end) | Spelling::Not(end) = &self.case
            && end.len() < self.text.len()
        {
            alphabet.add_end(end);
        }
    }

    /// Returns whether a text is one of them.
    pub(super) fn has(&self, text: &str) -> bool {
        let is_in_some_case = match &self.fold {
            Fold::Any => true,
            Fold::Ends(suffix) => text.len() > suffix.len() && text.to_ascii_lowercase().ends_with(suffix.as_str()),
            Fold::Is(literal) => text.eq_ignore_ascii_case(literal),
        };
        is_in_some_case
            && match &self.case {
                Spelling::Any => true,
                Spelling::Ends(end) => text.ends_with(end.as_str()),
                Spelling::Not(end) => !text.ends_with(end.as_str()),
            }
    }

    /// Returns whether some text may be of both: never false if one is.
    pub(super) fn meets(&self, other: &Self) -> bool {
        self.meets_in_some_case(other)
            && match (&self.case, &other.case) {
                (Spelling::Ends(a), Spelling::Ends(b)) => a.ends_with(b.as_str()) || b.ends_with(a.as_str()),
                (Spelling::Ends(end), Spelling::Not(not)) | (Spelling::Not(not), Spelling::Ends(end)) => {
                    !end.ends_with(not.as_str())
                }
                (Spelling::Any | Spelling::Not(_), _) | (_, Spelling::Any) => true,
            }
    }

    /// The same, if case does not matter.
    pub(super) fn meets_in_some_case(&self, other: &Self) -> bool {
        match (&self.fold, &other.fold) {
            (Fold::Any, _) | (_, Fold::Any) => true,
            (Fold::Is(a), Fold::Is(b)) => a == b,
            (Fold::Is(text), Fold::Ends(end)) | (Fold::Ends(end), Fold::Is(text)) => {
                text.len() > end.len() && text.ends_with(end.as_str())
            }
            (Fold::Ends(a), Fold::Ends(b)) => a.ends_with(b.as_str()) || b.ends_with(a.as_str()),
        }
    }

    /// Returns whether all texts of another one are texts of this one: never true if they are not.
    fn covers(&self, other: &Self) -> bool {
        let in_all_cases = match (&self.fold, &other.fold) {
            (Fold::Any, _) => true,
            (Fold::Is(a), Fold::Is(b)) => a == b,
            (Fold::Ends(end), Fold::Is(text)) => text.len() > end.len() && text.ends_with(end.as_str()),
            (Fold::Ends(a), Fold::Ends(b)) => b.ends_with(a.as_str()),
            (Fold::Is(_), _) | (Fold::Ends(_), Fold::Any) => false,
        };
        in_all_cases
            && match (&self.case, &other.case) {
                (Spelling::Any, _) => true,
                (Spelling::Ends(a), Spelling::Ends(b)) => b.ends_with(a.as_str()),
                (Spelling::Not(a), Spelling::Not(b)) => a == b,
                _ => false,
            }
    }
}

impl Pattern {
    /// Returns whether some path may be of both: never false if one is.
    pub(super) fn meets(&self, other: &Self) -> bool {
        let (short, long) = match self.shapes.len() <= other.shapes.len() {
            true => (self, other),
            false => (other, self),
        };
        (short.is_prefix || short.shapes.len() == long.shapes.len())
            && short.shapes.iter().zip(&long.shapes).all(|(a, b)| a.meets(b))
    }

    /// Returns whether all paths of another one are paths of this one: never true if they are not.
    pub(super) fn covers(&self, other: &Self) -> bool {
        let fits = match self.is_prefix {
            true => self.shapes.len() <= other.shapes.len(),
            false => self.shapes.len() == other.shapes.len() && !other.is_prefix,
        };
        fits && self.shapes.iter().zip(&other.shapes).all(|(a, b)| a.covers(b))
    }

    /// Whether all paths are meant that begin with some segments, which fit those of the pattern.
    pub(super) fn is_complete(&self, depth: usize) -> bool {
        self.is_prefix && self.shapes.len() <= depth
    }

    /// Whether the path of some segments, which fit those of the pattern, is meant.
    pub(super) fn ends(&self, depth: usize) -> bool {
        self.shapes.len() == depth || self.is_complete(depth)
    }
}
