//! Clients that take their time: with a body, with a response, with nothing at all. Each ends, and
//! none of them is in the way of another.

use std::{
    io::Read,
    net::TcpStream,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use crate::harness::{
    Gateway, PATIENCE, Reply, Request, Setup, Upstream, Wire,
    certificates::client,
    eventually,
    frames::{DATA, Frames, HEADERS, NO_FLAGS, RST_STREAM, frame, head},
    http2::Http2,
    message::read_until,
};

const POLICY: &str = "
$wallet
prefix: /w
routes: [{ path: /open/*, auth: public }, { path: /*, auth: jwt }]
";

/// More than all buffers on the way hold.
const LARGE: usize = 24 << 20;

fn gateway(limits: &str) -> Gateway {
    let upstream = Upstream::start(|request| match request.target.ends_with("large") {
        true => Reply::ok(vec![b'x'; LARGE]),
        false => Reply::ok("{}"),
    });
    let limits = format!("limits: {{ {limits} }}");
    Setup::in_front_of(upstream)
        .config(&limits)
        .tls()
        .policy("wallet", POLICY)
        .start()
}

fn get() -> Request {
    Request::get("/w/open/x")
}

fn assert_gone(gateway: &Gateway) {
    eventually("the connection is gone", || {
        gateway.metric("sidegate_connections", &[]) == Some(0.0)
    });
    gateway.allowed(&get());
}

/// Sends a part again and again until something comes back.
fn trickle(mut send: impl FnMut(), answered: &mpsc::Receiver<[u8; 12]>) -> [u8; 12] {
    let deadline = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < deadline, "it reads for ever");
        send();
        match answered.recv_timeout(Duration::from_millis(2)) {
            Ok(start) => return start,
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            Err(error) => panic!("closed without an answer: {error}"),
        }
    }
}

#[test]
fn a_body_that_trickles_in_is_a_408_however_often_it_moves() {
    let gateway = gateway("body_timeout: 500ms, body_rate: 1MiB");
    for framing in ["content-length: 900000", "transfer-encoding: chunked"] {
        let socket = TcpStream::connect(("127.0.0.1", gateway.port)).unwrap();
        let (sender, answered) = mpsc::channel();
        let mut reader = socket.try_clone().unwrap();
        reader.set_read_timeout(Some(PATIENCE)).unwrap();
        thread::spawn(move || {
            let mut start = [0; 12];
            reader.read_exact(&mut start).map(|()| sender.send(start))
        });
        let mut wire = Wire::of(socket);
        wire.write(format!("POST /w/open/x HTTP/1.1\r\nhost: a\r\n{framing}\r\n\r\n"));
        let part: &[u8] = if framing.ends_with("chunked") {
            b"1\r\nx\r\n"
        } else {
            b"x"
        };
        let start = trickle(|| _ = wire.try_write(part), &answered);
        assert_eq!(&start, b"HTTP/1.1 408", "{framing}");
    }
    assert_gone(&gateway);
    // None of them was whole.
    assert!(gateway.upstream.all().iter().all(|seen| seen.method == "GET"));
}

#[test]
fn so_it_is_over_http2() {
    let gateway = gateway("body_timeout: 500ms, body_rate: 1MiB");
    let mut frames = Frames::open(gateway.port, &[]);
    frames.send(&head(1, NO_FLAGS, "POST", "/w/open/x"));
    let deadline = Instant::now() + PATIENCE;
    let answer = loop {
        assert!(Instant::now() < deadline, "it reads for ever");
        assert!(frames.send(&frame(DATA, NO_FLAGS, 1, b"x")), "closed without an answer");
        match frames.within(Duration::from_millis(2)) {
            Some(frame) if frame.stream == 1 && matches!(frame.kind, HEADERS | RST_STREAM) => break frame,
            _ => {}
        }
    };
    assert_eq!(answer.kind, HEADERS);
    assert!(frames.is_alive());
    gateway.allowed(&get());
}

#[test]
fn a_body_that_is_slow_but_moves_arrives() {
    let gateway = gateway("body_timeout: 1s, body_rate: 1000");
    let request = Request::new("POST", "/w/open/x").header("content-length", "3000");
    let mut wire = gateway.connect();
    wire.write(request.bytes());
    for _ in 0..30 {
        thread::sleep(Duration::from_millis(50));
        wire.write([b'x'; 100]);
    }
    let seen = gateway.reached(&request, &wire.answer("POST").unwrap());
    assert_eq!(seen.body.len(), 3000);
}

#[test]
fn unread_response_is_given_up_and_not_buffered() {
    let gateway = gateway("idle_timeout: 500ms");
    gateway.allowed(&get());
    let before = gateway.resident_bytes();
    let mut wires: Vec<Wire> = (0..10).map(|_| gateway.connect()).collect();
    for wire in &mut wires {
        wire.write(Request::get("/w/open/large").bytes());
        assert_eq!(wire.head().unwrap().0, 200);
    }
    gateway.allowed(&get());
    let after = gateway.resident_bytes();
    assert!(after < before + (64 << 20), "{before} bytes before, {after} after");
    assert_gone(&gateway);
    for wire in &mut wires {
        assert!(wire.rest().unwrap().len() < LARGE, "it is whole");
    }
}

#[test]
fn a_response_that_is_read_in_sips_is_given_up() {
    let gateway = gateway("idle_timeout: 500ms");
    let mut wire = gateway.connect();
    wire.write(Request::get("/w/open/large").bytes());
    assert_eq!(wire.head().unwrap().0, 200);
    // Much less in a second than the pieces that are written.
    eventually("the connection is gone", || {
        _ = wire.read(100);
        gateway.metric("sidegate_connections", &[]) == Some(0.0)
    });
}

#[test]
fn an_idle_connection_ends() {
    let gateway = gateway("idle_timeout: 1s, header_timeout: 1s");
    let mut plain = gateway.connect();
    let mut tls = Wire::tls(gateway.tls_port, client(None, &["http/1.1"])).unwrap();
    for wire in [&mut plain, &mut tls] {
        assert_eq!(wire.exchange(&get()).status, 200);
    }
    let over_http2 = Http2::plain(gateway.port);
    assert_eq!(over_http2.exchange(&get()).status, 200);
    let silent = [
        gateway.connect(),
        Wire::tls(gateway.tls_port, client(None, &["http/1.1"])).unwrap(),
    ];
    for mut wire in silent {
        // The time for a head is over.
        assert_eq!(wire.answer("GET").unwrap().status, 408);
    }
    for mut wire in [plain, tls] {
        assert_eq!(wire.rest().unwrap(), b"");
    }
    assert_gone(&gateway);
}

#[test]
fn hundreds_that_do_nothing_do_not_keep_out_another() {
    let gateway = gateway("");
    let idle: Vec<Wire> = (0..500).map(|_| gateway.connect()).collect();
    eventually("they are there", || {
        gateway.metric("sidegate_connections", &[]) == Some(500.0)
    });
    gateway.allowed(&get());
    drop(idle);
    assert_gone(&gateway);
}

/// A service that answers as soon as it has the head, and keeps its connection.
fn hasty() -> Upstream {
    Upstream::raw(|stream| {
        read_until(stream, b"\r\n\r\n")?;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")?;
        stream.flush()?;
        stream.read_to_end(&mut Vec::new()).map(|_| ())
    })
}

#[test]
fn a_body_that_is_no_longer_wanted_is_not_waited_for() {
    let limits = "limits: { body_timeout: 300ms, idle_timeout: 700ms }";
    let setup = Setup::in_front_of(hasty()).config(limits);
    let gateway = setup.policy("wallet", POLICY).start();
    let mut frames = Frames::open(gateway.port, &[]);
    frames.send(&head(1, NO_FLAGS, "POST", "/w/open/x"));
    assert!(
        frames
            .until(|frame| frame.stream == 1 && frame.kind == HEADERS)
            .is_some()
    );
    let mut wire = gateway.connect();
    wire.write(Request::new("POST", "/w/open/x").header("content-length", "10").bytes());
    assert_eq!(wire.answer("POST").unwrap().status, 200);
    eventually("both are over", || {
        gateway.metric("sidegate_requests_in_flight", &[]) == Some(0.0)
    });
    assert!(wire.rest().unwrap().is_empty());
    frames.ended();
}

#[test]
fn nor_is_it_if_it_trickles_in() {
    let limits = "limits: { body_timeout: 500ms, body_rate: 1MiB }";
    let setup = Setup::in_front_of(hasty()).config(limits);
    let gateway = setup.policy("wallet", POLICY).start();
    let mut frames = Frames::open(gateway.port, &[]);
    frames.send(&head(1, NO_FLAGS, "POST", "/w/open/x"));
    let mut wire = gateway.connect();
    wire.write(
        Request::new("POST", "/w/open/x")
            .header("content-length", "900000")
            .bytes(),
    );
    assert_eq!(wire.answer("POST").unwrap().status, 200);
    assert!(
        frames
            .until(|frame| frame.stream == 1 && frame.kind == HEADERS)
            .is_some()
    );
    eventually("both are over", || {
        _ = wire.try_write(b"x");
        frames.send(&frame(DATA, NO_FLAGS, 1, b"x"));
        gateway.metric("sidegate_requests_in_flight", &[]) == Some(0.0)
    });
}
