//! What Sidegate tells a service about the request itself: its id, its trace, where it came from.

use std::sync::Arc;

use crate::harness::{Gateway, Request, Setup, Shared, upstream::Recorded};

const POLICY: &str = "
$wallet
prefix: /w
routes: [{ path: /*, auth: public }]
";

fn gateway() -> Arc<Gateway> {
    static SHARED: Shared<Gateway> = Shared::new();
    SHARED.get(|| Setup::new().policy("wallet", POLICY).start())
}

fn get() -> Request {
    Request::get("/w/x")
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36 && uuid::Uuid::try_parse(text).is_ok()
}

#[test]
fn a_request_id_that_is_a_uuid_is_kept_and_comes_back() {
    let gateway = gateway();
    let known = "550e8400-e29b-41d4-a716-446655440000";
    let request = get().header("X-Request-Id", known);
    let answer = gateway.send(&request);
    assert_eq!(answer.header("x-request-id"), Some(known));
    assert_eq!(gateway.reached(&request, &answer).values("x-request-id"), [known]);
}

#[test]
fn any_other_request_id_is_replaced_by_a_new_one() {
    let gateway = gateway();
    let known = "550e8400-e29b-41d4-a716-446655440000";
    for requested in [
        get(),
        get().header("x-request-id", ""),
        get().header("x-request-id", "no uuid"),
        get().header("x-request-id", "550e8400e29b41d4a716446655440000x"),
        get().header("x-request-id", &format!("{known},{known}")),
        get()
            .header("x-request-id", known)
            .header("x-request-id", "550e8400-e29b-41d4-a716-446655440001"),
        get().header("x_request_id", known),
    ] {
        let answer = gateway.send(&requested);
        let given = answer.header("x-request-id").unwrap().to_owned();
        assert!(is_uuid(&given), "{requested}: {given}");
        assert_ne!(given, known, "{requested}");
        assert_eq!(
            gateway.reached(&requested, &answer).values("x-request-id"),
            [given],
            "{requested}"
        );
    }
}

#[test]
fn a_trace_is_kept_or_begun() {
    let gateway = gateway();
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let given = format!("00-{trace}-00f067aa0ba902b7-01");
    let seen = gateway.allowed(&get().header("traceparent", &given).header("tracestate", "a=1"));
    // The operator decides which traces are recorded, and not the client.
    assert_eq!(seen.values("traceparent"), [format!("00-{trace}-00f067aa0ba902b7-00")]);
    assert_eq!(seen.values("tracestate"), ["a=1"]);
    for bad in [
        "",
        "nonsense",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
    ] {
        assert_begun(&gateway, get().header("traceparent", bad), bad);
    }
    assert_begun(
        &gateway,
        get().header("traceparent", &given).header("traceparent", &given),
        trace,
    );
    assert_begun(&gateway, get().header("trace_parent", &given), trace);
    assert_begun(&gateway, get(), trace);
}

/// The service gets one new trace, which is not sampled, and no state of another one.
fn assert_begun(gateway: &Gateway, request: Request, given: &str) {
    let seen = gateway.allowed(&request.header("tracestate", "a=1"));
    let [begun] = seen.values("traceparent")[..] else {
        panic!("one traceparent: {seen:?}")
    };
    assert!(
        is_traceparent(begun) && begun.ends_with("-00"),
        "{given:?} became {begun:?}"
    );
    assert!(given.is_empty() || !begun.contains(given), "{given:?} became {begun:?}");
    assert_eq!(seen.values("tracestate"), [""; 0], "{given:?}");
}

#[test]
fn trace_is_recorded_where_a_trusted_proxy_says_so() {
    let trusting = |proxies: &str| {
        let config = format!("trusted_proxies: [{proxies}]");
        Setup::new().config(&config).policy("wallet", POLICY).start()
    };
    let start = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7";
    for (gateway, kept) in [(trusting("127.0.0.0/8"), true), (trusting("10.0.0.0/8"), false)] {
        for (flags, cleared) in [("01", "00"), ("00", "00"), ("03", "02"), ("ff", "02")] {
            let given = format!("{start}-{flags}");
            let seen = gateway.allowed(&get().header("traceparent", &given).header("tracestate", "a=1"));
            let want = format!("{start}-{}", if kept { flags } else { cleared });
            assert_eq!(seen.values("traceparent"), [want]);
            assert_eq!(seen.values("tracestate"), ["a=1"]);
        }
    }
}

fn is_traceparent(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let hex = |part: &str, length| {
        part.len() == length && part.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    let set = |part: &str| part.bytes().any(|byte| byte != b'0');
    matches!(parts[..], ["00", trace, span, flags] if hex(trace, 32) && set(trace) && hex(span, 16) && set(span) && hex(flags, 2))
}

const FORWARDED: [(&str, &str); 10] = [
    ("x-forwarded-for", "6.6.6.6"),
    ("X-Forwarded-Proto", "https"),
    ("x-forwarded-host", "evil.example"),
    ("X_Forwarded_For", "6.6.6.6"),
    ("x.forwarded.proto", "https"),
    ("forwarded", "for=6.6.6.6;proto=https;host=evil.example"),
    ("x-real-ip", "6.6.6.6"),
    ("x-forwarded-port", "443"),
    ("x-forwarded-prefix", "/admin"),
    ("x-forwarded-uri", "/w/_internal"),
];

fn forwarded() -> Request {
    FORWARDED
        .iter()
        .fold(get(), |request, (name, value)| request.header(name, value))
}

#[test]
fn untrusted_client_is_not_believed_about_where_a_request_came_from() {
    let seen = gateway().allowed(&forwarded());
    assert_eq!(seen.values("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(seen.values("x-forwarded-proto"), ["http"]);
    assert_eq!(seen.values("x-forwarded-host"), ["localhost"]);
    assert_untouched_by(&seen, &["6.6.6.6", "evil.example", "/admin", "/w/_internal"]);
}

fn assert_untouched_by(seen: &Recorded, spoofed: &[&str]) {
    for (name, value) in &seen.headers {
        assert!(!spoofed.iter().any(|each| value.contains(each)), "{name}: {value}");
    }
}

#[test]
fn a_trusted_proxy_is_believed() {
    let gateway = Setup::new()
        .config("trusted_proxies: [127.0.0.0/8]")
        .policy("wallet", POLICY)
        .start();
    let request = get()
        .header("x-forwarded-for", "203.0.113.7")
        .header("x-forwarded-proto", "https")
        .header("x-forwarded-host", "shop.example");
    let seen = gateway.allowed(&request);
    let [chain] = seen.values("x-forwarded-for")[..] else {
        panic!("one chain: {seen:?}")
    };
    assert!(chain.starts_with("203.0.113.7"), "{chain}");
    assert_eq!(seen.values("x-forwarded-proto"), ["https"]);
    assert_eq!(seen.values("x-forwarded-host"), ["shop.example"]);
}

#[test]
fn a_proxy_that_is_not_among_the_trusted_is_not() {
    let gateway = Setup::new()
        .config("trusted_proxies: [10.0.0.0/8, '::1/128']")
        .policy("wallet", POLICY)
        .start();
    let seen = gateway.allowed(&forwarded());
    assert_eq!(seen.values("x-forwarded-for"), ["127.0.0.1"]);
    assert_untouched_by(&seen, &["6.6.6.6", "evil.example"]);
}

#[test]
fn the_sandbox_is_true_or_nothing() {
    let gateway = gateway();
    assert_eq!(
        gateway.allowed(&get().header("X-Sandbox", "true")).values("x-sandbox"),
        ["true"]
    );
    for other in ["1", "TRUE", "yes", "", "true,true", "false", "true x"] {
        assert_eq!(
            gateway.allowed(&get().header("x-sandbox", other)).values("x-sandbox"),
            [""; 0],
            "{other:?}"
        );
    }
}
