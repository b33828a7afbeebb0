//! Fields of a response that belong to the connection to the service do not leave it, and the length of a body is said
//! once or not at all.

use std::sync::Arc;

use crate::harness::{
    Answer, Gateway, Reply, Request, Setup, Shared, Upstream,
    certificates::{pki, server},
    h2_service::policy,
    http2::Http2,
    upstream::Recorded,
    values,
};

fn script(request: &Recorded) -> Reply {
    let name = request.target.rsplit('/').next().unwrap();
    match name {
        "fine" => Reply::ok("fine"),
        "hop" => Reply::bytes(
            b"HTTP/1.1 200 OK\r\nConnection: x-a, keep-alive\r\nX-A: 1\r\nX-B: 2\r\nKeep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nTE: trailers\r\nUpgrade: h2c\r\ncontent-length: 5\r\n\r\nhello",
        ),
        "named" => Reply::bytes(
            b"HTTP/1.1 200 OK\r\nConnection: content-length, close\r\ncontent-length: 5\r\n\r\nhello",
        ),
        "chunked" => Reply::bytes(
            b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        ),
        "twice" => Reply::bytes(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 5\r\n\r\nhello"),
        "list" => Reply::bytes(b"HTTP/1.1 200 OK\r\ncontent-length: 5, 5\r\n\r\nhello"),
        "differ" => Reply::bytes(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello"),
        "list-differs" => Reply::bytes(b"HTTP/1.1 200 OK\r\ncontent-length: 5, 6\r\n\r\nhello"),
        "plus" => Reply::bytes(b"HTTP/1.1 200 OK\r\ncontent-length: +5\r\n\r\nhello"),
        "minus" => Reply::bytes(b"HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\nhello"),
        "empty" => Reply::bytes(b"HTTP/1.1 200 OK\r\ncontent-length:\r\n\r\nhello"),
        "huge" => Reply::bytes(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\nhello"),
        "gzip" => Reply::bytes(b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nhello"),
        "gzip-length" => {
            Reply::bytes(b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\ncontent-length: 5\r\n\r\nhello")
        }
        "gzip-chunked" => Reply::bytes(
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        ),
        "nothing-chunked" => Reply::bytes(b"HTTP/1.1 204 No Content\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
        "nothing-sized" => Reply::bytes(b"HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\n"),
        "unchanged-chunked" => {
            Reply::bytes(b"HTTP/1.1 304 Not Modified\r\ntransfer-encoding: chunked\r\netag: \"1\"\r\n\r\n")
        }
        "unchanged-sized" => Reply::bytes(b"HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\netag: \"1\"\r\n\r\n"),
        "hints" => Reply::bytes(
            b"HTTP/1.1 103 Early Hints\r\ncontent-length: 5\r\nconnection: x-a\r\nx-a: 1\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
        ),
        _ => panic!("{name}"),
    }
}

fn gateway() -> Arc<Gateway> {
    static SHARED: Shared<Gateway> = Shared::new();
    SHARED.get(|| {
        let plain = Upstream::start(script);
        let tls = Upstream::tls(server(&pki().server, &["http/1.1"]), script);
        Setup::in_front_of(plain.clone())
            .tls()
            .policy("plain", &policy("plain", &plain.url, ""))
            .policy("tls", &policy("tls", &tls.url, ", ca_file: $folder/ca.crt"))
            .start()
    })
}

/// The response to a request of each kind of client. An HTTP/1.1 connection is as good as before.
fn each(gateway: &Gateway, method: &str, name: &str, mut check: impl FnMut(&str, &Answer)) {
    for service in ["plain", "tls"] {
        let request = Request::new(method, &format!("/{service}/{name}"));
        let what = format!("{method} {service} {name}");
        let mut wire = gateway.connect();
        let answer = wire.exchange(&request);
        check(&what, &answer);
        let fine = Request::get(&format!("/{service}/fine"));
        if answer.keeps_alive() {
            assert_eq!(wire.exchange(&fine).text(), "fine", "{what}");
        }
        let http2 = Http2::plain(gateway.port);
        check(&format!("{what}, HTTP/2"), &http2.exchange(&request));
        assert_eq!(http2.exchange(&fine).text(), "fine", "{what}");
    }
}

#[test]
fn fields_of_the_services_connection_do_not_reach_the_client() {
    each(&gateway(), "GET", "hop", |what, answer| {
        assert_eq!((answer.status, answer.text().as_str()), (200, "hello"), "{what}");
        for name in ["x-a", "keep-alive", "proxy-connection", "te", "upgrade"] {
            assert!(values(&answer.headers, name).is_empty(), "{what}: {answer:?}");
        }
        let connection = answer.header("connection").unwrap_or_default();
        assert!(matches!(connection, "" | "keep-alive"), "{what}: {connection}");
        assert_eq!(answer.header("x-b"), Some("2"), "{what}");
    });
}

#[test]
fn framing_is_not_removed_by_naming_it() {
    each(&gateway(), "GET", "named", |what, answer| {
        assert_eq!((answer.status, answer.text().as_str()), (200, "hello"), "{what}");
    });
}

#[test]
fn response_has_one_framing() {
    each(&gateway(), "GET", "chunked", |what, answer| {
        assert_eq!((answer.status, answer.text().as_str()), (200, "hello"), "{what}");
        assert!(
            values(&answer.headers, "content-length").is_empty(),
            "{what}: {answer:?}"
        );
    });
    for name in ["twice", "list"] {
        each(&gateway(), "GET", name, |what, answer| {
            if answer.status == 502 && name == "list" {
                return;
            }
            assert_eq!((answer.status, answer.text().as_str()), (200, "hello"), "{what}");
            assert_eq!(values(&answer.headers, "content-length"), ["5"], "{what}");
        });
    }
}

#[test]
fn response_whose_length_is_unclear_is_a_502() {
    for name in [
        "differ",
        "list-differs",
        "plus",
        "minus",
        "empty",
        "huge",
        "gzip",
        "gzip-length",
        "gzip-chunked",
    ] {
        each(&gateway(), "GET", name, |what, answer| {
            assert_eq!(answer.status, 502, "{what}: {answer:?}");
            assert_eq!(answer.reason(), "upstream_failed", "{what}");
        });
    }
}

#[test]
fn response_without_a_body_has_no_framing_of_one() {
    for method in ["GET", "POST", "HEAD"] {
        for name in ["nothing-chunked", "nothing-sized"] {
            each(&gateway(), method, name, |what, answer| {
                assert_eq!((answer.status, answer.text().as_str()), (204, ""), "{what}");
                for field in ["content-length", "transfer-encoding"] {
                    assert!(values(&answer.headers, field).is_empty(), "{what}: {answer:?}");
                }
            });
        }
        for (name, length) in [("unchanged-chunked", None), ("unchanged-sized", Some("5"))] {
            each(&gateway(), method, name, |what, answer| {
                assert_eq!((answer.status, answer.text().as_str()), (304, ""), "{what}");
                assert_eq!(answer.header("etag"), Some("\"1\""), "{what}");
                assert_eq!(answer.header("content-length"), length, "{what}");
                assert!(values(&answer.headers, "transfer-encoding").is_empty(), "{what}");
            });
        }
    }
}

#[test]
fn interim_head_has_no_framing_and_no_fields_of_the_connection() {
    let gateway = gateway();
    for service in ["plain", "tls"] {
        let mut wire = gateway.connect();
        wire.write(Request::get(&format!("/{service}/hints")).bytes());
        let (status, fields) = wire.head().unwrap();
        assert_eq!((status, values(&fields, "link")), (103, vec!["</a>"]), "{service}");
        for name in ["content-length", "transfer-encoding", "connection", "x-a"] {
            assert!(values(&fields, name).is_empty(), "{service}: {fields:?}");
        }
        assert_eq!(wire.answer("GET").unwrap().text(), "hello", "{service}");
    }
}
