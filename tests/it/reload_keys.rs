//! Keys that change while it runs: those in files follow, those behind a URL are not lost.

use std::{fs, net::TcpListener};

use serde_json::json;

use crate::{
    harness::{
        Gateway, JOBS_KEY, Reply, Request, SECRET, Setup, Upstream, also_on_4_threads,
        certificates::{pki, server},
        eventually,
        issuer::{Key, KeyServer, claims, hmac, key_set},
    },
    reload::{promptly, reloads},
    reload_kubernetes::mount,
};

const OTHER_SECRET: &str = "another-secret-of-at-least-32-bytes!!!!!";

/// Takes the keys that `$keys` says.
const POLICY: &str = "
version: 1
service: wallet-svc
prefix: /w
upstream: { url: '$upstream' }
jwt: { issuers: [{ issuer: eventzr.com, audience: [eventzr-api], algorithms: [$alg], keys: $keys }] }
internal_key: { keys: [{ name: scheduler, secret: { file: ../keys/jobs } }] }
routes: [{ path: /open, auth: public }, { path: /jobs, auth: internal_key }, { path: /*, auth: jwt }]
";

fn taking(keys: &str, algorithm: &str) -> Setup {
    let setup = Setup::new().set("keys", keys).set("alg", algorithm);
    fs::create_dir(setup.path("keys")).unwrap();
    setup.file("keys/jobs", JOBS_KEY).policy("wallet", POLICY)
}

fn status(gateway: &Gateway, token: &str) -> u16 {
    gateway.send(&Request::get("/w/wallets").bearer(token)).status
}

/// The first token works until a file is changed, and then the second one does instead.
#[track_caller]
fn follows(gateway: &Gateway, tokens: [&str; 2], change: impl FnOnce()) {
    assert_eq!((status(gateway, tokens[0]), status(gateway, tokens[1])), (200, 401));
    change();
    promptly("the new key", || status(gateway, tokens[1]) == 200);
    assert_eq!(status(gateway, tokens[0]), 401);
}

also_on_4_threads![
    secrets_follow_their_files,
    internal_keys_follow_their_files,
    authorities_of_a_service_follow_their_file,
    keys_behind_a_url_are_kept,
];

#[test]
fn secrets_follow_their_files() {
    let setup = taking("{ secret: { file: ../keys/secret } }", "HS256").file("keys/secret", SECRET);
    let gateway = setup.start();
    let (old, new) = (
        hmac("HS256", SECRET, claims(json!({}))),
        hmac("HS256", OTHER_SECRET, claims(json!({}))),
    );
    let file = gateway.path("keys/secret");
    follows(&gateway, [&old, &new], || fs::write(&file, OTHER_SECRET).unwrap());
    follows(&gateway, [&new, &old], || {
        fs::write(gateway.path("keys/next"), format!("{SECRET}\n")).unwrap();
        fs::rename(gateway.path("keys/next"), &file).unwrap();
    });
    // A secret that is too short is rejected, and so is an empty one.
    fs::write(&file, "short").unwrap();
    promptly("it is refused", || reloads(&gateway, "failure") == 1);
    assert!(gateway.log_text().contains("at least 32 are needed"));
    fs::remove_file(&file).unwrap();
    promptly("it is refused", || reloads(&gateway, "failure") == 2);
    assert_eq!(status(&gateway, &old), 200);
    fs::write(&file, OTHER_SECRET).unwrap();
    promptly("it is back", || status(&gateway, &new) == 200);
    for secret in [SECRET, OTHER_SECRET] {
        assert!(!gateway.log_text().contains(secret));
    }
}

#[test]
fn internal_keys_follow_their_files() {
    let gateway = taking("{ secret: { env: IT_SECRET } }", "HS256").start();
    let call = |key: &str| {
        gateway
            .send(&Request::get("/w/jobs").header("x-internal-api-key", key))
            .status
    };
    assert_eq!((call(JOBS_KEY), call(OTHER_SECRET)), (200, 401));
    fs::write(gateway.path("keys/jobs"), OTHER_SECRET).unwrap();
    promptly("the new key", || call(OTHER_SECRET) == 200);
    assert_eq!(call(JOBS_KEY), 401);
}

#[test]
fn public_keys_follow_their_files() {
    let (one, two) = (Key::new("ES256", "one"), Key::new("ES256", "two"));
    let tokens = [&one, &two].map(|key| key.sign(claims(json!({}))));
    let tokens = [tokens[0].as_str(), &tokens[1]];
    let pem = taking("{ pem: { file: ../keys/public.pem } }", "ES256").file("keys/public.pem", &one.public_pem);
    let gateway = pem.start();
    let write = || fs::write(gateway.path("keys/public.pem"), &two.public_pem).unwrap();
    follows(&gateway, tokens, write);
    let set = taking("{ jwks: { file: ../keys/set.json } }", "ES256").file("keys/set.json", &key_set(&[&one]));
    let gateway = set.start();
    let write = || fs::write(gateway.path("keys/set.json"), key_set(&[&two])).unwrap();
    follows(&gateway, tokens, write);
}

#[test]
fn secrets_of_a_kubernetes_volume_follow() {
    let setup = taking("{ secret: { file: ../volume/secret } }", "HS256");
    let volume = setup.path("volume");
    fs::create_dir(&volume).unwrap();
    mount(&volume, "..0", &[("secret", SECRET)]);
    let gateway = setup.start();
    let (one, two) = (
        hmac("HS256", SECRET, claims(json!({}))),
        hmac("HS256", OTHER_SECRET, claims(json!({}))),
    );
    follows(&gateway, [&one, &two], || {
        mount(&volume, "..1", &[("secret", OTHER_SECRET)]);
    });
    follows(&gateway, [&two, &one], || mount(&volume, "..2", &[("secret", SECRET)]));
    follows(&gateway, [&one, &two], || {
        mount(&volume, "..3", &[("secret", OTHER_SECRET)]);
    });
}

#[test]
fn authorities_of_a_service_follow_their_file() {
    let upstream = Upstream::tls(server(&pki().server, &[]), |_| Reply::ok("{}"));
    let text = "
version: 1
service: wallet-svc
prefix: /w
upstream: { url: '$upstream', ca_file: ../ca.crt }
routes: [{ path: /*, auth: public }]
";
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let setup = Setup::in_front_of(upstream).policy("wallet", text);
    let gateway = setup.file("ca.crt", &other.cert.pem()).start();
    let call = || gateway.send(&Request::get("/w/x")).status;
    let trust = |pem: &str| fs::write(gateway.path("ca.crt"), pem).unwrap();
    assert_eq!(call(), 502);
    trust(&pki().ca);
    promptly("the right one", || call() == 200);
    // Connections that were made under another CA are of no use any more.
    trust(&other.cert.pem());
    promptly("the wrong one again", || call() == 502);
    trust("nothing");
    promptly("it is refused", || reloads(&gateway, "failure") == 1);
    trust(&pki().ca);
    promptly("the right one again", || call() == 200);
}

/// Changes something about the policy that has nothing to do with keys.
fn reload(gateway: &Gateway, comment: usize) {
    let path = gateway.path("policies/wallet.yaml");
    let text = fs::read_to_string(&path).unwrap();
    let before = reloads(gateway, "success");
    fs::write(path, format!("{text}# {comment}\n")).unwrap();
    promptly("it is reloaded", || reloads(gateway, "success") > before);
}

#[test]
fn keys_behind_a_url_are_kept() {
    let key = Key::new("ES256", "one");
    let token = key.sign(claims(json!({})));
    let server = KeyServer::publishing(&[&key]);
    let gateway = taking(&format!("{{ jwks: {{ url: '{}' }} }}", server.url), "ES256").start();
    eventually("the keys are there", || status(&gateway, &token) == 200);
    for n in 0..5 {
        reload(&gateway, n);
        assert_eq!(status(&gateway, &token), 200);
    }
    assert_eq!(server.fetches(), 1);
    // From another place, keys are fetched; from the first one, they are not known any more.
    let (path, other) = (
        gateway.path("policies/wallet.yaml"),
        KeyServer::publishing(&[&Key::new("ES256", "two")]),
    );
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace(&server.url, &other.url)).unwrap();
    promptly("a fetch of the other keys", || other.fetches() > 0);
    assert_eq!((server.fetches(), other.fetches()), (1, 1));
    promptly("the other keys", || status(&gateway, &token) == 401);
}

#[test]
fn first_keys_that_are_waited_for_survive_a_reload() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("http://{}/keys", silent.local_addr().unwrap());
    let key = Key::new("ES256", "one");
    let token = key.sign(claims(json!({})));
    let server = KeyServer::publishing(&[&key]);
    let gateway = taking(&format!("{{ jwks: {{ url: '{nobody}' }} }}"), "ES256").start_unready();
    // No server replies there, and its successor does not wait for it.
    let path = gateway.path("policies/wallet.yaml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace(&nobody, &server.url)).unwrap();
    promptly("the keys of the new place", || status(&gateway, &token) == 200);
    assert_eq!(server.fetches(), 1);
}
