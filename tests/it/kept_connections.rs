//! What changes while it runs holds for the next request of every connection that is kept, whatever thread serves it.

use std::fs;

use serde_json::json;

use crate::{
    harness::{
        Gateway, JOBS_KEY, Reply, Request, SECRET, Setup, Wire, also_on_4_threads, eventually,
        issuer::{Key, KeyServer, claims, hmac, key_set, token},
        redis::Redis,
    },
    reload::{promptly, reloads},
};

const POLICY: &str = "
$wallet
prefix: /w
revocation: {}
routes: [{ path: /open, auth: public }, { path: /*, auth: jwt }]
";

/// So many come to each of four threads.
const KEPT: usize = 16;

/// Connections that are kept, some on each thread.
struct Kept(Vec<Wire>);

impl Kept {
    fn of(gateway: &Gateway) -> Self {
        Self((0..KEPT).map(|_| gateway.connect()).collect())
    }

    /// Whether each of them gets a response with this status.
    fn all_get(&mut self, status: u16, request: &Request) -> bool {
        self.statuses(request).iter().all(|each| *each == status)
    }

    fn statuses(&mut self, request: &Request) -> Vec<u16> {
        let answers = self.0.iter_mut().map(|wire| wire.exchange(request));
        answers.map(|answer| answer.status).collect()
    }

    #[track_caller]
    fn assert(&mut self, status: u16, request: &Request) {
        let statuses = self.statuses(request);
        assert_eq!(statuses, [status; KEPT], "{request}");
    }
}

fn with(token: &str) -> Request {
    Request::get("/w/x").tenant().bearer(token)
}

also_on_4_threads![
    revoked_token_is_rejected_on_all_at_once,
    token_revoked_in_redis_is_rejected_on_all,
    changed_policy_holds_for_all_once_it_is_counted,
    replaced_secrets_hold_for_all_once_they_are_counted,
    token_of_a_key_that_the_issuer_withdrew_is_rejected_on_all,
];

#[test]
fn revoked_token_is_rejected_on_all_at_once() {
    let gateway = Setup::new().policy("wallet", POLICY).start();
    let mut kept = Kept::of(&gateway);
    let of = |jti: &str, subject: &str| with(&token(json!({ "jti": jti, "sub": subject })));
    let (one, same_subject, other) = (of("one", "a"), of("two", "a"), of("three", "b"));
    for request in [&one, &same_subject, &other] {
        kept.assert(200, request);
    }
    let revoke = |arguments: &[&str]| assert!(gateway.sidegate(&[&["revoke"], arguments].concat()).status.success());
    revoke(&["jti", "one"]);
    kept.assert(401, &one);
    kept.assert(200, &same_subject);
    revoke(&["subject", "a"]);
    kept.assert(401, &same_subject);
    kept.assert(200, &other);
}

#[test]
fn token_revoked_in_redis_is_rejected_on_all() {
    let redis = Redis::start();
    let store = format!("store: {{ redis: {{ url: '{}' }} }}", redis.url());
    let gateway = Setup::new().config(&store).policy("wallet", POLICY).start();
    let mut kept = Kept::of(&gateway);
    let of = |jti: &str| with(&token(json!({ "jti": jti })));
    kept.assert(200, &of("one"));
    let revoke = ["revoke", "jti", "one", "--store", &redis.url()];
    assert!(gateway.sidegate(&revoke).status.success());
    eventually("all hear of it", || kept.all_get(401, &of("one")));
    kept.assert(200, &of("other"));
}

#[test]
fn changed_policy_holds_for_all_once_it_is_counted() {
    let gateway = Setup::new().policy("wallet", POLICY).start();
    let mut kept = Kept::of(&gateway);
    let (open, guarded) = (Request::get("/w/open"), Request::get("/w/other"));
    let path = gateway.path("policies/wallet.yaml");
    let text = fs::read_to_string(&path).unwrap();
    for (nth, route) in ["/open", "/other", "/open"].into_iter().enumerate() {
        if nth > 0 {
            let before = reloads(&gateway, "success");
            fs::write(gateway.path("new"), text.replace("/open", route)).unwrap();
            fs::rename(gateway.path("new"), &path).unwrap();
            promptly("it is counted", || reloads(&gateway, "success") > before);
        }
        let is_open = route == "/open";
        kept.assert(if is_open { 200 } else { 401 }, &open);
        kept.assert(if is_open { 401 } else { 200 }, &guarded);
    }
}

#[test]
fn replaced_secrets_hold_for_all_once_they_are_counted() {
    const OTHER: &str = "another-secret-of-at-least-32-bytes!!!!!";
    let policy = "
version: 1
service: wallet-svc
prefix: /w
upstream: { url: '$upstream' }
jwt: { issuers: [{ issuer: eventzr.com, audience: [eventzr-api], algorithms: [HS256], keys: { secret: { file: ../secret } } }] }
internal_key: { keys: [{ name: scheduler, secret: { file: ../jobs } }] }
routes: [{ path: /jobs, auth: internal_key }, { path: /*, auth: jwt }]
";
    let gateway = Setup::new()
        .file("secret", SECRET)
        .file("jobs", JOBS_KEY)
        .policy("wallet", policy)
        .start();
    let mut kept = Kept::of(&gateway);
    let signed = |secret: &str| with(&hmac("HS256", secret, claims(json!({}))));
    let call = |key: &str| Request::get("/w/jobs").header("x-internal-api-key", key);
    for (old, new) in [(signed(SECRET), signed(OTHER)), (call(JOBS_KEY), call(OTHER))] {
        kept.assert(200, &old);
        kept.assert(401, &new);
    }
    for file in ["secret", "jobs"] {
        let before = reloads(&gateway, "success");
        fs::write(gateway.path(file), OTHER).unwrap();
        promptly("it is counted", || reloads(&gateway, "success") > before);
    }
    for (old, new) in [(signed(SECRET), signed(OTHER)), (call(JOBS_KEY), call(OTHER))] {
        kept.assert(200, &new);
        kept.assert(401, &old);
    }
}

#[test]
fn token_of_a_key_that_the_issuer_withdrew_is_rejected_on_all() {
    let (old, new) = (Key::new("ES256", "old"), Key::new("ES256", "new"));
    let server = KeyServer::publishing(&[&old]);
    let policy = "
version: 1
service: wallet-svc
prefix: /w
upstream: { url: '$upstream' }
jwt: { issuers: [{ issuer: unchecked, audience: unchecked, algorithms: [ES256], keys: { jwks: { url: '$keys' } } }] }
routes: [{ path: /*, auth: jwt }]
";
    let gateway = Setup::new().set("keys", &server.url).policy("wallet", policy).start();
    let mut kept = Kept::of(&gateway);
    let of = |key: &Key| with(&key.sign(claims(json!({}))));
    let of_old = of(&old);
    kept.assert(200, &of_old);
    let set = key_set(&[&new]);
    server.now_answers(move || Reply::ok(&set));
    // The first one that has a token of the new key fetches it for all.
    kept.assert(200, &of(&new));
    kept.assert(401, &of_old);
    assert_eq!(server.fetches(), 2);
}
