//! Several certificates on one listener: the name that the client asks for picks one.

use std::{fs, io, sync::Arc};

use rcgen::date_time_ymd;
use rustls::ClientConfig;

use crate::harness::{
    Gateway, Setup, Wire,
    certificates::{Authority, Identity, authority, client_of, dns, leaf},
    eventually,
};

const POLICY: &str = "$wallet\nprefix: /w\nroutes: [{ path: /*, auth: public }]\n";

const LISTENER: &str = "
  - address: 127.0.0.1:$tls_port
    tls:
      certificate: $folder/default.crt
      key: $folder/default.key
      certificates:
        - { certificate: $folder/orders.crt, key: $folder/orders.key }
        - { certificate: $folder/wild.crt, key: $folder/wild.key }
";

struct Served {
    ca: Authority,
    default: Identity,
    orders: Identity,
    wild: Identity,
}

fn made() -> Served {
    let ca = authority("CA");
    let mut names = dns("localhost");
    names.push(rcgen::SanType::IpAddress([127, 0, 0, 1].into()));
    Served {
        default: leaf(&ca, 1, names, |params| params.not_after = date_time_ymd(2050, 1, 1)),
        orders: leaf(&ca, 2, dns("Orders.example.com"), |params| {
            params.not_after = date_time_ymd(2040, 1, 1);
        }),
        wild: leaf(&ca, 3, dns("*.example.com"), |params| {
            params.not_after = date_time_ymd(2060, 1, 1);
        }),
        ca,
    }
}

fn setup(made: &Served) -> Setup {
    let mut setup = Setup::new().tls_with(LISTENER).policy("wallet", POLICY);
    for (name, identity) in [
        ("default", &made.default),
        ("orders", &made.orders),
        ("wild", &made.wild),
    ] {
        setup = setup
            .file(&format!("{name}.crt"), &identity.chain)
            .file(&format!("{name}.key"), &identity.key);
    }
    setup
}

fn asked(gateway: &Gateway, config: &Arc<ClientConfig>, name: &str) -> io::Result<Vec<u8>> {
    Wire::tls_to(gateway.tls_port, Arc::clone(config), name).map(|(_, handshake)| handshake.server)
}

#[test]
fn the_name_picks_the_certificate_and_the_first_one_is_for_all_others() {
    let made = made();
    let gateway = setup(&made).start();
    let config = client_of(rustls::ALL_VERSIONS, &made.ca.pem(), None, &["http/1.1"]);
    for (name, identity) in [
        ("localhost", &made.default),
        ("orders.example.com", &made.orders),
        ("ORDERS.example.COM", &made.orders),
        ("wallet.example.com", &made.wild),
        // An address asks for no name.
        ("127.0.0.1", &made.default),
    ] {
        assert_eq!(asked(&gateway, &config, name).unwrap(), identity.leaf(), "{name}");
    }
    // The client sees that this is not whom it asked for: a star is one label.
    for name in ["a.b.example.com", "example.com", "elsewhere.org"] {
        let error = asked(&gateway, &config, name).unwrap_err().to_string();
        assert!(error.contains("localhost"), "{name}: {error}");
    }
    let expiry = gateway.metric("sidegate_certificate_expiry_timestamp_seconds", &[]);
    assert_eq!(expiry, Some(2_208_988_800.0), "the first one to end");
}

#[test]
fn each_of_them_can_change() {
    let made = made();
    let gateway = setup(&made).start();
    let config = client_of(rustls::ALL_VERSIONS, &made.ca.pem(), None, &["http/1.1"]);
    let new = leaf(&made.ca, 4, dns("*.example.com"), |_| {});
    fs::write(gateway.path("wild.key"), &new.key).unwrap();
    fs::write(gateway.path("wild.crt"), &new.chain).unwrap();
    eventually("the new one is served", || {
        asked(&gateway, &config, "wallet.example.com").unwrap() == new.leaf()
    });
    assert_eq!(
        asked(&gateway, &config, "orders.example.com").unwrap(),
        made.orders.leaf()
    );
}

#[test]
fn every_problem_is_found_at_the_start() {
    let made = made();
    let nameless = leaf(&made.ca, 5, Vec::new(), |_| {});
    let again = leaf(&made.ca, 6, dns("orders.EXAMPLE.com"), |_| {});
    for (file, identity, problem) in [
        ("orders", &nameless, "has no DNS name that a client could ask for"),
        ("wild", &again, "is the name of another one too"),
    ] {
        let setup = setup(&made)
            .file(&format!("{file}.crt"), &identity.chain)
            .file(&format!("{file}.key"), &identity.key);
        refused(&setup, &[problem]);
    }
    let setup = setup(&made).file("orders.key", &made.wild.key).file("wild.crt", "");
    refused(
        &setup,
        &["does not belong to the certificate in", "wild.crt` has no certificate"],
    );
}

#[track_caller]
fn refused(setup: &Setup, problems: &[&str]) {
    for arguments in [["check", "sidegate.yaml"], ["run", "--config=sidegate.yaml"]] {
        let output = setup.run(&arguments);
        assert!(!output.status.success());
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8(said).unwrap();
        for problem in problems {
            assert!(said.contains(problem), "{problem} in {said}");
        }
    }
}
