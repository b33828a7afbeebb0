//! Texts that stand for all texts that a segment of a path may have.

use std::collections::{BTreeMap, BTreeSet};

/// What the texts of a class of segments are in lower case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Fold {
    /// Any, but those that more specific ones name.
    Any,
    /// At least one character, and then these.
    Ends(String),
    /// These characters.
    Is(String),
}

/// A class of texts of a segment, and one of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Letter {
    /// What they are in lower case.
    pub fold: Fold,
    /// The longest of the known ends that they have as it is written; all of the text, where a literal is written so.
    pub end: String,
    /// One of them, decoded.
    pub text: String,
}

/// All literals and ends that patterns have at a place of a path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Alphabet {
    /// By their texts in lower case.
    literals: BTreeMap<String, BTreeSet<String>>,
    /// What follows wildcards, in lower case.
    suffixes: BTreeSet<String>,
    /// Ends that count as they are written.
    ends: BTreeSet<String>,
}

/// The first characters of texts that no pattern names.
const HEADS: &str = "abcdefghijklmnopqrstuvwxyz0123456789-_~";

impl Alphabet {
    /// Adds a literal.
    pub(super) fn add_literal(&mut self, text: &str) {
        let folded = text.to_ascii_lowercase();
        self.literals.entry(folded).or_default().insert(text.to_owned());
    }

    /// Adds what follows a wildcard.
    pub(super) fn add_suffix(&mut self, suffix: &str) {
        if !suffix.is_empty() {
            self.suffixes.insert(suffix.to_ascii_lowercase());
            self.add_end(suffix);
        }
    }

    /// Adds an end that counts as it is written.
    pub(super) fn add_end(&mut self, end: &str) {
        self.ends.insert(end.to_owned());
    }

    /// Returns the only way in which policies write a literal or an end, if there is one, and no end of it counts by itself.
    pub(super) fn is_simple(&self, fold: Option<&Fold>) -> Option<String> {
        let (text, written): (_, Vec<_>) = match fold? {
            Fold::Any => return None,
            Fold::Is(text) => (text, self.literals.get(text)?.iter().collect()),
            Fold::Ends(text) => (text, Vec::new()),
        };
        let is_end = |end: &&String| end.len() <= text.len() && text.ends_with(&end.to_ascii_lowercase());
        let is_literal = matches!(fold, Some(Fold::Is(_)));
        let ends = self
            .ends
            .iter()
            .filter(is_end)
            .filter(|end| !is_literal || end.len() < text.len());
        let known: Vec<_> = written.into_iter().chain(ends).collect();
        match known.as_slice() {
            [only] if only.len() == text.len() => Some((*only).clone()),
            _ => None,
        }
    }

    /// Returns whether a literal is known as it is written.
    pub(super) fn has_literal(&self, text: &str) -> bool {
        let written = self.literals.get(&text.to_ascii_lowercase());
        written.is_some_and(|written| written.contains(text))
    }

    /// Returns whether an end is known as it is written, and in lower case as one behind a wildcard.
    pub(super) fn has_suffix(&self, suffix: &str) -> bool {
        self.suffixes.contains(&suffix.to_ascii_lowercase()) && self.has_end(suffix)
    }

    /// Returns whether an end is known as it is written.
    pub(super) fn has_end(&self, end: &str) -> bool {
        self.ends.contains(end)
    }

    /// Returns a literal as some policy writes it.
    pub(super) fn written(&self, fold: &Fold) -> String {
        let written = match fold {
            Fold::Any => None,
            Fold::Is(folded) => self.literals.get(folded).and_then(BTreeSet::first),
            Fold::Ends(folded) => self.ends.iter().find(|end| end.eq_ignore_ascii_case(folded)),
        };
        match fold {
            Fold::Any => String::new(),
            Fold::Is(folded) | Fold::Ends(folded) => written.unwrap_or(folded).clone(),
        }
    }

    /// Returns the class of a text that is not empty.
    pub(super) fn classify(&self, text: &str) -> (Fold, String) {
        let folded = text.to_ascii_lowercase();
        let is_written = |literals: &BTreeSet<String>| literals.contains(text);
        let end = match self.literals.get(&folded).is_some_and(is_written) {
            true => text.to_owned(),
            false => longest(&self.ends, text),
        };
        (self.fold(folded), end)
    }

    fn fold(&self, folded: String) -> Fold {
        if self.literals.contains_key(&folded) {
            return Fold::Is(folded);
        }
        match longest(&self.suffixes, &folded) {
            suffix if suffix.is_empty() => Fold::Any,
            suffix => Fold::Ends(suffix),
        }
    }

    /// Returns a letter for each class that there is: the more general ones first. Where a wildcard stands for more than a
    /// literal, its value does not begin as one of those that are used, if it can be so: conditions may tell values apart.
    pub(super) fn letters(&self, used: &str) -> Vec<Letter> {
        let mut letters = Vec::new();
        letters.extend(self.fresh(("", used), &Fold::Any).map(|text| Letter {
            fold: Fold::Any,
            end: String::new(),
            text,
        }));
        let mut suffixes: Vec<_> = self.suffixes.iter().collect();
        suffixes.sort_by_key(|suffix| suffix.len());
        for suffix in suffixes {
            let fold = Fold::Ends(suffix.clone());
            if let Some(text) = self.fresh((suffix, used), &fold) {
                letters.extend(self.spellings(&fold, &text, suffix.len()));
            }
        }
        for literal in self.literals.keys() {
            letters.extend(self.spellings(&Fold::Is(literal.clone()), literal, literal.len()));
        }
        letters
    }

    /// Returns a text with an end that is of this class, where case does not matter.
    fn fresh(&self, (suffix, used): (&str, &str), fold: &Fold) -> Option<String> {
        let of = |heads: &str| heads.chars().map(|head| format!("{head}{suffix}")).collect::<Vec<_>>();
        let two = HEADS
            .chars()
            .flat_map(|head| HEADS.chars().map(move |next| format!("{head}{next}x{suffix}")));
        let other = ('\u{e0}'..'\u{17e}').map(|head| format!("{head}{suffix}"));
        let unused: String = HEADS.chars().filter(|head| !used.contains(*head)).collect();
        let mut texts = of(&unused).into_iter().chain(of(HEADS)).chain(two).chain(other);
        texts.find(|text| self.fold(text.clone()) == *fold)
    }

    /// Returns a letter for each class of the spellings of a text. Those with a longer end as it is written are the more
    /// specific ones. The last bytes are those whose case may matter.
    fn spellings(&self, fold: &Fold, text: &str, letters: usize) -> Vec<Letter> {
        let literals = self.literals.get(text).into_iter().flatten();
        let is_end = |end: &&String| end.len() < text.len() && text.ends_with(&end.to_ascii_lowercase());
        let known: Vec<_> = literals
            .chain(self.ends.iter().filter(is_end))
            .map(String::as_str)
            .collect();
        let mut found: Vec<Letter> = Vec::new();
        for spelled in spellings(text, &known) {
            let (_, end) = self.classify(&spelled);
            if found.iter().all(|letter| letter.end != end) {
                let text = self.shown(&spelled, &end, letters);
                let fold = fold.clone();
                found.push(Letter { fold, end, text });
            }
        }
        found.sort_by(|a, b| (a.end.len(), &a.text).cmp(&(b.end.len(), &b.text)));
        found
    }

    /// Returns a text of the same class as another one which people can see to be in another case.
    fn shown(&self, text: &str, end: &str, letters: usize) -> String {
        let parts = text.split_at_checked(text.len().saturating_sub(letters));
        let rest = parts.and_then(|(head, rest)| Some((head, rest.strip_suffix(end)?)));
        let capitals = rest.map(|(head, rest)| format!("{head}{}{end}", rest.to_ascii_uppercase()));
        let same = capitals.filter(|capitals| self.classify(capitals) == self.classify(text));
        same.unwrap_or_else(|| text.to_owned())
    }
}

/// Returns the longest of some ends that a text has behind at least one character; an empty one if it has none.
fn longest(ends: &BTreeSet<String>, text: &str) -> String {
    let has = |end: &&String| end.len() < text.len() && text.ends_with(end.as_str());
    let longest = ends.iter().filter(has).max_by_key(|end| end.len());
    longest.cloned().unwrap_or_default()
}

/// Returns a spelling of a text in lower case for each set of known ends that a spelling can have as they are written,
/// more than once for some.
fn spellings(text: &str, known: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![(String::new(), known.to_vec())];
    while let Some((end, alive)) = open.pop() {
        let rest = text.get(..text.len().saturating_sub(end.len())).unwrap_or_default();
        let alive: Vec<_> = alive.into_iter().filter(|known| known.len() > end.len()).collect();
        let Some(next) = rest.chars().next_back().filter(|_| !alive.is_empty()) else {
            found.push(format!("{rest}{end}"));
            continue;
        };
        let mut choices = vec![next.to_ascii_uppercase(), next];
        choices.dedup();
        for choice in choices {
            let longer = format!("{choice}{end}");
            let fitting = alive.iter().copied().filter(|known| known.ends_with(&longer));
            open.push((longer.clone(), fitting.collect()));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::route::Segment;
    use proptest::prelude::*;

    fn alphabet(literals: &[&str], suffixes: &[&str]) -> Alphabet {
        let mut alphabet = Alphabet::default();
        for text in literals {
            alphabet.add_literal(text);
        }
        for text in suffixes {
            alphabet.add_suffix(text);
        }
        alphabet
    }

    #[test]
    fn letters_stand_for_all_texts() {
        for (literals, suffixes, want) in [
            (&["admin"] as &[&str], &[] as &[&str], "a ADMIN admin"),
            (&["a", "b1", "1"], &[], "b 1 A a B1 b1"),
            (&["Admin", "admin"], &[], "a ADMIN Admin admin"),
            (&["X", "x"], &[], "a X x"),
            (&[], &[":run"], "a a:RUN a:run"),
            (
                &["all:run"],
                &[":run", "n"],
                "a aN an a:RUN a:RUn a:run ALL:RUN ALL:RUn ALL:run all:run",
            ),
            (&[], &["N", "n"], "a aN an"),
            (&["é"], &["é"], "a aé é"),
        ] {
            let letters = alphabet(literals, suffixes).letters("");
            let texts: Vec<_> = letters.iter().map(|letter| letter.text.as_str()).collect();
            assert_eq!(texts.join(" "), want, "{literals:?} {suffixes:?}");
        }
    }

    proptest! {
        #[test]
        fn each_text_is_of_the_class_of_one_letter_and_fits_what_that_letter_fits(
            literals in prop::collection::vec("[aAbB]{1,3}", 0..5),
            suffixes in prop::collection::vec("[aAbB]{1,2}", 0..4),
            text in "[aAbBc]{1,5}",
        ) {
            let literals: Vec<_> = literals.iter().map(String::as_str).collect();
            let suffixes: Vec<_> = suffixes.iter().map(String::as_str).collect();
            let alphabet = alphabet(&literals, &suffixes);
            let class = alphabet.classify(&text);
            let letters = alphabet.letters("ab");
            let of_class: Vec<_> = letters.iter().filter(|letter| (&letter.fold, &letter.end) == (&class.0, &class.1)).collect();
            prop_assert_eq!(of_class.len(), 1);
            let letter = &of_class[0].text;
            prop_assert_eq!(alphabet.classify(letter), class);
            let literal = |text: &&str| Segment::Literal((*text).to_owned());
            let suffix = |text: &&str| Segment::Wildcard((*text).to_owned());
            for segment in literals.iter().map(literal).chain(suffixes.iter().map(suffix)) {
                prop_assert_eq!(segment.matches(&text), segment.matches(letter), "{:?}", segment);
                let in_any_case = |text: &str| segment.folded().matches(&text.to_ascii_lowercase());
                prop_assert_eq!(in_any_case(&text), in_any_case(letter), "{:?}", segment);
            }
        }
    }
}
