//! `auth` as other programs write it, and how it is written here.

use crate::document::suggestion::{closest, did_you_mean, known_words};
use crate::principal::{AuthMethod, DENY};

/// Words for one way to authenticate.
const WORDS: [(&str, &[&str]); 5] = [
    (
        "public",
        &[
            "none",
            "anonymous",
            "open",
            "no",
            "off",
            "false",
            "unauthenticated",
            "permit",
            "permit_all",
            "allow",
        ],
    ),
    (
        "jwt",
        &[
            "bearer",
            "oauth",
            "oauth2",
            "oidc",
            "openid",
            "token",
            "required",
            "yes",
            "on",
            "true",
            "authenticated",
            "user",
        ],
    ),
    (
        "internal_key",
        &["api_key", "apikey", "key", "basic", "shared_key", "internal"],
    ),
    (
        "mtls",
        &[
            "tls",
            "mutual_tls",
            "client_cert",
            "client_certificate",
            "certificate",
            "cert",
            "spiffe",
            "x509",
        ],
    ),
    (
        DENY,
        &["denied", "deny_all", "forbid", "forbidden", "reject", "block", "never"],
    ),
];

/// What to write in place of a word that is not a way to authenticate.
pub(super) fn auth_help(word: &str) -> String {
    let lower = word.trim().to_ascii_lowercase().replace('-', "_");
    if let Some(help) = combination(&lower) {
        return help;
    }
    if ["jwt_optional", "optional_jwt", "optional"].contains(&lower.as_str()) {
        return "write `{ any: [jwt, public] }`: a token is verified if the client sends one".to_owned();
    }
    match meant(&lower) {
        Some("public") if closest(&lower, ["public"]).is_some() => {
            format!("{} Then any client may call the route", did_you_mean("public"))
        }
        Some("public") => "write `public` if any client may call the route".to_owned(),
        Some(method) => did_you_mean(method),
        None => format!(
            "{}, or `{{ any: [jwt, public] }}` and `{{ all: [jwt, mtls] }}`",
            known_words(known())
        ),
    }
}

/// The way that a word is meant for.
fn meant(word: &str) -> Option<&'static str> {
    let words = WORDS.iter().find(|(_, words)| words.contains(&word));
    words.map(|(method, _)| *method).or_else(|| closest(word, known()))
}

/// The words that stand alone.
fn known() -> impl Iterator<Item = &'static str> {
    AuthMethod::ALL.into_iter().map(AuthMethod::as_str).chain([DENY])
}

/// Several ways in one text, such as `jwt|internal_key` or `jwt and mtls`.
fn combination(word: &str) -> Option<String> {
    let (separator, combine) = [
        ("||", "any"),
        ("|", "any"),
        (" or ", "any"),
        (",", "either"),
        ("/", "either"),
        ("&&", "all"),
        ("&", "all"),
        ("+", "all"),
        (" and ", "all"),
    ]
    .into_iter()
    .find(|(separator, _)| word.contains(separator))?;
    let methods: Option<Vec<_>> = word.split(separator).map(|part| meant(part.trim())).collect();
    let mut methods = methods.filter(|methods| !methods.contains(&DENY))?;
    if combine == "either" {
        let methods = methods.join(", ");
        return Some(format!(
            "write `{{ any: [{methods}] }}` if one is enough, or `{{ all: [{methods}] }}` if each is needed"
        ));
    }
    if combine == "any" {
        // It needs no credential, so it can only be the last.
        methods.sort_by_key(|method| *method == "public");
    }
    Some(format!("write `{{ {combine}: [{}] }}`", methods.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn way_of_another_program_is_shown_as_it_is_written_here() {
        for (word, want) in [
            ("none", "write `public` if any client may call the route"),
            (
                "jwt,mtls",
                "write `{ any: [jwt, mtls] }` if one is enough, or `{ all: [jwt, mtls] }` if each is needed",
            ),
            (
                "!public",
                "known: public, jwt, internal_key, mtls, deny, or `{ any: [jwt, public] }` and `{ all: [jwt, mtls] }`",
            ),
            (
                "jwt_optional",
                "write `{ any: [jwt, public] }`: a token is verified if the client sends one",
            ),
            ("jwt|internal_key", "write `{ any: [jwt, internal_key] }`"),
            ("public|jwt", "write `{ any: [jwt, public] }`"),
            ("jwt and mtls", "write `{ all: [jwt, mtls] }`"),
            ("jwt+key", "write `{ all: [jwt, internal_key] }`"),
            ("Bearer", "did you mean `jwt`?"),
            ("api-key", "did you mean `internal_key`?"),
            ("pubic", "did you mean `public`? Then any client may call the route"),
            ("JWT", "did you mean `jwt`?"),
            ("deny_all", "did you mean `deny`?"),
            ("Deny", "did you mean `deny`?"),
            (
                "saml",
                "known: public, jwt, internal_key, mtls, deny, or `{ any: [jwt, public] }` and `{ all: [jwt, mtls] }`",
            ),
        ] {
            assert_eq!(auth_help(word), want, "{word}");
        }
    }
}
