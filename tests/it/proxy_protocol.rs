//! Listeners behind a load balancer that passes connections on, and names the client in a header in front of each: the
//! PROXY protocol of `HAProxy`, version 1 and 2.

use std::{fs, net::Shutdown, net::TcpStream, thread, time::Duration};

use serde_json::{Value, json};

use crate::harness::{
    Gateway, Request, Setup, Wire,
    certificates::{client, pki},
    client::SocketOptions,
    eventually, free_port,
    front::Front,
    gateway::text,
    http2::Http2,
};

const POLICY: &str = "
$wallet
prefix: /w
mtls: { allow: [{ uri: 'spiffe://eventzr/ns/*/sa/scheduler' }] }
routes:
  - { path: /open/*, auth: public }
  - { path: /few, auth: public, quotas: [{ name: few, per: address, limit: 1, window: 1h }] }
  - { path: /net, auth: public, when: [{ client: { in: [192.0.2.0/24, '2001:db8::/32', 127.0.0.0/8] } }] }
  - { path: /_internal/*, auth: mtls }
";

const REASONS: [&str; 5] = ["untrusted_peer", "missing", "malformed", "closed", "timeout"];

const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// A Sidegate with a listener in clear text and one with TLS that expect a header.
struct Proxied {
    gateway: Gateway,
    clear: u16,
    tls: u16,
}

fn start(config: &str) -> Proxied {
    let (clear, tls) = (free_port(), free_port());
    let files = "certificate: $folder/server.crt, key: $folder/server.key, client_ca: $folder/ca.crt";
    let listeners = format!(
        "  - {{ address: 127.0.0.1:{clear}, proxy_protocol: true }}\n\
         \x20 - {{ address: 127.0.0.1:{tls}, proxy_protocol: true, tls: {{ {files} }} }}\n"
    );
    let setup = Setup::new().tls_with(&listeners).config("trusted_proxies: [127.0.0.1]");
    let gateway = setup.config(config).policy("wallet", POLICY).start();
    Proxied { gateway, clear, tls }
}

impl Proxied {
    fn count(&self, port: u16, reason: &str) -> f64 {
        let listener = format!("127.0.0.1:{port}");
        let labels = [("reason", reason), ("listener", listener.as_str())];
        let name = "sidegate_proxy_header_failures_total";
        self.gateway.metric(name, &labels).unwrap()
    }

    fn counts(&self, port: u16) -> [String; REASONS.len()] {
        REASONS.map(|reason| self.count(port, reason).to_string())
    }

    fn closed_lines(&self) -> Vec<Value> {
        let message = "a connection without a valid PROXY header was closed";
        let lines = self.gateway.log_lines().into_iter();
        lines.filter(|line| line["message"] == message).collect()
    }

    fn line_of(&self, request: &Request) -> Value {
        let seen = self.gateway.upstream.seen(&request.case);
        let id = seen[0].values("x-request-id")[0].to_owned();
        let mut line = None;
        eventually("the request is logged", || {
            let mut lines = self.gateway.log_lines().into_iter();
            line = lines.find(|line| line["message"] == "request" && line["request_id"] == id.as_str());
            line.is_some()
        });
        line.unwrap()
    }

    fn connect(&self, header: &[u8]) -> Wire {
        let mut wire = Wire::connect(self.clear);
        wire.write(header);
        wire
    }

    /// Connections of every kind behind a header, each with one request.
    fn exchanges(&self, header: &[u8], request: impl Fn() -> Request) -> Vec<(Request, crate::harness::Answer)> {
        let tls = |protocol| client(None, &[protocol]);
        let mut secured = TcpStream::connect(("127.0.0.1", self.tls)).unwrap();
        std::io::Write::write_all(&mut secured, header).unwrap();
        let mut secured = Wire::tls_over(secured, tls("http/1.1")).unwrap();
        let clear = Http2::behind(self.clear, header, None).unwrap();
        let both = Http2::behind(self.tls, header, Some(tls("h2"))).unwrap();
        let requests: [Request; 4] = std::array::from_fn(|_| request());
        let answers = [
            self.connect(header).exchange(&requests[0]),
            secured.exchange(&requests[1]),
            clear.exchange(&requests[2]),
            both.exchange(&requests[3]),
        ];
        requests.into_iter().zip(answers).collect()
    }
}

fn v1(source: &str) -> Vec<u8> {
    let (family, target) = if source.contains(':') {
        ("TCP6", "::1")
    } else {
        ("TCP4", "127.0.0.1")
    };
    format!("PROXY {family} {source} {target} 56324 443\r\n").into_bytes()
}

/// A header of version 2 with a TLV behind its addresses.
fn v2(source: &str) -> Vec<u8> {
    let (family, ip) = match source.parse().unwrap() {
        std::net::IpAddr::V4(ip) => (0x11, ip.octets().to_vec()),
        std::net::IpAddr::V6(ip) => (0x21, ip.octets().to_vec()),
    };
    let block = [&ip[..], &ip, b"\xdc\x04\x01\xbb", b"\x02\0\x0cshop.example"].concat();
    block_of(0x21, family, &block)
}

fn block_of(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let length = u16::try_from(block.len()).unwrap().to_be_bytes();
    [V2, &[command, family], &length, block].concat()
}

/// Headers that declare no address of a client.
fn undeclared() -> [Vec<u8>; 6] {
    [
        b"PROXY UNKNOWN\r\n".to_vec(),
        b"PROXY UNKNOWN 192.0.2.1 192.0.2.2 1 2\r\n".to_vec(),
        block_of(0x20, 0x00, b""),
        block_of(0x20, 0x11, b"\xc0\x00\x02\x01\xc0\x00\x02\x02\0\x01\0\x02"),
        block_of(0x21, 0x00, b""),
        block_of(0x21, 0x31, &[0; 216]),
    ]
}

/// A request that claims to come from elsewhere.
fn liar(path: &str) -> Request {
    Request::get(path)
        .header("x-forwarded-for", "6.6.6.6")
        .header("x-forwarded-proto", "gopher")
        .header("x-forwarded-host", "evil.example")
        .header("forwarded", "for=6.6.6.6")
        .header("x-real-ip", "6.6.6.6")
}

#[test]
fn declared_source_is_the_peer_of_every_kind_of_connection() {
    let proxied = start("");
    for (header, source) in [
        (v1("192.0.2.1"), "192.0.2.1"),
        (v1("2001:db8::1"), "2001:db8::1"),
        (v1("::ffff:192.0.2.1"), "192.0.2.1"),
        (v2("192.0.2.7"), "192.0.2.7"),
        (v2("2001:db8::7"), "2001:db8::7"),
        (v2("::ffff:192.0.2.7"), "192.0.2.7"),
    ] {
        for (request, answer) in proxied.exchanges(&header, || liar("/w/open/x")) {
            let seen = proxied.gateway.reached(&request, &answer);
            assert_eq!(seen.values("x-forwarded-for"), [source], "{seen:?}");
            assert_eq!(seen.values("x-forwarded-host"), ["localhost"], "{seen:?}");
            let lies = ["6.6.6.6", "gopher", "evil"];
            let is_lie = |(_, value): &(String, String)| lies.iter().any(|lie| value.contains(lie));
            assert!(!seen.headers.iter().any(is_lie), "{seen:?}");
            let line = proxied.line_of(&request);
            assert_eq!(
                (&line["peer"], &line["client"]),
                (&json!(source), &json!(source)),
                "{line}"
            );
        }
    }
    assert_eq!(proxied.counts(proxied.clear), ["0"; 5]);
    assert_eq!(proxied.counts(proxied.tls), ["0"; 5]);
    // A listener without the protocol has no counter, and reads no header.
    let own = format!("127.0.0.1:{}", proxied.gateway.port);
    let labels = [("listener", own.as_str())];
    assert_eq!(
        proxied.gateway.metric("sidegate_proxy_header_failures_total", &labels),
        None
    );
    let mut wire = proxied.gateway.connect();
    wire.write([v1("192.0.2.1"), Request::get("/w/open/x").bytes()].concat());
    assert_eq!(wire.head().unwrap().0, 400);
}

#[test]
fn forwarding_headers_are_believed_by_the_declared_source_alone() {
    let proxied = start("");
    for (header, want) in [
        // A trusted proxy behind the balancer.
        (v1("127.0.0.1"), "6.6.6.6, 127.0.0.1"),
        (v1("192.0.2.1"), "192.0.2.1"),
        (v2("127.0.0.2"), "127.0.0.2"),
    ] {
        for (request, answer) in proxied.exchanges(&header, || {
            Request::get("/w/open/x").header("x-forwarded-for", "6.6.6.6")
        }) {
            let seen = proxied.gateway.reached(&request, &answer);
            assert_eq!(seen.values("x-forwarded-for").join(", "), want, "{seen:?}");
        }
    }
}

#[test]
fn connection_without_a_declared_source_is_of_a_balancer_that_is_not_believed() {
    let proxied = start("");
    for header in undeclared() {
        for (request, answer) in proxied.exchanges(&header, || liar("/w/open/x")) {
            let seen = proxied.gateway.reached(&request, &answer);
            assert_eq!(seen.values("x-forwarded-for"), ["127.0.0.1"], "{header:?}: {seen:?}");
            assert_eq!(seen.values("x-forwarded-host"), ["localhost"], "{header:?}: {seen:?}");
            let line = proxied.line_of(&request);
            let balancer = json!("127.0.0.1");
            assert_eq!((&line["peer"], &line["client"]), (&balancer, &balancer), "{line}");
        }
        // The network of the balancer is in the condition, but its clients are unknown.
        for (request, answer) in proxied.exchanges(&header, || liar("/w/net")) {
            proxied.gateway.rejected(&request, &answer, 403, "condition_failed");
        }
    }
}

#[test]
fn quotas_and_conditions_go_by_the_declared_source() {
    let proxied = start("");
    let status = |header: &[u8], request: &Request| proxied.connect(header).exchange(request).status;
    for (header, said, want) in [
        (v1("192.0.2.1"), "6.6.6.6", 200),
        (v2("192.0.2.1"), "7.7.7.7", 429),
        (v1("192.0.2.2"), "6.6.6.6", 200),
        (v1("2001:db8::1"), "6.6.6.6", 200),
        (v2("2001:db8::1"), "8.8.8.8", 429),
    ] {
        let request = Request::get("/w/few").header("x-forwarded-for", said);
        assert_eq!(status(&header, &request), want, "{header:?} {said}");
    }
    for (source, want) in [
        ("192.0.2.9", 200),
        ("2001:db8::9", 200),
        ("198.51.100.1", 403),
        ("::1", 403),
    ] {
        for header in [v1(source), v2(source)] {
            assert_eq!(status(&header, &Request::get("/w/net")), want, "{source}");
        }
    }
}

/// Writes bytes to a port, and reads to the end of the connection: nothing comes.
fn assert_closed(port: u16, from: Option<[u8; 4]>, bytes: &[u8], ends: bool) {
    let options = SocketOptions {
        from: from.map(Into::into),
        ..SocketOptions::default()
    };
    let socket = options.connect(port);
    let own = socket.try_clone().unwrap();
    let mut wire = Wire::of(socket);
    // The connection may be closed before all is written.
    let _ = wire.try_write(bytes);
    if ends {
        let _ = own.shutdown(Shutdown::Write);
    }
    assert_eq!(wire.rest().unwrap(), b"", "{bytes:?}");
}

#[test]
fn connection_without_a_valid_header_is_closed_counted_and_logged() {
    let proxied = start("limits: { header_timeout: 1s }");
    let get = Request::get("/w/open/x").bytes();
    let request = |header: &[u8]| [header, &get].concat();
    let good = v1("192.0.2.1");
    let untrusted = Some([127, 0, 0, 2]);
    let mut long = b"PROXY UNKNOWN ".to_vec();
    long.resize(108, b'x');
    let cases = [
        ("untrusted_peer", untrusted, request(&good), false),
        ("untrusted_peer", untrusted, request(&v2("192.0.2.1")), false),
        ("untrusted_peer", untrusted, get.clone(), false),
        ("missing", None, get.clone(), false),
        ("missing", None, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), false),
        (
            "missing",
            None,
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
            false,
        ),
        ("missing", None, request(b"\r\n"), false),
        (
            "malformed",
            None,
            request(b"PROXY TCP4 192.0.2.1 127.0.0.1 1 443\n"),
            false,
        ),
        (
            "malformed",
            None,
            request(b"PROXY TCP4 192.0.2.1 127.0.0.1 01 443\r\n"),
            false,
        ),
        (
            "malformed",
            None,
            request(b"PROXY TCP4 2001:db8::1 ::1 1 443\r\n"),
            false,
        ),
        ("malformed", None, request(&long), false),
        ("malformed", None, request(&block_of(0x31, 0x11, &[0; 12])), false),
        ("malformed", None, request(&block_of(0x22, 0x11, &[0; 12])), false),
        ("malformed", None, request(&block_of(0x21, 0x11, &[0; 11])), false),
        ("malformed", None, request(&block_of(0x21, 0x11, &[0; 5000])), false),
        ("closed", None, b"".to_vec(), true),
        ("closed", None, b"PROXY TCP4 192.0.2.1 127.0".to_vec(), true),
        ("timeout", None, b"".to_vec(), false),
        ("timeout", None, v2("192.0.2.1")[..20].to_vec(), false),
    ];
    for port in [proxied.clear, proxied.tls] {
        assert_eq!(proxied.counts(port), ["0"; 5]);
        for (reason, from, bytes, ends) in &cases {
            let (before, lines) = (proxied.count(port, reason), proxied.closed_lines().len());
            assert_closed(port, *from, bytes, *ends);
            eventually("it is counted", || proxied.count(port, reason) > before);
            eventually("it is logged", || proxied.closed_lines().len() > lines);
            let line = proxied.closed_lines().pop().unwrap();
            let peer = if from.is_some() { "127.0.0.2" } else { "127.0.0.1" };
            assert_eq!(
                (&line["reason"], &line["peer"]),
                (&json!(reason), &json!(peer)),
                "{line}"
            );
            assert!(line["cause"].is_string() && line["listener"].is_string(), "{line}");
        }
        assert_eq!(proxied.counts(port), ["3", "4", "8", "2", "2"]);
    }
    assert!(proxied.gateway.upstream.all().is_empty());
    // A connection that is good is served as before.
    assert_eq!(proxied.connect(&good).exchange(&Request::get("/w/open/x")).status, 200);
}

#[test]
fn flood_of_connections_without_a_header_is_counted_whole_and_logged_in_part() {
    let proxied = start("");
    for _ in 0..200 {
        assert_closed(proxied.clear, None, b"GET / HTTP/1.1\r\n\r\n", false);
    }
    eventually("all are counted", || proxied.count(proxied.clear, "missing") >= 200.0);
    let lines = proxied.closed_lines().len();
    // Two periods at the most, unless the machine is very slow.
    assert!((1..=60).contains(&lines), "{lines}");
}

#[test]
fn header_and_what_follows_may_arrive_in_any_pieces() {
    let proxied = start("");
    for header in [v1("192.0.2.1"), v2("192.0.2.1")] {
        // All in one packet.
        let request = Request::get("/w/open/x");
        let answer = {
            let mut wire = proxied.connect(&[&header[..], &request.bytes()].concat());
            wire.answer("GET").unwrap()
        };
        assert_eq!(
            proxied.gateway.reached(&request, &answer).values("x-forwarded-for"),
            ["192.0.2.1"]
        );
        // Each byte in one of its own, for a socket that sends them at once.
        let socket = TcpStream::connect(("127.0.0.1", proxied.clear)).unwrap();
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(crate::harness::PATIENCE)).unwrap();
        let mut wire = Wire::of(socket);
        let request = Request::get("/w/open/x");
        for byte in [&header[..], &request.bytes()].concat() {
            wire.write([byte]);
            thread::sleep(Duration::from_micros(200));
        }
        let answer = wire.answer("GET").unwrap();
        assert_eq!(
            proxied.gateway.reached(&request, &answer).values("x-forwarded-for"),
            ["192.0.2.1"]
        );
        // Requests of a kept connection have no header of their own.
        let request = Request::get("/w/open/x");
        let answer = wire.exchange(&request);
        assert_eq!(
            proxied.gateway.reached(&request, &answer).values("x-forwarded-for"),
            ["192.0.2.1"]
        );
    }
}

#[test]
fn second_header_is_a_malformed_request() {
    let proxied = start("");
    let two = [v1("192.0.2.1"), v1("192.0.2.2"), Request::get("/w/open/x").bytes()].concat();
    let mut wire = proxied.connect(&two);
    let answer = wire.answer("GET").unwrap();
    assert_eq!(answer.status, 400, "{answer:?}");
    let two = [v2("192.0.2.1"), v2("192.0.2.2"), Request::get("/w/open/x").bytes()].concat();
    let rest = proxied.connect(&two).rest().unwrap();
    assert!(rest.starts_with(b"HTTP/1.1 400 "), "{rest:?}");
    assert!(proxied.gateway.upstream.all().is_empty());
    // The line of a head that cannot be read has the declared source, too.
    eventually("it is logged", || {
        let lines = proxied.gateway.log_lines();
        let mut rejected = lines.iter().filter(|line| line["status"] == 400);
        rejected.any(|line| line["peer"] == "192.0.2.1" && line["client"] == "192.0.2.1")
    });
    // On a listener with TLS, it is a handshake that fails.
    let mut wire = Wire::connect(proxied.tls);
    wire.write([v1("192.0.2.1"), v1("192.0.2.2")].concat());
    let _ = wire.rest();
    eventually("it is logged", || {
        let lines = proxied.gateway.log_lines();
        let mut failed = lines.iter().filter(|line| line["message"] == "a TLS handshake failed");
        failed.any(|line| line["peer"] == "192.0.2.1" && line["reason"] == "not_tls")
    });
}

#[test]
fn client_certificate_is_that_of_the_connection_behind_the_header() {
    let proxied = start("");
    let mut socket = TcpStream::connect(("127.0.0.1", proxied.tls)).unwrap();
    std::io::Write::write_all(&mut socket, &v2("192.0.2.1")).unwrap();
    let mut wire = Wire::tls_over(socket, client(Some(&pki().scheduler), &["http/1.1"])).unwrap();
    let request = Request::get("/w/_internal/x");
    let seen = proxied.gateway.reached(&request, &wire.exchange(&request));
    assert_eq!(seen.values("x-auth-method"), ["mtls"]);
    assert_eq!(seen.values("x-forwarded-for"), ["192.0.2.1"]);
}

#[test]
fn connections_of_a_client_are_counted_by_its_declared_address() {
    let proxied = start("limits: { connections: 4, client_connections: 2 }");
    let kept = |source: &str| {
        let mut wire = proxied.connect(&v1(source));
        assert_eq!(wire.exchange(&Request::get("/w/open/x")).status, 200, "{source}");
        wire
    };
    let mut of_one: Vec<_> = (0..2).map(|_| kept("192.0.2.1")).collect();
    let request = Request::get("/w/open/x");
    let answer = proxied.connect(&v1("192.0.2.1")).exchange(&request);
    proxied.gateway.rejected(&request, &answer, 503, "overloaded");
    // Another client of the same balancer has room.
    let _other = kept("192.0.2.2");
    of_one.pop();
    eventually("the room is free again", || {
        proxied
            .connect(&v1("192.0.2.1"))
            .exchange(&Request::get("/w/open/x"))
            .status
            == 200
    });
    // Connections without a declared source count as none of a client.
    drop(of_one);
    let _balancer = kept_local(&proxied);
}

fn kept_local(proxied: &Proxied) -> Wire {
    let mut wire = proxied.connect(&block_of(0x20, 0, b""));
    assert_eq!(wire.exchange(&Request::get("/w/open/x")).status, 200);
    wire
}

#[test]
fn connections_that_have_sent_no_header_are_limited_in_number() {
    let proxied = start("limits: { connections: 2, header_timeout: 1m }");
    let silent: Vec<_> = (0..2).map(|_| Wire::connect(proxied.clear)).collect();
    eventually("they are open", || {
        proxied.gateway.metric("sidegate_connections", &[]) == Some(2.0)
    });
    assert_closed(proxied.clear, None, &v1("192.0.2.1"), false);
    drop(silent);
    eventually("they are closed", || {
        proxied.gateway.metric("sidegate_connections", &[]) == Some(0.0)
    });
    assert_eq!(
        proxied
            .connect(&v1("192.0.2.1"))
            .exchange(&Request::get("/w/open/x"))
            .status,
        200
    );
}

#[test]
fn connection_that_has_sent_no_request_does_not_delay_the_end() {
    let proxied = start("limits: { header_timeout: 5m }\nshutdown: { grace: 5m }");
    let _silent = Wire::connect(proxied.clear);
    let _half = proxied.connect(&v1("192.0.2.1")[..10]);
    let _idle = proxied.connect(&v1("192.0.2.1"));
    eventually("they are open", || {
        proxied.gateway.metric("sidegate_connections", &[]) == Some(3.0)
    });
    proxied.gateway.terminate();
    assert!(proxied.gateway.ended().success());
}

#[test]
fn kept_connection_has_its_declared_source_after_a_reload() {
    let proxied = start("");
    let mut wires = [v1("192.0.2.1"), v2("198.51.100.1")].map(|header| proxied.connect(&header));
    for (wire, status) in wires.iter_mut().zip([200, 403]) {
        assert_eq!(wire.exchange(&Request::get("/w/net")).status, status);
    }
    let path = proxied.gateway.path("policies/wallet.yaml");
    let policy = fs::read_to_string(&path).unwrap();
    fs::write(&path, policy.replace("192.0.2.0/24", "198.51.100.0/24")).unwrap();
    proxied.gateway.hang_up();
    for (wire, status) in wires.iter_mut().zip([403, 200]) {
        eventually("the new policy is in force", || {
            wire.exchange(&Request::get("/w/net")).status == status
        });
    }
}

#[test]
fn haproxy_passes_connections_on_with_the_address_of_the_client() {
    let proxied = start("");
    let from = SocketOptions {
        from: Some([127, 0, 0, 9].into()),
        ..SocketOptions::default()
    };
    for send in [
        "send-proxy",
        "send-proxy-v2",
        "send-proxy-v2 proxy-v2-options crc32c,unique-id",
        "send-proxy-v2 check check-send-proxy inter 50ms",
    ] {
        let port = free_port();
        let bind = format!("bind 127.0.0.1:{port}");
        let tls = format!("127.0.0.1:{} {send}", proxied.tls);
        let clear = format!("127.0.0.1:{} {send}", proxied.clear);
        let changes = [
            ("bind :443", bind.as_str()),
            ("127.0.0.1:8443", &tls),
            ("server sidegate 127.0.0.1:8080", &format!("server sidegate {clear}")),
        ];
        let front = Front::haproxy(&proxied.gateway, &changes);
        // As HTTP, which HAProxy reads.
        let request = Request::get("/w/open/x");
        let seen = proxied
            .gateway
            .reached(&request, &front.connect_from([127, 0, 0, 9]).exchange(&request));
        assert_eq!(seen.values("x-forwarded-for"), ["127.0.0.9"], "{send}");
        // As a connection with TLS, which it does not.
        let mut wire = Wire::tls_over(from.connect(port), client(Some(&pki().scheduler), &["http/1.1"])).unwrap();
        let request = liar("/w/_internal/x");
        let seen = proxied.gateway.reached(&request, &wire.exchange(&request));
        assert_eq!(seen.values("x-forwarded-for"), ["127.0.0.9"], "{send}");
        let line = proxied.line_of(&request);
        assert_eq!(
            (&line["peer"], &line["client"]),
            (&json!("127.0.0.9"), &json!("127.0.0.9"))
        );
        let request = Request::get("/w/open/x");
        let answer = Http2::tls(port, client(None, &["h2"])).unwrap().exchange(&request);
        assert_eq!(
            proxied.gateway.reached(&request, &answer).values("x-forwarded-for"),
            ["127.0.0.1"],
            "{send}"
        );
    }
    for port in [proxied.clear, proxied.tls] {
        let [untrusted, missing, malformed, ..] = proxied.counts(port);
        assert_eq!([untrusted, missing, malformed], ["0"; 3]);
    }
}

#[test]
fn haproxy_may_pass_http2_on_in_clear_text() {
    let proxied = start("");
    let unused = format!("bind 127.0.0.1:{}", free_port());
    let h2 = format!("127.0.0.1:{} send-proxy-v2 proto h2", proxied.clear);
    let changes = [
        ("bind :443", unused.as_str()),
        ("server sidegate 127.0.0.1:8080", &format!("server sidegate {h2}")),
    ];
    let front = Front::haproxy(&proxied.gateway, &changes);
    for address in [[127, 0, 0, 9], [127, 0, 0, 8]] {
        let request = Request::get("/w/open/x");
        let seen = proxied
            .gateway
            .reached(&request, &front.connect_from(address).exchange(&request));
        let want = std::net::Ipv4Addr::from(address).to_string();
        assert_eq!(seen.values("x-forwarded-for"), [want.as_str()]);
    }
}

#[test]
fn nothing_starts_where_every_connection_would_be_closed() {
    let setup = Setup::new()
        .tls_with("  - { address: 127.0.0.1:$tls_port, proxy_protocol: true }\n")
        .policy("wallet", POLICY);
    let output = setup.run(&["run", "--config", "sidegate.yaml"]);
    assert!(!output.status.success());
    let said = text(&output);
    assert!(said.contains("`proxy_protocol` needs `trusted_proxies`"), "{said}");
}
