//! What one client may have of all connections and of all requests: never so much that nothing is left
//! for others.

use serde_json::json;

use crate::harness::{
    Gateway, Latch, Request, Setup, Upstream, Wire, also_on_4_threads,
    client::SocketOptions,
    eventually,
    frames::{DATA, END_HEADERS, Frames, HEADERS, NO_FLAGS, block, field, frame, nth},
    issuer::token,
};

const POLICY: &str = "
$wallet
prefix: /w
routes:
  - { path: /open/*, auth: public }
  - { path: /job/*, auth: internal_key }
  - { path: /*, auth: jwt }
";

fn get() -> Request {
    Request::get("/w/open/x")
}

fn refused(gateway: &Gateway, kind: &str) -> Option<f64> {
    gateway.metric("sidegate_client_limit_refused_total", &[("kind", kind)])
}

/// A connection that was served and is kept.
fn kept(mut wire: Wire) -> Wire {
    assert_eq!(wire.exchange(&get()).status, 200);
    wire
}

/// A connection from another address of this machine.
fn from(gateway: &Gateway, address: &str) -> Wire {
    let options = SocketOptions {
        from: address.parse().ok(),
        ..SocketOptions::default()
    };
    Wire::of(options.connect(gateway.port))
}

also_on_4_threads![
    an_address_with_three_quarters_of_the_connections_gets_a_503_and_another_is_served,
    a_number_that_is_written_is_the_one_that_counts,
    trusted_proxies_and_unix_sockets_may_have_all_connections,
    an_address_with_its_share_of_the_requests_gets_a_503_and_another_is_served,
    a_caller_with_its_share_of_the_requests_gets_a_503_from_whatever_address,
    calls_over_http2_that_send_a_byte_now_and_then_leave_a_quarter_to_others,
    of_many_requests_at_once_exactly_as_many_are_with_the_service_as_may_be,
];

#[test]
fn an_address_with_three_quarters_of_the_connections_gets_a_503_and_another_is_served() {
    let gateway = Setup::new()
        .config("limits: { connections: 4 }")
        .policy("wallet", POLICY)
        .start();
    for kind in ["connection", "address", "caller"] {
        assert_eq!(refused(&gateway, kind), Some(0.0), "{kind}");
    }
    let mut all: Vec<_> = (0..3).map(|_| kept(gateway.connect())).collect();
    let answer = gateway.refused(&get(), 503, "overloaded");
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(refused(&gateway, "connection"), Some(1.0));
    assert!(
        gateway
            .log_text()
            .contains("a client has as many connections as it may have")
    );
    let listener = format!("127.0.0.1:{}", gateway.port);
    let full = gateway.metric("sidegate_connections_refused_total", &[("listener", &listener)]);
    assert_eq!(full, Some(0.0), "the listener has room");
    let other = kept(from(&gateway, "127.0.0.2"));
    drop(all.pop());
    eventually("its connection is gone", || gateway.connections() == 3);
    gateway.allowed(&get());
    drop((all, other));
}

#[test]
fn a_number_that_is_written_is_the_one_that_counts() {
    let gateway = Setup::new()
        .config("limits: { connections: 4, client_connections: 1 }")
        .policy("wallet", POLICY)
        .start();
    let _first = kept(gateway.connect());
    gateway.refused(&get(), 503, "overloaded");
    let _second = kept(from(&gateway, "127.0.0.2"));
}

#[test]
fn trusted_proxies_and_unix_sockets_may_have_all_connections() {
    let gateway = Setup::new()
        .config("limits: { connections: 4 }\ntrusted_proxies: [127.0.0.1]")
        .unix_listener("clients.sock")
        .policy("wallet", POLICY)
        .start();
    let _over_tcp: Vec<_> = (0..4).map(|_| kept(gateway.connect())).collect();
    let _over_unix: Vec<_> = (0..4).map(|_| kept(gateway.unix("clients.sock"))).collect();
    assert_eq!(refused(&gateway, "connection"), Some(0.0));
}

/// A service that answers once the latch is open, behind proxies that say whom they forward for.
fn held(limits: &str) -> (Latch, Gateway) {
    let (latch, upstream) = Latch::before(200, "{}");
    let gateway = Setup::in_front_of(upstream)
        .config(&format!("limits: {{ {limits} }}\ntrusted_proxies: [127.0.0.1]"))
        .policy("wallet", POLICY)
        .start();
    (latch, gateway)
}

/// Requests that stay with the service, each with a connection of its own.
fn begin(gateway: &Gateway, requests: &[Request]) -> Vec<Wire> {
    let before = gateway.upstream.all().len();
    let begin = |request: &Request| {
        let mut wire = gateway.connect();
        wire.write(request.bytes());
        wire
    };
    let wires = requests.iter().map(begin).collect();
    eventually("they are with the service", || {
        gateway.upstream.all().len() == before + requests.len()
    });
    wires
}

fn by(address: &str) -> Request {
    get().header("x-forwarded-for", address)
}

#[test]
fn an_address_with_its_share_of_the_requests_gets_a_503_and_another_is_served() {
    // One network of IPv6 is one client.
    for (client, same, other) in [
        ("192.0.2.1", "192.0.2.1", "192.0.2.2"),
        ("2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"),
    ] {
        let (latch, gateway) = held("requests: 4");
        let mut wires = begin(&gateway, &[by(client), by(same), by(client)]);
        let answer = gateway.refused(&by(same), 503, "overloaded");
        assert_eq!(answer.header("retry-after"), Some("1"));
        assert_eq!(refused(&gateway, "address"), Some(1.0));
        wires.extend(begin(&gateway, &[by(other)]));
        latch.open();
        for wire in &mut wires {
            assert_eq!(wire.answer("GET").unwrap().status, 200);
        }
        eventually("its share is free again", || gateway.send(&by(client)).status == 200);
    }
}

#[test]
fn a_caller_with_its_share_of_the_requests_gets_a_503_from_whatever_address() {
    let (latch, gateway) = held("requests: 8, client_requests: 2");
    let token_of = |subject: &str| token(json!({ "sub": subject }));
    let user = |address: &str, subject: &str| {
        Request::get("/w/x")
            .header("x-forwarded-for", address)
            .bearer(&token_of(subject))
            .tenant()
    };
    let job = |address: &str| {
        Request::get("/w/job/x")
            .header("x-forwarded-for", address)
            .jobs_key()
            .tenant()
    };
    let _users = begin(&gateway, &[user("192.0.2.1", "a"), user("192.0.2.2", "a")]);
    gateway.refused(&user("192.0.2.3", "a"), 503, "overloaded");
    let _others = begin(&gateway, &[user("192.0.2.3", "b")]);
    let _jobs = begin(&gateway, &[job("192.0.2.4"), job("192.0.2.5")]);
    gateway.refused(&job("192.0.2.6"), 503, "overloaded");
    assert_eq!(
        [refused(&gateway, "caller"), refused(&gateway, "address")],
        [Some(2.0), Some(0.0)]
    );
    latch.open();
}

#[test]
fn calls_over_http2_that_send_a_byte_now_and_then_leave_a_quarter_to_others() {
    let gateway = Setup::in_front_of(Upstream::recording())
        .config("limits: { requests: 8 }")
        .policy("wallet", POLICY)
        .start();
    let mut frames = Frames::open(gateway.port, &[]);
    let mut call = block("POST", "/w/open/x");
    field(&mut call, "content-type", "application/grpc");
    frames.flood(20, |n| frame(HEADERS, END_HEADERS, nth(n), &call));
    eventually("the rest is refused", || refused(&gateway, "address") == Some(14.0));
    for _ in 0..3 {
        frames.flood(20, |n| frame(DATA, NO_FLAGS, nth(n), b"x"));
        assert_eq!(from(&gateway, "127.0.0.2").exchange(&get()).status, 200);
        // Its own next request is one too many.
        gateway.refused(&get(), 503, "overloaded");
    }
    drop(frames);
    eventually("its share is free again", || gateway.send(&get()).status == 200);
}

#[test]
fn of_many_requests_at_once_exactly_as_many_are_with_the_service_as_may_be() {
    for (limits, clients) in [("requests: 12, client_requests: 5", 1), ("requests: 5", 16)] {
        let (latch, gateway) = held(limits);
        let requests: Vec<_> = (0..16).map(|n| by(&format!("192.0.2.{}", n % clients))).collect();
        let wires = gateway.at_once(&requests);
        let rejected = [("status", "503")];
        eventually("the others are rejected", || {
            gateway.metric("sidegate_requests_total", &rejected) == Some(11.0)
        });
        eventually("they are with the service", || gateway.upstream.all().len() == 5);
        latch.open();
        let statuses = wires.into_iter().map(|mut wire| wire.answer("GET").unwrap().status);
        assert_eq!(statuses.filter(|status| *status == 200).count(), 5, "{limits}");
    }
}
