use super::*;
use crate::policy::RouteIndex;
use crate::telemetry::metrics::Metrics;
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

fn counters(metrics: &Metrics, thread: usize) -> PolicyMetrics {
    PolicyMetrics::new(metrics.of_thread(thread), Arc::new(parse(&[POLICY]).unwrap()))
}

#[test]
fn the_page_has_what_was_counted_and_nothing_else() {
    let metrics = Metrics::new().unwrap();
    let counted = counters(&metrics, 0);
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
fn counts_of_several_threads_add_up_on_the_page() {
    let metrics = Metrics::for_threads(3).unwrap();
    // The last one does not exist, and counts with the first.
    let threads = [0, 1, 2, 3].map(|thread| counters(&metrics, thread));
    let took = Duration::from_micros(7);
    std::thread::scope(|scope| {
        for counted in &threads {
            scope.spawn(|| {
                counted.in_flight().inc();
                counted.token_lookup(CacheResult::Hit);
                counted.request(ROUTE, &Method::GET, 200, took);
                counted.decision(ROUTE, "allow", None, took);
                counted.upstream(ROUTE, took);
                counted.failure(ROUTE, Reason::UpstreamTimeout);
                counted.omitted_header(ROUTE, &HeaderName::from_static("x-user-id"));
                counted.condition_type(ROUTE);
                counted.quota(ROUTE, 0, "allow");
                counted.idempotency(ROUTE, "first");
                counted.failed_open(ROUTE, "quota");
            });
        }
    });
    metrics.store_features().preregister(&threads[0].policies);
    assert_eq!(metrics.in_flight(), 4);
    let page = page(&metrics);
    for line in [
        "sidegate_requests_in_flight 4",
        r#"sidegate_token_cache_total{result="hit"} 4"#,
        r#"sidegate_token_cache_total{result="miss"} 0"#,
        r#"sidegate_requests_total{method="GET",route="/x/*",service="s",status="200"} 4"#,
        r#"sidegate_request_duration_seconds_count{service="s"} 4"#,
        r#"sidegate_decisions_total{auth="jwt",decision="allow",reason="",route="/x/*",service="s"} 4"#,
        r#"sidegate_decision_duration_seconds_bucket{service="s",le="0.00001"} 4"#,
        r#"sidegate_upstream_duration_seconds_bucket{service="s",le="+Inf"} 4"#,
        r#"sidegate_failures_total{failure="upstream_timeout",route="/x/*",service="s"} 4"#,
        r#"sidegate_identity_headers_omitted_total{header="x-user-id",service="s"} 4"#,
        r#"sidegate_conditions_type_total{route="/x/*",service="s"} 4"#,
        r#"sidegate_quota_requests_total{quota="few",result="allow",service="s"} 4"#,
        r#"sidegate_idempotency_requests_total{result="first",service="s"} 4"#,
        r#"sidegate_fail_open_total{feature="quota",service="s"} 4"#,
    ] {
        let same = page.lines().filter(|found| *found == line);
        assert_eq!(same.count(), 1, "{line} in {page}");
    }
}

#[test]
fn each_thread_counts_for_itself() {
    let metrics = Metrics::for_threads(2).unwrap();
    let [first, second] = [0, 1].map(|thread| counters(&metrics, thread));
    second.in_flight().inc();
    assert_eq!((first.in_flight().get(), second.in_flight().get()), (0, 1));
    assert_eq!(metrics.threads().count(), 2);
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
        counters(&metrics, 0).request(ROUTE, &Method::GET, 200, took);
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
