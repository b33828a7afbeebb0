//! The text of a first policy, and of a first `sidegate.yaml`.

use std::fmt::Write as _;

use super::answers::Answers;
use super::provider::Idp;

/// The longest line of a comment.
const WIDTH: usize = 96;

/// A policy with comments that say what each block is for.
pub(super) fn policy(answers: &Answers) -> String {
    let mut text = format!(
        "# yaml-language-server: $schema=../schema/policy.json\n\
         # The policy of {service}: which requests reach it. A request without a route is rejected.\n\
         \n\
         version: 1\n\
         # The name in metrics and in the log.\n\
         service: {service}\n",
        service = scalar(&answers.service),
    );
    if let Some(prefix) = &answers.prefix {
        text.push_str("# In front of the paths of all routes.\n");
        _ = writeln!(text, "prefix: {}", scalar(prefix));
    }
    _ = write!(
        text,
        "\n# Where the service is. A URL that differs between environments is `{{ env: NAME, default: … }}`.\n\
         upstream: {{ url: {} }}\n\
         \n\
         # The format of the errors that Sidegate writes: `problem` (RFC 9457), `flat` or `envelope`.\n\
         errors: {{ format: problem }}\n\n",
        scalar(&answers.upstream)
    );
    if answers.idp != Idp::None {
        issuers(&mut text, answers);
    }
    text.push_str(
        "# The most specific route that matches path and method decides, whatever the order.\n\
         routes:\n\
         \x20 # Health checks come without a credential.\n\
         \x20 - { path: /health, methods: [GET], auth: public }\n",
    );
    text.push_str(match answers.idp {
        Idp::None => {
            "  # All other requests are rejected until a route matches them. A public one is\n\
             \x20 #   - { path: /docs/*, auth: public }\n\
             \x20 # For callers that prove who they are, add a block `jwt`, `internal_key` or `mtls` and write\n\
             \x20 #   - { path: /*, auth: jwt }\n"
        }
        Idp::Google => {
            "  # All other requests need a token.\n\
             \x20 - { path: /*, auth: jwt }\n"
        }
        _ => {
            "  # All other requests need a token. For those of some users only, name a role, as in\n\
             \x20 #   - { path: /admin/*, auth: jwt, roles: [admin] }\n\
             \x20 - { path: /*, auth: jwt }\n"
        }
    });
    text
}

fn issuers(text: &mut String, answers: &Answers) {
    let (idp, issuer) = (answers.idp, scalar(&answers.issuer));
    text.push_str(
        "# Who issues the tokens. The service receives their claims as `x-user-id` and its like.\njwt:\n  issuers:\n",
    );
    comment(text, "    ", idp.about_issuer());
    _ = writeln!(text, "    - issuer: {issuer}");
    if let Some(organizations) = &answers.organizations {
        comment(
            text,
            "      ",
            "The organizations: their ids, or `any` for every one that the provider has.",
        );
        _ = writeln!(text, "      issuer_values: {}", organizations.values);
    }
    comment(text, "      ", idp.about_audience());
    let audience: Vec<_> = answers.audience.iter().map(|name| scalar(name)).collect();
    let audience = match audience.is_empty() {
        true => "unchecked".to_owned(),
        false => format!("[{}]", audience.join(", ")),
    };
    _ = writeln!(text, "      audience: {audience}");
    if let Some(claim) = idp.audience_claim().filter(|_| !answers.audience.is_empty()) {
        _ = writeln!(text, "      audience_claim: {claim}");
    }
    _ = writeln!(text, "      algorithms: [RS256]");
    comment(
        text,
        "      ",
        "Sidegate finds the keys by the discovery document of the issuer, and fetches them again.",
    );
    match &answers.organizations {
        Some(organizations) => {
            _ = writeln!(
                text,
                "      keys: {{ oidc: {{ url: {} }} }}",
                scalar(&organizations.document)
            );
        }
        None => _ = writeln!(text, "      keys: {{ oidc: {issuer} }}"),
    }
    let (claim, about) = idp.roles_claim();
    comment(text, "      ", about);
    if let Some(claim) = claim {
        _ = writeln!(text, "      roles_claim: {claim}");
    }
    if let Some(claim) = idp.scopes_claim() {
        _ = writeln!(text, "      scopes_claim: {claim}");
    }
    text.push('\n');
}

/// `sidegate.yaml` with what most processes set.
pub(super) fn config() -> String {
    "# yaml-language-server: $schema=schema/config.json\n\
     # The settings of the process. Every field has a default.\n\
     \n\
     version: 1\n\
     # Where clients connect: all addresses of this machine are `0.0.0.0:8080`.\n\
     listeners: [{ address: \"127.0.0.1:8080\" }]\n\
     # Metrics and health: /metrics, /livez and /readyz.\n\
     admin: { address: \"127.0.0.1:9090\" }\n\
     policies: policies\n"
        .to_owned()
}

/// Writes a comment in lines of some width.
fn comment(text: &mut String, indent: &str, about: &str) {
    let mut line = format!("{indent}#");
    for word in about.split(' ') {
        if line.chars().count() + 1 + word.chars().count() > WIDTH {
            _ = writeln!(text, "{line}");
            line = format!("{indent}#");
        }
        _ = write!(line, " {word}");
    }
    _ = writeln!(text, "{line}");
}

/// A text as YAML reads it back: in quotes, unless it can only be text.
pub(super) fn scalar(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | '+');
    let first_is_letter = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/');
    let inner = text.replace("://", "");
    let is_word =
        ["true", "false", "null", "yes", "no", "on", "off", "y", "n"].contains(&text.to_ascii_lowercase().as_str());
    match first_is_letter && !is_word && inner.chars().all(plain) {
        true => text.to_owned(),
        false => serde_json::to_string(text).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_quoted_unless_it_can_only_be_text() {
        for (text, want) in [
            ("orders-svc", "orders-svc"),
            ("/orders", "/orders"),
            ("https://a.example/b", "https://a.example/b"),
            ("http://127.0.0.1:3000", "\"http://127.0.0.1:3000\""),
            ("42", "\"42\""),
            ("on", "\"on\""),
            ("a: b", "\"a: b\""),
            ("a\nroutes: x", "\"a\\nroutes: x\""),
            ("\"", "\"\\\"\""),
        ] {
            assert_eq!(scalar(text), want);
        }
    }
}
