//! Clients that send requests and read no response, whatever it is. Each loses its connection after
//! the idle timeout, and what it held is free for others.

use std::{
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use crate::harness::{
    Gateway, Latch, Reply, Request, Setup, Upstream, Wire,
    certificates::client,
    client::SocketOptions,
    eventually,
    frames::{END_STREAM, Frames, INITIAL_WINDOW_SIZE, head, nth, window_update},
};

const POLICY: &str = "
$wallet
prefix: /w
routes: [{ path: /open/*, auth: public }, { path: /*, auth: jwt }]
";

/// Response fields of about half a megabyte, for a response without a body.
const LARGE_FIELD: usize = 8000;
const LARGE_FIELDS: usize = 60;

/// More than the kernel takes for a client that does not read.
const HUGE: usize = 16 << 20;

fn setup(latch: &Latch, limits: &str) -> Setup {
    let latch = latch.clone();
    let upstream = Upstream::start(move |request| match request.target.rsplit('/').next().unwrap() {
        "hints" => Reply::script(|stream| {
            let hint = format!("HTTP/1.1 103 Early Hints\r\nlink: <{}>\r\n\r\n", "x".repeat(4000));
            loop {
                stream.write_all(hint.as_bytes())?;
            }
        }),
        "fields" => (0..LARGE_FIELDS).fold(Reply::ok(""), |reply, n| {
            reply.header(&format!("x-large-{n}"), &"x".repeat(LARGE_FIELD))
        }),
        "large" => Reply::ok(vec![b'x'; 2 << 20]),
        "huge" => Reply::ok(vec![b'x'; HUGE]),
        "held" => {
            latch.wait();
            Reply::ok("{}")
        }
        _ => Reply::ok("{}"),
    });
    Setup::in_front_of(upstream)
        .config(&format!("limits: {{ idle_timeout: 1s, {limits} }}"))
        .tls()
        .policy("wallet", POLICY)
}

fn gateway(limits: &str) -> Gateway {
    setup(&Latch::default(), limits).start()
}

fn unread(port: u16) -> TcpStream {
    SocketOptions {
        receive_buffer: Some(2048),
        ..SocketOptions::default()
    }
    .connect(port)
}

fn get() -> Request {
    Request::get("/w/open/x")
}

fn open(gateway: &Gateway) -> Option<f64> {
    gateway.metric("sidegate_connections", &[])
}

#[test]
fn informational_responses_that_the_client_does_not_read_hold_no_place_beyond_the_idle_timeout() {
    let gateway = gateway("requests: 2, client_requests: 2");
    let mut clients = [unread(gateway.port), unread(gateway.port)].map(Wire::of);
    for client in &mut clients {
        client.write(Request::get("/w/open/hints").bytes());
    }
    eventually("both are with the service", || gateway.upstream.all().len() == 2);
    eventually("others are served", || match gateway.send(&get()).status {
        503 => false,
        status => {
            assert_eq!(status, 200);
            true
        }
    });
    eventually("their connections are gone", || open(&gateway) == Some(0.0));
}

#[test]
fn client_that_reads_slowly_and_steadily_gets_the_whole_response() {
    let gateway = gateway("");
    let options = SocketOptions {
        receive_buffer: Some(16 << 10),
        ..SocketOptions::default()
    };
    let mut client = Wire::of(options.connect(gateway.port));
    client.write(Request::get("/w/open/huge").bytes());
    assert_eq!(client.head().unwrap().0, 200);
    // For several times the idle timeout, while the kernel takes no more from Sidegate.
    let (begin, mut read) = (Instant::now(), 0);
    while begin.elapsed() < Duration::from_secs(4) {
        read += client.read(2048).unwrap().len();
        thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(client.read(HUGE - read).unwrap().len(), HUGE - read);
}

/// Sends a request again and again, and reads no response, until the connection is gone.
fn repeat(gateway: &Gateway, client: &mut Wire, request: &Request, answered: &[(&str, &str)]) {
    let count = || gateway.metric("sidegate_requests_total", answered).unwrap_or_default();
    let (mut expected, is_closed) = (count(), || open(gateway) == Some(0.0));
    for _ in 0..5000 {
        expected += 1.0;
        if client.try_write(&request.bytes()).is_err() {
            break;
        }
        eventually("it is answered, or closed", || count() >= expected || is_closed());
        if is_closed() {
            break;
        }
    }
    eventually("its connection is gone", is_closed);
}

#[test]
fn a_client_that_reads_no_response_loses_its_connection_with_and_without_tls() {
    let gateway = gateway("");
    let long = Request::get(&format!("/w/{}", "x".repeat(7000)));
    let head = Request::new("HEAD", "/w/open/fields");
    for (request, answered) in [
        // Anonymous: the refusal has the path in it.
        (long, [("method", "GET"), ("status", "401")]),
        (head, [("method", "HEAD"), ("status", "200")]),
    ] {
        let mut plain = Wire::of(unread(gateway.port));
        repeat(&gateway, &mut plain, &request, &answered);
        let tls = client(None, &["http/1.1"]);
        let mut tls = Wire::tls_over(unread(gateway.tls_port), tls).unwrap();
        repeat(&gateway, &mut tls, &request, &answered);
    }
    gateway.allowed(&get());
}

#[test]
fn a_client_that_reads_nothing_over_http2_loses_its_connection_whatever_else_it_waits_for() {
    let latch = Latch::default();
    let gateway = setup(&latch, "").start();
    let mut frames = Frames::unread(gateway.port, &[(INITIAL_WINDOW_SIZE, 0x7fff_ffff)]);
    frames.send(&window_update(0, 0x7000_0000));
    frames.send(&head(nth(0), END_STREAM, "GET", "/w/open/held"));
    frames.flood(50, |n| head(nth(n + 1), END_STREAM, "GET", "/w/open/large"));
    eventually("the service has all of them", || gateway.upstream.all().len() == 51);
    // The request that is held ends although its service has not answered.
    eventually("its connection is gone", || open(&gateway) == Some(0.0));
    eventually("no request is left", || {
        gateway.metric("sidegate_requests_in_flight", &[]) == Some(0.0)
    });
    latch.open();
    gateway.allowed(&get());
}

#[test]
fn client_that_sends_thousands_of_requests_at_once_and_reads_nothing_loses_its_connection() {
    let gateway = gateway("requests: 2, client_requests: 2");
    gateway.allowed(&get());
    let before = gateway.resident_bytes();
    let forwarded = Request::get("/w/open/large").bytes().repeat(10_000);
    let rejected = Request::get("/w/x").bytes().repeat(10_000);
    let clients = [&forwarded, &rejected, &rejected, &forwarded].map(|requests| {
        let (port, requests) = (gateway.port, requests.clone());
        thread::spawn(move || {
            let mut wire = Wire::of(unread(port));
            // It ends at the latest when the connection does.
            _ = wire.try_write(&requests);
            wire
        })
    });
    let mut most = before;
    eventually("their connections are gone", || {
        most = most.max(gateway.resident_bytes());
        clients.iter().all(thread::JoinHandle::is_finished) && open(&gateway) == Some(0.0)
    });
    assert!(most < before + (32 << 20), "{before} bytes before, {most} at most");
    eventually("no request is left", || {
        gateway.metric("sidegate_requests_in_flight", &[]) == Some(0.0)
    });
    gateway.allowed(&get());
}
