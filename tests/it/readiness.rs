//! `/readyz`: a process that has never had the keys of an issuer, or the revocations that it must
//! know, is not ready; one that was ready stays so.

use std::fs;

use serde_json::json;

use crate::harness::{
    Gateway, Reply, Request, Setup, also_on_4_threads, eventually, free_port,
    issuer::{Key, KeyServer, claims, key_set},
    redis::Redis,
};

const POLICY: &str = "
version: 1
service: $name-svc
prefix: /$name
upstream: { url: '$upstream' }
errors: { format: envelope, code_prefix: ERR }
jwt:
  issuers:
    - { issuer: $name, audience: unchecked, algorithms: [ES256], keys: { jwks: { url: '$url' } } }
routes:
  - { path: /open/*, auth: public }
  - { path: /*, auth: jwt }
";

/// A policy whose issuer has its name, and its keys behind a URL.
fn policy(name: &str, url: &str) -> String {
    POLICY.replace("$name", name).replace("$url", url)
}

/// A URL that nothing listens at.
fn nowhere() -> String {
    format!("http://127.0.0.1:{}/keys", free_port())
}

fn failing() -> KeyServer {
    KeyServer::new(|| Reply::status(500, ""))
}

fn page(gateway: &Gateway) -> (u16, Vec<String>) {
    let page = gateway.admin("/readyz");
    (page.status, page.text().lines().map(str::to_owned).collect())
}

fn is_ready(gateway: &Gateway) -> bool {
    page(gateway).0 == 200
}

/// Waits until the first attempts are over, and returns what is waited for then.
#[track_caller]
fn waits_for(gateway: &Gateway) -> Vec<String> {
    let mut lines = Vec::new();
    eventually("all was asked for once", || {
        let (status, page) = page(gateway);
        assert_eq!((status, page[0].as_str()), (503, "not ready"), "{page:?}");
        lines = page;
        !lines
            .iter()
            .any(|line| line.contains("under way") || line.contains("not asked yet") || line.contains("the store"))
    });
    let waiting = lines.iter().filter_map(|line| line.strip_prefix("waiting for "));
    waiting.map(str::to_owned).collect()
}

also_on_4_threads![
    keys_that_are_lost_later_and_issuers_that_a_reload_adds_leave_it_ready,
    reload_that_mends_an_address_makes_it_ready,
];

#[test]
fn not_ready_until_each_key_set_was_fetched_once() {
    let key = Key::new("ES256", "1");
    let (first, second) = (failing(), failing());
    let gateway = Setup::new()
        .policy("a", &policy("a", &first.url))
        .policy("b", &policy("b", &second.url))
        .start_unready();
    let both = ["the keys of issuer a, for a-svc", "the keys of issuer b, for b-svc"];
    assert_eq!(waits_for(&gateway), both);
    // What needs no keys is served all the same, such as a key server behind this very process.
    gateway.allowed(&Request::get("/a/open/x"));
    let set = key_set(&[&key]);
    let answer = set.clone();
    first.now_answers(move || Reply::ok(&answer));
    eventually("only the other keys are missing", || waits_for(&gateway) == [both[1]]);
    second.now_answers(move || Reply::ok(&set));
    eventually("it is ready", || is_ready(&gateway));
    gateway.allowed(&Request::get("/b/x").bearer(&key.sign(claims(json!({ "iss": "b" })))));
    let (_, lines) = page(&gateway);
    assert!(lines.iter().all(|line| !line.starts_with("waiting")), "{lines:?}");
}

#[test]
fn key_set_without_a_usable_key_does_not_make_it_ready() {
    let keys = KeyServer::new(|| Reply::ok("{\"keys\":[]}"));
    let gateway = Setup::new().policy("a", &policy("a", &keys.url)).start_unready();
    assert_eq!(waits_for(&gateway), ["the keys of issuer a, for a-svc"]);
}

#[test]
fn keys_that_are_lost_later_and_issuers_that_a_reload_adds_leave_it_ready() {
    let (key, other) = (Key::new("ES256", "1"), Key::new("ES256", "2"));
    let keys = KeyServer::publishing(&[&key]);
    let gateway = Setup::new().policy("a", &policy("a", &keys.url)).start();
    keys.now_answers(|| Reply::status(500, ""));
    let of = |name: &str, key: &Key| {
        let token = key.sign(claims(json!({ "iss": name })));
        Request::get(&format!("/{name}/x")).bearer(&token)
    };
    // A key that is unknown has the set fetched.
    gateway.refused(&of("a", &other), 401, "token_key_unknown");
    let added = policy("b", &nowhere()).replace("$upstream", &gateway.upstream.url);
    fs::write(gateway.path("policies/b.yaml"), added).unwrap();
    for what in [
        "issuer a: 1 key, last fetch failed",
        "issuer b: 0 keys, last fetch failed",
    ] {
        eventually(what, || {
            let (status, lines) = page(&gateway);
            assert_eq!(status, 200, "{lines:?}");
            lines.iter().any(|line| line.starts_with(what))
        });
    }
    gateway.refused(&of("b", &key), 503, "keys_unavailable");
}

#[test]
fn reload_that_mends_an_address_makes_it_ready() {
    let keys = KeyServer::publishing(&[&Key::new("ES256", "1")]);
    let gateway = Setup::new().policy("a", &policy("a", &nowhere())).start_unready();
    assert_eq!(waits_for(&gateway), ["the keys of issuer a, for a-svc"]);
    let mended = policy("a", &keys.url).replace("$upstream", &gateway.upstream.url);
    fs::write(gateway.path("policies/a.yaml"), mended).unwrap();
    eventually("it is ready", || is_ready(&gateway));
}

#[test]
fn revocations_are_waited_for_where_a_policy_rejects_tokens_without_them() {
    let with = |revocation: &str| format!("$wallet\nprefix: /w\n{revocation}\nroutes: [{{ path: /*, auth: jwt }}]\n");
    for (revocation, always, waits) in [
        ("revocation: {}", false, true),
        ("revocation: { when_unavailable: deny }", false, true),
        ("revocation: { when_unavailable: allow }", false, false),
        ("idempotency: {}", false, false),
        ("revocation: {}", true, false),
    ] {
        let redis = Redis::start();
        redis.kill();
        let setup = Setup::new().redis(&redis).policy("wallet", &with(revocation));
        let setup = if always { setup.always_ready() } else { setup };
        if !waits {
            setup.start();
            continue;
        }
        let gateway = setup.start_unready();
        assert_eq!(waits_for(&gateway), ["the list of revocations"], "{revocation}");
        redis.run();
        eventually("it is ready", || is_ready(&gateway));
        redis.kill();
        eventually("the store is lost", || {
            gateway.metric("sidegate_store_up", &[]) == Some(0.0)
        });
        assert!(is_ready(&gateway), "{revocation}");
    }
}

#[test]
fn always_ready_waits_for_the_first_attempt_alone() {
    let gateway = Setup::new()
        .always_ready()
        .policy("a", &policy("a", &nowhere()))
        .start();
    let (status, lines) = page(&gateway);
    assert_eq!((status, lines[0].as_str()), (200, "ok"), "{lines:?}");
    assert!(
        lines[1].starts_with("issuer a: 0 keys, last fetch failed: "),
        "{lines:?}"
    );
}
