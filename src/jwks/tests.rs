use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::testing::evaluator;

const OK: &str = "200 OK";

/// Serves one key to every client, with a status, and counts.
async fn key_server(status: &'static str) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/keys", listener.local_addr().unwrap());
    let fetches = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&fetches);
    let x = URL_SAFE_NO_PAD.encode([1; 32]);
    let body = format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","kid":"k","x":"{x}"}}]}}"#);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") && stream.read_buf(&mut request).await.unwrap() > 0 {}
            counted.fetch_add(1, Ordering::SeqCst);
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (url, fetches)
}

/// A policy of its own prefix that takes keys from a URL.
fn policy(prefix: &str, url: &str) -> String {
    format!(
        "{{ version: 1, service: s, prefix: /{prefix}, upstream: {{ url: 'http://127.0.0.1:1' }},
           jwt: {{ issuers: [{{ issuer: i-{prefix}, audience: unchecked, algorithms: [EdDSA], keys: {{ jwks: {{ url: '{url}' }} }} }}] }},
           routes: [{{ path: /*, auth: jwt }}] }}"
    )
}

/// Returns how many issuers have keys, and how many there are.
fn with_keys(evaluator: &Evaluator) -> (usize, usize) {
    let policies = 0..evaluator.policies().policies().len();
    let rings: Vec<_> = policies.flat_map(|policy| evaluator.keys().of_policy(policy)).collect();
    let filled = rings.iter().filter(|ring| ring.load().is_some());
    (filled.count(), rings.len())
}

#[tokio::test]
async fn new_policies_get_the_known_keys_and_old_sources_end() {
    let (url, fetches) = key_server(OK).await;
    let (other, _) = key_server(OK).await;
    let metrics = Metrics::new().unwrap();
    let old = evaluator(&[&policy("a", &url)]);
    let keys = KeySources::start(&old, &metrics);
    assert!(keys.status().iter().all(|status| status.last.is_none()));
    keys.settled().await;
    assert_eq!(with_keys(&old), (1, 1));

    let new = evaluator(&[&policy("b", &url), &policy("c", &url), &policy("d", &other)]);
    keys.follow(&new);
    assert_eq!(with_keys(&new), (2, 3), "two at once, the third has to be asked");
    keys.settled().await;
    assert_eq!((with_keys(&new), with_keys(&old)), ((3, 3), (1, 1)));
    assert_eq!(fetches.load(Ordering::SeqCst), 1);

    let known: Vec<_> = keys
        .status()
        .into_iter()
        .map(|status| (status.issuer, status.keys))
        .collect();
    assert_eq!(known, ["i-b", "i-c", "i-d"].map(|issuer| (issuer.to_owned(), 1)));

    let running: Vec<_> = keys.sources.load().values().map(Arc::downgrade).collect();
    drop(old);
    keys.follow(&evaluator(&[]));
    assert!(running.iter().all(|source| source.upgrade().is_none()));
    assert_eq!(keys.status(), []);
    assert_eq!(gauges(&keys), [None; 3]);
}

/// A policy of its own prefix that trusts the issuer `i`, with further settings of its keys.
fn trusting(prefix: &str, algorithm: &str, url: &str, settings: &str) -> String {
    policy(prefix, url)
        .replace(&format!("i-{prefix}"), "i")
        .replace("EdDSA", algorithm)
        .replace(&format!("'{url}'"), &format!("'{url}', {settings}"))
}

/// The gauges of the one issuer: its keys, and when they were last fetched and expire.
fn gauges(keys: &KeySources) -> [Option<f64>; 3] {
    keys.update_metrics();
    let page = String::from_utf8(keys.metrics.page().unwrap().1).unwrap();
    ["keys", "last_success_timestamp_seconds", "expiry_timestamp_seconds"].map(|name| {
        let of = |line: &str| line.strip_prefix(&format!("sidegate_jwks_{name}{{")).map(str::to_owned);
        let values: Vec<_> = page.lines().filter_map(of).collect();
        assert!(values.len() < 2, "{page}");
        values
            .first()
            .map(|value| value.rsplit(' ').next().unwrap().parse().unwrap())
    })
}

#[tokio::test]
async fn gauges_of_an_issuer_with_several_key_sets_show_the_worst() {
    let (url, _) = key_server(OK).await;
    for (algorithm, settings, want) in [
        ("EdDSA", "refresh: 1h", 1.0),
        ("ES256", "", 0.0),
        // The file of the token does not exist when the keys are fetched.
        ("EdDSA", "bearer_token_file: secret-file", 0.0),
    ] {
        let (good, other) = (("EdDSA", ""), (algorithm, settings));
        for [a, b] in [[good, other], [other, good]] {
            let [a, b] = [trusting("a", a.0, &url, a.1), trusting("b", b.0, &url, b.1)];
            let both = evaluator(&[&a, &b]);
            let keys = KeySources::start(&both, &Metrics::new().unwrap());
            keys.settled().await;
            assert_eq!(gauges(&keys)[0], Some(want), "{a} {b}");
        }
    }
}

#[tokio::test]
async fn late_end_of_a_fetch_for_replaced_policies_changes_no_gauge() {
    let (url, _) = key_server(OK).await;
    let (late, _) = key_server("503 Service Unavailable").await;
    let old = evaluator(&[&trusting("a", "EdDSA", &late, "")]);
    let new = evaluator(&[&trusting("a", "EdDSA", &url, "")]);
    let keys = KeySources::start(&old, &Metrics::new().unwrap());
    // A request that began with the old policies waits for their keys.
    let waiting: Vec<_> = keys.sources.load().values().map(Arc::clone).collect();
    keys.follow(&new);
    keys.settled().await;
    for source in &waiting {
        source.settled().await;
    }
    let [count, last_success, expiry] = gauges(&keys);
    assert_eq!(count, Some(1.0));
    assert_eq!(expiry, last_success.map(|at| at + 3600.0));
    drop(old);
}

#[tokio::test]
async fn issuer_with_corrected_algorithms_has_its_keys_at_once() {
    let (url, _) = key_server(OK).await;
    let old = evaluator(&[&trusting("a", "ES256", &url, "")]);
    let new = evaluator(&[&trusting("a", "EdDSA", &url, ""), &trusting("b", "EdDSA", &url, "")]);
    let keys = KeySources::start(&old, &Metrics::new().unwrap());
    keys.settled().await;
    assert_eq!(gauges(&keys)[0], Some(0.0));
    // A request that began with the old policies still holds them.
    keys.follow(&new);
    assert_eq!(gauges(&keys)[0], Some(1.0));
    assert_eq!(keys.status().len(), 1);
    drop(old);
}
