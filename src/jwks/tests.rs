use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::testing::parse;

/// Serves one key to whoever asks, and counts.
async fn key_server() -> (String, Arc<AtomicUsize>) {
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
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
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

/// How many issuers have keys, of how many.
fn with_keys(policies: &PolicySet) -> (usize, usize) {
    let issuers: Vec<_> = policies.policies().iter().flat_map(|policy| &policy.issuers).collect();
    let having = issuers.iter().filter(|issuer| issuer.keys.load().is_some());
    (having.count(), issuers.len())
}

#[tokio::test]
async fn new_policies_have_the_keys_that_are_known_and_old_sources_end() {
    let (url, fetches) = key_server().await;
    let (other, _) = key_server().await;
    let metrics = Metrics::new().unwrap();
    let old = parse(&[&policy("a", &url)]).unwrap();
    let keys = KeySources::start(&old, &metrics);
    assert!(!keys.have_settled());
    keys.settled().await;
    assert_eq!(with_keys(&old), (1, 1));

    let new = parse(&[&policy("b", &url), &policy("c", &url), &policy("d", &other)]).unwrap();
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

    let running: Vec<_> = keys.sources.load().by_remote.values().map(Arc::downgrade).collect();
    drop(old);
    keys.follow(&PolicySet::default());
    assert!(running.iter().all(|source| source.upgrade().is_none()));
    assert_eq!((keys.status(), keys.have_settled()), (Vec::new(), true));
    let page = String::from_utf8(metrics.page().unwrap().1).unwrap();
    assert!(!page.contains("sidegate_jwks_keys{"), "{page}");
}
