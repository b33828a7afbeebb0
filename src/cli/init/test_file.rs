//! The text of the tests of a first policy: they notice each step that would make it weaker.

use std::fmt::Write as _;

use super::answers::Answers;
use super::provider::Idp;
use super::template::scalar;

/// An organization that no policy names.
const OTHER_ORGANIZATION: &str = "ffffffff-ffff-4fff-bfff-ffffffffffff";

/// The tests of a policy, which stands in a file beside them.
pub(super) fn tests(answers: &Answers, policy: &str) -> String {
    let mut text = format!(
        "# yaml-language-server: $schema=../schema/test.json\n\
         # What the policy of {service} lets in and keeps out. `sidegate test --coverage policies` runs this and\n\
         # names each step that would make the policy weaker and that no test notices. It reads no secrets.\n\
         \n\
         version: 1\n\
         policies: {policy}\n\
         \n\
         callers:\n\
         \x20 anonymous: {{}}\n",
        service = scalar(&answers.service),
        policy = scalar(policy),
    );
    let foreign = foreign(answers);
    if answers.idp != Idp::None {
        callers(&mut text, answers, &foreign);
    }
    matrix(&mut text, answers);
    if answers.idp != Idp::None {
        _ = write!(
            text,
            "\ntests:\n  - name: only tokens that were made for this service are accepted\n    request: {}\n    expect:\n",
            line(answers, "GET", "/{x}")
        );
        for (name, _, reason) in &foreign {
            _ = writeln!(text, "      {name}: {reason}");
        }
    }
    text
}

/// Callers whose tokens are not good: a name, how the token differs, and why it is rejected.
fn foreign(answers: &Answers) -> Vec<(&'static str, String, &'static str)> {
    let token = |claim: &str, value: &str| format!("token: {{ {claim}: {value} }}");
    let mut callers = vec![
        ("expired", token("exp", "-1s"), "token_expired"),
        ("forged", "corrupt: signature".to_owned(), "token_signature_invalid"),
        (
            "other-issuer",
            token("iss", "https://other.example.com"),
            "token_issuer_mismatch",
        ),
    ];
    if answers
        .organizations
        .as_ref()
        .is_some_and(|organizations| organizations.first().is_some())
    {
        let token = token("tid", OTHER_ORGANIZATION);
        callers.push(("other-organization", token, "token_issuer_mismatch"));
    }
    if !answers.audience.is_empty() {
        let claim = answers.idp.audience_claim().unwrap_or("aud");
        callers.push((
            "other-audience",
            token(claim, "another-service"),
            "token_audience_mismatch",
        ));
    }
    // The token is bound to the certificate of another client.
    callers.push(("stolen", "bound: other".to_owned(), "token_binding_mismatch"));
    callers
}

fn callers(text: &mut String, answers: &Answers, foreign: &[(&str, String, &str)]) {
    let organization = answers.organizations.as_ref().map(|organizations| {
        let known = organizations.first().unwrap_or(OTHER_ORGANIZATION);
        format!(", tid: {}", scalar(known))
    });
    _ = write!(
        text,
        "  # `iss`, `aud`, `iat` and `exp` of a token are added as the policy wants them.\n  \
         user: {{ token: {{ sub: user-1{} }} }}\n  \
         # Tokens that are not good here; the last one is bound to the certificate of another client.\n",
        organization.unwrap_or_default()
    );
    for (name, differs, _) in foreign {
        let name = format!("{name}:");
        _ = writeln!(text, "  {name:<20}{{ like: user, {differs} }}");
    }
}

/// The callers and the requests, and what becomes of them.
fn matrix(text: &mut String, answers: &Answers) {
    let rows = [
        ("GET", "/health", ["allow", "allow"]),
        ("GET", "/health/{x}", ["credential_missing", "allow"]),
        ("POST", "/health", ["credential_missing", "allow"]),
        ("GET", "/{x}", ["credential_missing", "allow"]),
    ];
    let alone = [
        ("GET", "/health", "allow"),
        ("GET", "/health/{x}", "route_not_found"),
        ("POST", "/health", "method_not_allowed"),
    ];
    let row = |method, path, outcomes| (line(answers, method, path), outcomes);
    let columns = |first: &str, second: &str| format!("{:<20}{second}", format!("{first},"));
    let (callers, rows): (_, Vec<_>) = if answers.idp == Idp::None {
        let rows = alone.map(|(method, path, outcome)| row(method, path, outcome.to_owned()));
        ("anonymous".to_owned(), rows.into())
    } else {
        let rows = rows.map(|(method, path, [anonymous, user])| row(method, path, columns(anonymous, user)));
        (columns("anonymous", "user"), rows.into())
    };
    let widest = rows
        .iter()
        .map(|(line, _)| line.chars().count())
        .max()
        .unwrap_or_default()
        + 2;
    text.push_str(
        "\n# Every caller of the first line sends every request. `{x}` is any segment that no route names.\nmatrix:\n",
    );
    let head = ("callers".to_owned(), callers);
    for (line, outcomes) in [head].iter().chain(&rows) {
        let line = format!("{line}:");
        _ = writeln!(text, "  {line:<widest$}[{outcomes}]");
    }
}

/// A method and a path below the prefix, as a key or a value in YAML.
fn line(answers: &Answers, method: &str, path: &str) -> String {
    let prefix = answers.prefix.as_deref().unwrap_or_default().trim_end_matches('/');
    let text = format!("{method} {prefix}{path}");
    match scalar(prefix) == prefix || prefix.is_empty() {
        true => text,
        false => serde_json::to_string(&text).unwrap_or_default(),
    }
}
