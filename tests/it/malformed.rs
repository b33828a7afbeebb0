//! Bytes that are not HTTP, or too much of it: the standard body, and a service that never hears of it.

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use crate::harness::{Answer, Gateway, PATIENCE, Request, Setup, Shared, issuer::token};

const POLICY: &str = "
$wallet
prefix: /w
routes: [{ path: /open/*, auth: public }, { path: /*, auth: jwt }]
";

fn gateway() -> Arc<Gateway> {
    static SHARED: Shared<Gateway> = Shared::new();
    SHARED.get(|| {
        let limits = "limits: { header_bytes: 16KiB, headers: 50, uri_bytes: 2KiB, header_timeout: 2s }";
        Setup::new().config(limits).policy("wallet", POLICY).start()
    })
}

/// Writes these bytes, and reads the one response before the connection ends.
fn answer_to(gateway: &Gateway, bytes: impl AsRef<[u8]>) -> Answer {
    let mut wire = gateway.connect();
    _ = wire.try_write(bytes.as_ref());
    wire.answer("GET")
        .unwrap_or_else(|error| panic!("{:?}: {error}", String::from_utf8_lossy(bytes.as_ref())))
}

fn assert_standard(answer: &Answer, status: u16, word: &str, what: &str) {
    assert_eq!(answer.status, status, "{what}: {answer:?}");
    assert!(answer.code().ends_with(word), "{what}: {answer:?}");
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{what}: {answer:?}");
    assert!(answer.header("x-sidegate-reason").is_some(), "{what}: {answer:?}");
    assert!(
        answer.header("content-type").unwrap().starts_with("application/json"),
        "{what}: {answer:?}"
    );
    assert!(answer.header("x-request-id").is_some(), "{what}: {answer:?}");
    assert!(!format!("{answer:?}").contains("Pingora"), "{what}: {answer:?}");
}

#[test]
fn each_is_a_400_with_the_standard_body() {
    let gateway = gateway();
    let before = gateway.upstream.all().len();
    let mut others = Vec::new();
    for lines in [
        "GET /w/open/x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET /w/open/x HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        "GET /w/open/x HTTP/1.1\r\n\r\n",
        "GET /w/open/x HTTP/1.1\r\nHost:\r\n\r\n",
        "GET /w/open/x HTTP/1.1\r\nHost: a b\r\n\r\n",
        "GET /w/open/x HTTP/1.1\r\nHost: a, b\r\n\r\n",
        "GET /w/open/x HTTP/1.1\r\nHost: a/x\r\n\r\n",
        "GET /w/open/x HTTP/1.1\r\nHost: user@a\r\n\r\n",
        "GET /w/open/x HTTP/1.1\r\nHost: a:port\r\n\r\n",
        "GET /w/open/x HTTP/1.1\r\nHost: a\r\nX y: 1\r\n\r\n",
        "GET /w/open/x HTTP/1.1\r\nHost: a\r\nX : 1\r\n\r\n",
        "GET /w/open/x HTTP/1.1\r\nHost: a\r\n: 1\r\n\r\n",
        "GET /w/open/x HTTP/1.1\r\nHost: a\r\nX: 1\r\n folded\r\n\r\n",
        "GET /w/open/x HTTP/1.1\r\n X: 1\r\nHost: a\r\n\r\n",
        "GET /w/open/x HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
        "GET /w/open/x HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n",
        "GET /w/open/x HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n",
        "GET /w/open/x HTTP/1.1\nHost: a\r\n\r\n",
        "GET /w/open/x HTTP/1.1\r\nHost: a\nX: 1\r\n\r\n",
        "GET /w/open/x HTTP/1.1\r\nHost: a\r\n\n",
        "GET /w/open/x HTTP/9.9\r\nHost: a\r\n\r\n",
        "GET /w/open/x FTP/1.1\r\nHost: a\r\n\r\n",
        "G@T /w/open/x HTTP/1.1\r\nHost: a\r\n\r\n",
        "G\u{fc}T /w/open/x HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET  /w/open/x HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /w/open/a b HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /w/open/\0 HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /w/open/\u{fc} HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /w/open/x?a\rb HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /w/open/x?a\tb HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /w/open/x?<script> HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /w/open/x?a=\"b\" HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /w/open/x?a>b HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /w/open/x?a#b HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /w/open/x?a HTTP/1.1\r\r\nHost: a\r\n\r\n",
        "GET\r /w/open/x HTTP/1.1\r\nHost: a\r\n\r\n",
        "nonsense\r\n\r\n",
        "POST /w/open/x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        "POST /w/open/x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
        "POST /w/open/x HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\nabc",
        "POST /w/open/x HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc",
        "POST /w/open/x HTTP/1.1\r\nHost: a\r\nContent-Length: -3\r\n\r\nabc",
        "POST /w/open/x HTTP/1.1\r\nHost: a\r\nContent-Length: 0x3\r\n\r\nabc",
        "POST /w/open/x HTTP/1.1\r\nHost: a\r\nContent-Length: 03\r\n\r\nabc",
        "POST /w/open/x HTTP/1.1\r\nHost: a\r\nContent-Length: \r\n\r\nabc",
        "POST /w/open/x HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551617\r\n\r\nabc",
        "POST /w/open/x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /w/open/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /w/open/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "POST /w/open/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
        "POST /w/open/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "POST /w/open/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n",
        "POST /w/open/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \u{b}chunked\r\n\r\n0\r\n\r\n",
        "POST /w/open/x HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ] {
        let answer = answer_to(&gateway, crate::harness::message::latin1(lines));
        if answer.status == 400 {
            assert_standard(&answer, 400, "_BAD_REQUEST", &format!("{lines:?}"));
        } else {
            others.push((lines, answer));
        }
    }
    assert!(others.is_empty(), "{others:#?}");
    let connect = answer_to(
        &gateway,
        "CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n",
    );
    assert!(matches!(connect.status, 400 | 405), "{connect:?}");
    assert_standard(&connect, connect.status, "", "CONNECT");
    // Nothing of it arrived, and the next one does.
    assert!(
        gateway.upstream.all()[before..]
            .iter()
            .all(|seen| !seen.values("x-case").is_empty())
    );
    gateway.allowed(&Request::get("/w/open/x"));
}

#[test]
fn a_name_that_only_looks_like_framing_does_not_reach_the_service() {
    let gateway = gateway();
    for name in [
        "Transfer_Encoding",
        "Content_Length",
        "transfer.encoding",
        "content.length",
    ] {
        let request = Request::post("/w/open/x", "abc")
            .header(name, "7")
            .header("content-length", "3");
        let answer = gateway.send(&request);
        assert!(matches!(answer.status, 200 | 400), "{name}: {answer:?}");
        for seen in gateway.upstream.seen(&request.case) {
            let names: Vec<&str> = seen.headers.iter().map(|(each, _)| each.as_str()).collect();
            assert!(
                !names.iter().any(|each| each.eq_ignore_ascii_case(name)),
                "{name}: {names:?}"
            );
        }
    }
}

#[test]
fn chunks_that_some_read_otherwise_are_a_400() {
    let gateway = gateway();
    for body in [
        "zz\r\nabc\r\n0\r\n\r\n",
        "-1\r\nabc\r\n0\r\n\r\n",
        "ffffffffffffffffff\r\nabc",
        "3\r\nabcd\r\n0\r\n\r\n",
        "3\nabc\n0\n\n",
        "3\r\nabc\n0\r\n\r\n",
        "0x3\r\nabc\r\n0\r\n\r\n",
        "3 \r\nabc\r\n0\r\n\r\n",
        "3;\r\nabc\r\n0\r\n\r\n",
        "3;[\r\nabc\r\n0\r\n\r\n",
        "3\r\nabc\r\n0\r\nx : y\r\n\r\n",
        "3\r\nabc0\r\n\r\nGET /w/open/smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        // In one piece with the head, and behind it.
        for together in [true, false] {
            let request = Request::new("POST", "/w/open/x").header("transfer-encoding", "chunked");
            let mut wire = gateway.connect();
            if together {
                wire.write([&request.bytes(), body.as_bytes()].concat());
            } else {
                wire.write(request.bytes());
                wire.write(body);
            }
            let answer = wire.answer("POST").unwrap_or_else(|error| panic!("{body:?}: {error}"));
            assert_standard(&answer, 400, "_BAD_REQUEST", body);
            assert!(!answer.keeps_alive(), "{body:?}");
            assert!(wire.rest().unwrap().is_empty(), "{body:?}");
            // The service never saw a request that ended well.
            assert_eq!(gateway.upstream.seen(&request.case).len(), 0, "{body:?}");
        }
    }
    gateway.allowed(&Request::get("/w/open/x"));
}

#[test]
fn chunks_that_everybody_reads_alike_pass() {
    let gateway = gateway();
    let request = Request::new("POST", "/w/open/x").header("transfer-encoding", "chunked");
    let mut wire = gateway.connect();
    wire.write(request.bytes());
    for part in ["5;a=\"b;c\"\r\nhel", "lo\r", "\n00\r\nx-sum: 1\r", "\n\r\n"] {
        wire.write(part);
    }
    let answer = wire.answer("POST").unwrap();
    assert_eq!(gateway.reached(&request, &answer).body, b"hello");
}

#[test]
fn bytes_after_a_body_are_not_a_second_request() {
    let gateway = gateway();
    for (name, value, body) in [
        ("transfer-encoding", "chunked", "0\r\n\r\n"),
        ("content-length", "0", ""),
        ("content-length", "2", "{}"),
    ] {
        let request = Request::new("POST", "/w/open/x").header(name, value);
        let smuggled = Request::get("/w/secret");
        let mut wire = gateway.connect();
        wire.write([&request.bytes(), body.as_bytes(), &smuggled.bytes()].concat());
        let first = wire.answer("POST").unwrap();
        gateway.reached(&request, &first);
        // It is decided by itself, or not at all.
        if let Ok(second) = wire.answer("GET") {
            gateway.rejected(&smuggled, &second, 401, "credential_missing");
        }
        assert_eq!(gateway.upstream.seen(&smuggled.case).len(), 0);
    }
    gateway.upstream.assert_strict();
}

#[test]
fn a_refusal_is_not_lost_in_what_is_still_being_sent() {
    let gateway = gateway();
    let large = [
        ("GET /w/open/x HTTP/1.1\r\nHost: a\r\nx-large: ".to_owned(), 431),
        ("GET  / HTTP/1.1\r\nx-large: ".to_owned(), 400),
        (
            "POST /w/open/x HTTP/1.1\r\nHost: a\r\nContent-Length: 05\r\n\r\n".to_owned(),
            400,
        ),
        (
            "POST /w/open/x HTTP/1.1\r\nHost: a\r\nContent-Length: 90000000000\r\n\r\n".to_owned(),
            413,
        ),
    ];
    for (head, status) in large {
        let mut wire = gateway.connect();
        _ = wire.try_write((head + &"x".repeat(200_000)).as_bytes());
        let answer = wire.answer("GET").unwrap_or_else(|error| panic!("{status}: {error}"));
        assert_eq!(answer.status, status, "{answer:?}");
        assert_eq!(wire.read(1).unwrap_err().kind(), ErrorKind::UnexpectedEof, "{status}");
    }
}

#[test]
fn a_ping_is_answered_here() {
    let gateway = gateway();
    let mut wire = gateway.connect();
    for _ in 0..2 {
        let answer = wire.exchange(&Request::new("OPTIONS", "*"));
        assert_eq!((answer.status, answer.body.len()), (204, 0), "{answer:?}");
    }
    for (method, target) in [("GET", "*"), ("OPTIONS", "*x"), ("OPTIONS", "*?x")] {
        let answer = gateway.send(&Request::new(method, target));
        assert_standard(&answer, 400, "_BAD_REQUEST", target);
    }
    assert!(gateway.upstream.all().iter().all(|seen| seen.target != "*"));
}

#[test]
fn too_many_or_too_large_headers_are_a_431() {
    let gateway = gateway();
    let large = Request::get("/w/open/x").header("x-large", &"x".repeat(20_000));
    assert_standard(
        &answer_to(&gateway, large.bytes()),
        431,
        "_HEADERS_TOO_LARGE",
        "one large header",
    );
    let many = |count: usize| {
        (0..count).fold(Request::get("/w/open/x"), |request, n| {
            request.header(&format!("x-{n}"), "1")
        })
    };
    assert_standard(
        &answer_to(&gateway, many(60).bytes()),
        431,
        "_HEADERS_TOO_LARGE",
        "60 headers",
    );
    gateway.allowed(&many(40));
    gateway.allowed(&Request::get("/w/open/x").header("x-large", &"x".repeat(12_000)));
    assert_eq!(gateway.upstream.seen(&large.case).len(), 0);
    // Endless ones, without waiting for their end.
    let mut wire = gateway.connect();
    wire.write("GET /w/open/x HTTP/1.1\r\nHost: a\r\n");
    while wire
        .try_write(format!("x: {}\r\n", "x".repeat(1000)).as_bytes())
        .is_ok()
    {}
}

#[test]
fn so_are_more_headers_than_the_proxy_library_reads() {
    let many = (0..400).fold(Request::get("/w/open/x"), |request, n| {
        request.header(&format!("x-{n}"), "1")
    });
    assert_standard(
        &answer_to(&gateway(), many.bytes()),
        431,
        "_HEADERS_TOO_LARGE",
        "400 headers",
    );
}

#[test]
fn too_long_a_target_is_a_414() {
    let gateway = gateway();
    let long = Request::get(&format!("/w/open/{}", "x".repeat(3000)));
    let answer = gateway.send(&long);
    assert_standard(&answer, 414, "_URI_TOO_LONG", "a long path");
    let long = Request::get(&format!("/w/open/x?{}", "x".repeat(3000)));
    assert_standard(&gateway.send(&long), 414, "_URI_TOO_LONG", "a long query");
    gateway.allowed(&Request::get(&format!("/w/open/{}", "x".repeat(1500))));
}

#[test]
fn too_slow_a_head_is_a_408() {
    let gateway = gateway();
    let mut wire = gateway.connect();
    wire.write("GET /w/open/x HTTP/1.1\r\nHost: a\r\n");
    assert_standard(&wire.answer("GET").unwrap(), 408, "_REQUEST_TIMEOUT", "half a head");
    assert!(wire.rest().unwrap().is_empty());
    // On a connection that was used before, too.
    let mut wire = gateway.connect();
    assert_eq!(wire.exchange(&Request::get("/w/open/x")).status, 200);
    wire.write("GET /w/open/x HTTP/1.1\r\n");
    assert_standard(
        &wire.answer("GET").unwrap(),
        408,
        "_REQUEST_TIMEOUT",
        "half a second head",
    );
}

#[test]
fn a_head_that_trickles_in_is_a_408_however_often_it_moves() {
    let gateway = gateway();
    let mut socket = TcpStream::connect(("127.0.0.1", gateway.port)).unwrap();
    let mut reader = socket.try_clone().unwrap();
    let (answered, answer) = mpsc::channel();
    thread::spawn(move || {
        let mut head = [0; 12];
        answered.send(reader.read_exact(&mut head).map(|()| head)).unwrap();
    });
    socket
        .write_all(b"GET /w/open/x HTTP/1.1\r\nHost: a\r\nx-long: ")
        .unwrap();
    let deadline = Instant::now() + PATIENCE;
    let head = loop {
        assert!(Instant::now() < deadline, "it reads for ever");
        _ = socket.write_all(b"x");
        if let Ok(head) = answer.recv_timeout(Duration::from_millis(2)) {
            break head.unwrap();
        }
    };
    assert_eq!(&head, b"HTTP/1.1 408");
}

#[test]
fn the_shortest_of_requests_is_answered() {
    let gateway = gateway();
    // Shorter than the preface of HTTP/2, with which a server might wait for more.
    for short in [
        "GET / HTTP/1.0\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "P\r\n\r\n",
        "PRI * HTTP/1.1\r\n\r\n",
    ] {
        let answer = answer_to(&gateway, short);
        assert!((400..500).contains(&answer.status), "{short:?}: {answer:?}");
    }
}

#[test]
fn many_slow_clients_do_not_keep_out_another() {
    let gateway = gateway();
    let slow: Vec<_> = (0..60)
        .map(|_| {
            let mut wire = gateway.connect();
            wire.write("GET /w/open/x HTTP/1.1\r\nHost");
            wire
        })
        .collect();
    gateway.allowed(&Request::get("/w/open/x"));
    gateway.allowed(&Request::get("/w/x").bearer(&token(serde_json::json!({}))).tenant());
    drop(slow);
}
