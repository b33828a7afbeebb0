//! Policies, keys and tokens.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use sidegate::decision::Evaluator;
use sidegate::document::environment::FixedEnvironment;
use sidegate::document::problem::SourceFile;
use sidegate::policy::{ErrorStyle, PolicySet};
use sidegate::request::RequestFacts;

/// The time of all requests, in seconds since the epoch.
pub(crate) const NOW: i64 = 1_800_000_000;

const SECRET: &str = "0123456789abcdef0123456789abcdef0123456789abcdef";
const KEY: &str = "an-internal-key-for-the-benchmark";
const TENANT: &str = "7f9c24e8-3b12-4fef-91e0-56a2d5a1c3b7";

const POLICY: &str = "version: 1
service: orders
prefix: /orders
upstream: { url: 'http://127.0.0.1:1' }
jwt:
  issuers:
    - { issuer: HS256, audience: [orders], algorithms: [HS256], keys: { secret: { env: SECRET } } }
    - { issuer: RS256, audience: [orders], algorithms: [RS256], keys: { pem: { file: RS256 } } }
    - { issuer: ES256, audience: [orders], algorithms: [ES256], keys: { pem: { file: ES256 } } }
tenant: { header: x-tenant-id, claims: [tenant] }
internal_key: { keys: [{ name: jobs, secret: { env: KEY } }] }
roles: { manager: [clerk] }
routes:
  - { path: /public/*, auth: public }
  - { path: /jobs/*, auth: internal_key }
  - { path: '/v1/{id}/items', methods: [GET], auth: jwt, roles: [clerk] }
  - { path: /*, auth: jwt }
";

/// A private key and its public half.
struct KeyPair {
    private: Vec<u8>,
    public: Vec<u8>,
}

impl KeyPair {
    fn new(algorithm: &str, option: &str) -> Self {
        let private = openssl(&["genpkey", "-algorithm", algorithm, "-pkeyopt", option], b"");
        let public = openssl(&["pkey", "-pubout"], &private);
        Self { private, public }
    }
}

/// What openssl makes of its input.
fn openssl(arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut command = Command::new("openssl");
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::null()).spawn().expect("there is an openssl");
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "openssl {arguments:?} failed");
    output.stdout
}

/// A service, and who can prove what its policy asks for.
pub(crate) struct Service {
    rs256: KeyPair,
    es256: KeyPair,
}

impl Service {
    pub(crate) fn new() -> Self {
        Self {
            rs256: KeyPair::new("RSA", "rsa_keygen_bits:2048"),
            es256: KeyPair::new("EC", "ec_paramgen_curve:P-256"),
        }
    }

    /// Reads the policy anew: nothing has been decided with it.
    pub(crate) fn evaluator(&self) -> Evaluator {
        let variables = [("SECRET", SECRET), ("KEY", KEY)];
        let given = FixedEnvironment {
            variables: variables
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .to_vec(),
            files: vec![
                ("RS256".into(), self.rs256.public.clone()),
                ("ES256".into(), self.es256.public.clone()),
            ],
        };
        Evaluator::new(Arc::new(parse(POLICY.into(), &given)))
    }

    /// The header of a request with a token, one of many.
    pub(crate) fn token(&self, algorithm: Algorithm, number: usize) -> HeaderMap {
        let key = match algorithm {
            Algorithm::HS256 => EncodingKey::from_secret(SECRET.as_bytes()),
            Algorithm::RS256 => EncodingKey::from_rsa_pem(&self.rs256.private).unwrap(),
            Algorithm::ES256 => EncodingKey::from_ec_pem(&self.es256.private).unwrap(),
            _ => unimplemented!("no issuer signs so"),
        };
        let claims = serde_json::json!({
            "iss": format!("{algorithm:?}"),
            "aud": "orders",
            "sub": "user-4711",
            "iat": NOW - 60,
            "exp": NOW + 3600,
            "jti": format!("00000000-0000-4000-8000-{number:012}"),
            "tenant": TENANT,
            "email": "user-4711@bench.example",
            "roles": ["manager", "approver"],
            "scope": "orders:read orders:write",
        });
        let token = encode(&Header::new(algorithm), &claims, &key).unwrap();
        let mut headers = plain();
        headers.insert(
            "authorization",
            HeaderValue::try_from(format!("Bearer {token}")).unwrap(),
        );
        headers.insert("x-tenant-id", HeaderValue::from_static(TENANT));
        headers
    }
}

/// What any client sends.
pub(crate) fn plain() -> HeaderMap {
    let fields = [
        ("host", "orders.bench.example"),
        ("user-agent", "bench/1.0"),
        ("accept", "application/json"),
        ("accept-encoding", "gzip"),
        ("x-request-id", "0f6b8f2e-6a0e-4c43-9d52-6d2f6a5b7c11"),
    ];
    let header = |(name, value)| (http::HeaderName::from_static(name), HeaderValue::from_static(value));
    fields.map(header).into_iter().collect()
}

/// The header of a job's request.
pub(crate) fn internal_key() -> HeaderMap {
    let mut headers = plain();
    headers.insert("x-internal-api-key", HeaderValue::from_static(KEY));
    headers
}

/// A policy of so many routes. The one that is asked for is `/v1/orders/{id}/items`.
pub(crate) fn many_routes(count: usize) -> PolicySet {
    let mut text = "version: 1\nservice: many\nupstream: { url: 'http://127.0.0.1:1' }\nroutes:\n".to_owned();
    text.push_str("  - { path: '/v1/orders/{id}/items', auth: public }\n");
    for at in 1..count {
        writeln!(text, "  - {{ path: '/v1/resource-{at}/{{id}}/items', auth: public }}").unwrap();
    }
    parse(text, &FixedEnvironment::default())
}

fn parse(text: String, given: &FixedEnvironment) -> PolicySet {
    let source = Arc::new(SourceFile::new("policy.yaml", text));
    PolicySet::parse(&[source], given, ErrorStyle::default()).expect("the policy is sound")
}

/// A GET with these headers.
pub(crate) fn request<'r>(path: &'r str, headers: &'r HeaderMap) -> RequestFacts<'r> {
    RequestFacts {
        now: NOW,
        ..RequestFacts::new(&Method::GET, path.as_bytes(), headers)
    }
}
