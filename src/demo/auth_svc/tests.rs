//! What auth-svc answers, driven through its handler and once over a socket.

use std::sync::LazyLock;

use bytes::Bytes;
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::Value;

use super::*;

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const HUB: &str = "a0000001-0000-0000-0000-000000000001";
const WALLET: &str = "00000000-0000-4000-a000-000000000001";
const ADMIN: &str = r#"{"email":"admin@eventzr.com","password":"Admin123!"}"#;
const WALLET_ADMIN: &str = r#"{"email":"admin@eventzr.com","password":"Password123!"}"#;
static SERVICE: LazyLock<Arc<AuthService>> = LazyLock::new(|| Arc::new(AuthService::generate(SECRET).unwrap()));

fn noon() -> Timestamp {
    "2026-02-24T12:00:00.5Z".parse().unwrap()
}

fn request(method: &str, path: &str, tenants: &[&str], body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    let mut builder = Request::builder().method(method).uri(path);
    for tenant in tenants {
        builder = builder.header("x-tenant-id", *tenant);
    }
    builder.body(Full::new(body.into())).unwrap()
}

async fn ask(request: Request<Full<Bytes>>) -> (u16, HeaderMap, Value) {
    let (head, body) = SERVICE.handle(request, noon()).await.into_parts();
    let body = http::read_body(body).await.unwrap();
    (
        head.status.as_u16(),
        head.headers,
        serde_json::from_slice(&body).unwrap(),
    )
}

async fn log_in(tenants: &[&str], body: &'static str) -> (u16, HeaderMap, Value) {
    ask(request("POST", "/auth/v1/login", tenants, body)).await
}

async fn refresh(token: &str) -> (u16, HeaderMap, Value) {
    let body = json!({ "refreshToken": token }).to_string();
    ask(request("POST", "/auth/v1/refresh", &[], body)).await
}

fn text<'a>(body: &'a Value, pointer: &str) -> &'a str {
    body.pointer(pointer).and_then(Value::as_str).unwrap()
}

#[tokio::test]
async fn a_login_is_answered_with_tokens_of_its_tenant() {
    for (tenants, body, algorithm, seconds) in [
        (&[][..], ADMIN, Algorithm::RS256, 3600),
        (&[HUB], ADMIN, Algorithm::RS256, 3600),
        (&["A0000001-0000-0000-0000-000000000001"], ADMIN, Algorithm::RS256, 3600),
        (&[WALLET], WALLET_ADMIN, Algorithm::HS256, 86_400),
    ] {
        let (status, headers, answer) = log_in(tenants, body).await;
        assert_eq!(
            (status, &headers["cache-control"]),
            (200, &"no-store".parse().unwrap()),
            "{tenants:?}"
        );
        assert_eq!(answer["data"].as_object().unwrap().len(), 3);
        assert_eq!(answer["data"]["expiresIn"], seconds, "{tenants:?}");
        for token in ["/data/accessToken", "/data/refreshToken"] {
            let header = decode_header(text(&answer, token)).unwrap();
            assert_eq!(header.alg, algorithm, "{tenants:?} {token}");
        }
    }
}

#[tokio::test]
async fn bad_login_is_rejected() {
    const BAD: &str = "ERR_AUTH_SVC_BAD_REQUEST";
    const NO: &str = "ERR_AUTH_SVC_UNAUTHORIZED";
    for (tenants, body, status, code) in [
        (&[][..], WALLET_ADMIN, 401, NO),
        (&[WALLET], ADMIN, 401, NO),
        (&[], r#"{"email":"nobody@eventzr.com","password":"Admin123!"}"#, 401, NO),
        (&["00000000-0000-0000-0000-000000000000"], ADMIN, 401, NO),
        (&["acme"], ADMIN, 400, BAD),
        (&[""], ADMIN, 400, BAD),
        (&[HUB, WALLET], ADMIN, 400, BAD),
        (&[], "", 400, BAD),
        (&[], "email=admin@eventzr.com", 400, BAD),
        (&[], r#"{"email":"admin@eventzr.com"}"#, 400, BAD),
        (&[], r#"{"email":"admin@eventzr.com","password":7777}"#, 400, BAD),
        (
            &[],
            r#"{"email":"a","email":"admin@eventzr.com","password":"Admin123!"}"#,
            400,
            BAD,
        ),
        (&[], "[]", 400, BAD),
    ] {
        let (found, _, answer) = log_in(tenants, body).await;
        assert_eq!((found, text(&answer, "/code")), (status, code), "{tenants:?} {body}");
        assert_eq!(answer["statusCode"], status);
        assert_eq!(text(&answer, "/path"), "/auth/v1/login");
        assert_eq!(text(&answer, "/timestamp"), "2026-02-24T12:00:00.500Z");
        assert!(!answer.to_string().contains("7777"), "{answer}");
    }
}

#[tokio::test]
async fn long_body_is_rejected() {
    let body = vec![b' '; http::MAX_BODY_BYTES + 1];
    let (status, _, answer) = ask(request("POST", "/auth/v1/login", &[], body)).await;
    assert_eq!(
        (status, text(&answer, "/code")),
        (413, "ERR_AUTH_SVC_PAYLOAD_TOO_LARGE")
    );
}

#[tokio::test]
async fn paths_and_methods() {
    for (method, path, status) in [
        ("GET", "/readyz", 200),
        ("GET", "/auth/v1/health", 200),
        ("GET", "/auth/v1/health/", 200),
        ("HEAD", "/auth/v1/health", 200),
        ("GET", "/auth/v1/.well-known/jwks.json", 200),
        ("POST", "/auth/v1/.well-known/jwks.json", 405),
        ("GET", "/auth/v1/login", 405),
        ("DELETE", "/auth/v1/refresh", 405),
        ("GET", "/auth/v1", 404),
        ("GET", "/auth/v1health", 404),
        ("GET", "/auth/v1/health//", 404),
        ("POST", "/login", 404),
    ] {
        let (found, headers, answer) = ask(request(method, path, &[], "")).await;
        assert_eq!(found, status, "{method} {path}");
        assert_eq!(headers.contains_key("allow"), status == 405, "{method} {path}");
        if status != 200 {
            assert_eq!(text(&answer, "/path"), path);
        }
    }
    let (_, _, health) = ask(request("GET", "/auth/v1/health", &[], "")).await;
    assert_eq!(health, json!({ "status": "ok" }));
}

#[tokio::test]
async fn a_refresh_token_is_rotated() {
    for (tenant, body, seconds) in [(HUB, ADMIN, 3600), (WALLET, WALLET_ADMIN, 86_400)] {
        let (_, _, login) = log_in(&[tenant], body).await;
        let first = text(&login, "/data/refreshToken");
        let (status, _, answer) = refresh(first).await;
        assert_eq!((status, &answer["data"]["expiresIn"]), (200, &json!(seconds)));
        let second = text(&answer, "/data/refreshToken");
        assert_ne!(first, second);
        assert_eq!(refresh(first).await.0, 401, "used");
        assert_eq!(refresh(second).await.0, 200);
        assert_eq!(
            refresh(text(&login, "/data/accessToken")).await.0,
            401,
            "no refresh token"
        );
    }
}

#[tokio::test]
async fn malformed_refresh_is_rejected() {
    for body in ["", "{}", r#"{"refreshToken":null}"#, r#"{"refresh_token":"x"}"#] {
        let (status, _, _) = ask(request("POST", "/auth/v1/refresh", &[], body)).await;
        assert_eq!(status, 400, "{body}");
    }
}

#[tokio::test]
async fn a_login_on_the_wire_verifies_with_the_fetched_key() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}/auth/v1", listener.local_addr().unwrap());
    tokio::spawn(Arc::clone(&SERVICE).serve(listener));

    let login: Value = fetch(request("POST", &format!("{base}/login"), &[], ADMIN)).await;
    let keys: JwkSet = fetch(request("GET", &format!("{base}/.well-known/jwks.json"), &[], "")).await;

    let token = text(&login, "/data/accessToken");
    let key = keys.find(&decode_header(token).unwrap().kid.unwrap()).unwrap();
    let key = DecodingKey::from_jwk(key).unwrap();
    let claims: Value = decode(token, &key, &Validation::new(Algorithm::RS256)).unwrap().claims;
    assert_eq!(
        (text(&claims, "/email"), text(&claims, "/tenantId")),
        ("admin@eventzr.com", HUB)
    );
}

async fn fetch<T: DeserializeOwned>(request: Request<Full<Bytes>>) -> T {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let response = client.request(request).await.unwrap();
    serde_json::from_slice(&http::read_body(response.into_body()).await.unwrap()).unwrap()
}

#[test]
fn debug_shows_nothing() {
    assert_eq!(format!("{:?}", *SERVICE), "AuthService { .. }");
}
