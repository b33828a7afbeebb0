use std::io;
use std::sync::Arc;

use http::HeaderName;
use parking_lot::Mutex;
use tracing_subscriber::fmt::MakeWriter;

use super::*;
use crate::principal::TenantId;

const LINE: AccessLine<'_> = AccessLine {
    request_id: "a1b63f59-0c8c-447a-bc80-136b0174a5b5",
    trace_id: "db82936849e346fca39794c3afb5a865",
    service: "orders-svc",
    route: "/orders/v1/orders/*",
    auth: "jwt",
    decision: "allow",
    source: None,
    idempotency: None,
    reason: None,
    cause: None,
    unverified: None,
    failure: None,
    failure_cause: None,
    subject: None,
    tenant: None,
    client_id: None,
    omitted_headers: &[],
    method: "GET",
    path: "/orders/v1/orders/17",
    client: None,
    peer: None,
    host: None,
    status: 200,
    upstream_status: None,
    bytes_in: 0,
    bytes_out: 320,
    duration: Duration::ZERO,
    upstream_duration: None,
    decision_duration: Duration::ZERO,
};

fn at(micros: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_micros(micros)
}

fn written(line: &AccessLine<'_>) -> String {
    let mut out = Vec::new();
    write(line, at(1_795_310_422_179_642), &mut Clock::default(), &mut out);
    String::from_utf8(out).unwrap()
}

#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl io::Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Page {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// What the formatter of all other log lines makes of it.
fn traced(line: &AccessLine<'_>) -> String {
    let page = Page::default();
    let lines = tracing_subscriber::fmt().with_writer(page.clone()).with_target(false);
    tracing::subscriber::with_default(lines.json().flatten_event(true).finish(), || line.trace());
    let line = page.0.lock().clone();
    escaped(&line).unwrap_or_else(|| String::from_utf8(line).unwrap())
}

/// All but the timestamp.
fn rest(line: &str) -> &str {
    line.split_at(r#"{"timestamp":"2026-11-22T01:20:22.179642Z""#.len()).1
}

#[track_caller]
fn check(line: &AccessLine<'_>) {
    let (ours, theirs) = (written(line), traced(line));
    assert_eq!(rest(&ours), rest(&theirs));
    serde_json::from_str::<serde_json::Value>(&ours).unwrap();
}

#[test]
fn what_nothing_verified_is_an_object_of_its_own() {
    let mut unverified = Unverified::default();
    for (name, value) in [("iss", "https://a.example"), ("x-org", "a\"\u{1b}[2J\u{9b}\u{202e}")] {
        unverified.add(name, value);
    }
    let line = written(&AccessLine {
        cause: Some("x"),
        unverified: Some(&unverified),
        ..LINE
    });
    let want =
        r#""cause":"x","unverified":{"iss":"https://a.example","x-org":"a\\\"\\u{1b}[2J\\u{9b}\\u{202e}"},"method""#;
    assert!(line.contains(want), "{line}");
    serde_json::from_str::<serde_json::Value>(&line).unwrap();
}

#[test]
fn tenant_that_is_a_text_is_escaped() {
    let tenant = TenantId::of_text("a\"\\b");
    let line = written(&AccessLine {
        tenant: tenant.as_ref(),
        ..LINE
    });
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(line["tenant"], "a\"\\b");
}

#[test]
fn a_line_is_as_all_lines_of_the_log_are() {
    let tenant = TenantId::parse("A0000001-0000-0000-0000-00000000000A");
    let full = AccessLine {
        source: Some("cookie"),
        idempotency: Some("first"),
        reason: Some("role_missing"),
        cause: Some("none of `admin`"),
        failure: Some("upstream_timeout"),
        failure_cause: Some("ReadTimedout"),
        subject: Some("user-17"),
        tenant: tenant.as_ref(),
        client_id: Some("spiffe://e/ns/a/sa/b"),
        omitted_headers: &[HeaderName::from_static("x-a"), HeaderName::from_static("x-b")],
        client: Some("2001:db8::1".parse().unwrap()),
        peer: Some("10.0.0.1".parse().unwrap()),
        host: Some("orders.example:8443"),
        upstream_status: Some(201),
        bytes_in: u64::MAX,
        duration: Duration::from_nanos(13_196_123),
        upstream_duration: Some(Duration::from_micros(1_392)),
        decision_duration: Duration::from_nanos(504_999),
        ..LINE
    };
    check(&LINE);
    check(&full);
    let want = concat!(
        r#"{"timestamp":"2026-11-22T01:20:22.179642Z","level":"INFO","message":"request","#,
        r#""request_id":"a1b63f59-0c8c-447a-bc80-136b0174a5b5","trace_id":"db82936849e346fca39794c3afb5a865","#,
        r#""service":"orders-svc","route":"/orders/v1/orders/*","auth":"jwt","decision":"allow","source":"cookie","idempotency":"first","#,
        r#""reason":"role_missing","cause":"none of `admin`","failure":"upstream_timeout","failure_cause":"ReadTimedout","#,
        r#""subject":"user-17","#,
        r#""tenant":"a0000001-0000-0000-0000-00000000000a","client_id":"spiffe://e/ns/a/sa/b","omitted_headers":"x-a, x-b","method":"GET","#,
        r#""path":"/orders/v1/orders/17","client":"2001:db8::1","peer":"10.0.0.1","host":"orders.example:8443","#,
        r#""status":200,"upstream_status":201,"#,
        r#""bytes_in":18446744073709551615,"bytes_out":320,"duration_ms":13.196,"upstream_duration_ms":1.392,"#,
        r#""decision_duration_us":504}"#,
        "\n",
    );
    assert_eq!(written(&full), want);
}

#[test]
fn no_text_breaks_out_of_its_field() {
    let all: String = (0..=0x2fff).filter_map(char::from_u32).collect();
    for text in [
        "\",\"forged\":\"",
        "\\",
        "\\\"",
        "a\nb\r\n\u{0}\u{1}\u{1b}[31m\u{7f}\u{85}\u{9b}2J\u{2028}\u{202e}",
        "\u{fffd}\u{fffd}",
        "",
        "ä€😀",
        &all,
        &"/a".repeat(100_000),
    ] {
        let line = AccessLine {
            path: text,
            cause: Some(text),
            subject: Some(text),
            request_id: text,
            ..LINE
        };
        check(&line);
        let ours = written(&line);
        assert_eq!(ours.matches('\n').count(), 1, "{text}");
        assert!(!ours.trim_end().contains(char::is_control), "{text}");
        assert!(!ours.contains(['\u{2028}', '\u{202e}', '\u{2066}']), "{text}");
        let value: serde_json::Value = serde_json::from_str(&ours).unwrap();
        assert_eq!((&value["path"], &value["subject"]), (&text.into(), &text.into()));
        assert!(value.get("forged").is_none());
    }
}

#[test]
fn durations_have_three_decimals_at_most() {
    for nanos in [0, 1, 499, 501, 1_000, 999_501, 1_000_000, 12_300_000, 3_600_000_000_000] {
        let duration = Duration::from_nanos(nanos);
        check(&AccessLine {
            duration,
            upstream_duration: Some(duration),
            decision_duration: duration,
            ..LINE
        });
    }
}

#[test]
fn the_clock_is_in_utc_with_microseconds() {
    let mut clock = Clock::default();
    for (micros, want) in [
        (1_795_310_422_179_642, "2026-11-22T01:20:22.179642Z"),
        (1_795_310_422_000_001, "2026-11-22T01:20:22.000001Z"),
        (1_795_310_423_999_999, "2026-11-22T01:20:23.999999Z"),
        (1_795_310_422_179_642, "2026-11-22T01:20:22.179642Z"),
        (0, "1970-01-01T00:00:00.000000Z"),
        (4_102_444_799_999_999, "2099-12-31T23:59:59.999999Z"),
    ] {
        let mut out = Vec::new();
        clock.write(at(micros), &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), want);
    }
}
