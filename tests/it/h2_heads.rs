//! What passes between clients of each version and a service over HTTP/2 besides bodies: heads, interim heads, trailers.

use crate::harness::{
    Reply, Request, Setup, Upstream, Wire,
    client::Stream,
    h2_service::{Call, H2Service, in_front_of},
    http2::Http2,
    message::read_until,
    values,
};

async fn script(mut call: Call) -> Result<(), h2::Error> {
    match call.name().as_str() {
        "hints" => {
            call.interim(103, &[("link", "</a>; rel=preload")])?;
            call.interim(103, &[("link", "</b>; rel=preload")])?;
            call.reply(200, "done")
        }
        "continue" => {
            let expects = call
                .head
                .headers
                .get("expect")
                .is_some_and(|value| value == "100-continue");
            if expects {
                call.interim(100, &[])?;
            }
            let body = call.whole_body().await?;
            call.reply(200, body)
        }
        "only" => call.head_only(200, &[("content-type", "application/grpc"), ("grpc-status", "5")]),
        "late" => {
            let mut stream = call.begin(200, &[("content-type", "application/grpc")])?;
            stream.send_trailers(trailers())
        }
        "after" => {
            let mut stream = call.begin(200, &[("content-type", "application/grpc")])?;
            stream.send_data("hello".into(), false)?;
            stream.send_trailers(trailers())
        }
        "sized" => {
            let mut stream = call.begin(200, &[("content-length", "5")])?;
            stream.send_data("hello".into(), false)?;
            stream.send_trailers(trailers())
        }
        _ => call.reply(200, "fine"),
    }
}

fn trailers() -> http::HeaderMap {
    let mut trailers = http::HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().unwrap());
    trailers.insert("x-sum", "12".parse().unwrap());
    trailers
}

#[test]
fn interim_heads_reach_clients_of_http_1_1_and_break_no_other() {
    let service = H2Service::start(script);
    let gateway = service.setup("").start();
    let mut wire = gateway.connect();
    for _ in 0..2 {
        wire.write(Request::get("/s/hints").bytes());
        for link in ["</a>; rel=preload", "</b>; rel=preload"] {
            let (status, headers) = wire.head().unwrap();
            assert_eq!((status, values(&headers, "link")), (103, vec![link]));
            assert!(values(&headers, "transfer-encoding").is_empty(), "{headers:?}");
        }
        assert_eq!(wire.answer("GET").unwrap().text(), "done");
    }
    let mut old: Wire = gateway.connect();
    old.write("GET /s/hints HTTP/1.0\r\nhost: localhost\r\n\r\n");
    let all = String::from_utf8(old.rest().unwrap()).unwrap();
    assert!(
        all.starts_with("HTTP/1.1 200 ") || all.starts_with("HTTP/1.0 200 "),
        "{all}"
    );
    assert!(all.ends_with("\r\n\r\ndone"), "{all}");
    let http2 = Http2::plain(gateway.port);
    for _ in 0..2 {
        assert_eq!(http2.exchange(&Request::get("/s/hints")).text(), "done");
    }
}

/// A service over HTTP/1 that takes one request with four bytes, and waits for them.
fn expecting(stream: &mut dyn Stream) -> std::io::Result<()> {
    let head = read_until(stream, b"\r\n\r\n")?.unwrap_or_default();
    if String::from_utf8_lossy(&head)
        .to_ascii_lowercase()
        .contains("expect: 100-continue")
    {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    let mut body = [0; 4];
    stream.read_exact(&mut body)?;
    let head = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\n";
    stream.write_all(&[&head[..], &body].concat())
}

#[test]
fn client_that_waits_for_100_continue_gets_that_of_the_service() {
    let urls = [H2Service::start(script).url, Upstream::raw(expecting).url];
    for url in &urls {
        let gateway = in_front_of(url, "").start();
        let request = || Request::post("/s/continue", "").header("expect", "100-continue");
        let mut wire = gateway.connect();
        for _ in 0..2 {
            wire.write(request().header("content-length", "4").bytes());
            let interim = wire.head().unwrap_or_else(|error| panic!("{url}: {error}"));
            assert_eq!(interim.0, 100, "{url}");
            wire.write("wiki");
            let answer = wire.answer("POST").unwrap();
            assert_eq!((answer.status, answer.text().as_str()), (200, "wiki"), "{url}");
            if !answer.keeps_alive() {
                wire = gateway.connect();
            }
        }
        let answer = Http2::plain(gateway.port).exchange(&request().body("wiki"));
        assert_eq!((answer.status, answer.text().as_str()), (200, "wiki"), "{url}");
    }
}

#[test]
fn trailers_pass_to_clients_of_http2_with_and_without_a_body() {
    let service = H2Service::start(script);
    let gateway = service.setup("").start();
    let http2 = Http2::plain(gateway.port);
    for (name, body) in [("late", ""), ("after", "hello"), ("sized", "hello")] {
        let answer = http2.exchange(&Request::get(&format!("/s/{name}")).header("te", "trailers"));
        assert_eq!((answer.status, answer.text().as_str()), (200, body), "{name}");
        for (field, value) in [("grpc-status", "0"), ("x-sum", "12")] {
            assert_eq!(values(&answer.trailers, field), [value], "{name}");
            assert!(answer.header(field).is_none(), "{name}: {answer:?}");
        }
    }
    let request = Request::get("/s/only").header("te", "trailers");
    let answer = http2.exchange(&request);
    assert_eq!((answer.status, answer.header("grpc-status")), (200, Some("5")));
    assert!(answer.body.is_empty() && answer.trailers.is_empty(), "{answer:?}");
    assert!(http2.ends_with_head(&request));
}

#[test]
fn client_of_http1_gets_the_whole_body_before_trailers() {
    let service = H2Service::start(script);
    let gateway = service.setup("").start();
    let mut wire = gateway.connect();
    for (name, body) in [("late", ""), ("after", "hello"), ("sized", "hello"), ("only", "")] {
        let answer = wire.exchange(&Request::get(&format!("/s/{name}")));
        assert_eq!((answer.status, answer.text().as_str()), (200, body), "{name}");
        assert!(answer.keeps_alive(), "{name}");
        assert_eq!(wire.exchange(&Request::get("/s/fine")).text(), "fine");
    }
}

#[test]
fn pseudo_headers_are_those_of_the_client_and_of_the_policy() {
    let service = H2Service::start(script);
    let gateway = service.setup("").start();
    let http2 = Http2::plain(gateway.port);
    let requests = [(); 2].map(|()| Request::get("/s/a%20b?x=1&y=%2F").host("shop.example:8080"));
    let answers = [gateway.send(&requests[0]), http2.exchange(&requests[1])];
    for (request, answer) in requests.iter().zip(answers) {
        assert_eq!(answer.text(), "fine");
        let seen = &service.seen(&request.case)[0];
        assert_eq!(
            (seen.method.as_str(), seen.target.as_str()),
            ("GET", "/s/a%20b?x=1&y=%2F")
        );
        assert_eq!(seen.values(":authority"), ["shop.example:8080"]);
        assert_eq!(seen.values(":scheme"), ["http"]);
        assert!(seen.values("host").is_empty(), "{seen:?}");
    }
}

#[test]
fn te_trailers_reaches_the_service_when_the_client_sent_it() {
    let service = H2Service::start(script);
    let gateway = service.setup("").start();
    let http2 = Http2::plain(gateway.port);
    let with = Request::get("/s/x").header("te", "trailers");
    let without = Request::get("/s/x");
    for (request, te) in [(with, &["trailers"][..]), (without, &[])] {
        assert_eq!(http2.exchange(&request).text(), "fine");
        assert_eq!(service.seen(&request.case)[0].values("te"), te);
    }
}

#[test]
fn fields_of_the_clients_connection_do_not_reach_the_service() {
    let service = H2Service::start(script);
    let gateway = service.setup("").start();
    let request = Request::post("/s/continue", "")
        .header("Connection", "keep-alive, x-own, te")
        .header("X-Own", "1")
        .header("Keep-Alive", "timeout=5")
        .header("Proxy-Connection", "keep-alive")
        .header("Proxy-Authorization", "Basic eDp5")
        .header("TE", "gzip")
        .header("Transfer-Encoding", "chunked")
        .body("4\r\nwiki\r\n0\r\n\r\n");
    assert_eq!(gateway.send(&request).text(), "wiki");
    let seen = &service.seen(&request.case)[0];
    for name in [
        "connection",
        "x-own",
        "keep-alive",
        "proxy-connection",
        "proxy-authorization",
        "te",
        "transfer-encoding",
        "upgrade",
        "host",
    ] {
        assert!(seen.values(name).is_empty(), "{name}: {seen:?}");
    }
}

#[test]
fn cookies_of_an_http2_client_are_one_field_for_every_service() {
    let service = H2Service::start(script);
    let upstream = Upstream::start(|_| Reply::ok("fine"));
    let gateway = Setup::in_front_of(upstream.clone())
        .policy("s", &crate::harness::h2_service::policy("s", &service.url, ""))
        .policy("p", &crate::harness::h2_service::policy("p", &upstream.url, ""))
        .start();
    let http2 = Http2::plain(gateway.port);
    let with = |target: &str| {
        Request::get(target)
            .header("cookie", "a=1")
            .header("cookie", "b=2")
            .header("cookie", "c=3; d=4")
    };
    let (modern, plain) = (with("/s/x"), with("/p/x"));
    for request in [&modern, &plain] {
        assert_eq!(http2.exchange(request).text(), "fine");
    }
    // RFC 9113, 8.2.3: one field for HTTP/1; over HTTP/2 it may be in parts.
    let parts = service.seen(&modern.case)[0].values("cookie").join("; ");
    assert_eq!(parts, "a=1; b=2; c=3; d=4");
    assert_eq!(upstream.seen(&plain.case)[0].values("cookie"), ["a=1; b=2; c=3; d=4"]);
}

#[test]
fn authority_of_a_tls_service_is_https() {
    use crate::harness::certificates::{pki, server};
    let service = H2Service::tls(server(&pki().server, &["h2"]), script);
    let gateway = in_front_of(&service.url, ", ca_file: $folder/ca.crt").tls().start();
    let request = Request::get("/s/x").host("shop.example");
    assert_eq!(gateway.send(&request).text(), "fine");
    let seen = &service.seen(&request.case)[0];
    assert_eq!(seen.values(":authority"), ["shop.example"]);
    assert_eq!(seen.values(":scheme"), ["https"]);
}
