//! A WebSocket passes from its first byte to its last: among many, on any number of threads, with early frames, and
//! whichever side ends first.

use std::{
    net::{Shutdown, TcpStream},
    sync::{Arc, mpsc},
    thread,
};

use parking_lot::Mutex;

use crate::{
    harness::{
        Gateway, PATIENCE, Reply, Request, Setup, Upstream, Wire,
        certificates::{client, pki, server},
        eventually,
        h2_service::policy,
        message::read_until,
        upstream::Recorded,
    },
    upstreams::{handshake, websocket},
};

const CLIENTS: usize = 16;

const SWITCHED: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// A close frame of each side: a client masks it (RFC 6455, 5.5.1).
const CLOSE_OF_CLIENT: &[u8] = b"\x88\x82\x01\x02\x03\x04\x02\xea";
const CLOSE_OF_SERVICE: &[u8] = b"\x88\x02\x03\xe8";

fn in_front_of(upstream: &Upstream, config: &str) -> Gateway {
    let policy = policy("s", &upstream.url, "");
    Setup::in_front_of(upstream.clone())
        .config(config)
        .policy("s", &policy)
        .start()
}

/// The same script behind clear text and behind TLS.
fn behind_each(script: impl Fn(&Recorded) -> Reply + Clone + Send + Sync + 'static) -> [Gateway; 2] {
    let plain = Upstream::start(script.clone());
    let tls = Upstream::tls(server(&pki().server, &["http/1.1"]), script);
    [(plain, ""), (tls, ", ca_file: $folder/ca.crt")].map(|(upstream, more)| {
        let policy = policy("s", &upstream.url, more);
        Setup::in_front_of(upstream).tls().policy("s", &policy).start()
    })
}

/// A client of each kind, and its socket.
fn clients(gateway: &Gateway) -> [(Wire, TcpStream); 2] {
    [gateway.port, gateway.tls_port].map(|port| {
        let socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let own = socket.try_clone().unwrap();
        match port == gateway.port {
            true => (Wire::of(socket), own),
            false => (Wire::tls_over(socket, client(None, &["http/1.1"])).unwrap(), own),
        }
    })
}

fn open(wire: &mut Wire) {
    wire.write(handshake("/s/socket").bytes());
    assert_eq!(wire.head().unwrap().0, 101);
}

fn assert_none_in_flight(gateway: &Gateway) {
    eventually("it is over", || {
        gateway.metric("sidegate_requests_in_flight", &[]) == Some(0.0)
    });
}

/// Opens a WebSocket so many times, some of them at a time, and uses each of them twice.
fn assert_all_live(threads: usize, count: usize) {
    let gateway = in_front_of(&Upstream::start(websocket), &format!("threads: {threads}"));
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            let gateway = &gateway;
            scope.spawn(move || {
                for first in (0..count / CLIENTS).step_by(8) {
                    let mut wires: Vec<_> = (0..8).map(|_| gateway.connect()).collect();
                    for (n, wire) in wires.iter_mut().enumerate() {
                        open(wire);
                        assert_echoes(wire, &format!("{client} {first} {n}"));
                    }
                    for wire in &mut wires {
                        assert_echoes(wire, "still here");
                    }
                }
            });
        }
    });
    assert_none_in_flight(&gateway);
}

#[track_caller]
fn assert_echoes(wire: &mut Wire, text: &str) {
    wire.write(text);
    let read = wire.read(text.len()).unwrap_or_else(|error| panic!("{text}: {error}"));
    assert_eq!(read, text.as_bytes());
}

#[test]
fn websockets_live_on_one_thread_and_on_two() {
    assert_all_live(1, 384);
    assert_all_live(2, 768);
}

#[test]
fn websockets_live_on_four_threads() {
    assert_all_live(4, 2048);
}

#[test]
fn frames_that_come_with_the_101_reach_the_client() {
    let script = |request: &Recorded| match request.values("upgrade")[..] {
        ["websocket"] => Reply::script(|stream| {
            stream.write_all(&[SWITCHED, b"first frame", CLOSE_OF_SERVICE].concat())?;
            stream.flush()?;
            stream.read(&mut [0; 16]).map(drop)
        }),
        _ => Reply::ok("fine"),
    };
    for gateway in behind_each(script) {
        for (mut wire, socket) in clients(&gateway) {
            open(&mut wire);
            assert_eq!(wire.read(11).unwrap(), b"first frame");
            assert_eq!(wire.read(4).unwrap(), CLOSE_OF_SERVICE);
            drop((wire, socket));
            assert_none_in_flight(&gateway);
        }
    }
}

#[test]
fn frames_that_come_with_the_handshake_reach_the_service() {
    for gateway in behind_each(websocket) {
        for (mut wire, _) in clients(&gateway) {
            wire.write([&handshake("/s/socket").bytes()[..], b"first frame"].concat());
            assert_eq!(wire.head().unwrap().0, 101);
            assert_eq!(wire.read(11).unwrap(), b"first frame");
            assert_echoes(&mut wire, "second frame");
        }
    }
}

/// Answers the close frame of the client with its own, and reports what came after it.
fn closing(seen: &mpsc::Sender<Vec<u8>>) -> impl Fn(&Recorded) -> Reply + Clone + Send + Sync + 'static {
    let seen = seen.clone();
    move |_| {
        let seen = seen.clone();
        Reply::script(move |stream| {
            stream.write_all(SWITCHED)?;
            stream.flush()?;
            read_until(stream, CLOSE_OF_CLIENT)?;
            stream.write_all(CLOSE_OF_SERVICE)?;
            stream.flush()?;
            let mut rest = Vec::new();
            _ = stream.read_to_end(&mut rest);
            _ = seen.send(rest);
            Ok(())
        })
    }
}

#[test]
fn close_of_a_client_reaches_the_service_and_so_does_the_one_back() {
    let (sender, seen) = mpsc::channel();
    for gateway in behind_each(closing(&sender)) {
        for (mut wire, socket) in clients(&gateway) {
            open(&mut wire);
            wire.write(CLOSE_OF_CLIENT);
            assert_eq!(wire.read(4).unwrap(), CLOSE_OF_SERVICE);
            socket.shutdown(Shutdown::Both).unwrap();
            assert_eq!(seen.recv_timeout(PATIENCE), Ok(Vec::new()), "the service sees the end");
            assert_none_in_flight(&gateway);
        }
    }
}

#[test]
fn client_that_closes_its_sending_half_still_reads_the_close_of_the_service() {
    let (sender, seen) = mpsc::channel();
    for gateway in behind_each(closing(&sender)) {
        // Over TLS, a socket that ends without a word of TLS is broken off, and not half closed.
        let [(mut wire, socket), _] = clients(&gateway);
        open(&mut wire);
        wire.write(CLOSE_OF_CLIENT);
        socket.shutdown(Shutdown::Write).unwrap();
        assert_eq!(wire.read(4).unwrap(), CLOSE_OF_SERVICE);
        assert!(wire.rest().unwrap().is_empty());
        assert_eq!(seen.recv_timeout(PATIENCE), Ok(Vec::new()));
        assert_none_in_flight(&gateway);
    }
}

#[test]
fn service_that_closes_first_ends_the_websocket_behind_its_last_frame() {
    let script = |_: &Recorded| {
        Reply::script(|stream| {
            stream.write_all(SWITCHED)?;
            stream.flush()?;
            read_until(stream, b"bye?")?;
            let last = vec![b'x'; 300_000];
            stream.write_all(&[&last, CLOSE_OF_SERVICE].concat())?;
            stream.flush()
        })
    };
    for gateway in behind_each(script) {
        for (mut wire, _) in clients(&gateway) {
            open(&mut wire);
            wire.write("bye?");
            let rest = wire.rest().unwrap();
            assert_eq!(rest.len(), 300_004);
            assert!(rest.ends_with(CLOSE_OF_SERVICE));
            assert_none_in_flight(&gateway);
        }
    }
}

#[test]
fn client_that_goes_without_a_word_ends_the_websocket_at_the_service() {
    let (sender, ended) = mpsc::channel();
    let script = move |_: &Recorded| {
        let sender = sender.clone();
        Reply::script(move |stream| {
            stream.write_all(SWITCHED)?;
            stream.flush()?;
            _ = stream.read_to_end(&mut Vec::new());
            _ = sender.send(());
            Ok(())
        })
    };
    for gateway in behind_each(script) {
        for (mut wire, socket) in clients(&gateway) {
            open(&mut wire);
            drop((wire, socket));
            ended.recv_timeout(PATIENCE).unwrap();
            assert_none_in_flight(&gateway);
        }
    }
}

#[test]
fn websocket_that_the_service_rejects_is_an_ordinary_response() {
    let script = |request: &Recorded| match request.target.rsplit('/').next().unwrap() {
        "fine" => Reply::ok("fine"),
        "bad" => Reply::status(400, "no handshake"),
        "busy" => Reply::bytes(b"HTTP/1.1 503 Busy\r\ntransfer-encoding: chunked\r\n\r\n4\r\nbusy\r\n0\r\n\r\n"),
        _ => Reply::status(200, "a page"),
    };
    for gateway in behind_each(script) {
        for (mut wire, _) in clients(&gateway) {
            for (name, status, body) in [
                ("bad", 400, "no handshake"),
                ("page", 200, "a page"),
                ("busy", 503, "busy"),
            ] {
                let answer = wire.exchange(&handshake(&format!("/s/{name}")));
                assert_eq!((answer.status, answer.text().as_str()), (status, body));
                assert!(answer.keeps_alive(), "{name}: {answer:?}");
                assert_eq!(wire.exchange(&Request::get("/s/fine")).text(), "fine");
            }
        }
    }
}

#[test]
fn service_that_switches_protocols_unasked_has_failed() {
    let switching = |_: &Recorded| Reply::bytes(SWITCHED);
    for gateway in behind_each(switching) {
        for request in [
            Request::get("/s/x"),
            Request::post("/s/x", "{}"),
            handshake("/s/x").header("content-length", "0"),
        ] {
            let answer = gateway.send(&request);
            assert_eq!(
                (answer.status, answer.reason().as_str()),
                (502, "upstream_failed"),
                "{request}"
            );
        }
    }
}

#[test]
fn handshake_over_http_1_0_or_with_a_body_is_an_ordinary_request() {
    let echo = |request: &Recorded| Reply::ok(&request.body);
    for gateway in behind_each(echo) {
        let old = handshake("/s/x");
        let text = String::from_utf8(old.bytes()).unwrap().replace("HTTP/1.1", "HTTP/1.0");
        let mut wire = gateway.connect();
        wire.write(&text);
        assert_eq!(wire.answer("GET").unwrap().status, 200);
        assert!(gateway.upstream.seen(&old.case)[0].values("upgrade").is_empty());

        let sized = handshake("/s/x").body("hello");
        let sized = sized.header("content-length", "5");
        let chunked = handshake("/s/x")
            .header("transfer-encoding", "chunked")
            .body("5\r\nhello\r\n0\r\n\r\n");
        for request in [sized, chunked] {
            let mut wire = gateway.connect();
            assert_eq!(wire.exchange(&request).text(), "hello");
            let seen = &gateway.upstream.seen(&request.case)[0];
            assert_eq!((&seen.body[..], seen.values("upgrade").len()), (&b"hello"[..], 0));
            // What follows is the next request, and no frame.
            assert_eq!(wire.exchange(&Request::post("/s/x", "{}")).text(), "{}");
        }
        gateway.upstream.assert_strict();
    }
}

#[test]
fn websocket_whose_service_does_not_read_ends_in_the_time_of_the_service() {
    let (open_service, never) = mpsc::channel::<()>();
    let never = Arc::new(Mutex::new(never));
    let service = Upstream::start(move |_: &Recorded| {
        let never = never.clone();
        Reply::script(move |stream| {
            stream.write_all(SWITCHED)?;
            stream.flush()?;
            _ = never.lock().recv();
            Ok(())
        })
    });
    let policy = policy("s", &service.url, ", timeout: 1s");
    let gateway = Setup::in_front_of(service).policy("s", &policy).start();
    let mut wire = gateway.connect();
    open(&mut wire);
    // More than all buffers on the way hold; the client cannot send all of it.
    _ = wire.try_write(&vec![b'x'; 64 << 20]);
    drop(wire);
    assert_none_in_flight(&gateway);
    drop(open_service);
}
