//! Policies to fuzz, and the credentials that open them. Inputs name a credential as `$TOKEN`,
//! `$KEY` or `$TENANT`: no fuzzer finds a signature by itself.

use std::sync::{Arc, LazyLock};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, Method};
use sidegate::document::environment::FixedEnvironment;
use sidegate::document::problem::SourceFile;
use sidegate::policy::{ErrorStyle, PolicySet};
use sidegate::request::{RequestFacts, RequestLimits};

/// The secret that tokens are signed with.
pub const SECRET: &str = "a-secret-of-at-least-32-bytes-for-fuzzing";

/// The internal key.
pub const KEY: &str = "an-internal-key-for-fuzzing";

/// The tenant of the token.
pub const TENANT: &str = "00000000-0000-4000-a000-00000000abcd";

/// The time where it is given, in seconds since the epoch.
pub const NOW: i64 = 1_800_000_000;

/// A header of a token.
pub const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

/// A token that is valid for centuries.
pub static TOKEN: LazyLock<String> = LazyLock::new(|| {
    let claims = format!(
        r#"{{"sub":"user-1","email":"a@example.com","tenant":"{TENANT}","tenantId":"{TENANT}",
            "roles":["organizer"],"scopes":["read"],"iss":"eventzr.com","aud":"eventzr-api","exp":9999999999}}"#
    );
    sign(HEADER.as_bytes(), claims.as_bytes())
});

/// The policies that requests are decided with: routes that lie close together, with all kinds of
/// authentication. `$upstream` is where they all go.
pub const POLICIES: [&str; 4] = [
    "version: 1
service: wallet
prefix: /wallet/v1
upstream: { url: $upstream }
jwt: { sources: [authorization, { header: x-goog-iap-jwt-assertion }, { cookie: __Host-session }, { query: access_token }, { websocket_protocol: bearer }], issuers: [{ issuer: eventzr.com, audience: [eventzr-api], algorithms: [HS256], keys: { secret: { env: SECRET } }, required_claims: [sub] }] }
tenant: { header: x-tenant-id, claims: [tenant, tenantId] }
internal_key: { header: x-internal-api-key, keys: [{ name: scheduler, secret: { env: KEY } }] }
routes:
  - { path: /open/*, auth: public }
  - { path: /open/admin/*, auth: jwt }
  - { path: '/open/{id}/keys', auth: internal_key }
  - { path: /jobs/*, auth: internal_key }
  - { path: /jobs/run, methods: [POST], auth: { any: [jwt, internal_key] } }
  - { path: /both, auth: { all: [jwt, internal_key] } }
  - { path: /shadow/*, auth: jwt, roles: [admin], mode: shadow }
  - { path: /json, methods: [POST], auth: jwt, content_types: [application/json] }
  - { path: /*, auth: jwt }
",
    "version: 1
service: lenient
prefix: /lenient
upstream: { url: $upstream }
paths: { case_insensitive: true, allow: [double_slash, semicolon, encoded_slash, encoded_percent, encoded_delimiter] }
internal_key: { header: x-internal-api-key, keys: [{ name: scheduler, secret: { env: KEY } }] }
credentials: strip
routes:
  - { path: /open, auth: public }
  - { path: /open/*, auth: internal_key }
  - { path: '/{any}', auth: internal_key }
  - { path: /a/*, auth: internal_key }
",
    "version: 1
service: hosted
hosts: [a.example, '*.b.example']
prefix: /wallet
upstream: { url: $upstream }
routes: [{ path: /v1/open/admin/*, auth: public }]
",
    "version: 1
service: rest
prefix: /
upstream: { url: $upstream }
routes:
  - { path: /, auth: public }
  - { path: /x/*, auth: public }
  - { path: /x/*, methods: [POST, PUT], auth: public }
  - { path: '/x/{id}/y', auth: public }
",
];

/// The policies with the address of their service.
pub fn policies(upstream: &str) -> Arc<PolicySet> {
    let texts = POLICIES.map(|text| text.replace("$upstream", upstream));
    Arc::new(parse(&texts).expect("the policies of this crate are sound"))
}

/// Reads policies, each a file of its own.
pub fn parse<T: AsRef<str>>(texts: &[T]) -> Result<PolicySet, Vec<sidegate::document::problem::Problem>> {
    let files: Vec<_> = texts.iter().map(|text| source(text.as_ref())).collect();
    PolicySet::parse(&files, &given(), ErrorStyle::default())
}

fn source(text: &str) -> Arc<SourceFile> {
    Arc::new(SourceFile::new("policy.yaml", text))
}

/// The variables and files that a policy may name.
pub fn given() -> FixedEnvironment {
    let secrets = [
        ("SECRET", SECRET),
        ("KEY", KEY),
        ("WALLET_JWT_SECRET", SECRET),
        ("WALLET_JOBS_KEY", KEY),
        ("EMPTY", ""),
        ("SHORT", "short"),
    ];
    FixedEnvironment {
        variables: secrets
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec(),
        files: vec![
            ("secret".into(), format!("{SECRET}\n").into_bytes()),
            ("keys.json".into(), br#"{"keys":[{"kty":"oct","k":"AAAA"}]}"#.to_vec()),
            ("empty".into(), Vec::new()),
        ],
    }
}

/// Signs a header and claims, whatever they are.
pub fn sign(header: &[u8], claims: &[u8]) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let signature = hmac::sign(&key, message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// Puts credentials in the place of their names.
pub fn with_credentials(input: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(input.len());
    let mut rest = input;
    while let Some((&byte, behind)) = rest.split_first() {
        let named = [("$TOKEN", TOKEN.as_str()), ("$KEY", KEY), ("$TENANT", TENANT)];
        if let Some((name, value)) = named.iter().find(|(name, _)| rest.starts_with(name.as_bytes())) {
            out.extend_from_slice(value.as_bytes());
            rest = rest.get(name.len()..).unwrap_or_default();
        } else {
            out.push(byte);
            rest = behind;
        }
    }
    out
}

/// A request without a body.
pub fn request<'r>(
    method: &'r Method,
    path: &'r [u8],
    host: Option<&'r str>,
    headers: &'r HeaderMap,
) -> RequestFacts<'r> {
    RequestFacts {
        path,
        query: b"",
        authority: host,
        limits: RequestLimits {
            // Sidegate adds fields to those of the client.
            headers: usize::MAX,
            header_bytes: usize::MAX,
            ..RequestLimits::default()
        },
        now: NOW,
        ..RequestFacts::new(method, b"", headers)
    }
}
