//! A connection to the service that is still owed a part of a request is never used for another.

use std::{
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use crate::harness::{
    Gateway, PATIENCE, Request, Setup, Shared, Upstream, also_on_4_threads, eventually,
    frames::{DATA, Frames, NO_FLAGS, frame, head, reset},
    message::read_until,
    setup::WALLET,
    upstream::read_request,
};

const POLICY: &str = "
$wallet
prefix: /w
routes: [{ path: /open/*, auth: public }]
";

fn gateway() -> Arc<Gateway> {
    static SHARED: Shared<Gateway> = Shared::new();
    SHARED.get(|| {
        let limits = "limits: { body_bytes: 1MiB, body_timeout: 500ms }";
        Setup::new().config(limits).policy("wallet", POLICY).start()
    })
}

/// Several requests, so that one of them would meet any connection that was kept.
fn assert_next_are_whole(gateway: &Gateway) {
    for _ in 0..5 {
        let get = Request::get("/w/open/next");
        assert_eq!(gateway.allowed(&get).target, "/w/open/next");
        let post = Request::post("/w/open/next", "{\"whole\":true}");
        assert_eq!(gateway.allowed(&post).body, b"{\"whole\":true}");
    }
    gateway.upstream.assert_strict();
}

fn upload(framing: &str) -> Vec<u8> {
    format!("POST /w/open/cut HTTP/1.1\r\nhost: a\r\n{framing}\r\n\r\n").into_bytes()
}

/// What a client sends before it goes.
fn beginnings() -> Vec<Vec<u8>> {
    let smuggled = b"GET /w/open/smuggled HTTP/1.1\r\nhost: a\r\n\r\n";
    vec![
        upload("content-length: 500000"),
        [upload("content-length: 500000"), smuggled.to_vec()].concat(),
        [upload("content-length: 500000"), vec![b'x'; 100_000]].concat(),
        upload("transfer-encoding: chunked"),
        [upload("transfer-encoding: chunked"), b"1000\r\nabc".to_vec()].concat(),
        [upload("transfer-encoding: chunked"), b"3\r\nabc\r\n".to_vec()].concat(),
        [upload("transfer-encoding: chunked"), b"3\r\nabc\r\nzz\r\n".to_vec()].concat(),
    ]
}

also_on_4_threads![
    when_the_client_goes_in_the_middle_of_an_upload,
    when_the_upload_stalls_or_is_too_large,
    when_the_stream_of_an_upload_is_reset,
    connection_of_a_response_that_came_before_the_body_is_not_used_again,
];

#[test]
fn when_the_client_goes_in_the_middle_of_an_upload() {
    let gateway = gateway();
    assert_next_are_whole(&gateway);
    for beginning in beginnings() {
        let mut wire = gateway.connect();
        wire.write(&beginning);
        drop(wire);
        assert_next_are_whole(&gateway);
        eventually("it ended", || {
            gateway.metric("sidegate_requests_in_flight", &[]) == Some(0.0)
        });
        assert_next_are_whole(&gateway);
    }
    assert_not_smuggled(&gateway);
}

#[test]
fn when_the_upload_stalls_or_is_too_large() {
    let gateway = gateway();
    for beginning in beginnings().into_iter().take(3) {
        let mut wire = gateway.connect();
        wire.write(&beginning);
        assert_eq!(wire.answer("POST").unwrap().status, 408);
        assert_next_are_whole(&gateway);
    }
    let mut wire = gateway.connect();
    wire.write(upload("transfer-encoding: chunked"));
    let chunk = format!("{:x}\r\n{}\r\n", 65_536, "x".repeat(65_536));
    while wire.try_write(chunk.as_bytes()).is_ok() {}
    assert_next_are_whole(&gateway);
    assert_not_smuggled(&gateway);
}

#[test]
fn when_the_stream_of_an_upload_is_reset() {
    let gateway = gateway();
    let mut frames = Frames::open(gateway.port, &[]);
    for n in 0..20 {
        let stream = 2 * n + 1;
        frames.send(&head(stream, NO_FLAGS, "POST", "/w/open/cut"));
        frames.send(&frame(
            DATA,
            NO_FLAGS,
            stream,
            b"GET /w/open/smuggled HTTP/1.1\r\nhost: a\r\n\r\n",
        ));
        frames.send(&reset(stream));
    }
    assert!(frames.is_alive());
    assert_next_are_whole(&gateway);
    eventually("they ended", || {
        gateway.metric("sidegate_requests_in_flight", &[]) == Some(0.0)
    });
    assert_next_are_whole(&gateway);
    assert_not_smuggled(&gateway);
}

fn assert_not_smuggled(gateway: &Gateway) {
    let seen = gateway.upstream.all();
    assert!(
        seen.iter()
            .all(|each| each.target != "/w/open/smuggled" && each.target != "/w/open/cut")
    );
}

#[test]
fn connection_of_a_response_that_came_before_the_body_is_not_used_again() {
    let (sender, requests) = mpsc::channel();
    let service = Upstream::raw(move |stream| {
        let head = read_until(stream, b"\r\n\r\n")?.unwrap_or_default();
        stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")?;
        let mut rest = Vec::new();
        _ = stream.read_to_end(&mut rest);
        _ = sender.send((head.starts_with(b"POST"), rest));
        Ok(())
    });
    let gateway = Setup::in_front_of(service).policy("wallet", POLICY).start();
    let mut wire = gateway.connect();
    wire.write("POST /w/open/x HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\n");
    assert_eq!(wire.answer("POST").unwrap().status, 404);
    wire.write("hello");
    assert_eq!(requests.recv_timeout(PATIENCE), Ok((true, b"hello".to_vec())));
    assert_eq!(gateway.send(&Request::get("/w/open/x")).status, 404);
}

#[test]
fn no_post_is_lost_to_a_service_that_closes_idle_connections() {
    const CLOSES_AFTER: Duration = Duration::from_millis(400);
    // It closes a connection at the moment when the next request arrives on it.
    let service = Upstream::raw(|stream| {
        let mut last: Option<Instant> = None;
        while read_request(stream)?.is_some() {
            if last.is_some_and(|last| last.elapsed() >= CLOSES_AFTER) {
                return Ok(());
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")?;
            stream.flush()?;
            last = Some(Instant::now());
        }
        Ok(())
    });
    for (idle_timeout, status) in [("100ms", 200), ("60s", 502)] {
        let upstream = format!("'$upstream', idle_timeout: {idle_timeout}");
        let policy = POLICY.replace("$wallet", &WALLET.replace("'$upstream'", &upstream));
        let setup = Setup::in_front_of(service.clone()).config("threads: 1");
        let gateway = setup.policy("wallet", &policy).start();
        let post = || gateway.send(&Request::post("/w/open/x", "{}")).status;
        assert_eq!(post(), 200);
        thread::sleep(CLOSES_AFTER * 2);
        assert_eq!(post(), status, "{idle_timeout}");
    }
}
