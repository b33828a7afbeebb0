//! Requests that a service over HTTP/2 did not process, as it says by `REFUSED_STREAM` or by a `GOAWAY` below their
//! stream: one without a body is sent once more, any other never. A `GOAWAY` above a stream changes nothing for it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    thread,
};

use serde_json::json;

use crate::{
    harness::{
        Answer, Gateway, Request,
        certificates::{pki, server},
        eventually,
        h2_service::{Call, H2Service, Turns},
        http2::Http2,
        issuer::token,
    },
    idempotency::key,
};

/// The largest number of a stream, as the first `GOAWAY` of a graceful shutdown has it.
const ANY: u32 = 0x7fff_ffff;

async fn script(mut call: Call) -> Result<(), h2::Error> {
    let below = call.stream().saturating_sub(2);
    match (call.name().as_str(), call.attempt) {
        ("refused", 1) | ("always", _) => call.refuse(),
        ("goaway", 1) => {
            call.go_away(below);
            call.reset().await;
        }
        ("begun", _) => {
            call.body.data().await;
            call.refuse();
        }
        ("begun-goaway", _) => {
            call.body.data().await;
            call.go_away(below);
            call.reset().await;
        }
        _ => call.reply(200, "done")?,
    }
    Ok(())
}

/// The response to a request, and how often the service got it.
fn counted(service: &H2Service, request: &Request, answer: &Answer) -> (u16, usize) {
    if answer.status == 502 {
        assert_eq!(answer.reason(), "upstream_failed", "{request}: {answer:?}");
    }
    (answer.status, service.seen(&request.case).len())
}

fn assert_sent_once_more(service: &H2Service, gateway: &Gateway) {
    for how in ["refused", "goaway"] {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
            let http2 = Http2::plain(gateway.port);
            for over_http2 in [false, true] {
                let request = Request::new(method, &format!("/s/{how}"));
                let answer = match over_http2 {
                    false => gateway.send(&request),
                    true => http2.exchange(&request),
                };
                let counted = counted(service, &request, &answer);
                assert_eq!(counted, (200, 2), "{request}, HTTP/2: {over_http2}");
                assert_eq!(answer.text(), "done");
            }
        }
    }
}

#[test]
fn unprocessed_request_without_a_body_is_sent_once_more() {
    let service = H2Service::start(script);
    let gateway = service.setup("").start();
    assert_sent_once_more(&service, &gateway);
    let failures = gateway.metric("sidegate_failures_total", &[("service", "s")]);
    assert!(failures.is_none_or(|failures| failures < 1.0), "{failures:?}");
}

#[test]
fn unprocessed_request_over_tls_is_sent_once_more() {
    let service = H2Service::tls(server(&pki().server, &["h2"]), |mut call: Call| async move {
        match (call.name().as_str(), call.attempt) {
            ("refused", 1) => call.refuse(),
            _ => call.reply(200, "done")?,
        }
        Ok(())
    });
    let gateway = service.setup(", ca_file: $folder/ca.crt").tls().start();
    for method in ["GET", "POST"] {
        let request = Request::new(method, "/s/refused");
        let answer = gateway.send(&request);
        assert_eq!(counted(&service, &request, &answer), (200, 2), "{request}");
    }
}

#[test]
fn request_that_is_unprocessed_twice_has_failed() {
    let service = H2Service::start(script);
    let gateway = service.setup("").start();
    for method in ["GET", "POST", "DELETE"] {
        let request = Request::new(method, "/s/always");
        let answer = gateway.send(&request);
        assert_eq!(counted(&service, &request, &answer), (502, 2), "{request}");
    }
    assert_eq!(gateway.send(&Request::get("/s/x")).text(), "done");
}

#[test]
fn unprocessed_request_whose_body_has_begun_is_not_sent_again() {
    let service = H2Service::start(script);
    let gateway = service.setup("").start();
    for how in ["begun", "begun-goaway"] {
        for method in ["POST", "PATCH"] {
            // The service gets a part of the body, and the rest is to come.
            let request = Request::new(method, &format!("/s/{how}")).header("content-length", "10");
            let mut wire = gateway.connect();
            wire.write(request.bytes());
            wire.write("hello");
            let answer = wire.answer(method).unwrap();
            assert_eq!(counted(&service, &request, &answer), (502, 1), "{request}");

            let whole = Request::new(method, &format!("/s/{how}")).body("hello");
            let answer = Http2::plain(gateway.port).exchange(&whole);
            assert_eq!(counted(&service, &whole, &answer), (502, 1), "{whole}");
        }
    }
}

#[test]
fn unprocessed_request_with_a_key_is_not_sent_again() {
    let service = H2Service::start(script);
    let gateway = service.setup("").start();
    for how in ["refused", "goaway"] {
        for body in ["", "{}"] {
            let request = Request::post(&format!("/s/keyed/{how}"), body)
                .bearer(&token(json!({})))
                .header("idempotency-key", &key());
            let answer = gateway.send(&request);
            assert_eq!(counted(&service, &request, &answer), (502, 1), "{request}");
            // The client may do it itself: its key is free.
            eventually("the key is free", || {
                let answer = gateway.send(&request);
                assert!(matches!(answer.status, 200 | 409), "{answer:?}");
                answer.status == 200
            });
            assert_eq!(service.seen(&request.case).len(), 2);
        }
    }
}

#[test]
fn stream_that_a_goaway_lets_finish_is_finished_and_the_next_has_another_connection() {
    let turns = Turns::new();
    let turn = turns.clone();
    let service = H2Service::start(move |mut call: Call| {
        let turn = turn.clone();
        async move {
            match call.name().as_str() {
                "last" => call.go_away(call.stream()),
                "graceful" => call.go_away(ANY),
                _ => return call.reply(200, format!("over {}", call.connection)),
            }
            turn.take().await;
            call.reply(200, format!("over {}", call.connection))
        }
    });
    let gateway = service.setup("").start();
    for (connection, how) in ["last", "graceful"].into_iter().enumerate() {
        let connection = connection + 1;
        let request = Request::post(&format!("/s/{how}"), "{}");
        let mut wire = gateway.connect();
        wire.write(request.bytes());
        eventually("it is at the service", || service.seen(&request.case).len() == 1);
        // The service has said so before it gets the next request, and so has Sidegate heard of it.
        eventually("another connection is in use", || {
            gateway.send(&Request::get("/s/next")).text() == format!("over {}", connection + 1)
        });
        turns.give();
        assert_eq!(wire.answer("POST").unwrap().text(), format!("over {connection}"));
        assert_eq!(service.seen(&request.case).len(), 1, "{how}");
    }
}

#[test]
fn streams_above_a_goaway_are_sent_again_and_those_below_are_not() {
    // The lowest of three streams that are open at the same time, and how many there are.
    let open = Arc::new((AtomicU32::new(ANY), AtomicU32::new(0)));
    let turns = Turns::new();
    let turn = turns.clone();
    let service = H2Service::start(move |mut call: Call| {
        let (open, turn) = (open.clone(), turn.clone());
        async move {
            if call.connection > 1 || call.name() == "warm" {
                return call.reply(200, "done");
            }
            let lowest = open.0.fetch_min(call.stream(), Ordering::SeqCst).min(call.stream());
            if open.1.fetch_add(1, Ordering::SeqCst) == 2 {
                call.go_away(lowest);
                // One that came before a lower one waits, too, and is not heard any more.
                for _ in 0..3 {
                    turn.give();
                }
            }
            if call.stream() == lowest {
                turn.take().await;
                return call.reply(200, "done");
            }
            call.reset().await;
            Ok(())
        }
    });
    let gateway = service.setup("").start();
    assert_eq!(gateway.send(&Request::get("/s/warm")).text(), "done");
    let requests: [_; 3] = std::array::from_fn(|_| Request::get("/s/x"));
    thread::scope(|scope| {
        for request in &requests {
            let gateway = &gateway;
            scope.spawn(move || assert_eq!(gateway.send(request).text(), "done", "{request}"));
        }
    });
    let mut seen = requests.map(|request| service.seen(&request.case).len());
    seen.sort_unstable();
    assert_eq!(seen, [1, 2, 2]);
}
