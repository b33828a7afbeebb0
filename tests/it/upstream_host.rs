//! The `Host` that the service receives: that of the client, or another one.

use std::sync::Arc;

use serde_json::Value;

use crate::harness::{
    Gateway, Reply, Request, Setup, Upstream,
    certificates::{pki, server},
    gateway::text,
    h2_service::{Call, H2Service},
    http2::Http2,
    upstream::Recorded,
    values,
};
use crate::upstreams::{handshake, websocket};

const NAME: &str = "orders.example.com:8080";

const POLICY: &str = "
version: 1
service: $name
prefix: /$name
upstream: { url: '$url'$more }
errors: { format: envelope, code_prefix: ERR }
routes: [{ path: /*, auth: public }]
";

/// The services with each form of `host`, under prefixes that begin with the name of the service.
fn with_policies(mut setup: Setup, services: &[(&str, &str, &str)]) -> Gateway {
    for (name, url, more) in services {
        for (form, host) in [
            ("absent", String::new()),
            ("client", ", host: client".to_owned()),
            ("upstream", ", host: upstream".to_owned()),
            ("name", format!(", host: '{NAME}'")),
        ] {
            let name = format!("{name}-{form}");
            let policy = POLICY.replace("$name", &name).replace("$url", url);
            setup = setup.policy(&name, &policy.replace("$more", &format!("{more}{host}")));
        }
    }
    setup.start()
}

fn authority(url: &str) -> &str {
    url.split_once("://").unwrap().1
}

/// Asserts on what a service received of each form.
fn assert_hosts(service: &str, url: &str, header: &str, exchange: impl Fn(&Request) -> Vec<Recorded>) {
    for (form, want) in [
        ("absent", "client.example"),
        ("client", "client.example"),
        ("upstream", authority(url)),
        ("name", NAME),
    ] {
        let request = Request::get(&format!("/{service}-{form}/x")).host("client.example");
        let seen = exchange(&request);
        assert_eq!(seen.len(), 1, "{request}");
        assert_eq!(seen[0].values(header), [want], "{request}");
        assert_eq!(seen[0].values("x-forwarded-host"), ["client.example"], "{request}");
    }
}

#[test]
fn service_receives_the_host_that_its_policy_says_over_every_protocol() {
    let plain = Upstream::start(|_| Reply::ok("fine"));
    let plain_url = plain.url.replace("127.0.0.1", "localhost");
    let tls = Upstream::tls(server(&pki().server, &["http/1.1"]), |_| Reply::ok("fine"));
    let h2c = H2Service::start(async |mut call: Call| call.reply(200, "fine"));
    let h2c_url = h2c.url.replace("127.0.0.1", "localhost");
    let h2 = H2Service::tls(server(&pki().server, &["h2"]), async |mut call: Call| {
        call.reply(200, "fine")
    });
    let trusted = ", ca_file: $folder/ca.crt";
    let gateway = Arc::new(with_policies(
        Setup::new().tls(),
        &[
            ("plain", &plain_url, ""),
            // The certificate is that of `localhost`, whatever `host` says.
            ("tls", &tls.url, trusted),
            ("h2c", &h2c_url, ""),
            ("h2", &h2.url, trusted),
        ],
    ));
    let http2 = Http2::plain(gateway.port);
    for over_http2 in [false, true] {
        let send = |request: &Request| {
            let answer = match over_http2 {
                false => gateway.send(request),
                true => http2.exchange(request),
            };
            assert_eq!(answer.status, 200, "{request}, HTTP/2: {over_http2}: {answer:?}");
        };
        assert_hosts("plain", &plain_url, "host", |request| {
            send(request);
            plain.seen(&request.case)
        });
        assert_hosts("tls", &tls.url, "host", |request| {
            send(request);
            tls.seen(&request.case)
        });
        assert_hosts("h2c", &h2c_url, ":authority", |request| {
            send(request);
            h2c.seen(&request.case)
        });
        assert_hosts("h2", &h2.url, ":authority", |request| {
            send(request);
            h2.seen(&request.case)
        });
    }
}

#[test]
fn websocket_receives_the_host_that_its_policy_says() {
    let service = Upstream::start(websocket);
    let url = service.url.replace("127.0.0.1", "localhost");
    let gateway = with_policies(Setup::new(), &[("ws", &url, "")]);
    assert_hosts("ws", &url, "host", |request| {
        let request = handshake(&request.target).host("client.example");
        let mut wire = gateway.connect();
        wire.write(request.bytes());
        let (status, headers) = wire.head().unwrap();
        assert_eq!((status, values(&headers, "upgrade").len()), (101, 1));
        service.seen(&request.case)
    });
}

#[test]
fn explain_shows_the_host_that_the_service_would_receive() {
    let url = "http://orders.internal:3000";
    for (host, want) in [
        ("", "client.example"),
        (", host: client", "client.example"),
        (", host: upstream", "orders.internal:3000"),
        (", host: 'orders.example.com:8080'", NAME),
    ] {
        let policy = POLICY.replace("$name", "a").replace("$url", url).replace("$more", host);
        let setup = Setup::new().policy("a", &policy);
        let flags = [
            "--policies",
            "policies",
            "--output",
            "json",
            "-H",
            "host: client.example",
        ];
        let output = setup.run(&[&["explain", "GET", "/a/x"], &flags[..]].concat());
        let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output)));
        assert_eq!(report["headers"]["host"], want, "{report}");
        assert_eq!(report["headers"]["x-forwarded-host"], "client.example", "{report}");
    }
}
