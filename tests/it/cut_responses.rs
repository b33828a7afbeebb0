//! Responses over HTTP/2 that the service resets, cuts, or frames badly: none of them looks whole to the client.

use std::sync::Arc;

use h2::Reason;

use crate::harness::{
    Gateway, Request, Wire, eventually,
    frames::{DATA, END_STREAM, Frames, HEADERS, RST_STREAM, head},
    h2_service::{Call, H2Service, Turns},
    http2::Http2,
    values,
};

/// How a response ends before its end, once the client has what came before.
const CUTS: [&str; 4] = ["head", "data", "sized", "connection"];

fn cutting(turns: &Turns) -> H2Service {
    let turns = turns.clone();
    H2Service::start(move |mut call: Call| {
        let turns = turns.clone();
        async move {
            let name = call.name();
            let length = [("content-length", "100000")];
            let mut stream = match name.as_str() {
                "fine" => return call.reply(200, "fine"),
                "sized" => call.begin(200, &length)?,
                _ => call.begin(200, &[])?,
            };
            if name != "head" {
                stream.send_data(vec![b'x'; 20_000].into(), false)?;
            }
            turns.take().await;
            match name.as_str() {
                "connection" => call.cut(),
                _ => stream.send_reset(Reason::INTERNAL_ERROR),
            }
            Ok(())
        }
    })
}

fn assert_logged(gateway: &Gateway, count: usize) {
    eventually("each is logged", || {
        let lines = gateway.log_lines();
        let failed = lines.iter().filter(|line| line["failure"] == "upstream_failed");
        failed.filter(|line| line["status"] == 200).count() == count
    });
    let labels = [("service", "s"), ("failure", "upstream_failed")];
    let failures = gateway.metric("sidegate_failures_total", &labels);
    assert_eq!(failures, Some(f64::from(u32::try_from(count).unwrap())));
}

#[test]
fn response_that_the_service_resets_does_not_look_whole_over_http1() {
    let turns = Turns::new();
    let service = cutting(&turns);
    let gateway = service.setup("").start();
    for how in CUTS {
        assert_eq!(gateway.send(&Request::get("/s/fine")).text(), "fine");
        let request = Request::get(&format!("/s/{how}"));
        let mut wire = gateway.connect();
        wire.write(request.bytes());
        let (status, headers) = wire.head().unwrap();
        assert_eq!(status, 200, "{how}");
        if how == "data" {
            assert!(!wire.chunk().is_empty());
        }
        turns.give();
        let rest = wire.rest().unwrap();
        match values(&headers, "content-length")[..] {
            [length] => assert!(rest.len() < length.parse().unwrap(), "{how}"),
            _ => assert!(!rest.ends_with(b"0\r\n\r\n"), "{how}: {} bytes", rest.len()),
        }
        assert_eq!(service.seen(&request.case).len(), 1, "{how}");
    }
    assert_logged(&gateway, CUTS.len());
}

#[test]
fn response_that_the_service_resets_does_not_look_whole_over_http2() {
    let turns = Turns::new();
    let service = cutting(&turns);
    let gateway = service.setup("").start();
    for how in CUTS {
        let mut frames = Frames::open(gateway.port, &[]);
        frames.send(&head(1, END_STREAM, "GET", &format!("/s/{how}")));
        let begun = if how == "head" { HEADERS } else { DATA };
        let first = frames.until(|frame| frame.stream == 1 && frame.kind == begun).unwrap();
        assert_eq!(first.flags & END_STREAM, 0, "{how}");
        turns.give();
        let ends = |kind, flags| kind == RST_STREAM || (matches!(kind, HEADERS | DATA) && flags & END_STREAM != 0);
        let end = frames.until(|frame| frame.stream == 1 && ends(frame.kind, frame.flags));
        assert_eq!(end.unwrap().kind, RST_STREAM, "{how}");
        // Other streams of the client live on.
        assert!(frames.is_alive(), "{how}");
    }
    assert_logged(&gateway, CUTS.len());
}

#[test]
fn service_that_resets_before_its_response_has_failed_and_is_not_asked_again() {
    let service = H2Service::start(|mut call: Call| async move {
        match call.name().as_str() {
            "internal" => call.respond.send_reset(Reason::INTERNAL_ERROR),
            "cancel" => call.respond.send_reset(Reason::CANCEL),
            "calm" => call.respond.send_reset(Reason::ENHANCE_YOUR_CALM),
            "nothing" => {}
            _ => call.reply(200, "fine")?,
        }
        Ok(())
    });
    let gateway = service.setup("").start();
    for how in ["internal", "cancel", "calm", "nothing"] {
        for method in ["GET", "POST"] {
            assert_eq!(gateway.send(&Request::get("/s/fine")).text(), "fine");
            let request = Request::new(method, &format!("/s/{how}"));
            let answer = gateway.send(&request);
            assert_eq!((answer.status, answer.reason().as_str()), (502, "upstream_failed"));
            assert_eq!(service.seen(&request.case).len(), 1, "{request}");
        }
    }
}

/// Responses with a length, of which the first five are whole, and the others are not.
async fn measured(mut call: Call) -> Result<(), h2::Error> {
    let length = |length| [("content-length", length)];
    match call.name().as_str() {
        "head" | "unchanged-head" => call.head_only(200, &length("1000")),
        "unchanged" => call.head_only(304, &length("1000")),
        "empty" => call.head_only(200, &length("0")),
        "exact" => call.begin(200, &length("5"))?.send_data("hello".into(), true),
        "none" => call.head_only(200, &length("5")),
        "short" => call.begin(200, &length("5"))?.send_data("hel".into(), true),
        "long" => call.begin(200, &length("3"))?.send_data("hello".into(), true),
        "two" => {
            let two = [("content-length", "5"), ("content-length", "6")];
            call.begin(200, &two)?.send_data("hello".into(), true)
        }
        "words" => call.begin(200, &length("five"))?.send_data("hello".into(), true),
        _ => call.reply(200, "fine"),
    }
}

#[test]
fn head_that_ends_its_response_has_the_length_of_the_body_that_it_stands_for() {
    let service = H2Service::start(measured);
    let gateway = service.setup("").start();
    let http2 = Http2::plain(gateway.port);
    let mut wire = gateway.connect();
    for (method, name, status, length, body) in [
        ("HEAD", "head", 200, Some("1000"), ""),
        ("GET", "unchanged", 304, Some("1000"), ""),
        ("HEAD", "unchanged", 304, Some("1000"), ""),
        ("GET", "empty", 200, Some("0"), ""),
        ("GET", "exact", 200, Some("5"), "hello"),
    ] {
        let request = Request::new(method, &format!("/s/{name}"));
        for answer in [wire.exchange(&request), http2.exchange(&request)] {
            assert_eq!((answer.status, answer.text().as_str()), (status, body), "{request}");
            assert_eq!(answer.header("content-length"), length, "{request}: {answer:?}");
        }
        // The client's connection is in step.
        assert_eq!(wire.exchange(&Request::get("/s/fine")).text(), "fine");
    }
}

#[test]
fn response_with_another_length_than_it_announces_does_not_look_whole() {
    let service = H2Service::start(measured);
    let gateway = service.setup("").start();
    let http2 = Arc::new(Http2::plain(gateway.port));
    for name in ["none", "short", "long", "two", "words"] {
        let request = Request::get(&format!("/s/{name}"));
        let mut wire: Wire = gateway.connect();
        wire.write(request.bytes());
        if let Ok(answer) = wire.answer("GET") {
            assert_eq!(
                (answer.status, answer.reason().as_str()),
                (502, "upstream_failed"),
                "{name}"
            );
        }
        if let Ok(answer) = http2.try_exchange(&request) {
            assert_eq!(
                (answer.status, answer.reason().as_str()),
                (502, "upstream_failed"),
                "{name}"
            );
        }
        assert_eq!(gateway.send(&Request::get("/s/fine")).text(), "fine");
    }
}
