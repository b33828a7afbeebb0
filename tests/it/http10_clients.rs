//! Clients of HTTP/1.0: a body reaches them as it is, to the end of the connection, and no interim head does.

use crate::harness::{
    Gateway, PATIENCE, Reply, Request, Setup, Upstream,
    certificates::{pki, server},
    h2_service::{Call, H2Service, policy},
    message::parse_head,
    upstream::Recorded,
    values,
};

/// Responses of a service over HTTP/1, all of them `hello`.
fn script(request: &Recorded) -> Reply {
    match request.target.rsplit('/').next().unwrap() {
        "chunks" => Reply::bytes(
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\nx-sum: 1\r\n\r\n",
        ),
        "end" => Reply::bytes(b"HTTP/1.1 200 OK\r\n\r\nhello"),
        "none" => Reply::bytes(b"HTTP/1.1 204 No Content\r\ntransfer-encoding: chunked\r\n\r\n"),
        "old" => Reply::bytes(b"HTTP/1.0 200 OK\r\n\r\nhello"),
        "hints" => Reply::bytes(
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        ),
        _ => Reply::ok("hello"),
    }
}

async fn h2_script(mut call: Call) -> Result<(), h2::Error> {
    match call.name().as_str() {
        "none" => call.head_only(204, &[]),
        "chunks" if call.head.method != http::Method::HEAD => {
            let mut stream = call.begin(200, &[])?;
            stream.send_data("hello".into(), false)?;
            stream.send_trailers([("x-sum".parse().unwrap(), "1".parse().unwrap())].into_iter().collect())
        }
        "hints" => {
            call.interim(103, &[("link", "</a>")])?;
            call.reply(200, "hello")
        }
        "length" => call
            .begin(200, &[("content-length", "5")])?
            .send_data("hello".into(), true),
        _ => call.reply(200, "hello"),
    }
}

const SERVICES: [&str; 3] = ["plain", "tls", "h2c"];

fn gateway() -> Gateway {
    let plain = Upstream::start(script);
    let tls = Upstream::tls(server(&pki().server, &["http/1.1"]), script);
    let h2c = H2Service::start(h2_script);
    Setup::in_front_of(plain.clone())
        .tls()
        .policy("plain", &policy("plain", &plain.url, ""))
        .policy("tls", &policy("tls", &tls.url, ", ca_file: $folder/ca.crt"))
        .policy("h2c", &policy("h2c", &h2c.url, ""))
        .start()
}

type Head = Vec<(String, String)>;

/// All that comes to the end of the connection: the status of the one head, its fields, and the rest.
fn ask(gateway: &Gateway, request: &str) -> (u16, Head, String) {
    let mut wire = gateway.connect();
    wire.write(request);
    let all = wire
        .rest()
        .unwrap_or_else(|_| panic!("open after {PATIENCE:?}: {request}"));
    let end = all.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap() + 4;
    let (start, fields) = parse_head(&all[..end]).unwrap();
    let status = start.split(' ').nth(1).unwrap().parse().unwrap();
    (status, fields, String::from_utf8(all[end..].to_vec()).unwrap())
}

#[test]
fn body_reaches_a_client_of_http_1_0_as_it_is() {
    let gateway = gateway();
    for service in SERVICES {
        for name in ["chunks", "end", "old", "hints"] {
            for connection in ["", "connection: keep-alive\r\n", "connection: close\r\n"] {
                let request = format!("GET /{service}/{name} HTTP/1.0\r\nhost: localhost\r\n{connection}\r\n");
                let (status, fields, body) = ask(&gateway, &request);
                assert_eq!((status, body.as_str()), (200, "hello"), "{request}");
                assert!(values(&fields, "transfer-encoding").is_empty(), "{request}: {fields:?}");
                assert_eq!(values(&fields, "connection"), ["close"], "{request}");
            }
        }
    }
}

#[test]
fn body_with_a_length_reaches_a_client_of_http_1_0_with_it() {
    let gateway = gateway();
    for service in SERVICES {
        let request = format!("GET /{service}/length HTTP/1.0\r\nhost: localhost\r\n\r\n");
        let (status, fields, body) = ask(&gateway, &request);
        assert_eq!((status, body.as_str()), (200, "hello"), "{service}");
        assert_eq!(values(&fields, "content-length"), ["5"], "{service}");
        let head = format!("HEAD /{service}/length HTTP/1.0\r\nhost: localhost\r\n\r\n");
        let (status, _, body) = ask(&gateway, &head);
        assert_eq!((status, body.as_str()), (200, ""), "{service}");
    }
}

#[test]
fn client_of_http_1_0_gets_no_transfer_encoding_where_a_response_has_no_body() {
    let gateway = gateway();
    for service in SERVICES {
        for (method, name, status) in [("HEAD", "chunks", 200), ("HEAD", "end", 200), ("GET", "none", 204)] {
            for connection in ["", "connection: keep-alive\r\n"] {
                let request = format!("{method} /{service}/{name} HTTP/1.0\r\nhost: localhost\r\n{connection}\r\n");
                let mut wire = gateway.connect();
                wire.write(&request);
                let (found, fields) = wire.head().unwrap();
                assert_eq!(found, status, "{request}");
                assert!(values(&fields, "transfer-encoding").is_empty(), "{request}: {fields:?}");
                wire.finish();
                assert!(wire.rest().unwrap().is_empty(), "{request}");
            }
        }
    }
}

#[test]
fn rejection_of_a_client_of_http_1_0_has_a_length() {
    let gateway = gateway();
    for connection in ["", "connection: keep-alive\r\n"] {
        let request = format!("GET /elsewhere HTTP/1.0\r\nhost: localhost\r\n{connection}\r\n");
        let mut wire = gateway.connect();
        wire.write(&request);
        let answer = wire.answer("GET").unwrap();
        assert_eq!(answer.status, 404, "{answer:?}");
        assert!(answer.header("transfer-encoding").is_none(), "{answer:?}");
        assert_eq!(
            answer.header("content-length"),
            Some(answer.body.len().to_string().as_str())
        );
    }
}

#[test]
fn connection_that_a_client_of_http_1_0_asks_to_keep_is_kept_or_said_to_close() {
    let gateway = gateway();
    for service in SERVICES {
        let request = format!("GET /{service}/length HTTP/1.0\r\nhost: localhost\r\nconnection: keep-alive\r\n\r\n");
        let mut wire = gateway.connect();
        wire.write(&request);
        let answer = wire.answer("GET").unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (200, "hello"), "{service}");
        // RFC 9112, 9.3: it persists only if the response says so.
        match answer.header("connection").map(str::to_ascii_lowercase).as_deref() {
            Some("keep-alive") => {
                wire.write(&request);
                assert_eq!(wire.answer("GET").unwrap().text(), "hello", "{service}");
            }
            other => {
                assert_eq!(other, Some("close"), "{service}");
                assert!(wire.rest().unwrap().is_empty(), "{service}");
            }
        }
    }
}

#[test]
fn client_of_http_1_0_gets_no_100_whatever_it_expects() {
    let gateway = gateway();
    for service in SERVICES {
        let request = format!(
            "POST /{service}/hints HTTP/1.0\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\nwiki"
        );
        let (status, fields, body) = ask(&gateway, &request);
        assert_eq!((status, body.as_str()), (200, "hello"), "{service}: {fields:?}");
    }
}

#[test]
fn service_gets_the_request_of_http_1_0_as_one_of_http_1_1() {
    let gateway = gateway();
    let request = Request::get("/plain/length");
    let text = String::from_utf8(request.bytes())
        .unwrap()
        .replace("HTTP/1.1", "HTTP/1.0");
    assert_eq!(ask(&gateway, &text).2, "hello");
    // Its reader takes no other version.
    assert_eq!(gateway.upstream.seen(&request.case).len(), 1);
    gateway.upstream.assert_strict();
}
