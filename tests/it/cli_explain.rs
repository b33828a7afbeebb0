//! `sidegate explain`: what would happen to a request, by the same decision that the proxy makes.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{
    cli_check::said,
    harness::{
        Gateway, JOBS_KEY, Request, SECRET, Setup, TENANT,
        certificates::{SCHEDULER, pki},
        gateway::text,
        issuer::token,
    },
    upstreams::handshake,
};

const POLICY: &str = "
$wallet
prefix: /w
mtls: { allow: [{ uri: 'spiffe://eventzr/ns/*/sa/scheduler' }] }
routes:
  - { path: /open/*, auth: public }
  - { path: /jobs/*, auth: internal_key }
  - { path: /_internal/*, auth: mtls }
  - { path: '/wallets/{id}', methods: [GET], auth: jwt }
  - { path: /trial/*, auth: jwt, mode: shadow }
  - { path: /admin/*, auth: jwt, roles: [admin], scopes: [all] }
";

fn setup() -> Setup {
    Setup::new()
        .policy("wallet", POLICY)
        .file("job.crt", &pki().scheduler.chain)
        .file("stranger.crt", &pki().stranger.chain)
}

/// Explains a request in JSON; the exit code must fit the decision.
fn explain(arguments: &[&str]) -> Value {
    let arguments = [&["explain"], arguments, &["--policies", "policies", "--output", "json"]].concat();
    let output = setup().run(&arguments);
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    let document: Value =
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {out}{err}"));
    let code = i32::from(document["decision"] == "deny");
    if document["decision"] != "shadow_deny" {
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {document}");
    }
    for secret in [SECRET, JOBS_KEY] {
        assert!(!out.contains(secret) && !err.contains(secret), "{out}{err}");
    }
    document
}

#[test]
fn an_allowed_request_shows_its_route_and_what_the_service_gets() {
    let tenant = format!("x-tenant-id: {TENANT}");
    let good = token(json!({}));
    let said = explain(&[
        "GET",
        "/w/wallets/7?x=1",
        "--token",
        &good,
        "-H",
        &tenant,
        "-H",
        "X_User_Id: spoofed",
    ]);
    assert_eq!(
        (&said["decision"], &said["reason"], &said["service"]),
        (&json!("allow"), &Value::Null, &json!("wallet-svc")),
        "{said}"
    );
    assert!(said["route"].to_string().contains("/wallets/{id}"), "{said}");
    let headers = &said["headers"];
    for (name, value) in [
        ("x-user-id", "user-7"),
        ("x-auth-method", "jwt"),
        ("x-tenant-id", TENANT),
        ("x-user-roles", "organizer,user"),
    ] {
        assert_eq!(headers[name], value, "{said}");
    }
    assert!(
        !said.to_string().contains("spoofed") && !said.to_string().contains(&good),
        "{said}"
    );
    let steps = said["steps"].as_array().unwrap();
    assert!(
        steps.len() >= 4
            && steps
                .iter()
                .all(|step| step["step"].is_string() && step.get("outcome").is_some()),
        "{said}"
    );
}

#[test]
fn each_way_to_be_known() {
    assert_eq!(explain(&["GET", "/w/open/x"])["headers"]["x-auth-method"], "public");
    let key = format!("x-internal-api-key: {JOBS_KEY}");
    assert_eq!(
        explain(&["POST", "/w/jobs/x", "-H", &key])["headers"]["x-client-id"],
        "scheduler"
    );
    let said = explain(&["GET", "/w/_internal/x", "--client-cert", "job.crt"]);
    assert_eq!(
        (&said["decision"], &said["headers"]["x-client-id"]),
        (&json!("allow"), &json!(SCHEDULER)),
        "{said}"
    );
    assert_eq!(
        explain(&["GET", "/w/_internal/x", "--client-cert", "stranger.crt"])["reason"],
        "client_certificate_not_allowed"
    );
}

#[test]
fn each_no_has_the_reason_and_the_status_of_the_proxy() {
    let tenant = format!("x-tenant-id: {TENANT}");
    let (good, expired) = (token(json!({})), token(json!({ "exp": 1 })));
    for (arguments, status, reason) in [
        (&["GET", "/w/wallets/7"][..], 401, "credential_missing"),
        (
            &["GET", "/w/wallets/7", "--token", "x", "-H", &tenant],
            401,
            "token_malformed",
        ),
        (
            &["GET", "/w/wallets/7", "--token", &expired, "-H", &tenant],
            401,
            "token_expired",
        ),
        (&["GET", "/w/wallets/7", "--token", &good], 400, "tenant_header_missing"),
        (
            &["GET", "/w/admin/x", "--token", &good, "-H", &tenant],
            403,
            "role_missing",
        ),
        (&["GET", "/w/_internal/x"], 401, "client_certificate_missing"),
        (&["GET", "/w/nothing"], 404, "route_not_found"),
        (&["GET", "/elsewhere"], 404, "route_not_found"),
        (&["POST", "/w/wallets/7"], 405, "method_not_allowed"),
        (&["GET", "/w/open/../wallets/7"], 400, "path_ambiguous"),
        (
            &["POST", "/w/jobs/x", "-H", "x-internal-api-key: wrong"],
            401,
            "internal_key_invalid",
        ),
    ] {
        let said = explain(arguments);
        assert_eq!(
            (&said["decision"], &said["reason"], &said["status"]),
            (&json!("deny"), &json!(reason), &json!(status)),
            "{arguments:?}: {said}"
        );
    }
    assert_eq!(explain(&["GET", "/w/trial/x"])["decision"], "shadow_deny");
}

#[test]
fn time_can_be_chosen() {
    let tenant = format!("x-tenant-id: {TENANT}");
    let once = token(json!({ "iat": 1_700_000_000, "nbf": 1_700_000_000, "exp": 1_700_000_600 }));
    let at =
        |time: &str| explain(&["GET", "/w/wallets/7", "--token", &once, "-H", &tenant, "--at", time])["reason"].clone();
    assert_eq!(at("2023-11-14T22:15:00Z"), Value::Null);
    assert_eq!(at("2023-11-14T22:33:00Z"), "token_expired");
    assert_eq!(at("2023-11-14T22:00:00Z"), "token_not_yet_valid");
}

#[test]
fn for_a_human_it_says_where_the_route_stands() {
    let good = token(json!({ "roles": ["user"] }));
    let tenant = format!("x-tenant-id: {TENANT}");
    let output = setup().run(&[
        "explain",
        "GET",
        "/w/admin/x",
        "--policies",
        "policies",
        "--token",
        &good,
        "-H",
        &tenant,
    ]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    for word in ["wallet.yaml:", "/admin/*", "role_missing", "403", "admin"] {
        assert!(text.contains(word), "`{word}` is not in\n{text}");
    }
    assert!(
        !text.contains(&good) && !text.contains(good.rsplit('.').next().unwrap()),
        "{text}"
    );
}

#[test]
fn what_cannot_be_explained() {
    for arguments in [
        &["explain"][..],
        &["explain", "GET"],
        &["explain", "GET", "/w/x", "--policies", "not-there"],
        &["explain", "GET", "/w/x", "--policies", "policies", "-H", "no colon"],
        &[
            "explain",
            "GET",
            "/w/x",
            "--policies",
            "policies",
            "--at",
            "yesterday-ish",
        ],
        &[
            "explain",
            "GET",
            "/w/x",
            "--policies",
            "policies",
            "--client-cert",
            "not-there",
        ],
    ] {
        let output = setup().run(arguments);
        assert_eq!(
            output.status.code(),
            Some(2),
            "{arguments:?}: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

#[test]
fn facts_that_only_the_process_knows_are_marked() {
    let policy = "
$wallet
prefix: /w
revocation: {}
idempotency: { required: true }
quotas: [{ name: calls, per: tenant, limit: 7, window: 1m }]
routes: [{ path: /*, auth: jwt }]
";
    let setup = Setup::new().policy("wallet", policy);
    let bearer = format!("Authorization: Bearer {}", token(json!({})));
    let tenant = format!("x-tenant-id: {TENANT}");
    let key = "Idempotency-Key: 8e03978e-40d5-43e8-bc93-6894a57f9324";
    let arguments = ["explain", "POST", "/w/x", "-H", &bearer, "-H", &tenant];
    let said = said(&setup.run(&[&arguments[..], &["-H", key]].concat()));
    assert_eq!(said.code, Some(0), "{}", said.text);
    for part in [
        "; the running Sidegate knows whether the token is revoked",
        "idempotency  ok  8e03978e-40d5-43e8-bc93-6894a57f9324; the running Sidegate knows whether its response is stored",
        "quota        ok  calls: 7 in 60s; the running Sidegate counts",
    ] {
        assert!(said.text.contains(part), "{part}: {}", said.text);
    }
    let sandbox = policy.replace("routes:", "sandbox: true\nroutes:");
    let setup = Setup::new().policy("wallet", &sandbox);
    let said = self::said(&setup.run(&[&arguments[..], &["-H", key, "-H", "x-sandbox: true"]].concat()));
    assert!(
        said.text.contains("quota        ok  not counted, for a sandbox"),
        "{}",
        said.text
    );
    let said = self::said(&setup.run(&arguments));
    assert!(
        said.text.contains("idempotency  no  idempotency_key_missing"),
        "{}",
        said.text
    );
}

/// The decision and the reason, for a process with this `sidegate.yaml` beside a policy in `rules`.
fn explained(config: &str, flags: &[&str], environment: &[(&str, &str)]) -> (Value, Value, Value) {
    let setup = Setup::new()
        .file("gate.yaml", config)
        .policy("wallet", &POLICY.replace("/w\n", "/elsewhere\n"));
    let setup = environment
        .iter()
        .fold(setup, |setup, (name, value)| setup.env(name, value));
    std::fs::create_dir(setup.path("rules")).unwrap();
    let setup = setup.file("rules/wallet.yaml", POLICY);
    let output = setup.run(&[&["explain", "POST"], flags, &["--output", "json"]].concat());
    let document: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output)));
    (
        document["decision"].clone(),
        document["reason"].clone(),
        document["response"]["body"].clone(),
    )
}

#[test]
fn explain_goes_by_the_configuration_of_the_process() {
    const CONFIG: &str = "version: 1
policies: rules
limits: { body_bytes: 1KiB, uri_bytes: 100, headers: 5, header_bytes: 200 }
defaults: { errors: { format: problem, code_prefix: ERR_GATE } }
";
    let (config, variable) = (&["--config", "gate.yaml"][..], &[("SIDEGATE_CONFIG", "gate.yaml")][..]);
    let long = format!("/w/open/{}", "x".repeat(100));
    let large = format!("x-large: {}", "x".repeat(200));
    let many: Vec<&str> = ["-H", "a: b"].into_iter().cycle().take(12).collect();
    for (path, more, reason) in [
        ("/w/open/x", &["-H", "content-length: 1024"][..], Value::Null),
        ("/w/open/x", &["-H", "content-length: 5000"], json!("body_too_large")),
        (
            "/w/trial/x",
            &["-H", "content-length: 5000"],
            json!("credential_missing"),
        ),
        (&long, &[], json!("uri_too_long")),
        ("/w/open/x", &["-H", &large], json!("headers_too_large")),
        ("/w/open/x", &many, json!("headers_too_large")),
        (
            "/w/open/x",
            &["-H", &large, "-H", "host: a b"],
            json!("request_malformed"),
        ),
        ("/elsewhere/open/x", &[], json!("route_not_found")),
    ] {
        for (flags, environment) in [(config, &[][..]), (&[], variable)] {
            let (_, found, body) = explained(CONFIG, &[flags, &[path], more].concat(), environment);
            assert_eq!(found, reason, "{path} {more:?} {flags:?}");
            if reason == "route_not_found" {
                assert!(body.as_str().unwrap().contains("ERR_GATE_NOT_FOUND"), "{body}");
            }
        }
    }
    let (_, reason, _) = explained(
        CONFIG,
        &["--config", "gate.yaml", "--policies", "policies", "/elsewhere/open/x"],
        &[],
    );
    assert_eq!(reason, Value::Null, "a flag beats the file");
    // As `run`, it fails on a file that it cannot read whole.
    let broken = Setup::new()
        .policy("wallet", POLICY)
        .file("gate.yaml", "version: 1\nthreads: 0\n");
    let output = broken.run(&["explain", "GET", "/w/open/x", "--config", "gate.yaml"]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    assert!(text(&output).contains("between 1 and 256 threads"), "{}", text(&output));
}

/// What `explain` says that the service gets of a request.
fn explained_headers(gateway: &Gateway, request: &Request) -> BTreeMap<String, String> {
    let framed = request
        .headers
        .iter()
        .any(|(name, _)| ["transfer-encoding", "content-length"].contains(&name.as_str()));
    let length = format!("content-length: {}", request.body.len());
    let mut headers = vec![format!("host: {}", request.host), format!("x-case: {}", request.case)];
    headers.extend(request.headers.iter().map(|(name, value)| format!("{name}: {value}")));
    headers.extend((!framed && request.method == "POST").then_some(length));
    let mut arguments = vec!["explain", &request.method, &request.target, "--output", "json"];
    for header in &headers {
        arguments.extend(["-H", header]);
    }
    let environment = [("IT_SECRET", SECRET), ("IT_JOBS_KEY", JOBS_KEY)];
    let output = gateway.sidegate_with(&arguments, &environment);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output)));
    serde_json::from_value(document["headers"].clone()).unwrap()
}

/// What the service did get, with all values of a name in one.
fn received_headers(gateway: &Gateway, request: &Request) -> BTreeMap<String, String> {
    let mut received = BTreeMap::<String, String>::new();
    for (name, value) in gateway.allowed(request).headers {
        let values = received.entry(name.to_ascii_lowercase()).or_default();
        if !values.is_empty() {
            values.push_str(", ");
        }
        values.push_str(&value);
    }
    received
}

#[test]
fn service_gets_the_headers_that_explain_shows() {
    let policy = POLICY
        .replace("/open/*, auth: public", "/open/*, auth: public, pass: [x-userinfo]")
        .replace("routes:", "idempotency: {}\nroutes:");
    let gateway = Setup::new().policy("wallet", &policy).start();
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let known = || Request::get("/w/wallets/7").bearer(&token(json!({}))).tenant();
    let admin = token(json!({ "roles": ["admin"], "scopes": ["all"] }));
    for request in [
        Request::get("/w/open/x"),
        known(),
        known().header("X-User-Id", "spoofed").header("x_user_roles", "spoofed"),
        known().header("x-many", "1").header("X-Many", "2").header("accept", ""),
        known().header("cookie", "a=b").header("cookie", "c=d"),
        known()
            .header("x-api-key", "a-secret-of-the-caller")
            .header("x-session-token", "a-secret-of-the-caller"),
        known().header("authorization-info", "a-secret-of-the-caller"),
        known().header(
            "x-opaque",
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.a-secret-of-the-caller",
        ),
        Request::get("/w/open/x").header("authorization", "Basic YS1zZWNyZXQtb2YtdGhlLWNhbGxlcg=="),
        Request::get("/w/open/x").header("authorization", "a-secret-of-the-caller"),
        Request::get("/w/open/x").header("proxy-authorization", "Basic a-secret-of-the-caller"),
        Request::get("/w/open/x")
            .header("connection", "close, x-hop, keep-alive")
            .header("x-hop", "1")
            .header("keep-alive", "timeout=5")
            .header("proxy-connection", "close")
            .header("te", "trailers")
            .header("upgrade", "h2c")
            .header("http2-settings", "AAMAAABkAAQAAP__"),
        Request::get("/w/open/x")
            .header("traceparent", trace)
            .header("tracestate", "a=1"),
        Request::get("/w/open/x")
            .header("traceparent", "x")
            .header("tracestate", "a=1"),
        Request::get("/w/open/x").header("x-request-id", "550e8400-e29b-41d4-a716-446655440000"),
        Request::get("/w/open/x").header("x-sandbox", "true"),
        Request::get("/w/open/x").header("x-sandbox", "1"),
        Request::get("/w/open/x")
            .header("x-userinfo", "eve")
            .header("x-webauth-user", "eve"),
        Request::get("/w/open/x")
            .header("x-forwarded-for", "192.0.2.1")
            .header("x-real-ip", "192.0.2.1"),
        Request::get("/w/open/x").host("Api.Example:8080"),
        Request::post("/w/open/x", "{}").header("accept-encoding", "gzip"),
        Request::new("POST", "/w/open/x")
            .header("transfer-encoding", "chunked")
            .body("2\r\n{}\r\n0\r\n\r\n"),
        Request::new("POST", "/w/open/x")
            .header("content-length", "0")
            .header("expect", "x"),
        Request::get("/w/jobs/x").jobs_key(),
        Request::get("/w/trial/x").header("x-user-id", "spoofed"),
        Request::post("/w/admin/x", "{}")
            .bearer(&admin)
            .tenant()
            .header("idempotency-key", "8e03978e-40d5-43e8-bc93-6894a57f9324"),
        handshake("/w/open/x").header("sec-websocket-protocol", "chat"),
    ] {
        let shown = explained_headers(&gateway, &request);
        let received = received_headers(&gateway, &request);
        assert!(
            !format!("{shown:?}").contains("a-secret-of-the-caller"),
            "{request}: {shown:?}"
        );
        let (names, got): (Vec<_>, Vec<_>) = (shown.keys().collect(), received.keys().collect());
        assert_eq!(names, got, "{request}");
        for (name, value) in &shown {
            let hidden = value.ends_with("(masked)") || value == "(new)" || value == "(client)";
            assert!(
                hidden || *value == received[name],
                "{request}: `{name}: {value}` and {received:?}"
            );
        }
    }
}

#[test]
fn explain_without_host_names_the_assumed_one() {
    let policy = "version: 1\nservice: s\nhosts: [a.example]\nupstream: { url: 'http://127.0.0.1:1' }\nroutes: [{ path: /*, auth: public }]\n";
    let setup = Setup::new().policy("s", policy);
    let run = |more: &[&str]| {
        let arguments = [&["explain", "GET", "/x", "--policies", "policies/s.yaml"], more].concat();
        setup.run(&arguments)
    };
    let (without, with) = (run(&[]), run(&["-H", "Host: a.example"]));
    let said = String::from_utf8_lossy(&without.stderr);
    assert_eq!(without.status.code(), Some(1), "{said}");
    assert!(said.contains("no host is given, so it is `localhost`"), "{said}");
    assert_eq!((with.status.code(), with.stderr), (Some(0), Vec::new()));
}

#[test]
fn token_with_its_scheme_cannot_be_explained() {
    let output = Setup::new()
        .policy("s", POLICY)
        .run(&["explain", "GET", "/x", "--token", "Bearer a.b.c"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("leave out `Bearer`") && !said.contains("a.b.c"), "{said}");
}

/// Targets that some programs read otherwise than others; each begins with `|METHOD ` unless that is GET.
const ODD_TARGETS: [&str; 76] = [
    "/w/open/x",
    "/w/open/x?a=b",
    "/w/open/x?a={b}[c]|^`\\",
    "/w/open/caf\u{e9}",
    "/w/open/x?caf\u{e9}",
    "/w/open/\u{e9} x",
    "/w/open/\u{e9}\u{1}",
    "/caf\u{e9}",
    "\u{e9}",
    "/w/open/a b",
    "/w/open/x?a b",
    " /w/open/x",
    "/w/open/x ",
    "/w/open/a\tb",
    "/w/open/a\u{1}b",
    "/w/open/a\u{7f}b",
    "/w/open/x?a\u{7f}b",
    "/w/open/a\"b",
    "/w/open/<a>",
    "/w/open/{a}",
    "/w/open/[a]",
    "/w/open/a|b",
    "/w/open/a^b",
    "/w/open/a`b",
    "/w/open/a\\b",
    "/w/open/a'b(c)*!$&+,=:@~",
    "/w/open/x?<a>",
    "/w/open/x?\"a\"",
    "/w/open/x?a'b",
    "/w/open/x#a",
    "/w/open/x?a#b",
    "/w/open/x?a?b",
    "/w/open/x?",
    "/w/open/x#",
    "/w/open/%",
    "/w/open/%zz",
    "/w/open/%4",
    "/w/open/%00",
    "/w/open/%0a",
    "/w/open/%20",
    "/w/open/a%20b",
    "/w/open/%41",
    "/w/open/%2f",
    "/w/open/%5C",
    "/w/open/%2e%2e",
    "/w/open/%252e",
    "/w/open/%c3%a9",
    "/w/open/%e9",
    "/w/open/%3b",
    "/w/open/%3F",
    "/w/open/a;b",
    "/w/open//x",
    "/w/open/./x",
    "/w/open/../x",
    "/w/open/...",
    "/w/open/.",
    "//w/open/x",
    "/",
    "/nothing",
    "/W/open/x",
    "?a",
    "a/b",
    "w/open/x",
    "*",
    "*?a",
    "http://localhost/w/open/x",
    "http://localhost",
    "http://elsewhere/w/open/x",
    "http://u:p@localhost/w/open/x",
    "http:/w/open/x",
    "x:/w/open/x",
    "localhost:80",
    "|OPTIONS *",
    "|OPTIONS *a",
    "|CONNECT localhost:80",
    "|get /w/open/x",
];

#[test]
fn explain_and_the_running_proxy_judge_odd_targets_alike() {
    let gateway = setup().start();
    let long = format!("/w/open/{}", "x".repeat(9000));
    let long_query = format!("/w/open/x?{}", "x".repeat(9000));
    let mut different = Vec::new();
    for target in ODD_TARGETS.into_iter().chain([long.as_str(), &long_query]) {
        let other = target.strip_prefix('|').and_then(|line| line.split_once(' '));
        let (method, target) = other.unwrap_or(("GET", target));
        let host = if method == "CONNECT" { target } else { "localhost" };
        let mut wire = gateway.connect();
        wire.write(format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        let answer = wire.answer(method).unwrap();
        let ran = answer.header("x-sidegate-reason").map(str::to_owned);
        let said = explain(&[method, target, "-H", &format!("host: {host}")]);
        let explained = said["reason"].as_str().map(str::to_owned);
        if ran != explained || answer.status != said["status"] {
            different.push((method, target, ran, explained, answer.status, said["status"].clone()));
        }
    }
    assert!(different.is_empty(), "{different:#?}");
    let said = explain(&["GET", "/w/open/caf\u{e9}"]);
    let cause = "the target has bytes that must be percent-encoded: only ASCII can stand in it";
    assert_eq!(said["cause"], cause);
}

#[test]
fn secret_that_is_missing_here_can_be_left_out() {
    let policy = POLICY.replace("$wallet", "version: 1\nservice: wallet\nupstream: { url: 'http://127.0.0.1:1' }\njwt: { issuers: [{ issuer: i, audience: [a], algorithms: [HS256], keys: { secret: { env: IT_NOT_SET } } }] }\ninternal_key: { keys: [{ name: job, secret: { file: missing } }] }");
    let setup = Setup::new().policy("wallet", &policy);
    let arguments = ["explain", "GET", "/w/open/x", "--policies", "policies"];
    let refused = said(&setup.run(&arguments));
    assert_eq!(refused.code, Some(2), "{}", refused.text);
    assert!(
        refused.text.contains("use `--without-secrets` or `--claims`"),
        "{}",
        refused.text
    );
    let without = said(&setup.run(&[&arguments[..], &["--without-secrets"]].concat()));
    assert_eq!(without.code, Some(0), "{}", without.text);
    assert!(!without.text.contains("--claims"), "{}", without.text);
}
