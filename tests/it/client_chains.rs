//! What a client certificate has to be to verify, in real handshakes: its chain, its purpose, its
//! lifetime, its revocation, and the kinds of names.

use std::io;

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, SanType, date_time_ymd};

use crate::harness::{
    Answer, Gateway, Request, Setup, Wire,
    certificates::{Authority, Identity, SCHEDULER, authority, client, dns, intermediate, leaf, revocations, uri},
    http2::Http2,
};

const POLICY: &str = "
version: 1
service: wallet-svc
prefix: /w
upstream: { url: '$upstream' }
errors: { format: envelope }
mtls: { allow: [{ uri: 'spiffe://eventzr/ns/*/sa/scheduler' }, { dns: jobs.internal }] }
routes: [{ path: /*, auth: mtls }]
";

const BY_COMMON_NAME: &str = "
version: 1
service: named-svc
prefix: /cn
upstream: { url: '$upstream' }
errors: { format: envelope }
mtls: { allow: [{ cn: scheduler }] }
routes: [{ path: /*, auth: mtls }]
";

/// Trusts one CA, and knows of revocations where there is a list.
fn gateway(ca: &Authority, list: Option<&str>) -> Gateway {
    let crl = list.map_or("", |_| ", client_crl: $folder/list.crl");
    let files =
        format!("certificate: $folder/server.crt, key: $folder/server.key, client_ca: $folder/clients.crt{crl}");
    Setup::new()
        .tls_with(&format!("  - address: 127.0.0.1:$tls_port\n    tls: {{ {files} }}\n"))
        .file("clients.crt", &ca.pem())
        .file("list.crl", list.unwrap_or_default())
        .policy("wallet", POLICY)
        .policy("named", BY_COMMON_NAME)
        .start()
}

fn http1(gateway: &Gateway, identity: &Identity, request: &Request) -> io::Result<Answer> {
    let mut wire = Wire::tls(gateway.tls_port, client(Some(identity), &["http/1.1"]))?;
    wire.try_write(&request.bytes())?;
    wire.answer(&request.method)
}

fn http2(gateway: &Gateway, identity: &Identity, request: &Request) -> io::Result<Answer> {
    let connection = Http2::tls(gateway.tls_port, client(Some(identity), &["h2"]))?;
    connection.try_exchange(request).map_err(io::Error::other)
}

/// What becomes of a call with a certificate: the name that the service reads, or a status, or
/// nothing at all because the handshake ends.
#[track_caller]
fn check(gateway: &Gateway, what: &str, path: &str, identity: &Identity, want: Result<&str, Option<u16>>) {
    for call in [http1, http2] {
        let request = Request::get(path);
        let answer = call(gateway, identity, &request);
        match (want, answer) {
            (Ok(name), Ok(answer)) => {
                let seen = gateway.reached(&request, &answer);
                assert_eq!(seen.values("x-client-id"), [name], "{what}");
            }
            (Err(Some(status)), Ok(answer)) => {
                gateway.rejected(&request, &answer, status, "client_certificate_not_allowed");
            }
            (Err(None), Err(_)) => {
                assert_eq!(gateway.upstream.seen(&request.case).len(), 0, "{what}");
            }
            (want, answer) => panic!("{what}: {answer:?} instead of {want:?}"),
        }
    }
}

fn scheduler(ca: &Authority, change: impl FnOnce(&mut CertificateParams)) -> Identity {
    leaf(ca, 20, uri(SCHEDULER), change)
}

#[test]
fn the_chain_has_to_lead_to_the_ca() {
    let root = authority("Root");
    let gateway = gateway(&root, None);
    let good = |what: &str, identity: &Identity| check(&gateway, what, "/w/x", identity, Ok(SCHEDULER));
    let bad = |what: &str, identity: &Identity| check(&gateway, what, "/w/x", identity, Err(None));

    good("directly", &scheduler(&root, |_| {}));
    let first = intermediate(&root, "First", |_| {});
    let second = intermediate(&first, "Second", |_| {});
    good("through one", &scheduler(&first, |_| {}).through(&[&first]));
    good("through two", &scheduler(&second, |_| {}).through(&[&second, &first]));
    good(
        "in another order",
        &scheduler(&second, |_| {}).through(&[&first, &second]),
    );
    good("with the root", &scheduler(&first, |_| {}).through(&[&first, &root]));
    bad("without the intermediate", &scheduler(&first, |_| {}));
    bad(
        "with half of the chain",
        &scheduler(&second, |_| {}).through(&[&second]),
    );

    let narrow = intermediate(&root, "Narrow", |params| {
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    });
    good(
        "as deep as the CA allows",
        &scheduler(&narrow, |_| {}).through(&[&narrow]),
    );
    let below = intermediate(&narrow, "Below", |_| {});
    bad(
        "deeper than the CA allows",
        &scheduler(&below, |_| {}).through(&[&below, &narrow]),
    );
    let mut deep = vec![intermediate(&root, "Deep 0", |_| {})];
    for depth in 1..7 {
        let next = intermediate(&deep[depth - 1], &format!("Deep {depth}"), |_| {});
        deep.push(next);
    }
    let through = |count: usize| {
        let above: Vec<&Authority> = deep[..count].iter().rev().collect();
        scheduler(above[0], |_| {}).through(&above)
    };
    good("through six", &through(6));
    bad("through seven", &through(7));

    let no_ca = intermediate(&root, "No CA", |params| params.is_ca = IsCa::ExplicitNoCa);
    bad("through what is no CA", &scheduler(&no_ca, |_| {}).through(&[&no_ca]));
    let expired = intermediate(&root, "Expired", |params| {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
    });
    bad(
        "through an expired CA",
        &scheduler(&expired, |_| {}).through(&[&expired]),
    );
    let rogue = authority("Root");
    bad("of another CA with the same name", &scheduler(&rogue, |_| {}));
    bad(
        "of another CA that came along",
        &scheduler(&rogue, |_| {}).through(&[&rogue]),
    );
}

#[test]
fn purpose_and_lifetime() {
    let root = authority("Root");
    let gateway = gateway(&root, None);
    let of = |change: fn(&mut CertificateParams)| scheduler(&root, change);
    let client_only = of(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]);
    check(&gateway, "for clients", "/w/x", &client_only, Ok(SCHEDULER));
    // RFC 5280, 4.2.1.12: without the extension, it is for any purpose.
    let any = of(|params| params.extended_key_usages = Vec::new());
    check(&gateway, "for any purpose", "/w/x", &any, Ok(SCHEDULER));
    for (what, identity) in [
        (
            "for servers",
            of(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]),
        ),
        (
            "for code",
            of(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning]),
        ),
        ("expired", of(|params| params.not_after = date_time_ymd(2024, 1, 1))),
        (
            "not yet valid",
            of(|params| params.not_before = date_time_ymd(2090, 1, 1)),
        ),
        (
            "itself a CA",
            of(|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)),
        ),
    ] {
        check(&gateway, what, "/w/x", &identity, Err(None));
    }
}

#[test]
fn every_certificate_of_the_chain_may_be_revoked() {
    let root = authority("Root");
    let first = intermediate(&root, "First", |params| params.serial_number = Some(7.into()));
    let direct = scheduler(&root, |_| {});
    let through = scheduler(&first, |_| {}).through(&[&first]);
    let list = |of_root: &[u64], of_first: &[u64]| revocations(&root, of_root) + &revocations(&first, of_first);
    for (what, list, directly, via) in [
        ("others", list(&[1], &[2]), true, true),
        ("the intermediate", list(&[7], &[]), true, false),
        ("one of the root", list(&[20], &[]), false, true),
        ("one of the intermediate", list(&[], &[20]), true, false),
        ("no list of the intermediate", revocations(&root, &[]), true, false),
    ] {
        let gateway = gateway(&root, Some(&list));
        for (identity, good) in [(&direct, directly), (&through, via)] {
            let want = if good { Ok(SCHEDULER) } else { Err(None) };
            check(&gateway, what, "/w/x", identity, want);
        }
    }
}

#[test]
fn a_name_is_of_its_kind() {
    let root = authority("Root");
    let gateway = gateway(&root, None);
    let named = |names: Vec<SanType>, common_name: &str| {
        leaf(&root, 20, names, |params| {
            params.distinguished_name.push(DnType::CommonName, common_name);
        })
    };
    let two = [uri(SCHEDULER), uri("spiffe://eventzr/ns/core/sa/other")].concat();
    let not_allowed = Err(Some(403));
    for (identity, by_san, by_cn) in [
        (named(uri(SCHEDULER), "x"), Ok(SCHEDULER), not_allowed),
        (named(dns("jobs.internal"), "x"), Ok("jobs.internal"), not_allowed),
        (named(dns("JOBS.internal"), "x"), Ok("JOBS.internal"), not_allowed),
        (named(dns("*.internal"), "x"), not_allowed, not_allowed),
        (named(dns("x.jobs.internal"), "x"), not_allowed, not_allowed),
        (
            named(uri("spiffe://eventzr/ns/a/b/sa/scheduler"), "x"),
            not_allowed,
            not_allowed,
        ),
        (
            named(uri("spiffe://other/ns/core/sa/scheduler"), "x"),
            not_allowed,
            not_allowed,
        ),
        (named(uri("https://jobs.internal"), "x"), not_allowed, not_allowed),
        (named(two, "x"), not_allowed, not_allowed),
        // A common name is a name only where it is asked for.
        (named(dns("other"), "jobs.internal"), not_allowed, not_allowed),
        (named(dns("other"), SCHEDULER), not_allowed, not_allowed),
        (named(dns("other"), "scheduler"), not_allowed, Ok("scheduler")),
        (named(dns("scheduler"), "Scheduler"), not_allowed, not_allowed),
        (named(uri("scheduler:x"), "x"), not_allowed, not_allowed),
    ] {
        check(&gateway, "by its alternative names", "/w/x", &identity, by_san);
        check(&gateway, "by its common name", "/cn/x", &identity, by_cn);
    }
}
