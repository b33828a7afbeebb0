//! Suggests the word that was likely meant.

/// `did you mean …?` for a word that is close to one of those known, else a list of them.
pub fn suggest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> String {
    let known: Vec<_> = known.into_iter().collect();
    match closest(word, known.iter().copied()) {
        Some(k) => did_you_mean(k),
        None => known_words(known),
    }
}

/// Lists the known words.
pub fn known_words<'k>(known: impl IntoIterator<Item = &'k str>) -> String {
    let known: Vec<_> = known.into_iter().collect();
    format!("known: {}", known.join(", "))
}

/// Asks whether another word was meant.
pub fn did_you_mean(word: &str) -> String {
    format!("did you mean `{word}`?")
}

/// The known word that is closest to another, if one is close.
pub fn closest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let lower = word.to_lowercase();
    // `warning` for `warn`, and not `public_key` for `public`.
    let ends = |rest: &str| ["s", "es", "ed", "ing", "ly"].contains(&rest);
    let begins = |known: &str| known.len() >= 4 && lower.strip_prefix(known).is_some_and(ends);
    let close = known
        .into_iter()
        .filter(|known| !is_denied(&lower, known) && (is_close(word, known) || begins(known)));
    close.min_by_key(|k| strsim::damerau_levenshtein(&lower, &k.to_lowercase()))
}

/// Whether a word says the opposite of another one: `nopublic`, `!public`.
fn is_denied(word: &str, known: &str) -> bool {
    let denials = ["!", "-", "no", "non", "not", "un", "de"];
    let begins = denials
        .iter()
        .any(|denial| word.starts_with(denial) && !known.starts_with(denial));
    let rest = denials.iter().filter_map(|denial| word.strip_prefix(denial));
    begins
        && rest
            .map(|rest| rest.trim_start_matches(['_', '-', ' ']))
            .any(|rest| rest == known)
}

/// Whether a word is likely meant to be another: a slip in short words, two or three in long ones.
pub fn is_close(word: &str, known: &str) -> bool {
    let most = 1 + known.len().min(word.len()) / 4;
    // Each letter too many is a slip; a long text is not compared.
    word.chars().count().abs_diff(known.chars().count()) <= most && distance(word, known) <= most
}

/// The slips between two words, in any case.
fn distance(word: &str, known: &str) -> usize {
    #[cfg(test)]
    tests::COMPARISONS.with(|count| count.set(count.get() + 1));
    strsim::damerau_levenshtein(&word.to_lowercase(), &known.to_lowercase())
}

#[cfg(test)]
pub(in crate::document) mod tests {
    use std::cell::Cell;

    use super::*;

    thread_local! {
        /// How many pairs of words were compared letter by letter.
        pub(in crate::document) static COMPARISONS: Cell<usize> = const { Cell::new(0) };
    }

    #[test]
    fn long_text_is_not_compared() {
        COMPARISONS.with(|count| count.set(0));
        assert!(!is_close(&"a".repeat(1_000_000), "algorithms"));
        assert_eq!(COMPARISONS.with(Cell::get), 0);
        for (word, known, close) in [
            ("algoritms", "algorithms", true),
            ("algorithms_", "algorithms", true),
            ("alg", "algorithms", false),
            ("Ä", "a", true),
            ("", "a", true),
            ("", "ab", false),
        ] {
            assert_eq!(is_close(word, known), close, "{word} {known}");
        }
    }

    #[test]
    fn suggestion_for_a_slip_is_the_closest_word_else_all_words() {
        for (word, want) in [
            ("pubic", "did you mean `public`?"),
            ("JWT", "did you mean `jwt`?"),
            ("publicly", "did you mean `public`?"),
            ("public_key", "known: public, jwt"),
            ("nopublic", "known: public, jwt"),
            ("un-public", "known: public, jwt"),
            ("!public", "known: public, jwt"),
            ("public:false", "known: public, jwt"),
            ("zzz", "known: public, jwt"),
        ] {
            assert_eq!(suggest(word, ["public", "jwt"]), want);
        }
    }
}
