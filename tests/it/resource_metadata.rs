//! A service as an OAuth protected resource: its metadata, and challenges that lead a client without a token to it.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::harness::{
    Answer, Gateway, JOBS_KEY, Request, SECRET, Setup, Shared, eventually,
    http2::Http2,
    issuer::{self, token},
    unique, values,
};

const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";
const SERVER: &str = "https://login.example.com";

fn policy(service: &str, lines: &str, url: &str, resource: &str) -> String {
    format!(
        "version: 1\nservice: {service}\nupstream: {{ url: '$upstream', strip_prefix: $strip }}\n{lines}\n\
         jwt: {{ issuers: [{{ issuer: eventzr.com, audience: ['{url}', eventzr-api], algorithms: [HS256], keys: {{ secret: {{ env: IT_SECRET }} }} }}] }}\n\
         internal_key: {{ keys: [{{ name: k, secret: {{ env: IT_JOBS_KEY }} }}] }}\n\
         resource: {{ url: '{url}', authorization_servers: ['{SERVER}']{resource} }}\n\
         routes:\n  - {{ path: /plain, auth: jwt }}\n  - {{ path: /scoped, auth: jwt, scopes: [tools.read, tools.write] }}\n\
         \x20 - {{ path: /key, auth: {{ any: [internal_key, jwt] }} }}\n  - {{ path: /*, auth: internal_key }}\n"
    )
}

fn gateway() -> Arc<Gateway> {
    static SHARED: Shared<Gateway> = Shared::new();
    SHARED.get(|| {
        let whole = |text: String| text.replace(", strip_prefix: $strip", "");
        let stripped = |text: String| text.replace("$strip", "true");
        let tools = "prefix: /mcp\nhosts: [tools.example.com]\nerrors: { format: envelope }";
        let ignoring = |text: String| text.replace("algorithms:", "binding: ignore, algorithms:");
        Setup::new()
            .policy(
                "tools",
                &whole(policy(
                    "tools",
                    tools,
                    "https://tools.example.com/mcp",
                    ", scopes: [tools.read, tools.write]",
                )),
            )
            .policy(
                "stripped",
                &stripped(policy(
                    "stripped",
                    "prefix: /gw/v1\nhosts: [gw.example.com]",
                    "https://gw.example.com/gw/v1/mcp/",
                    "",
                )),
            )
            .policy(
                "one",
                &whole(policy(
                    "one",
                    "prefix: /one\nhosts: [two.example.com]",
                    "https://two.example.com/one",
                    "",
                )),
            )
            .policy(
                "other",
                &ignoring(whole(policy(
                    "other",
                    "prefix: /other\nhosts: ['*.example.com']",
                    "https://two.example.com/other",
                    "",
                ))),
            )
            .policy(
                "front",
                "version: 1\nservice: front\nupstream: { url: '$upstream' }\nroutes: [{ path: /*, auth: public }]\n",
            )
            .start()
    })
}

fn over_each(request: &Request) -> [Answer; 2] {
    let gateway = gateway();
    let again = Request {
        case: unique().to_string(),
        ..request.clone()
    };
    let answers = [gateway.send(request), Http2::plain(gateway.port).exchange(&again)];
    for case in [&request.case, &again.case] {
        assert!(gateway.upstream.seen(case).is_empty(), "{request}");
    }
    answers
}

fn document(host: &str, path: &str) -> Request {
    Request::get(&format!("{WELL_KNOWN}{path}")).host(host)
}

#[test]
fn document_is_what_the_policy_says_for_every_client() {
    let _gateway = gateway();
    let tools = json!({
        "resource": "https://tools.example.com/mcp", "authorization_servers": [SERVER],
        "scopes_supported": ["tools.read", "tools.write"], "bearer_methods_supported": ["header"],
        "tls_client_certificate_bound_access_tokens": true,
    });
    let plain = |url: &str, bound: bool| {
        json!({
            "resource": url, "authorization_servers": [SERVER], "bearer_methods_supported": ["header"],
            "tls_client_certificate_bound_access_tokens": bound,
        })
    };
    for (host, path, want) in [
        ("tools.example.com", "/mcp", tools.clone()),
        ("tools.example.com", "/mcp/", tools.clone()),
        ("tools.example.com", "/mcp?x=1", tools.clone()),
        ("TOOLS.example.com:8443", "/mcp", tools),
        (
            "gw.example.com",
            "/gw/v1/mcp",
            plain("https://gw.example.com/gw/v1/mcp/", true),
        ),
        ("two.example.com", "/one", plain("https://two.example.com/one", true)),
        (
            "two.example.com",
            "/other",
            plain("https://two.example.com/other", false),
        ),
        // Never from `Host`.
        ("x.example.com", "/other", plain("https://two.example.com/other", false)),
        ("x.example.com", "", plain("https://two.example.com/other", false)),
    ] {
        let requests = [
            document(host, path),
            document(host, path).bearer("bad").header("x-tenant-id", "a"),
        ];
        for request in requests {
            for answer in over_each(&request) {
                assert_eq!(
                    (answer.status, answer.json()),
                    (200, want.clone()),
                    "{host} {request}: {answer:?}"
                );
                for (name, value) in [
                    ("content-type", "application/json"),
                    ("cache-control", "max-age=300"),
                    ("access-control-allow-origin", "*"),
                ] {
                    assert_eq!(answer.header(name), Some(value), "{answer:?}");
                }
                assert!(answer.header("x-request-id").is_some() && answer.header("x-sidegate-reason").is_none());
            }
        }
    }
}

#[test]
fn other_methods_and_paths_get_no_document() {
    let gateway = gateway();
    for (method, status) in [
        ("HEAD", 200),
        ("OPTIONS", 204),
        ("POST", 405),
        ("DELETE", 405),
        ("PROPFIND", 405),
    ] {
        let request = Request {
            method: method.to_owned(),
            ..document("tools.example.com", "/mcp")
        };
        for answer in over_each(&request) {
            assert_eq!(answer.status, status, "{answer:?}");
            let allow = (method != "HEAD").then_some("GET, HEAD, OPTIONS");
            assert_eq!(answer.header("allow"), allow, "{answer:?}");
            match status {
                405 => assert_eq!(answer.reason(), "method_not_allowed"),
                _ => assert!(answer.body.is_empty(), "{answer:?}"),
            }
        }
    }
    let whole = gateway.send(&document("tools.example.com", "/mcp"));
    let head = gateway.send(&Request {
        method: "HEAD".to_owned(),
        ..document("tools.example.com", "/mcp")
    });
    assert_eq!(
        head.header("content-length"),
        Some(whole.body.len().to_string().as_str())
    );
    // A page may send the version of its protocol.
    let preflight = Request {
        method: "OPTIONS".to_owned(),
        ..document("tools.example.com", "/mcp")
    };
    let preflight = preflight
        .header("origin", "https://any.example")
        .header("access-control-request-method", "GET");
    let answer = gateway.send(&preflight.header("access-control-request-headers", "mcp-protocol-version"));
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "{answer:?}");
    assert_eq!(answer.header("access-control-allow-headers"), Some("*"), "{answer:?}");
    // Routes of the front take all else: two resources of a host share no root form.
    for (host, path) in [
        ("two.example.com", ""),
        ("two.example.com", "/"),
        ("tools.example.com", "/other-path"),
        ("tools.example.com", "/MCP"),
        ("tools.example.com", "/mcp/x"),
        ("elsewhere.example.org", "/mcp"),
    ] {
        gateway.allowed(&document(host, path));
    }
}

#[test]
fn challenge_leads_to_the_metadata() {
    let gateway = gateway();
    let metadata = r#"resource_metadata="https://tools.example.com/.well-known/oauth-protected-resource/mcp""#;
    let scope = r#"scope="tools.read tools.write""#;
    let expired = token(json!({ "exp": issuer::now() - 100 }));
    let get = |path: &str| Request::get(path).host("tools.example.com");
    for (request, status, want) in [
        (get("/mcp/plain"), 401, format!(r#"Bearer realm="tools", {metadata}"#)),
        (
            get("/mcp/scoped"),
            401,
            format!(r#"Bearer realm="tools", {metadata}, {scope}"#),
        ),
        (
            get("/mcp/scoped").bearer(&expired),
            401,
            format!(
                r#"Bearer realm="tools", error="invalid_token", error_description="The token has expired.", {metadata}, {scope}"#
            ),
        ),
        (
            get("/mcp/scoped").bearer(&token(json!({ "scopes": ["tools.read"] }))),
            403,
            format!(r#"Bearer realm="tools", error="insufficient_scope", {scope}, {metadata}"#),
        ),
        (
            get("/mcp/key"),
            401,
            format!(r#"ApiKey realm="tools", Bearer realm="tools", {metadata}"#),
        ),
        (get("/mcp/other"), 401, r#"ApiKey realm="tools""#.to_owned()),
    ] {
        for answer in over_each(&request) {
            assert_eq!(answer.status, status, "{request}: {answer:?}");
            assert_eq!(
                answer.header("www-authenticate"),
                Some(want.as_str()),
                "{request}: {answer:?}"
            );
        }
    }
    // The document that it names exists.
    let answer = gateway.send(&document("tools.example.com", "/mcp"));
    assert_eq!(answer.json()["resource"], "https://tools.example.com/mcp");
}

#[test]
fn service_gets_no_token_and_its_path_without_the_prefix() {
    let known = |request: Request| request.bearer(&token(json!({ "aud": "https://tools.example.com/mcp" })));
    let seen = gateway().allowed(&known(Request::get("/mcp/plain").host("tools.example.com")));
    assert_eq!(
        (seen.target.as_str(), seen.values("authorization").len()),
        ("/mcp/plain", 0)
    );
    assert_eq!(seen.values("x-user-id"), ["user-7"]);
    let known = |request: Request| request.bearer(&token(json!({ "aud": "https://gw.example.com/gw/v1/mcp/" })));
    let seen = gateway().allowed(&known(Request::get("/gw/v1/plain").host("gw.example.com")));
    assert_eq!(
        (seen.target.as_str(), seen.values("authorization").len()),
        ("/plain", 0)
    );
    let foreign = Request::get("/gw/v1/plain")
        .host("gw.example.com")
        .bearer(&token(json!({ "aud": "https://gw.example.com/gw/v1/mcp" })));
    assert_eq!(
        gateway().send(&foreign).header("x-sidegate-reason"),
        Some("token_audience_mismatch")
    );
}

#[test]
fn document_is_counted_and_logged_as_metadata() {
    let gateway = gateway();
    let labels = [
        ("service", "tools"),
        ("route", "none"),
        ("decision", "metadata"),
        ("reason", ""),
    ];
    let count = || gateway.metric("sidegate_decisions_total", &labels).unwrap_or(0.0);
    let before = count();
    assert_eq!(
        gateway.send(&document("tools.example.com", "/mcp?secret=x")).status,
        200
    );
    assert!(count() > before);
    let logged = || {
        gateway.log_lines().into_iter().find(|line| {
            line["decision"] == "metadata" && line["path"] == format!("{WELL_KNOWN}/mcp") && line["service"] == "tools"
        })
    };
    eventually("it is logged", || logged().is_some());
    let line = logged().unwrap();
    assert_eq!(
        (&line["status"], &line["route"], &line["reason"]),
        (&json!(200), &json!("none"), &Value::Null),
        "{line}"
    );
}

#[test]
fn explain_shows_the_document() {
    let gateway = gateway();
    let explain = |method: &str, path: &str| {
        let path = format!("{WELL_KNOWN}{path}");
        let output = gateway.sidegate_with(
            &[
                "explain",
                method,
                &path,
                "-H",
                "host: tools.example.com",
                "--config",
                "sidegate.yaml",
                "--output",
                "json",
            ],
            &[("IT_SECRET", SECRET), ("IT_JOBS_KEY", JOBS_KEY)],
        );
        let report: Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
        (output.status.code().unwrap(), report)
    };
    let (code, report) = explain("GET", "/mcp");
    assert_eq!(
        (code, &report["decision"], &report["status"]),
        (0, &json!("metadata"), &json!(200)),
        "{report}"
    );
    assert!(
        report["response"]["body"]
            .as_str()
            .unwrap()
            .contains("\"https://tools.example.com/mcp\""),
        "{report}"
    );
    assert!(
        report["steps"]
            .to_string()
            .contains("the metadata of the resource https://tools.example.com/mcp"),
        "{report}"
    );
    let (code, report) = explain("POST", "/mcp");
    assert_eq!((code, &report["reason"]), (1, &json!("method_not_allowed")), "{report}");
    let (_, report) = explain("GET", "/elsewhere");
    assert_eq!(report["service"], "front", "{report}");
}

#[test]
fn document_is_that_of_the_policy_in_force() {
    let text = |scopes: &str| {
        policy(
            "tools",
            "hosts: [tools.example.com]",
            "https://tools.example.com",
            scopes,
        )
        .replace(", strip_prefix: $strip", "")
    };
    let gateway = Setup::new().policy("tools", &text("")).start();
    let scopes = || gateway.send(&document("tools.example.com", "")).json()["scopes_supported"].clone();
    assert_eq!(scopes(), Value::Null);
    let new = text(", scopes: [tools.read]").replace("$upstream", &gateway.upstream.url);
    std::fs::write(gateway.path("policies/tools.yaml"), new).unwrap();
    gateway.hang_up();
    eventually("the new document is served", || scopes() == json!(["tools.read"]));
    assert!(values(&gateway.send(&document("tools.example.com", "")).headers, "vary").is_empty());
}
