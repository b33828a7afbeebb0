//! `timeout` and `body_bytes` of a route, in place of `upstream.timeout` and `limits.body_bytes`, larger or smaller.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::harness::{
    Answer, Gateway, Reply, Request, Setup, Shared, Upstream, Wire,
    certificates::{client, pki, server},
    eventually,
    frames::{DATA, END_HEADERS, END_STREAM, Frames, HEADERS, NO_FLAGS, block, frame},
    gateway::text,
    h2_service::{Call, H2Service},
    http2::Http2,
    issuer::token,
    upstream::Recorded,
};

const SERVICES: [&str; 3] = ["plain", "tls", "h2c"];

/// The limit of the process is 1000 bytes, and the timeout of the policy 1 s, but 60 s on the slow ones.
const POLICY: &str = "
version: 1
service: $name
prefix: /$name
upstream: { url: '$url'$more, timeout: $timeout }
errors: { format: problem }
jwt: { issuers: [{ issuer: eventzr.com, audience: [eventzr-api], algorithms: [HS256], keys: { secret: { env: IT_SECRET } } }] }
routes:
  - { path: /small/*, auth: public, body_bytes: 10 }
  - { path: /large/*, auth: public, body_bytes: 3MiB }
  - { path: /none/*, auth: public, body_bytes: 0 }
  - { path: /keyed/*, auth: jwt, body_bytes: 2000, idempotency: { required: true } }
  - { path: /shadow/*, auth: jwt, mode: shadow, body_bytes: 10 }
  - { path: /longer/*, auth: public, timeout: 1m }
  - { path: /shorter/*, auth: public, timeout: 300ms }
  - { path: /*, auth: public }
";

/// Answers with the length of the body, and after a while if the path says so.
fn script(request: &Recorded) -> Reply {
    let length = request.body.len().to_string();
    match request.target.rsplit('/').next() {
        Some("slow") => Reply::script(move |stream| {
            std::thread::sleep(SLOW);
            write!(
                stream,
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{length}",
                length.len()
            )
        }),
        Some("paused") => Reply::script(move |stream| {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nx")?;
            stream.flush()?;
            std::thread::sleep(SLOW);
            stream.write_all(b"y")
        }),
        _ => Reply::ok(length),
    }
}

/// Longer than the timeouts of 1 s and less.
const SLOW: std::time::Duration = std::time::Duration::from_millis(2500);

async fn h2_script(mut call: Call) -> Result<(), h2::Error> {
    let length = call.whole_body().await?.len().to_string();
    match call.name().as_str() {
        "slow" => {
            tokio::time::sleep(SLOW).await;
            call.reply(200, length)
        }
        "paused" => {
            let mut stream = call.begin(200, &[])?;
            stream.send_data("x".into(), false)?;
            tokio::time::sleep(SLOW).await;
            stream.send_data("y".into(), true)
        }
        _ => call.reply(200, length),
    }
}

fn gateway() -> Arc<Gateway> {
    static SHARED: Shared<Gateway> = Shared::new();
    SHARED.get(|| {
        let plain = Upstream::start(script);
        let tls = Upstream::tls(server(&pki().server, &["http/1.1"]), script);
        let h2c = H2Service::start(h2_script);
        let setup = Setup::in_front_of(plain.clone())
            .tls()
            .config("limits: { body_bytes: 1000 }");
        let services = [
            ("plain", &plain.url, ""),
            ("tls", &tls.url, ", ca_file: $folder/ca.crt"),
            ("h2c", &h2c.url, ""),
        ];
        let policy = |name: &str, (_, url, more): (&str, &String, &str), timeout: &str| {
            let text = POLICY.replace("$name", name).replace("$url", url);
            text.replace("$more", more).replace("$timeout", timeout)
        };
        services
            .into_iter()
            .fold(setup, |setup, service| {
                let patient = format!("patient-{}", service.0);
                setup
                    .policy(service.0, &policy(service.0, service, "1s"))
                    .policy(&patient, &policy(&patient, service, "1m"))
            })
            .start()
    })
}

fn upload(path: &str, length: usize, is_chunked: bool) -> Request {
    let request = Request::new("POST", path).header("content-type", "application/json");
    let body = "x".repeat(length);
    match is_chunked {
        true => request
            .header("transfer-encoding", "chunked")
            .body(format!("{length:x}\r\n{body}\r\n0\r\n\r\n")),
        false => request.body(body),
    }
}

fn line_of(gateway: &Gateway, request: &Request) -> Value {
    let path = request.target.split('?').next().unwrap();
    let mut found = None;
    eventually(&format!("{request} is logged"), || {
        let mut lines = gateway.log_lines().into_iter().rev();
        found = lines.find(|line| line["message"] == "request" && line["path"] == path);
        found.is_some()
    });
    found.unwrap()
}

type Exchange<'g> = Box<dyn Fn(&Request) -> Answer + 'g>;

/// The clients of each kind.
fn exchanges(gateway: &Gateway) -> [(&'static str, Exchange<'_>); 3] {
    let tls = || Wire::tls(gateway.tls_port, client(None, &["http/1.1"])).unwrap();
    [
        ("http/1", Box::new(|request| gateway.send(request))),
        ("tls", Box::new(move |request| tls().exchange(request))),
        (
            "http/2",
            Box::new(|request| Http2::plain(gateway.port).exchange(request)),
        ),
    ]
}

#[test]
fn body_is_limited_by_its_route_whether_its_length_is_said_or_counted() {
    let gateway = gateway();
    for service in SERVICES {
        for (route, most, field) in [
            ("small", 10, "`body_bytes` of the route"),
            ("large", 3 << 20, "`body_bytes` of the route"),
            ("other", 1000, "`limits.body_bytes`"),
        ] {
            for (client, exchange) in exchanges(&gateway) {
                for is_chunked in [false, true] {
                    if client == "http/2" && is_chunked {
                        continue;
                    }
                    let path =
                        |n: usize| format!("/{service}/{route}/{client}/{is_chunked}/{n}").replace("http/", "http");
                    let fits = upload(&path(most), most, is_chunked);
                    let answer = exchange(&fits);
                    assert_eq!(
                        (answer.status, answer.text()),
                        (200, most.to_string()),
                        "{client}: {fits}"
                    );
                    let large = upload(&path(most + 1), most + 1, is_chunked);
                    let answer = exchange(&large);
                    assert_eq!(answer.status, 413, "{client}: {large}: {answer:?}");
                    let cause = format!("the body is longer than the limit of {most} bytes, {field}");
                    let line = line_of(&gateway, &large);
                    let name = if is_chunked { "failure_cause" } else { "cause" };
                    assert_eq!(line[name], json!(cause), "{line}");
                }
            }
        }
    }
}

#[test]
fn body_over_http2_without_a_length_is_counted_by_its_route() {
    let gateway = gateway();
    for service in SERVICES {
        for (route, most) in [("small", 10), ("large", 3 << 20), ("other", 1000)] {
            for (length, status) in [(most, 200), (most + 1, 413)] {
                let request = upload(&format!("/{service}/{route}/unsized/{length}"), length, false);
                let answer = Http2::plain(gateway.port).exchange_unsized(&request);
                assert_eq!(answer.status, status, "{request}: {answer:?}");
            }
        }
    }
}

#[test]
fn route_that_takes_no_body_rejects_the_first_byte() {
    let gateway = gateway();
    for is_chunked in [false, true] {
        let request = upload("/plain/none/x", 1, is_chunked);
        assert_eq!(gateway.send(&request).status, 413, "{request}");
    }
    assert_eq!(gateway.send(&Request::get("/plain/none/x")).status, 200);
    assert_eq!(gateway.send(&upload("/plain/none/x", 0, false)).status, 200);
}

#[test]
fn limit_of_a_route_holds_in_shadow_mode() {
    let gateway = gateway();
    for is_chunked in [false, true] {
        let request = upload("/plain/shadow/x", 11, is_chunked);
        assert_eq!(gateway.send(&request).status, 413, "{request}");
    }
    assert_eq!(gateway.send(&upload("/plain/shadow/x", 10, false)).status, 200);
}

#[test]
fn limit_of_a_route_holds_for_bodies_that_are_compared_with_a_stored_response() {
    let gateway = gateway();
    let send = |key: &str, length, is_chunked| {
        let request = upload("/plain/keyed/x", length, is_chunked);
        gateway.send(&request.bearer(&token(json!({}))).header("idempotency-key", key))
    };
    for is_chunked in [false, true] {
        let key = format!("8e03978e-40d5-43e8-bc93-{:012x}", crate::harness::unique());
        assert_eq!(send(&key, 2000, is_chunked).status, 200);
        let answer = send(&key, 2000, is_chunked);
        assert_eq!(
            (answer.status, answer.header("idempotency-replayed")),
            (200, Some("true")),
            "{answer:?}"
        );
        assert_eq!(send(&key, 2001, is_chunked).status, 413);
    }
}

#[test]
fn service_may_be_silent_for_as_long_as_its_route_says() {
    let gateway = gateway();
    let each = |service: &'static str| {
        let gateway = &gateway;
        move || {
            for (path, status, field) in [
                (format!("/{service}/longer/slow"), 200, None),
                (format!("/{service}/longer/paused"), 200, None),
                (format!("/{service}/other/slow"), 504, Some("`upstream.timeout`")),
                (format!("/{service}/shorter/slow"), 504, Some("`timeout` of the route")),
                (format!("/patient-{service}/other/slow"), 200, None),
                (
                    format!("/patient-{service}/shorter/slow"),
                    504,
                    Some("`timeout` of the route"),
                ),
            ] {
                let request = Request::get(&path);
                let answer = gateway.send(&request);
                assert_eq!(answer.status, status, "{request}: {answer:?}");
                if let Some(field) = field {
                    let line = line_of(gateway, &request);
                    let cause = line["failure_cause"].as_str().unwrap();
                    assert!(cause.ends_with(&format!(" sent nothing within {field}")), "{line}");
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for service in SERVICES {
            scope.spawn(each(service));
        }
    });
}

#[test]
fn response_that_pauses_for_longer_than_its_route_allows_is_cut() {
    let gateway = gateway();
    for service in SERVICES {
        for route in ["other", "shorter"] {
            let request = Request::get(&format!("/{service}/{route}/paused"));
            let mut wire = gateway.connect();
            wire.write(request.bytes());
            assert_eq!(wire.head().unwrap().0, 200, "{request}");
            let rest = wire.rest().unwrap();
            assert!(!rest.contains(&b'y'), "{request}: {rest:?}");
            assert_eq!(line_of(&gateway, &request)["failure"], "upstream_timeout", "{request}");
        }
    }
}

#[test]
fn upload_over_http2_that_the_service_does_not_read_ends_with_the_timeout_of_the_route() {
    let mut builder = h2::server::Builder::new();
    builder.initial_window_size(1000);
    let service = H2Service::with(builder, |call: Call| async move {
        // The window stays shut.
        tokio::time::sleep(SLOW * 4).await;
        drop(call);
        Ok(())
    });
    let policy = format!(
        "version: 1\nservice: s\nprefix: /s\nupstream: {{ url: '{}', timeout: 1m }}\nroutes: [{{ path: /*, auth: public, timeout: 500ms }}]\n",
        service.url
    );
    let gateway = Setup::new().policy("s", &policy).start();
    let mut frames = Frames::open(gateway.port, &[]);
    frames.send(&frame(HEADERS, END_HEADERS, 1, &block("POST", "/s/stuck")));
    frames.send(&frame(DATA, NO_FLAGS, 1, &[b'x'; 10_000]));
    frames.send(&frame(DATA, END_STREAM, 1, &[b'x'; 10_000]));
    assert!(
        frames
            .until(|frame| frame.stream == 1 && frame.kind == HEADERS)
            .is_some()
    );
    let line = line_of(&gateway, &Request::get("/s/stuck"));
    let cause = line["failure_cause"].as_str().unwrap();
    assert!(cause.ends_with("within `timeout` of the route"), "{line}");
}

#[test]
fn explain_shows_the_limits_of_a_route_that_has_its_own() {
    let policy = "
version: 1
service: s
upstream: { url: 'http://127.0.0.1:1' }
routes:
  - { path: /upload, methods: [PUT], auth: public, timeout: 5m, body_bytes: 1GiB }
  - { path: /slow, auth: public, timeout: 90s }
  - { path: /*, auth: public }
";
    let explain = |arguments: &[&str]| {
        let setup = Setup::new().policy("s", policy);
        text(&setup.run(&[&["explain"], arguments, &["--policies", "policies"]].concat()))
    };
    let said = explain(&["PUT", "/upload", "-H", "content-length: 1073741824"]);
    assert!(said.contains("of the route: `timeout` 5m, `body_bytes` 1GiB"), "{said}");
    assert!(said.contains("decision: allow"), "{said}");
    let said = explain(&["PUT", "/upload", "-H", "content-length: 1073741825"]);
    assert!(said.contains("decision: deny body_too_large"), "{said}");
    assert!(said.contains("1073741824 bytes, `body_bytes` of the route"), "{said}");
    assert!(explain(&["GET", "/slow"]).contains("of the route: `timeout` 90s\n"));
    assert!(!explain(&["GET", "/other"]).contains("of the route"));
}
