//! Access lines: who is calling behind a trusted proxy, for which host, and which requests have no line.

use serde_json::{Value, json};

use crate::harness::{Gateway, Request, Setup, Wire, eventually, free_port, http2::Http2, issuer::token};

const POLICY: &str = "
$wallet
prefix: /w
routes:
  - { path: /health, auth: public, log: off }
  - { path: /quiet/*, auth: jwt, log: off }
  - { path: /shadow/*, auth: jwt, mode: shadow, log: off }
  - { path: /loud, auth: public, log: on }
  - { path: /*, auth: public }
";

/// A service that does not run.
const GONE: &str = "
version: 1
service: gone
prefix: /gone
upstream: { url: '$gone' }
routes: [{ path: /*, auth: public, log: off }]
";

fn setup(lines: &str) -> Setup {
    let gone = format!("http://127.0.0.1:{}", free_port());
    let setup = Setup::new().set("gone", &gone).config(lines);
    setup.policy("wallet", POLICY).policy("gone", GONE)
}

/// The access lines so far, once all requests ended.
fn lines(gateway: &Gateway) -> Vec<Value> {
    let last = Request::get("/w/last");
    let answer = gateway.send(&last);
    let id = answer.header("x-request-id").unwrap().to_owned();
    let mut found = Vec::new();
    eventually("the last request is logged", || {
        let access = gateway
            .log_lines()
            .into_iter()
            .filter(|line| line["message"] == "request");
        found = access.collect();
        found.iter().any(|line| line["request_id"] == json!(id))
    });
    found.retain(|line| line["path"] != "/w/last");
    found
}

fn fields<'l>(line: &'l Value, names: &[&str]) -> Vec<&'l Value> {
    names.iter().map(|name| &line[*name]).collect()
}

#[test]
fn client_behind_a_trusted_proxy_is_logged_beside_the_peer() {
    let gateway = setup("trusted_proxies: [127.0.0.0/8]").start();
    let forwarded = |value: &str| Request::get("/w/loud").header("x-forwarded-for", value);
    for request in [
        forwarded("203.0.113.7"),
        forwarded("198.51.100.1, 2001:db8::7, 127.0.0.9"),
        forwarded("203.0.113.7, evil"),
        Request::get("/w/loud"),
        // Also without a route.
        Request::get("/nowhere").header("x-forwarded-for", "203.0.113.8"),
    ] {
        gateway.send(&request);
    }
    let clients: Vec<_> = lines(&gateway)
        .iter()
        .map(|line| (line["client"].clone(), line["peer"].clone()))
        .collect();
    let clients: Vec<_> = clients
        .iter()
        .map(|(client, peer)| (client.as_str(), peer.as_str()))
        .collect();
    let peer = Some("127.0.0.1");
    let want = ["203.0.113.7", "2001:db8::7", "127.0.0.1", "127.0.0.1", "203.0.113.8"];
    assert_eq!(clients, want.map(|client| (Some(client), peer)));

    // Without a trusted proxy, a client cannot name another one.
    let gateway = setup("").start();
    gateway.send(&forwarded("203.0.113.7"));
    assert_eq!(
        fields(&lines(&gateway)[0], &["client", "peer"]),
        ["127.0.0.1", "127.0.0.1"]
    );
}

#[test]
fn each_line_has_the_host_as_the_client_sent_it_bounded_and_escaped() {
    let gateway = setup("").start();
    let long = "a".repeat(4000);
    for (host, want) in [
        ("orders.example:8443", "orders.example:8443".to_owned()),
        ("a\"b\\", "a\"b\\".to_owned()),
        // A user may be a secret.
        ("u:hush@a", "***@a".to_owned()),
        (&long, format!("{}…", "a".repeat(255))),
    ] {
        let mut wire = Wire::connect(gateway.port);
        wire.write(format!(
            "GET /w/loud HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        ));
        let _ = wire.answer("GET");
        let line = lines(&gateway).pop().unwrap();
        assert_eq!(line["host"], json!(want), "{line}");
        assert!(!gateway.log_text().contains("hush"));
    }
    // Over HTTP/2, it is `:authority`.
    let http2 = Http2::plain(gateway.port);
    let request = Request::get("/w/loud").host("h2.example");
    assert_eq!(http2.exchange(&request).status, 200);
    assert_eq!(lines(&gateway).pop().unwrap()["host"], "h2.example");
}

#[test]
fn allowed_request_of_a_quiet_route_has_no_line_and_any_other_one_has() {
    let gateway = setup("").start();
    let good = token(json!({}));
    for request in [
        Request::get("/w/health"),
        Request::get("/w/quiet/x").bearer(&good).tenant(),
        Request::get("/w/shadow/x").bearer(&good).tenant(),
    ] {
        assert_eq!(gateway.send(&request).status, 200);
    }
    assert_eq!(lines(&gateway), Vec::<Value>::new());
    for (request, status) in [
        (Request::get("/w/quiet/x"), 401),
        (Request::get("/w/shadow/x"), 200),
        (Request::get("/gone/x"), 502),
        (Request::get("/w/health/%2e%2e/x"), 400),
    ] {
        assert_eq!(gateway.send(&request).status, status, "{request}");
    }
    let found = lines(&gateway);
    let decisions: Vec<_> = found
        .iter()
        .map(|line| fields(line, &["decision", "failure"]))
        .collect();
    let none = json!(null);
    let want = [
        [&json!("deny"), &none],
        [&json!("shadow_deny"), &none],
        [&json!("allow"), &json!("upstream_unreachable")],
        [&json!("deny"), &none],
    ];
    assert_eq!(decisions, want.map(Vec::from));
    // They are counted as others are.
    let health = [("route", "/w/health"), ("status", "200")];
    assert_eq!(gateway.metric("sidegate_requests_total", &health), Some(1.0));
}

#[test]
fn explain_says_that_a_request_has_no_line() {
    let setup = setup("");
    let explain = |path: &str| {
        let output = setup.run(&["explain", "GET", path, "--policies", "policies"]);
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(
        explain("/w/health").contains("log          ok  off: no access line"),
        "{}",
        explain("/w/health")
    );
    for path in ["/w/loud", "/w/quiet/x"] {
        assert!(!explain(path).contains("\nlog "), "{}", explain(path));
    }
}
