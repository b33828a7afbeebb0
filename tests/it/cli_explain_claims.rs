//! `sidegate explain --claims`: what would become of a request if a token with some claims were verified.

use serde_json::{Value, json};

use crate::cli_check::{Said, said};
use crate::harness::{Setup, TENANT};

/// No key of these issuers can be read here.
const POLICY: &str = "\
version: 1
service: orders
prefix: /orders
upstream: { url: { env: NOT_SET } }
jwt:
  issuers:
    - issuer: [https://one.example.com, https://uno.example.com]
      audience: [orders, more]
      algorithms: [HS256]
      keys: { secret: { env: NOT_SET } }
    - issuer: 'https://login.example.com/{tid}/v2.0'
      issuer_values: { tid: any }
      audience: [orders]
      algorithms: [RS256]
      types: [at+jwt]
      keys: { jwks: { url: 'https://not-there.invalid/keys' } }
tenant: { header: x-tenant-id, claims: [tenant] }
routes:
  - { path: /open, auth: public }
  - { path: /admin/*, auth: jwt, roles: [admin] }
  - { path: /*, auth: jwt }
";

/// One issuer, whose tokens come in a cookie.
const COOKIE: &str = "\
version: 1
service: pages
prefix: /pages
upstream: { url: 'http://127.0.0.1:9' }
jwt:
  sources: [{ cookie: session }]
  issuers: [{ issuer: i, audience: [a], algorithms: [ES256], keys: { oidc: { issuer: i, url: 'https://not-there.invalid' } } }]
routes: [{ path: /*, auth: jwt }]
";

const KEYS_ONLY: &str = "\
version: 1
service: jobs
prefix: /jobs
upstream: { url: 'http://127.0.0.1:9' }
internal_key: { keys: [{ name: jobs, secret: { file: missing } }] }
routes: [{ path: /*, auth: internal_key }]
";

fn run(arguments: &[&str]) -> Said {
    let setup = Setup::new()
        .policy("orders", POLICY)
        .policy("cookie", COOKIE)
        .policy("jobs", KEYS_ONLY)
        .file("claims.json", r#"{"sub":"user-7","iss":"https://one.example.com"}"#)
        .file("bad.json", r#"{"sub":"a","sub":"b"}"#);
    said(&setup.run(&[&["explain"], arguments, &["--policies", "policies"]].concat()))
}

fn explain(arguments: &[&str]) -> Value {
    let said = run(&[arguments, &["--output", "json"]].concat());
    serde_json::from_str(&said.stdout).unwrap_or_else(|error| panic!("{error}: {}", said.text))
}

#[test]
fn token_with_claims_is_decided_as_if_it_were_verified() {
    let tenant = format!("x-tenant-id: {TENANT}");
    for (claims, decision, reason) in [
        (
            json!({ "sub": "user-7", "tenant": TENANT, "roles": ["admin"] }),
            "allow",
            Value::Null,
        ),
        (
            json!({ "sub": "user-7", "tenant": TENANT, "roles": ["user"] }),
            "deny",
            json!("role_missing"),
        ),
        (
            json!({ "sub": "user-7", "roles": ["admin"] }),
            "deny",
            json!("token_claim_missing"),
        ),
        (
            json!({ "sub": "user-7", "tenant": TENANT, "exp": 1 }),
            "deny",
            json!("token_expired"),
        ),
        (
            json!({ "sub": "user-7", "tenant": TENANT, "exp": null }),
            "deny",
            json!("token_claim_missing"),
        ),
        (
            json!({ "sub": "user-7", "tenant": TENANT, "aud": "other" }),
            "deny",
            json!("token_audience_mismatch"),
        ),
    ] {
        let arguments = [
            "GET",
            "/orders/admin/x",
            "-H",
            &tenant,
            "--issuer",
            "https://one.example.com",
            "--claims",
        ];
        let said = explain(&[&arguments[..], &[&claims.to_string()]].concat());
        assert_eq!(
            (&said["decision"], &said["reason"]),
            (&json!(decision), &reason),
            "{said}"
        );
        assert_eq!(said["made_token"]["issuer"], "https://one.example.com", "{said}");
        assert_eq!(said["steps"][0]["step"], "token", "{said}");
    }
}

#[test]
fn what_the_policy_knows_of_tokens_is_filled_in_and_said() {
    let said = explain(&[
        "GET",
        "/orders/x",
        "--claims",
        r#"{"iss":"https://uno.example.com","sub":"user-7"}"#,
        "--at",
        "2026-03-01T12:00:00Z",
    ]);
    let made = &said["made_token"];
    assert_eq!(
        made["claims"],
        json!({ "iss": "https://uno.example.com", "sub": "user-7", "aud": "orders", "iat": 1_772_366_400, "exp": 1_772_366_700 })
    );
    assert_eq!(
        (&made["algorithm"], &made["filled"]),
        (&json!("HS256"), &json!(["aud", "exp", "iat"]))
    );
    let text = run(&["GET", "/orders/x", "--claims", "@claims.json"]).stdout;
    let first = text.lines().next().unwrap();
    assert!(
        first.starts_with(
            "token        --  made of `--claims`, not verified: as if `https://one.example.com` signed it"
        ),
        "{text}"
    );
    assert!(first.contains("aud, exp, iat as the policy has it"), "{text}");
}

#[test]
fn issuer_with_a_pattern_takes_its_placeholders_from_the_claims() {
    let pattern = "https://login.example.com/{tid}/v2.0";
    let claims = json!({ "sub": "u", "tid": "t-1", "tenant": TENANT }).to_string();
    let tenant = format!("x-tenant-id: {TENANT}");
    let said = explain(&[
        "GET",
        "/orders/x",
        "-H",
        &tenant,
        "--claims",
        &claims,
        "--issuer",
        pattern,
    ]);
    assert_eq!(said["decision"], "allow", "{said}");
    assert_eq!(
        said["made_token"]["claims"]["iss"],
        "https://login.example.com/t-1/v2.0"
    );
    let concrete = explain(&[
        "GET",
        "/orders/x",
        "-H",
        &tenant,
        "--claims",
        &claims,
        "--issuer",
        "https://login.example.com/t-2/v2.0",
    ]);
    assert_eq!(concrete["reason"], "token_issuer_mismatch", "{concrete}");
    let missing = run(&["GET", "/orders/x", "--claims", "{}", "--issuer", pattern]);
    assert_eq!(missing.code, Some(2), "{}", missing.text);
    assert!(missing.text.contains("needs the claim `tid`"), "{}", missing.text);
}

#[test]
fn token_is_where_the_policy_reads_it() {
    let said = explain(&["POST", "/pages/x", "--claims", r#"{"sub":"user-7"}"#]);
    assert_eq!(said["decision"], "allow", "{said}");
    assert_eq!(said["headers"]["x-user-id"], "user-7", "{said}");
    assert!(
        said["made_token"]["place"].to_string().contains("cookie `session`"),
        "{said}"
    );
    let foreign = explain(&[
        "POST",
        "/pages/x",
        "--claims",
        "{}",
        "-H",
        "origin: https://evil.example",
    ]);
    assert_eq!(foreign["reason"], "token_source_not_allowed", "{foreign}");
}

#[test]
fn request_for_no_policy_has_no_token() {
    let said = explain(&["GET", "/elsewhere", "--claims", "{}"]);
    assert_eq!(
        (&said["reason"], &said["made_token"]),
        (&json!("route_not_found"), &Value::Null),
        "{said}"
    );
}

#[test]
fn what_is_missing_or_contradicts_is_said_and_nothing_explained() {
    for (arguments, words) in [
        (
            &["--claims", "{}"][..],
            "name one by `--issuer`, or by `iss` in the claims: `https://one.example.com`, `https://login.example.com/{tid}/v2.0`",
        ),
        (
            &["--claims", "{}", "--issuer", "https://two.example.com"],
            "`https://two.example.com` is not an issuer of `orders`",
        ),
        (&["--claims", "{}", "--token", "x"], "cannot be used with"),
        (&["--issuer", "x"], "--claims"),
        (&["--claims", "sub=7"], "write JSON such as"),
        (&["--claims", "[]"], "it is not an object"),
        (&["--claims", "@bad.json"], "a name comes twice"),
        (&["--claims", "@missing.json"], "`missing.json` cannot be read"),
        (
            &["--claims", "{}", "-H", "authorization: Bearer x"],
            "has `authorization` already",
        ),
    ] {
        let said = run(&[&["GET", "/orders/x"], arguments].concat());
        assert_eq!(said.code, Some(2), "{arguments:?}: {}", said.text);
        assert!(said.text.contains(words), "{arguments:?}: {}", said.text);
        assert!(said.stdout.is_empty(), "{arguments:?}: {}", said.text);
    }
    let keys = run(&["GET", "/jobs/x", "--claims", "{}"]);
    assert_eq!(keys.code, Some(2), "{}", keys.text);
    assert!(
        keys.text.contains("`jobs` (policies/jobs.yaml) has no `jwt`"),
        "{}",
        keys.text
    );
}
