//! What unit tests share: policies from text, tokens by hand, requests as data.

use std::net::IpAddr;
use std::sync::Arc;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderName, Method};
use serde_json::{Value, json};

use crate::credential::ClientCertificate;
use crate::decision::{Decision, Evaluator, decide};
use crate::document::environment::FixedEnvironment;
use crate::document::problem::{Problem, SourceFile};
use crate::policy::{ErrorStyle, PolicySet};
use crate::rejection::Rejection;
use crate::request::{Body, Downstream, RequestFacts, RequestLimits};
use crate::revocation::Revocations;

pub(crate) const SECRET: &str = "a-secret-of-at-least-32-bytes-for-tests";
pub(crate) const JOBS_KEY: &str = "an-internal-key-for-tests";
pub(crate) const TENANT: &str = "00000000-0000-4000-a000-000000000001";
pub(crate) const OTHER_TENANT: &str = "11111111-1111-4111-a111-111111111111";
/// A secret that is not text.
pub(crate) const BINARY: &[u8] = b"\x00\xff\x10\x80 a binary secret of 32 bytes, which ends so\n";
/// The time of all tests.
pub(crate) const NOW: i64 = 1_800_000_000;

/// The variables that test policies name.
pub(crate) fn environment() -> FixedEnvironment {
    let variables = [
        ("SECRET", SECRET),
        ("JOBS_KEY", JOBS_KEY),
        ("EMPTY", ""),
        ("SHORT", "short"),
    ];
    FixedEnvironment {
        variables: variables
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec(),
        files: vec![
            ("empty".into(), Vec::new()),
            ("secret-file".into(), format!("{SECRET}\n").into_bytes()),
            // The same, and bytes of which the last one is that of a line end.
            (
                "secret.b64".into(),
                format!("{}\n", URL_SAFE.encode(SECRET)).into_bytes(),
            ),
            ("binary".into(), BINARY.to_vec()),
            (
                "public.pem".into(),
                b"-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n".to_vec(),
            ),
        ],
    }
}

/// The folder of public test vectors, named by a variable. Without it tests that need it are
/// reported as skipped; with it the vectors must exist.
#[expect(clippy::print_stdout, reason = "a skipped test says so")]
pub(crate) fn vectors_folder() -> Option<std::path::PathBuf> {
    let folder = std::env::var_os("SIDEGATE_VECTORS");
    if folder.is_none() {
        println!("skipped: SIDEGATE_VECTORS is not set");
    }
    folder.map(Into::into)
}

/// A file of public test vectors, as JSON.
pub(crate) fn vectors(file: &str) -> Option<Value> {
    let path = vectors_folder()?.join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Some(serde_json::from_str(&text).unwrap())
}

/// Reads policies, each a file of its own.
pub(crate) fn parse(policies: &[&str]) -> Result<PolicySet, Vec<Problem>> {
    let files: Vec<_> = policies
        .iter()
        .enumerate()
        .map(|(at, text)| Arc::new(SourceFile::new(format!("{at}.yaml"), *text)))
        .collect();
    PolicySet::parse(&files, &environment(), ErrorStyle::default())
}

/// Prepares policies to decide requests.
pub(crate) fn evaluator(policies: &[&str]) -> Evaluator {
    Evaluator::new(Arc::new(parse(policies).unwrap()))
}

/// Claims that the test policy takes.
pub(crate) fn claims() -> Value {
    json!({
        "sub": "user-1", "email": "a@example.com", "tenant": TENANT, "tenantId": TENANT,
        "roles": ["organizer"], "scopes": ["read", "write"],
        "iss": "eventzr.com", "aud": "eventzr-api", "iat": NOW, "exp": NOW + 60,
    })
}

/// Claims with some changed; `null` takes one away.
pub(crate) fn claims_with(changes: &Value) -> Value {
    let mut claims = claims();
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    claims
}

/// Signs any text as claims with the secret.
pub(crate) fn sign_text(payload: &str) -> String {
    sign_with(SECRET.as_bytes(), payload)
}

/// Signs any text as claims with a secret.
pub(crate) fn sign_with(secret: &[u8], payload: &str) -> String {
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#);
    let message = format!("{header}.{}", URL_SAFE_NO_PAD.encode(payload));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let signature = URL_SAFE_NO_PAD.encode(hmac::sign(&key, message.as_bytes()));
    format!("{message}.{signature}")
}

/// Signs claims with the secret.
pub(crate) fn token(claims: &Value) -> String {
    sign_text(&claims.to_string())
}

/// A request as data.
#[derive(Debug, Clone)]
pub(crate) struct TestRequest {
    method: Method,
    path: String,
    host: String,
    pub(crate) headers: HeaderMap,
    certificate: Option<ClientCertificate>,
    body: Body,
    downstream: Downstream,
}

/// `GET /path`, without any credential.
pub(crate) fn request(line: &str) -> TestRequest {
    let (method, path) = line.split_once(' ').unwrap();
    TestRequest {
        method: method.parse().unwrap(),
        path: path.to_owned(),
        host: "localhost".into(),
        headers: HeaderMap::new(),
        certificate: None,
        body: Body::None,
        downstream: Downstream::default(),
    }
}

impl TestRequest {
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers
            .append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        self
    }

    pub(crate) fn host(mut self, host: &str) -> Self {
        self.host = host.to_owned();
        self
    }

    /// Over a connection from an address.
    pub(crate) fn from(mut self, peer: &str) -> Self {
        self.downstream.peer = Some(peer.parse::<IpAddr>().unwrap());
        self
    }

    /// Over a connection of a kind.
    pub(crate) fn over(mut self, downstream: Downstream) -> Self {
        self.downstream = downstream;
        self
    }

    pub(crate) fn bearer(self, claims: &Value) -> Self {
        self.header("authorization", &format!("Bearer {}", token(claims)))
    }

    pub(crate) fn tenant(self, tenant: &str) -> Self {
        self.header("x-tenant-id", tenant)
    }

    pub(crate) fn key(self, key: &str) -> Self {
        self.header("x-internal-api-key", key)
    }

    pub(crate) fn certificate(self, uri: &str, not_after: i64) -> Self {
        self.presenting(ClientCertificate {
            uris: vec![uri.to_owned()],
            not_after,
            ..ClientCertificate::default()
        })
    }

    pub(crate) fn presenting(mut self, certificate: ClientCertificate) -> Self {
        self.certificate = Some(certificate);
        self
    }

    pub(crate) fn body(mut self, kind: &str, body: Body) -> Self {
        self.body = body;
        if kind.is_empty() {
            self
        } else {
            self.header("content-type", kind)
        }
    }

    pub(crate) fn facts(&self) -> RequestFacts<'_> {
        RequestFacts {
            authority: Some(&self.host),
            client_certificate: self.certificate.as_ref(),
            downstream: self.downstream,
            body: self.body,
            limits: RequestLimits {
                body_bytes: 1000,
                ..RequestLimits::default()
            },
            now: NOW,
            ..RequestFacts::new(&self.method, self.path.as_bytes(), &self.headers)
        }
    }

    /// Decides twice: a token that is known is as good as it was, and no better.
    pub(crate) fn decide(&self, policies: &PolicySet) -> Decision<'static, '_> {
        let evaluator = Box::leak(Box::new(Evaluator::new(Arc::new(policies.clone()))));
        let decide = || decide(evaluator, &self.facts(), Revocations::Unasked, &mut ());
        let (first, again) = (decide(), decide());
        let told = |decision: &Decision<'_, '_>| {
            let reason = decision.outcome.rejection().map(Rejection::reason);
            (decision.outcome.permit().cloned(), reason, decision.principal.clone())
        };
        assert_eq!(told(&first), told(&again), "the second time");
        first
    }

    /// `allow`, `preflight`, or the reason code; `shadow:` before it where it is not enforced.
    pub(crate) fn outcome(&self, policies: &PolicySet) -> String {
        let decision = self.decide(policies);
        match (decision.outcome.rejection(), decision.outcome.permit()) {
            (None, _) => decision.outcome.label().into(),
            (Some(rejection), None) => rejection.reason().code().into(),
            (Some(rejection), Some(_)) => format!("shadow:{}", rejection.reason().code()),
        }
    }

    /// The identity headers that the service would get, as `name: value`.
    pub(crate) fn identity(&self, policies: &PolicySet) -> Vec<String> {
        let decision = self.decide(policies);
        let permit = decision.outcome.permit().expect("the request is forwarded");
        let line = |(name, value): &(HeaderName, http::HeaderValue)| format!("{name}: {}", value.to_str().unwrap());
        permit.identity().iter().map(line).collect()
    }
}
