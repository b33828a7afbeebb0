//! What `explain` says of requests of pages: the origin of the API itself, what a browser blocks, and where a token may be.

use serde_json::{Value, json};

use crate::harness::{
    Answer, Gateway, JOBS_KEY, Request, SECRET, Setup, Wire, certificates::client, gateway::text, issuer::token,
    setup::WALLET,
};

const SECRETS: [(&str, &str); 2] = [("IT_SECRET", SECRET), ("IT_JOBS_KEY", JOBS_KEY)];

const POLICY: &str = "
prefix: /w
cors: { origins: ['https://app.example.com'], headers: [authorization, content-type] }
routes:
  - { path: /open/*, auth: public }
  - { path: /*, auth: jwt }
";

fn policy() -> String {
    let sources = "jwt:\n  sources: [authorization, { cookie: __Host-session }, { query: access_token }]\n";
    let policy = WALLET.replace("jwt:\n", sources);
    policy.replace(
        "claims: [tenant, tenantId]",
        "claims: [tenantId], header_required: false",
    ) + POLICY
}

fn explain(gateway: &Gateway, arguments: &[&str]) -> (Option<i32>, Value) {
    let arguments = [&["explain"], arguments, &["--output", "json"]].concat();
    let output = gateway.sidegate_with(&arguments, &SECRETS);
    let document = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output)));
    (output.status.code(), document)
}

#[test]
fn explain_takes_a_connection_for_what_the_listeners_are() {
    const TLS: &str = "tls: { certificate: server.crt, key: server.key }";
    let both = format!("version: 1\nlisteners: [{{ address: 127.0.0.1:1 }}, {{ address: 127.0.0.1:2, {TLS} }}]\n");
    let tls = format!("version: 1\nlisteners: [{{ address: 127.0.0.1:1, {TLS} }}]\n");
    let gateway = Setup::new()
        .tls_with(
            "  - address: 127.0.0.1:$tls_port\n    tls: { certificate: $folder/server.crt, key: $folder/server.key }\n",
        )
        .policy("w", &policy())
        .file("both.yaml", &both)
        .file("tls.yaml", &tls)
        .file("plain.yaml", "version: 1\nlisteners: [{ address: 127.0.0.1:1 }]\n")
        .start();
    let cookie = format!("__Host-session={}", token(json!({})));
    let request = |origin: &str| {
        let request = Request::post("/w/x", "{}").header("cookie", &cookie);
        request.header("origin", origin)
    };
    let over_tls = |request: &Request| -> Answer {
        let mut wire = Wire::tls(gateway.tls_port, client(None, &["http/1.1"])).unwrap();
        wire.exchange(request)
    };
    for origin in ["https://localhost", "http://localhost"] {
        let ran = [gateway.send(&request(origin)), over_tls(&request(origin))].map(|answer| answer.status);
        let is_https = origin.starts_with("https");
        assert_eq!(ran, if is_https { [401, 200] } else { [200, 401] }, "{origin}");
        for (config, more, over_tls) in [
            ("plain.yaml", &[][..], false),
            ("both.yaml", &[], false),
            ("tls.yaml", &[], true),
            ("both.yaml", &["--scheme", "https"], true),
            ("tls.yaml", &["--scheme", "http"], false),
        ] {
            let headers = [format!("cookie: {cookie}"), format!("origin: {origin}")];
            let files = ["--config", config, "--policies", "policies"];
            let fields = ["-H", &headers[0], "-H", &headers[1]];
            let (_, said) = explain(&gateway, &[&["POST", "/w/x"], &fields[..], &files, more].concat());
            assert_eq!(
                said["status"],
                ran[usize::from(over_tls)],
                "{config} {more:?} {origin}: {said}"
            );
            if said["status"] == 401 {
                let own = if over_tls {
                    "https://localhost"
                } else {
                    "http://localhost"
                };
                assert_eq!(said["unverified"]["own_origin"], own, "{said}");
            }
        }
    }
    let arguments = ["explain", "GET", "/w/x", "--policies", "policies", "--scheme", "http"];
    let arguments = [&arguments[..], &["--client-cert", "server.crt"]].concat();
    let output = gateway.sidegate_with(&arguments, &SECRETS);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    assert!(text(&output).contains("leave out `--scheme http`"), "{}", text(&output));
}

#[test]
fn explain_marks_what_a_browser_blocks() {
    const APP: &str = "origin: https://app.example.com";
    const PUT: &str = "access-control-request-method: PUT";
    let gateway = Setup::new().policy("w", &policy()).start();
    let blocked = "the browser will not send the request";
    for (method, headers, code, outcome, detail) in [
        (
            "OPTIONS",
            &[APP, PUT][..],
            0,
            "passed",
            "a preflight: Sidegate itself responds",
        ),
        (
            "OPTIONS",
            &[APP, PUT, "access-control-request-headers: authorization,x-foo,x-bar"],
            0,
            "blocked",
            "the page wants to send x-foo, x-bar, which `cors.headers` does not list",
        ),
        (
            "OPTIONS",
            &[APP, PUT, "access-control-request-private-network: true"],
            0,
            "blocked",
            "access to a private network",
        ),
        (
            "OPTIONS",
            &[PUT],
            0,
            "blocked",
            "not answered as a preflight for PUT: the request has no `Origin`",
        ),
        (
            "OPTIONS",
            &["origin: https://evil.example", PUT],
            0,
            "blocked",
            "not answered as a preflight for PUT: the origin is not listed",
        ),
        ("OPTIONS", &[APP, APP, PUT], 0, "blocked", "the request has two origins"),
        (
            "GET",
            &["origin: https://evil.example"],
            0,
            "blocked",
            "https://evil.example is not listed",
        ),
        (
            "GET",
            &[APP, APP],
            0,
            "blocked",
            "two origins: no page may read the response",
        ),
        (
            "GET",
            &["origin: http://localhost"],
            0,
            "passed",
            "the page has the origin of the API itself",
        ),
        (
            "GET",
            &[],
            0,
            "passed",
            "the request comes from no page of another origin",
        ),
    ] {
        let fields: Vec<_> = headers.iter().flat_map(|header| ["-H", header]).collect();
        let arguments = [&[method, "/w/open/x", "--policies", "policies"], &fields[..]].concat();
        let (found, said) = explain(&gateway, &arguments);
        assert_eq!(found, Some(code), "{said}");
        let steps = said["steps"].as_array().unwrap();
        let is_it = |step: &&Value| step["step"] == "cors" && step["detail"].as_str().unwrap().contains(detail);
        let step = steps.iter().find(is_it).unwrap_or_else(|| panic!("{detail}: {said}"));
        assert_eq!(step["outcome"], outcome, "{said}");
        let output = gateway.sidegate_with(&[&["explain"], &*arguments].concat(), &SECRETS);
        let report = String::from_utf8_lossy(&output.stdout);
        let line = report.lines().find(|line| line.contains(detail)).unwrap();
        let mark = if outcome == "passed" { "ok" } else { "no" };
        assert!(line.starts_with(&format!("{:<12} {mark}  ", "cors")), "{line}");
        let asks_for_unlisted = headers.iter().any(|header| header.contains("x-foo"));
        assert_eq!(report.contains(blocked), asks_for_unlisted, "{report}");
    }
}

#[test]
fn explain_says_what_is_left_of_a_query_with_a_token() {
    let gateway = Setup::new().policy("w", &policy()).start();
    let token = token(json!({}));
    for (target, want) in [
        (
            format!("/w/x?access_token={token}&a=1"),
            Some("`access_token` does not reach the service, and the other parameters stay"),
        ),
        (
            format!("/w/open/x?access%5Ftoken={token}"),
            Some("`access_token` does not reach the service, and there are no other parameters"),
        ),
        ("/w/open/x?a=1".to_owned(), None),
        ("/w/x?a=1".to_owned(), None),
    ] {
        let (_, said) = explain(&gateway, &["GET", &target, "--policies", "policies"]);
        let steps = said["steps"].as_array().unwrap();
        let step = steps.iter().find(|step| step["step"] == "query");
        assert_eq!(step.map(|step| step["detail"].as_str().unwrap()), want, "{said}");
        assert!(!said.to_string().contains(&token), "{said}");
    }
}
