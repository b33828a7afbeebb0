//! As many connections as a listener takes, and a clear answer to the next.

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
};

use crate::harness::{
    Gateway, Latch, PATIENCE, Reply, Request, Setup, Upstream, Wire, also_on_4_threads,
    certificates::client,
    eventually,
    frames::{END_STREAM, Frames, head, nth},
    http2::Http2,
};

const POLICY: &str = "
$wallet
prefix: /w
routes: [{ path: /open/*, auth: public }, { path: /*, auth: jwt }]
";

/// The tests are a proxy in front, whose connections are those of many clients.
const PROXY: &str = "trusted_proxies: [127.0.0.1]";

fn gateway(limits: &str) -> Gateway {
    let limits = format!("limits: {{ {limits} }}\n{PROXY}");
    Setup::new().config(&limits).tls().policy("wallet", POLICY).start()
}

fn get() -> Request {
    Request::get("/w/open/x")
}

/// Connections that were served and are kept.
fn kept(gateway: &Gateway, count: usize) -> Vec<Wire> {
    let serve = |_| {
        let mut wire = gateway.connect();
        assert_eq!(wire.exchange(&get()).status, 200);
        wire
    };
    (0..count).map(serve).collect()
}

/// Connections that have not sent anything.
fn silent(port: u16, count: usize) -> Vec<TcpStream> {
    let connect = |_| {
        let socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    };
    (0..count).map(connect).collect()
}

fn refused(gateway: &Gateway, port: u16) -> Option<f64> {
    let listener = format!("127.0.0.1:{port}");
    gateway.metric("sidegate_connections_refused_total", &[("listener", &listener)])
}

also_on_4_threads![
    one_too_many_is_a_503_until_another_one_ends,
    over_http2_it_is_a_goaway_that_says_nothing_was_processed,
    flood_of_rejected_connections_ends_and_the_next_ordinary_one_is_served,
    a_listener_can_have_its_own_number_and_counts_before_the_handshake,
    as_many_requests_are_with_the_service_as_may_be,
    of_many_connections_at_once_exactly_as_many_are_served_as_may_be,
];

#[test]
fn one_too_many_is_a_503_until_another_one_ends() {
    let gateway = gateway("connections: 3");
    assert_eq!(refused(&gateway, gateway.port), Some(0.0));
    let mut kept = kept(&gateway, 3);
    let request = get();
    let answer = gateway.refused(&request, 503, "overloaded");
    assert_eq!(answer.code(), "ERR_WALLET_SERVICE_UNAVAILABLE");
    assert_eq!((answer.keeps_alive(), answer.header("retry-after")), (false, Some("1")));
    assert_eq!(refused(&gateway, gateway.port), Some(1.0));
    assert!(gateway.log_text().contains("connections are rejected"));
    // Those that have a place keep it.
    assert!(kept.iter_mut().all(|wire| wire.exchange(&get()).status == 200));
    drop(kept);
    eventually("the places are free", || gateway.connections() == 0);
    gateway.allowed(&get());
}

#[test]
fn response_arrives_however_much_is_sent() {
    let gateway = gateway("connections: 1");
    let _kept = kept(&gateway, 1);
    let mut wire = gateway.connect();
    wire.write(Request::post("/w/open/x", &"x".repeat(100_000)).bytes());
    assert_eq!(wire.answer("POST").unwrap().status, 503);
    let head = Request::new("HEAD", "/w/open/x");
    let mut wire = gateway.connect();
    wire.write(head.bytes());
    assert_eq!(wire.answer("HEAD").unwrap().status, 503);
    assert_eq!(wire.rest().unwrap(), b"");
    // To a client that sends nothing, too, in the form of `defaults`.
    let answer = gateway.connect().answer("GET").unwrap();
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (503, "ERR_SIDEGATE_SERVICE_UNAVAILABLE")
    );
}

#[test]
fn over_http2_it_is_a_goaway_that_says_nothing_was_processed() {
    let gateway = gateway("connections: 1");
    let _kept = kept(&gateway, 1);
    let mut wire = gateway.connect();
    wire.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
    assert_eq!(wire.read(9).unwrap(), b"\0\0\0\x04\0\0\0\0\0");
    assert_eq!(wire.read(17).unwrap(), b"\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\x0b");
    assert_eq!(wire.rest().unwrap(), b"");
}

#[test]
fn flood_of_rejected_connections_ends_and_the_next_ordinary_one_is_served() {
    let gateway = gateway("connections: 2");
    let kept = kept(&gateway, 2);
    let mut flood = silent(gateway.port, 300);
    for socket in &mut flood {
        // A response or nothing, and the end.
        let mut answer = Vec::new();
        _ = socket.write_all(b"GET /w/open/x HTTP/1.1\r\nhost: a\r\n\r\n");
        _ = socket.read_to_end(&mut answer);
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 503 "));
    }
    assert_eq!(gateway.connections(), 2);
    assert_eq!(refused(&gateway, gateway.port), Some(300.0));
    drop(kept);
    eventually("the places are free", || gateway.connections() == 0);
    gateway.allowed(&get());
}

#[test]
fn a_listener_can_have_its_own_number_and_counts_before_the_handshake() {
    let listeners = "
  - address: 127.0.0.1:$tls_port
    connections: 4
    tls: { certificate: $folder/server.crt, key: $folder/server.key }
";
    let gateway = Setup::new().config(&format!("limits: {{ connections: 2, header_timeout: 60s }}\n{PROXY}"));
    let gateway = gateway.tls_with(listeners).policy("wallet", POLICY).start();
    let _silent = silent(gateway.tls_port, 4);
    eventually("they are counted", || gateway.connections() == 4);
    // Rejected before the handshake, so it only ends.
    assert!(Wire::tls(gateway.tls_port, client(None, &["http/1.1"])).is_err());
    assert_eq!(refused(&gateway, gateway.tls_port), Some(1.0));
    // The other listener has places of its own.
    let _kept = kept(&gateway, 2);
    gateway.refused(&get(), 503, "overloaded");
}

#[test]
fn a_handshake_and_a_preface_take_no_longer_than_a_head() {
    let gateway = gateway("header_timeout: 1s");
    let mut silent = silent(gateway.tls_port, 20);
    let mut without_preface = Wire::tls(gateway.tls_port, client(None, &["h2"])).unwrap();
    let mut half = Wire::tls(gateway.tls_port, client(None, &["h2"])).unwrap();
    half.write("PRI * HTT");
    for socket in &mut silent {
        assert_eq!(socket.read_to_end(&mut Vec::new()).unwrap(), 0);
    }
    assert!(without_preface.rest().is_ok() && half.rest().is_ok());
    let served = Http2::tls(gateway.tls_port, client(None, &["h2"])).unwrap();
    assert_eq!(served.exchange(&get()).status, 200);
}

#[test]
fn there_are_no_more_connections_than_file_descriptors_for_them() {
    let gateway = Setup::new()
        .config(PROXY)
        .descriptors(458)
        .policy("wallet", POLICY)
        .start();
    assert!(gateway.log_text().contains("the limit on file descriptors is too low"));
    let mut kept = kept(&gateway, 37);
    gateway.refused(&get(), 503, "overloaded");
    let mut flood = silent(gateway.port, 300);
    assert!(kept.iter_mut().all(|wire| wire.exchange(&get()).status == 200));
    for socket in &mut flood {
        _ = socket.read_to_end(&mut Vec::new());
    }
    drop(kept);
    eventually("the places are free", || gateway.connections() == 0);
    gateway.allowed(&get());
}

#[test]
fn a_shortage_of_descriptors_is_one_line_that_says_what_to_do() {
    let gateway = Setup::new().tls().descriptors(64).policy("wallet", POLICY).start();
    gateway.allowed(&get());
    let lines = gateway.log_lines();
    let about: Vec<_> = lines
        .iter()
        .filter_map(|line| line["message"].as_str())
        .filter(|message| message.contains("the limit on file descriptors is too low"))
        .collect();
    assert_eq!(about.len(), 1, "{about:#?}");
    for part in [
        "with 64, one request at a time is possible",
        "it takes 16768",
        "`LimitNOFILE=`",
    ] {
        assert!(about[0].contains(part), "{part} in {}", about[0]);
    }
}

#[test]
fn operators_are_answered_beside_connections_that_say_nothing() {
    let gateway = gateway("");
    let half: Vec<TcpStream> = silent(gateway.admin_port, 100)
        .into_iter()
        .map(|mut socket| {
            socket.write_all(b"GET /metrics HTTP/1.1\r\n").unwrap();
            socket
        })
        .collect();
    assert_eq!(
        (gateway.probe("/livez"), gateway.probe("/metrics")),
        (Some(200), Some(200))
    );
    assert!(!gateway.admin("/metrics").keeps_alive());
    // There is an end to them, too; and beyond a number they are closed at once.
    let mut flood = silent(gateway.admin_port, 100);
    let last = flood.last_mut().unwrap().read(&mut [0]);
    assert!(matches!(last, Ok(0)) || last.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset));
    drop((half, flood));
    eventually("there is room", || gateway.probe("/readyz") == Some(200));
}

#[test]
fn as_many_requests_are_with_the_service_as_may_be() {
    let release = Latch::default();
    let held = release.clone();
    let upstream = Upstream::start(move |request| {
        if request.target.ends_with("held") {
            held.wait();
        }
        Reply::ok("{}")
    });
    let setup = Setup::in_front_of(upstream).config("limits: { requests: 3, client_requests: 3 }");
    let gateway = setup.policy("wallet", POLICY).start();
    let mut frames = Frames::open(gateway.port, &[]);
    frames.flood(3, |n| head(nth(n), END_STREAM, "GET", "/w/open/held"));
    eventually("the service has them", || gateway.upstream.all().len() == 3);
    let mut wire = gateway.connect();
    let request = get();
    let answer = wire.exchange(&request);
    gateway.rejected(&request, &answer, 503, "overloaded");
    assert_eq!((answer.keeps_alive(), answer.header("retry-after")), (true, Some("1")));
    // What the service is not asked is not held up.
    assert_eq!(wire.exchange(&Request::get("/w/x")).status, 401);
    release.open();
    eventually("there is room", || wire.exchange(&get()).status == 200);
}

#[test]
fn of_many_connections_at_once_exactly_as_many_are_served_as_may_be() {
    for (limits, proxy) in [
        ("connections: 6", PROXY),
        ("connections: 24, client_connections: 6", ""),
    ] {
        let config = format!("limits: {{ {limits} }}\n{proxy}");
        let gateway = Setup::new().config(&config).policy("wallet", POLICY).start();
        let mut wires = gateway.at_once(&[(); 30].map(|()| get()));
        let responses = wires.iter_mut().map(|wire| wire.answer("GET"));
        let served = responses.filter(|response| response.as_ref().is_ok_and(|response| response.status == 200));
        assert_eq!(served.count(), 6, "{limits}");
        assert_eq!(gateway.connections(), 6, "{limits}");
    }
}
