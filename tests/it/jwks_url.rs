//! Keys from a URL: fetched in the background, shared by all requests, bounded in size and time.

use std::{net::TcpListener, thread};

use serde_json::json;

use crate::harness::{
    Latch, Reply, Request, Setup, Upstream, also_on_4_threads, eventually, free_port,
    gateway::text as output_text,
    issuer::{Key, KeyServer, claims, key_set, token_of_text},
    upstream::Recorded,
};

const POLICY: &str = "
version: 1
service: wallet-svc
prefix: /w
upstream: { url: '$upstream' }
errors: { format: envelope, code_prefix: ERR_WALLET }
jwt: { issuers: [{ issuer: unchecked, audience: unchecked, algorithms: [ES256], keys: $keys }] }
routes:
  - { path: /open, auth: public }
  - { path: /*, auth: jwt }
";

fn trusting(url: &str) -> Setup {
    Setup::new()
        .set("keys", &format!("{{ jwks: {{ url: '{url}' }} }}"))
        .policy("wallet", POLICY)
}

/// A key set with an `ETag`, that is sent once.
fn unless_known(request: &Recorded, set: &str) -> Reply {
    match request.values("if-none-match")[..] {
        ["\"1\""] => Reply::status(304, ""),
        _ => Reply::ok(set).header("etag", "\"1\""),
    }
}

fn get(key: &Key) -> Request {
    Request::get("/w/wallets").bearer(&key.sign(claims(json!({}))))
}

also_on_4_threads![
    published_keys_are_fetched_once_and_serve_every_request,
    the_very_first_requests_wait_for_the_first_key_set_together,
    a_key_server_that_recovers_is_asked_again,
    unknown_key_ids_do_not_let_a_caller_drive_fetches,
    a_new_key_is_fetched_once_for_all_who_wait_for_it,
];

#[test]
fn published_keys_are_fetched_once_and_serve_every_request() {
    let key = Key::new("ES256", "one");
    let server = KeyServer::publishing(&[&key]);
    let gateway = trusting(&server.url).start();
    for _ in 0..20 {
        gateway.allowed(&get(&key));
    }
    assert_eq!(server.fetches(), 1);
    assert_eq!(
        gateway.metric("sidegate_jwks_refreshes_total", &[("result", "success")]),
        Some(1.0)
    );
    let [had, until] = ["last_success", "expiry"].map(|which| {
        let name = format!("sidegate_jwks_{which}_timestamp_seconds");
        gateway.metric(&name, &[]).unwrap()
    });
    assert!(had > 1e9, "{had}");
    assert!((until - had - 3600.0).abs() < 1.0, "an hour is the default: {until}");
}

#[test]
fn an_issuer_that_finds_no_key_in_a_set_keeps_none_from_another() {
    let key = Key::new("ES256", "one");
    let server = KeyServer::publishing(&[&key]);
    let other = POLICY
        .replace("ES256", "ES384")
        .replace("prefix: /w", "prefix: /other")
        .replace("wallet-svc", "other-svc");
    let gateway = trusting(&server.url).always_ready().policy("a-other", &other).start();
    gateway.allowed(&get(&key));
    let there = Request::get("/other/x").bearer(&Key::new("ES384", "one").sign(claims(json!({}))));
    gateway.refused(&there, 503, "keys_unavailable");
}

#[test]
fn the_very_first_requests_wait_for_the_first_key_set_together() {
    let key = Key::new("ES256", "one");
    let (set, release) = (key_set(&[&key]), Latch::default());
    let held = release.clone();
    let server = KeyServer::new(move || {
        held.wait();
        Reply::ok(&set).header("content-type", "application/json")
    });
    let gateway = trusting(&server.url).start_unready();
    thread::scope(|scope| {
        let waiting: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| gateway.send(&get(&key)).status))
            .collect();
        // Nothing else waits with them.
        gateway.allowed(&Request::get("/w/open"));
        eventually("the first fetch", || server.fetches() > 0);
        release.open();
        for each in waiting {
            assert_eq!(each.join().unwrap(), 200);
        }
    });
    assert_eq!(server.fetches(), 1);
}

#[test]
fn keys_out_of_reach_are_a_503_and_never_a_pass() {
    let key = Key::new("ES256", "one");
    let nobody = format!("http://127.0.0.1:{}/keys", free_port());
    let gateway = trusting(&nobody).start_unready();
    gateway.refused(&get(&key), 503, "keys_unavailable");
    gateway.refused(&Request::get("/w/wallets"), 401, "credential_missing");
    gateway.allowed(&Request::get("/w/open"));
}

#[test]
fn a_key_server_that_never_answers_is_not_waited_for_for_ever() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let gateway = trusting(&format!("http://{}/keys", silent.local_addr().unwrap())).start_unready();
    // The client itself gives up after `PATIENCE`.
    gateway.refused(&get(&Key::new("ES256", "one")), 503, "keys_unavailable");
}

#[test]
fn response_that_is_not_a_key_set_leaves_no_keys() {
    let key = Key::new("ES256", "one");
    let set = key_set(&[&key]);
    let padded = format!("{{\"padding\":\"{}\",{}", "x".repeat(8 << 20), &set[1..]);
    let private = json!({ "keys": [{ "kty": "oct", "kid": "one", "alg": "HS256", "k": "c2VjcmV0LXRoYXQtaXMtbG9uZy1lbm91Z2gtMDEyMzQ" }] });
    let wrong_curve = {
        let mut jwk = key.jwk.clone();
        jwk["alg"] = json!("ES384");
        json!({ "keys": [jwk] })
    };
    let encryption = {
        let mut jwk = key.jwk.clone();
        jwk["use"] = json!("enc");
        json!({ "keys": [jwk] })
    };
    for (what, status, body) in [
        ("an oversized one", 200, padded),
        ("a failure with a key set in it", 500, set),
        ("not JSON", 200, "<html>".to_owned()),
        ("no keys", 200, "{}".to_owned()),
        ("an empty set", 200, r#"{"keys":[]}"#.to_owned()),
        ("a secret", 200, private.to_string()),
        ("a contradiction", 200, wrong_curve.to_string()),
        ("a key for something else", 200, encryption.to_string()),
    ] {
        let server = KeyServer::new(move || Reply::status(status, &body));
        let gateway = trusting(&server.url).start_unready();
        let answer = gateway.send(&get(&key));
        let refused = matches!(
            (answer.status, answer.reason().as_str()),
            (503, "keys_unavailable") | (401, "token_key_unknown")
        );
        assert!(refused, "{what}: {answer:?}");
    }
}

#[test]
fn a_key_server_that_recovers_is_asked_again() {
    let key = Key::new("ES256", "one");
    let server = KeyServer::new(|| Reply::status(500, ""));
    let gateway = trusting(&server.url).start_unready();
    gateway.refused(&get(&key), 503, "keys_unavailable");
    let set = key_set(&[&key]);
    server.now_answers(move || Reply::ok(&set));
    eventually("the keys are there", || gateway.send(&get(&key)).status == 200);
}

#[test]
fn keys_that_were_withdrawn_or_are_too_old_stop_working() {
    let key = &Key::new("ES256", "one");
    let check = |what: &'static str, body: String| {
        let server = KeyServer::publishing(&[key]);
        let quick = format!("{{ jwks: {{ url: '{}', refresh: 10s, max_stale: 10s }} }}", server.url);
        let gateway = Setup::new().set("keys", &quick).policy("wallet", POLICY).start();
        gateway.allowed(&get(key));
        server.now_answers(move || Reply::ok(&body));
        eventually(what, || {
            let answer = gateway.send(&get(key));
            matches!(answer.status, 401 | 503)
        });
        let reason = if what == "replaced" {
            "token_key_unknown"
        } else {
            "keys_unavailable"
        };
        gateway.refused(&get(key), if what == "replaced" { 401 } else { 503 }, reason);
    };
    // Each takes a refresh, of ten seconds at least.
    thread::scope(|scope| {
        scope.spawn(|| check("withdrawn", r#"{"keys":[]}"#.to_owned()));
        scope.spawn(|| check("replaced", key_set(&[&Key::new("ES256", "two")])));
        scope.spawn(|| check("out of reach", "<html>".to_owned()));
    });
}

#[test]
fn token_that_points_to_a_key_causes_no_fetch() {
    let key = Key::new("ES256", "one");
    let (server, bait) = (KeyServer::publishing(&[&key]), KeyServer::publishing(&[&key]));
    let gateway = trusting(&server.url).start();
    gateway.allowed(&get(&key));
    for name in ["jku", "x5u"] {
        let header = json!({ "alg": "ES256", "kid": "one", name: bait.url }).to_string();
        let token = token_of_text(&header, claims(json!({})).to_string());
        let request = Request::get("/w/wallets").bearer(&token).tenant();
        gateway.refused(&request, 401, "token_malformed");
    }
    assert_eq!((bait.fetches(), server.fetches()), (0, 1));
}

#[test]
fn unknown_key_ids_do_not_let_a_caller_drive_fetches() {
    let key = Key::new("ES256", "one");
    let server = KeyServer::publishing(&[&key]);
    let gateway = trusting(&server.url).start();
    for kid in 0..20 {
        gateway.refused(&get(&Key::new("ES256", &kid.to_string())), 401, "token_key_unknown");
    }
    gateway.allowed(&get(&key));
    assert!(server.fetches() <= 2, "{} fetches", server.fetches());
}

#[test]
fn a_new_key_is_fetched_once_for_all_who_wait_for_it() {
    let (old, new) = (Key::new("ES256", "old"), Key::new("ES256", "new"));
    let server = KeyServer::publishing(&[&old]);
    let gateway = trusting(&server.url).start();
    let (set, release) = (key_set(&[&new]), Latch::default());
    let held = release.clone();
    server.now_answers(move || {
        held.wait();
        Reply::ok(&set)
    });
    thread::scope(|scope| {
        let first = scope.spawn(|| gateway.send(&get(&new)).status);
        eventually("a fetch for its sake", || server.fetches() == 2);
        // Others continue meanwhile.
        gateway.allowed(&get(&old));
        gateway.allowed(&Request::get("/w/open"));
        release.open();
        assert_eq!(first.join().unwrap(), 200);
    });
    thread::scope(|scope| {
        let rest: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| gateway.send(&get(&new)).status))
            .collect();
        assert!(rest.into_iter().all(|each| each.join().unwrap() == 200));
    });
    gateway.refused(&get(&old), 401, "token_key_unknown");
    assert_eq!(server.fetches(), 2);
}

#[test]
fn only_tokens_that_the_issuer_may_have_signed_are_worth_a_fetch() {
    let key = Key::new("ES256", "one");
    let server = KeyServer::publishing(&[&key]);
    let gateway = trusting(&server.url).start();
    let other_algorithm = get(&Key::new("ES384", "two"));
    gateway.refused(&other_algorithm, 401, "token_algorithm_not_allowed");
    gateway.refused(&get(&Key::new("ES256", "one")), 401, "token_signature_invalid");
    gateway.refused(&Request::get("/w/wallets").bearer("a.b.c"), 401, "token_malformed");
    assert_eq!(server.fetches(), 1);
}

#[test]
fn issuer_that_hangs_delays_no_other_issuer() {
    let key = Key::new("ES256", "one");
    let (good, release) = (KeyServer::publishing(&[&key]), Latch::default());
    let held = release.clone();
    let slow = KeyServer::new(move || {
        held.wait();
        Reply::status(500, "")
    });
    let policy = "
version: 1
service: s
prefix: /w
upstream: { url: '$upstream' }
errors: { format: envelope, code_prefix: ERR }
jwt:
  issuers:
    - { issuer: slow, audience: unchecked, algorithms: [ES256], keys: { jwks: { url: '$slow' } } }
    - { issuer: good, audience: unchecked, algorithms: [ES256], keys: { jwks: { url: '$good' } } }
routes: [{ path: /*, auth: jwt }]
";
    let gateway = Setup::new()
        .always_ready()
        .set("slow", &slow.url)
        .set("good", &good.url)
        .policy("wallet", policy)
        .start_unready();
    let of = |issuer: &str| Request::get("/w/x").bearer(&key.sign(claims(json!({ "iss": issuer }))));
    thread::scope(|scope| {
        let waiting = scope.spawn(|| gateway.send(&of("slow")));
        eventually("the slow one is asked", || slow.fetches() == 1);
        gateway.allowed(&of("good"));
        // Not while a request may still wait for the keys; but not for ever.
        eventually("it is ready", || gateway.probe("/readyz") == Some(200));
        let answer = waiting.join().unwrap();
        assert_eq!((answer.status, answer.reason().as_str()), (503, "keys_unavailable"));
    });
    release.open();
    let page = gateway.admin("/readyz").text();
    for line in [
        "ok\n",
        "issuer good: 1 key; for s\n",
        "issuer slow: 0 keys, last fetch failed: ",
    ] {
        assert!(page.contains(line), "{line} in {page}");
    }
    assert_eq!(gateway.metric("sidegate_jwks_keys", &[("issuer", "good")]), Some(1.0));
    let failed = [("issuer", "slow"), ("result", "failure")];
    eventually("it is counted", || {
        gateway.metric("sidegate_jwks_refreshes_total", &failed) >= Some(1.0)
    });
}

#[test]
fn one_issuer_of_several_policies_is_fetched_once_and_each_line_names_its_services() {
    let key = Key::new("ES256", "one");
    let (good, broken) = (
        KeyServer::publishing(&[&key]),
        KeyServer::new(|| Reply::status(500, "")),
    );
    let policy = |service: &str, keys: &str| {
        format!(
            "
version: 1
service: {service}
prefix: /{service}
upstream: {{ url: '$upstream' }}
jwt: {{ issuers: [{{ issuer: them, audience: unchecked, algorithms: [ES256], keys: {{ jwks: {{ url: '{keys}' }} }} }}] }}
routes: [{{ path: /*, auth: jwt }}]
"
        )
    };
    let gateway = Setup::new()
        .always_ready()
        .policy("a", &policy("b-svc", &good.url))
        .policy("b", &policy("a-svc", &good.url))
        .policy("c", &policy("c-svc", &broken.url))
        .start();
    for (service, status) in [("a-svc", 200), ("b-svc", 200), ("c-svc", 503)] {
        let token = key.sign(claims(json!({ "iss": "them" })));
        let answer = gateway.send(&Request::get(&format!("/{service}/x")).bearer(&token));
        assert_eq!(answer.status, status, "{service}: {answer:?}");
    }
    assert_eq!(good.fetches(), 1);
    let page = gateway.admin("/readyz").text();
    let lines: Vec<_> = page.lines().collect();
    assert_eq!(lines[..2], ["ok", "issuer them: 1 key; for a-svc, b-svc"], "{page}");
    assert!(
        lines[2].starts_with("issuer them: 0 keys, last fetch failed: "),
        "{page}"
    );
    assert!(lines[2].ends_with("; for c-svc"), "{page}");
    // The good keys of two do not hide that the third has none.
    assert_eq!(gateway.metric("sidegate_jwks_keys", &[("issuer", "them")]), Some(0.0));
}

#[test]
fn a_key_set_that_has_not_changed_is_not_sent_again() {
    let key = Key::new("ES256", "one");
    let set = key_set(&[&key]);
    let server = Upstream::start(move |request| unless_known(request, &set));
    let gateway = trusting(&server.url).start();
    gateway.allowed(&get(&key));
    gateway.refused(&get(&Key::new("ES256", "two")), 401, "token_key_unknown");
    let counted = |result| gateway.metric("sidegate_jwks_refreshes_total", &[("result", result)]);
    assert_eq!((counted("success"), counted("not_modified")), (Some(1.0), Some(1.0)));
    gateway.allowed(&get(&key));
}

#[test]
fn a_server_may_ask_for_a_shorter_period() {
    let key = Key::new("ES256", "one");
    let set = key_set(&[&key]);
    let server = KeyServer::new(move || Reply::ok(&set).header("cache-control", "public, max-age=1"));
    let gateway = trusting(&server.url).start();
    // The refresh period is five minutes.
    eventually("the next fetch", || server.fetches() > 1);
    gateway.allowed(&get(&key));
}

#[test]
fn redirects_are_not_followed() {
    let key = Key::new("ES256", "one");
    let elsewhere = KeyServer::publishing(&[&key]);
    for status in [301, 302, 303, 307, 308] {
        let url = elsewhere.url.clone();
        let server = KeyServer::new(move || Reply::status(status, "").header("location", &url));
        let gateway = trusting(&server.url).always_ready().start();
        gateway.refused(&get(&key), 503, "keys_unavailable");
    }
    assert_eq!(elsewhere.fetches(), 0);
}

#[test]
fn values_in_the_query_of_a_key_set_are_fetched_with_and_shown_nowhere() {
    let key = Key::new("ES256", "one");
    let server = KeyServer::publishing(&[&key]);
    let url = format!("{}?api_key=s3cr3t-0123456789", server.url);
    let gateway = trusting(&url).start();
    gateway.allowed(&get(&key));
    let shown = format!("{}?api_key=***", server.url);
    server.now_answers(|| Reply::status(503, ""));
    let doctor = trusting(&url).run(&["doctor", "--config", "sidegate.yaml", "--output", "json"]);
    for (what, text) in [
        ("log", gateway.log_text()),
        ("readiness", gateway.admin("/readyz").text()),
        ("metrics", gateway.admin("/metrics").text()),
        ("doctor", output_text(&doctor)),
    ] {
        assert!(text.contains(&shown), "{what}: {text}");
        assert!(!text.contains("s3cr3t"), "{what}: {text}");
    }
    let down = trusting(&format!("http://127.0.0.1:{}/keys?s3cr3t", free_port())).start_unready();
    down.refused(&get(&key), 503, "keys_unavailable");
    assert!(!down.log_text().contains("s3cr3t"), "{}", down.log_text());
}
