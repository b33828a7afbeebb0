//! SIGTERM: no new work, and none of the work in hand is cut.

use std::net::TcpStream;

use rustix::process::Signal;
use serde_json::json;

use crate::harness::{
    Gateway, Latch, Reply, Request, Setup, Upstream, also_on_4_threads,
    certificates::client,
    eventually,
    frames::{ACK, DATA, END_STREAM, Frames, GOAWAY, HEADERS, PING, frame, head},
    http2::Http2,
    issuer::token,
    values,
};

const POLICY: &str = "
$wallet
prefix: /w
routes: [{ path: /open/*, auth: public }, { path: /*, auth: jwt }]
";

/// A gateway whose service answers `/held` when the latch opens.
fn holding() -> (Gateway, Latch) {
    let release = Latch::default();
    let held = release.clone();
    let upstream = Upstream::start(move |request| {
        if request.target.ends_with("held") {
            held.wait();
        }
        Reply::ok("whole")
    });
    let gateway = Setup::in_front_of(upstream)
        .config("shutdown: { grace: 15s }")
        .tls()
        .policy("wallet", POLICY)
        .start();
    (gateway, release)
}

fn in_hand(gateway: &Gateway, request: &Request) {
    eventually("the service has it", || {
        !gateway.upstream.seen(&request.case).is_empty()
    });
}

also_on_4_threads![
    a_request_in_hand_ends_and_then_the_process_does,
    a_request_whose_head_is_on_its_way_is_taken,
    so_does_one_over_http2,
    http2_clients_get_a_goaway_and_lose_nothing,
    idle_connections_do_not_keep_it,
    a_request_that_never_ends_is_cut_when_the_grace_is_over,
    until_the_delay_is_over_it_serves_as_ever,
    a_second_life_on_the_same_port_starts_at_once,
    requests_in_hand_on_every_thread_end,
    clients_that_were_not_accepted_yet_are_served,
];

#[test]
fn a_request_in_hand_ends_and_then_the_process_does() {
    let (gateway, release) = holding();
    let request = Request::get("/w/open/held");
    let mut wire = gateway.connect();
    wire.write(request.bytes());
    in_hand(&gateway, &request);
    gateway.terminate();
    eventually("it is no longer ready", || gateway.probe("/readyz") != Some(200));
    assert!(gateway.is_running());
    release.open();
    let answer = wire.answer("GET").unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (200, "whole"));
    assert!(gateway.ended().success());
    assert!(wire.rest().unwrap().is_empty());
    assert!(TcpStream::connect(("127.0.0.1", gateway.port)).is_err());
}

#[test]
fn sigquit_drains_as_sigterm_does() {
    let (gateway, release) = holding();
    let request = Request::get("/w/open/held");
    let mut wire = gateway.connect();
    wire.write(request.bytes());
    in_hand(&gateway, &request);
    gateway.signal(Signal::QUIT);
    eventually("it is no longer ready", || gateway.probe("/readyz") != Some(200));
    release.open();
    let answer = wire.answer("GET").unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (200, "whole"));
    assert!(gateway.ended().success());
}

#[test]
fn signals_that_other_servers_know_are_logged_and_end_nothing() {
    let gateway = Setup::new().policy("wallet", POLICY).start();
    for (signal, name) in [(Signal::USR1, "SIGUSR1"), (Signal::USR2, "SIGUSR2")] {
        gateway.signal(signal);
        eventually(name, || {
            let lines = gateway.log_lines();
            lines
                .iter()
                .any(|line| line["signal"] == name && line["level"] == "WARN")
        });
        gateway.allowed(&Request::get("/w/open/x"));
    }
}

#[test]
fn a_request_whose_head_is_on_its_way_is_taken() {
    let (gateway, _release) = holding();
    let request = Request::get("/w/open/x");
    let bytes = request.bytes();
    let (first, rest) = bytes.split_at(bytes.len() / 2);
    let mut wire = gateway.connect();
    wire.write(first);
    eventually("it has begun", || {
        gateway.connections() == 1 && nothing_is_unread(gateway.port)
    });
    gateway.terminate();
    eventually("it is no longer ready", || gateway.probe("/readyz") != Some(200));
    wire.write(rest);
    let answer = wire.answer("GET").unwrap();
    assert_eq!((answer.status, answer.keeps_alive()), (200, false));
    assert!(gateway.ended().success());
}

/// Whether all that came to a port of this machine was read, as the kernel has it.
fn nothing_is_unread(port: u16) -> bool {
    let connections = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let mut of_port = connections.lines().skip(1).filter_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let (local, queues) = (fields[1], fields[4]);
        local
            .ends_with(&format!(":{port:04X}"))
            .then(|| queues.ends_with(":00000000"))
    });
    of_port.all(|read| read)
}

#[test]
fn readiness_is_gone_while_liveness_and_metrics_stay() {
    let (gateway, release) = holding();
    let request = Request::get("/w/open/held");
    let mut wire = gateway.connect();
    wire.write(request.bytes());
    in_hand(&gateway, &request);
    gateway.terminate();
    eventually("/readyz is 503", || gateway.probe("/readyz") == Some(503));
    assert_eq!(
        (gateway.probe("/livez"), gateway.probe("/metrics")),
        (Some(200), Some(200))
    );
    release.open();
    assert_eq!(wire.answer("GET").unwrap().status, 200);
    gateway.ended();
}

#[test]
fn so_does_one_over_http2() {
    let (gateway, release) = holding();
    let plain = Http2::plain(gateway.port);
    let tls = Http2::tls(gateway.tls_port, client(None, &["h2"])).unwrap();
    let get = || Request::get("/w/held").bearer(&token(json!({}))).tenant();
    let requests = [get(), get()];
    let mut silent = gateway.connect();
    std::thread::scope(|scope| {
        let answers = [&plain, &tls].into_iter().zip(&requests);
        let answers: Vec<_> = answers
            .map(|(connection, request)| scope.spawn(|| connection.exchange(request)))
            .collect();
        for request in &requests {
            in_hand(&gateway, request);
        }
        gateway.terminate();
        eventually("it is no longer ready", || gateway.probe("/readyz") != Some(200));
        // By the time that connections without any request are closed, these are not.
        assert!(silent.rest().unwrap().is_empty());
        release.open();
        for answer in answers {
            assert_eq!(answer.join().unwrap().text(), "whole");
        }
    });
    assert!(gateway.ended().success());
}

#[test]
fn http2_clients_get_a_goaway_and_lose_nothing() {
    let (gateway, release) = holding();
    let mut frames = Frames::open(gateway.port, &[]);
    frames.send(&head(1, END_STREAM, "GET", "/w/open/held"));
    eventually("the service has it", || !gateway.upstream.all().is_empty());
    gateway.terminate();
    assert!(frames.until(|frame| frame.kind == GOAWAY).is_some());
    // The server waits for this reply: what was sent before it may still be on its way.
    let ping = frames.until(|frame| frame.kind == PING).unwrap();
    frames.send(&frame(PING, ACK, 0, &ping.payload));
    release.open();
    assert!(
        frames
            .until(|frame| frame.kind == HEADERS && frame.stream == 1)
            .is_some()
    );
    let body = frames.until(|frame| frame.kind == DATA && frame.stream == 1);
    assert_eq!(body.unwrap().payload, b"whole");
    assert!(gateway.ended().success());
}

#[test]
fn idle_connections_do_not_keep_it() {
    let (gateway, _) = holding();
    let mut idle = gateway.connect();
    assert_eq!(idle.exchange(&Request::get("/w/open/x")).status, 200);
    let connection = Http2::plain(gateway.port);
    assert_eq!(connection.exchange(&Request::get("/w/open/x")).status, 200);
    let silent = gateway.connect();
    gateway.terminate();
    // Well within the grace of 15 s, or `ended` would not be patient enough by much.
    assert!(gateway.ended().success());
    assert!(idle.rest().unwrap().is_empty());
    drop(silent);
}

#[test]
fn a_request_that_never_ends_is_cut_when_the_grace_is_over() {
    let upstream = Upstream::start(|_| {
        Reply::script(|stream| {
            stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n")?;
            stream.flush()?;
            // Until the other side gives up.
            stream.read(&mut [0]).map(|_| ())
        })
    });
    let gateway = Setup::in_front_of(upstream)
        .config("shutdown: { grace: 1s }")
        .policy("wallet", POLICY)
        .start();
    let mut wire = gateway.connect();
    wire.write(Request::get("/w/open/endless").bytes());
    let (status, headers) = wire.head().unwrap();
    assert_eq!((status, values(&headers, "transfer-encoding")), (200, vec!["chunked"]));
    assert_eq!(wire.chunk(), b"hello");
    gateway.terminate();
    gateway.ended();
}

#[test]
fn until_the_delay_is_over_it_serves_as_ever() {
    let gateway = Setup::new()
        .config("shutdown: { delay: 3s, grace: 15s }")
        .policy("wallet", POLICY)
        .start();
    gateway.terminate();
    eventually("/readyz is 503", || gateway.probe("/readyz") == Some(503));
    // A client that has not heard of it yet comes with a new connection.
    gateway.allowed(&Request::get("/w/open/x"));
    assert!(gateway.ended().success());
}

#[test]
fn a_second_life_on_the_same_port_starts_at_once() {
    let (gateway, _) = holding();
    assert_eq!(gateway.send(&Request::get("/w/open/x")).status, 200);
    gateway.terminate();
    assert!(gateway.ended().success());
    let listener = std::net::TcpListener::bind(("127.0.0.1", gateway.port));
    assert!(listener.is_ok(), "{listener:?}");
}

#[test]
fn requests_in_hand_on_every_thread_end() {
    let (gateway, release) = holding();
    let get = || Request::get("/w/open/held");
    let mut wires: Vec<_> = (0..16).map(|_| gateway.connect()).collect();
    let connections = [(); 4].map(|()| Http2::plain(gateway.port));
    for wire in &mut wires {
        wire.write(get().bytes());
    }
    std::thread::scope(|scope| {
        let exchange = |connection: &Http2| connection.exchange(&get());
        let streams = connections.iter().flat_map(|connection| [connection; 2]);
        let streams: Vec<_> = streams.map(|each| scope.spawn(move || exchange(each))).collect();
        eventually("the service has all", || gateway.upstream.all().len() == 24);
        gateway.terminate();
        eventually("it is no longer ready", || gateway.probe("/readyz") != Some(200));
        release.open();
        for wire in &mut wires {
            assert_eq!(wire.answer("GET").unwrap().text(), "whole");
        }
        for stream in streams {
            assert_eq!(stream.join().unwrap().text(), "whole");
        }
    });
    assert!(gateway.ended().success());
}

#[test]
fn clients_that_were_not_accepted_yet_are_served() {
    let (gateway, _) = holding();
    // As `Gateway::at_once`, with the signal before the process sees any of them.
    gateway.signal(Signal::STOP);
    let send = |request: Request| {
        let mut wire = gateway.connect();
        wire.write(request.bytes());
        wire
    };
    let wires: Vec<_> = (0..150).map(|_| send(Request::get("/w/x"))).collect();
    gateway.terminate();
    gateway.signal(Signal::CONT);
    for mut wire in wires {
        // A rejection, which takes no more than the process itself.
        assert_eq!(wire.answer("GET").unwrap().status, 401);
    }
    assert!(gateway.ended().success());
}
