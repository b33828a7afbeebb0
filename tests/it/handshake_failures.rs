//! TLS handshakes that fail: a log line with the peer, and a counter by reason. A flood of them stays bounded.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use rustls::version::{TLS12, TLS13};
use serde_json::{Value, json};

use crate::harness::{
    Gateway, Setup, Wire,
    certificates::{authority, client, client_of, pki},
    eventually,
};

const POLICY: &str = "
$wallet
prefix: /w
mtls: { allow: [{ dns: jobs.internal }] }
routes:
  - { path: /_internal/*, auth: mtls }
  - { path: /*, auth: public }
";

const REASONS: [&str; 8] = [
    "not_tls",
    "incompatible",
    "client_certificate",
    "alert",
    "protocol",
    "closed",
    "timeout",
    "other",
];

fn count(gateway: &Gateway, reason: &str) -> f64 {
    let labels = [("reason", reason)];
    gateway
        .metric("sidegate_tls_handshake_failures_total", &labels)
        .unwrap()
}

fn failed(gateway: &Gateway) -> Vec<Value> {
    let lines = gateway.log_lines().into_iter();
    lines
        .filter(|line| line["message"] == "a TLS handshake failed")
        .collect()
}

/// Sends bytes to the TLS port, and reads until the connection ends.
fn send(gateway: &Gateway, bytes: &[u8]) {
    let mut socket = TcpStream::connect(("127.0.0.1", gateway.tls_port)).unwrap();
    socket.write_all(bytes).unwrap();
    let _ = socket.read_to_end(&mut Vec::new());
}

#[test]
fn failed_handshake_is_counted_by_its_reason_and_logged_with_the_peer() {
    let gateway = Setup::new()
        .tls()
        .config("limits: { header_timeout: 1s }")
        .policy("wallet", POLICY)
        .start();
    for reason in REASONS {
        assert_eq!(count(&gateway, reason).to_string(), "0", "{reason}");
    }
    let port = gateway.tls_port;
    let connect = |config| {
        if let Ok(mut wire) = Wire::tls(port, config) {
            let _ = wire.read(1);
        }
    };
    let foreign = authority("Foreign CA").pem();
    let cases: [(&str, &dyn Fn()); 6] = [
        ("not_tls", &|| send(&gateway, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")),
        ("incompatible", &|| connect(client(None, &["acme-tls/1"]))),
        ("client_certificate", &|| connect(client(Some(&pki().rogue), &[]))),
        ("alert", &|| connect(client_of(&[&TLS13, &TLS12], &foreign, None, &[]))),
        ("closed", &|| drop(TcpStream::connect(("127.0.0.1", port)).unwrap())),
        ("timeout", &|| send(&gateway, b"")),
    ];
    for (at, (reason, fail)) in cases.iter().enumerate() {
        fail();
        eventually(reason, || {
            count(&gateway, reason) > 0.0 && failed(&gateway).len() == at + 1
        });
        let line = failed(&gateway).pop().unwrap();
        assert_eq!(
            (&line["reason"], &line["peer"]),
            (&json!(reason), &json!("127.0.0.1")),
            "{line}"
        );
        assert!(line["cause"].is_string() && line["listener"].is_string(), "{line}");
        assert_eq!(count(&gateway, reason).to_string(), "1", "{reason}");
    }
}

#[test]
fn flood_of_failed_handshakes_is_counted_whole_and_logged_in_part() {
    let gateway = Setup::new().tls().policy("wallet", POLICY).start();
    for _ in 0..200 {
        send(&gateway, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    eventually("all are counted", || count(&gateway, "not_tls") >= 200.0);
    let lines = failed(&gateway).len();
    // Two periods at the most, unless the machine is very slow.
    assert!((1..=60).contains(&lines), "{lines}");
}
