//! Requests with an idempotency key whose client goes, for every kind of client and of service: what the service did
//! is stored, what it did not get whole never is.

use std::{
    net::TcpStream,
    sync::mpsc,
    time::{Duration, Instant},
};

use h2::Reason;
use serde_json::json;

use crate::{
    harness::{
        Gateway, PATIENCE, Reply, Request, Setup, Upstream, Wire, also_on_4_threads,
        certificates::{pki, server},
        eventually,
        frames::{DATA, END_HEADERS, END_STREAM, Frames, HEADERS, NO_FLAGS, block, field, frame, reset},
        h2_service::{Call, H2Service, Turns, policy},
        http2::Http2,
        issuer::token,
        message::{read_chunked, read_until},
        redis::Redis,
        toxic::{Fault, Toxic},
        upstream::Recorded,
        values,
    },
    idempotency::{again, is_replayed, key},
};

const SERVICES: [&str; 4] = ["plain", "tls", "h2c", "h2"];

/// A service of each kind that holds its response until it may send it.
struct Fixture {
    gateway: Gateway,
    seen: Box<dyn Fn(&str) -> usize>,
    turns: Turns,
}

fn script(turns: &Turns) -> impl Fn(&Recorded) -> Reply + Send + Sync + 'static {
    let turns = turns.clone();
    move |request| {
        turns.wait();
        Reply::ok(&request.body)
    }
}

fn start() -> Fixture {
    let turns = Turns::new();
    let plain = Upstream::start(script(&turns));
    let tls = Upstream::tls(server(&pki().server, &["http/1.1"]), script(&turns));
    let h2_script = || {
        let turns = turns.clone();
        move |mut call: Call| {
            let turns = turns.clone();
            async move {
                let body = call.whole_body().await?;
                turns.take().await;
                call.reply(200, body)
            }
        }
    };
    let h2c = H2Service::start(h2_script());
    let h2 = H2Service::tls(server(&pki().server, &["h2"]), h2_script());
    let trusted = ", ca_file: $folder/ca.crt";
    let gateway = Setup::in_front_of(plain.clone())
        .tls()
        .policy("plain", &policy("plain", &plain.url, ""))
        .policy("tls", &policy("tls", &tls.url, trusted))
        .policy("h2c", &policy("h2c", &h2c.url, ""))
        .policy("h2", &policy("h2", &h2.url, trusted))
        .start();
    let seen = move |case: &str| {
        let over_http1 = plain.seen(case).len() + tls.seen(case).len();
        over_http1 + h2c.seen(case).len() + h2.seen(case).len()
    };
    Fixture {
        gateway,
        seen: Box::new(seen),
        turns,
    }
}

fn keyed(target: &str, body: &str) -> Request {
    Request::post(target, body)
        .bearer(&token(json!({})))
        .header("idempotency-key", &key())
}

/// The frames of a request, to its end or not.
fn over_http2(request: &Request, flags: u8) -> Vec<u8> {
    let mut fields = block(&request.method, &request.target);
    field(&mut fields, "x-case", &request.case);
    for (name, value) in &request.headers {
        field(&mut fields, &name.to_ascii_lowercase(), value);
    }
    let head = frame(HEADERS, END_HEADERS, 1, &fields);
    [head, frame(DATA, flags, 1, &request.body)].concat()
}

also_on_4_threads![
    response_of_every_service_is_stored_for_a_client_that_went,
    response_that_the_client_leaves_halfway_is_stored,
    body_that_the_client_breaks_off_is_an_aborted_body_at_the_service,
];

#[test]
fn response_of_every_service_is_stored_for_a_client_that_went() {
    let Fixture { gateway, seen, turns } = start();
    for service in SERVICES {
        let target = format!("/{service}/keyed/x");
        let (closed, cancelled, cut) = (keyed(&target, "{}"), keyed(&target, "{}"), keyed(&target, "{}"));
        let mut wire = gateway.connect();
        wire.write(closed.bytes());
        let [mut one, mut other] = [(); 2].map(|()| Frames::open(gateway.port, &[]));
        one.send(&over_http2(&cancelled, END_STREAM));
        other.send(&over_http2(&cut, END_STREAM));
        let all = [&closed, &cancelled, &cut];
        for request in all {
            eventually("it is at the service", || seen(&request.case) == 1);
        }
        one.send(&reset(1));
        assert!(one.is_alive());
        drop(wire);
        other.close();
        for _ in all {
            turns.give();
        }
        for request in all {
            eventually("the response is stored", || {
                let answer = gateway.send(&again(request));
                assert!(matches!(answer.status, 200 | 409), "{service}: {answer:?}");
                is_replayed(&answer) && answer.text() == "{}"
            });
            assert_eq!(seen(&request.case), 1, "{service}");
        }
    }
}

#[test]
fn response_that_the_client_leaves_halfway_is_stored() {
    let Fixture { gateway, seen, turns } = start();
    for service in SERVICES {
        let request = keyed(&format!("/{service}/keyed/x"), &"x".repeat(900_000));
        let socket = TcpStream::connect(("127.0.0.1", gateway.port)).unwrap();
        let mut wire = Wire::of(socket.try_clone().unwrap());
        turns.give();
        wire.write(request.bytes());
        // The response has begun, and the client goes without reading it.
        assert_eq!(socket.peek(&mut [0]).unwrap(), 1);
        drop((wire, socket));
        eventually("the response is stored", || {
            let answer = gateway.send(&again(&request));
            is_replayed(&answer) && answer.body.len() == 900_000
        });
        assert_eq!(seen(&request.case), 1, "{service}");
    }
}

/// What a service sees of a request.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Head,
    WholeBody,
    AbortedBody,
}

/// Services that say what they see, and take one request over a connection of HTTP/1.
fn observed() -> (Upstream, H2Service, mpsc::Receiver<Seen>) {
    let (sender, seen) = mpsc::channel();
    let of_plain = sender.clone();
    let plain = Upstream::raw(move |stream| {
        let head = read_until(stream, b"\r\n\r\n")?.unwrap_or_default();
        _ = of_plain.send(Seen::Head);
        let is_chunked = String::from_utf8_lossy(&head)
            .to_ascii_lowercase()
            .contains("transfer-encoding: chunked");
        let body = match is_chunked {
            true => read_chunked(stream).map(drop),
            false => stream.read_exact(&mut [0; 4]),
        };
        if body.is_err() {
            _ = of_plain.send(Seen::AbortedBody);
            return Ok(());
        }
        _ = of_plain.send(Seen::WholeBody);
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\nfine")
    });
    let h2c = H2Service::start(move |mut call: Call| {
        let sender = sender.clone();
        async move {
            _ = sender.send(Seen::Head);
            let body = call.whole_body().await;
            let reason = body.as_ref().err().and_then(h2::Error::reason);
            assert!(body.is_ok() || reason == Some(Reason::CANCEL), "{body:?}");
            _ = sender.send(match body {
                Ok(_) => Seen::WholeBody,
                Err(_) => Seen::AbortedBody,
            });
            call.reply(200, "fine")
        }
    });
    (plain, h2c, seen)
}

#[test]
fn body_that_the_client_breaks_off_is_an_aborted_body_at_the_service() {
    let (plain, h2c, seen) = observed();
    let gateway = Setup::new()
        .policy("plain", &policy("plain", &plain.url, ""))
        .policy("h2c", &policy("h2c", &h2c.url, ""))
        .start();
    let next = || seen.recv_timeout(PATIENCE);
    for service in ["plain", "h2c"] {
        for (name, value, part) in [
            ("content-length", "4", "wi"),
            ("transfer-encoding", "chunked", "2\r\nwi\r\n"),
        ] {
            let request = keyed(&format!("/{service}/keyed/x"), "");
            let mut wire = gateway.connect();
            wire.write(again(&request).header(name, value).bytes());
            wire.write(part);
            assert_eq!(next(), Ok(Seen::Head));
            drop(wire);
            assert_eq!(next(), Ok(Seen::AbortedBody), "{service}, {name}");
            assert_free(&gateway, &request, &seen);
        }
        let request = keyed(&format!("/{service}/keyed/x"), "wi");
        let mut frames = Frames::open(gateway.port, &[]);
        frames.send(&over_http2(&request, NO_FLAGS));
        assert_eq!(next(), Ok(Seen::Head));
        frames.send(&reset(1));
        assert_eq!(next(), Ok(Seen::AbortedBody), "{service}, HTTP/2");
        assert_free(&gateway, &request, &seen);
    }
}

/// The key of a request that broke off is soon good for another one.
fn assert_free(gateway: &Gateway, request: &Request, seen: &mpsc::Receiver<Seen>) {
    eventually("the key is free", || {
        let answer = gateway.send(&again(request).body("wiki"));
        assert!(!is_replayed(&answer), "{answer:?}");
        answer.status == 200
    });
    let both = [(); 2].map(|()| seen.recv_timeout(PATIENCE));
    assert_eq!(both, [Ok(Seen::Head), Ok(Seen::WholeBody)]);
}

#[test]
fn response_over_http2_is_stored_if_it_ends_and_has_no_trailers() {
    let service = H2Service::start(|mut call: Call| async move {
        call.whole_body().await?;
        match call.name().as_str() {
            "whole" => call.reply(200, "whole"),
            "empty" => call.head_only(200, &[]),
            "trailers" => {
                let mut stream = call.begin(200, &[])?;
                stream.send_data("whole".into(), false)?;
                let mut trailers = http::HeaderMap::new();
                trailers.insert("x-sum", "12".parse().unwrap());
                stream.send_trailers(trailers)
            }
            "reset" | "cut" => {
                let mut stream = call.begin(200, &[])?;
                stream.send_data("part".into(), false)?;
                // What was sent is on its way before the end is.
                tokio::time::sleep(Duration::from_millis(50)).await;
                match call.name().as_str() {
                    "cut" => call.cut(),
                    _ => stream.send_reset(Reason::INTERNAL_ERROR),
                }
                Ok(())
            }
            _ => call
                .begin(200, &[("content-length", "9")])?
                .send_data("part".into(), true),
        }
    });
    let gateway = service.setup("").start();
    let http2 = Http2::plain(gateway.port);
    for (name, stored) in [
        ("whole", true),
        ("empty", true),
        ("trailers", false),
        ("reset", false),
        ("cut", false),
        ("short", false),
    ] {
        let request = keyed(&format!("/s/keyed/{name}"), "{}");
        let first = http2.try_exchange(&request);
        if let (Ok(first), "trailers") = (&first, name) {
            assert_eq!(values(&first.trailers, "x-sum"), ["12"]);
        }
        eventually("it is asked again, or replayed", || {
            let repeat = again(&request);
            let replayed = http2.try_exchange(&repeat).is_ok_and(|answer| is_replayed(&answer));
            assert!(stored || !replayed, "{name} was stored");
            replayed || (!stored && service.seen(&repeat.case).len() == 1)
        });
        assert_eq!(service.seen(&request.case).len(), 1, "{name}");
    }
}

#[test]
fn response_that_comes_before_the_body_is_read_is_stored_with_the_whole_body() {
    // A service that closes its side, or resets the rest of the stream, once it has said all.
    let plain = Upstream::raw(|stream| {
        read_until(stream, b"\r\n\r\n")?;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone")
    });
    let h2c = H2Service::start(|mut call: Call| async move { call.reply(200, "done") });
    let gateway = Setup::new()
        .policy("plain", &policy("plain", &plain.url, ""))
        .policy("h2c", &policy("h2c", &h2c.url, ""))
        .start();
    for service in ["plain", "h2c"] {
        for pause in [0, 50] {
            let request = keyed(&format!("/{service}/keyed/x"), "");
            let mut wire = gateway.connect();
            wire.write(again(&request).header("content-length", "4").bytes());
            // The service may end the stream before the body comes, or after it.
            std::thread::sleep(Duration::from_millis(pause));
            wire.write("wiki");
            let first = wire.answer("POST").unwrap();
            assert_eq!((first.status, first.text().as_str()), (200, "done"), "{service}");
            let repeat = gateway.send(&again(&request).body("wiki"));
            assert!(is_replayed(&repeat), "{service}, after {pause} ms: {repeat:?}");
        }
    }
}

#[test]
fn last_part_of_a_response_waits_until_it_is_stored() {
    let redis = Redis::start();
    let toxic = Toxic::before(redis.port);
    let turns = Turns::new();
    let turn = turns.clone();
    let service = H2Service::start(move |mut call: Call| {
        let turn = turn.clone();
        async move {
            let mut stream = call.begin(200, &[("content-length", "5")])?;
            stream.send_data("hel".into(), false)?;
            turn.take().await;
            stream.send_data("lo".into(), true)
        }
    });
    let store = format!(
        "store: {{ redis: {{ url: 'redis://127.0.0.1:{}', timeout: 10s }} }}",
        toxic.port
    );
    let gateway = service.setup("").config(&store).start();
    let request = keyed("/s/keyed/x", "{}");
    let socket = TcpStream::connect(("127.0.0.1", gateway.port)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut wire = Wire::of(socket.try_clone().unwrap());
    wire.write(request.bytes());
    assert_eq!(wire.head().unwrap().0, 200);
    assert_eq!(wire.read(3).unwrap(), b"hel");
    toxic.set(Fault::Silent);
    turns.give();
    // As long as Redis does not reply, nothing comes.
    socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let read = wire.read(1).map(|byte| byte[0]);
    assert!(read.is_err(), "{read:?} before it is stored");
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    toxic.set(Fault::Nothing);
    assert_eq!(wire.read(2).unwrap(), b"lo");
    let repeat = gateway.send(&again(&request));
    assert!(is_replayed(&repeat) && repeat.text() == "hello", "{repeat:?}");
}

#[test]
fn key_of_a_client_that_went_is_held_as_long_as_its_service_is_at_work() {
    let Fixture { gateway, seen, turns } = start();
    let request = keyed("/h2c/keyed/x", "{}");
    let mut frames = Frames::open(gateway.port, &[]);
    frames.send(&over_http2(&request, END_STREAM));
    eventually("it is at the service", || seen(&request.case) == 1);
    frames.send(&reset(1));
    // Longer than the rest of a response may take that has begun.
    let works = Instant::now();
    while works.elapsed() < Duration::from_secs(11) {
        let answer = gateway.send(&again(&request));
        assert_eq!(answer.reason(), "idempotency_in_progress");
        std::thread::sleep(Duration::from_millis(500));
    }
    turns.give();
    eventually("it is replayed", || is_replayed(&gateway.send(&again(&request))));
    assert_eq!(seen(&request.case), 1);
}

#[test]
fn response_that_cannot_be_stored_leaves_the_rest_of_the_body_alone() {
    let (sender, rest) = mpsc::channel();
    let plain = Upstream::raw(move |stream| {
        read_until(stream, b"\r\n\r\n")?;
        stream.write_all(b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n")?;
        let mut body = vec![0; 4];
        let read = stream.read_exact(&mut body);
        _ = sender.send(read.map(|()| body).ok());
        Ok(())
    });
    let gateway = Setup::new().policy("plain", &policy("plain", &plain.url, "")).start();
    let request = keyed("/plain/keyed/x", "");
    let mut wire = gateway.connect();
    wire.write(again(&request).header("content-length", "4").bytes());
    assert_eq!(wire.answer("POST").unwrap().status, 500);
    wire.write("wiki");
    assert_eq!(rest.recv_timeout(PATIENCE), Ok(Some(b"wiki".to_vec())));
}
