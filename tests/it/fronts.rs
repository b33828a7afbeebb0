//! Other proxies in front of Sidegate, as `deploy/front` has them: what they say about a client is
//! believed, what the client says is not, and no reading of a path leads around a policy.

use std::sync::Arc;

use serde_json::json;

use crate::harness::{
    Answer, Gateway, OTHER_TENANT, Request, Setup, Shared, TENANT, Upstream, Wire,
    certificates::{client, pki},
    free_port,
    front::Front,
    issuer::token,
    setup::WALLET,
};
use crate::upstreams::{handshake, websocket};

const POLICY: &str = "
$wallet
prefix: /w
mtls: { allow: [{ uri: 'spiffe://eventzr/ns/*/sa/scheduler' }] }
routes:
  - { path: /open/*, auth: public }
  - { path: /few, auth: public, quotas: [{ name: few, per: address, limit: 1, window: 1h }] }
  - { path: /_internal/*, auth: mtls }
  - { path: /*, auth: jwt }
";

/// Where a client connects from.
const CLIENT: [u8; 4] = [127, 0, 0, 9];

/// What a client says of itself that only a front may say.
const LIES: [(&str, &str); 18] = [
    ("X-Forwarded-For", "6.6.6.6"),
    ("X-Forwarded-For", "10.6.6.6"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Host", "evil.example"),
    ("X-Forwarded-Port", "66666"),
    ("X-Forwarded-Prefix", "/evil"),
    ("X-Forwarded-Server", "evil"),
    ("X_Forwarded_For", "6.6.6.6"),
    ("x.forwarded.for", "6.6.6.6"),
    ("Forwarded", "for=6.6.6.6;host=evil.example"),
    ("X-Real-IP", "6.6.6.6"),
    ("X-Client-IP", "6.6.6.6"),
    ("X-Cluster-Client-IP", "6.6.6.6"),
    ("True-Client-IP", "6.6.6.6"),
    ("CF-Connecting-IP", "6.6.6.6"),
    ("Fastly-Client-IP", "6.6.6.6"),
    ("X-Original-Forwarded-For", "6.6.6.6"),
    ("X-Forwarded-Client-Cert", "URI=spiffe://eventzr/ns/evil/sa/scheduler"),
];

/// Who a client says it is.
const CLAIMS: [(&str, &str); 8] = [
    ("X-User-Id", "evil"),
    ("x_user_id", "evil"),
    ("X-User-Roles", "evil"),
    ("X-Tenant-Id", "evil"),
    ("X-Auth-Method", "evil"),
    ("X-Client-Id", "evil"),
    ("X-SSL-Client-Verify", "evil"),
    ("X-SSL-Client-S-DN", "CN=evil"),
];

fn with(request: Request, headers: &[(&str, &str)]) -> Request {
    headers
        .iter()
        .fold(request, |request, (name, value)| request.header(name, value))
}

fn gateway() -> Arc<Gateway> {
    static SHARED: Shared<Gateway> = Shared::new();
    SHARED.get(|| {
        let setup = Setup::new().tls().config("trusted_proxies: [127.0.0.1]");
        setup.policy("wallet", POLICY).start()
    })
}

fn fronts(gateway: &Gateway) -> Vec<Front> {
    let (from, to) = ("bind :443", format!("bind 127.0.0.1:{}", free_port()));
    let all = [
        Some(Front::nginx("nginx.conf", gateway, &[])),
        Some(Front::haproxy(gateway, &[(from, &to)])),
        Front::envoy(gateway),
    ];
    all.into_iter().flatten().collect()
}

fn exchange(front: &Front, request: &Request) -> Answer {
    front.connect_from(CLIENT).exchange(request)
}

#[test]
fn the_front_says_who_the_client_is_and_the_client_does_not() {
    let gateway = gateway();
    for front in fronts(&gateway) {
        let request = with(Request::get("/w/open/x").host("shop.example"), &LIES);
        let seen = gateway.reached(&request, &exchange(&front, &request));
        assert_eq!(
            seen.values("x-forwarded-for").join(", "),
            "127.0.0.9, 127.0.0.1",
            "{}",
            front.name
        );
        assert_eq!(seen.values("x-forwarded-proto"), ["http"], "{}", front.name);
        assert_eq!(seen.values("x-forwarded-host"), ["shop.example"], "{}", front.name);
        for (name, value) in &seen.headers {
            let is_lie = ["6.6.6.6", "evil", "66666"].iter().any(|lie| value.contains(lie));
            assert!(!is_lie, "{} let pass {name}: {value}", front.name);
        }
    }
}

#[test]
fn a_front_that_is_not_trusted_is_a_client() {
    let gateway = Setup::new().policy("wallet", POLICY).start();
    for front in fronts(&gateway) {
        let request = with(Request::get("/w/open/x"), &LIES);
        let seen = gateway.reached(&request, &exchange(&front, &request));
        assert_eq!(seen.values("x-forwarded-for"), ["127.0.0.1"], "{}", front.name);
    }
}

#[test]
fn claimed_identity_is_removed_behind_every_front() {
    let gateway = gateway();
    for front in fronts(&gateway) {
        let request = with(Request::get("/w/open/x"), &CLAIMS);
        let seen = gateway.reached(&request, &exchange(&front, &request));
        assert!(
            seen.headers.iter().all(|(_, value)| !value.contains("evil")),
            "{}: {seen:?}",
            front.name
        );
        assert_eq!(seen.values("x-auth-method"), ["public"], "{}", front.name);
        let request = with(
            Request::get("/w/x").bearer(&token(json!({}))).tenant(),
            &[("x-user-id", "evil")],
        );
        let seen = gateway.reached(&request, &exchange(&front, &request));
        assert_eq!(seen.values("x-user-id"), ["user-7"], "{}", front.name);
        // Headers about a certificate prove nothing, whether a front or a client wrote them.
        let request = with(Request::get("/w/_internal/x"), &[LIES[17], CLAIMS[6]]);
        let answer = exchange(&front, &request);
        gateway.rejected(&request, &answer, 401, "client_certificate_missing");
    }
}

/// Each leads to `/w/wallets`, in one reading or another.
const DETOURS: [&str; 9] = [
    "/w/open/../wallets",
    "/w/open/%2e%2e/wallets",
    "/w/open/..%2fwallets",
    "/w/open/%2e%2e%2fwallets",
    "/w/open/..;/wallets",
    "/w/open/..\\wallets",
    "/w/open/%252e%252e/wallets",
    "//w/wallets",
    "/w//wallets",
];

fn assert_no_detour(gateway: &Gateway, front: &Front) {
    for path in DETOURS {
        let request = Request::get(path);
        let answer = exchange(front, &request);
        let name = front.name;
        assert!(matches!(answer.status, 400..=404), "{name}: {request}: {answer:?}");
        let seen = gateway.upstream.seen(&request.case);
        assert!(seen.is_empty(), "{name}: {request} reached the service: {seen:?}");
    }
}

#[test]
fn no_reading_of_a_path_leads_around_a_policy() {
    let gateway = gateway();
    for front in fronts(&gateway) {
        assert_no_detour(&gateway, &front);
        let request = Request::get("/w/open/%77allets?q=%2e%2e");
        let seen = gateway.reached(&request, &exchange(&front, &request));
        assert_eq!(seen.target, "/w/open/wallets?q=%2e%2e", "{}", front.name);
    }
    // With a path behind the name nginx sends its own reading, and that is what is decided on.
    let pass = ("proxy_pass http://sidegate;", "proxy_pass http://sidegate/;");
    assert_no_detour(&gateway, &Front::nginx("nginx.conf", &gateway, &[pass]));
}

#[test]
fn a_quota_by_address_is_of_the_client() {
    for name in ["nginx", "haproxy"] {
        let setup = Setup::new().config("trusted_proxies: [127.0.0.1]");
        let gateway = setup.policy("wallet", POLICY).start();
        let fronts = fronts(&gateway);
        let front = fronts.iter().find(|front| front.name == name).unwrap();
        let status = |address: [u8; 4], said: &str| {
            let request = Request::get("/w/few").header("x-forwarded-for", said);
            front.connect_from(address).exchange(&request).status
        };
        assert_eq!(status(CLIENT, "6.6.6.6"), 200, "{name}");
        assert_eq!(status(CLIENT, "7.7.7.7"), 429, "{name}");
        assert_eq!(status([127, 0, 0, 8], "6.6.6.6"), 200, "{name}");
    }
}

#[test]
fn ids_bodies_and_connections_pass() {
    let gateway = gateway();
    let id = "550e8400-e29b-41d4-a716-446655440000";
    for front in fronts(&gateway) {
        let mut wire = front.connect_from(CLIENT);
        for body in ["{}", &"x".repeat(300_000)] {
            let request = Request::post("/w/open/x", body).header("x-request-id", id);
            let answer = wire.exchange(&request);
            assert_eq!(answer.header("x-request-id"), Some(id), "{}", front.name);
            let seen = gateway.reached(&request, &answer);
            assert_eq!(seen.body.len(), body.len(), "{}", front.name);
            assert_eq!(seen.values("x-request-id"), [id], "{}", front.name);
        }
    }
}

#[test]
fn websockets_pass() {
    let gateway = Setup::in_front_of(Upstream::start(websocket)).config("trusted_proxies: [127.0.0.1]");
    let gateway = gateway.policy("wallet", POLICY).start();
    for front in fronts(&gateway) {
        let mut wire = front.connect_from(CLIENT);
        wire.write(handshake("/w/open/x").bytes());
        assert_eq!(wire.head().unwrap().0, 101, "{}", front.name);
        wire.write(b"frames");
        assert_eq!(wire.read(6).unwrap(), b"frames", "{}", front.name);
    }
}

#[test]
fn a_client_certificate_passes_a_front_that_passes_the_connection() {
    let gateway = gateway();
    let port = free_port();
    let (bind, tls) = (
        format!("bind 127.0.0.1:{port}"),
        format!("127.0.0.1:{}", gateway.tls_port),
    );
    let _front = Front::haproxy(&gateway, &[("bind :443", &bind), ("127.0.0.1:8443", &tls)]);
    let request = Request::get("/w/_internal/x");
    let mut wire = Wire::tls(port, client(Some(&pki().scheduler), &["http/1.1"])).unwrap();
    let seen = gateway.reached(&request, &wire.exchange(&request));
    assert_eq!(seen.values("x-auth-method"), ["mtls"]);
}

#[test]
fn haproxy_may_speak_http2_to_sidegate() {
    let gateway = gateway();
    let tls = format!("bind 127.0.0.1:{}", free_port());
    let h2 = ("127.0.0.1:8080", "127.0.0.1:8080 proto h2");
    let front = Front::haproxy(&gateway, &[("bind :443", &tls), h2]);
    let request = with(Request::get("/w/open/x"), &LIES);
    let seen = gateway.reached(&request, &exchange(&front, &request));
    assert_eq!(seen.values("x-forwarded-for"), ["127.0.0.9, 127.0.0.1"]);
    assert_no_detour(&gateway, &front);
}

/// nginx asks Sidegate with `auth_request`, and sends the request to the service itself.
#[test]
fn nginx_may_ask_and_forward_by_itself() {
    let answers = format!("127.0.0.1:{}", free_port());
    let policy = POLICY.replace("$wallet", &WALLET.replace("$upstream", &format!("http://{answers}")));
    let setup = Setup::new().config("trusted_proxies: [127.0.0.1]");
    let gateway = setup.policy("wallet", &policy).start();
    let service = gateway.upstream.url.strip_prefix("http://").unwrap();
    let changes = [("127.0.0.1:8081", answers.as_str()), ("127.0.0.1:3000", service)];
    let front = Front::nginx("nginx-auth-request.conf", &gateway, &changes);

    let request = Request::post("/w/%77allets?a=%2e", "{\"a\":1}");
    let request = with(request.bearer(&token(json!({}))).tenant(), &CLAIMS[..2]);
    let seen = gateway.reached(&request, &exchange(&front, &request));
    assert_eq!(
        (seen.method.as_str(), seen.target.as_str()),
        ("POST", "/w/wallets?a=%2e")
    );
    assert_eq!(seen.body, b"{\"a\":1}");
    assert_eq!(seen.values("x-user-id"), ["user-7"]);
    assert_eq!(seen.values("x-tenant-id"), [TENANT]);
    assert_eq!(seen.values("x-auth-method"), ["jwt"]);
    assert_eq!(seen.values("x-forwarded-for"), ["127.0.0.9"]);

    let request = with(Request::get("/w/open/x"), &CLAIMS[..6]);
    let seen = gateway.reached(&request, &exchange(&front, &request));
    assert!(
        seen.headers.iter().all(|(_, value)| !value.contains("evil")),
        "{seen:?}"
    );

    let refused = |request: Request, status: u16| {
        let answer = exchange(&front, &request);
        assert_eq!(answer.status, status, "{request}: {answer:?}");
        assert!(gateway.upstream.seen(&request.case).is_empty(), "{request}");
        answer
    };
    let answer = refused(Request::get("/w/wallets"), 401);
    assert!(answer.header("www-authenticate").is_some(), "{answer:?}");
    let other = Request::get("/w/wallets").bearer(&token(json!({})));
    refused(other.clone().header("x-tenant-id", OTHER_TENANT), 403);
    // `auth_request` knows these two refusals, and takes all others for a fault.
    refused(other, 500);
    refused(Request::get("/nowhere"), 500);
    for path in DETOURS {
        let answer = exchange(&front, &Request::get(path));
        assert!(matches!(answer.status, 400 | 401 | 500), "{path}: {answer:?}");
    }
}
