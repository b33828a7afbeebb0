//! Random requests of random callers. They know the names of the policies, and nothing of the classes of callers.

use std::time::Duration;

use http::header::{ACCESS_CONTROL_REQUEST_METHOD, AUTHORIZATION, COOKIE, ORIGIN};
use http::{HeaderName, HeaderValue, Method};

use super::super::parts::{Known, OWN_ORIGIN, Parts, Sent};
use super::super::rules::{TENANT, THUMBPRINT};
use super::dice::Dice;
use crate::credential::{ClientCertificate, Thumbprint};
use crate::rehearsal::TokenPlace;
use crate::request::{Body, IDEMPOTENCY_KEY};

mod tokens;

pub(super) use tokens::Pool;
use tokens::{tenant, times, token};

const PATHS: [&str; 18] = [
    "/api",
    "/api/",
    "/api/health",
    "/api/health/",
    "/api/jobs",
    "/api/jobs/j",
    "/api/admin",
    "/api/admin/x",
    "/api/admin/users/u1",
    "/api/docs",
    "/api/docs/d1",
    "/api/docs/public",
    "/api/docs/d1/x",
    "/api/other",
    "/api/Health",
    "/api/v2/docs/d1",
    "/other",
    "/api/v2/health",
];
const HOSTS: [&str; 3] = ["localhost", "api.example.com", "example.com"];

/// Makes a request without a caller.
pub(super) fn request(dice: &mut Dice) -> Parts {
    let methods = [
        "GET", "GET", "HEAD", "POST", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND",
    ];
    let method: Method = dice.pick(&methods).parse().unwrap();
    let host = if dice.one_in(5) { dice.pick(&HOSTS) } else { "localhost" };
    Parts::new(method, host, dice.pick(&PATHS), 1_800_000_000)
}

/// Adds a caller.
pub(super) fn add_caller(parts: &mut Parts, pool: &Pool, dice: &mut Dice) {
    if !dice.one_in(4) {
        parts.token = Some(token(pool, dice));
        parts.times = times(dice);
    }
    if dice.one_in(4) {
        places(parts, dice);
    }
    for name in ["x-internal-api-key", "x-key"] {
        if dice.one_in(3) {
            let key = match dice.one_in(6) {
                true => Sent::Value(HeaderValue::from_static("another-key-that-no-policy-has")),
                false => Sent::Key(dice.pick(&pool.keys)),
            };
            put(parts, name, vec![key]);
        }
    }
    if dice.one_in(3) {
        parts.certificate = Some(certificate(dice));
    }
    headers(parts, dice);
    body(parts, dice);
    let addresses = [
        "10.0.0.1",
        "10.1.2.3",
        "11.0.0.1",
        "192.0.2.9",
        "fd00::1",
        "2001:db8::1",
    ];
    parts.client = (!dice.one_in(4)).then(|| dice.pick(&addresses).parse().unwrap());
    if dice.one_in(6) {
        parts.now = dice.pick(&[1_801_440_000, 1_801_439_999, 1_803_859_200, 1_900_000_000]);
    }
    if dice.one_in(6) {
        parts.known = dice.pick(&[
            Known::Jti,
            Known::Subject,
            Known::Tenant,
            Known::Stale(Duration::from_secs(31)),
            Known::Stale(Duration::from_secs(45)),
            Known::Stale(Duration::from_mins(10)),
            Known::Never,
        ]);
    }
}

fn places(parts: &mut Parts, dice: &mut Dice) {
    let all = [
        TokenPlace::Authorization,
        TokenPlace::Header(HeaderName::from_static("x-token")),
        TokenPlace::Cookie("sid".into()),
        TokenPlace::Query("access_token".into()),
    ];
    parts.places = vec![dice.pick(&all)];
    if dice.one_in(5) {
        let also = dice.pick(&all);
        if parts.places.first() != Some(&also) {
            parts.places.push(also);
        }
    }
    if parts.method == Method::GET && dice.one_in(4) {
        parts.places = vec![TokenPlace::WebSocketProtocol("bearer".into())];
    }
    if dice.one_in(8) && !parts.places.contains(&TokenPlace::Authorization) {
        let values = ["Basic eDp5", "Bearer x", "Bearer"];
        put(parts, AUTHORIZATION.as_str(), vec![text(dice.pick(&values))]);
    }
    if parts.token.is_none() {
        match dice.below(5) {
            0 => put(parts, "x-token", vec![text("x")]),
            1 => put(parts, COOKIE.as_str(), vec![text("sid=x")]),
            2 => parts.query = "access_token=x".to_owned(),
            3 => put(
                parts,
                AUTHORIZATION.as_str(),
                vec![text(dice.pick(&["Basic eDp5", "Bearer x"]))],
            ),
            _ => {}
        }
    }
    if parts.method == Method::GET && dice.one_in(8) {
        parts.handshake = true;
    }
}

fn certificate(dice: &mut Dice) -> ClientCertificate {
    let uris = [
        "spiffe://td/ns/core/sa/job",
        "spiffe://td/ns/other/sa/job",
        "spiffe://td/ns/core/sa/other",
        "spiffe://td/x/core/sa/job",
        "spiffe://elsewhere/a",
        "spiffe://td/ns/x/sa/job",
    ];
    let mut certificate = ClientCertificate {
        uris: vec![dice.pick(&uris).to_owned()],
        thumbprint: Thumbprint::parse(THUMBPRINT),
        not_after: if dice.one_in(8) { 0 } else { i64::MAX },
        ..ClientCertificate::default()
    };
    if dice.one_in(6) {
        certificate.uris.push(dice.pick(&uris).to_owned());
    }
    if dice.one_in(4) {
        certificate
            .dns
            .push(dice.pick(&["jobs.internal", "other.internal"]).to_owned());
    }
    if dice.one_in(4) {
        certificate
            .common_names
            .push(dice.pick(&["scheduler", "other"]).to_owned());
    }
    if dice.one_in(4) {
        certificate.uris.clear();
    }
    certificate
}

fn headers(parts: &mut Parts, dice: &mut Dice) {
    for name in ["x-tenant-id", "x-org"] {
        if !dice.one_in(4) {
            let tenant = tenant(dice);
            put(parts, name, vec![text(tenant)]);
        }
    }
    if !dice.one_in(3) {
        let regions = ["eu", "eu", "us", "jp", "xx"];
        let mut values = vec![text(dice.pick(&regions))];
        if dice.one_in(8) {
            values.push(text(dice.pick(&regions)));
        }
        put(parts, "x-region", values);
    }
    if dice.one_in(2) {
        put(parts, "x-account", vec![text(dice.pick(&["v", "v", "w", "1", "d1"]))]);
    }
    for name in [
        "x-user-id",
        "x_user_id",
        "x-dept",
        "x_org",
        "remote-user",
        "x-roles",
        "x-own",
        "x_tenant_id",
        "x_key",
    ] {
        if dice.one_in(10) {
            put(parts, name, vec![text("boss")]);
        }
    }
    if dice.one_in(3) {
        put(
            parts,
            IDEMPOTENCY_KEY.as_str(),
            vec![text(dice.pick(&[TENANT, TENANT, "bad"]))],
        );
    }
    if dice.one_in(3) {
        let origins = [
            "https://app.example",
            "https://a.example.com",
            "https://evil.example",
            "null",
            "{own}",
        ];
        let origin = HeaderValue::from_static(dice.pick(&origins));
        assert!(origin == OWN_ORIGIN || origin != "{own}");
        put(parts, ORIGIN.as_str(), vec![Sent::Value(origin)]);
    }
    if dice.one_in(3) {
        let sites = ["same-origin", "none", "same-site", "cross-site", "odd"];
        put(parts, "sec-fetch-site", vec![text(dice.pick(&sites))]);
    }
    if parts.method == Method::OPTIONS && dice.one_in(2) {
        let methods = ["GET", "HEAD", "POST", "PUT", "DELETE", "TRACE", "OPTIONS", "PROPFIND"];
        put(
            parts,
            ACCESS_CONTROL_REQUEST_METHOD.as_str(),
            vec![text(dice.pick(&methods))],
        );
    }
}

fn body(parts: &mut Parts, dice: &mut Dice) {
    let types = [
        "application/json",
        "text/plain",
        "application/xml",
        "application/grpc",
        "Application/JSON; charset=utf-8",
    ];
    if dice.one_in(2) {
        let typ = (!dice.one_in(5)).then(|| HeaderValue::from_static(dice.pick(&types)));
        let length = dice.pick(&[1, 100, 101, 1000, 1001, 2000, 2001]);
        parts.body = (Body::Sized(length), typ.into_iter().collect());
    } else if dice.one_in(6) {
        parts.body = (Body::None, vec![HeaderValue::from_static(dice.pick(&types))]);
    }
}

fn text(text: &str) -> Sent {
    Sent::Value(HeaderValue::from_str(text).unwrap())
}

fn put(parts: &mut Parts, name: &str, values: Vec<Sent>) {
    let name: HeaderName = name.parse().unwrap();
    parts.headers.retain(|(known, _)| *known != name);
    parts.headers.push((name, values));
}
