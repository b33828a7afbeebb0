//! Ways to take the identity of another caller that leave the header section alone, or come at a bad moment:
//! trailers, upgrades, shadow mode, a request that waits to be asked for its body, a service that fails.

use std::sync::Arc;

use serde_json::json;

use crate::harness::{
    Gateway, JOBS_KEY, Reply, Request, Setup, Shared, TENANT, Upstream, http2::Http2, issuer::token, setup::WALLET,
    upstream::Recorded,
};

const POLICY: &str = "
$wallet
prefix: /w
routes:
  - { path: /open/*, auth: public }
  - { path: /shadow/*, auth: jwt, mode: shadow }
  - { path: /*, auth: jwt }
";

fn gateway() -> Arc<Gateway> {
    static SHARED: Shared<Gateway> = Shared::new();
    SHARED.get(|| Setup::new().policy("wallet", POLICY).start())
}

fn spoofing(request: Request) -> Request {
    [
        "x-user-id",
        "X_User_Id",
        "x.user.id",
        "HTTP_X_USER_ID",
        "x-auth-method",
        "x-user-roles",
    ]
    .into_iter()
    .fold(request, |request, name| request.header(name, "spoofed"))
}

fn assert_not_spoofed(seen: &Recorded, user: &[&str]) {
    assert_eq!(seen.values("x-user-id"), user, "{:?}", seen.headers);
    assert!(!format!("{:?}", seen.headers).contains("spoofed"), "{:?}", seen.headers);
}

#[test]
fn trailers_never_become_headers() {
    let gateway = gateway();
    for trailer in [
        "x-user-id: spoofed",
        "X_User_Id: spoofed",
        "x-auth-method: spoofed",
        "authorization: Bearer spoofed",
        "x-remote-user: spoofed",
        "connection: x-auth-method",
        "content-type: spoofed",
    ] {
        let request = Request::new("POST", "/w/open/x")
            .header("transfer-encoding", "chunked")
            .header("trailer", "x-user-id")
            .body(format!("2\r\n{{}}\r\n0\r\n{trailer}\r\n\r\n"));
        // The service's reader takes trailers for an error.
        let seen = gateway.allowed(&request);
        assert_not_spoofed(&seen, &[]);
        assert_eq!((seen.values("trailer"), &seen.body[..]), (vec![], &b"{}"[..]));
    }
    gateway.upstream.assert_strict();
}

#[test]
fn a_shadowed_route_passes_nothing_off_as_verified() {
    let gateway = gateway();
    let forged = token(json!({ "exp": 1 }));
    for request in [
        spoofing(Request::get("/w/shadow/x")),
        spoofing(Request::get("/w/shadow/x")).bearer(&forged).tenant(),
    ] {
        let seen = gateway.allowed(&request);
        assert_not_spoofed(&seen, &[]);
        assert_eq!(seen.values("x-auth-method"), [""; 0]);
        assert_eq!(seen.values("x-tenant-id"), [""; 0]);
    }
}

#[test]
fn who_waits_to_be_asked_for_the_body_is_who_the_token_says() {
    let gateway = gateway();
    let request = spoofing(Request::new("POST", "/w/x"))
        .bearer(&token(json!({})))
        .tenant()
        .header("expect", "100-continue")
        .header("content-length", "2");
    let mut wire = gateway.connect();
    wire.write(request.bytes());
    wire.write("{}");
    let answer = wire.answer("POST").unwrap();
    let seen = gateway.reached(&request, &answer);
    assert_not_spoofed(&seen, &["user-7"]);
    assert_eq!(seen.body, b"{}");
}

#[test]
fn a_second_try_at_the_service_has_the_same_identity() {
    // The service closes every other connection after it has been used once.
    let upstream = Upstream::start(|request| match request.values("x-closes").is_empty() {
        true => Reply::ok("fine"),
        false => Reply::ok("bye").header("connection", "close"),
    });
    let gateway = Setup::in_front_of(upstream).policy("wallet", POLICY).start();
    for closes in [true, false, true, false] {
        let mut request = spoofing(Request::get("/w/x")).bearer(&token(json!({}))).tenant();
        if closes {
            request = request.header("x-closes", "1");
        }
        assert_not_spoofed(&gateway.allowed(&request), &["user-7"]);
    }
}

#[test]
fn a_refusal_says_nothing_of_what_was_claimed() {
    let gateway = gateway();
    let request = spoofing(Request::get("/w/x")).header("x-request-id", "spoofed\u{e9}\"<script>");
    let answer = gateway.refused(&request, 401, "credential_missing");
    assert!(!format!("{answer:?}").contains("spoofed"), "{answer:?}");
    let hostile = Request::get("/w/x\"%3Cscript%3E");
    let answer = gateway.send(&hostile);
    assert!(answer.status >= 400, "{answer:?}");
    answer.json();
}

#[test]
fn nothing_that_a_client_chooses_but_its_credentials_decides() {
    let gateway = gateway();
    for (name, value) in [
        ("user-agent", "kube-probe/1.30"),
        ("user-agent", "ELB-HealthChecker/2.0"),
        ("referer", "http://localhost/w/open/x"),
        ("origin", "http://localhost"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-uri", "/w/open/x"),
        ("x-original-url", "/w/open/x"),
        ("x-rewrite-url", "/w/open/x"),
        ("x-envoy-original-path", "/w/open/x"),
        ("x-middleware-subrequest", "middleware"),
        ("x-http-method-override", "OPTIONS"),
        ("cookie", "Authorization=Bearer x"),
        ("proxy-authorization", "Bearer x"),
        ("x-user-id", "user-7"),
    ] {
        gateway.refused(&Request::get("/w/x").header(name, value), 401, "credential_missing");
    }
}

/// Headers in which other products tell a service who is calling, or a server which file to send.
const OF_OTHER_PRODUCTS: [&str; 44] = [
    "x-auth-request-user",
    "x-auth-request-email",
    "x-auth-request-groups",
    "x-auth-request-access-token",
    "x-forwarded-user",
    "x-forwarded-email",
    "x-forwarded-groups",
    "x-forwarded-preferred-username",
    "x-forwarded-access-token",
    "x-goog-authenticated-user-email",
    "x-goog-authenticated-user-id",
    "x-goog-iap-jwt-assertion",
    "x-amzn-oidc-identity",
    "x-amzn-oidc-data",
    "x-amzn-oidc-accesstoken",
    "x-ms-client-principal",
    "x-ms-client-principal-id",
    "x-ms-client-principal-name",
    "x-ms-token-aad-access-token",
    "impersonate-user",
    "impersonate-group",
    "impersonate-uid",
    "impersonate-extra-scopes",
    "x-remote-user",
    "x-remote-group",
    "x-remote-extra-scopes",
    "x-consumer-id",
    "x-consumer-username",
    "x-credential-identifier",
    "x-anonymous-consumer",
    "x-userinfo",
    "x-webauth-user",
    "cf-access-jwt-assertion",
    "cf-access-authenticated-user-email",
    "tailscale-user-login",
    "remote-user",
    "remote-groups",
    "remote-email",
    "x-authentik-username",
    "x-accel-redirect",
    "x-accel-mapping",
    "x-sendfile-type",
    "x-envoy-internal",
    "x-envoy-original-path",
];

#[test]
fn identity_headers_of_other_products_reach_no_service() {
    let gateway = gateway();
    let with_token = |request: Request| request.bearer(&token(json!({}))).tenant();
    let http2 = Http2::plain(gateway.port);
    for spell in [
        |name: &str| name.to_owned(),
        |name: &str| name.to_uppercase(),
        |name: &str| name.replace('-', "_"),
        |name: &str| name.replacen('-', ".", 1),
    ] {
        let forging = |path: &str| {
            let names = OF_OTHER_PRODUCTS.into_iter();
            names.fold(Request::get(path), |request, name| {
                request.header(&spell(name), "spoofed")
            })
        };
        for (path, is_guarded) in [
            ("/w/open/x", false),
            ("/w/shadow/x", false),
            ("/w/shadow/x", true),
            ("/w/x", true),
        ] {
            let request = || match is_guarded {
                true => with_token(forging(path)),
                false => forging(path),
            };
            let seen = gateway.allowed(&request());
            assert!(!format!("{:?}", seen.headers).contains("spoofed"), "{:?}", seen.headers);
            // Over HTTP/2, names are in lower case.
            if spell("a") == "a" {
                let request = request();
                let seen = gateway.reached(&request, &http2.exchange(&request));
                assert!(!format!("{:?}", seen.headers).contains("spoofed"), "{:?}", seen.headers);
            }
        }
    }
}

#[test]
fn header_of_another_product_passes_only_where_the_policy_or_the_route_names_it() {
    let policy = POLICY
        .replace("routes:", "pass: [x-userinfo, remote-user]\nroutes:")
        .replace("auth: public }", "auth: public, pass: [X-WebAuth-User] }");
    let gateway = Setup::new().policy("wallet", &policy).start();
    let forging = |path: &str| {
        let names = OF_OTHER_PRODUCTS.into_iter().chain(["X_Userinfo", "x_webauth_user"]);
        names.fold(Request::get(path), |request, name| request.header(name, "given"))
    };
    let guarded = forging("/w/x").bearer(&token(json!({}))).tenant();
    for (request, names) in [
        (forging("/w/open/x"), &["x-webauth-user"][..]),
        (guarded, &["remote-user", "x-userinfo"]),
    ] {
        let seen = gateway.allowed(&request);
        let given = seen.headers.iter().filter(|(_, value)| value == "given");
        let mut given: Vec<_> = given.map(|(name, _)| name.as_str()).collect();
        given.sort_unstable();
        assert_eq!(given, names);
    }
}

#[test]
fn what_one_policy_owns_reaches_its_service_through_no_other_policy() {
    let other = |prefix: &str, url: &str, rest: &str| {
        format!("version: 1\nservice: {prefix}\nprefix: /{prefix}\nupstream: {{ url: '{url}' }}\n{rest}\n")
    };
    let public = "routes: [{ path: /*, auth: public }]";
    let shadow = "internal_key: { header: x-own-key, keys: [{ name: a, secret: { env: IT_JOBS_KEY } }] }\n\
                  routes: [{ path: /*, auth: internal_key, mode: shadow }]";
    let upstream = Upstream::recording();
    let other_service = Upstream::recording();
    let url = upstream.url.replace("127.0.0.1", "localhost");
    let wallet = WALLET.replace("$upstream", &url.replace("localhost", "LocalHost"));
    let wallet = wallet
        .replace("x-tenant-id", "x-org")
        .replace("x-internal-api-key", "x-job-key");
    let rest = "prefix: /a\nidentity: { x-account: sub, x-groups: roles }\nroutes: [{ path: /*, auth: jwt }]\n";
    let owner = format!("{wallet}{rest}");
    let gateway = Setup::in_front_of(upstream)
        .policy("owner", &owner)
        .policy("open", &other("open", &url, public))
        .policy("shadow", &other("shadow", &url, shadow))
        .policy("elsewhere", &other("elsewhere", &other_service.url, public))
        .start();
    let names = [
        "x-account",
        "X_Account",
        "x.groups",
        "x-org",
        "HTTP_X_ORG",
        "x-job-key",
        "x_job_key",
        "x-user-id",
    ];
    let forging = |path: &str| {
        names
            .iter()
            .fold(Request::get(path), |request, name| request.header(name, "spoofed"))
    };
    for path in ["/open/x", "/shadow/x"] {
        let seen = gateway.allowed(&forging(path));
        assert_not_spoofed(&seen, &[]);
    }
    let guarded = |request: Request| request.bearer(&token(json!({}))).header("x-org", TENANT);
    let seen = gateway.allowed(&guarded(
        Request::get("/a/x")
            .header("X_Account", "spoofed")
            .header("x-account", "spoofed"),
    ));
    assert_eq!(
        (seen.values("x-account"), seen.values("x-org")),
        (vec!["user-7"], vec![])
    );
    // Another service may mean something else by these names.
    let request = Request::get("/elsewhere/x")
        .header("x-account", "mine")
        .header("x-job-key", JOBS_KEY);
    assert_eq!(gateway.send(&request).status, 200);
    let seen = other_service.seen(&request.case);
    assert_eq!(seen[0].values("x-account"), ["mine"]);
}

#[test]
fn header_that_decides_cannot_end_with_this_hop() {
    let policy = POLICY
        .replace("$wallet", &WALLET.replace("x-internal-api-key", "x-job-key"))
        .replace("routes:", "identity: { x-account: sub }\nroutes:");
    let gateway = Setup::new().policy("wallet", &policy).start();
    for name in [
        "x-sandbox",
        "X_Sandbox",
        "idempotency-key",
        "if-match",
        "content-type",
        "x-tenant-id",
        "authorization",
        "cookie",
        "x-job-key",
        "X.Job.Key",
        "Host",
        "origin",
        "access-control-request-method",
        "x-forwarded-for",
        "forwarded",
        "content-length",
        "transfer-encoding",
        "traceparent",
        "x-request-id",
        "sec-websocket-key",
    ] {
        for path in ["/w/open/x", "/w/shadow/x", "/w/x"] {
            let request = || Request::get(path).bearer(&token(json!({}))).tenant();
            for request in [
                request().header("connection", name),
                request().header("connection", &format!("close, {name}")),
                request().header("connection", "keep-alive").header("Connection", name),
            ] {
                gateway.refused(&request, 400, "request_malformed");
            }
        }
    }
    let names = ["x-a"; 10].join(",");
    for value in [&*names, "\"x-sandbox\"", ":path", "a b"] {
        gateway.refused(
            &Request::get("/w/x").header("connection", value),
            400,
            "request_malformed",
        );
    }
    let seen = gateway.allowed(
        &Request::get("/w/open/x")
            .header("connection", "x-hop, TE")
            .header("x-hop", "1"),
    );
    assert_eq!(seen.values("x-hop"), [""; 0]);
    // A client's identity headers decide nothing: they end here in any case.
    let seen = gateway.allowed(
        &Request::get("/w/x")
            .bearer(&token(json!({})))
            .tenant()
            .header("connection", "x-account, X-User-Id")
            .header("x-account", "spoofed"),
    );
    assert_eq!(seen.values("x-account"), ["user-7"]);
}
