use serde_json::json;

use super::*;
use crate::admission::client_limit::ClientCounts;
use crate::admission::idempotency::replay;
use crate::digest::{Fingerprint, Hasher};
use crate::idempotency::Record;
use crate::testing::{TENANT, TestRequest, claims, evaluator, request};

const POLICY: &str = "
version: 1
service: s
upstream: { url: http://127.0.0.1:1 }
jwt: { issuers: [{ issuer: eventzr.com, audience: [eventzr-api], algorithms: [HS256], keys: { secret: { env: SECRET } } }] }
quotas: [{ name: few, per: subject, limit: 1, window: 1h }]
routes:
  - { path: /open, auth: public, quotas: off }
  - { path: /mine, auth: jwt, quotas: off }
  - { path: /shadow, auth: jwt, mode: shadow }
  - { path: /few, auth: jwt }
  - { path: /pay, methods: [POST], auth: jwt, idempotency: { required: true }, quotas: off }
";

const KEY: &str = "8e03978e-40d5-43e8-bc93-6894a57f9324";

struct Setup {
    controller: AdmissionController,
    snapshot: Arc<Snapshot>,
}

impl Setup {
    fn new(slots: usize) -> Self {
        let metrics = Metrics::new().unwrap();
        let evaluator = Arc::new(evaluator(&[POLICY]));
        let snapshot = Arc::new(Snapshot::new(evaluator, metrics.of_thread(0)));
        let clients = Arc::<ClientCounts>::default();
        let controller = AdmissionController {
            store: Store::memory(&metrics),
            keys: Arc::new(KeySources::start(snapshot.evaluator(), &metrics)),
            concurrency: ConcurrencyLimit::new(slots),
            client_requests: ClientRequests::new(slots, &clients, &metrics),
            trusted_proxies: Vec::new(),
            metrics,
            access_log: false,
        };
        Self { controller, snapshot }
    }

    async fn admit(&self, request: &TestRequest) -> (Admission, RequestRecord) {
        let facts = request.facts();
        let mut record = self.controller.begin(Arc::clone(&self.snapshot));
        record.describe(
            &facts,
            &crate::request::target::RequestTarget::new(facts.path.to_vec().into()),
        );
        let admission = self.controller.admit(&facts, &mut record).await;
        (admission, record)
    }

    /// `forward`, `replay`, `options`, or the reason of a rejection. The request is over then.
    async fn outcome(&self, request: &TestRequest) -> &'static str {
        word(&self.admit(request).await.0)
    }

    fn page(&self) -> String {
        String::from_utf8(self.controller.metrics.page().unwrap().1).unwrap()
    }

    fn has(&self, line: &str) {
        let page = self.page();
        assert!(page.lines().any(|found| found == line), "{line}\n{page}");
    }
}

fn word(admission: &Admission) -> &'static str {
    match admission {
        Admission::Forward(_) => "forward",
        Admission::Replay(_) => "replay",
        Admission::Reject(rejection) => rejection.reason().code(),
        Admission::ServerOptions => "options",
        Admission::Respond(_) => "respond",
    }
}

fn caller(line: &str) -> TestRequest {
    request(line).bearer(&claims())
}

fn payment() -> TestRequest {
    caller("POST /pay").header("idempotency-key", KEY)
}

#[tokio::test]
async fn request_has_the_admission_of_its_decision_and_one_count() {
    let setup = Setup::new(8);
    for (call, want, decision, reason) in [
        (request("GET /open"), "forward", "allow", ""),
        (caller("GET /mine"), "forward", "allow", ""),
        (request("GET /mine"), "credential_missing", "deny", "credential_missing"),
        (request("GET /shadow"), "forward", "shadow_deny", "credential_missing"),
        (request("GET /nothing"), "route_not_found", "deny", "route_not_found"),
        (request("OPTIONS *"), "options", "allow", ""),
    ] {
        let before = count(&setup.page(), decision, reason);
        assert_eq!(setup.outcome(&call).await, want);
        assert_eq!(count(&setup.page(), decision, reason), before + 1, "{want}");
    }
}

/// Returns the number of decisions of a kind, on all routes.
fn count(page: &str, decision: &str, reason: &str) -> u32 {
    let wanted = [format!("decision=\"{decision}\""), format!("reason=\"{reason}\"")];
    let lines = page
        .lines()
        .filter(|line| line.starts_with("sidegate_decisions_total{"));
    let lines = lines.filter(|line| wanted.iter().all(|label| line.contains(label)));
    lines
        .map(|line| line.rsplit(' ').next().unwrap().parse::<u32>().unwrap())
        .sum()
}

#[tokio::test]
async fn forward_has_the_permit_and_the_normalized_target() {
    let setup = Setup::new(8);
    let (admission, _record) = setup.admit(&caller("GET /%6dine")).await;
    let Admission::Forward(forward) = admission else {
        panic!("{admission:?}");
    };
    assert_eq!(&*forward.target, b"/mine");
    let identity = forward.permit.identity();
    assert!(
        identity
            .iter()
            .any(|(name, value)| name == "x-user-id" && value == "user-1")
    );
}

#[tokio::test]
async fn slot_is_held_until_the_request_is_over_and_its_lack_uses_up_no_quota() {
    let setup = Setup::new(1);
    let held = setup.admit(&request("GET /open")).await;
    assert_eq!(setup.outcome(&caller("GET /few")).await, "overloaded");
    assert_eq!(setup.outcome(&request("GET /nothing")).await, "route_not_found");
    drop(held);
    assert_eq!(setup.outcome(&caller("GET /few")).await, "forward");
    assert_eq!(setup.outcome(&caller("GET /few")).await, "quota_exceeded");
}

#[tokio::test]
async fn quota_that_is_used_up_rejects_and_names_what_is_left() {
    let setup = Setup::new(8);
    for (want, left) in [("forward", "\"few\";r=0"), ("quota_exceeded", "\"few\";r=0")] {
        let (admission, record) = setup.admit(&caller("GET /few")).await;
        assert_eq!(word(&admission), want);
        let fields = record.rate_limits.fields();
        assert!(
            fields
                .iter()
                .any(|(_, value)| value.to_str().unwrap().starts_with(left)),
            "{fields:?}"
        );
    }
    setup.has("sidegate_quota_requests_total{quota=\"few\",result=\"deny\",service=\"s\"} 1");
}

#[tokio::test]
async fn key_has_one_lease_and_then_its_stored_response() {
    let setup = Setup::new(8);
    assert_eq!(setup.outcome(&caller("POST /pay")).await, "idempotency_key_missing");
    let (admission, record) = setup.admit(&payment()).await;
    let Admission::Forward(Forward {
        lease: Some(mut lease), ..
    }) = admission
    else {
        panic!("{admission:?}");
    };
    assert_eq!(setup.outcome(&payment()).await, "idempotency_in_progress");
    let response = Record::new(201, &http::HeaderMap::new(), b"paid".to_vec());
    let response = Bytes::from(response.encode().unwrap());
    lease.try_store(digest(b"1"), &response).await.unwrap();
    drop(record);
    for (body, want) in [(&b"1"[..], Ok(201)), (b"2", Err("idempotency_key_reused"))] {
        let (admission, mut record) = setup.admit(&payment()).await;
        let Admission::Replay(stored) = admission else {
            panic!("{admission:?}");
        };
        let replayed = replay(&setup.controller.store, stored, digest(body), &mut record).await;
        let replayed = replayed.map(|(_, response)| response.status());
        assert_eq!(replayed.map_err(|rejection| rejection.reason().code()), want);
    }
    // Another caller has keys of its own.
    let mut other = claims();
    other["sub"] = json!("user-2");
    let other = request("POST /pay")
        .bearer(&other)
        .tenant(TENANT)
        .header("idempotency-key", KEY);
    assert_eq!(setup.outcome(&other).await, "forward");
}

fn digest(body: &[u8]) -> Fingerprint {
    let mut hasher = Hasher::default();
    hasher.add(body);
    hasher.end()
}

#[tokio::test]
async fn request_that_is_dropped_is_counted_once_and_leaves_nothing_in_flight() {
    let setup = Setup::new(1);
    for finishes in [false, true] {
        let (_, mut record) = setup.admit(&request("GET /open")).await;
        assert_eq!(setup.controller.metrics.in_flight(), 1);
        if finishes {
            record.response.status = 200;
            record.finish();
        }
        drop(record);
        assert_eq!(setup.controller.metrics.in_flight(), 0);
    }
    for status in ["none", "200"] {
        setup.has(&format!(
            "sidegate_requests_total{{method=\"GET\",route=\"/open\",service=\"s\",status=\"{status}\"}} 1"
        ));
    }
}

#[tokio::test]
async fn request_is_counted_by_the_thread_of_its_snapshot() {
    let mut setup = Setup::new(8);
    let metrics = Metrics::for_threads(2).unwrap();
    let evaluator = Arc::new(evaluator(&[POLICY]));
    let of_thread = |thread| Arc::new(Snapshot::new(Arc::clone(&evaluator), metrics.of_thread(thread)));
    let snapshots = [0, 1].map(of_thread);
    setup.snapshot = Arc::clone(&snapshots[1]);
    setup.controller.metrics = metrics;
    let (_, record) = setup.admit(&caller("GET /mine")).await;
    let in_flight = || snapshots.each_ref().map(|snapshot| snapshot.metrics.in_flight().get());
    assert_eq!(in_flight(), [0, 1]);
    setup.has("sidegate_token_cache_total{result=\"miss\"} 1");
    drop(record);
    assert_eq!(in_flight(), [0, 0]);
}

#[tokio::test]
async fn record_that_is_dropped_before_the_request_is_admitted_has_no_decision() {
    let setup = Setup::new(1);
    drop(setup.controller.begin(Arc::clone(&setup.snapshot)));
    let page = setup.page();
    let of = |metric: &str| page.lines().filter(|line| line.starts_with(metric)).count();
    assert_eq!(
        (of("sidegate_decisions_total{"), of("sidegate_requests_total{")),
        (0, 1)
    );
}

#[tokio::test]
async fn failure_after_the_end_of_the_response_does_not_count() {
    let setup = Setup::new(1);
    let (_, mut record) = setup.admit(&request("GET /open")).await;
    record.finish();
    record.fail(Reason::RequestTimeout.into());
    assert!(!setup.page().contains("sidegate_failures_total{"));
}
