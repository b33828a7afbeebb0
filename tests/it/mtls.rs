//! Client certificates: only this connection's own handshake counts.

use std::{io, sync::Arc};

use crate::harness::{
    Answer, Gateway, Request, Setup, Shared, Wire,
    certificates::{Identity, SCHEDULER, client, pki},
    http2::Http2,
};

const POLICY: &str = "
$wallet
prefix: /w
mtls:
  allow:
    - { uri: 'spiffe://eventzr/ns/*/sa/scheduler' }
    - { dns: jobs.internal }
routes:
  - { path: /_internal/*, auth: mtls }
  - { path: /health, auth: public }
";

fn gateway() -> Arc<Gateway> {
    static SHARED: Shared<Gateway> = Shared::new();
    SHARED.get(|| Setup::new().tls().policy("wallet", POLICY).start())
}

fn get() -> Request {
    Request::get("/w/_internal/stats")
}

fn http1(gateway: &Gateway, identity: Option<&Identity>, request: &Request) -> io::Result<Answer> {
    let mut wire = Wire::tls(gateway.tls_port, client(identity, &["http/1.1"]))?;
    wire.try_write(&request.bytes())?;
    wire.answer(&request.method)
}

fn http2(gateway: &Gateway, identity: Option<&Identity>, request: &Request) -> io::Result<Answer> {
    let connection = Http2::tls(gateway.tls_port, client(identity, &["h2"]))?;
    connection.try_exchange(request).map_err(io::Error::other)
}

type Call = fn(&Gateway, Option<&Identity>, &Request) -> io::Result<Answer>;
pub(crate) const BOTH: [(&str, Call); 2] = [("http/1.1", http1), ("h2", http2)];

#[test]
fn an_allowed_certificate_is_the_callers_identity() {
    let gateway = gateway();
    for (_, call) in BOTH {
        for (identity, name) in [(&pki().scheduler, SCHEDULER), (&pki().by_dns, "jobs.internal")] {
            let request = get().header("x-client-id", "spoofed").header("x-user-id", "spoofed");
            let seen = gateway.reached(&request, &call(&gateway, Some(identity), &request).unwrap());
            assert_eq!(seen.values("x-client-id"), [name]);
            assert_eq!(seen.values("x-auth-method"), ["mtls"]);
            assert_eq!(seen.values("x-user-id"), [""; 0]);
            assert_eq!(seen.values("x-forwarded-proto"), ["https"]);
        }
    }
}

#[test]
fn a_verified_certificate_that_no_rule_names_is_forbidden() {
    let gateway = gateway();
    for (_, call) in BOTH {
        for identity in [&pki().stranger, &pki().pretender] {
            let request = get();
            let answer = call(&gateway, Some(identity), &request).unwrap();
            gateway.rejected(&request, &answer, 403, "client_certificate_not_allowed");
        }
    }
}

#[test]
fn the_route_decides_whether_a_certificate_is_needed() {
    let gateway = gateway();
    for (_, call) in BOTH {
        let request = get();
        gateway.rejected(
            &request,
            &call(&gateway, None, &request).unwrap(),
            401,
            "client_certificate_missing",
        );
        for identity in [None, Some(&pki().stranger), Some(&pki().scheduler)] {
            let request = Request::get("/w/health");
            let seen = gateway.reached(&request, &call(&gateway, identity, &request).unwrap());
            assert_eq!(seen.values("x-auth-method"), ["public"]);
            assert_eq!(seen.values("x-client-id"), [""; 0]);
        }
    }
}

#[test]
fn a_certificate_that_does_not_verify_ends_the_handshake() {
    let gateway = gateway();
    let pki = pki();
    for (protocol, call) in BOTH {
        for (why, identity) in [
            ("another CA", &pki.rogue),
            ("expired", &pki.expired),
            ("revoked", &pki.revoked),
        ] {
            for target in ["/w/_internal/stats", "/w/health"] {
                let request = Request::get(target);
                let answer = call(&gateway, Some(identity), &request);
                assert!(answer.is_err(), "{why}, {protocol}: {answer:?}");
                assert_eq!(gateway.upstream.seen(&request.case).len(), 0, "{why}, {protocol}");
            }
        }
    }
    let request = get();
    gateway.reached(&request, &http1(&gateway, Some(&pki.scheduler), &request).unwrap());
}

#[test]
fn header_about_a_certificate_proves_nothing() {
    let gateway = gateway();
    let headers = [
        ("x-forwarded-client-cert", format!("By=spiffe://x;URI={SCHEDULER}")),
        ("client-cert", ":MIIB:".to_owned()),
        ("client-cert-chain", ":MIIB:".to_owned()),
        ("x-ssl-client-verify", "SUCCESS".to_owned()),
        ("x-ssl-client-s-dn", "CN=scheduler".to_owned()),
        ("x-client-id", SCHEDULER.to_owned()),
        ("x-auth-method", "mtls".to_owned()),
    ];
    let claiming = |request: Request| {
        headers
            .iter()
            .fold(request, |request, (name, value)| request.header(name, value))
    };
    gateway.refused(&claiming(get()), 401, "client_certificate_missing");
    for (_, call) in BOTH {
        let request = claiming(get());
        gateway.rejected(
            &request,
            &call(&gateway, None, &request).unwrap(),
            401,
            "client_certificate_missing",
        );
        let request = claiming(get());
        let answer = call(&gateway, Some(&pki().stranger), &request).unwrap();
        gateway.rejected(&request, &answer, 403, "client_certificate_not_allowed");
    }
    // Nor does the service ever get to read one.
    let seen = gateway.allowed(&claiming(Request::get("/w/health")));
    for (name, _) in &headers[..5] {
        assert_eq!(seen.values(name), [""; 0], "{name}");
    }
}

#[test]
fn every_request_of_a_connection_has_its_certificate() {
    let gateway = gateway();
    let mut wire = Wire::tls(gateway.tls_port, client(Some(&pki().scheduler), &["http/1.1"])).unwrap();
    for _ in 0..3 {
        let request = get();
        gateway.reached(&request, &wire.exchange(&request));
    }
    let mut stranger = Wire::tls(gateway.tls_port, client(Some(&pki().stranger), &["http/1.1"])).unwrap();
    for _ in 0..3 {
        let request = get();
        gateway.rejected(
            &request,
            &stranger.exchange(&request),
            403,
            "client_certificate_not_allowed",
        );
    }
}
