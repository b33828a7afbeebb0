//! Every kind of service and of traffic: TLS, HTTP/2 and unix sockets, upgrades, streams, and
//! bodies of any size.

use std::io;

use aws_lc_rs::digest;
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::json;

use crate::harness::{
    Gateway, Latch, Reply, Request, Setup, Upstream, also_on_4_threads,
    certificates::{authority, pki, server},
    http2::{H2Upstream, Http2},
    issuer::token,
    upstream::Recorded,
    values,
};

const TO: &str = "
$wallet
prefix: /w
routes: [{ path: /open/*, auth: public }, { path: /*, auth: jwt }]
";

fn in_front_of(upstream: Upstream) -> Gateway {
    Setup::in_front_of(upstream)
        .config("limits: { body_bytes: 64MiB }")
        .policy("wallet", TO)
        .start()
}

fn echo(request: &Recorded) -> Reply {
    Reply::ok(&request.body)
}

also_on_4_threads![connections_to_the_service_are_used_again];

#[test]
fn https_with_the_authority_that_the_policy_names() {
    for protocols in [&[][..], &["http/1.1"]] {
        let upstream = Upstream::tls(server(&pki().server, protocols), echo);
        let policy = TO.replace("$wallet", WALLET_WITH_CA);
        let gateway = Setup::in_front_of(upstream).tls().policy("wallet", &policy).start();
        for _ in 0..2 {
            let request = Request::post("/w/open/x", "{\"a\":1}");
            let answer = gateway.send(&request);
            assert_eq!(answer.text(), "{\"a\":1}");
            assert_eq!(gateway.reached(&request, &answer).values("x-forwarded-proto"), ["http"]);
        }
    }
}

#[test]
fn https_with_an_authority_of_the_system() {
    let policy = TO
        .replace("$wallet", WALLET_WITH_CA)
        .replace(", ca_file: $folder/ca.crt", "");
    for (file, want) in [("ca.crt", 200), ("rogue-ca.crt", 502)] {
        let upstream = Upstream::tls(server(&pki().server, &[]), echo);
        let setup = Setup::in_front_of(upstream).tls().policy("wallet", &policy);
        let gateway = setup
            .file("rogue-ca.crt", &authority("rogue").pem())
            .env("SSL_CERT_FILE", file)
            .start();
        assert_eq!(gateway.send(&Request::get("/w/open/x")).status, want, "{file}");
    }
}

const WALLET_WITH_CA: &str = "
version: 1
service: wallet-svc
upstream: { url: '$upstream', ca_file: $folder/ca.crt }
jwt: { issuers: [{ issuer: eventzr.com, audience: [eventzr-api], algorithms: [HS256], keys: { secret: { env: IT_SECRET } } }] }
";

#[test]
fn a_unix_socket_on_either_side() {
    let folder = tempfile::tempdir().unwrap();
    let upstream = Upstream::unix(&folder.path().join("service.sock"), echo);
    let gateway = Setup::in_front_of(upstream)
        .unix_listener("gate.sock")
        .policy("wallet", TO)
        .start();
    assert_eq!(gateway.send(&Request::post("/w/open/x", "{}")).text(), "{}");
    let mut wire = gateway.unix("gate.sock");
    let request = Request::get("/w/x").bearer(&token(json!({}))).tenant();
    let seen = gateway.reached(&request, &wire.exchange(&request));
    assert_eq!(seen.values("x-user-id"), ["user-7"]);
    let request = Request::get("/w/x");
    gateway.rejected(&request, &wire.exchange(&request), 401, "credential_missing");
}

#[test]
fn h2c_for_clients_of_both_versions() {
    let upstream = H2Upstream::echo();
    let policy =
        "version: 1\nservice: s\nprefix: /s\nupstream: { url: '$h2c' }\nroutes: [{ path: /*, auth: public }]\n";
    let gateway = Setup::new().set("h2c", &upstream.url).policy("s", policy).start();
    let plain = Request::post("/s/x?y=1", "hello");
    assert_eq!(gateway.send(&plain).text(), "hello");
    assert_eq!(upstream.seen(&plain.case)[0].0.target, "/s/x?y=1");
    let connection = Http2::plain(gateway.port);
    for _ in 0..3 {
        let request = Request::post("/s/x", "hello");
        assert_eq!(connection.exchange(&request).text(), "hello");
        assert_eq!(connection.exchange_unsized(&request).text(), "hello");
        let seen = upstream.seen(&request.case);
        assert_eq!(seen[0].0.values("x-forwarded-host"), ["localhost"]);
    }
}

#[test]
fn http2_clients_of_a_plain_service() {
    let gateway = in_front_of(Upstream::start(echo));
    let connection = Http2::plain(gateway.port);
    let request = Request::post("/w/open/x?q", &"y".repeat(300_000));
    let answer = connection.exchange(&request);
    assert_eq!(answer.body.len(), 300_000);
    let seen = gateway.reached(&request, &answer);
    assert_eq!(seen.values("host"), ["localhost"]);
    let request = Request::get("/w/x");
    gateway.rejected(&request, &connection.exchange(&request), 401, "credential_missing");
    let request = Request::post("/w/x", &"y".repeat(100_000));
    gateway.rejected(&request, &connection.exchange(&request), 401, "credential_missing");
    assert_eq!(connection.exchange(&Request::get("/w/open/x")).status, 200);
}

#[test]
fn a_body_of_unknown_length_ends_once() {
    let gateway = in_front_of(Upstream::start(echo));
    let connection = Http2::plain(gateway.port);
    for method in ["GET", "POST", "HEAD"] {
        for body in ["", "y"] {
            let request = Request::new(method, "/w/open/x").body(body);
            let answer = connection.exchange_unsized(&request);
            assert_eq!(gateway.reached(&request, &answer).body, body.as_bytes());
            // The next request on that connection to the service is read from its beginning.
            gateway.allowed(&Request::get("/w/open/x"));
        }
    }
    gateway.upstream.assert_strict();
}

/// Answers a handshake as RFC 6455 has it, then sends back whatever comes.
pub(crate) fn websocket(request: &Recorded) -> Reply {
    let [key] = request.values("sec-websocket-key")[..] else {
        return Reply::status(400, "no handshake");
    };
    let accept = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let accept = STANDARD.encode(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, accept.as_bytes()));
    Reply::script(move |stream| {
        let head = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
        );
        stream.write_all(head.as_bytes())?;
        let mut buffer = [0; 4096];
        loop {
            match stream.read(&mut buffer)? {
                0 => return Ok(()),
                count => stream.write_all(&buffer[..count])?,
            }
            stream.flush()?;
        }
    })
}

pub(crate) fn handshake(path: &str) -> Request {
    Request::get(path)
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
}

#[test]
fn a_websocket_is_decided_like_any_request_and_then_left_alone() {
    let gateway = in_front_of(Upstream::start(websocket));
    gateway.refused(&handshake("/w/socket"), 401, "credential_missing");

    let request = handshake("/w/socket")
        .bearer(&token(json!({})))
        .tenant()
        .header("x-user-id", "spoofed")
        .header("x_user_id", "spoofed");
    let mut wire = gateway.connect();
    wire.write(request.bytes());
    let (status, headers) = wire.head().unwrap();
    assert_eq!(status, 101);
    assert_eq!(
        values(&headers, "sec-websocket-accept"),
        ["s3pPLMBiTxaQ9kYGzzhZRbK+xOo="]
    );
    let seen = &gateway.upstream.seen(&request.case)[0];
    assert_eq!(seen.values("x-user-id"), ["user-7"]);
    assert_eq!(seen.values("upgrade"), ["websocket"]);
    for size in [1, 100, 100_000] {
        let frames = vec![0x5a; size];
        wire.write(&frames);
        assert_eq!(wire.read(size).unwrap(), frames);
    }
}

#[test]
fn half_a_handshake_opens_nothing() {
    let gateway = in_front_of(Upstream::start(echo));
    let key = "dGhlIHNhbXBsZSBub25jZQ==";
    for (connection, version, key) in [
        ("keep-alive", "13", key),
        ("Upgrade", "12", key),
        ("Upgrade", "13", ""),
        ("Upgrade", "13", "c2hvcnQ="),
        ("Upgrade", "13", "not base64 at all"),
    ] {
        let request = Request::get("/w/open/x")
            .header("connection", connection)
            .header("upgrade", "websocket")
            .header("sec-websocket-version", version)
            .header("sec-websocket-key", key);
        assert_eq!(gateway.allowed(&request).values("upgrade"), [""; 0], "{request}");
    }
}

#[test]
fn upgrade_to_anything_but_websocket_is_removed() {
    let gateway = in_front_of(Upstream::start(echo));
    for protocol in ["h2c", "tls/1.0", "foo"] {
        let request = Request::get("/w/open/x")
            .header("connection", "upgrade, http2-settings")
            .header("upgrade", protocol);
        let answer = gateway.send(&request);
        assert!(matches!(answer.status, 200 | 400), "{answer:?}");
        for seen in gateway.upstream.seen(&request.case) {
            assert_eq!(seen.values("upgrade"), [""; 0], "{protocol}");
        }
    }
}

#[test]
fn events_arrive_when_they_are_sent() {
    let next = Latch::default();
    let sent = next.clone();
    let upstream = Upstream::start(move |_| {
        let sent = sent.clone();
        Reply::script(move |stream| {
            let write = |stream: &mut dyn crate::harness::client::Stream, bytes: &str| -> io::Result<()> {
                stream.write_all(bytes.as_bytes())?;
                stream.flush()
            };
            write(
                stream,
                "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n",
            )?;
            write(stream, "f\r\ndata: the first\r\n")?;
            // The second is sent only after the first was received.
            sent.wait();
            write(stream, "10\r\ndata: the second\r\n0\r\n\r\n")
        })
    });
    let gateway = in_front_of(upstream);
    let mut wire = gateway.connect();
    wire.write(Request::get("/w/open/events").bytes());
    let (status, headers) = wire.head().unwrap();
    assert_eq!(
        (status, values(&headers, "content-type")),
        (200, vec!["text/event-stream"])
    );
    assert_eq!(wire.chunk(), b"data: the first");
    next.open();
    assert_eq!(wire.chunk(), b"data: the second");
    assert_eq!(wire.chunk(), b"");
}

#[test]
fn an_upload_is_passed_on_while_it_comes() {
    let arrived = Latch::default();
    let seen = arrived.clone();
    let upstream = Upstream::raw(move |stream| {
        let head = crate::harness::message::read_until(stream, b"\r\n\r\n")?.unwrap_or_default();
        assert!(head.starts_with(b"POST /w/open/upload"));
        crate::harness::message::read_until(stream, b"first part")?;
        seen.open();
        crate::harness::message::read_until(stream, b"second part")?;
        crate::harness::message::read_until(stream, b"0\r\n\r\n")?;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone")?;
        stream.flush()
    });
    let gateway = in_front_of(upstream);
    let mut wire = gateway.connect();
    let request = Request::new("POST", "/w/open/upload").header("transfer-encoding", "chunked");
    wire.write(request.bytes());
    wire.write("a\r\nfirst part\r\n");
    // The rest is sent only after the service has the first part.
    arrived.wait();
    wire.write("b\r\nsecond part\r\n0\r\n\r\n");
    assert_eq!(wire.answer("POST").unwrap().text(), "done");
}

#[test]
fn large_bodies_pass_in_both_directions() {
    let gateway = in_front_of(Upstream::start(echo));
    let body: Vec<u8> = (0..20 << 20).map(|n: u32| u8::try_from(n % 251).unwrap()).collect();
    let sized = Request::new("POST", "/w/open/x")
        .header("content-type", "application/octet-stream")
        .body(&body);
    assert!(exchange_large(&gateway, &sized) == body, "with a content-length");

    let mut chunked = Vec::new();
    for chunk in body.chunks(100_000) {
        chunked.extend_from_slice(format!("{:X}\r\n", chunk.len()).as_bytes());
        chunked.extend_from_slice(chunk);
        chunked.extend_from_slice(b"\r\n");
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    let request = Request::new("POST", "/w/open/x")
        .header("transfer-encoding", "chunked")
        .body(chunked);
    assert!(exchange_large(&gateway, &request) == body, "chunked");
}

fn exchange_large(gateway: &Gateway, request: &Request) -> Vec<u8> {
    let answer = gateway.send(request);
    assert_eq!(answer.status, 200, "{request}");
    answer.body
}

#[test]
fn answers_of_every_shape_arrive_as_they_are() {
    let gateway = in_front_of(Upstream::start(|request| {
        match request.target.rsplit('/').next().unwrap() {
        "nothing" => Reply::bytes(b"HTTP/1.1 204 No Content\r\nx-own: 1\r\nconnection: close\r\n\r\n"),
        "unchanged" => Reply::bytes(b"HTTP/1.1 304 Not Modified\r\netag: \"1\"\r\nconnection: close\r\n\r\n"),
        "until-the-end" => Reply::bytes(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nall of it"),
        "hints" => Reply::bytes(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok"),
        "cookies" => Reply::ok("x").header("set-cookie", "a=1").header("set-cookie", "b=2").header("x-user-id", "from the service"),
        "teapot" => Reply::status(418, "short and stout").header("cache-control", "max-age=60"),
        _ => Reply::ok("x").header("x-request-id", "mine"),
    }
    }));
    let get = |what: &str| gateway.send(&Request::get(&format!("/w/open/{what}")));
    let nothing = get("nothing");
    assert_eq!((nothing.status, nothing.header("x-own")), (204, Some("1")));
    assert_eq!(
        (get("unchanged").status, get("unchanged").header("etag")),
        (304, Some("\"1\""))
    );
    assert_eq!(get("until-the-end").text(), "all of it");
    assert_eq!(get("hints").text(), "ok");
    assert_eq!(values(&get("cookies").headers, "set-cookie"), ["a=1", "b=2"]);
    let teapot = get("teapot");
    assert_eq!(
        (teapot.status, teapot.text().as_str(), teapot.header("cache-control")),
        (418, "short and stout", Some("max-age=60"))
    );
    assert_ne!(get("else").header("x-request-id"), Some("mine"));
    let head = gateway.send(&Request::new("HEAD", "/w/open/else"));
    assert_eq!((head.status, head.header("content-length")), (200, Some("1")));
}

#[test]
fn connections_to_the_service_are_used_again() {
    let gateway = in_front_of(Upstream::start(echo));
    let mut wire = gateway.connect();
    for _ in 0..30 {
        assert_eq!(wire.exchange(&Request::get("/w/open/x")).status, 200);
    }
    assert!(
        gateway.upstream.connections() < 5,
        "{} connections",
        gateway.upstream.connections()
    );
}
