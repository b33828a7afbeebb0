//! Streams of a service over HTTP/2 that wait: for a window that stays closed, for a place among few, or for a client
//! that goes. No stream is held up by another.

use std::{future::poll_fn, net::TcpStream, sync::mpsc, thread};

use h2::{Reason, server::Builder};

use crate::harness::{
    Answer, Gateway, PATIENCE, Request, Wire, eventually,
    frames::{DATA, END_HEADERS, END_STREAM, Frames, HEADERS, NO_FLAGS, block, field, frame, reset},
    h2_service::{Call, H2Service, Turns},
    http2::Http2,
    unique,
};

const MEBIBYTE: usize = 1 << 20;

/// Services that take nothing of a body, and no more than 64 KiB of one.
fn unread() -> [(H2Service, mpsc::Receiver<Option<Reason>>); 2] {
    let mut closed = Builder::new();
    closed.initial_window_size(0);
    [closed, Builder::new()].map(|builder| {
        let (sender, resets) = mpsc::channel();
        let service = H2Service::with(builder, move |mut call: Call| {
            let sender = sender.clone();
            async move {
                if call.name() == "full" {
                    return call.reply(413, "too much");
                }
                _ = sender.send(call.reset().await);
                Ok(())
            }
        });
        (service, resets)
    })
}

/// Sends a body without reading meanwhile what comes back, and then reads it.
fn upload(gateway: &Gateway, target: &str) -> Answer {
    let socket = TcpStream::connect(("127.0.0.1", gateway.port)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.set_write_timeout(Some(PATIENCE)).unwrap();
    let mut writer = Wire::of(socket.try_clone().unwrap());
    let request = Request::new("POST", target).body(vec![b'x'; MEBIBYTE]);
    thread::scope(|scope| {
        scope.spawn(move || _ = writer.try_write(&request.bytes()));
        Wire::of(socket).answer("POST").unwrap()
    })
}

#[test]
fn upload_that_the_service_does_not_read_is_a_504() {
    for (service, resets) in unread() {
        let gateway = service.setup(", timeout: 500ms").start();
        let answer = upload(&gateway, "/s/x");
        assert_eq!((answer.status, answer.reason().as_str()), (504, "upstream_timeout"));
        assert_eq!(resets.recv_timeout(PATIENCE), Ok(Some(Reason::CANCEL)));
        let request = Request::new("POST", "/s/x").body(vec![b'x'; MEBIBYTE]);
        let answer = Http2::plain(gateway.port).exchange(&request);
        assert_eq!((answer.status, answer.reason().as_str()), (504, "upstream_timeout"));
        assert_eq!(resets.recv_timeout(PATIENCE), Ok(Some(Reason::CANCEL)));
        assert_eq!(service.seen(&request.case).len(), 1);
    }
}

#[test]
fn response_that_comes_before_the_upload_is_read_reaches_the_client() {
    for (service, _) in unread() {
        let gateway = service.setup("").start();
        let answer = upload(&gateway, "/s/full");
        assert_eq!((answer.status, answer.text().as_str()), (413, "too much"));
        let request = Request::new("POST", "/s/full").body(vec![b'x'; MEBIBYTE]);
        let answer = Http2::plain(gateway.port).exchange(&request);
        assert_eq!((answer.status, answer.text().as_str()), (413, "too much"));
        // What was not sent of the bodies is in no other stream's way.
        assert_eq!(gateway.send(&Request::post("/s/full", "{}")).status, 413);
    }
}

#[test]
fn unread_upload_holds_up_no_other_stream_of_its_connection() {
    let (turns, held) = (Turns::new(), Turns::new());
    let (turn, mine) = (turns.clone(), held.clone());
    let service = H2Service::start(move |mut call: Call| {
        let (turn, mine) = (turn.clone(), mine.clone());
        async move {
            if call.name() == "slow" {
                mine.give();
                turn.take().await;
            }
            let body = call.whole_body().await?;
            call.reply(200, body.len().to_string())
        }
    });
    let gateway = service.setup("").start();
    assert_eq!(gateway.send(&Request::get("/s/warm")).text(), "0");
    thread::scope(|scope| {
        let slow = scope.spawn(|| upload(&gateway, "/s/slow"));
        held.wait();
        for _ in 0..3 {
            assert_eq!(gateway.send(&Request::get("/s/x")).text(), "0");
        }
        turns.give();
        assert_eq!(slow.join().unwrap().text(), MEBIBYTE.to_string());
    });
}

/// A service whose streams end when a test says so, and that reports how those end that are cancelled.
fn held(turns: &Turns) -> (H2Service, mpsc::Receiver<Option<Reason>>) {
    let (sender, resets) = mpsc::channel();
    let turns = turns.clone();
    let service = H2Service::start(move |mut call: Call| {
        let (turns, sender) = (turns.clone(), sender.clone());
        async move {
            match call.name().as_str() {
                "silent" => _ = sender.send(call.reset().await),
                "begun" => {
                    let mut stream = call.begin(200, &[])?;
                    stream.send_data("part".into(), false)?;
                    let reset = poll_fn(|cx| stream.poll_reset(cx)).await;
                    _ = sender.send(reset.ok());
                }
                "upload" => {
                    let body = call.whole_body().await;
                    _ = sender.send(body.err().and_then(|error| error.reason()));
                }
                "other" => {
                    turns.take().await;
                    call.reply(200, "done")?;
                }
                _ => call.reply(200, "fine")?,
            }
            Ok(())
        }
    });
    (service, resets)
}

/// A stream that is cancelled by `cancel` beside another one of the same connection.
fn assert_other_completes(cancel: impl Fn(&Gateway, &H2Service)) {
    let turns = Turns::new();
    let (service, resets) = held(&turns);
    let gateway = service.setup("").start();
    assert_eq!(gateway.send(&Request::get("/s/warm")).text(), "fine");
    let other = Request::post("/s/other", "{}");
    let mut wire = gateway.connect();
    wire.write(other.bytes());
    eventually("it is at the service", || service.seen(&other.case).len() == 1);
    cancel(&gateway, &service);
    assert_eq!(resets.recv_timeout(PATIENCE), Ok(Some(Reason::CANCEL)));
    turns.give();
    assert_eq!(wire.answer("POST").unwrap().text(), "done");
    assert_eq!(gateway.send(&Request::get("/s/x")).text(), "fine");
    assert_eq!(service.connections(), 1);
    eventually("they ended", || {
        gateway.metric("sidegate_requests_in_flight", &[]) == Some(0.0)
    });
}

#[test]
fn stream_of_a_client_that_resets_its_own_is_cancelled_alone() {
    for (target, end) in [("/s/silent", END_STREAM), ("/s/upload", NO_FLAGS)] {
        assert_other_completes(|gateway, service| {
            let case = unique().to_string();
            let mut fields = block("POST", target);
            field(&mut fields, "x-case", &case);
            let mut frames = Frames::open(gateway.port, &[]);
            frames.send(&frame(HEADERS, END_HEADERS | end, 1, &fields));
            if end == NO_FLAGS {
                frames.send(&frame(DATA, NO_FLAGS, 1, b"part"));
            }
            eventually("it is at the service", || service.seen(&case).len() == 1);
            frames.send(&reset(1));
            assert!(frames.is_alive());
        });
    }
}

#[test]
fn stream_of_a_client_that_goes_is_cancelled_alone() {
    // In the middle of the response, of which the client has read nothing.
    assert_other_completes(|gateway, _| {
        let socket = TcpStream::connect(("127.0.0.1", gateway.port)).unwrap();
        let mut wire = Wire::of(socket.try_clone().unwrap());
        wire.write(Request::get("/s/begun").bytes());
        assert_eq!(socket.peek(&mut [0]).unwrap(), 1);
    });
    // In the middle of its body.
    assert_other_completes(|gateway, service| {
        let request = Request::new("POST", "/s/upload").header("content-length", "10");
        let mut wire = gateway.connect();
        wire.write(request.bytes());
        wire.write("hello");
        eventually("it is at the service", || service.seen(&request.case).len() == 1);
    });
}

#[test]
fn burst_on_cold_connections_to_a_service_with_few_streams_is_answered() {
    for most in [1, 2] {
        let mut few = Builder::new();
        few.max_concurrent_streams(most);
        let service = H2Service::with(few, |mut call: Call| async move {
            tokio::task::yield_now().await;
            call.reply(200, "done")
        });
        for threads in ["threads: 1", "threads: 2"] {
            let policy = crate::harness::h2_service::policy("s", &service.url, "");
            let gateway = crate::harness::Setup::new()
                .config(threads)
                .policy("s", &policy)
                .start();
            let requests: Vec<_> = (0..50).map(|_| Request::post("/s/x", "")).collect();
            let mut wires: Vec<_> = requests.iter().map(|_| gateway.connect()).collect();
            for (wire, request) in wires.iter_mut().zip(&requests) {
                wire.write(request.bytes());
            }
            let statuses: Vec<_> = wires
                .iter_mut()
                .map(|wire| wire.answer("POST").map_or(0, |answer| answer.status))
                .collect();
            assert!(
                statuses.iter().all(|&status| status == 200),
                "{most} streams: {statuses:?}"
            );
        }
    }
}
