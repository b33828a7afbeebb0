//! Key servers that keep a fetch busy: no request of another policy waits for them, no other issuer
//! goes without keys, and they send a bounded number of bytes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use serde_json::json;

use crate::harness::{
    Gateway, Request, Setup, Upstream, eventually,
    issuer::{Key, KeyServer, claims},
};

/// What fits into the buffers of two sockets, with the bound of a fetch. Without one, a fetch reads
/// for seconds.
const MOST: usize = 16 << 20;

const OPEN: &str = "
version: 1
service: open
prefix: /open
upstream: { url: '$upstream' }
routes: [{ path: /*, auth: public }]
";

const TRUSTING: &str = "
version: 1
service: $name
prefix: /$name
upstream: { url: '$upstream' }
errors: { format: envelope, code_prefix: ERR }
jwt: { issuers: [{ issuer: $name, audience: unchecked, algorithms: [ES256], keys: $keys }] }
routes: [{ path: /*, auth: jwt }]
";

/// A key server that begins its response with some text and continues with another one for ever.
struct Endless {
    server: Upstream,
    /// The connections that ended.
    ended: Arc<AtomicUsize>,
    /// The bytes that the busiest of them took.
    most: Arc<AtomicUsize>,
}

impl Endless {
    fn start(begin: &'static str, again: &'static str, pause: Duration) -> Self {
        let (ended, most) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let counts = (ended.clone(), most.clone());
        let part = match pause.is_zero() {
            true => again.repeat(4096 / again.len()),
            false => again.to_owned(),
        };
        let server = Upstream::raw(move |stream| {
            stream.read_exact(&mut [0; 16])?;
            stream.write_all(begin.as_bytes())?;
            let mut written = 0;
            while stream.write_all(part.as_bytes()).is_ok() {
                written += part.len();
                thread::sleep(pause);
            }
            counts.1.fetch_max(written, Ordering::SeqCst);
            counts.0.fetch_add(1, Ordering::SeqCst);
            Ok(())
        });
        Self { server, ended, most }
    }

    fn has_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst) > 0
    }

    /// The two ways to name it as the place of keys.
    fn places(&self) -> [String; 2] {
        let url = &self.server.url;
        [
            format!("{{ jwks: {{ url: '{url}/keys' }} }}"),
            format!("{{ oidc: {{ issuer: hostile, url: '{url}' }} }}"),
        ]
    }
}

fn start(keys: &str, good: &KeyServer) -> Gateway {
    let of = |name: &str, keys: &str| TRUSTING.replace("$name", name).replace("$keys", keys);
    Setup::new()
        .policy("open", OPEN)
        .policy("hostile", &of("hostile", keys))
        .policy("good", &of("good", &format!("{{ jwks: {{ url: '{}' }} }}", good.url)))
        .start_unready()
}

fn get(issuer: &str, key: &Key) -> Request {
    Request::get(&format!("/{issuer}/x")).bearer(&key.sign(claims(json!({ "iss": issuer }))))
}

#[test]
fn key_server_that_sends_for_ever_is_cut_after_so_many_bytes() {
    let key = Key::new("ES256", "one");
    for (what, begin, again) in [
        ("interim heads", "", "HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n"),
        ("short interim heads", "", "HTTP/1.1 100 \r\n\r\n"),
        ("header fields", "HTTP/1.1 200 OK\r\n", "x: y\r\n"),
        ("one header field", "HTTP/1.1 200 OK\r\nx: ", "y"),
        ("a status line", "HTTP/1.1 200 ", "O"),
        ("a body", "HTTP/1.1 200 OK\r\n\r\n{", " "),
        (
            "chunks",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
            "1\r\n \r\n",
        ),
        (
            "the name of a chunk",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;",
            "x",
        ),
    ] {
        let hostile = Endless::start(begin, again, Duration::ZERO);
        for keys in hostile.places() {
            let good = KeyServer::publishing(&[&key]);
            let gateway = start(&keys, &good);
            gateway.allowed(&Request::get("/open/x"));
            gateway.allowed(&get("good", &key));
            gateway.refused(&get("hostile", &key), 503, "keys_unavailable");
            eventually("its connection ends", || hostile.has_ended());
            let page = gateway.admin("/readyz").text();
            assert!(
                page.contains("issuer hostile: 0 keys, last fetch failed: "),
                "{what}: {page}"
            );
        }
        let most = hostile.most.load(Ordering::SeqCst);
        assert!(most < MOST, "{what}: {most} bytes");
    }
}

#[test]
fn key_server_that_trickles_is_cut_after_a_while_and_delays_no_request_meanwhile() {
    let key = Key::new("ES256", "one");
    let slowly = Duration::from_millis(20);
    for (begin, again) in [
        ("", "HTTP/1.1 103 Early Hints\r\n\r\n"),
        ("HTTP/1.1 200 OK\r\nx: ", "y"),
        ("HTTP/1.1 200 OK\r\n\r\n", " "),
    ] {
        let hostile = Endless::start(begin, again, slowly);
        let good = KeyServer::publishing(&[&key]);
        let [keys, _] = hostile.places();
        let gateway = start(&keys, &good);
        gateway.allowed(&Request::get("/open/x"));
        gateway.allowed(&get("good", &key));
        gateway.refused(&get("hostile", &key), 503, "keys_unavailable");
        eventually("its connection ends", || hostile.has_ended());
    }
}
