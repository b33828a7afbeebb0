//! gRPC: trailers go through, and a rejection is one that a gRPC client understands.

use serde_json::json;

use crate::harness::{
    Request, Setup,
    certificates::{client, pki},
    http2::{H2Upstream, Http2},
    issuer::token,
    values,
};

const POLICY: &str = "
$wallet
prefix: /pkg.Wallet
routes:
  - { path: /Admin, methods: [POST], auth: jwt, roles: [admin] }
  - { path: /Open, methods: [POST], auth: public }
  - { path: /Get, methods: [POST], auth: jwt }
";

fn call(method: &str) -> Request {
    let message = [0, 0, 0, 0, 3, b'a', b'b', b'c'];
    let request = Request::new("POST", &format!("/pkg.Wallet/{method}")).body(message);
    request
        .header("content-type", "application/grpc+proto")
        .header("te", "trailers")
}

#[test]
fn calls_pass_with_their_trailers() {
    let upstream = H2Upstream::echo();
    let wallet = "
version: 1
service: wallet-svc
upstream: { url: '$grpc' }
errors: { format: envelope, code_prefix: ERR_WALLET }
jwt: { issuers: [{ issuer: eventzr.com, audience: [eventzr-api], algorithms: [HS256], keys: { secret: { env: IT_SECRET } } }] }
";
    let policy = POLICY.replace("$wallet", wallet);
    let gateway = Setup::new()
        .tls()
        .set("grpc", &upstream.url)
        .policy("wallet", &policy)
        .start();
    let tls = Http2::tls(gateway.tls_port, client(Some(&pki().stranger), &["h2"])).unwrap();
    for connection in [Http2::plain(gateway.port), tls] {
        for request in [call("Open"), call("Get").bearer(&token(json!({})))] {
            let answer = connection.exchange(&request);
            assert_eq!((answer.status, &answer.body), (200, &request.body));
            assert_eq!(values(&answer.trailers, "grpc-status"), ["0"]);
            assert_eq!(values(&answer.trailers, "grpc-message"), ["fine"]);
            let seen = upstream.seen(&request.case);
            assert_eq!(seen.len(), 1);
            assert_eq!(seen[0].0.body, request.body);
            assert_eq!(seen[0].0.values("te"), ["trailers"]);
        }
        let request = call("Get").bearer(&token(json!({}))).header("x-user-id", "spoofed");
        connection.exchange(&request);
        assert_eq!(upstream.seen(&request.case)[0].0.values("x-user-id"), ["user-7"]);
    }
}

#[test]
fn a_large_message_passes_both_ways() {
    let upstream = H2Upstream::echo();
    let policy =
        "version: 1\nservice: s\nprefix: /s\nupstream: { url: '$grpc' }\nroutes: [{ path: /*, auth: public }]\n";
    let gateway = Setup::new().set("grpc", &upstream.url).policy("s", policy).start();
    let request = Request::new("POST", "/s/Echo")
        .header("content-type", "application/grpc")
        .body(vec![7; 3 << 20]);
    let answer = Http2::plain(gateway.port).exchange(&request);
    assert_eq!((answer.status, answer.body.len()), (200, 3 << 20));
    assert_eq!(values(&answer.trailers, "grpc-status"), ["0"]);
}

#[test]
fn a_rejection_is_trailers_only_with_the_status_of_grpc() {
    let gateway = Setup::new().policy("wallet", POLICY).start();
    let connection = Http2::plain(gateway.port);
    let user = || token(json!({ "roles": ["user"] }));
    for (request, status) in [
        (call("Get"), "16"),
        (call("Get").bearer("x"), "16"),
        (call("Admin").bearer(&user()).tenant(), "7"),
        (call("Nothing"), "12"),
    ] {
        let answer = connection.exchange(&request);
        assert_eq!(answer.status, 200, "{request}: {answer:?}");
        assert!(
            answer.header("content-type").unwrap().starts_with("application/grpc"),
            "{answer:?}"
        );
        // Trailers-only: the status stands in the one header block, and nothing follows it.
        assert_eq!(answer.header("grpc-status"), Some(status), "{request}: {answer:?}");
        assert!(
            answer.header("grpc-message").is_some_and(|message| !message.is_empty()),
            "{answer:?}"
        );
        assert!(answer.body.is_empty() && answer.trailers.is_empty(), "{answer:?}");
        assert!(connection.ends_with_head(&request), "{request}");
        assert!(answer.header("x-request-id").is_some());
        assert!(answer.header("x-sidegate-reason").is_some(), "{answer:?}");
        assert_eq!(gateway.upstream.seen(&request.case).len(), 0);
    }
    // The connection is as good as before.
    assert_eq!(connection.exchange(&Request::get("/pkg.Wallet/Get")).status, 405);
}

#[test]
fn rejection_has_the_content_type_that_the_client_asked_with() {
    let gateway = Setup::new().policy("wallet", POLICY).start();
    for kind in [
        "application/grpc",
        "application/grpc+json",
        "application/grpc-web",
        "application/grpc-web+proto",
        "application/grpc-web-text",
    ] {
        let request = || {
            Request::new("POST", "/pkg.Wallet/Get")
                .header("content-type", kind)
                .body("AAAA")
        };
        for answer in [
            gateway.send(&request()),
            Http2::plain(gateway.port).exchange(&request()),
        ] {
            let fields = ["content-type", "grpc-status"].map(|name| answer.header(name));
            assert_eq!((answer.status, fields), (200, [Some(kind), Some("16")]), "{answer:?}");
            assert!(answer.body.is_empty(), "{answer:?}");
        }
    }
}

#[test]
fn a_web_client_of_the_same_service_gets_the_usual_body() {
    let gateway = Setup::new().policy("wallet", POLICY).start();
    let connection = Http2::plain(gateway.port);
    let request = Request::post("/pkg.Wallet/Get", "{}");
    gateway.rejected(&request, &connection.exchange(&request), 401, "credential_missing");
}
