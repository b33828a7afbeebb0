//! A token that is accepted says, to an independent reader of JSON, what the service receives: who, for which
//! tenant, from whom and until when, and that it is bound to no key but that of the connection's certificate.
//! Nothing but the one true spelling of a token is taken.
//!
//! The first byte of an input says what the rest is: a value of `Authorization`, claims to be
//! signed, or a header to be signed, a newline and claims.

#![no_main]

use std::collections::HashSet;
use std::sync::{Arc, LazyLock};

use http::{HeaderMap, HeaderValue, Method};
use libfuzzer_sys::fuzz_target;
use sidegate::credential::{ClientCertificate, Thumbprint};
use sidegate::decision::{Evaluator, decide};
use sidegate::request::RequestFacts;
use sidegate::revocation::Revocations;
use sidegate_fuzz::json::{self, Value};
use sidegate_fuzz::oracle::permitted;
use sidegate_fuzz::setup::{self, HEADER, NOW, TENANT, TOKEN, sign, with_credentials};

static EVALUATOR: LazyLock<Evaluator> = LazyLock::new(|| {
    let policy = setup::POLICIES[0].replace("$upstream", "http://127.0.0.1:1");
    Evaluator::new(Arc::new(setup::parse(&[policy]).expect("the policy is sound")))
});

/// The client certificate of the connection, and its thumbprint as tokens have it.
static CERTIFICATE: LazyLock<ClientCertificate> = LazyLock::new(|| ClientCertificate {
    thumbprint: Some(Thumbprint::of(b"a certificate")),
    not_after: NOW,
    ..ClientCertificate::default()
});
const THUMBPRINT: &str = "gazXYhQPppKhQoItL75NxvVLyqUB9oqzflru0Lr-TZk";

type Identity = Vec<(String, Vec<u8>)>;

fuzz_target!(|input: &[u8]| {
    let Some((&kind, rest)) = input.split_first() else {
        return;
    };
    match kind % 3 {
        0 => check_value(&with_credentials(rest)),
        1 => check_signed(HEADER.as_bytes(), rest),
        _ => {
            let mut parts = rest.splitn(2, |&byte| byte == b'\n');
            check_signed(parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        }
    }
});

/// The identity that a value of `Authorization` leads to.
fn identity(authorization: &[u8]) -> Option<Identity> {
    let mut headers = HeaderMap::new();
    headers.insert("authorization", HeaderValue::from_bytes(authorization).ok()?);
    headers.insert("x-tenant-id", HeaderValue::from_static(TENANT));
    let facts = RequestFacts {
        client_certificate: Some(&CERTIFICATE),
        ..setup::request(&Method::GET, b"/wallet/v1/x", Some("h"), &headers)
    };
    permitted(&decide(&EVALUATOR, &facts, Revocations::Unasked, &mut ()))
}

/// No input forges a signature, so an accepted value is the token itself.
fn check_value(value: &[u8]) {
    if identity(value).is_some() {
        let text = std::str::from_utf8(value).expect("it is text");
        let (scheme, token) = text.split_once(' ').expect("it is two words");
        assert!(scheme.eq_ignore_ascii_case("bearer"), "{text:?}");
        assert_eq!(token.trim_start_matches(' ').trim_end(), *TOKEN);
    }
}

fn check_signed(header: &[u8], claims: &[u8]) {
    let token = sign(header, claims);
    let Some(identity) = identity(format!("Bearer {token}").as_bytes()) else {
        return;
    };
    let header = json::read(header).expect("the header is JSON");
    let claims = json::read(claims).expect("the claims are JSON");
    check_header(&header);
    check_lifetime(&claims);
    check_origin(&claims);
    check_binding(&claims);
    check_identity(&claims, &identity);
}

/// RFC 7800, 3.1 and RFC 8705, 3.1: no binding, or one to the certificate of the connection alone.
fn check_binding(claims: &Value) {
    let Some(confirmation) = claims.get("cnf") else {
        return;
    };
    assert!(matches!(confirmation, Value::Object(members) if !members.is_empty()));
    for name in ["jkt", "jwk", "jwe", "kid", "jku", "osc"] {
        assert_eq!(confirmation.get(name), None);
    }
    if let Some(thumbprint) = confirmation.get("x5t#S256") {
        assert_eq!(thumbprint.text(), Some(THUMBPRINT));
    }
}

/// RFC 7515, 4.1 and RFC 8725, 3: one algorithm, and nothing that brings a key or an extension.
fn check_header(header: &Value) {
    assert_eq!(header.get("alg").and_then(Value::text), Some("HS256"));
    for name in ["crit", "b64", "zip", "enc", "jwk", "jku", "x5u", "x5c", "cty"] {
        assert_eq!(header.get(name), None);
    }
}

/// RFC 7519, 4.1.4 to 4.1.6.
fn check_lifetime(claims: &Value) {
    let now = f64::from(i32::try_from(NOW).expect("before 2038"));
    let moment = |name: &str| claims.get(name).map(|value| value.number().expect("it is a number"));
    assert!(moment("exp").is_some_and(|expires| expires > now));
    assert!(moment("nbf").is_none_or(|from| from <= now));
    assert!(moment("iat").is_none_or(|issued| issued >= 0.0));
}

fn check_origin(claims: &Value) {
    assert_eq!(claims.get("iss").and_then(Value::text), Some("eventzr.com"));
    let audience = Value::Text("eventzr-api".into());
    match claims.get("aud") {
        Some(Value::List(audiences)) => assert!(audiences.contains(&audience)),
        other => assert_eq!(other, Some(&audience)),
    }
}

fn check_identity(claims: &Value, identity: &Identity) {
    for (at, (name, value)) in identity.iter().enumerate() {
        let visible = value.iter().all(|&byte| byte.is_ascii_graphic() || byte == b' ');
        assert!(visible && value.trim_ascii() == value, "{name}: {value:?}");
        assert!(
            identity.iter().skip(at + 1).all(|(other, _)| other != name),
            "{name} twice"
        );
    }
    let header = |name: &str| {
        let value = identity.iter().find(|(each, _)| each == name)?;
        std::str::from_utf8(&value.1).ok()
    };
    let claim = |name: &str| claims.get(name).and_then(Value::text);
    assert!(claim("sub").is_some_and(|subject| !subject.is_empty()));
    assert_eq!(header("x-user-id"), claim("sub"));
    assert_eq!(header("x-tenant-id"), Some(TENANT));
    for name in ["tenant", "tenantId"] {
        assert!(claim(name).is_some_and(|tenant| tenant.eq_ignore_ascii_case(TENANT)));
    }
    assert_eq!(header("x-user-roles").map(str::to_owned), joined(claims.get("roles")));
    assert_eq!(header("x-auth-method"), Some("jwt"));
    assert_eq!(header("x-client-id"), None);
}

/// A list of texts with commas between them; one text is a list of one. A value that could not be read back is absent as
/// a whole.
fn joined(roles: Option<&Value>) -> Option<String> {
    let mut texts = match roles? {
        Value::Text(text) if text.is_empty() => return None,
        Value::Text(text) => vec![text.as_str()],
        Value::List(items) => items.iter().map(Value::text).collect::<Option<Vec<_>>>()?,
        _ => return None,
    };
    let mut known = HashSet::new();
    texts.retain(|text| known.insert(*text));
    let item = |text: &&str| {
        let visible = text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
        visible && !text.is_empty() && !text.contains(',') && text.trim() == *text
    };
    (!texts.is_empty() && texts.iter().all(item)).then(|| texts.join(","))
}
