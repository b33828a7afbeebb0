use super::*;
use crate::decision::Outcome;
use crate::policy::PolicySet;
use crate::testing::{JOBS_KEY, TENANT, TestRequest, claims, parse, request};

const POLICY: &str = "
version: 1
service: s
upstream: { url: http://127.0.0.1:1 }
jwt: { issuers: [{ issuer: eventzr.com, audience: [eventzr-api], algorithms: [HS256], keys: { secret: { env: SECRET } } }] }
tenant: { claims: [tenant, tenantId] }
internal_key: { keys: [{ name: jobs, secret: { env: JOBS_KEY } }] }
routes:
  - { path: /open, auth: public }
  - { path: /login, auth: public, pass: [x-tenant-id] }
  - { path: /job, auth: internal_key }
  - { path: /*, auth: jwt }
";

const PEER: Downstream = Downstream {
    peer: Some(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1))),
    tls: false,
    trusted: false,
    is_unnamed: false,
};

/// Returns the header that the upstream would receive, as `name: value`, sorted.
fn forwarded(policies: &PolicySet, request: &TestRequest, downstream: Downstream) -> Vec<String> {
    let decision = request.decide(policies);
    let Outcome::Allow(permit) = &decision.outcome else {
        panic!("{:?}", decision.outcome);
    };
    let (policy, route) = policies.route(decision.matched.scope().route.unwrap()).unwrap();
    let ids = RequestIds::of(&request.headers, downstream.trusted);
    let edits = header_edits(&request.headers, policy, route, permit, downstream, &ids);
    let mut headers = request.headers.clone();
    for name in &edits.remove {
        headers.remove(name);
    }
    for (name, value) in edits.set {
        headers.insert(name, value);
    }
    let ours = ["x-request-id", "traceparent", "authorization"];
    let all = headers.iter().filter(|(name, _)| !ours.contains(&name.as_str()));
    let mut lines: Vec<_> = all
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    lines.sort();
    lines
}

fn open() -> TestRequest {
    request("GET /open")
}

#[test]
fn identity_that_a_client_claims_is_removed_in_every_spelling() {
    let policies = parse(&[POLICY]).unwrap();
    let mut spoofed = open();
    for name in [
        "X-User-Id",
        "x_user_id",
        "x.user.id",
        "X-User_Id",
        "http-x-user-id",
        "HTTP_X_USER_ID",
        "x-user-email",
        "x-user-roles",
        "x-user-scopes",
        "x-tenant-id",
        "x_tenant_id",
        "x-plan-tier",
        "x-auth-method",
        "x-client-id",
        "x-internal-api-key",
        "X_Internal_Api_Key",
        "x-forwarded-client-cert",
        "client-cert",
        "x-ssl-client-verify",
        "X_SSL_CLIENT_S_DN",
        "content_length",
        "transfer.encoding",
        "http_authorization",
        "x-original-url",
        "x-http-method-override",
        "x_sandbox",
        "x_forwarded_for",
        "forwarded",
        "x-real-ip",
        "x-forwarded-prefix",
    ] {
        spoofed = spoofed.header(name, "spoofed");
    }
    assert_eq!(
        forwarded(&policies, &spoofed.header("x-kept", "1"), PEER),
        [
            "x-auth-method: public",
            "x-forwarded-for: 192.0.2.1",
            "x-forwarded-proto: http",
            "x-kept: 1"
        ]
    );
}

#[test]
fn proven_identity_is_set_once() {
    let policies = parse(&[POLICY]).unwrap();
    let call = request("GET /x")
        .bearer(&claims())
        .tenant(TENANT)
        .header("x-user-id", "root")
        .header("x-user-id", "root");
    let lines = forwarded(&policies, &call, PEER);
    let ids: Vec<_> = lines.iter().filter(|line| line.starts_with("x-user-id")).collect();
    assert_eq!(ids, ["x-user-id: user-1"]);
    assert!(lines.contains(&format!("x-tenant-id: {TENANT}")));
}

#[test]
fn tenant_header_passes_on_a_route_that_allows_it() {
    let policies = parse(&[POLICY]).unwrap();
    let login = request("GET /login").tenant(TENANT).header("x_tenant_id", "other");
    let lines = forwarded(&policies, &login, PEER);
    let tenants: Vec<_> = lines.iter().filter(|line| line.contains("tenant")).collect();
    assert_eq!(tenants, [&format!("x-tenant-id: {TENANT}")]);
}

#[test]
fn unverified_key_is_removed() {
    let keyless =
        "version: 1\nservice: s\nupstream: { url: http://127.0.0.1:1 }\nroutes: [{ path: /*, auth: public }]\n";
    let forwarding = POLICY.replace("routes:", "credentials: forward\nroutes:");
    for (text, line) in [(keyless, "GET /x"), (&forwarding, "GET /open")] {
        let policies = parse(&[text]).unwrap();
        let lines = forwarded(&policies, &request(line).key(JOBS_KEY), PEER);
        assert!(!lines.iter().any(|line| line.contains(JOBS_KEY)), "{lines:?}");
    }
}

#[test]
fn headers_of_other_proxies_are_removed() {
    let policies = parse(&[POLICY]).unwrap();
    let names = [
        "remote-user",
        "x-remote-user",
        "ssl-client-subject-dn",
        "x-client-cert-dn",
        "x-amzn-mtls-clientcert-leaf",
        "x-tls-client-cert",
        "x-arr-clientcert",
        "x-envoy-original-path",
        "x-original-host",
        "x-original-method",
        "x-host",
        "x-forwarded",
        "proxy",
        "x-middleware-subrequest",
        "X+User+Id",
        "x!user!id",
    ];
    let call = names.iter().fold(open(), |call, name| call.header(name, "spoofed"));
    let trusted = Downstream { trusted: true, ..PEER };
    for downstream in [PEER, trusted] {
        let lines = forwarded(&policies, &call, downstream);
        assert!(!lines.iter().any(|line| line.contains("spoofed")), "{lines:?}");
    }
    // Not even a trusted proxy may set the caller, or send a forwarding header twice.
    let call = open()
        .header("x-forwarded-user", "spoofed")
        .header("x-forwarded-proto", "spoofed")
        .header("x-forwarded-host", "spoofed")
        .header("x-forwarded-host", "spoofed-too")
        .header("host", "localhost");
    let lines = forwarded(&policies, &call, trusted);
    assert!(!lines.iter().any(|line| line.contains("spoofed")), "{lines:?}");
}

#[test]
fn header_of_another_product_passes_where_it_is_listed_and_in_that_spelling() {
    let text = POLICY.replace("routes:", "pass: [x-userinfo, x-webauth-user]\nroutes:");
    let text = text.replace(
        "path: /login, auth: public, pass: [x-tenant-id]",
        "path: /login, auth: public, pass: [remote-user]",
    );
    let policies = parse(&[&text]).unwrap();
    let names = [
        "x-userinfo",
        "x_userinfo",
        "http-x-userinfo",
        "x-webauth-user",
        "x-webauth-email",
        "remote-user",
        "x-consumer-id",
        "x-original-url",
    ];
    for (line, want) in [
        ("GET /open", &["x-userinfo: spoofed", "x-webauth-user: spoofed"][..]),
        ("GET /login", &["remote-user: spoofed"]),
    ] {
        let call = names
            .iter()
            .fold(request(line), |call, name| call.header(name, "spoofed"));
        for downstream in [PEER, Downstream { trusted: true, ..PEER }] {
            let lines = forwarded(&policies, &call, downstream);
            let spoofed: Vec<_> = lines.iter().filter(|line| line.contains("spoofed")).collect();
            assert_eq!(spoofed, want, "{line}");
        }
    }
}

#[test]
fn key_header_in_another_spelling_is_removed_too() {
    let text = POLICY.replace("internal_key: {", "internal_key: { header: x_job.key,");
    let policies = parse(&[&text]).unwrap();
    let names = ["x_job.key", "x-job-key", "X_Job_Key"];
    let call = names.iter().fold(open(), |call, name| call.header(name, JOBS_KEY));
    let lines = forwarded(&policies, &call, PEER);
    assert!(!lines.iter().any(|line| line.contains(JOBS_KEY)), "{lines:?}");
}

#[test]
fn renamed_tenant_header_is_set() {
    let policies = parse(&[&POLICY
        .replace("x-tenant-id", "x-org-id")
        .replace("tenant: {", "tenant: { header: x-org-id,")])
    .unwrap();
    let call = request("GET /x").bearer(&claims()).header("x-org-id", TENANT);
    let lines = forwarded(&policies, &call, PEER);
    for name in ["x-org-id", "x-tenant-id"] {
        assert!(lines.contains(&format!("{name}: {TENANT}")), "{lines:?}");
    }
}

#[test]
fn credentials_pass_if_the_policy_forwards_them() {
    for (mode, token, key) in [("", true, false), ("forward", true, true), ("strip", false, false)] {
        let credentials = if mode.is_empty() {
            String::new()
        } else {
            format!("credentials: {mode}\n")
        };
        let policies = parse(&[&POLICY.replace("routes:", &format!("{credentials}routes:"))]).unwrap();
        let call = request("GET /x").bearer(&claims()).tenant(TENANT);
        let decision = call.decide(&policies);
        let (policy, route) = policies.route(decision.matched.scope().route.unwrap()).unwrap();
        let permit = decision.outcome.permit().unwrap();
        let removed = |name: HeaderName| is_removed(&name, policy, route, permit, PEER);
        assert_eq!(!removed(AUTHORIZATION), token, "{mode}");
        let job = request("GET /job").key(JOBS_KEY);
        let lines = forwarded(&policies, &job, PEER);
        assert_eq!(lines.iter().any(|line| line.contains(JOBS_KEY)), key, "{mode}");
    }
}

#[test]
fn forwarding_headers_are_accepted_from_trusted_proxies_only() {
    let policies = parse(&[POLICY]).unwrap();
    let call = open()
        .header("x-forwarded-for", "203.0.113.7")
        .header("x-forwarded-proto", "https")
        .header("x-forwarded-host", "api.example.com")
        .header("x_forwarded_for", "6.6.6.6")
        .header("host", "localhost");
    let downstream = |trusted| Downstream { trusted, ..PEER };
    for (downstream, want) in [
        (
            downstream(false),
            [
                "x-forwarded-for: 192.0.2.1",
                "x-forwarded-host: localhost",
                "x-forwarded-proto: http",
            ],
        ),
        (
            downstream(true),
            [
                "x-forwarded-for: 203.0.113.7, 192.0.2.1",
                "x-forwarded-host: api.example.com",
                "x-forwarded-proto: https",
            ],
        ),
    ] {
        let lines = forwarded(&policies, &call, downstream);
        let lines: Vec<_> = lines.iter().filter(|line| line.contains("forwarded")).collect();
        assert_eq!(lines, want);
    }
}

#[test]
fn only_true_is_a_sandbox() {
    let policies = parse(&[POLICY]).unwrap();
    for (values, kept) in [
        (&["true"][..], true),
        (&["1"], false),
        (&["TRUE"], false),
        (&["true", "false"], false),
        (&["true", "true"], false),
    ] {
        let call = values
            .iter()
            .fold(open(), |call, value| call.header("x-sandbox", value));
        let lines = forwarded(&policies, &call, PEER);
        assert_eq!(lines.contains(&"x-sandbox: true".to_owned()), kept, "{values:?}");
    }
}

#[test]
fn new_trace_has_no_state() {
    let policies = parse(&[POLICY]).unwrap();
    let begun = open().header("traceparent", "x").header("tracestate", "a=b");
    assert!(!forwarded(&policies, &begun, PEER).contains(&"tracestate: a=b".to_owned()));
    let kept = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let kept = open().header("traceparent", kept).header("tracestate", "a=b");
    assert!(forwarded(&policies, &kept, PEER).contains(&"tracestate: a=b".to_owned()));
}

#[test]
fn address_is_formatted_as_by_the_standard_library() {
    let all = (0..=255).flat_map(|n| [[n, 0, 1, 255], [10, 99, 100, n]]);
    for address in all.map(IpAddr::from).chain(["2001:db8::1".parse().unwrap()]) {
        for before in ["", "::1"] {
            let mut list = before.to_owned();
            push_address(&mut list, address);
            let mut want = before.to_owned();
            push(&mut want, &address);
            assert_eq!(list, want);
        }
    }
}

#[test]
fn compared_header_reaches_the_service_where_it_was_compared_or_passes() {
    let policy = POLICY.replace(
        "  - { path: /*, auth: jwt }",
        "  - { path: /eu, auth: public, when: [{ header: x-region, equals: eu }] }\n  \
         - { path: /pass, auth: public, pass: [x-region] }\n  - { path: /*, auth: jwt }",
    );
    let policies = parse(&[&policy]).unwrap();
    let of_region = |path: &str| {
        let request = request(&format!("GET {path}"))
            .header("x-region", "eu")
            .header("X_Region", "us")
            .header("x.region", "us")
            .header("HTTP_X_REGION", "us");
        let lines = forwarded(&policies, &request, PEER);
        let of_region = lines.into_iter().filter(|line| line.contains("region"));
        of_region.collect::<Vec<_>>()
    };
    assert_eq!(of_region("/eu"), ["x-region: eu"]);
    assert_eq!(of_region("/pass"), ["x-region: eu"]);
    assert_eq!(of_region("/open"), [""; 0]);
}

#[test]
fn standard_header_that_a_route_compares_reaches_the_service_on_the_others_and_in_shadow_mode() {
    let policy = POLICY.replace(
        "  - { path: /*, auth: jwt }",
        "  - { path: /eu, auth: public, mode: shadow, when: [{ header: origin, equals: a }, { header: if-match, equals: a }] }\n  - { path: /*, auth: jwt }",
    );
    let policies = parse(&[&policy]).unwrap();
    for path in ["/open", "/eu"] {
        let request = request(&format!("GET {path}"))
            .header("origin", "b")
            .header("http_origin", "a")
            .header("if-match", "b")
            .header("if_match", "a");
        let decision = request.decide(&policies);
        let (policy, route) = policies.route(decision.matched.scope().route.unwrap()).unwrap();
        let ids = RequestIds::of(&request.headers, false);
        let permit = decision.outcome.permit().unwrap();
        let edits = header_edits(&request.headers, policy, route, permit, PEER, &ids);
        let mut removed: Vec<_> = edits.remove.iter().map(HeaderName::as_str).collect();
        removed.retain(|name| *name != "tracestate");
        removed.sort_unstable();
        assert_eq!(removed, ["http_origin", "if_match"], "{path}");
    }
}

#[test]
fn compared_header_is_removed_in_shadow_mode_where_its_condition_fails() {
    let policy = POLICY.replace(
        "  - { path: /*, auth: jwt }",
        "  - { path: /eu, auth: public, mode: shadow, when: [{ header: x-region, equals: eu }] }",
    );
    let policies = parse(&[&policy]).unwrap();
    for (region, reaches) in [("eu", true), ("us", false)] {
        let request = request("GET /eu").header("x-region", region);
        let decision = request.decide(&policies);
        let (policy, route) = policies.route(decision.matched.scope().route.unwrap()).unwrap();
        let ids = RequestIds::of(&request.headers, false);
        let permit = decision.outcome.permit().unwrap();
        let edits = header_edits(&request.headers, policy, route, permit, PEER, &ids);
        let is_removed = edits.remove.iter().any(|name| name == "x-region");
        assert_eq!(is_removed, !reaches, "{region}");
    }
}

#[test]
fn stripped_prefix_is_named_and_a_clients_is_not_believed() {
    let stripping = POLICY.replace(
        "upstream: { url: http://127.0.0.1:1 }",
        "prefix: /é/w\nupstream: { url: http://127.0.0.1:1, strip_prefix: true }",
    );
    let keeping = POLICY.replace("service: s", "service: s\nprefix: /é/w");
    let trusted = Downstream { trusted: true, ..PEER };
    for (policy, downstream, want) in [
        (&stripping, PEER, &["x-forwarded-prefix: /%C3%A9/w"][..]),
        (&stripping, trusted, &["x-forwarded-prefix: /%C3%A9/w"]),
        (&keeping, PEER, &[]),
        (&keeping, trusted, &["x-forwarded-prefix: /spoofed"]),
    ] {
        let policies = parse(&[policy]).unwrap();
        let request = request("GET /%C3%A9/w/open").header("x-forwarded-prefix", "/spoofed");
        let request = request
            .header("x_forwarded_prefix", "/spoofed")
            .header("X.Forwarded.Prefix", "/spoofed");
        let lines = forwarded(&policies, &request, downstream);
        let prefixes: Vec<_> = lines
            .iter()
            .map(String::as_str)
            .filter(|line| line.contains("prefix"))
            .collect();
        assert_eq!(prefixes, want, "{lines:?}");
    }
}

/// Another policy for the same service, which reads no token.
const OTHER: &str = "
version: 1
service: s
prefix: /other
upstream: { url: http://127.0.0.1:1 }
credentials: forward
routes: [{ path: /*, auth: public }]
";

#[test]
fn token_in_a_named_place_is_removed_on_every_route_and_the_rest_stays() {
    let sources =
        "[{ header: x-goog-iap-jwt-assertion }, { header: x_token }, { cookie: s }, { websocket_protocol: bearer }]";
    let policy = POLICY
        .replace("jwt: { ", &format!("jwt: {{ sources: {sources}, "))
        .replace("{ path: /*, auth: jwt }", "{ path: /*, auth: public, mode: shadow }");
    for credentials in ["", "credentials: forward\n", "credentials: strip\n"] {
        let policy = policy.replace("routes:", &format!("{credentials}routes:"));
        let policies = parse(&[&policy, OTHER]).unwrap();
        for line in ["GET /open", "POST /login", "GET /x", "GET /other/x"] {
            let request = [
                "x-goog-iap-jwt-assertion",
                "X_Goog.IAP-JWT_Assertion",
                "HTTP_X_GOOG_IAP_JWT_ASSERTION",
                "x_token",
                "x-token",
                "sec_websocket_protocol",
            ]
            .iter()
            .fold(request(line), |request, name| request.header(name, "bearer, hush"));
            let request = request
                .header("cookie", "a=1; s=hush")
                .header("cookie", "b=2;c=\"3\"")
                .header("sec-websocket-protocol", "bearer, hush")
                .header("sec-websocket-protocol", "chat");
            let lines = forwarded(&policies, &request, PEER);
            assert!(!format!("{lines:?}").contains("hush"), "{line}: {lines:?}");
            for want in ["cookie: a=1; b=2;c=\"3\"", "sec-websocket-protocol: chat"] {
                assert!(lines.contains(&want.to_owned()), "{line}: {lines:?}");
            }
        }
        let request = open()
            .header("cookie", "s=hush")
            .header("sec-websocket-protocol", "bearer, hush");
        let lines = forwarded(&policies, &request, PEER);
        let left = |line: &&String| line.starts_with("cookie") || line.starts_with("sec-");
        assert_eq!(lines.iter().find(left), None, "{lines:?}");
    }
}
