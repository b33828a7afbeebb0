//! Requests with an `Idempotency-Key`: the service answers each once, whatever comes again.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use serde_json::json;

use crate::harness::{
    Answer, Gateway, Latch, OTHER_TENANT, Reply, Request, Setup, Upstream, Wire, also_on_4_threads,
    certificates::{authority, dns, leaf, server},
    eventually,
    frames::{DATA, END_HEADERS, END_STREAM, Frames, HEADERS, block, field, frame, reset},
    http2::Http2,
    issuer::{now, token},
    setup::WALLET,
    unique,
};

pub(crate) const POLICY: &str = "
$wallet
prefix: /w
revocation: {}
idempotency: { $options }
routes:
  - { path: /open, auth: public }
  - { path: /off, auth: jwt, idempotency: off }
  - { path: /jobs, auth: internal_key }
  - { path: /*, auth: jwt }
";

fn setup(upstream: Upstream, options: &str) -> Setup {
    Setup::in_front_of(upstream)
        .set("options", options)
        .policy("wallet", POLICY)
}

/// Answers with how many requests there were before this one.
pub(crate) fn counting() -> Upstream {
    let count = AtomicUsize::new(0);
    Upstream::start(move |_| {
        let count = count.fetch_add(1, Ordering::SeqCst);
        Reply::status(201, format!("{{\"count\":{count}}}"))
            .header("content-type", "application/json")
            .header("x-of-service", "a")
            .header("x-of-service", "b")
    })
}

pub(crate) fn key() -> String {
    format!("8e03978e-40d5-43e8-bc93-{:012x}", unique())
}

pub(crate) fn post(key: &str, body: &str) -> Request {
    Request::post("/w/pay?of=1", body)
        .bearer(&token(json!({})))
        .tenant()
        .header("Idempotency-Key", key)
}

/// The same request from a client that sends it again: another id, another case.
pub(crate) fn again(request: &Request) -> Request {
    Request {
        case: unique().to_string(),
        ..request.clone()
    }
}

pub(crate) fn is_replayed(answer: &Answer) -> bool {
    answer.header("idempotency-replayed") == Some("true")
}

also_on_4_threads![
    a_repeat_gets_the_same_answer_and_the_service_hears_nothing,
    http2_requests_are_idempotent_too,
    key_is_bound_to_caller_and_request,
    others_wait_their_turn,
    a_thousand_at_once_are_one,
    same_key_at_once_on_eight_connections_reaches_the_service_once,
    response_is_stored_for_a_client_that_went,
    the_process_ends_no_sooner_than_the_request_of_a_client_that_went,
    request_that_was_broken_off_is_not_stored,
    response_that_was_broken_off_is_not_stored,
    memory_that_one_tenant_fills_has_room_for_others_and_shows_before,
];

#[test]
fn a_repeat_gets_the_same_answer_and_the_service_hears_nothing() {
    let gateway = setup(counting(), "").start();
    let large = "x".repeat(300_000);
    for body in ["", "{}", &large] {
        let request = post(&key(), body);
        let first = gateway.send(&request);
        assert_eq!((first.status, is_replayed(&first)), (201, false), "{first:?}");
        let seen = gateway.upstream.seen(&request.case);
        assert_eq!((seen.len(), seen[0].body.len()), (1, body.len()));
        assert_eq!(
            seen[0].values("idempotency-key").len(),
            1,
            "the service sees the key too"
        );
        for _ in 0..2 {
            let repeat = again(&request);
            let answer = gateway.send(&repeat);
            assert_eq!((answer.status, is_replayed(&answer)), (201, true), "{answer:?}");
            assert_eq!(answer.body, first.body);
            assert_eq!(answer.header("content-type"), Some("application/json"));
            let of_service = answer.headers.iter().filter(|(name, _)| name == "x-of-service");
            assert_eq!(of_service.count(), 2);
            assert_ne!(answer.header("x-request-id"), first.header("x-request-id"));
            assert!(gateway.upstream.seen(&repeat.case).is_empty());
        }
    }
    eventually("it is logged", || {
        let lines = gateway.log_lines();
        let replayed = lines.iter().filter(|line| line["idempotency"] == "replayed");
        replayed.filter(|line| line["decision"] == "allow").count() == 6
    });
    let count = |result| gateway.metric("sidegate_idempotency_requests_total", &[("result", result)]);
    assert_eq!((count("first"), count("replayed")), (Some(3.0), Some(6.0)));
    eventually("nobody is there any more", || {
        gateway.metric("sidegate_requests_in_flight", &[]) == Some(0.0)
    });
}

#[test]
fn connections_stay_in_step() {
    let gateway = setup(counting(), "").start();
    let mut wire = gateway.connect();
    for body in ["{}", "", "[1]"] {
        let request = post(&key(), body);
        let first = wire.exchange(&request);
        let repeat = wire.exchange(&again(&request));
        let reused = wire.exchange(&post(&request.headers.last().unwrap().1, "other"));
        let other = wire.exchange(&Request::get("/w/x").bearer(&token(json!({}))).tenant());
        assert_eq!(
            (first.status, repeat.status, reused.status, other.status),
            (201, 201, 422, 201)
        );
        assert_eq!(reused.reason(), "idempotency_key_reused");
        assert!(!is_replayed(&first) && is_replayed(&repeat));
    }
}

#[test]
fn bodies_of_unknown_length_are_the_same_bodies() {
    let chunked_answer = |_: &crate::harness::upstream::Recorded| {
        Reply::bytes(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
    };
    let gateway = setup(Upstream::start(chunked_answer), "").start();
    let request = post(&key(), "")
        .header("transfer-encoding", "chunked")
        .body("4\r\nwiki\r\n0\r\n\r\n");
    let first = gateway.send(&request);
    assert_eq!((first.status, first.text().as_str()), (200, "abcde"));
    assert_eq!(gateway.upstream.seen(&request.case)[0].body, b"wiki");
    let other_chunks = again(&request).body("2\r\nwi\r\n2\r\nki\r\n0\r\n\r\n");
    let repeat = gateway.send(&other_chunks);
    assert_eq!((repeat.text().as_str(), is_replayed(&repeat)), ("abcde", true));
    let sized = gateway.send(&post(&request.headers[3].1, "wiki"));
    assert!(is_replayed(&sized), "{sized:?}");
}

#[test]
fn a_body_is_whole_however_much_of_it_comes_with_the_head() {
    let gateway = setup(counting(), "").start();
    let mut wire = gateway.connect();
    let sized = |key: &str| post(key, "wiki");
    let chunked = |key: &str| {
        post(key, "")
            .header("transfer-encoding", "chunked")
            .body("4\r\nwiki\r\n0\r\n\r\n")
    };
    for (request, length) in [(&sized as &dyn Fn(&str) -> Request, 4), (&chunked, 14)] {
        for with_the_head in 0..=length {
            let request = request(&key());
            let bytes = request.bytes();
            let (first, rest) = bytes.split_at(bytes.len() - length + with_the_head);
            wire.write(first);
            wire.write(rest);
            let answer = wire.answer(&request.method).unwrap();
            assert_eq!((answer.status, answer.keeps_alive()), (201, true), "{answer:?}");
            assert_eq!(gateway.upstream.seen(&request.case)[0].body, b"wiki");
        }
    }
}

#[test]
fn http2_requests_are_idempotent_too() {
    let gateway = setup(counting(), "").start();
    let http2 = Http2::plain(gateway.port);
    let request = post(&key(), "{\"a\":1}");
    let first = http2.exchange(&request);
    assert_eq!(first.status, 201, "{first:?}");
    assert_eq!(gateway.upstream.seen(&request.case)[0].body, b"{\"a\":1}");
    let unsized_body = http2.exchange_unsized(&again(&request));
    assert!(
        is_replayed(&unsized_body) && unsized_body.body == first.body,
        "{unsized_body:?}"
    );
    assert!(is_replayed(&gateway.send(&again(&request))));
    let unsized_first = post(&key(), "{\"b\":2}");
    assert_eq!(http2.exchange_unsized(&unsized_first).status, 201);
    assert_eq!(gateway.upstream.seen(&unsized_first.case)[0].body, b"{\"b\":2}");
    assert!(is_replayed(&gateway.send(&again(&unsized_first))));
    let nothing = post(&key(), "");
    assert_eq!(http2.exchange(&nothing).status, 201);
    assert!(is_replayed(&http2.exchange(&again(&nothing))));
}

#[test]
fn key_is_bound_to_caller_and_request() {
    let gateway = setup(counting(), "").start();
    let key = key();
    let first = post(&key, "{}");
    assert_eq!(gateway.send(&first).status, 201);
    let with = |target: &str, method: &str, claims: serde_json::Value, tenant: &str| {
        Request::new(method, target)
            .header("content-type", "application/json")
            .bearer(&token(claims))
            .header("x-tenant-id", tenant)
            .header("idempotency-key", &key)
            .body("{}")
    };
    let other_tenant = json!({ "tenant": OTHER_TENANT, "tenantId": OTHER_TENANT });
    let own = crate::harness::TENANT;
    for request in [
        with("/w/pay?of=1", "POST", json!({ "sub": "other" }), own),
        with("/w/pay?of=1", "POST", other_tenant, OTHER_TENANT),
        with("/w/pay?of=2", "POST", json!({}), own),
        with("/w/pay", "POST", json!({}), own),
        with("/w/pay/x?of=1", "POST", json!({}), own),
        with("/w/pay?of=1", "PUT", json!({}), own),
        Request::post("/w/jobs?of=1", "{}")
            .jobs_key()
            .header("idempotency-key", &key),
    ] {
        let answer = gateway.send(&request);
        assert_eq!(
            (answer.status, is_replayed(&answer)),
            (201, false),
            "{request}: {answer:?}"
        );
    }
    let elsewhere = again(&first).host("other.example");
    assert!(!is_replayed(&gateway.send(&elsewhere)));
    let with_port = again(&first).host("LOCALHOST:80");
    assert!(is_replayed(&gateway.send(&with_port)), "the same host");
    // Another token of the same subject is the same caller.
    let later = with("/w/pay?of=1", "POST", json!({ "iat": now() - 1 }), own);
    assert!(is_replayed(&gateway.send(&later)));
    let quoted = again(&first).header("x", "y");
    let quoted = Request {
        headers: quoted
            .headers
            .into_iter()
            .map(|(name, value)| match name.as_str() {
                "Idempotency-Key" => (name, format!("\"{}\"", value.to_uppercase())),
                _ => (name, value),
            })
            .collect(),
        ..again(&first)
    };
    assert!(is_replayed(&gateway.send(&quoted)), "a structured field has quotes");
    let answer = gateway.send(&post(&key, "{ }"));
    assert_eq!(
        (answer.status, answer.reason().as_str()),
        (422, "idempotency_key_reused")
    );
}

#[test]
fn what_changes_the_meaning_of_a_body_makes_it_another() {
    let gateway = setup(counting(), "").start();
    let key = key();
    let with = |name: &str, value: &str| post(&key, "{}").header(name, value);
    let first = with("x-sandbox", "true").header("if-match", "\"1\"");
    assert_eq!(gateway.send(&first).status, 201);
    assert!(is_replayed(
        &gateway.send(&again(&first).header("traceparent", "anything"))
    ));
    let unconditional = with("x-sandbox", "true");
    let real = with("if-match", "\"1\"");
    let encoded = again(&first).header("content-encoding", "gzip");
    for request in [unconditional, real, encoded] {
        let answer = gateway.send(&request);
        assert_eq!(
            (answer.status, answer.reason().as_str()),
            (422, "idempotency_key_reused"),
            "{request}"
        );
    }
}

#[test]
fn request_for_another_tenant_has_another_key() {
    let policy = POLICY.replace(
        "{ path: /jobs, auth: internal_key }",
        "{ path: /jobs, auth: internal_key, pass: [x-tenant-id] }",
    );
    let gateway = Setup::in_front_of(counting())
        .set("options", "")
        .policy("wallet", &policy)
        .start();
    let key = key();
    for tenant in [crate::harness::TENANT, OTHER_TENANT] {
        let request = Request::post("/w/jobs", "{}")
            .jobs_key()
            .header("x-tenant-id", tenant)
            .header("idempotency-key", &key);
        assert!(!is_replayed(&gateway.send(&request)), "{tenant}");
        assert!(is_replayed(&gateway.send(&again(&request))), "{tenant}");
    }
}

#[test]
fn authorization_comes_first() {
    let gateway = setup(counting(), "").start();
    let key = key();
    gateway.send(&post(&key, "{}"));
    let with = |token: &str| {
        Request::post("/w/pay?of=1", "{}")
            .bearer(token)
            .tenant()
            .header("idempotency-key", &key)
    };
    gateway.refused(&with(&token(json!({ "exp": now() - 1 }))), 401, "token_expired");
    let forged = token(json!({})).replace('.', ".e");
    assert_eq!(gateway.send(&with(&forged)).status, 401);
    let nobody = Request::post("/w/pay?of=1", "{}").header("idempotency-key", &key);
    gateway.refused(&nobody, 401, "credential_missing");
    let elsewhere = Request::post("/w/pay?of=1", "{}")
        .bearer(&token(json!({})))
        .header("x-tenant-id", OTHER_TENANT)
        .header("idempotency-key", &key);
    gateway.refused(&elsewhere, 403, "tenant_mismatch");
    let one_token = with(&token(json!({ "jti": "gone" })));
    assert!(is_replayed(&gateway.send(&one_token)));
    assert!(gateway.sidegate(&["revoke", "jti", "gone"]).status.success());
    gateway.refused(&again(&one_token), 401, "token_revoked");
}

#[test]
fn keys_are_uuids_and_may_be_required() {
    for (options, missing) in [("", 201), ("required: true", 400)] {
        let gateway = setup(counting(), options).start();
        let without = |method: &str, target: &str| {
            Request::new(method, target)
                .bearer(&token(json!({})))
                .tenant()
                .body("{}")
        };
        let answer = gateway.send(&without("POST", "/w/x"));
        assert_eq!(answer.status, missing, "{answer:?}");
        if missing == 400 {
            assert_eq!(answer.reason(), "idempotency_key_missing");
        }
        for wrong in [
            "x",
            "",
            "8e03978e40d543e8bc936894a57f9324",
            "\"\"",
            "8e03978e-40d5-43e8-bc93-6894a57f932g",
        ] {
            gateway.refused(&post(wrong, "{}"), 400, "idempotency_key_invalid");
        }
        let twice = post(&key(), "{}").header("idempotency-key", &key());
        gateway.refused(&twice, 400, "request_malformed");
        for (method, target) in [
            ("GET", "/w/x"),
            ("DELETE", "/w/x"),
            ("POST", "/w/off"),
            ("POST", "/w/open"),
        ] {
            let request = without(method, target).header("idempotency-key", "x");
            assert_eq!(gateway.send(&request).status, 201, "{request}");
        }
    }
}

#[test]
fn others_wait_their_turn() {
    let latch = Latch::default();
    let opened = latch.clone();
    let count = AtomicUsize::new(0);
    let upstream = Upstream::start(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        opened.wait();
        Reply::ok("{}")
    });
    let gateway = setup(upstream, "").start();
    let request = post(&key(), "{}");
    thread::scope(|scope| {
        let first = scope.spawn(|| gateway.send(&request));
        eventually("it is at the service", || {
            gateway.upstream.seen(&request.case).len() == 1
        });
        for body in ["{}", "other"] {
            let answer = gateway.send(&post(&request.headers[3].1, body));
            assert_eq!(
                (answer.status, answer.reason().as_str()),
                (409, "idempotency_in_progress")
            );
            assert_eq!(answer.header("retry-after"), Some("1"));
            assert_eq!(answer.code(), "ERR_WALLET_CONFLICT");
        }
        latch.open();
        assert_eq!(first.join().unwrap().status, 200);
    });
    assert!(is_replayed(&gateway.send(&again(&request))));
    assert_eq!(gateway.upstream.all().len(), 1);
}

#[test]
fn a_thousand_at_once_are_one() {
    let gateway = setup(counting(), "").start();
    assert_one_of_a_thousand(&[&gateway]);
}

#[test]
fn same_key_at_once_on_eight_connections_reaches_the_service_once() {
    let (latch, upstream) = Latch::before(201, "{}");
    let gateway = setup(upstream, "").start();
    let request = post(&key(), "{}");
    let wires = gateway.at_once(&[(); 8].map(|()| again(&request)));
    eventually("the others are rejected", || {
        gateway.metric("sidegate_requests_total", &[("status", "409")]) == Some(7.0)
    });
    latch.open();
    let statuses = wires.into_iter().map(|mut wire| wire.answer("POST").unwrap().status);
    let mut statuses: Vec<_> = statuses.collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409, 409, 409, 409, 409, 409, 409]);
    assert_eq!(gateway.upstream.all().len(), 1);
}

/// Sends a thousand duplicates at once to some replicas of one service: it answers exactly one.
pub(crate) fn assert_one_of_a_thousand(replicas: &[&Gateway]) {
    const CLIENTS: usize = 50;
    let request = post(&key(), "{\"amount\":1}");
    let requests = || replicas[0].upstream.all().len();
    let before = requests();
    let statuses: Vec<u16> = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let (request, gateway) = (&request, replicas[client % replicas.len()]);
                scope.spawn(move || {
                    let mut wire = gateway.connect();
                    (0..1000 / CLIENTS)
                        .map(|_| wire.exchange(&again(request)).status)
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    assert_eq!(statuses.len(), 1000);
    assert!(
        statuses.iter().all(|status| matches!(status, 201 | 409)),
        "{statuses:?}"
    );
    assert!(statuses.contains(&201));
    assert_eq!(requests() - before, 1, "requests at the service");
}

#[test]
fn answers_that_may_be_others_next_time_are_not_kept() {
    let upstream = Upstream::start(|request| {
        let status = request
            .target
            .rsplit('/')
            .next()
            .unwrap()
            .split('?')
            .next()
            .unwrap()
            .parse()
            .unwrap();
        Reply::status(status, if status == 204 { "" } else { "{}" })
    });
    let gateway = setup(upstream, "").start();
    for (status, kept) in [
        (200, true),
        (204, true),
        (302, true),
        (400, true),
        (404, true),
        (409, true),
        (422, true),
        (401, false),
        (403, false),
        (429, false),
        (500, false),
        (502, false),
        (503, false),
    ] {
        let request = Request::post(&format!("/w/{status}"), "{}")
            .bearer(&token(json!({})))
            .tenant()
            .header("idempotency-key", &key());
        assert_eq!(gateway.send(&request).status, status);
        if kept {
            assert!(is_replayed(&gateway.send(&again(&request))), "{status}");
            continue;
        }
        // The key is free again, in a moment.
        eventually(&format!("{status} is asked again"), || {
            let repeat = again(&request);
            gateway.send(&repeat);
            gateway.upstream.seen(&repeat.case).len() == 1
        });
    }
}

#[test]
fn answers_that_are_too_long_are_not_kept() {
    let gateway = setup(
        Upstream::start(|request| {
            let length = request.target.rsplit('/').next().unwrap().parse().unwrap();
            Reply::ok("x".repeat(length))
        }),
        "max_body: 1KiB",
    )
    .start();
    for (length, kept) in [(1024, true), (1025, false), (200_000, false)] {
        let request = Request::post(&format!("/w/{length}"), "{}")
            .bearer(&token(json!({})))
            .tenant()
            .header("idempotency-key", &key());
        let first = gateway.send(&request);
        assert_eq!((first.status, first.body.len()), (200, length));
        eventually("it is answered", || {
            let repeat = again(&request);
            let answer = gateway.send(&repeat);
            let asked = gateway.upstream.seen(&repeat.case).len() == 1;
            answer.status == 200 && answer.body.len() == length && is_replayed(&answer) == kept && asked != kept
        });
    }
}

#[test]
fn response_without_a_client_that_cannot_be_stored_is_cut() {
    let cut = AtomicUsize::new(0);
    let cut = std::sync::Arc::new(cut);
    let counted = cut.clone();
    let upstream = Upstream::start(move |_| {
        let counted = counted.clone();
        Reply::script(move |stream| {
            stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")?;
            while stream
                .write_all(b"400\r\n")
                .and_then(|()| stream.write_all(&[b'x'; 1024]))
                .is_ok()
            {
                stream.write_all(b"\r\n")?;
                thread::sleep(std::time::Duration::from_millis(1));
            }
            counted.fetch_add(1, Ordering::SeqCst);
            Ok(())
        })
    });
    let gateway = setup(upstream, "max_body: 1KiB")
        .config("limits: { requests: 2 }")
        .start();
    for attempt in 1..=4 {
        let mut wire = gateway.connect();
        wire.write(post(&key(), "{}").bytes());
        assert_eq!(wire.head().unwrap().0, 200, "a place is free");
        drop(wire);
        eventually("the service is cut off", || cut.load(Ordering::SeqCst) == attempt);
        eventually("nobody is there any more", || {
            gateway.metric("sidegate_requests_in_flight", &[]) == Some(0.0)
        });
    }
}

#[test]
fn a_service_that_breaks_off_is_not_asked_again_behind_the_back_of_the_client() {
    let count = AtomicUsize::new(0);
    let upstream = Upstream::start(move |_| match count.fetch_add(1, Ordering::SeqCst) {
        0 => Reply::ok("{}"),
        _ => Reply::script(|_| Ok(())),
    });
    let gateway = setup(upstream, "methods: [PUT, DELETE]").start();
    for method in ["PUT", "PUT", "DELETE"] {
        let request = Request::new(method, "/w/x")
            .bearer(&token(json!({})))
            .tenant()
            .header("idempotency-key", &key())
            .body("{}");
        gateway.send(&request);
        assert_eq!(gateway.upstream.seen(&request.case).len(), 1, "{method}");
    }
}

#[test]
fn response_is_stored_for_its_ttl() {
    let gateway = setup(counting(), "ttl: 1s").start();
    let request = post(&key(), "{}");
    gateway.send(&request);
    eventually("it is forgotten", || !is_replayed(&gateway.send(&again(&request))));
}

#[test]
fn response_is_stored_for_a_client_that_went() {
    let (latch, upstream) = Latch::before(200, "{\"done\":true}");
    let gateway = setup(upstream, "").start();
    let (closed, cancelled) = (post(&key(), "{}"), post(&key(), "{}"));
    let mut wire = gateway.connect();
    wire.write(closed.bytes());
    let mut frames = Frames::open(gateway.port, &[]);
    let mut fields = block("POST", "/w/pay?of=1");
    field(&mut fields, "x-case", &cancelled.case);
    for (name, value) in &cancelled.headers {
        field(&mut fields, &name.to_ascii_lowercase(), value);
    }
    frames.send(&frame(HEADERS, END_HEADERS, 1, &fields));
    frames.send(&frame(DATA, END_STREAM, 1, b"{}"));
    for request in [&closed, &cancelled] {
        eventually("it is at the service", || {
            gateway.upstream.seen(&request.case).len() == 1
        });
    }
    drop(wire);
    frames.send(&reset(1));
    drop(frames);
    latch.open();
    for request in [&closed, &cancelled] {
        eventually("the answer is kept", || is_replayed(&gateway.send(&again(request))));
        assert_eq!(gateway.upstream.seen(&request.case).len(), 1);
    }
    assert_eq!(gateway.upstream.all().len(), 2);
}

#[test]
fn the_process_ends_no_sooner_than_the_request_of_a_client_that_went() {
    let (latch, upstream) = Latch::before(200, "{}");
    let gateway = setup(upstream, "").start();
    let request = post(&key(), "{}");
    let mut wire = gateway.connect();
    wire.write(request.bytes());
    eventually("it is at the service", || {
        gateway.upstream.seen(&request.case).len() == 1
    });
    drop(wire);
    gateway.terminate();
    eventually("it takes no more connections", || {
        Wire::try_connect(gateway.port).is_none()
    });
    assert!(gateway.is_running());
    latch.open();
    assert!(gateway.ended().success());
    assert!(!gateway.log_text().contains("are cut"), "{}", gateway.log_text());
}

#[test]
fn request_that_was_broken_off_is_not_stored() {
    let gateway = setup(counting(), "").start();
    let key = key();
    for chunked in [true, false] {
        let request = post(&key, "");
        let request = match chunked {
            true => request.header("transfer-encoding", "chunked").body("4\r\nwi"),
            false => request.header("content-length", "4").body("wi"),
        };
        let mut wire = gateway.connect();
        wire.write(request.bytes());
        wire.finish();
        _ = wire.answer("POST");
        assert!(
            gateway.upstream.seen(&request.case).is_empty(),
            "the service took a part for the whole"
        );
    }
    let whole = post(&key, "wiki");
    eventually("the key is free", || gateway.send(&again(&whole)).status == 201);
    assert_eq!(gateway.upstream.all().len(), 1);
}

#[test]
fn response_that_was_broken_off_is_not_stored() {
    let count = AtomicUsize::new(0);
    let upstream = Upstream::start(move |_| match count.fetch_add(1, Ordering::SeqCst) {
        0 => Reply::bytes(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc"),
        1 => Reply::bytes(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n"),
        2 => Reply::bytes(b"nonsense"),
        _ => Reply::ok("whole"),
    });
    let gateway = setup(upstream, "").start();
    let request = post(&key(), "{}");
    for attempt in 0..3 {
        let mut wire = gateway.connect();
        eventually("the key is free", || {
            wire = gateway.connect();
            wire.write(again(&request).bytes());
            match wire.answer("POST") {
                Ok(answer) if answer.status == 409 => false,
                Ok(answer) => {
                    assert_eq!(
                        (attempt, answer.status, answer.reason().as_str()),
                        (2, 502, "upstream_failed")
                    );
                    true
                }
                Err(_) => {
                    assert!(attempt < 2);
                    true
                }
            }
        });
    }
    eventually("the key is free", || gateway.send(&again(&request)).text() == "whole");
    assert!(is_replayed(&gateway.send(&again(&request))));
}

/// Asserts that a response without an end reaches the client of each request, and is stored for none.
#[track_caller]
fn assert_not_stored(gateway: &Gateway, what: &str) {
    let request = post(&key(), "{}");
    for _ in 0..2 {
        eventually(&format!("{what}: the key is free"), || {
            let again = again(&request);
            let mut wire = gateway.connect();
            wire.write(again.bytes());
            if let Ok(answer) = wire.answer("POST") {
                assert!(!is_replayed(&answer), "{what}: {answer:?}");
            }
            gateway.upstream.seen(&again.case).len() == 1
        });
    }
}

#[test]
fn response_that_ends_with_its_connection_or_breaks_off_is_not_stored() {
    let ca = authority("Services");
    let service = leaf(&ca, 1, dns("localhost"), |_| {});
    for (what, bytes) in [
        ("no length", &b"HTTP/1.1 200 OK\r\n\r\nabc"[..]),
        ("HTTP/1.0", b"HTTP/1.0 200 OK\r\ncontent-type: text/plain\r\n\r\nabc"),
        ("no length, and nothing", b"HTTP/1.1 200 OK\r\n\r\n"),
        ("an error without a length", b"HTTP/1.1 404 Not Found\r\n\r\nabc"),
        (
            "chunks that break off",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
        ),
        (
            "chunks that break off in the end",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n",
        ),
        (
            "fewer bytes than promised",
            b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nabc",
        ),
    ] {
        let answers = move |_: &crate::harness::upstream::Recorded| Reply::bytes(bytes);
        assert_not_stored(&setup(Upstream::start(answers), "").start(), what);
        let secured = Upstream::tls(server(&service, &[]), answers);
        let trusting = WALLET.replace("url: '$upstream'", "url: '$upstream', ca_file: ca.crt");
        let gateway = Setup::in_front_of(secured)
            .set("options", "")
            .file("policies/ca.crt", &ca.pem())
            .policy("wallet", &POLICY.replace("$wallet", &trusting))
            .start();
        assert_not_stored(&gateway, &format!("https, {what}"));
    }
}

#[test]
fn response_with_an_end_is_stored_also_of_a_service_that_closes_its_connection() {
    let ca = authority("Services");
    let service = leaf(&ca, 1, dns("localhost"), |_| {});
    for bytes in [
        &b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\nconnection: close\r\n\r\nabc"[..],
        b"HTTP/1.0 200 OK\r\ncontent-length: 3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
    ] {
        let answers = move |_: &crate::harness::upstream::Recorded| Reply::bytes(bytes);
        let secured = Upstream::tls(server(&service, &[]), answers);
        let trusting = WALLET.replace("url: '$upstream'", "url: '$upstream', ca_file: ca.crt");
        for gateway in [
            setup(Upstream::start(answers), "").start(),
            Setup::in_front_of(secured)
                .set("options", "")
                .file("policies/ca.crt", &ca.pem())
                .policy("wallet", &POLICY.replace("$wallet", &trusting))
                .start(),
        ] {
            let request = post(&key(), "{}");
            assert!(gateway.send(&request).status < 300);
            assert!(
                is_replayed(&gateway.send(&again(&request))),
                "{}",
                String::from_utf8_lossy(bytes)
            );
        }
    }
}

#[test]
fn memory_that_one_tenant_fills_has_room_for_others_and_shows_before() {
    let upstream = Upstream::start(|_| Reply::ok("x".repeat(50_000)));
    let gateway = setup(upstream, "").config("store: { memory: { size: 1MiB } }").start();
    let gauge = |name: &str| gateway.metric(&format!("sidegate_store_memory_{name}"), &[]).unwrap();
    assert_eq!((gauge("limit_bytes"), gauge("used_bytes")), (1_048_576.0, 0.0));
    let stored = (0..20)
        .take_while(|_| {
            let request = post(&key(), "{}");
            assert_eq!(gateway.send(&request).status, 200);
            is_replayed(&gateway.send(&again(&request)))
        })
        .count();
    assert_eq!(stored, 10, "half of the room");
    assert!(gauge("records") >= 10.0 && gauge("largest_share_bytes") > 500_000.0);
    let nearly = gauge("largest_share_bytes") / (gauge("limit_bytes") - gauge("used_bytes"));
    assert!((0.8..=1.0).contains(&nearly), "{nearly}");
    let other = json!({ "tenant": OTHER_TENANT, "tenantId": OTHER_TENANT });
    let request = Request::post("/w/pay", "{}")
        .bearer(&token(other))
        .header("x-tenant-id", OTHER_TENANT)
        .header("idempotency-key", &key());
    assert_eq!(gateway.send(&request).status, 200);
    assert!(is_replayed(&gateway.send(&again(&request))));
}

#[test]
fn a_service_that_is_away_is_asked_again() {
    let dead = "
version: 1
service: dead
upstream: { url: 'http://127.0.0.1:9' }
errors: { format: envelope, code_prefix: ERR_DEAD }
internal_key: { keys: [{ name: scheduler, secret: { env: IT_JOBS_KEY } }] }
idempotency: {}
routes: [{ path: /*, auth: internal_key }]
";
    let gateway = Setup::new().policy("dead", dead).start();
    let request = Request::post("/x", "{}").jobs_key().header("idempotency-key", &key());
    for _ in 0..2 {
        eventually("the key is free", || {
            let answer = gateway.send(&again(&request));
            answer.status == 502 && answer.reason() == "upstream_unreachable"
        });
    }
    let labels = [("failure", "upstream_unreachable"), ("service", "dead")];
    assert_eq!(gateway.metric("sidegate_failures_total", &labels), Some(2.0));
    // A client over HTTP/2 gets the same response, to its end.
    let http2 = Http2::plain(gateway.port);
    for body in ["{}", ""] {
        let request = Request::post("/x", body).jobs_key().header("idempotency-key", &key());
        let answer = http2.exchange(&request);
        assert_eq!(
            (answer.status, answer.reason().as_str()),
            (502, "upstream_unreachable"),
            "{answer:?}"
        );
    }
}

#[test]
fn response_that_can_never_be_stored_leaves_its_key_free() {
    let upstream = Upstream::start(|_| Reply::status(201, "x".repeat(600_000)));
    let gateway = setup(upstream, "").config("store: { memory: { size: 1MiB } }").start();
    let request = post(&key(), "{}");
    for _ in 0..2 {
        eventually("the key is free", || {
            let answer = gateway.send(&again(&request));
            answer.status == 201 && !is_replayed(&answer)
        });
    }
    assert!(gateway.log_text().contains("larger than half of `store.memory.size`"));
}

#[test]
fn client_that_expects_100_continue_gets_it() {
    let gateway = setup(counting(), "").start();
    let request = post(&key(), "")
        .header("expect", "100-continue")
        .header("content-length", "4");
    for replayed in [false, true] {
        let mut wire = gateway.connect();
        wire.write(again(&request).bytes());
        if replayed {
            assert_eq!(wire.head().unwrap().0, 100);
        }
        wire.write("wiki");
        let answer = wire.answer("POST").unwrap();
        assert_eq!((answer.status, is_replayed(&answer)), (201, replayed), "{answer:?}");
    }
}

#[test]
fn limits_hold_for_these_requests_too() {
    let gateway = setup(counting(), "")
        .config("limits: { body_bytes: 1KiB, body_timeout: 1s }")
        .start();
    let large = post(&key(), "").header("transfer-encoding", "chunked");
    let chunk = format!("800\r\n{}\r\n0\r\n\r\n", "x".repeat(2048));
    let answer = gateway.send(&large.body(chunk));
    assert_eq!((answer.status, answer.reason().as_str()), (413, "body_too_large"));
    let key = key();
    let mut wire = gateway.connect();
    wire.write(post(&key, "").header("content-length", "4").body("wi").bytes());
    let answer = wire.answer("POST").unwrap();
    assert_eq!((answer.status, answer.reason().as_str()), (408, "request_timeout"));
    eventually("the key is free", || gateway.send(&post(&key, "wiki")).status == 201);
    let mut slow_repeat = gateway.connect();
    slow_repeat.write(post(&key, "").header("content-length", "4").body("wi").bytes());
    assert_eq!(slow_repeat.answer("POST").unwrap().status, 408);
}

#[test]
fn response_with_a_key_streams() {
    let latch = Latch::default();
    let opened = latch.clone();
    let upstream = Upstream::start(move |_| {
        let opened = opened.clone();
        Reply::script(move |stream| {
            stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n")?;
            opened.wait();
            stream.write_all(b"2\r\nde\r\n0\r\n\r\n")
        })
    });
    let gateway = setup(upstream, "").start();
    let mut wire: Wire = gateway.connect();
    wire.write(post(&key(), "{}").bytes());
    assert_eq!(wire.head().unwrap().0, 200);
    assert_eq!(wire.chunk(), b"abc");
    latch.open();
    assert_eq!(wire.chunk(), b"de");
    assert!(wire.chunk().is_empty());
}
