//! How answers of a service in clear text reach the client, and what becomes of the connection
//! that they came over.

use std::sync::Arc;

use serde_json::json;

use crate::harness::{Gateway, Reply, Request, Setup, Shared, Upstream, eventually, issuer::token, upstream::Recorded};

const POLICY: &str = "
$wallet
prefix: /w
routes: [{ path: /*, auth: public }]
";

fn service() -> Upstream {
    Upstream::start(|request| match request.target.rsplit('/').next().unwrap() {
        "old" => Reply::bytes(b"HTTP/1.0 200 OK\r\ncontent-type: text/plain\r\n\r\nuntil the end"),
        "length" => Reply::bytes(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"),
        "chunks" => Reply::bytes(
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\nx-sum: 1\r\n\r\n",
        ),
        "both" => Reply::bytes(
            b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        ),
        "phrase" => Reply::bytes(b"HTTP/1.1 299 As You Wish\r\ncontent-length: 0\r\n\r\n"),
        "unchanged" => Reply::bytes(b"HTTP/1.1 304 Not Modified\r\ncontent-length: 7\r\netag: \"x\"\r\n\r\n"),
        "nothing" => Reply::bytes(b"HTTP/1.1 204 No Content\r\n\r\n"),
        "hints" => Reply::bytes(
            b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi",
        ),
        "more" => Reply::bytes(
            b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhiHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil",
        ),
        "leaves" => Reply::script(|stream| {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi")?;
            // The next request is not answered.
            stream.read(&mut [0; 16]).map(drop)
        }),
        _ => Reply::ok("fine"),
    })
}

fn gateway() -> Arc<Gateway> {
    static SHARED: Shared<Gateway> = Shared::new();
    SHARED.get(start)
}

fn start() -> Gateway {
    let setup = Setup::in_front_of(service()).policy("wallet", POLICY);
    // Each thread keeps its connections to itself.
    setup.config("threads: 1").start()
}

#[test]
fn every_response_ends_where_the_service_ended_it() {
    let gateway = gateway();
    for (name, status, body) in [
        ("old", 200, "until the end"),
        ("length", 200, "hello"),
        ("chunks", 200, "hello"),
        ("both", 200, "hi"),
        ("phrase", 299, ""),
        ("unchanged", 304, ""),
        ("nothing", 204, ""),
    ] {
        let mut wire = gateway.connect();
        for _ in 0..2 {
            let answer = wire.exchange(&Request::get(&format!("/w/{name}")));
            assert_eq!((answer.status, answer.text().as_str()), (status, body), "{name}");
            assert!(answer.keeps_alive(), "{name}");
        }
    }
}

#[test]
fn a_reason_in_the_words_of_the_service_stays() {
    let gateway = gateway();
    let mut wire = gateway.connect();
    wire.write(Request::get("/w/phrase").bytes());
    assert_eq!(wire.read(25).unwrap(), b"HTTP/1.1 299 As You Wish\r");
}

#[test]
fn hints_come_before_the_response() {
    let gateway = gateway();
    let mut wire = gateway.connect();
    wire.write(Request::get("/w/hints").bytes());
    assert_eq!(wire.head().unwrap().0, 103);
    let answer = wire.answer("GET").unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (200, "hi"));
}

#[test]
fn unsolicited_response_reaches_no_client() {
    let gateway = start();
    for _ in 0..4 {
        let answer = gateway.send(&Request::get("/w/more"));
        assert_eq!((answer.status, answer.text().as_str()), (200, "hi"));
        assert_eq!(gateway.send(&Request::get("/w/fine")).text(), "fine");
    }
}

/// The service takes the next request over its connection, and ends it.
fn after_it_left(gateway: &Gateway, request: &Request) -> (u16, Vec<Recorded>) {
    assert_eq!(gateway.send(&Request::get("/w/leaves")).text(), "hi");
    let status = gateway.send(request).status;
    (status, gateway.upstream.seen(&request.case))
}

#[test]
fn a_service_that_leaves_with_a_request_gets_it_once_more_if_that_does_no_harm() {
    let gateway = start();
    let body = "x".repeat(20_000);
    let put = Request::new("PUT", "/w/put").body(&body);
    for request in [Request::get("/w/get"), put] {
        let (status, seen) = after_it_left(&gateway, &request);
        assert_eq!((status, seen.len()), (200, 1));
        assert_eq!(seen[0].body, request.body);
    }
    let (status, seen) = after_it_left(&gateway, &Request::post("/w/post", "{}"));
    assert_eq!((status, seen.len()), (502, 0));
    assert_eq!(gateway.send(&Request::get("/w/fine")).status, 200);
}

#[test]
fn body_of_a_retried_request_counts_once() {
    let setup = Setup::in_front_of(service()).policy("wallet", POLICY);
    let gateway = setup.config("threads: 1\nlimits: { body_bytes: 30000B }").start();
    let put = Request::new("PUT", "/w/put").body("x".repeat(20_000));
    let (status, seen) = after_it_left(&gateway, &put);
    assert_eq!((status, seen.len()), (200, 1));
    eventually("the request is logged", || {
        let lines = gateway.log_lines();
        lines
            .iter()
            .any(|line| line["path"] == "/w/put" && line["bytes_in"] == 20_000)
    });
}

#[test]
fn request_with_a_key_and_without_a_store_reaches_the_service_once() {
    let policy = "
$wallet
prefix: /w
idempotency: { methods: [PUT], when_unavailable: allow }
routes:
  - { path: /keyed, auth: jwt }
  - { path: /*, auth: public, idempotency: off }
";
    let setup = Setup::in_front_of(service()).with_flags(&["--store", "redis://127.0.0.1:1"]);
    let gateway = setup.policy("wallet", policy).config("threads: 1").start();
    let put = Request::new("PUT", "/w/keyed")
        .body("{}")
        .bearer(&token(json!({})))
        .tenant();
    let put = put.header("idempotency-key", "8e03978e-40d5-43e8-bc93-6894a57f9324");
    let (status, seen) = after_it_left(&gateway, &put);
    assert_eq!((status, seen.len()), (502, 0));
    assert_eq!(gateway.send(&put).status, 200);
}
