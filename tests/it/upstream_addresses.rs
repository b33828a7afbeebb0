//! A service with several addresses, of which some are bad, and addresses that change. Each test has a network and a
//! name server of its own.

use std::{io::Write as _, net::TcpListener, thread};

use serde_json::Value;

use crate::harness::{
    Gateway, Reply, Request, Setup, Upstream,
    certificates::{authority, dns, leaf, server, uri},
    eventually,
    h2_service::{Call, H2Service},
    http2::Http2,
    namespace::{PORT, SILENT, at, inside, ips},
    upstream::read_request,
};

const POLICY: &str = "
version: 1
service: orders
upstream: { url: '$url'$more }
errors: { format: envelope, code_prefix: ERR }
routes: [{ path: /*, auth: public }]
";

fn setup(url: &str, more: &str) -> Setup {
    let policy = POLICY.replace("$url", url).replace("$more", more);
    Setup::new().policy("orders", &policy)
}

fn gateway(url: &str) -> Gateway {
    setup(url, "").start()
}

fn http(name: &str) -> String {
    format!("http://{name}:{PORT}")
}

fn service(address: &str) -> Upstream {
    Upstream::at(at(address), |_| Reply::ok("fine"))
}

/// Sends 40 GET and 40 POST. All succeed, and none is sent twice.
fn assert_all_pass_once(gateway: &Gateway, seen: impl Fn(&str) -> usize) {
    for n in 0..40 {
        for request in [
            Request::get(&format!("/{n}")),
            Request::post(&format!("/{n}"), "{\"amount\":1}"),
        ] {
            let answer = gateway.send(&request);
            assert_eq!(answer.status, 200, "{request}: {answer:?}");
            assert_eq!(seen(&request.case), 1, "{request}");
        }
    }
}

/// The messages in the log about an address.
fn logged(gateway: &Gateway, address: &str, part: &str) -> usize {
    let lines = gateway.log_lines();
    let of_address = |line: &&Value| {
        line["address"] == at(address).to_string() && line["message"].as_str().is_some_and(|text| text.contains(part))
    };
    lines.iter().filter(of_address).count()
}

/// The cause of a failure, from the line of the request.
fn failure_cause(gateway: &Gateway, path: &str) -> String {
    let mut cause = String::new();
    eventually("the request is logged", || {
        let lines = gateway.log_lines();
        let line = lines.iter().find(|line| line["path"] == path);
        line.is_some_and(|line| {
            let found = line["failure_cause"].as_str().unwrap_or_default();
            found.clone_into(&mut cause);
            true
        })
    });
    cause
}

#[test]
fn no_request_fails_or_is_sent_twice_if_one_address_rejects() {
    inside(
        "upstream_addresses::no_request_fails_or_is_sent_twice_if_one_address_rejects",
        |names| {
            let good = service("127.0.0.3");
            names.set("orders.test", ips(&["127.0.0.2", "127.0.0.3"]));
            let gateway = gateway(&http("orders.test"));
            assert_all_pass_once(&gateway, |case| good.seen(case).len());
            eventually("its failure is logged", || {
                logged(&gateway, "127.0.0.2", "does not accept connections") > 0
            });
            // It is used again once it accepts.
            let other = service("127.0.0.2");
            eventually("it is used again", || {
                assert_eq!(gateway.send(&Request::get("/again")).status, 200);
                !other.all().is_empty()
            });
            eventually("its success is logged", || {
                logged(&gateway, "127.0.0.2", "accepts connections again") == 1
            });
        },
    );
}

#[test]
fn no_request_over_http2_fails_or_is_sent_twice_if_one_address_rejects() {
    inside(
        "upstream_addresses::no_request_over_http2_fails_or_is_sent_twice_if_one_address_rejects",
        |names| {
            let good = H2Service::at(at("127.0.0.3"), async |mut call: Call| call.reply(200, "fine"));
            names.set("orders.test", ips(&["127.0.0.2", "127.0.0.3", "127.0.0.4"]));
            let gateway = gateway(&http("orders.test").replace("http", "h2c"));
            assert_all_pass_once(&gateway, |case| good.seen(case).len());
            let connection = Http2::plain(gateway.port);
            for _ in 0..10 {
                let request = Request::post("/x", "{}");
                assert_eq!(connection.exchange(&request).status, 200);
                assert_eq!(good.seen(&request.case).len(), 1);
            }
        },
    );
}

#[test]
fn requests_pass_within_the_time_to_connect_if_one_address_is_silent() {
    inside(
        "upstream_addresses::requests_pass_within_the_time_to_connect_if_one_address_is_silent",
        |names| {
            let good = service("127.0.0.3");
            names.set("orders.test", ips(&[SILENT, "127.0.0.3"]));
            let gateway = gateway(&http("orders.test"));
            assert_all_pass_once(&gateway, |case| good.seen(case).len());
            eventually("its failure is logged", || {
                logged(&gateway, SILENT, "does not accept connections") > 0
            });
        },
    );
}

#[test]
fn service_on_ipv6_alone_is_reached_by_every_name() {
    inside(
        "upstream_addresses::service_on_ipv6_alone_is_reached_by_every_name",
        |names| {
            let good = service("::1");
            names.set("six.test", ips(&["::1"]));
            names.set("both.test", ips(&["127.0.0.1", "::1"]));
            for name in ["localhost", "six.test", "both.test"] {
                let gateway = gateway(&http(name));
                for request in [Request::get("/x"), Request::post("/x", "{}")] {
                    assert_eq!(gateway.send(&request).status, 200, "{name} {request}");
                    assert_eq!(good.seen(&request.case).len(), 1, "{name} {request}");
                }
            }
        },
    );
}

#[test]
fn next_request_finds_a_service_that_has_another_address() {
    inside(
        "upstream_addresses::next_request_finds_a_service_that_has_another_address",
        |names| {
            let old = TcpListener::bind(at("127.0.0.2")).unwrap();
            names.set("orders.test", ips(&["127.0.0.2"]));
            let gateway = gateway(&http("orders.test"));
            let served = thread::spawn(move || {
                let mut stream = old.accept().unwrap().0;
                read_request(&mut stream).unwrap();
                let response = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
                stream.write_all(response.as_bytes()).unwrap();
            });
            assert_eq!(gateway.send(&Request::get("/old")).status, 200);
            served.join().unwrap();

            let new = service("127.0.0.3");
            names.set("orders.test", ips(&["127.0.0.3"]));
            let request = Request::post("/new", "{}");
            let answer = gateway.send(&request);
            assert_eq!(answer.status, 200, "{answer:?}");
            assert_eq!(new.seen(&request.case).len(), 1);

            // The old address may also be silent.
            names.set("moved.test", ips(&[SILENT]));
            let gateway = self::gateway(&http("moved.test"));
            names.set("moved.test", ips(&["127.0.0.3"]));
            let request = Request::post("/moved", "{}");
            assert_eq!(gateway.send(&request).status, 200);
            assert_eq!(new.seen(&request.case).len(), 1);
        },
    );
}

#[test]
fn name_without_an_address_is_looked_up_by_the_next_request() {
    inside(
        "upstream_addresses::name_without_an_address_is_looked_up_by_the_next_request",
        |names| {
            let good = service("127.0.0.2");
            let gateway = gateway(&http("orders.test"));
            names.set("orders.test", ips(&["127.0.0.2"]));
            let request = Request::get("/x");
            assert_eq!(gateway.send(&request).status, 200);
            assert_eq!(good.seen(&request.case).len(), 1);
        },
    );
}

#[test]
fn failure_of_all_addresses_has_its_reason_and_names_them() {
    inside(
        "upstream_addresses::failure_of_all_addresses_has_its_reason_and_names_them",
        |names| {
            names.set("down.test", ips(&["127.0.0.2", "127.0.0.3", "::1"]));
            names.set("silent.test", ips(&[SILENT]));
            for (name, status, reason, addresses) in [
                (
                    "down",
                    502,
                    "upstream_unreachable",
                    &["127.0.0.2", "127.0.0.3", "::1"][..],
                ),
                ("silent", 504, "upstream_timeout", &[SILENT]),
            ] {
                for scheme in ["http", "h2c"] {
                    let url = format!("{scheme}://{name}.test:{PORT}");
                    let gateway = setup(&url, ", connect_timeout: 500ms").start();
                    gateway.refused(&Request::get("/get"), status, reason);
                    gateway.refused(&Request::post("/post", "{}"), status, reason);
                    let cause = failure_cause(&gateway, "/post");
                    for address in addresses {
                        assert!(cause.contains(&at(address).to_string()), "{url}: {cause}");
                    }
                }
            }
        },
    );
}

#[test]
fn failed_verification_is_never_answered_by_another_address() {
    inside(
        "upstream_addresses::failed_verification_is_never_answered_by_another_address",
        |names| {
            const ID: &str = "spiffe://example.org/orders";
            let (ca, rogue) = (authority("Services"), authority("Rogue"));
            let by_name = [
                leaf(&rogue, 1, dns("orders.test"), |_| {}),
                leaf(&ca, 2, dns("orders.test"), |_| {}),
            ];
            let by_id = [
                leaf(&ca, 3, uri("spiffe://example.org/other"), |_| {}),
                leaf(&ca, 4, uri(ID), |_| {}),
            ];
            for (at_first, more, [bad, good]) in [
                ("127.0.0.2", String::new(), by_name),
                ("127.0.0.4", format!(", spiffe_id: '{ID}'"), by_id),
            ] {
                // Requests begin at the first address, and then take turns.
                let at_second = if at_first == "127.0.0.2" {
                    "127.0.0.3"
                } else {
                    "127.0.0.5"
                };
                let _bad = Upstream::tls_at(at(at_first), server(&bad, &[]), |_| Reply::ok("bad"));
                let other = Upstream::tls_at(at(at_second), server(&good, &[]), |_| Reply::ok("fine"));
                names.set("orders.test", ips(&[at_first, at_second]));
                let more = format!(", ca_file: $folder/services.crt{more}");
                let setup = setup(&http("orders.test").replace("http", "https"), &more);
                let gateway = setup.file("services.crt", &ca.pem()).start();
                gateway.refused(&Request::post("/first", "{}"), 502, "upstream_failed");
                assert_eq!(other.connections(), 0, "{more}");
                let cause = failure_cause(&gateway, "/first");
                assert!(cause.contains("TLS") && cause.contains(at_first), "{cause}");
                assert_eq!(gateway.send(&Request::get("/second")).status, 200);
                // The bad one is not left out: its failure is to be seen.
                gateway.refused(&Request::get("/third"), 502, "upstream_failed");
            }
        },
    );
}

#[test]
fn doctor_recognizes_a_name_of_this_machine() {
    inside(
        "upstream_addresses::doctor_recognizes_a_name_of_this_machine",
        |names| {
            names.set("orders.test", ips(&["127.0.0.2", SILENT]));
            names.set("elsewhere.test", ips(&[SILENT]));
            let code = |name: &str, flags: &[&str]| {
                let flags = [&["doctor", "--config", "sidegate.yaml", "--output", "json"], flags].concat();
                let output = setup(&http(name), "").run(&flags);
                let report: Value = serde_json::from_slice(&output.stdout).unwrap();
                let findings = report["findings"].as_array().unwrap().clone();
                let of_services = findings.iter().find(|finding| finding["area"] == "services");
                of_services.unwrap()["code"].as_str().unwrap().to_owned()
            };
            assert_eq!(code("orders.test", &[]), "upstream_not_listening");
            let listener = TcpListener::bind(at("127.0.0.2")).unwrap();
            assert_eq!(code("orders.test", &[]), "upstream_on_loopback");
            assert_eq!(code("orders.test", &["--offline"]), "upstream_elsewhere");
            assert_eq!(code("elsewhere.test", &[]), "upstream_elsewhere");
            assert_eq!(code("unknown.test", &[]), "upstream_elsewhere");
            drop(listener);
            let _everywhere = TcpListener::bind(at("0.0.0.0")).unwrap();
            assert_eq!(code("orders.test", &[]), "upstream_exposed");
        },
    );
}
