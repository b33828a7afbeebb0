//! Replicas that share a Redis, as their callers meet them: with it, without it, and with one that
//! fails in every way that it can.

use std::{
    thread,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{
    harness::{
        Gateway, Latch, Reply, Request, Setup, TENANT, Upstream, also_on_4_threads, eventually,
        issuer::token,
        redis::{Cluster, Redis},
        toxic::{Fault, Toxic},
        unique,
    },
    idempotency::{again, assert_one_of_a_thousand, counting, is_replayed, key, post},
};

const POLICY: &str = "
$wallet
prefix: /w
revocation: { max_stale: 2s }
idempotency: {}
quotas: [{ name: calls, per: tenant, limit: 100, window: 1h }]
routes:
  - { path: /free/*, auth: jwt, quotas: off }
  - { path: /strict, auth: jwt, quotas: [{ name: strict, per: subject, limit: 5, window: 1h, when_unavailable: deny }] }
  - { path: /open, auth: public }
  - { path: /*, auth: jwt }
";

/// A policy that lets requests pass without the store.
const LENIENT: &str = "
$wallet
prefix: /l
service: lenient
revocation: { max_stale: 2s, when_unavailable: allow }
idempotency: { when_unavailable: allow }
routes: [{ path: /*, auth: jwt }]
";

/// Within a bound that no request waits for, however slow the machine is.
const AT_ONCE: Duration = Duration::from_secs(5);

fn setup(url: &str, upstream: &Upstream) -> Setup {
    let lenient = LENIENT.replace(
        "$wallet",
        &crate::harness::setup::WALLET.replace("service: wallet-svc\n", ""),
    );
    Setup::in_front_of(upstream.clone())
        .with_flags(&["--store", url])
        .policy("wallet", POLICY)
        .policy("lenient", &lenient)
}

fn replicas(url: &str) -> [Gateway; 2] {
    let upstream = counting();
    // A thousand requests at once may be slow, but are not meant to be rejected for that.
    let patient = format!("store: {{ redis: {{ url: '{url}', timeout: 10s }} }}");
    [(); 2].map(|()| setup(url, &upstream).config(&patient).start())
}

fn get(path: &str) -> Request {
    Request::get(path)
        .bearer(&token(json!({ "sub": unique().to_string() })))
        .tenant()
}

fn paid(key: &str, body: &str) -> Request {
    let request = post(key, body);
    Request {
        target: "/w/free/pay".into(),
        ..request
    }
}

/// The request is rejected because the store does not reply, and soon.
#[track_caller]
fn assert_no_store(gateway: &Gateway, request: &Request) {
    let began = Instant::now();
    gateway.refused(&again(request), 503, "store_unavailable");
    assert!(began.elapsed() < AT_ONCE, "it took {:?}", began.elapsed());
}

also_on_4_threads![
    a_thousand_duplicates_over_two_replicas_are_one_request,
    what_one_replica_answered_another_knows,
    a_quota_is_one_for_all_replicas,
    without_a_redis_the_policy_says_what_becomes_of_requests,
    no_request_waits_for_a_redis_that_does_not_answer,
    key_in_flight_is_executed_once_though_redis_restarts_empty,
    response_that_a_redis_missed_is_stored_when_it_is_back,
];

#[test]
fn a_thousand_duplicates_over_two_replicas_are_one_request() {
    let redis = Redis::start();
    let [one, other] = replicas(&redis.url());
    // The quota of the tenant would end it.
    assert_one_of_a_thousand(&[&one, &other]);
}

#[test]
fn what_one_replica_answered_another_knows() {
    let (plain, secured, cluster) = (Redis::start(), Redis::secured(), Cluster::start());
    for url in [plain.url(), cluster.url(), secured.url()] {
        let upstream = counting();
        let replica = || {
            let pki = crate::harness::certificates::pki();
            setup(&url, &upstream)
                .file("ca.crt", &pki.ca)
                .env("SSL_CERT_FILE", "ca.crt")
                .start()
        };
        let (one, other) = (replica(), replica());
        let request = paid(&key(), "{}");
        let first = one.send(&request);
        assert_eq!(first.status, 201, "{url}: {first:?}");
        let repeat = other.send(&again(&request));
        assert!(is_replayed(&repeat) && repeat.body == first.body, "{url}: {repeat:?}");
        let key = &request.headers.last().unwrap().1;
        assert_eq!(other.send(&paid(key, "[]")).reason(), "idempotency_key_reused");
        assert_eq!(upstream.all().len(), 1);
    }
}

#[test]
fn a_quota_is_one_for_all_replicas() {
    let redis = Redis::start();
    let [one, other] = replicas(&redis.url());
    let passed: usize = thread::scope(|scope| {
        let clients: Vec<_> = (0..10)
            .map(|client| {
                let gateway = if client % 2 == 0 { &one } else { &other };
                scope.spawn(move || {
                    let mut wire = gateway.connect();
                    let statuses = (0..20).map(|_| wire.exchange(&get("/w/x")).status);
                    statuses.filter(|status| *status == 201).count()
                })
            })
            .collect();
        clients.into_iter().map(|client| client.join().unwrap()).sum()
    });
    assert_eq!(passed, 100);
    let answer = other.refused(&get("/w/x"), 429, "quota_exceeded");
    assert!(answer.header("ratelimit").unwrap().starts_with("\"calls\";r=0;"));
}

#[test]
fn without_a_redis_the_policy_says_what_becomes_of_requests() {
    let redis = Redis::start();
    let gateway = setup(&redis.url(), &counting()).start();
    let warm = get("/w/free/x");
    assert_eq!(gateway.send(&warm).status, 201);
    redis.kill();
    eventually("the store is lost", || {
        gateway.metric("sidegate_store_up", &[]) == Some(0.0)
    });
    assert_no_store(&gateway, &paid(&key(), "{}"));
    eventually("what is known is too old", || {
        gateway.send(&get("/w/free/x")).status == 503
    });
    for request in [get("/w/x"), get("/w/strict"), paid(&key(), "{}")] {
        assert_no_store(&gateway, &request);
    }
    assert_eq!(gateway.send(&Request::get("/w/open")).status, 201);
    let lenient = Request {
        target: "/l/x".into(),
        ..paid(&key(), "{}")
    };
    let before = gateway.upstream.all().len();
    for _ in 0..2 {
        let answer = gateway.send(&again(&lenient));
        assert_eq!((answer.status, is_replayed(&answer)), (201, false), "{answer:?}");
    }
    assert_eq!(gateway.upstream.all().len() - before, 2, "both are forwarded");
    for feature in ["revocation", "idempotency"] {
        let labels = [("feature", feature), ("service", "lenient")];
        assert_eq!(
            gateway.metric("sidegate_fail_open_total", &labels),
            Some(2.0),
            "{feature}"
        );
    }
    assert_eq!(gateway.probe("/readyz"), Some(200), "other requests are served");
    redis.run();
    eventually("it is there again", || gateway.send(&get("/w/strict")).status == 201);
    let request = paid(&key(), "{}");
    eventually("keys are taken again", || gateway.send(&again(&request)).status == 201);
    // A response that cannot be stored yet is stored later.
    eventually("it is kept", || is_replayed(&gateway.send(&again(&request))));
}

#[test]
fn quotas_let_requests_pass_without_a_redis_unless_the_policy_denies() {
    let policy = POLICY.replace("revocation: { max_stale: 2s }", "revocation: { max_stale: 1h }");
    let redis = Redis::start();
    let gateway = Setup::new()
        .with_flags(&["--store", &redis.url()])
        .policy("wallet", &policy)
        .start();
    assert_eq!(gateway.send(&get("/w/x")).status, 200);
    redis.kill();
    for _ in 0..3 {
        let answer = gateway.send(&get("/w/x"));
        assert_eq!((answer.status, answer.header("ratelimit")), (200, None), "{answer:?}");
        assert_no_store(&gateway, &get("/w/strict"));
    }
    let labels = [("feature", "quota"), ("service", "wallet-svc")];
    assert_eq!(gateway.metric("sidegate_fail_open_total", &labels), Some(3.0));
}

#[test]
fn a_redis_that_is_not_there_at_the_start_may_come_later() {
    let redis = Redis::start();
    redis.kill();
    let gateway = setup(&redis.url(), &counting()).start_unready();
    assert_no_store(&gateway, &get("/w/x"));
    assert_eq!(gateway.send(&Request::get("/w/open")).status, 201);
    redis.run();
    eventually("it is there", || gateway.send(&get("/w/x")).status == 201);
    // Answers are kept by a connection of their own.
    let request = paid(&key(), "{}");
    eventually("keys are taken", || gateway.send(&again(&request)).status == 201);
}

#[test]
fn no_request_waits_for_a_redis_that_does_not_answer() {
    let redis = Redis::start();
    let toxic = Toxic::before(redis.port);
    let gateway = setup(&format!("redis://127.0.0.1:{}", toxic.port), &counting()).start();
    let works = |gateway: &Gateway| {
        let request = paid(&key(), "{}");
        eventually("keys are taken", || gateway.send(&again(&request)).status == 201);
    };
    works(&gateway);
    for fault in [Fault::Slow(Duration::from_secs(30)), Fault::Silent, Fault::Refusing] {
        toxic.set(fault);
        if fault == Fault::Refusing {
            toxic.reset();
        }
        for _ in 0..20 {
            assert_no_store(&gateway, &paid(&key(), "{}"));
        }
        toxic.set(Fault::Nothing);
        toxic.cut();
        works(&gateway);
    }
    redis.freeze();
    for _ in 0..20 {
        assert_no_store(&gateway, &paid(&key(), "{}"));
    }
    redis.thaw();
    works(&gateway);
    redis.ask::<()>(&["CONFIG", "SET", "maxmemory", "1"]);
    assert_no_store(&gateway, &paid(&key(), "{}"));
    redis.ask::<()>(&["CONFIG", "SET", "maxmemory", "0"]);
    works(&gateway);
}

#[test]
fn nonsense_from_a_redis_counts_as_a_failure() {
    let redis = Redis::start();
    let gateway = setup(&redis.url(), &counting()).start();
    let request = paid(&key(), "{}");
    assert_eq!(gateway.send(&request).status, 201);
    let keys: Vec<String> = redis.ask(&["KEYS", "sidegate:i:*"]);
    let [name] = &keys[..] else { panic!("{keys:?}") };
    let fine = |c: char| c.is_ascii_alphanumeric() || c == ':';
    assert!(name.chars().all(fine), "{name}");
    for lie in ["", "a", "anonsense", "c", "x", "a\u{1}\u{2}"] {
        redis.ask::<()>(&["SET", name, lie]);
        assert_no_store(&gateway, &request);
    }
    redis.ask::<()>(&["DEL", name]);
    redis.ask::<()>(&["LPUSH", name, "list"]);
    assert_no_store(&gateway, &request);
    assert_eq!(gateway.upstream.all().len(), 1);
    redis.ask::<()>(&["DEL", name]);
    assert_eq!(gateway.send(&again(&request)).status, 201);
}

#[test]
fn the_key_of_a_process_that_died_is_free_after_a_while() {
    let redis = Redis::start();
    let (latch, upstream) = Latch::before(201, "{}");
    let (one, other) = (
        setup(&redis.url(), &upstream).start(),
        setup(&redis.url(), &upstream).start(),
    );
    let request = paid(&key(), "{}");
    let mut wire = one.connect();
    wire.write(request.bytes());
    eventually("it is at the service", || upstream.seen(&request.case).len() == 1);
    one.kill();
    latch.open();
    other.refused(&again(&request), 409, "idempotency_in_progress");
    let keys: Vec<String> = redis.ask(&["KEYS", "sidegate:i:*"]);
    let left: i64 = redis.ask(&["PTTL", &keys[0]]);
    assert!((1..=30_000).contains(&left), "{left}");
    redis.ask::<()>(&["PEXPIRE", &keys[0], "1"]);
    eventually("it is free", || other.send(&again(&request)).status == 201);
}

#[test]
fn a_key_that_was_granted_without_a_word_is_given_up() {
    let redis = Redis::start();
    let gateway = setup(&redis.url(), &counting()).start();
    let request = paid(&key(), "{}");
    redis.freeze();
    assert_no_store(&gateway, &request);
    redis.thaw();
    // The work is done now, and no request is in flight.
    eventually("the key is free", || gateway.send(&again(&request)).status == 201);
}

#[test]
fn key_that_another_replica_took_over_is_logged() {
    let redis = Redis::start();
    let (latch, upstream) = Latch::before(201, "{}");
    let gateway = setup(&redis.url(), &upstream).start();
    let request = paid(&key(), "{}");
    let mut wire = gateway.connect();
    wire.write(request.bytes());
    eventually("it is at the service", || upstream.seen(&request.case).len() == 1);
    let keys: Vec<String> = redis.ask(&["KEYS", "sidegate:i:*"]);
    redis.ask::<()>(&["SET", &keys[0], "cotherownerother"]);
    latch.open();
    assert_eq!(wire.answer("POST").unwrap().status, 201);
    let lost = [("operation", "complete"), ("result", "lost")];
    eventually("it is counted", || {
        gateway.metric("sidegate_store_operations_total", &lost) == Some(1.0)
    });
    eventually("it is told", || gateway.log_text().contains("may have been done twice"));
}

#[test]
fn key_in_flight_is_executed_once_though_redis_restarts_empty() {
    let redis = Redis::start();
    let (latch, upstream) = Latch::before(201, "{}");
    let [one, other] = [(); 2].map(|()| setup(&redis.url(), &upstream).start());
    let request = paid(&key(), "{}");
    thread::scope(|scope| {
        let first = scope.spawn(|| one.send(&request));
        eventually("it is at the service", || upstream.seen(&request.case).len() == 1);
        redis.kill();
        eventually("the store is lost", || {
            one.metric("sidegate_store_up", &[]) == Some(0.0)
        });
        redis.run();
        // At every moment, with or without Redis.
        eventually("the store is back", || {
            let answer = one.send(&again(&request));
            assert!(matches!(answer.status, 409 | 503), "{answer:?}");
            answer.status == 409 && one.metric("sidegate_store_up", &[]) == Some(1.0)
        });
        let names: Vec<String> = redis.ask(&["KEYS", "sidegate:i:*"]);
        assert_eq!(names.len(), 1, "the lease is there");
        eventually("the other one has it, too", || {
            let answer = other.send(&again(&request));
            assert!(matches!(answer.status, 409 | 503), "{answer:?}");
            answer.status == 409
        });
        latch.open();
        assert_eq!(first.join().unwrap().status, 201);
    });
    for gateway in [&one, &other] {
        eventually("it is stored", || is_replayed(&gateway.send(&again(&request))));
    }
    assert_eq!(upstream.all().len(), 1);
    assert!(!one.log_text().contains("may have been done twice"));
}

#[test]
fn requests_rejected_without_a_redis_leave_no_work() {
    let redis = Redis::start();
    let gateway = setup(&redis.url(), &counting()).start();
    let counted = |operation: &str, result: &str| {
        let labels = [("operation", operation), ("result", result)];
        gateway
            .metric("sidegate_store_operations_total", &labels)
            .unwrap_or(0.0)
    };
    redis.kill();
    eventually("the store is lost", || {
        gateway.metric("sidegate_store_up", &[]) == Some(0.0)
    });
    // Over a second, in which releases would be tried.
    let refused = counted("claim", "disconnected");
    let connects = counted("connect", "disconnected");
    eventually("it is tried to connect again and again", || {
        for _ in 0..20 {
            assert_no_store(&gateway, &paid(&key(), "{}"));
        }
        counted("connect", "disconnected") >= connects + 3.0
    });
    assert!(counted("claim", "disconnected") >= refused + 20.0);
    redis.run();
    eventually("keys are taken", || gateway.send(&paid(&key(), "{}")).status == 201);
    let labels = [("operation", "release")];
    let released = gateway.metric("sidegate_store_operations_total", &labels);
    assert_eq!(released, None, "nothing was claimed");
}

#[test]
fn response_whose_confirmation_was_lost_raises_no_alarm() {
    let redis = Redis::start();
    let toxic = Toxic::before(redis.port);
    let latch = Latch::default();
    let opened = latch.clone();
    let upstream = Upstream::start(move |request| {
        if request.body == b"slow" {
            opened.wait();
        }
        Reply::status(201, "{}")
    });
    let url = format!("redis://127.0.0.1:{}", toxic.port);
    let gateway = setup(&url, &upstream)
        .config(&format!("store: {{ redis: {{ url: '{url}', timeout: 2s }} }}"))
        .start();
    // Redis knows all scripts from now on.
    assert_eq!(gateway.send(&paid(&key(), "{}")).status, 201);
    let request = paid(&key(), "slow");
    let responses = || {
        let names: Vec<String> = redis.ask(&["KEYS", "sidegate:i:*"]);
        let kind = |name: &String| redis.ask::<Vec<u8>>(&["GETRANGE", name, "0", "0"]);
        names.iter().map(kind).filter(|kind| kind == b"b").count()
    };
    thread::scope(|scope| {
        let first = scope.spawn(|| gateway.send(&request));
        eventually("it is at the service", || upstream.seen(&request.case).len() == 1);
        toxic.set(Fault::Mute);
        latch.open();
        eventually("Redis has it", || responses() == 2);
        assert_eq!(first.join().unwrap().status, 201);
    });
    toxic.set(Fault::Nothing);
    toxic.cut();
    eventually("it is told", || gateway.log_text().contains("stored after all"));
    assert!(is_replayed(&gateway.send(&again(&request))));
    assert!(
        !gateway.log_text().contains("may have been done twice"),
        "{}",
        gateway.log_text()
    );
    for operation in ["renew", "complete"] {
        let lost = [("operation", operation), ("result", "lost")];
        assert_eq!(
            gateway.metric("sidegate_store_operations_total", &lost),
            Some(0.0),
            "{operation}"
        );
    }
    assert_eq!(upstream.all().len(), 2);
}

#[test]
fn response_that_a_redis_missed_is_stored_when_it_is_back() {
    let redis = Redis::durable();
    let (latch, upstream) = Latch::before(201, "{\"done\":true}");
    let gateway = setup(&redis.url(), &upstream).start();
    let request = paid(&key(), "{}");
    thread::scope(|scope| {
        let first = scope.spawn(|| gateway.send(&request));
        eventually("it is at the service", || upstream.seen(&request.case).len() == 1);
        redis.kill();
        latch.open();
        let first = first.join().unwrap();
        assert_eq!(
            (first.status, first.text().as_str()),
            (201, "{\"done\":true}"),
            "the work is done"
        );
    });
    redis.run();
    eventually("the answer is kept", || is_replayed(&gateway.send(&again(&request))));
    assert_eq!(upstream.all().len(), 1);
}

#[test]
fn response_that_waits_for_redis_is_stored_before_the_process_ends() {
    let redis = Redis::start();
    let toxic = Toxic::before(redis.port);
    let (latch, upstream) = Latch::before(201, "{\"done\":true}");
    let url = format!("redis://127.0.0.1:{}", toxic.port);
    let gateway = setup(&url, &upstream).start();
    let request = paid(&key(), "{}");
    thread::scope(|scope| {
        let first = scope.spawn(|| gateway.send(&request));
        eventually("it is at the service", || upstream.seen(&request.case).len() == 1);
        toxic.set(Fault::Silent);
        latch.open();
        assert_eq!(first.join().unwrap().status, 201);
    });
    eventually("it waits", || {
        gateway.log_text().contains("could not be stored; trying again")
    });
    gateway.terminate();
    toxic.set(Fault::Nothing);
    toxic.cut();
    assert!(gateway.ended().success());
    assert!(
        gateway.log_text().contains("stored after all"),
        "{}",
        gateway.log_text()
    );
    let other = setup(&redis.url(), &upstream).start();
    assert!(is_replayed(&other.send(&again(&request))));
    assert_eq!(upstream.all().len(), 1);
}

#[test]
fn replicas_that_cannot_see_each_other_do_not_answer_twice() {
    let redis = Redis::start();
    let (here, there) = (Toxic::before(redis.port), Toxic::before(redis.port));
    let upstream = counting();
    let replica = |toxic: &Toxic| setup(&format!("redis://127.0.0.1:{}", toxic.port), &upstream).start();
    let (one, other) = (replica(&here), replica(&there));
    let request = paid(&key(), "{}");
    assert_eq!(one.send(&request).status, 201);
    there.set(Fault::Silent);
    assert_no_store(&other, &request);
    let new = paid(&key(), "{}");
    assert_eq!(one.send(&new).status, 201);
    assert_no_store(&other, &new);
    there.set(Fault::Nothing);
    for request in [&request, &new] {
        eventually("it knows", || is_replayed(&other.send(&again(request))));
    }
    assert_eq!(upstream.all().len(), 2);
}

#[test]
fn nothing_of_a_caller_is_in_the_name_of_a_key() {
    let redis = Redis::start();
    let gateway = setup(&redis.url(), &counting()).start();
    let hostile = "a:b*?[x]\r\nDEL y {z}";
    let request = Request::post("/w/strict?*", "{}")
        .bearer(&token(json!({ "sub": hostile, "jti": hostile, "planTier": hostile })))
        .tenant()
        .header("idempotency-key", &key());
    // The subject cannot be a header value, so it is one of an ordinary user that gets through.
    gateway.refused(&request, 401, "token_claim_invalid");
    let spaced = Request::post("/w/strict?*", "{}")
        .bearer(&token(json!({ "sub": "a:b*?[x] {z}" })))
        .tenant()
        .header("idempotency-key", &key());
    assert_eq!(gateway.send(&spaced).status, 201);
    let names: Vec<String> = redis.ask(&["KEYS", "*"]);
    assert!(names.len() >= 2);
    for name in names {
        let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, ':' | '{' | '}');
        assert!(
            name.starts_with("sidegate:") && name.chars().all(fine) && !name.contains(TENANT),
            "{name}"
        );
    }
}
