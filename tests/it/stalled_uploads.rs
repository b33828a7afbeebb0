//! An upload that stops is the fault of its client, however the service is reached and however long
//! that may be silent. A service that does not read is at fault itself.

use std::{thread, time::Duration};

use serde_json::json;

use crate::harness::{
    Gateway, Latch, Reply, Request, Setup, Upstream, Wire,
    certificates::{client, pki, server},
    frames::{DATA, END_HEADERS, END_STREAM, Frames, HEADERS, NO_FLAGS, block, field, frame, head},
    http2::H2Upstream,
    issuer::token,
    message::read_until,
};

const SERVICES: [&str; 4] = ["plain", "tls", "h2c", "keyed"];

/// The timeouts of the service: shorter than the pause that a body may have, as long, and longer.
const TIMEOUTS: [&str; 3] = ["500ms", "1s", "5s"];

fn policy(service: &str, timeout: &str) -> String {
    let route = match service {
        "keyed" => "{ path: /*, auth: jwt, idempotency: {} }",
        _ => "{ path: /*, auth: public }",
    };
    let upstream = match service {
        "keyed" => "$plain".to_owned(),
        "tls" => "$tls', ca_file: '$folder/services.crt".to_owned(),
        _ => format!("${service}"),
    };
    format!(
        "version: 1\nservice: {service}-{timeout}\nprefix: /{service}/{timeout}\nupstream: {{ url: '{upstream}', timeout: {timeout} }}\n\
         jwt: {{ issuers: [{{ issuer: eventzr.com, audience: [eventzr-api], algorithms: [HS256], keys: {{ secret: {{ env: IT_SECRET }} }} }}] }}\n\
         errors: {{ format: envelope }}\nroutes: [{route}]\n"
    )
}

/// Every kind of service, each of which reads requests to their end before it answers.
fn gateway() -> Gateway {
    let plain = Upstream::recording();
    let tls = Upstream::tls(server(&pki().server, &["http/1.1"]), |_| Reply::ok("{}"));
    let setup = Setup::in_front_of(plain.clone())
        .config("limits: { body_timeout: 1s }")
        .set("plain", &plain.url)
        .set("tls", &tls.url)
        .set("h2c", &H2Upstream::echo().url)
        .file("services.crt", &pki().ca)
        .tls();
    let each = SERVICES
        .iter()
        .flat_map(|service| TIMEOUTS.map(|timeout| (*service, timeout)));
    each.fold(setup, |setup, (service, timeout)| {
        setup.policy(&format!("{service}-{timeout}"), &policy(service, timeout))
    })
    .start()
}

/// A request whose body is announced and to come.
fn upload(service: &str, timeout: &str) -> Request {
    let request = Request::new("POST", &format!("/{service}/{timeout}/x"))
        .header("content-type", "application/json")
        .header("content-length", "100");
    match service {
        "keyed" => request.bearer(&token(json!({}))).header(
            "idempotency-key",
            &format!("8e03978e-40d5-43e8-bc93-{:012x}", crate::harness::unique()),
        ),
        _ => request,
    }
}

/// The same over HTTP/2, with half of its body.
fn half_over_http2(request: &Request) -> Vec<u8> {
    let mut fields = block("POST", &request.target);
    for (name, value) in &request.headers {
        field(&mut fields, &name.to_ascii_lowercase(), value);
    }
    let head = frame(HEADERS, END_HEADERS, 1, &fields);
    [head, frame(DATA, NO_FLAGS, 1, &[b'x'; 50])].concat()
}

fn count(gateway: &Gateway, status: &str) -> usize {
    let page = gateway.metrics();
    let of_status = format!("status=\"{status}\"");
    page.lines()
        .filter(|line| line.starts_with("sidegate_requests_total") && line.contains(&of_status))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<usize>().ok())
        .sum()
}

#[test]
fn an_upload_that_stops_is_a_408_over_every_way_to_a_service() {
    let gateway = gateway();
    let (mut wires, mut all_frames) = (Vec::new(), Vec::new());
    for service in SERVICES {
        for timeout in TIMEOUTS {
            let tls = Wire::tls(gateway.tls_port, client(None, &["http/1.1"])).unwrap();
            for mut wire in [gateway.connect(), tls] {
                wire.write(upload(service, timeout).bytes());
                wire.write([b'x'; 50]);
                wires.push((service, timeout, wire));
            }
            let mut frames = Frames::open(gateway.port, &[]);
            frames.send(&half_over_http2(&upload(service, timeout)));
            all_frames.push((service, timeout, frames));
        }
    }
    for (service, timeout, wire) in &mut wires {
        let answer = wire.answer("POST").unwrap();
        assert_eq!(answer.status, 408, "{service} {timeout}: {}", answer.text());
    }
    for (service, timeout, frames) in &mut all_frames {
        let answer = frames.until(|frame| frame.stream == 1 && frame.kind == HEADERS);
        assert!(answer.is_some(), "{service} {timeout}: no answer over HTTP/2");
    }
    let all = wires.len() + all_frames.len();
    assert_eq!([count(&gateway, "408"), count(&gateway, "504")], [all, 0]);
}

#[test]
fn an_upload_may_pause_for_longer_than_its_service_may_be_silent() {
    let upstream = Upstream::start(|request| Reply::ok(&request.body));
    let url = upstream.url.clone();
    let policy = format!(
        "version: 1\nservice: x\nprefix: /w\nupstream: {{ url: '{url}', timeout: 300ms }}\nroutes: [{{ path: /*, auth: public }}]\n"
    );
    let gateway = Setup::in_front_of(upstream).policy("wallet", &policy).start();
    let mut wire = gateway.connect();
    wire.write(Request::new("POST", "/w/x").header("content-length", "100").bytes());
    let mut frames = Frames::open(gateway.port, &[]);
    frames.send(&head(1, NO_FLAGS, "POST", "/w/x"));
    // The pauses are what is tested: together and each for itself they are too long for the service.
    for _ in 0..2 {
        wire.write([b'x'; 25]);
        frames.send(&frame(DATA, NO_FLAGS, 1, &[b'x'; 25]));
        thread::sleep(Duration::from_millis(600));
    }
    wire.write([b'x'; 50]);
    frames.send(&frame(DATA, END_STREAM, 1, &[b'x'; 50]));
    let answer = wire.answer("POST").unwrap();
    assert_eq!((answer.status, answer.body.len()), (200, 100));
    assert!(
        frames
            .until(|frame| frame.stream == 1 && frame.kind == DATA && frame.payload.len() == 100)
            .is_some()
    );
}

#[test]
fn a_service_that_is_silent_after_the_whole_upload_is_a_504() {
    let (latch, upstream) = Latch::before(200, "{}");
    let url = upstream.url.clone();
    let policy = format!(
        "version: 1\nservice: x\nprefix: /w\nupstream: {{ url: '{url}', timeout: 300ms }}\nerrors: {{ format: envelope }}\nroutes: [{{ path: /*, auth: public }}]\n"
    );
    let gateway = Setup::in_front_of(upstream).policy("wallet", &policy).start();
    assert_eq!(gateway.send(&Request::post("/w/x", "{}")).status, 504);
    let mut frames = Frames::open(gateway.port, &[]);
    frames.send(&head(1, NO_FLAGS, "POST", "/w/x"));
    frames.send(&frame(DATA, END_STREAM, 1, b"x"));
    assert!(
        frames
            .until(|frame| frame.stream == 1 && frame.kind == HEADERS)
            .is_some()
    );
    assert_eq!([count(&gateway, "408"), count(&gateway, "504")], [0, 2]);
    latch.open();
}

#[test]
fn a_service_that_does_not_read_an_upload_is_a_504() {
    let latch = Latch::default();
    let held = latch.clone();
    // It reads the head, and no more.
    let upstream = Upstream::raw(move |stream| {
        read_until(stream, b"\r\n\r\n")?;
        held.wait();
        Ok(())
    });
    let url = upstream.url.clone();
    let policy = format!(
        "version: 1\nservice: x\nprefix: /w\nupstream: {{ url: '{url}', timeout: 1s }}\nerrors: {{ format: envelope }}\nroutes: [{{ path: /*, auth: public }}]\n"
    );
    let gateway = Setup::in_front_of(upstream)
        .config("limits: { body_bytes: 64MiB }")
        .policy("wallet", &policy)
        .start();
    let mut wire = gateway.connect();
    let body = vec![b'x'; 32 << 20];
    wire.write(
        Request::new("POST", "/w/x")
            .header("content-length", &body.len().to_string())
            .bytes(),
    );
    // It is answered before all of it is taken.
    _ = wire.try_write(&body);
    let _ = wire.answer("POST");
    assert_eq!([count(&gateway, "408"), count(&gateway, "504")], [0, 1]);
    latch.open();
}
