//! Streams may be silent for longer than other responses: WebSockets, event streams and gRPC, by `streams.idle_timeout`.

use std::{sync::Arc, time::Duration};

use crate::{
    harness::{
        Gateway, Reply, Request, Setup, Shared, Upstream,
        certificates::{pki, server},
        eventually,
        frames::{DATA, END_HEADERS, END_STREAM, Frames, HEADERS, NO_FLAGS, RST_STREAM, block, field, frame},
        h2_service::{Call, H2Service},
        upstream::Recorded,
    },
    upstreams::{handshake, websocket},
};

/// Longer than the timeout of the policy, and shorter than what a stream may pause.
const PAUSE: Duration = Duration::from_millis(1500);

const POLICY: &str = "
version: 1
service: $name
prefix: /$name
upstream: { url: '$url'$more, timeout: 500ms }
errors: { format: problem }
routes:
  - { path: /longer/*, auth: public, timeout: 1m }
  - { path: /*, auth: public }
";

/// The content type of a response, by the last segment of its path.
fn content_type(target: &str) -> &'static str {
    match target.rsplit('/').next().unwrap() {
        "events" => "text/event-stream",
        "parameters" => "Text/Event-Stream; charset=utf-8",
        "grpc" => "application/grpc",
        "grpc-proto" => "application/grpc+proto",
        "grpcx" => "application/grpcx",
        "web" => "application/grpc-web",
        "looks" => "text/plain; a=text/event-stream",
        _ => "application/json",
    }
}

/// Sends two parts with a pause between them.
fn script(request: &Recorded) -> Reply {
    if request.target.ends_with("/late") {
        return Reply::script(|stream| {
            std::thread::sleep(PAUSE);
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\nfirst")
        });
    }
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: {}\r\ncontent-length: 11\r\n\r\nfirst",
        content_type(&request.target)
    );
    Reply::script(move |stream| {
        stream.write_all(head.as_bytes())?;
        stream.flush()?;
        std::thread::sleep(PAUSE);
        stream.write_all(b"second")?;
        stream.flush()
    })
}

async fn h2_script(mut call: Call) -> Result<(), h2::Error> {
    let mut stream = call.begin(200, &[("content-type", content_type(call.head.uri.path()))])?;
    stream.send_data("first".into(), false)?;
    tokio::time::sleep(PAUSE).await;
    stream.send_data("second".into(), true)
}

fn policy(name: &str, url: &str, more: &str) -> String {
    POLICY
        .replace("$name", name)
        .replace("$url", url)
        .replace("$more", more)
}

/// `$name` may pause for an hour, which is the default, and `short-$name` for less than it does.
fn gateway() -> Arc<Gateway> {
    static SHARED: Shared<Gateway> = Shared::new();
    SHARED.get(|| {
        let plain = Upstream::start(script);
        let tls = Upstream::tls(server(&pki().server, &["http/1.1"]), script);
        let h2c = H2Service::start(h2_script);
        let sockets = Upstream::start(websocket);
        let services = [
            ("plain", &plain.url, ""),
            ("tls", &tls.url, ", ca_file: $folder/ca.crt"),
            ("h2c", &h2c.url, ""),
            ("sockets", &sockets.url, ""),
        ];
        // The idle time of a connection is not that of a stream.
        let setup = Setup::in_front_of(plain.clone())
            .tls()
            .config("limits: { idle_timeout: 1s, body_timeout: 500ms }");
        services
            .into_iter()
            .fold(setup, |setup, (name, url, more)| {
                let short = format!("short-{name}");
                let limited = format!("{}streams: {{ idle_timeout: 700ms }}\n", policy(&short, url, more));
                setup.policy(name, &policy(name, url, more)).policy(&short, &limited)
            })
            .start()
    })
}

/// What arrives of the body to the end of the response.
fn body(gateway: &Gateway, path: &str) -> String {
    let mut wire = gateway.connect();
    wire.write(Request::get(path).header("connection", "close").bytes());
    assert_eq!(wire.head().unwrap().0, 200, "{path}");
    let text = String::from_utf8(wire.rest().unwrap()).unwrap();
    let parts = ["first", "second"].into_iter().filter(|part| text.contains(part));
    parts.collect::<Vec<_>>().join("")
}

/// The same over HTTP/2.
fn body_over_http2(gateway: &Gateway, path: &str) -> String {
    let mut frames = Frames::open(gateway.port, &[]);
    frames.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &block("GET", path)));
    let mut body = Vec::new();
    while let Some(next) = frames.next() {
        if next.stream == 1 && next.kind == DATA {
            body.extend(&next.payload);
        }
        let ends = next.flags & END_STREAM != 0 && matches!(next.kind, DATA | HEADERS);
        if next.stream == 1 && (ends || next.kind == RST_STREAM) {
            break;
        }
    }
    String::from_utf8(body).unwrap()
}

#[test]
fn stream_may_pause_for_longer_than_other_responses() {
    let gateway = gateway();
    let all = "firstsecond";
    let cases = [
        ("events", true),
        ("parameters", true),
        ("grpc", true),
        ("grpc-proto", true),
        ("grpcx", false),
        ("web", false),
        ("looks", false),
        ("json", false),
        ("longer/json", true),
    ];
    std::thread::scope(|scope| {
        for service in ["plain", "tls", "h2c"] {
            for (name, is_whole) in cases {
                let gateway = &gateway;
                scope.spawn(move || {
                    let want = if is_whole { all } else { "first" };
                    let path = format!("/{service}/{name}");
                    assert_eq!(body(gateway, &path), want, "{path}");
                    assert_eq!(body_over_http2(gateway, &path), want, "{path} over HTTP/2");
                });
            }
        }
    });
}

#[test]
fn stream_that_is_silent_for_longer_than_it_may_be_is_cut_and_the_cause_names_the_field() {
    let gateway = gateway();
    for service in ["plain", "tls", "h2c"] {
        for name in ["events", "grpc", "longer/events"] {
            let path = format!("/short-{service}/{name}");
            assert_eq!(body(&gateway, &path), "first", "{path}");
            assert_eq!(body_over_http2(&gateway, &path), "first", "{path} over HTTP/2");
            eventually("both are logged", || {
                let lines = gateway.log_lines();
                let causes = lines.iter().filter(|line| line["path"] == path.as_str());
                let causes: Vec<_> = causes.filter_map(|line| line["failure_cause"].as_str()).collect();
                causes.len() == 2
                    && causes
                        .iter()
                        .all(|cause| cause.ends_with(" sent nothing within `streams.idle_timeout`"))
            });
        }
    }
}

#[test]
fn stream_is_one_only_once_the_head_of_the_response_has_arrived() {
    let gateway = gateway();
    let answer = gateway.send(&Request::get("/plain/late"));
    assert_eq!(answer.status, 504, "{answer:?}");
    let answer = gateway.send(&Request::get("/plain/late").header("accept", "text/event-stream"));
    assert_eq!(answer.status, 504, "{answer:?}");
}

#[test]
fn websocket_may_be_silent_for_as_long_as_streams_may() {
    let gateway = gateway();
    let open = |path: &str| {
        let mut wire = gateway.connect();
        wire.write(handshake(path).bytes());
        assert_eq!(wire.head().unwrap().0, 101);
        wire
    };
    let (mut long, mut short) = (open("/sockets/x"), open("/short-sockets/x"));
    assert!(short.rest().unwrap().is_empty(), "it ends by itself");
    std::thread::sleep(PAUSE);
    long.write(b"still here");
    assert_eq!(long.read(10).unwrap(), b"still here");
    eventually("it is logged", || {
        let lines = gateway.log_lines();
        let mut lines = lines.iter().filter(|line| line["path"] == "/short-sockets/x");
        lines.any(|line| {
            let cause = line["failure_cause"].as_str().unwrap_or_default();
            cause.ends_with(" sent nothing within `streams.idle_timeout`")
        })
    });
}

#[test]
fn either_side_keeps_a_websocket_open() {
    let gateway = gateway();
    let mut wire = gateway.connect();
    wire.write(handshake("/short-sockets/busy").bytes());
    assert_eq!(wire.head().unwrap().0, 101);
    for _ in 0..8 {
        std::thread::sleep(Duration::from_millis(250));
        wire.write(b"x");
        assert_eq!(wire.read(1).unwrap(), b"x");
    }
}

#[test]
fn call_of_grpc_may_pause_between_messages_of_either_side() {
    let service = H2Service::start(|mut call: Call| async move {
        let mut stream = call.begin(200, &[("content-type", "application/grpc")])?;
        while let Some(part) = call.body.data().await {
            let part = part?;
            call.body.flow_control().release_capacity(part.len())?;
            stream.send_data(part, false)?;
        }
        stream.send_data("end".into(), true)
    });
    let gateway = Setup::new().policy("s", &policy("s", &service.url, "")).start();
    let mut frames = Frames::open(gateway.port, &[]);
    let mut fields = block("POST", "/s/Talk");
    field(&mut fields, "content-type", "application/grpc");
    field(&mut fields, "te", "trailers");
    frames.send(&frame(HEADERS, END_HEADERS, 1, &fields));
    for message in [&b"one"[..], b"two"] {
        std::thread::sleep(PAUSE);
        frames.send(&frame(DATA, NO_FLAGS, 1, message));
        let echoed = frames.until(|frame| frame.stream == 1 && frame.kind == DATA).unwrap();
        assert_eq!(echoed.payload, message);
    }
    std::thread::sleep(PAUSE);
    frames.send(&frame(DATA, END_STREAM, 1, b""));
    let end = frames.until(|frame| frame.stream == 1 && frame.kind == DATA).unwrap();
    assert_eq!(
        (end.payload.as_slice(), end.flags & END_STREAM),
        (&b"end"[..], END_STREAM)
    );
}
