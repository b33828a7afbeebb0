//! gRPC: trailers go through, and a rejection is one that a gRPC client understands.

use serde_json::json;

use crate::harness::{
    Answer, Gateway, Reply, Request, Setup, Upstream,
    certificates::{client, pki, server},
    h2_service::{Call, H2Service},
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

/// Behind a limit of 100 KiB: services over HTTP/2 in clear text and over TLS, and such that speak HTTP/1.1.
fn limited() -> Gateway {
    let count = |mut call: Call| async move {
        let length = call.whole_body().await?.len().to_string();
        let mut stream = call.begin(200, &[("content-type", "application/grpc")])?;
        stream.send_data(length.into(), false)?;
        let end = [("grpc-status", "0")].into_iter();
        stream.send_trailers(
            end.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
                .collect(),
        )
    };
    let reply = |request: &crate::harness::upstream::Recorded| Reply::ok(request.body.len().to_string());
    let clear = H2Service::start(count);
    let tls = H2Service::tls(server(&pki().server, &["h2"]), count);
    let old = Upstream::start(reply);
    let old_tls = Upstream::tls(server(&pki().server, &["http/1.1"]), reply);
    let policy = |name: &str, url: &str| {
        let ca = if url.starts_with("https") {
            ", ca_file: $folder/ca.crt"
        } else {
            ""
        };
        format!(
            "version: 1\nservice: {name}\nprefix: /{name}\nupstream: {{ url: '{url}'{ca} }}\nerrors: {{ format: problem }}\n\
             routes:\n  - {{ path: /own/*, auth: public, body_bytes: 200KiB }}\n  - {{ path: /*, auth: public }}\n"
        )
    };
    Setup::in_front_of(old.clone())
        .tls()
        .config("limits: { body_bytes: 100KiB }")
        .policy("clear", &policy("clear", &clear.url))
        .policy("tls", &policy("tls", &tls.url))
        .policy("old", &policy("old", &old.url))
        .policy("old-tls", &policy("old-tls", &old_tls.url))
        .start()
}

fn stream_of(path: &str, kind: &str, length: usize) -> Request {
    let request = Request::new("POST", path)
        .header("te", "trailers")
        .body(vec![7; length]);
    request.header("content-type", kind)
}

const MESSAGES: usize = 150 * 100 * 1024;

#[test]
fn stream_of_a_client_may_be_longer_than_a_body() {
    let gateway = limited();
    for service in ["clear", "tls"] {
        for kind in ["application/grpc", "application/grpc+proto", "Application/GRPC; a=b"] {
            let request = stream_of(&format!("/{service}/Upload"), kind, MESSAGES);
            let tls = Http2::tls(gateway.tls_port, client(None, &["h2"])).unwrap();
            for connection in [Http2::plain(gateway.port), tls] {
                let answer = connection.exchange_unsized(&request);
                assert_eq!((answer.status, answer.text()), (200, MESSAGES.to_string()), "{request}");
                assert_eq!(values(&answer.trailers, "grpc-status"), ["0"], "{request}");
            }
        }
    }
}

fn is_too_large(answer: &Answer) -> bool {
    answer.header("x-sidegate-reason") == Some("body_too_large")
}

#[test]
fn only_streams_of_grpc_over_http2_on_both_sides_are_not_limited() {
    let gateway = limited();
    let unsized_over_http2 = |path: &str, kind: &str, length| {
        let request = stream_of(path, kind, length);
        let answer = Http2::plain(gateway.port).exchange_unsized(&request);
        (format!("{request}: {answer:?}"), answer)
    };
    let length = 101 * 1024;
    for (path, kind) in [
        ("/old/Upload", "application/grpc"),
        ("/old-tls/Upload", "application/grpc+proto"),
        ("/clear/Upload", "application/grpcx"),
        ("/clear/Upload", "application/grpc-web"),
        ("/clear/Upload", "application/grpc-web+proto"),
        ("/clear/Upload", "application/grpc-web-text"),
        ("/clear/Upload", "application/grpc, text/plain"),
        ("/clear/Upload", "application/json"),
        ("/tls/Upload", "application/octet-stream"),
    ] {
        let (what, answer) = unsized_over_http2(path, kind, length);
        assert!(is_too_large(&answer), "{what}");
        let (what, answer) = unsized_over_http2(path, kind, 100 * 1024);
        assert_eq!(answer.status, 200, "{what}");
        assert!(!is_too_large(&answer), "{what}");
    }
    // Of two content types, neither counts.
    let twice = stream_of("/clear/Upload", "application/grpc", length).header("content-type", "application/grpc");
    assert!(is_too_large(&Http2::plain(gateway.port).exchange_unsized(&twice)));
    // A client over HTTP/1.1 is counted, whatever it writes.
    for service in ["clear", "tls", "old"] {
        let mut request = stream_of(&format!("/{service}/Upload"), "application/grpc", 0);
        request.body = [
            format!("{length:x}\r\n").into_bytes(),
            vec![7; length],
            b"\r\n0\r\n\r\n".to_vec(),
        ]
        .concat();
        let answer = gateway.send(&request.header("transfer-encoding", "chunked"));
        assert!(is_too_large(&answer), "{service}: {answer:?}");
    }
    // A length that is said is compared before anything is known of the upstream.
    for length in [length, MESSAGES] {
        let request = stream_of("/clear/Upload", "application/grpc", length);
        assert!(is_too_large(&Http2::plain(gateway.port).exchange(&request)));
    }
    // A route with a limit of its own has that.
    for (length, is_rejected) in [(200 * 1024, false), (200 * 1024 + 1, true)] {
        let (what, answer) = unsized_over_http2("/clear/own/Upload", "application/grpc", length);
        assert_eq!(is_too_large(&answer), is_rejected, "{what}");
    }
}

#[test]
fn stream_that_the_service_does_not_read_waits_with_the_client() {
    let service = H2Service::start(|call: Call| async move {
        // It reads nothing, and keeps the call.
        tokio::time::sleep(crate::harness::PATIENCE).await;
        drop(call);
        Ok(())
    });
    let policy = format!(
        "version: 1\nservice: s\nprefix: /s\nupstream: {{ url: '{}', timeout: 2s }}\nroutes: [{{ path: /*, auth: public }}]\n",
        service.url
    );
    let gateway = Setup::new().policy("s", &policy).start();
    let before = gateway.resident_bytes();
    let request = stream_of("/s/Upload", "application/grpc", 64 << 20);
    let answer = Http2::plain(gateway.port).exchange_unsized(&request);
    assert_eq!(
        answer.header("x-sidegate-reason"),
        Some("upstream_timeout"),
        "{answer:?}"
    );
    let grown = gateway.resident_bytes().saturating_sub(before);
    assert!(grown < 16 << 20, "{grown} bytes for a stream of 64 MiB");
}
