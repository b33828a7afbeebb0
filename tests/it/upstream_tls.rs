//! TLS to services: whom Sidegate trusts, and what it shows of itself.

use rcgen::{ExtendedKeyUsagePurpose, SanType, date_time_ymd};

use crate::harness::{
    Gateway, Reply, Request, Setup, Upstream,
    certificates::{authority, dns, intermediate, leaf, mutual, server as tls_server, uri},
    upstream::Recorded,
};

/// One policy for each way to connect to the same service.
fn policy(name: &str, files: &str) -> String {
    format!(
        "version: 1\nservice: {name}\nprefix: /{name}\nupstream: {{ url: '$upstream', {files} }}\n\
         errors: {{ format: envelope }}\nroutes: [{{ path: /*, auth: public }}]\n"
    )
}

fn echo(request: &Recorded) -> Reply {
    Reply::ok(&request.body)
}

fn status(gateway: &Gateway, name: &str) -> u16 {
    gateway.send(&Request::get(&format!("/{name}/x"))).status
}

#[test]
fn a_service_that_asks_for_a_certificate_sees_the_one_of_its_policy() {
    let (services, clients, others) = (authority("Services"), authority("Clients"), authority("Others"));
    let issuer = intermediate(&clients, "Issuer", |_| {});
    let server = leaf(&services, 1, dns("localhost"), |_| {});
    // The same serial number: the engine's pool tells certificates apart by nothing else.
    let known = leaf(&issuer, 2, dns("sidegate"), |_| {}).through(&[&issuer]);
    let unknown = leaf(&others, 2, dns("sidegate"), |_| {});
    let mine = "ca_file: $folder/services.crt";
    let shown = |name: &str| format!("{mine}, client_certificate: $folder/{name}.crt, client_key: $folder/{name}.key");
    let stranger = shown("known").replace("services.crt", "others.crt");
    let upstream = Upstream::tls(mutual(&server, &clients.pem()), echo);
    let gateway = Setup::in_front_of(upstream)
        .file("services.crt", &services.pem())
        .file("others.crt", &others.pem())
        .file("known.crt", &known.chain)
        .file("known.key", &known.key)
        .file("unknown.crt", &unknown.chain)
        .file("unknown.key", &unknown.key)
        .policy("known", &policy("known", &shown("known")))
        .policy("unknown", &policy("unknown", &shown("unknown")))
        .policy("silent", &policy("silent", mine))
        .policy("stranger", &policy("stranger", &stranger))
        .start();
    // In turns: a connection of one policy, idle in the pool, serves no other.
    for _ in 0..3 {
        assert_eq!(status(&gateway, "known"), 200);
        for name in ["unknown", "silent", "stranger"] {
            assert_eq!(status(&gateway, name), 502, "{name}");
        }
    }
    assert!(!gateway.log_text().contains("PRIVATE KEY"));
}

#[test]
fn files_without_an_identity_are_problems_before_the_start() {
    let ca = authority("CA");
    let [one, two] = [1, 2].map(|serial| leaf(&ca, serial, dns("sidegate"), |_| {}));
    for (url, files, problem) in [
        (
            "https://x",
            "client_certificate: one.crt",
            "`client_certificate` needs `client_key`",
        ),
        (
            "https://x",
            "client_key: one.key",
            "`client_key` needs `client_certificate`",
        ),
        (
            "https://x",
            "client_certificate: one.crt, client_key: two.key",
            "the private key in `two.key` does not belong to the certificate in `one.crt`",
        ),
        (
            "https://x",
            "client_certificate: one.key, client_key: one.key",
            "the file `one.key` has no certificate",
        ),
        (
            "https://x",
            "client_certificate: one.crt, client_key: one.crt",
            "the file `one.crt` has no private key",
        ),
        (
            "https://x",
            "client_certificate: gone.crt, client_key: one.key",
            "the file `gone.crt` cannot be read",
        ),
        ("https://x", "spiffe_id: 'spiffe://e/a'", "`spiffe_id` needs `ca_file`"),
        (
            "https://x",
            "ca_file: one.crt, spiffe_id: 'spiffe://e/*'",
            "is not a SPIFFE id",
        ),
        (
            "http://x",
            "spiffe_id: 'spiffe://e/a'",
            "`spiffe_id` has an effect on an `https://` upstream only",
        ),
        (
            "http://x",
            "client_certificate: one.crt, client_key: one.key",
            "`client_certificate` has an effect on an `https://` upstream only",
        ),
    ] {
        let setup = Setup::new()
            .file("policies/one.crt", &one.chain)
            .file("policies/one.key", &one.key)
            .file("policies/two.key", &two.key)
            .policy("x", &policy("x", files).replace("$upstream", url));
        let output = setup.run(&["check", "policies/x.yaml"]);
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(problem), "{problem} in {said}");
        assert!(said.contains("1 problem"), "{said}");
    }
}

const ORDERS: &str = "spiffe://eventzr/ns/core/sa/orders";

#[test]
fn a_service_without_the_pinned_id_never_hears_of_a_request() {
    let (ours, others) = (authority("Ours"), authority("Others"));
    let issuer = intermediate(&ours, "Issuer", |_| {});
    let two = [uri(ORDERS), uri("spiffe://eventzr/ns/core/sa/other")].concat();
    let pinned = format!("ca_file: $folder/ours.crt, spiffe_id: '{ORDERS}'");
    let server = |of, names: Vec<SanType>| leaf(of, 1, names, |_| {});
    for (what, identity, want) in [
        ("the id and no host name", server(&ours, uri(ORDERS)), 200),
        (
            "through an intermediate",
            server(&issuer, uri(ORDERS)).through(&[&issuer]),
            200,
        ),
        (
            "the host name too",
            server(&ours, [uri(ORDERS), dns("localhost")].concat()),
            200,
        ),
        ("the host name alone", server(&ours, dns("localhost")), 502),
        (
            "another id",
            server(&ours, uri("spiffe://eventzr/ns/core/sa/orders2")),
            502,
        ),
        ("two ids", server(&ours, two), 502),
        ("the id as a DNS name", server(&ours, dns(ORDERS)), 502),
        ("another CA", server(&others, uri(ORDERS)), 502),
        ("nobody's intermediate", server(&issuer, uri(ORDERS)), 502),
        (
            "for clients",
            leaf(&ours, 1, uri(ORDERS), |params| {
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            }),
            502,
        ),
        (
            "expired",
            leaf(&ours, 1, uri(ORDERS), |params| {
                params.not_before = date_time_ymd(2020, 1, 1);
                params.not_after = date_time_ymd(2021, 1, 1);
            }),
            502,
        ),
    ] {
        let upstream = Upstream::tls(tls_server(&identity, &["http/1.1"]), echo);
        let gateway = Setup::in_front_of(upstream)
            .file("ours.crt", &ours.pem())
            .policy("pinned", &policy("pinned", &pinned))
            .start();
        let mut wire = gateway.connect();
        for _ in 0..3 {
            if want != 200 {
                wire = gateway.connect();
            }
            let request = Request::post("/pinned/x", "{}");
            let answer = wire.exchange(&request);
            assert_eq!(answer.status, want, "{what}: {answer:?}");
            let seen = gateway.upstream.seen(&request.case);
            assert_eq!(seen.len(), usize::from(want == 200), "{what}");
            assert!(seen.iter().all(|seen| seen.body == b"{}"), "{what}");
        }
        assert!(
            !gateway.log_text().contains("\"ERROR\""),
            "{what}: {}",
            gateway.log_text()
        );
    }
}

#[test]
fn a_pinned_service_may_ask_for_a_certificate_too() {
    let ours = authority("Ours");
    let [server, client] = [1, 2].map(|serial| leaf(&ours, serial, uri(ORDERS), |_| {}));
    let pinned = format!("ca_file: $folder/ours.crt, spiffe_id: '{ORDERS}'");
    let shown = format!("{pinned}, client_certificate: $folder/client.crt, client_key: $folder/client.key");
    let upstream = Upstream::tls(mutual(&server, &ours.pem()), echo);
    let gateway = Setup::in_front_of(upstream)
        .file("ours.crt", &ours.pem())
        .file("client.crt", &client.chain)
        .file("client.key", &client.key)
        .policy("shown", &policy("shown", &shown))
        .policy("silent", &policy("silent", &pinned))
        .policy(
            "unpinned",
            &policy("unpinned", &shown.replace(&format!(", spiffe_id: '{ORDERS}'"), "")),
        )
        .start();
    for _ in 0..2 {
        assert_eq!(status(&gateway, "shown"), 200);
        assert_eq!(status(&gateway, "silent"), 502);
        assert_eq!(status(&gateway, "unpinned"), 502, "its certificate has no host name");
    }
}
