//! A service that is down, breaks off, is late, or sends what is not HTTP.

use std::{net::TcpListener, sync::Arc, thread};

use crate::harness::{
    Gateway, Latch, Reply, Request, Setup, Shared, Upstream,
    certificates::{pki, server},
    free_port,
};

const POLICY: &str = "
$wallet
prefix: /w
routes: [{ path: /*, auth: public }]
";

const TO: &str = "
version: 1
service: $name-svc
prefix: /$name
upstream: { url: '$url', timeout: 1s, connect_timeout: 1s }
errors: { format: envelope, code_prefix: ERR }
routes: [{ path: /*, auth: public }]
";

fn to(name: &str, url: &str) -> String {
    TO.replace("$name", name).replace("$url", url)
}

fn breaking() -> Upstream {
    Upstream::start(|request| match request.target.rsplit('/').next().unwrap() {
        "close" => Reply::bytes(b""),
        "garbage" => Reply::bytes(b"\x16\x03\x01 this is no HTTP at all\r\n\r\n"),
        "switch" => Reply::bytes(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"),
        "continue" => Reply::bytes(b"HTTP/1.1 100 Continue\r\n\r\n"),
        "hints" => Reply::bytes(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"),
        "half-a-head" => Reply::bytes(b"HTTP/1.1 200 OK\r\ncontent-le"),
        "bad-length" => Reply::bytes(b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\nhello"),
        "half-a-body" => Reply::bytes(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhello"),
        "half-a-chunk" => Reply::bytes(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n64\r\nhe"),
        "error" => Reply::status(503, "{\"own\":true}").header("content-type", "application/json"),
        _ => Reply::ok("fine"),
    })
}

fn gateway() -> Arc<Gateway> {
    static SHARED: Shared<Gateway> = Shared::new();
    SHARED.get(|| Setup::in_front_of(breaking()).policy("wallet", POLICY).start())
}

#[test]
fn a_service_that_is_down_is_unreachable() {
    let unix = "unix:/nonexistent/socket";
    let gateway = Setup::new()
        .policy("down", &to("down", &format!("http://127.0.0.1:{}", free_port())))
        .policy("unix", &to("unix", unix))
        .policy("unknown", &to("unknown", "http://nobody.invalid:80"))
        .policy("h2c", &to("h2c", &format!("h2c://127.0.0.1:{}", free_port())))
        .start();
    for name in ["down", "unix", "unknown", "h2c"] {
        for request in [
            Request::get(&format!("/{name}/x")),
            Request::post(&format!("/{name}/x"), "{}"),
        ] {
            gateway.refused(&request, 502, "upstream_unreachable");
        }
    }
    // None of that makes Sidegate itself unready.
    assert_eq!(gateway.probe("/readyz"), Some(200));
}

#[test]
fn a_service_that_breaks_off_has_failed() {
    let gateway = gateway();
    for how in [
        "close",
        "garbage",
        "switch",
        "continue",
        "hints",
        "half-a-head",
        "bad-length",
    ] {
        for request in [
            Request::get(&format!("/w/{how}")),
            Request::post(&format!("/w/{how}"), "{\"amount\":1}"),
        ] {
            let answer = gateway.send(&request);
            assert_eq!(
                (answer.status, answer.reason().as_str()),
                (502, "upstream_failed"),
                "{request}: {answer:?}"
            );
            assert_eq!(answer.code(), "ERR_WALLET_BAD_GATEWAY");
            assert_eq!(answer.header("cache-control"), Some("no-store"));
        }
        gateway.allowed(&Request::get("/w/fine"));
    }
}

#[test]
fn what_may_have_been_done_is_not_done_twice() {
    let gateway = gateway();
    let request = Request::post("/w/close", "{\"amount\":1}");
    assert_eq!(gateway.send(&request).status, 502);
    assert_eq!(gateway.upstream.seen(&request.case).len(), 1);
}

#[test]
fn response_that_breaks_off_does_not_look_whole() {
    let gateway = gateway();
    for how in ["half-a-body", "half-a-chunk"] {
        let mut wire = gateway.connect();
        wire.write(Request::get(&format!("/w/{how}")).bytes());
        assert!(wire.answer("GET").is_err(), "{how}");
    }
    gateway.allowed(&Request::get("/w/fine"));
}

#[test]
fn the_services_own_errors_are_its_own() {
    let answer = gateway().send(&Request::get("/w/error"));
    assert_eq!((answer.status, answer.text().as_str()), (503, "{\"own\":true}"));
}

#[test]
fn a_service_that_is_late_times_out() {
    let release = Latch::default();
    let held = release.clone();
    let late = Upstream::start(move |request| {
        if request.target.ends_with("late") {
            held.wait();
        }
        Reply::ok("fine")
    });
    // Takes connections, and nothing else.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let gateway = Setup::new()
        .policy("late", &to("late", &late.url))
        .policy(
            "silent",
            &to("silent", &format!("http://{}", silent.local_addr().unwrap())),
        )
        .start();
    thread::scope(|scope| {
        for target in ["/late/late", "/silent/x"] {
            scope.spawn(|| gateway.refused(&Request::get(target), 504, "upstream_timeout"));
        }
        // No other request waits with it.
        assert_eq!(gateway.send(&Request::get("/late/fine")).status, 200);
    });
    release.open();
    assert_eq!(gateway.send(&Request::get("/late/fine")).status, 200);
}

#[test]
fn service_with_a_foreign_certificate_gets_no_request() {
    let rogue = Upstream::tls(server(&pki().rogue, &[]), |_| Reply::ok("rogue"));
    let misnamed = Upstream::tls(server(&pki().by_dns, &[]), |_| Reply::ok("misnamed"));
    let with_ca =
        |name: &str, url: &str| to(name, url).replace("timeout: 1s,", "timeout: 1s, ca_file: $folder/ca.crt,");
    let gateway = Setup::new()
        .tls()
        .policy("rogue", &with_ca("rogue", &rogue.url))
        .policy("misnamed", &with_ca("misnamed", &misnamed.url))
        .policy("plain", &to("plain", &rogue.url))
        .start();
    for name in ["rogue", "misnamed", "plain"] {
        let answer = gateway.send(&Request::get(&format!("/{name}/x")));
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (502, "ERR_BAD_GATEWAY"),
            "{name}: {answer:?}"
        );
    }
    assert!(rogue.all().is_empty() && misnamed.all().is_empty());
}

#[test]
fn http2_clients_get_the_same_answers() {
    let gateway = gateway();
    let connection = crate::harness::http2::Http2::plain(gateway.port);
    let answer = connection.exchange(&Request::get("/w/garbage"));
    assert_eq!((answer.status, answer.reason().as_str()), (502, "upstream_failed"));
    assert_eq!(connection.exchange(&Request::get("/w/fine")).text(), "fine");
}
