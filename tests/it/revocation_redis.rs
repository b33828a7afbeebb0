//! Tokens that are revoked for all replicas: through any of them, or straight in Redis.

use std::{process::Output, time::Instant};

use serde_json::{Value, json};

use crate::harness::{
    Gateway, PATIENCE, Request, Setup, also_on_4_threads, eventually, gateway::text, issuer::token, redis::Redis,
};

const POLICY: &str = "
$wallet
prefix: /w
revocation: {}
routes: [{ path: /*, auth: jwt }]
";

fn replica(url: &str) -> Gateway {
    let store = format!("store: {{ redis: {{ url: '{url}', prefix: it }} }}");
    Setup::new().policy("wallet", POLICY).config(&store).start()
}

fn refuses(gateway: &Gateway, jti: &str) -> bool {
    let bearer = token(json!({ "jti": jti }));
    let answer = gateway.send(&Request::get("/w/x").tenant().bearer(&bearer));
    answer.status == 401 && answer.reason() == "token_revoked"
}

/// What a command says that succeeds.
#[track_caller]
fn said(output: &Output) -> Value {
    assert_eq!(output.status.code(), Some(0), "{}", text(output));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn revoke(gateway: &Gateway, jti: &str, arguments: &[&str]) -> Value {
    said(&gateway.sidegate(&[&["revoke", "jti", jti, "--output", "json"], arguments].concat()))
}

also_on_4_threads![
    token_revoked_on_one_replica_is_rejected_by_all,
    a_process_whose_redis_is_gone_says_so,
];

#[test]
fn token_revoked_on_one_replica_is_rejected_by_all() {
    let redis = Redis::start();
    let (one, other) = (replica(&redis.url()), replica(&redis.url()));
    assert!(!refuses(&one, "a") && !refuses(&other, "a"));
    let by_socket = revoke(&one, "a", &[]);
    assert!(by_socket["via"]["control"].is_string(), "{by_socket}");
    assert_eq!(by_socket["policies"], 1);
    assert!(refuses(&one, "a"), "it knows by itself");
    eventually("the other hears of it", || refuses(&other, "a"));
    // With the prefix of sidegate.yaml, which says where else it is.
    let straight = revoke(&one, "b", &["--store", &redis.url()]);
    assert_eq!(straight["via"], json!({ "store": "redis" }));
    assert_eq!(straight["policies"], Value::Null);
    for gateway in [&one, &other] {
        eventually("they hear of it", || refuses(gateway, "b"));
    }
    assert!(!refuses(&one, "c"));
    let url = redis.url();
    let ways = [
        other.sidegate(&["revocations", "--output", "json"]),
        other.sidegate(&["revocations", "--output", "json", "--store", &url]),
        other.sidegate_with(&["revocations", "--output", "json"], &[("SIDEGATE_STORE", &url)]),
    ];
    for (output, way) in ways.iter().zip(["control", "store", "store"]) {
        let list = said(output);
        assert!(!list["via"][way].is_null(), "{list}");
        let values: Vec<&Value> = list["revocations"]
            .as_array()
            .unwrap()
            .iter()
            .map(|each| &each["value"])
            .collect();
        assert_eq!(values, ["a", "b"], "{list}");
        assert!(list["age_ms"].as_u64().unwrap() < 30_000, "{list}");
    }
}

#[test]
fn without_a_process_it_goes_straight_into_redis() {
    let redis = Redis::start();
    let gateway = replica(&redis.url());
    gateway.terminate();
    gateway.ended();
    let straight = revoke(&gateway, "a", &[]);
    assert_eq!(straight["via"], json!({ "store": "redis" }));
    assert!(refuses(&replica(&redis.url()), "a"));
    // A command that names a socket tries nothing else.
    let output = gateway.sidegate(&["revoke", "jti", "b", "--control", "c.sock"]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    redis.kill();
    let begun = Instant::now();
    let output = gateway.sidegate(&["revoke", "jti", "b"]);
    assert_eq!(output.status.code(), Some(2));
    for word in [
        "no process or store could be reached",
        "the control socket `",
        "the store: ",
    ] {
        assert!(text(&output).contains(word), "{}", text(&output));
    }
    assert!(begun.elapsed() < PATIENCE);
    let secret = gateway.sidegate(&["revocations", "--store", "redis://:hidden@127.0.0.1:1"]);
    assert_eq!(secret.status.code(), Some(2));
    assert!(!text(&secret).contains("hidden"), "{}", text(&secret));
}

#[test]
fn a_process_whose_redis_is_gone_says_so() {
    let redis = Redis::start();
    let gateway = replica(&redis.url());
    revoke(&gateway, "a", &[]);
    redis.kill();
    let output = gateway.sidegate(&["revoke", "jti", "b"]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    assert!(
        text(&output).contains("the store of the process did not reply"),
        "{}",
        text(&output)
    );
    assert!(refuses(&gateway, "a") && !refuses(&gateway, "b"));
    let list = said(&gateway.sidegate(&["revocations", "--output", "json"]));
    assert_eq!(list["count"], 1, "what it knew it knows");
}
