//! What the path of a request allocates: counted, not hoped for.

#![allow(
    clippy::unwrap_used,
    missing_docs,
    reason = "a test that cannot go on says so by panicking, and has no readers outside of this crate"
)]

use std::sync::Arc;

use allocation_counter::measure;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{HeaderMap, Method};
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};
use sidegate::admission::client_limit::{ClientCounts, ClientRequests};
use sidegate::admission::concurrency_limit::ConcurrencyLimit;
use sidegate::admission::snapshot::Snapshot;
use sidegate::admission::{Admission, AdmissionController};
use sidegate::credential::{ClientCertificate, Thumbprint};
use sidegate::decision::{Evaluator, decide};
use sidegate::document::environment::FixedEnvironment;
use sidegate::document::problem::SourceFile;
use sidegate::jwks::KeySources;
use sidegate::policy::{ErrorStyle, PolicySet};
use sidegate::request::target::RequestTarget;
use sidegate::request::{Body, RequestFacts};
use sidegate::revocation::{Revocation, RevocationList, Revocations, Target};
use sidegate::store::Store;
use sidegate::telemetry::metrics::Metrics;

const POLICY: &str = "
version: 1
service: wallet-svc
prefix: /wallet/v1
upstream: { url: http://127.0.0.1:1 }
jwt:
  issuers:
    - { issuer: i, audience: [a], algorithms: [HS256], keys: { secret: { env: SECRET } }, required_claims: [sub] }
internal_key: { keys: [{ name: jobs, secret: { env: KEY } }] }
mtls: { allow: [{ uri: 'spiffe://e/ns/*/sa/job' }] }
tenant: { claims: [tenant, tenantId] }
roles: { admin: [user] }
revocation: {}
content_types: [application/json]
idempotency: {}
routes:
  - { path: /health, auth: public }
  - { path: /jobs/*, auth: internal_key }
  - { path: /mesh/*, auth: mtls }
  - { path: '/wallets/{id}', auth: jwt, roles: [user], scopes: [read] }
";

const SECRET: &str = "a-secret-of-at-least-32-bytes-for-tests";
const TENANT: &str = "00000000-0000-4000-a000-000000000001";
const NOW: i64 = 1_800_000_000;
const CERTIFICATE: &[u8] = b"a certificate";

fn evaluator() -> Evaluator {
    let file = SourceFile::new("wallet.yaml", POLICY);
    let environment = FixedEnvironment {
        variables: [("SECRET", SECRET), ("KEY", SECRET)]
            .map(|(name, value)| (name.into(), value.into()))
            .to_vec(),
        files: Vec::new(),
    };
    let policies = PolicySet::parse(&[Arc::new(file)], &environment, ErrorStyle::default()).unwrap();
    Evaluator::new(Arc::new(policies))
}

fn token(confirmation: Option<Value>) -> String {
    let mut claims = json!({
        "iss": "i", "aud": "a", "sub": "user-1", "email": "a@example.com", "jti": "t", "iat": NOW, "exp": NOW + 60,
        "tenant": TENANT, "tenantId": TENANT, "roles": ["admin", "x"], "scopes": ["read", "write"], "planTier": "free",
    });
    let confirmation = confirmation.map(|confirmation| ("cnf".to_owned(), confirmation));
    claims.as_object_mut().unwrap().extend(confirmation);
    encode(
        &Header::default(),
        &claims,
        &EncodingKey::from_secret(SECRET.as_bytes()),
    )
    .unwrap()
}

/// How often a decision allocates that was made a few times before.
fn allocations(method: &Method, path: &str, headers: &[(&'static str, &str)]) -> u64 {
    let evaluator = evaluator();
    let mut revoked = RevocationList::default();
    revoked.add(&Revocation {
        target: Target::Subject("user-2".into()),
        issuer: None,
        before: Some(NOW * 1000),
        expires: NOW * 1000 + 1,
    });
    let headers: HeaderMap = headers
        .iter()
        .map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap()))
        .collect();
    let certificate = ClientCertificate {
        uris: vec!["spiffe://e/ns/core/sa/job".into()],
        thumbprint: Some(Thumbprint::of(CERTIFICATE)),
        not_after: NOW,
        ..ClientCertificate::default()
    };
    let target = format!("{path}?page=1");
    let facts = RequestFacts {
        authority: Some("localhost:8080"),
        client_certificate: Some(&certificate),
        body: Body::Sized(2),
        now: NOW,
        ..RequestFacts::new(method, target.as_bytes(), &headers)
    };
    let revocations = Revocations::Known {
        list: &revoked,
        age: Some(std::time::Duration::ZERO),
    };
    let decide = || {
        let decision = decide(&evaluator, &facts, revocations, &mut ());
        assert!(decision.outcome.permit().is_some(), "{decision:?}");
    };
    decide();
    measure(decide).count_total
}

#[test]
fn a_decision_on_a_known_token_allocates_nothing() {
    decide_without_allocating(&token(None));
}

#[test]
fn a_decision_on_a_known_token_that_is_bound_to_the_certificate_allocates_nothing() {
    let digest = digest(&SHA256, CERTIFICATE);
    let bound = json!({ "x5t#S256": URL_SAFE_NO_PAD.encode(digest), "kc-jkt-type": "DPoP" });
    decide_without_allocating(&token(Some(bound)));
}

fn decide_without_allocating(token: &str) {
    let authorization = format!("Bearer {token}");
    let given = [
        ("authorization", authorization.as_str()),
        ("x-tenant-id", TENANT),
        ("content-type", "application/json; charset=utf-8"),
        ("idempotency-key", TENANT),
        ("user-agent", "a client"),
    ];
    for method in [Method::GET, Method::POST] {
        // Capital letters have the route looked up once more, in any case.
        for path in ["/wallet/v1/wallets/17", "/wallet/v1/wallets/01HXYZ"] {
            assert_eq!(allocations(&method, path, &given), 0, "{method} {path}");
        }
    }
}

#[test]
fn a_decision_without_a_token_allocates_nothing() {
    assert_eq!(allocations(&Method::GET, "/wallet/v1/health", &[]), 0);
    let key = [("x-internal-api-key", SECRET)];
    assert_eq!(allocations(&Method::GET, "/wallet/v1/jobs/nightly", &key), 0);
}

#[test]
fn decision_on_a_certificate_allocates_only_its_identity() {
    let count = allocations(&Method::GET, "/wallet/v1/mesh/x", &[]);
    assert!(count <= 5, "{count}");
}

#[test]
fn admission_of_a_known_token_allocates_nothing_besides_its_record() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let _entered = runtime.enter();
    let metrics = Metrics::new().unwrap();
    let snapshot = Arc::new(Snapshot::new(Arc::new(evaluator()), metrics.of_thread(0)));
    let clients = Arc::<ClientCounts>::default();
    let controller = AdmissionController {
        store: Store::memory(&metrics),
        keys: Arc::new(KeySources::start(snapshot.evaluator(), &metrics)),
        concurrency: ConcurrencyLimit::new(1),
        client_requests: ClientRequests::new(1, &clients, &metrics),
        trusted_proxies: Vec::new(),
        metrics,
        access_log: false,
    };
    let mut headers = HeaderMap::new();
    let authorization = format!("Bearer {}", token(None));
    headers.insert("authorization", authorization.parse().unwrap());
    headers.insert("x-tenant-id", TENANT.parse().unwrap());
    headers.insert("host", "localhost".parse().unwrap());
    let target = RequestTarget::new(Bytes::from_static(b"/wallet/v1/wallets/17?page=1"));
    let facts = RequestFacts {
        now: NOW,
        ..RequestFacts::new(&Method::GET, b"/wallet/v1/wallets/17?page=1", &headers)
    };
    let admit = || {
        let mut record = controller.begin(Arc::clone(&snapshot));
        record.describe(&facts, &target);
        let counted = measure(|| {
            let admission = controller.admit(&facts, &mut record).now_or_never().unwrap();
            assert!(matches!(admission, Admission::Forward(_)), "{admission:?}");
        });
        counted.count_total
    };
    admit();
    assert_eq!(admit(), 0);
    // Each connection has room for it.
    let mut record = controller.begin(Arc::clone(&snapshot));
    let admission = controller.admit(&facts, &mut record);
    assert!(size_of_val(&admission) <= 2048, "{} bytes", size_of_val(&admission));
}
