//! What was meant by the name of an algorithm that Sidegate does not know.

use strsim::damerau_levenshtein;

use crate::document::suggestion::{closest, did_you_mean, known_words};
use crate::keys::{Algorithm, Material};

/// Names of algorithms with a public key that Sidegate does not verify (RFC 7518, 3.1; RFC 8812, 3.2; RFC 9864),
/// or that only look like names (`RSA256`).
const OTHER_PUBLIC: [&str; 15] = [
    "ES512", "ES256K", "ESP256", "ESP384", "ESP512", "ESB256", "ESB320", "ESB384", "ESB512", "Ed25519", "Ed448", "RS1",
    "RSA256", "RSA384", "RSA512",
];

/// Suggests an algorithm for a slip in its name. A public key that is taken for a shared secret lets every client
/// sign. So a name of one of the two kinds never leads to the other: `HS…` is suggested only for a word that is
/// closer to it than to every name of an algorithm with a public key, those that Sidegate does not verify among them.
pub(super) fn suggest_algorithm(word: &str) -> String {
    let family = |name: &str| name.get(..2).map(str::to_ascii_uppercase);
    let is_secret = |algorithm: &Algorithm| algorithm.material() == Material::Secret;
    let (secret, public): (Vec<_>, Vec<_>) = Algorithm::ALL.into_iter().partition(is_secret);
    let [secret, public] = [secret, public].map(|kind| kind.into_iter().map(Algorithm::name).collect::<Vec<_>>());
    let all_public = || public.iter().copied().chain(OTHER_PUBLIC);
    let to_public = distance(word, all_public());
    let to_secret = distance(word, secret.iter().copied());
    let of_family = |names: &[&'static str]| -> Vec<&'static str> {
        let same = names.iter().copied().filter(|name| family(name) == family(word));
        same.collect()
    };
    let meant = match (of_family(&secret), of_family(&public)) {
        (secret, _) if !secret.is_empty() && to_secret < to_public => secret,
        (_, public) if !public.is_empty() => public,
        // A slip in a name that Sidegate does not verify.
        _ if to_public <= 1 && to_public < to_secret => public,
        _ => return known_words(Algorithm::ALL.map(Algorithm::name)),
    };
    let is_registered = OTHER_PUBLIC.contains(&word) && !word.starts_with("RSA");
    match closest(word, meant.iter().copied()).filter(|_| !is_registered) {
        Some(name) => did_you_mean(name),
        None => known_words(meant),
    }
}

/// How many letters lie between a word and the closest of some names, whatever the case.
fn distance<'n>(word: &str, names: impl Iterator<Item = &'n str>) -> usize {
    let word = word.to_lowercase();
    let distances = names.map(|name| damerau_levenshtein(&word, &name.to_lowercase()));
    distances.min().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All words that are one slip away from a name: a letter left out, added, changed or swapped.
    fn slips(name: &str) -> Vec<String> {
        let letters: Vec<char> = ('A'..='Z')
            .chain('a'..='z')
            .chain('0'..='9')
            .chain(['-', '_', ' '])
            .collect();
        let name: Vec<char> = name.chars().collect();
        let mut words = Vec::new();
        for at in 0..=name.len() {
            let (head, tail) = name.split_at(at);
            let word = |middle: &[char], tail: &[char]| [head, middle, tail].concat().into_iter().collect::<String>();
            words.extend(letters.iter().map(|letter| word(&[*letter], tail)));
            if let [first, rest @ ..] = tail {
                words.push(word(&[], rest));
                words.extend(letters.iter().map(|letter| word(&[*letter], rest)));
                if let [second, rest @ ..] = rest {
                    words.push(word(&[*second, *first], rest));
                }
            }
        }
        words
    }

    fn meant(word: &str) -> Option<String> {
        let hint = suggest_algorithm(word);
        let name = hint.strip_prefix("did you mean `")?.strip_suffix("`?")?;
        assert!(
            Algorithm::ALL.iter().any(|algorithm| algorithm.name() == name),
            "{word}: {hint}"
        );
        Some(name.to_owned())
    }

    #[test]
    fn slip_in_the_name_of_a_public_algorithm_never_leads_to_a_shared_secret_nor_back() {
        let is_known = |word: &str| word.parse::<Algorithm>().is_ok();
        let is_secret = |name: &str| name.starts_with("HS");
        let public = Algorithm::ALL
            .map(Algorithm::name)
            .into_iter()
            .filter(|name| !is_secret(name));
        for name in public.chain(OTHER_PUBLIC) {
            // Words that differ from a known name in case alone are left out.
            let words = slips(name)
                .into_iter()
                .filter(|word| !is_known(word) && !is_known(&word.to_uppercase()));
            for word in words
                .chain([name.to_owned(), name.to_lowercase()])
                .filter(|word| !is_known(word))
            {
                let meant = meant(&word);
                assert!(!meant.as_deref().is_some_and(is_secret), "{name}, {word}: {meant:?}");
            }
        }
        for name in ["HS256", "HS384", "HS512"] {
            for word in slips(name)
                .into_iter()
                .filter(|word| word.starts_with("HS") && !is_known(word))
            {
                assert!(meant(&word).as_deref().is_none_or(is_secret), "{name}, {word}");
            }
        }
    }

    #[test]
    fn hint_names_the_closest_algorithm_of_the_same_kind_or_lists_the_known_ones() {
        const ALL: &str = "known: HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA";
        for (word, want) in [
            ("ES512", "known: ES256, ES384"),
            ("ES256K", "known: ES256, ES384"),
            ("Ed25519", "known: EdDSA"),
            ("EDDSA", "did you mean `EdDSA`?"),
            ("RSA256", "did you mean `RS256`?"),
            ("RS257", "did you mean `RS256`?"),
            ("ESHS256", "did you mean `ES256`?"),
            ("PS", "known: PS256, PS384, PS512"),
            ("hs256", "did you mean `HS256`?"),
            ("HS257", "did you mean `HS256`?"),
            ("HS-256", "did you mean `HS256`?"),
            ("HS256K", ALL),
            ("HSA256", ALL),
            ("HSP256", ALL),
            ("SH256", ALL),
            ("none", ALL),
            ("", ALL),
            ("ü", ALL),
        ] {
            assert_eq!(suggest_algorithm(word), want, "{word}");
        }
    }
}
