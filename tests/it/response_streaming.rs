//! A response with a length reaches the client as the service sends it: the head at once, and each part before the
//! next is sent. Of one that is stored, the last part waits for that.

use serde_json::json;

use crate::{
    harness::{
        Gateway, Reply, Request, Setup, Upstream, Wire,
        certificates::{client, pki, server},
        frames::{DATA, END_HEADERS, END_STREAM, Frames, HEADERS, block, field, frame},
        h2_service::{Call, H2Service, Turns, policy},
        issuer::token,
        upstream::Recorded,
    },
    idempotency::{again, is_replayed, key},
};

const PARTS: [&str; 4] = ["one", "two", "x", "three"];

fn script(turns: &Turns) -> impl Fn(&Recorded) -> Reply + Send + Sync + 'static {
    let turns = turns.clone();
    move |_| {
        let turns = turns.clone();
        Reply::script(move |stream| {
            let length = PARTS.concat().len();
            stream.write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n").as_bytes())?;
            for part in PARTS {
                stream.flush()?;
                turns.wait();
                stream.write_all(part.as_bytes())?;
            }
            stream.flush()
        })
    }
}

async fn h2_script(mut call: Call, turns: Turns) -> Result<(), h2::Error> {
    let length = PARTS.concat().len().to_string();
    let mut stream = call.begin(200, &[("content-length", &length)])?;
    for (n, part) in PARTS.into_iter().enumerate() {
        turns.take().await;
        stream.send_data(part.into(), n + 1 == PARTS.len())?;
    }
    Ok(())
}

const SERVICES: [&str; 3] = ["plain", "tls", "h2c"];

fn gateway(turns: &Turns) -> Gateway {
    let plain = Upstream::start(script(turns));
    let tls = Upstream::tls(server(&pki().server, &["http/1.1"]), script(turns));
    let turns = turns.clone();
    let h2c = H2Service::start(move |call| h2_script(call, turns.clone()));
    Setup::in_front_of(plain.clone())
        .tls()
        .policy("plain", &policy("plain", &plain.url, ""))
        .policy("tls", &policy("tls", &tls.url, ", ca_file: $folder/ca.crt"))
        .policy("h2c", &policy("h2c", &h2c.url, ""))
        .start()
}

fn keyed(service: &str) -> Request {
    Request::post(&format!("/{service}/keyed/x"), "")
        .bearer(&token(json!({})))
        .header("idempotency-key", &key())
}

/// Lets the service send each part once the one before is here.
fn assert_streams(mut wire: Wire, request: &Request, turns: &Turns) {
    wire.write(request.bytes());
    let head = wire.head().unwrap_or_else(|error| panic!("{request}, head: {error}"));
    assert_eq!(head.0, 200, "{request}");
    for part in PARTS {
        turns.give();
        let read = wire
            .read(part.len())
            .unwrap_or_else(|error| panic!("{request}, {part}: {error}"));
        assert_eq!(read, part.as_bytes(), "{request}");
    }
}

/// As [`assert_streams`], for a client of HTTP/2.
fn assert_streams_over_http2(gateway: &Gateway, request: &Request, turns: &Turns) {
    let mut fields = block(&request.method, &request.target);
    for (name, value) in &request.headers {
        field(&mut fields, &name.to_ascii_lowercase(), value);
    }
    let mut frames = Frames::open(gateway.port, &[]);
    frames.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &fields));
    assert!(
        frames
            .until(|frame| frame.stream == 1 && frame.kind == HEADERS)
            .is_some()
    );
    for part in PARTS {
        turns.give();
        let is_part = |frame: &crate::harness::frames::Frame| frame.stream == 1 && frame.kind == DATA;
        let read = frames.until(is_part).unwrap();
        assert_eq!(read.payload, part.as_bytes(), "{request}");
    }
}

#[test]
fn response_with_a_length_reaches_each_client_as_it_is_sent() {
    let turns = Turns::new();
    let gateway = gateway(&turns);
    for service in SERVICES {
        let request = Request::get(&format!("/{service}/x"));
        assert_streams(gateway.connect(), &request, &turns);
        let tls = Wire::tls(gateway.tls_port, client(None, &["http/1.1"])).unwrap();
        assert_streams(tls, &request, &turns);
        assert_streams_over_http2(&gateway, &request, &turns);
    }
}

#[test]
fn response_that_is_stored_reaches_each_client_as_it_is_sent() {
    let turns = Turns::new();
    let gateway = gateway(&turns);
    for service in SERVICES {
        let request = keyed(service);
        assert_streams(gateway.connect(), &request, &turns);
        let answer = gateway.send(&again(&request));
        assert!(is_replayed(&answer), "{service}: {answer:?}");
        assert_eq!(answer.text(), PARTS.concat());
        let request = keyed(service);
        assert_streams_over_http2(&gateway, &request, &turns);
        assert!(is_replayed(&gateway.send(&again(&request))), "{service}");
    }
}
