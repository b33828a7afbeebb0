//! `x-sidegate-reason`: on every rejection, and on no response of a service; and `type`, which links to the reason.

use serde_json::json;

use crate::harness::{
    JOBS_KEY, Reply, Request, SECRET, Setup, Upstream,
    h2_service::{Call, H2Service},
    http2::Http2,
    issuer::token,
    values,
};

const POLICY: &str = "
$wallet
prefix: /w
routes:
  - { path: /open/*, auth: public }
  - { path: /shadow/*, auth: jwt, mode: shadow }
  - { path: /keyed/*, auth: internal_key, idempotency: {} }
  - { path: /*, auth: jwt }
";

/// The names of response headers that speak of the reason, in any spelling.
fn reasons(headers: &[(String, String)]) -> Vec<&(String, String)> {
    let is_one = |name: &str| name.to_ascii_lowercase().replace(['_', '.'], "-").contains("sidegate");
    headers.iter().filter(|(name, _)| is_one(name)).collect()
}

#[test]
fn response_of_a_service_never_names_a_reason() {
    let upstream = Upstream::start(|_| {
        Reply::status(403, "mine")
            .header("X-Sidegate-Reason", "role_missing")
            .header("x_sidegate_reason", "role_missing")
            .header("x-sidegate.reason", "role_missing")
    });
    let gateway = Setup::in_front_of(upstream).policy("wallet", POLICY).start();
    let http2 = Http2::plain(gateway.port);
    let key = uuid::Uuid::new_v4().to_string();
    let keyed = || {
        Request::post("/w/keyed/x", "{}")
            .jobs_key()
            .header("idempotency-key", &key)
    };
    for request in [
        Request::get("/w/open/x"),
        Request::get("/w/shadow/x"),
        Request::get("/w/x").bearer(&token(json!({}))).tenant(),
        keyed(),
        keyed(),
    ] {
        for answer in [gateway.send(&request), http2.exchange(&request)] {
            assert_eq!((answer.status, answer.text().as_str()), (403, "mine"), "{request}");
            assert!(reasons(&answer.headers).is_empty(), "{request}: {answer:?}");
        }
    }
}

#[test]
fn stored_response_never_names_a_reason() {
    let upstream = Upstream::start(|_| Reply::ok("mine").header("x-sidegate-reason", "role_missing"));
    let gateway = Setup::in_front_of(upstream).policy("wallet", POLICY).start();
    let key = uuid::Uuid::new_v4().to_string();
    for replayed in [None, Some("true")] {
        let request = Request::post("/w/keyed/x", "{}").jobs_key();
        let answer = gateway.send(&request.header("idempotency-key", &key));
        let found = (answer.status, answer.header("idempotency-replayed"));
        assert_eq!(found, (200, replayed), "{answer:?}");
        assert!(reasons(&answer.headers).is_empty(), "{answer:?}");
    }
}

async fn script(mut call: Call) -> Result<(), h2::Error> {
    let reason = [("x-sidegate-reason", "role_missing"), ("x_sidegate_reason", "x")];
    let mut stream = call.begin(200, &reason)?;
    stream.send_data("hello".into(), false)?;
    let mut trailers = http::HeaderMap::new();
    for name in ["x-sidegate-reason", "x_sidegate_reason", "x-sum"] {
        trailers.insert(name, "1".parse().unwrap());
    }
    stream.send_trailers(trailers)
}

#[test]
fn trailers_of_a_service_never_name_a_reason() {
    let service = H2Service::start(script);
    let gateway = service.setup("").start();
    let answer = Http2::plain(gateway.port).exchange(&Request::get("/s/x"));
    assert_eq!(answer.text(), "hello");
    assert_eq!(values(&answer.trailers, "x-sum"), ["1"]);
    assert!(
        reasons(&answer.headers).is_empty() && reasons(&answer.trailers).is_empty(),
        "{answer:?}"
    );
}

#[test]
fn asterisk_options_is_not_a_rejection() {
    let gateway = Setup::new().policy("wallet", POLICY).start();
    let answer = gateway.send(&Request::new("OPTIONS", "*"));
    assert_eq!((answer.status, reasons(&answer.headers)), (204, vec![]));
}

#[test]
fn failure_of_a_service_names_its_reason() {
    for (reply, reason) in [
        (&b"x"[..], "upstream_failed"),
        (b"HTTP/1.1 200 OK\r\ncont", "upstream_failed"),
    ] {
        let upstream = Upstream::start(move |_| Reply::bytes(reply));
        let gateway = Setup::in_front_of(upstream).policy("wallet", POLICY).start();
        let request = Request::new("POST", "/w/open/x").body("{}");
        for answer in [gateway.send(&request), Http2::plain(gateway.port).exchange(&request)] {
            assert_eq!(
                (answer.status, answer.header("x-sidegate-reason")),
                (502, Some(reason)),
                "{answer:?}"
            );
        }
    }
}

#[test]
fn policy_and_defaults_leave_the_reason_out() {
    let off = "{ format: envelope, code_prefix: ERR_X, reason_header: false }";
    let policy = POLICY.replace(
        "$wallet",
        &crate::harness::setup::WALLET.replace("{ format: envelope, code_prefix: ERR_WALLET }", off),
    );
    let gateway = Setup::new()
        .config(&format!("defaults: {{ errors: {off} }}"))
        .policy("wallet", &policy)
        .start();
    for (target, status) in [("/w/x", 401), ("/elsewhere", 404), ("/w/open//", 400)] {
        let answer = gateway.send(&Request::get(target));
        assert_eq!((answer.status, reasons(&answer.headers)), (status, vec![]), "{target}");
    }
    let mut wire = gateway.connect();
    wire.write("GET /w/x HTTP/1.1\r\nbroken\r\n\r\n");
    let answer = wire.answer("GET").unwrap();
    assert_eq!((answer.status, reasons(&answer.headers)), (400, vec![]), "{answer:?}");
}

#[test]
fn type_of_a_problem_links_to_the_reason() {
    let errors = "{ format: problem, type_base: 'https://docs.example.com/rejections.md#' }";
    let policy = POLICY.replace(
        "$wallet",
        &crate::harness::setup::WALLET.replace("{ format: envelope, code_prefix: ERR_WALLET }", errors),
    );
    let gateway = Setup::new().policy("wallet", &policy).start();
    let want = "https://docs.example.com/rejections.md#credential_missing";
    let answer = gateway.send(&Request::get("/w/x"));
    assert_eq!((answer.status, &answer.json()["type"]), (401, &json!(want)));
    let secrets = [("IT_SECRET", SECRET), ("IT_JOBS_KEY", JOBS_KEY)];
    let said = gateway.sidegate_with(&["explain", "GET", "/w/x", "--output", "json"], &secrets);
    let said: serde_json::Value = serde_json::from_slice(&said.stdout).unwrap();
    let body = said["response"]["body"].as_str().unwrap();
    assert!(body.contains(&format!(r#""type":"{want}""#)), "{said}");
    assert_eq!(
        said["response"]["headers"]["x-sidegate-reason"], "credential_missing",
        "{said}"
    );
}
