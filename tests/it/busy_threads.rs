//! A client that keeps a thread as busy as it can holds up no other client, on this thread or another.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpStream},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

use rustix::process::Signal;

use crate::harness::{
    Gateway, Latch, Request, SetOnDrop, Setup, Upstream, Wire, also_on_4_threads, client::Stream, eventually,
    http2::Http2, message::read_until,
};

const POLICY: &str = "
$wallet
prefix: /w
routes: [{ path: /open/*, auth: public }, { path: /*, auth: jwt }]
";

/// A service that discards bodies of any length, and responds to requests without one.
fn discarding() -> Upstream {
    Upstream::raw(|stream: &mut dyn Stream| {
        while let Some(head) = read_until(stream, b"\r\n\r\n")? {
            if head.starts_with(b"POST") {
                return io::copy(&mut &mut *stream, &mut io::sink()).map(drop);
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")?;
            stream.flush()?;
        }
        Ok(())
    })
}

/// How far a busy client is, and whether it may stop.
#[derive(Default)]
struct Busy {
    steps: AtomicUsize,
    over: AtomicBool,
}

impl Busy {
    /// Repeats a step until it may stop.
    fn repeat(&self, mut step: impl FnMut()) {
        while !self.over.load(Ordering::Relaxed) {
            step();
            self.steps.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until the client has made further steps.
    fn goes_on(&self) {
        let before = self.steps.load(Ordering::Relaxed);
        eventually("the client is busy", || self.steps.load(Ordering::Relaxed) > before + 2);
    }
}

/// Kept connections on all threads and new ones are served while a client is busy, and before it ends.
fn assert_others_are_served(client: impl Fn(&Gateway, &Busy) + Sync) {
    let gateway = Setup::in_front_of(discarding())
        .config("limits: { body_bytes: 100GiB }")
        .policy("wallet", POLICY)
        .start();
    let mut kept: Vec<Wire> = (0..16).map(|_| gateway.connect()).collect();
    let busy = Busy::default();
    thread::scope(|scope| {
        let _end = SetOnDrop(&busy.over);
        scope.spawn(|| client(&gateway, &busy));
        for _ in 0..2 {
            busy.goes_on();
            for wire in &mut kept {
                assert_eq!(wire.exchange(&Request::get("/w/open/x")).status, 200);
            }
            assert_eq!(gateway.send(&Request::get("/w/open/x")).status, 200);
        }
        busy.goes_on();
    });
}

also_on_4_threads![
    upload_without_a_pause_holds_up_no_other_client,
    requests_without_a_pause_hold_up_no_other_client,
    streams_without_a_pause_hold_up_no_other_client,
    few_long_http2_connections_all_proceed,
];

#[test]
fn upload_without_a_pause_holds_up_no_other_client() {
    assert_others_are_served(|gateway, busy| {
        let mut wire = gateway.connect();
        wire.write("POST /w/open/x HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n");
        let chunk = format!("{:x}\r\n{}\r\n", 65_536, "x".repeat(65_536));
        busy.repeat(|| wire.write(&chunk));
    });
}

#[test]
fn requests_without_a_pause_hold_up_no_other_client() {
    assert_others_are_served(|gateway, busy| {
        let (mut to, mut from) = (TcpStream::connect(("127.0.0.1", gateway.port)).unwrap(), [0; 4096]);
        let mut responses = to.try_clone().unwrap();
        // Each is rejected without a word from the service, which leaves most of the work to the thread.
        let requests = "GET /w/x HTTP/1.1\r\nhost: a\r\n\r\n".repeat(200);
        thread::scope(|scope| {
            scope.spawn(move || while to.write_all(requests.as_bytes()).is_ok() {});
            busy.repeat(|| assert!(responses.read(&mut from).unwrap() > 0));
            responses.shutdown(Shutdown::Both).unwrap();
        });
    });
}

#[test]
fn requests_that_a_client_sends_without_a_wait_let_those_of_others_pass() {
    let gateway = Setup::new().policy("wallet", POLICY).start();
    let id = uuid::Uuid::new_v4().to_string();
    let [many, one] = [
        "GET /w/x HTTP/1.1\r\nhost: a\r\n\r\n".repeat(1000).into_bytes(),
        Request::get("/w/x").header("x-request-id", &id).bytes(),
    ];
    gateway.signal(Signal::STOP);
    let wires = [many, one].map(|bytes| {
        let mut wire = gateway.connect();
        wire.write(bytes);
        wire
    });
    gateway.signal(Signal::CONT);
    let mut before = None;
    eventually("it is logged", || {
        let lines = gateway.log_lines().into_iter();
        let mut requests = lines.filter(|line| line["message"] == "request");
        before = requests.position(|line| line["request_id"] == id);
        before.is_some()
    });
    assert!(before < Some(20), "{before:?}");
    drop(wires);
}

#[test]
fn streams_without_a_pause_hold_up_no_other_client() {
    assert_others_are_served(|gateway, busy| {
        let connection = Http2::plain(gateway.port);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| busy.repeat(|| assert_eq!(connection.exchange(&Request::get("/w/x")).status, 401)));
            }
        });
    });
}

#[test]
fn few_long_http2_connections_all_proceed() {
    const CONNECTIONS: usize = 4;
    const STREAMS: usize = 8;
    let (latch, upstream) = Latch::before(200, "whole");
    let gateway = Setup::in_front_of(upstream).policy("wallet", POLICY).start();
    let connections = [(); CONNECTIONS].map(|()| Http2::plain(gateway.port));
    for _ in 0..10 {
        thread::scope(|scope| {
            let exchange = |connection: &Http2| connection.exchange(&Request::get("/w/open/x"));
            let streams = connections.iter().flat_map(|connection| [connection; STREAMS]);
            let streams: Vec<_> = streams.map(|each| scope.spawn(move || exchange(each))).collect();
            // In the first round, those of all connections are with the service at a time.
            eventually("the service has them", || {
                gateway.upstream.all().len() >= CONNECTIONS * STREAMS
            });
            latch.open();
            for stream in streams {
                assert_eq!(stream.join().unwrap().text(), "whole");
            }
        });
    }
}
