//! A connection after a no: as good as before it, or closed; never in between.

use std::sync::Arc;

use serde_json::json;

use crate::harness::{Answer, Gateway, Request, Setup, Shared, Wire, also_on_4_threads, eventually, issuer::token};

const POLICY: &str = "
$wallet
prefix: /w
routes: [{ path: /open/*, auth: public }, { path: /*, auth: jwt }]
";

fn gateway() -> Arc<Gateway> {
    static SHARED: Shared<Gateway> = Shared::new();
    SHARED.get(|| {
        let limits = "limits: { body_bytes: 1MiB, body_timeout: 2s }";
        Setup::new().config(limits).policy("wallet", POLICY).start()
    })
}

fn assert_next_is_fine(gateway: &Gateway, wire: &mut Wire) {
    let next = Request::get("/w/open/next").header("x-user-id", "spoofed");
    let seen = gateway.reached(&next, &wire.exchange(&next));
    assert_eq!((seen.method.as_str(), seen.target.as_str()), ("GET", "/w/open/next"));
}

also_on_4_threads![
    a_rejection_with_an_unread_body_leaves_the_connection_usable,
    hundreds_of_rejections_share_one_connection,
    too_large_a_body_is_rejected_before_or_while_it_passes,
];

#[test]
fn a_rejection_with_an_unread_body_leaves_the_connection_usable() {
    let gateway = gateway();
    let mut wire = gateway.connect();
    for size in [0, 1, 100, 70_000, 200_000] {
        // A body that looks like a request is still a body.
        let body = "GET /w/open/smuggled HTTP/1.1\r\nHost: x\r\n\r\n".repeat(1 + size / 42);
        let request = Request::post("/w/x", &body);
        let answer = wire.exchange(&request);
        gateway.rejected(&request, &answer, 401, "credential_missing");
        assert!(answer.keeps_alive(), "{size}: {answer:?}");
        assert_next_is_fine(&gateway, &mut wire);
    }
    assert!(
        gateway
            .upstream
            .all()
            .iter()
            .all(|seen| seen.target != "/w/open/smuggled")
    );
}

#[test]
fn connection_header_of_a_response_is_true_however_the_body_comes() {
    let gateway = gateway();
    let sized = ("content-length", "5", "hello");
    let chunked = ("transfer-encoding", "chunked", "5\r\nhello\r\n0\r\n\r\n");
    let mut lies = Vec::new();
    for (name, value, body) in [sized, chunked] {
        for after_the_answer in [false, true] {
            let mut wire = gateway.connect();
            let request = Request::new("POST", "/w/x")
                .header("content-type", "application/json")
                .header(name, value);
            wire.write(request.bytes());
            if !after_the_answer {
                wire.write(body);
            }
            let answer = wire.answer("POST").unwrap();
            gateway.rejected(&request, &answer, 401, "credential_missing");
            if after_the_answer {
                _ = wire.try_write(body.as_bytes());
            }
            let next = Request::get("/w/open/next");
            let usable =
                wire.try_write(&next.bytes()).is_ok() && wire.answer("GET").is_ok_and(|next| next.status == 200);
            if usable != answer.keeps_alive() {
                lies.push((name, after_the_answer, answer.header("connection").map(str::to_owned)));
            }
        }
    }
    assert!(
        lies.is_empty(),
        "(framing, body after the answer, `connection`): {lies:?}"
    );
}

#[test]
fn hundreds_of_rejections_share_one_connection() {
    let gateway = gateway();
    let mut wire = gateway.connect();
    for _ in 0..300 {
        assert_eq!(wire.exchange(&Request::get("/w/x")).status, 401);
    }
    assert_next_is_fine(&gateway, &mut wire);
}

#[test]
fn an_unread_body_beyond_measure_closes_the_connection() {
    let gateway = gateway();
    let mut wire = gateway.connect();
    let request = Request::new("POST", "/w/x")
        .header("content-type", "application/json")
        .header("content-length", "500000000");
    wire.write(request.bytes());
    let answer = wire.answer("POST").unwrap();
    assert!(matches!(answer.status, 401 | 413), "{answer:?}");
    gateway.rejected(&request, &answer, answer.status, &answer.reason());
    // It neither reads for ever nor takes the body for a request.
    let part = vec![b'x'; 65_536];
    let mut written = 0_usize;
    while written < 500_000_000 && wire.try_write(&part).is_ok() {
        written += 65_536;
    }
    assert!(written < 400_000_000, "{written} bytes were drained");
}

#[test]
fn a_body_that_never_comes_closes_the_connection() {
    let gateway = gateway();
    let mut wire = gateway.connect();
    wire.write(Request::new("POST", "/w/x").header("content-length", "1000").bytes());
    assert_eq!(wire.answer("POST").unwrap().status, 401);
    assert!(wire.rest().unwrap().is_empty());
}

#[test]
fn a_client_that_asks_first_is_answered_first() {
    let gateway = gateway();
    let mut wire = gateway.connect();
    let request = Request::post("/w/x", "")
        .header("expect", "100-continue")
        .header("content-length", "9");
    wire.write(request.bytes());
    let (status, _) = wire.head().unwrap();
    assert_eq!(status, 401);
    assert_eq!(gateway.upstream.seen(&request.case).len(), 0);
}

#[test]
fn too_large_a_body_is_rejected_before_or_while_it_passes() {
    let gateway = gateway();
    let good = token(json!({}));
    let post = || {
        Request::new("POST", "/w/x")
            .bearer(&good)
            .tenant()
            .header("content-type", "application/json")
    };

    let announced = post().header("content-length", "1048577");
    let mut wire = gateway.connect();
    wire.write(announced.bytes());
    let answer = wire.answer("POST").unwrap();
    gateway.rejected(&announced, &answer, 413, "body_too_large");

    let streamed = post().header("transfer-encoding", "chunked");
    let mut wire = gateway.connect();
    wire.write(streamed.bytes());
    let chunk = format!("{:x}\r\n{}\r\n", 65_536, "x".repeat(65_536));
    for _ in 0..17 {
        if wire.try_write(chunk.as_bytes()).is_err() {
            break;
        }
    }
    let answer = wire.answer("POST").unwrap();
    assert_eq!(
        (answer.status, answer.reason().as_str()),
        (413, "body_too_large"),
        "{answer:?}"
    );
    // The service never saw a request that ended well.
    assert_eq!(gateway.upstream.seen(&streamed.case).len(), 0);

    let exact = post().body(vec![b'x'; 1_048_576]);
    assert_eq!(gateway.allowed(&exact).body.len(), 1_048_576);
}

#[test]
fn a_body_that_stalls_is_a_timeout() {
    let gateway = gateway();
    let request = Request::new("POST", "/w/open/x").header("content-length", "10");
    let mut wire = gateway.connect();
    wire.write(request.bytes());
    wire.write("hello");
    let answer = wire.answer("POST").unwrap();
    assert_eq!(
        (answer.status, answer.reason().as_str()),
        (408, "request_timeout"),
        "{answer:?}"
    );
    assert!(!answer.keeps_alive());
    assert!(wire.rest().unwrap().is_empty());
    assert_eq!(gateway.upstream.seen(&request.case).len(), 0);
}

#[test]
fn asking_for_an_upgrade_does_not_stop_the_clock() {
    let gateway = gateway();
    for upgrade in ["foo", "websocket"] {
        let mut wire = gateway.connect();
        let head = format!(
            "POST /w/open HTTP/1.1\r\nhost: localhost\r\nupgrade: {upgrade}\r\nconnection: upgrade\r\ncontent-length: 10\r\n\r\nab"
        );
        wire.write(head);
        let answer = wire.answer("POST").unwrap();
        assert_eq!(
            (answer.status, answer.reason().as_str()),
            (408, "request_timeout"),
            "{upgrade}"
        );
    }
}

#[test]
fn client_that_stopped_sending_still_gets_its_response() {
    let gateway = gateway();
    let mut wire = gateway.connect();
    let request = Request::get("/w/open/x");
    wire.write(request.bytes());
    wire.finish();
    gateway.reached(&request, &wire.answer("GET").unwrap());
}

#[test]
fn requests_in_one_packet_are_answered_in_order_or_not_at_all() {
    let gateway = gateway();
    let mut wire = gateway.connect();
    let (first, second) = (Request::get("/w/x"), Request::get("/w/open/second"));
    wire.write([first.bytes(), second.bytes()].concat());
    gateway.rejected(&first, &wire.answer("GET").unwrap(), 401, "credential_missing");
    if let Ok(answer) = wire.answer("GET") {
        gateway.reached(&second, &answer);
    }
}

/// Sends parts in the middle of a body from a thread of its own, as a client does that reads only when it has
/// sent all, until the connection takes no more. Returns the response that it reads then.
fn answer_to_upload(gateway: &Gateway, framing: &str, part: &[u8], bad: &[u8]) -> std::io::Result<Answer> {
    let mut wire = gateway.connect();
    wire.write(format!("POST /w/open/x HTTP/1.1\r\nhost: a\r\n{framing}\r\n\r\n"));
    for _ in 0..16 {
        wire.write(part);
    }
    wire.write(bad);
    for _ in 0..64 {
        // What comes after the response is still taken.
        wire.try_write(part)?;
    }
    wire.answer("POST")
}

#[test]
fn client_that_still_sends_its_body_reads_why_it_was_rejected() {
    let gateway = gateway();
    let part = [b"10000\r\n".as_slice(), &vec![b'x'; 65_536], b"\r\n"].concat();
    let (sized, chunked) = ("content-length: 1000000000", "transfer-encoding: chunked");
    for (framing, bad, status, reason) in [
        (chunked, &part[..], 413, "body_too_large"),
        (chunked, b"5;;\r\nhello\r\n", 400, "request_malformed"),
        (sized, b"", 413, "body_too_large"),
    ] {
        let answer = answer_to_upload(&gateway, framing, &part, bad)
            .unwrap_or_else(|error| panic!("{framing} {status}: {error}"));
        assert_eq!(
            (answer.status, answer.reason().as_str()),
            (status, reason),
            "{answer:?}"
        );
        assert!(!answer.keeps_alive());
    }
}

#[test]
fn client_that_sends_on_after_a_timeout_reads_of_it() {
    let limits = "limits: { body_timeout: 500ms }";
    let gateway = Setup::new().config(limits).policy("wallet", POLICY).start();
    for (n, framing) in ["content-length: 100000", "transfer-encoding: chunked"]
        .into_iter()
        .enumerate()
    {
        let mut wire = gateway.connect();
        wire.write(format!("POST /w/open/x HTTP/1.1\r\nhost: a\r\n{framing}\r\n\r\n"));
        eventually("its time is over", || {
            gateway.log_text().matches("\"failure\":\"request_timeout\"").count() > n
        });
        _ = wire.try_write(&vec![b'x'; 50_000]);
        let answer = wire.answer("POST").unwrap();
        assert_eq!((answer.status, answer.keeps_alive()), (408, false));
    }
}
