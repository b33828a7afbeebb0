//! `sidegate explain --claims`: what would become of a request if a token with some claims were verified.

use serde_json::{Value, json};

use crate::cli_check::{Said, said};
use crate::harness::{
    Setup, TENANT,
    issuer::{hmac, now},
};

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
            json!("token_claim_invalid"),
        ),
        (
            json!({ "sub": null, "tenant": TENANT }),
            "deny",
            json!("token_claim_invalid"),
        ),
        (json!({ "tenant": TENANT }), "deny", json!("token_claim_missing")),
        (
            json!({ "sub": "user-7", "tenant": TENANT, "roles": ["admin"], "cnf": null }),
            "deny",
            json!("token_binding_unverified"),
        ),
        (
            json!({ "sub": "user-7", "tenant": TENANT, "roles": ["admin"], "iss": null }),
            "deny",
            json!("token_claim_invalid"),
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
fn claims_that_are_null_are_decided_like_those_of_a_real_token() {
    // With a key that can be read, so that a real token is decided as well.
    let policy = "\
version: 1
service: orders
upstream: { url: 'http://127.0.0.1:9' }
jwt:
  issuers: [{ issuer: i, audience: [a], algorithms: [HS256], keys: { secret: { file: ../key } }, required_claims: [email] }]
tenant: { header: x-tenant-id, claims: [tenant] }
routes: [{ path: /*, auth: jwt, roles: [admin] }]
";
    let key = "a-secret-of-thirty-two-bytes-or-more";
    let setup = Setup::new().policy("orders", policy).file("key", key);
    let now = now();
    let good = json!({
        "iss": "i", "aud": "a", "iat": now, "exp": now + 300, "nbf": now, "sub": "user-7", "email": "u@example.com", "jti": "1",
        "tenant": TENANT, "roles": ["admin"], "scope": "read", "cnf": { "jkt": "x" },
    });
    let explain = |arguments: [&str; 2]| {
        let tenant = format!("x-tenant-id: {TENANT}");
        let at = now.to_string();
        let common = [
            "explain",
            "GET",
            "/x",
            "-H",
            &tenant,
            "--at",
            &at,
            "--policies",
            "policies",
            "--output",
            "json",
        ];
        let said = said(&setup.run(&[&common[..], &arguments].concat()));
        let said: Value = serde_json::from_str(&said.stdout).unwrap_or_else(|error| panic!("{error}: {}", said.text));
        (said["decision"].clone(), said["reason"].clone())
    };
    for name in good.as_object().unwrap().keys() {
        let mut claims = good.as_object().unwrap().clone();
        if name != "cnf" {
            claims.remove("cnf");
        }
        claims.insert(name.clone(), Value::Null);
        let claims = Value::from(claims);
        let real = explain(["--token", &hmac("HS256", key, claims.clone())]);
        assert_eq!(explain(["--claims", &claims.to_string()]), real, "{name}");
    }
}

#[test]
fn report_has_the_type_of_the_token_and_masks_what_speaks_of_a_secret() {
    let claims = json!({
        "sub": "user-7", "tid": "t-1", "password": "hunter2", "nested": { "api_key": "hunter2", "n": 1 },
        "list": ["eyJhbGciOiJub25lIn0.hunter2", "a"], "client_secret": null,
    });
    let claims = claims.to_string();
    let arguments = [
        "GET",
        "/orders/x",
        "--issuer",
        "https://login.example.com/{tid}/v2.0",
        "--claims",
        &claims,
    ];
    let said = explain(&arguments);
    let made = &said["made_token"];
    assert_eq!(made["type"], "at+jwt", "{said}");
    assert_eq!(made["claims"]["password"], "(masked)", "{said}");
    assert_eq!(
        made["claims"]["nested"],
        json!({ "api_key": "(masked)", "n": 1 }),
        "{said}"
    );
    assert_eq!(made["claims"]["list"], json!(["(masked)", "a"]), "{said}");
    assert_eq!(made["claims"]["client_secret"], Value::Null, "{said}");
    let text = run(&arguments).text;
    assert!(text.contains("signed it by RS256, of the type `at+jwt`"), "{text}");
    assert!(
        !text.contains("hunter2") && !said.to_string().contains("hunter2"),
        "{text}"
    );
    let usual = explain(&["GET", "/pages/x", "--claims", "{}"]);
    assert_eq!(usual["made_token"]["type"], "JWT", "{usual}");
    let text = run(&["GET", "/pages/x", "--claims", "{}"]).text;
    assert!(!text.contains("of the type"), "{text}");
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
