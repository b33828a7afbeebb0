use super::*;
use crate::policy::RouteIndex;
use crate::testing::parse;

const POLICY: &str = "
version: 1
service: s
prefix: /x
upstream: { url: 'http://127.0.0.1:1' }
jwt: { issuers: [{ issuer: i, audience: [a], algorithms: [HS256], keys: { secret: { env: SECRET } } }] }
quotas:
  - { name: few, per: subject, limit: 1, window: 1s }
  - { name: many, per: subject, limit: 9, window: 1s }
routes:
  - { path: /*, auth: jwt }
  - { path: /open, auth: public }
";

const ROUTE: Scope = Scope {
    policy: Some(0),
    route: Some(RouteIndex { policy: 0, route: 0 }),
};

fn page(metrics: &Metrics) -> String {
    String::from_utf8(metrics.page().unwrap().1).unwrap()
}

fn counters(metrics: &Metrics) -> PolicyMetrics {
    PolicyMetrics::new(metrics, Arc::new(parse(&[POLICY]).unwrap()))
}

#[test]
fn the_page_has_what_was_counted_and_nothing_else() {
    let metrics = Metrics::new().unwrap();
    let counted = counters(&metrics);
    assert!(!page(&metrics).contains("service="), "nothing happened yet");
    let no_route = Scope { route: None, ..ROUTE };
    let nowhere = Scope {
        policy: None,
        route: None,
    };
    let brew = Method::from_bytes(b"BREW").unwrap();
    let took = Duration::from_micros(7);
    counted.request(ROUTE, &brew, 299, took);
    counted.request(ROUTE, &Method::GET, 200, took);
    counted.request(ROUTE, &Method::GET, 200, took);
    counted.request(nowhere, &Method::GET, 0, took);
    counted.decision(ROUTE, "deny", Some(Reason::TokenExpired), took);
    counted.decision(ROUTE, "allow", None, took);
    counted.decision(no_route, "deny", Some(Reason::RouteNotFound), took);
    counted.failure(ROUTE, Reason::UpstreamTimeout);
    counted.quota(ROUTE, 1, "allow");
    counted.idempotency(ROUTE, "first");
    counted.failed_open(no_route, "revocation");
    let page = page(&metrics);
    for line in [
        r#"sidegate_requests_total{method="other",route="/x/*",service="s",status="2xx"} 1"#,
        r#"sidegate_requests_total{method="GET",route="/x/*",service="s",status="200"} 2"#,
        r#"sidegate_requests_total{method="GET",route="none",service="none",status="none"} 1"#,
        r#"sidegate_decisions_total{auth="jwt",decision="deny",reason="token_expired",route="/x/*",service="s"} 1"#,
        r#"sidegate_decisions_total{auth="jwt",decision="allow",reason="",route="/x/*",service="s"} 1"#,
        r#"sidegate_decisions_total{auth="none",decision="deny",reason="route_not_found",route="none",service="s"} 1"#,
        r#"sidegate_failures_total{failure="upstream_timeout",route="/x/*",service="s"} 1"#,
        r#"sidegate_decision_duration_seconds_bucket{service="s",le="0.00001"} 3"#,
        r#"sidegate_request_duration_seconds_count{service="none"} 1"#,
        r#"sidegate_quota_requests_total{quota="many",result="allow",service="s"} 1"#,
        r#"sidegate_idempotency_requests_total{result="first",service="s"} 1"#,
        r#"sidegate_fail_open_total{feature="revocation",service="s"} 1"#,
    ] {
        assert!(page.contains(line), "{line} in {page}");
    }
    assert!(!page.contains("/x/open"), "no request was for it: {page}");
    assert!(!page.contains("sidegate_upstream_duration"), "{page}");
}

#[test]
fn unused_route_takes_next_to_nothing() {
    assert!(size_of::<OnceLock<Box<RouteMetrics>>>() <= 16);
}

#[test]
fn counts_outlive_the_policies() {
    let metrics = Metrics::new().unwrap();
    let took = Duration::from_micros(7);
    for _ in 0..3 {
        counters(&metrics).request(ROUTE, &Method::GET, 200, took);
    }
    let line = r#"sidegate_requests_total{method="GET",route="/x/*",service="s",status="200"} 3"#;
    assert!(page(&metrics).contains(line));
}

#[test]
fn a_status_is_shown_as_it_is_or_by_its_class() {
    for (status, want) in [
        (0, "none"),
        (99, "none"),
        (100, "100"),
        (102, "1xx"),
        (200, "200"),
        (206, "206"),
        (299, "2xx"),
        (308, "308"),
        (306, "3xx"),
        (404, "404"),
        (418, "4xx"),
        (504, "504"),
        (599, "5xx"),
        (600, "none"),
    ] {
        assert_eq!(status_label(status_key(status)), want, "{status}");
    }
}
