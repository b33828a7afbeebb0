//! Clients that send their next request before they have the response to the last one (RFC 9112, 9.3.2).
//! Each request is answered in its turn, and nothing is a request that is not certain to be one.

use std::sync::Arc;

use crate::{
    harness::{
        Answer, Gateway, Latch, Reply, Request, Setup, Shared, Upstream, Wire, certificates::client, eventually,
        unique, upstream::Recorded,
    },
    upstreams::{handshake, websocket},
};

const POLICY: &str = "
$wallet
prefix: /w
routes: [{ path: /open/*, auth: public }, { path: /*, auth: jwt }]
";

/// Answers with what it was asked.
fn echo(request: &Recorded) -> Reply {
    let Recorded { target, body, .. } = request;
    match target.rsplit('/').next() {
        Some("empty") => Reply::status(204, ""),
        Some("rejected") if !request.values("upgrade").is_empty() => Reply::status(403, "no"),
        _ if !request.values("upgrade").is_empty() => websocket(request),
        _ => Reply::ok([target.as_bytes(), b" ", body].concat()),
    }
}

fn gateway() -> Arc<Gateway> {
    static SHARED: Shared<Gateway> = Shared::new();
    SHARED.get(|| {
        Setup::in_front_of(Upstream::start(echo))
            .config("limits: { header_timeout: 1s, body_bytes: 1MiB, body_timeout: 2s }")
            .tls()
            .policy("wallet", POLICY)
            .start()
    })
}

/// One request on the wire, and what has to come back.
struct Case {
    method: &'static str,
    bytes: String,
    status: u16,
    body: Option<String>,
}

fn case(method: &'static str, path: &str, fields: &str, body: &str, status: u16, echoed: Option<&str>) -> Case {
    let target = format!("/w/open/{}/{path}", unique());
    Case {
        method,
        bytes: format!("{method} {target} HTTP/1.1\r\nhost: a\r\n{fields}\r\n{body}"),
        status,
        body: echoed.map(|echoed| format!("{target} {echoed}")),
    }
}

fn get() -> Case {
    case("GET", "get", "", "", 200, Some(""))
}

fn rejected(fields: &str, body: &str) -> Case {
    let method = if fields.is_empty() { "GET" } else { "POST" };
    let json = if fields.is_empty() {
        ""
    } else {
        "content-type: application/json\r\n"
    };
    Case {
        bytes: format!("{method} /w/x HTTP/1.1\r\nhost: a\r\n{json}{fields}\r\n{body}"),
        ..case(method, "x", fields, body, 401, None)
    }
}

/// One of each kind that leaves its connection usable.
fn kinds() -> Vec<Case> {
    let (sized, chunked) = ("content-length: 5\r\n", "transfer-encoding: chunked\r\n");
    let chunks = "3;a=\"b\"\r\nhel\r\n2\r\nlo\r\n0\r\nx: y\r\n\r\n";
    let expect = "expect: 100-continue\r\ncontent-length: 5\r\n";
    vec![
        get(),
        case("POST", "sized", sized, "hello", 200, Some("hello")),
        case("POST", "chunked", chunked, chunks, 200, Some("hello")),
        case("POST", "nothing", "content-length: 0\r\n", "", 200, Some("")),
        case("POST", "hollow", chunked, "0\r\n\r\n", 200, Some("")),
        case("HEAD", "head", "", "", 200, None),
        case("GET", "empty", "", "", 204, None),
        case("GET", "body", sized, "GET /", 200, Some("GET /")),
        case("PUT", "expect", expect, "hello", 200, Some("hello")),
        rejected("", ""),
        rejected(sized, "hello"),
        rejected(chunked, chunks),
    ]
}

fn assert_answered(wire: &mut Wire, case: &Case) -> Answer {
    let answer = wire
        .answer(case.method)
        .unwrap_or_else(|error| panic!("{}: {error}", case.bytes));
    assert_eq!(answer.status, case.status, "{}: {answer:?}", case.bytes);
    if let Some(body) = &case.body {
        assert_eq!(&answer.text(), body);
    }
    answer
}

#[test]
fn each_kind_of_request_behind_each_other_kind_is_answered_in_its_turn() {
    let gateway = gateway();
    for first in 0..kinds().len() {
        for between in ["", "\r\n"] {
            let mut cases = Vec::new();
            for second in kinds() {
                cases.push(kinds().swap_remove(first));
                cases.push(second);
            }
            let bytes: Vec<_> = cases.iter().map(|case| case.bytes.as_str()).collect();
            let mut wire = gateway.connect();
            wire.write(bytes.join(between));
            for case in &cases {
                assert!(assert_answered(&mut wire, case).keeps_alive(), "{}", case.bytes);
            }
        }
    }
    gateway.upstream.assert_strict();
}

#[test]
fn fifty_requests_at_once_are_answered_in_order_with_and_without_tls() {
    let gateway = gateway();
    let tls = Wire::tls(gateway.tls_port, client(None, &["http/1.1"])).unwrap();
    for mut wire in [gateway.connect(), tls] {
        let cases: Vec<_> = kinds()
            .into_iter()
            .chain(kinds())
            .chain(kinds())
            .chain(kinds())
            .collect();
        let cases = &cases[..48];
        let last = [get(), get()];
        let bytes: String = cases.iter().chain(&last).map(|case| case.bytes.as_str()).collect();
        wire.write(bytes);
        for case in cases.iter().chain(&last) {
            assert_answered(&mut wire, case);
        }
    }
}

#[test]
fn cut_at_any_byte_two_requests_are_two_requests() {
    let gateway = gateway();
    let chunked = || {
        case(
            "POST",
            "chunked",
            "transfer-encoding: chunked\r\n",
            "5\r\nhello\r\n0\r\n\r\n",
            200,
            Some("hello"),
        )
    };
    let sized = || case("POST", "sized", "content-length: 5\r\n", "hello", 200, Some("hello"));
    let mut wire = gateway.connect();
    for make in [&get as &dyn Fn() -> Case, &sized, &chunked] {
        let length = make().bytes.len();
        for cut in 1..length + 2 + get().bytes.len() {
            let cases = [make(), get()];
            let bytes = format!("{}\r\n{}", cases[0].bytes, cases[1].bytes);
            let (start, rest) = bytes.split_at(cut.min(bytes.len()));
            wire.write(start);
            // So that the parts do not arrive as one: the service is asked meanwhile.
            if cut % 8 == 0 {
                gateway.send(&Request::get("/w/open/x"));
            }
            wire.write(rest);
            for case in &cases {
                assert_answered(&mut wire, case);
            }
        }
    }
    gateway.upstream.assert_strict();
}

/// A gateway whose service answers `/held` when the latch opens.
fn holding(limits: &str) -> (Gateway, Latch) {
    let release = Latch::default();
    let held = release.clone();
    let upstream = Upstream::start(move |request| {
        if request.target.ends_with("held") {
            held.wait();
        }
        echo(request)
    });
    let setup = Setup::in_front_of(upstream).config(&format!("limits: {{ {limits} }}\nshutdown: {{ grace: 15s }}"));
    (setup.policy("wallet", POLICY).start(), release)
}

fn held(gateway: &Gateway, wire: &mut Wire) -> Case {
    let case = case("POST", "held", "content-length: 5\r\n", "hello", 200, Some("hello"));
    let before = gateway.upstream.all().len();
    wire.write(&case.bytes);
    eventually("the service has it", || gateway.upstream.all().len() > before);
    case
}

#[test]
fn early_bytes_do_not_end_the_request_that_the_service_works_on() {
    let (gateway, release) = holding("header_timeout: 1s");
    let next = get();
    let half = next.bytes.len() / 2;
    let long = "x".repeat(40_000);
    let long = case("POST", "long", "content-length: 40000\r\n", &long, 200, Some(&long));
    let mut wires: Vec<_> = ["\r\n", &next.bytes, &next.bytes[..half], &long.bytes]
        .into_iter()
        .map(|early| {
            let mut wire = gateway.connect();
            let first = held(&gateway, &mut wire);
            wire.write(early);
            (first, wire)
        })
        .collect();
    // Longer than a head may take: it is not waited for yet.
    std::thread::sleep(std::time::Duration::from_millis(1300));
    release.open();
    for (first, wire) in &mut wires {
        assert!(assert_answered(wire, first).keeps_alive());
    }
    let [stray, whole, begun, long_one] = &mut wires[..] else {
        panic!()
    };
    stray.1.write(&next.bytes);
    begun.1.write(&next.bytes[half..]);
    for (_, wire) in [stray, whole, begun] {
        assert_answered(wire, &next);
    }
    assert_answered(&mut long_one.1, &long);
}

#[test]
fn half_a_head_behind_a_request_is_a_408_once_its_time_is_over() {
    let gateway = gateway();
    let first = get();
    let mut wire = gateway.connect();
    wire.write(format!("{}GET /w/open/x HTT", first.bytes));
    assert_answered(&mut wire, &first);
    let answer = wire.answer("GET").unwrap();
    assert_eq!((answer.status, answer.keeps_alive()), (408, false));
    assert!(wire.rest().unwrap().is_empty());
}

#[test]
fn client_that_ends_sending_behind_two_requests_reads_both_responses() {
    let (gateway, release) = holding("");
    let mut wire = gateway.connect();
    let cases = [held(&gateway, &mut wire), get()];
    wire.write(&cases[1].bytes);
    wire.finish();
    release.open();
    for case in &cases {
        assert_answered(&mut wire, case);
    }
    assert!(wire.rest().unwrap().is_empty());
}

#[test]
fn nothing_behind_a_request_that_ends_its_connection_is_executed() {
    let gateway = gateway();
    let chunked = "transfer-encoding: chunked\r\n";
    let json = "content-type: application/json\r\n";
    for (status, head) in [
        (200, "GET /w/open/x HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n".to_owned()),
        (401, "GET /w/x HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n".to_owned()),
        (200, "GET /w/open/x HTTP/1.0\r\nhost: a\r\n\r\n".to_owned()),
        // A client that asks before it sends a body may have sent it or not.
        (401, format!("POST /w/x HTTP/1.1\r\nhost: a\r\n{json}expect: 100-continue\r\ncontent-length: 5\r\n\r\n")),
        (413, format!("POST /w/open/x HTTP/1.1\r\nhost: a\r\n{json}content-length: 2000000\r\n\r\n")),
        (405, "CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\n\r\n".to_owned()),
        // Where it ends is uncertain.
        (400, format!("POST /w/open/x HTTP/1.1\r\nhost: a\r\n{chunked}content-length: 5\r\n\r\n0\r\n\r\n")),
        (400, format!("POST /w/open/x HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n{chunked}\r\n0\r\n\r\n")),
        (400, format!("POST /w/open/x HTTP/1.1\r\nhost: a\r\n{chunked}{chunked}\r\n0\r\n\r\n")),
        (400, "POST /w/open/x HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ncontent-length: 5\r\n\r\nhello".to_owned()),
        (400, "POST /w/open/x HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ncontent-length: 0\r\n\r\n".to_owned()),
        (400, "POST /w/open/x HTTP/1.1\r\nhost: a\r\ncontent-length: 05\r\n\r\nhello".to_owned()),
        (400, "POST /w/open/x HTTP/1.1\r\nhost: a\r\ntransfer-encoding: \u{b}chunked\r\n\r\n0\r\n\r\n".to_owned()),
        (400, "POST /w/open/x HTTP/1.0\r\nhost: a\r\nconnection: keep-alive\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n".to_owned()),
        (400, format!("POST /w/open/x HTTP/1.1\r\nhost: a\r\n{chunked}\r\n5;;\r\nhello\r\n0\r\n\r\n")),
        (400, format!("POST /w/open/x HTTP/1.1\r\nhost: a\r\n{chunked}\r\n5\r\nhello0\r\n\r\n")),
        (400, format!("POST /w/open/x HTTP/1.1\r\nhost: a\r\n{chunked}\r\n0\n\r\n\r\n")),
        (400, format!("POST /w/open/x HTTP/1.1\r\nhost: a\r\n{chunked}\r\n5;a={}\r\nhello\r\n0\r\n\r\n", "x".repeat(5000))),
        (400, format!("POST /w/open/x HTTP/1.1\r\nhost: a\r\n{chunked}\r\n0000000000000000000\r\n\r\n")),
        (200, format!("POST /w/open/x HTTP/1.1\r\nhost: a\r\ncontent-length:{}5\r\n\r\nhello", " ".repeat(100))),
    ] {
        let smuggled = Request::get("/w/open/smuggled");
        for at_once in [true, false] {
            let mut wire = gateway.connect();
            let next = String::from_utf8(smuggled.bytes()).unwrap();
            if at_once {
                wire.write(format!("{head}{next}"));
            } else {
                wire.write(&head);
                _ = wire.try_write(next.as_bytes());
            }
            let answer = wire.answer("GET").unwrap_or_else(|error| panic!("{head:?}: {error}"));
            assert_eq!((answer.status, answer.keeps_alive()), (status, false), "{head:?}: {answer:?}");
            assert_eq!(wire.rest().unwrap(), b"", "{head:?}");
        }
        assert_eq!(gateway.upstream.seen(&smuggled.case).len(), 0, "{head:?}");
    }
    gateway.upstream.assert_strict();
}

#[test]
fn requests_of_a_client_of_http_1_0_that_keeps_its_connection_are_answered_in_order() {
    let gateway = gateway();
    let first = get();
    let kept = first
        .bytes
        .replace("HTTP/1.1\r\n", "HTTP/1.0\r\nconnection: keep-alive\r\n");
    let last = get();
    let mut wire = gateway.connect();
    wire.write(format!(
        "{kept}{}{}",
        last.bytes.replace("HTTP/1.1", "HTTP/1.0"),
        get().bytes
    ));
    assert!(assert_answered(&mut wire, &first).keeps_alive());
    assert!(!assert_answered(&mut wire, &last).keeps_alive());
    assert_eq!(wire.rest().unwrap(), b"");
}

#[test]
fn bytes_behind_a_handshake_are_frames_once_it_is_accepted_and_a_request_if_it_is_not() {
    let gateway = gateway();
    // They look like a request.
    let frames = get().bytes;
    let mut wire = gateway.connect();
    wire.write([&handshake("/w/open/socket").bytes(), frames.as_bytes()].concat());
    assert_eq!(wire.head().unwrap().0, 101);
    assert_eq!(wire.read(frames.len()).unwrap(), frames.as_bytes());
    wire.write(b"\r\nmore");
    assert_eq!(wire.read(6).unwrap(), b"\r\nmore");

    let next = get();
    for (path, status) in [("/w/open/rejected", 403), ("/w/socket", 401)] {
        let mut wire = gateway.connect();
        wire.write([&handshake(path).bytes(), next.bytes.as_bytes()].concat());
        assert_eq!(wire.answer("GET").unwrap().status, status);
        assert_answered(&mut wire, &next);
    }
}

#[test]
fn request_that_waits_in_a_drain_is_answered_or_rejected_before_it_is_executed() {
    let (gateway, release) = holding("");
    let mut wire = gateway.connect();
    let first = held(&gateway, &mut wire);
    let next = Request::get("/w/open/next");
    wire.write(next.bytes());
    gateway.terminate();
    eventually("it is no longer ready", || gateway.probe("/readyz") != Some(200));
    release.open();
    let answer = assert_answered(&mut wire, &first);
    // Either it is served, too, or the client was notified that it will not be.
    if answer.keeps_alive() {
        gateway.reached(&next, &wire.answer("GET").unwrap());
    }
    assert_eq!(wire.rest().unwrap(), b"");
    assert!(gateway.ended().success());
    assert_eq!(
        gateway.upstream.seen(&next.case).len(),
        usize::from(answer.keeps_alive())
    );
}

#[test]
fn limit_of_a_head_counts_the_bytes_of_that_head_alone() {
    let gateway = Setup::in_front_of(Upstream::start(echo))
        .config("limits: { header_bytes: 1KiB }")
        .policy("wallet", POLICY)
        .start();
    let filled = |length: usize| {
        let head = format!("GET /w/open/x HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "x".repeat(length));
        assert!(head.len() > length);
        head
    };
    let overhead = filled(0).len();
    let (fits, too_long) = (filled(1024 - overhead), filled(1025 - overhead));
    let post = case(
        "POST",
        "sized",
        "content-length: 5000\r\n",
        &"x".repeat(5000),
        200,
        None,
    );
    let mut wire = gateway.connect();
    wire.write(
        [&fits, &post.bytes, &fits, &fits, &too_long, &fits]
            .map(String::as_str)
            .concat(),
    );
    for status in [200, 200, 200, 200, 431] {
        assert_eq!(wire.answer("GET").unwrap().status, status);
    }
    assert_eq!(wire.rest().unwrap(), b"");
}
