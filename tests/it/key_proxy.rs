//! Key sets through a corporate proxy: which fetches it sees, what it learns of them, and what its failures look like.

use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use parking_lot::Mutex;
use serde_json::json;

use crate::harness::{
    Gateway, Reply, Request, Setup, Upstream,
    certificates::{authority, dns, leaf, server},
    eventually, free_port,
    issuer::{Key, claims, key_set},
};

const POLICY: &str = "
version: 1
service: a-svc
prefix: /a
upstream: { url: '$upstream' }
errors: { format: envelope, code_prefix: ERR }
jwt: { issuers: [{ issuer: '$issuer', audience: unchecked, algorithms: [ES256], keys: $keys }] }
routes: [{ path: /*, auth: jwt }]
";

/// What the proxy answers to a `CONNECT`.
#[derive(Clone, Copy)]
enum Answers {
    Tunnel,
    Status(&'static str),
    Nothing,
}

/// A small proxy that leads every tunnel to one port of this machine, and records what it sees.
struct Proxy {
    url: String,
    seen: Arc<Mutex<Vec<u8>>>,
}

impl Proxy {
    fn start(answers: Answers, to: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("127.0.0.1:{}", listener.local_addr().unwrap().port());
        let seen = Arc::<Mutex<Vec<u8>>>::default();
        let recorded = Arc::clone(&seen);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let seen = Arc::clone(&recorded);
                thread::spawn(move || serve(client, answers, to, &seen));
            }
        });
        Self { url, seen }
    }

    fn seen(&self) -> String {
        String::from_utf8_lossy(&self.seen.lock()).into_owned()
    }
}

fn serve(mut client: TcpStream, answers: Answers, to: u16, seen: &Mutex<Vec<u8>>) -> io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && reader.read_until(b'\n', &mut head)? > 0 {}
    seen.lock().extend_from_slice(&head);
    match answers {
        Answers::Status(status) => write!(client, "HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n"),
        Answers::Nothing => reader.read_to_end(&mut Vec::new()).map(drop),
        Answers::Tunnel => {
            client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
            let mut server = TcpStream::connect(("127.0.0.1", to))?;
            let (mut back, mut out) = (server.try_clone()?, client.try_clone()?);
            thread::spawn(move || {
                let _ = io::copy(&mut back, &mut out);
                let _ = out.shutdown(Shutdown::Write);
            });
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = reader.read(&mut buffer) {
                seen.lock().extend_from_slice(&buffer[..count]);
                server.write_all(&buffer[..count])?;
            }
            server.shutdown(Shutdown::Write)
        }
    }
}

/// A key server for `idp.test` that speaks TLS, and the CA that it is known by.
fn issuer(key: &Key) -> (Upstream, u16, String) {
    let ca = authority("Key CA");
    let identity = leaf(&ca, 1, dns("idp.test"), |_| {});
    let set = key_set(&[key]);
    let server = Upstream::tls(server(&identity, &[]), move |request| match request.target.as_str() {
        "/.well-known/openid-configuration" => {
            Reply::ok(json!({ "issuer": "https://idp.test", "jwks_uri": "https://idp.test/keys" }).to_string())
        }
        _ => Reply::ok(&set),
    });
    let port = server.url.rsplit(':').next().unwrap().parse().unwrap();
    (server, port, ca.pem())
}

fn setup(ca: &str, issuer: &str, keys: &str) -> Setup {
    Setup::new()
        .always_ready()
        .file("ca.pem", ca)
        .file("token", "hush-hush\n")
        .set("keys", keys)
        .set("issuer", issuer)
        .policy("a", POLICY)
}

const SET: &str = "{ jwks: { url: 'https://idp.test/keys', ca_file: ../ca.pem, bearer_token_file: ../token } }";
const OIDC: &str = "{ oidc: { issuer: 'https://idp.test', ca_file: ../ca.pem, bearer_token_file: ../token } }";

fn get(key: &Key) -> Request {
    Request::get("/a/x").bearer(&key.sign(claims(json!({ "iss": "https://idp.test" }))))
}

fn assert_masked(gateway: &Gateway) {
    for (what, text) in [("log", gateway.log_text()), ("page", gateway.admin("/readyz").text())] {
        assert!(!text.contains("s3cr3t") && !text.contains("czNjcjN0"), "{what}: {text}");
        assert!(!text.contains("hush-hush"), "{what}: {text}");
    }
}

#[test]
fn keys_are_fetched_through_a_tunnel_that_shows_the_proxy_a_host_and_a_port_alone() {
    let key = Key::new("ES256", "one");
    for (keys, fetches) in [(SET, 1), (OIDC, 2)] {
        let (server, port, ca) = issuer(&key);
        let proxy = Proxy::start(Answers::Tunnel, port);
        let url = format!("http://user:s3cr3t@{}", proxy.url);
        let gateway = setup(&ca, "https://idp.test", keys).env("HTTPS_PROXY", &url).start();
        gateway.allowed(&get(&key));
        let asked = server.all();
        assert_eq!(asked.len(), fetches);
        assert!(
            asked
                .iter()
                .all(|request| request.values("authorization") == ["Bearer hush-hush"])
        );
        let seen = proxy.seen();
        let connect = "CONNECT idp.test:443 HTTP/1.1\r\nhost: idp.test:443\r\nproxy-authorization: Basic dXNlcjpzM2NyM3Q=\r\n\r\n";
        assert_eq!(seen.matches(connect).count(), fetches, "{seen}");
        assert!(!seen.contains("hush-hush") && !seen.contains("/keys"), "{seen}");
        let shown = format!("http://***@{}", proxy.url);
        let page = gateway.admin("/readyz").text();
        assert!(
            page.contains(&format!(" through the proxy {shown}; for a-svc")),
            "{page}"
        );
        let trusting = gateway
            .log_lines()
            .into_iter()
            .find(|line| line["message"] == "trusting")
            .unwrap();
        assert_eq!(trusting["proxy"], shown.as_str(), "{trusting}");
        assert_masked(&gateway);
    }
}

#[test]
fn readiness_names_the_proxy_for_what_is_fetched_through_it_alone() {
    let key = Key::new("ES256", "one");
    let ca = authority("Key CA");
    let identity = leaf(&ca, 1, [dns("idp.test"), dns("localhost")].concat(), |_| {});
    let set = key_set(&[&key]);
    // The host of the document and that of the key set.
    for (from, to, what) in [
        ("idp.test", "localhost:PORT", "discovery document"),
        ("localhost:PORT", "idp.test", "key set"),
    ] {
        let (set, from) = (set.clone(), from.to_owned());
        let own = Arc::<Mutex<u16>>::default();
        let [document, known] = [from.clone(), to.to_owned()].map(|host| (host, Arc::clone(&own)));
        let url = |(host, port): &(String, Arc<Mutex<u16>>)| {
            format!("https://{}", host.replace("PORT", &port.lock().to_string()))
        };
        let answers = (document.clone(), known);
        let server = Upstream::tls(server(&identity, &[]), move |request| match request.target.as_str() {
            "/.well-known/openid-configuration" => Reply::ok(
                json!({ "issuer": url(&answers.0), "jwks_uri": format!("{}/keys", url(&answers.1)) }).to_string(),
            ),
            _ => Reply::ok(&set),
        });
        let port = server.url.rsplit(':').next().unwrap().parse().unwrap();
        *own.lock() = port;
        let proxy = Proxy::start(Answers::Tunnel, port);
        let issuer = url(&document);
        let keys = format!("{{ oidc: {{ issuer: '{issuer}', ca_file: ../ca.pem }} }}");
        let gateway = setup(&ca.pem(), &issuer, &keys)
            .env("HTTPS_PROXY", &format!("http://user:s3cr3t@{}", proxy.url))
            .start();
        gateway.allowed(&Request::get("/a/x").bearer(&key.sign(claims(json!({ "iss": issuer })))));
        let page = gateway.admin("/readyz").text();
        let shown = format!(
            " through the proxy http://***@{} for the {what} alone; for a-svc",
            proxy.url
        );
        assert!(page.contains(&shown), "{page}");
        assert_eq!(proxy.seen().matches("CONNECT ").count(), 1, "{}", proxy.seen());
        assert_masked(&gateway);
    }
}

#[test]
fn no_other_request_goes_through_the_proxy() {
    let key = Key::new("ES256", "one");
    let (_server, port, ca) = issuer(&key);
    let proxy = Proxy::start(Answers::Tunnel, port);
    let url = format!("http://{}", proxy.url);
    let open = "{ version: 1, service: open, prefix: /open, upstream: { url: '$upstream' }, routes: [{ path: /*, auth: public }] }";
    let near = [
        format!("https://localhost:{port}/keys"),
        "https://keys.auth.svc/keys".to_owned(),
        "https://keys.auth.svc.cluster.local/keys".to_owned(),
        "https://listed.test/keys".to_owned(),
        "https://a.suffix.test:8443/keys".to_owned(),
        "http://127.0.0.1:1/keys".to_owned(),
    ];
    let setup = near.iter().enumerate().fold(
        setup(&ca, "https://idp.test", SET).policy("open", open),
        |setup, (at, keys)| {
            let policy = POLICY
                .replace("/a", &format!("/near-{at}"))
                .replace("a-svc", &format!("near-{at}"))
                .replace("$issuer", &format!("near-{at}"))
                .replace("$keys", &format!("{{ jwks: {{ url: '{keys}' }} }}"));
            setup.policy(&format!("near-{at}"), &policy)
        },
    );
    let gateway = setup
        .env("https_proxy", &url)
        .env("HTTP_PROXY", &url)
        .env("ALL_PROXY", &url)
        .env("NO_PROXY", "listed.test, .suffix.test:8443")
        .start();
    gateway.allowed(&get(&key));
    gateway.allowed(&Request::get("/open/x"));
    eventually("all fetches are over", || {
        !gateway.admin("/readyz").text().contains("first fetch under way")
    });
    let seen = proxy.seen();
    assert_eq!(seen.matches("CONNECT ").count(), 1, "{seen}");
    assert_eq!(
        gateway.admin("/readyz").text().matches(" through the proxy ").count(),
        1
    );
}

#[test]
fn failure_of_the_proxy_is_a_failed_fetch_with_its_own_cause() {
    let key = Key::new("ES256", "one");
    let (server, port, ca) = issuer(&key);
    let refused = format!("127.0.0.1:{}", free_port());
    for (answers, user, want) in [
        (
            Some(Answers::Status("407 Proxy Authentication Required")),
            "",
            "asks for a user and a password (407)",
        ),
        (
            Some(Answers::Status("407 Proxy Authentication Required")),
            "user:s3cr3t@",
            "rejected the user and the password (407)",
        ),
        (
            Some(Answers::Status("403 Forbidden")),
            "user:s3cr3t@",
            "answered 403 to `CONNECT idp.test:443`",
        ),
        (
            Some(Answers::Status("302 Found")),
            "",
            "answered 302 to `CONNECT idp.test:443`",
        ),
        (
            Some(Answers::Nothing),
            "user:s3cr3t@",
            "opened no tunnel to idp.test:443",
        ),
        (None, "user:s3cr3t@", "refused"),
    ] {
        let address = match answers {
            Some(answers) => Proxy::start(answers, port).url,
            None => refused.clone(),
        };
        let url = format!("http://{user}{address}");
        let gateway = setup(&ca, "https://idp.test", SET).env("HTTPS_PROXY", &url).start();
        gateway.refused(&get(&key), 503, "keys_unavailable");
        eventually("the fetch failed", || {
            gateway.admin("/readyz").text().contains("last fetch failed")
        });
        let page = gateway.admin("/readyz").text();
        let masked = if user.is_empty() { "" } else { "***@" };
        assert!(
            page.contains(want) && page.contains(&format!("the proxy http://{masked}{address}")),
            "{page}"
        );
        assert_masked(&gateway);
        let doctor = gateway.sidegate_with(&["doctor", "--config", "sidegate.yaml"], &[("HTTPS_PROXY", &url)]);
        let doctor = String::from_utf8_lossy(&doctor.stdout).into_owned();
        assert!(doctor.contains(want) && !doctor.contains("s3cr3t"), "{doctor}");
    }
    assert_eq!(server.all().len(), 0);
}

#[test]
fn proxy_that_cannot_be_used_stops_the_start_without_its_password() {
    let (name, listed) = ("HTTPS_PROXY", "NO_PROXY");
    for (variables, want) in [
        (
            vec![(name, "http://user:s3cr3t@proxy")],
            "the variable `HTTPS_PROXY` names no port",
        ),
        (
            vec![(name, "socks5://user:s3cr3t@proxy:1080")],
            "the variable `HTTPS_PROXY` names a proxy that speaks neither",
        ),
        (
            vec![("https_proxy", "http://user:s3cr3t@:1")],
            "the variable `https_proxy` ",
        ),
        (
            vec![(name, "http://proxy:1"), (listed, "10.0.0.0/99")],
            "the variable `NO_PROXY` has an item, number 1,",
        ),
    ] {
        let setup = setup("", "https://idp.test", "{ jwks: { url: 'https://idp.test/keys' } }");
        let setup = variables
            .iter()
            .fold(setup, |setup, (name, value)| setup.env(name, value));
        for command in [&["run"][..], &["doctor"]] {
            let output = setup.run(&[command, &["--config", "sidegate.yaml"]].concat());
            let said = [output.stdout, output.stderr].concat();
            let said = String::from_utf8_lossy(&said);
            assert_eq!(output.status.code(), Some(2), "{said}");
            assert!(said.contains(want) && !said.contains("s3cr3t"), "{said}");
        }
    }
}

#[test]
fn proxy_over_tls_is_verified_by_the_authorities_of_the_system() {
    let key = Key::new("ES256", "one");
    let (_server, port, ca) = issuer(&key);
    let (proxy_ca, inner) = (authority("Proxy CA"), Proxy::start(Answers::Tunnel, port));
    let identity = leaf(&proxy_ca, 1, dns("localhost"), |_| {});
    // TLS in front of the small proxy.
    let address = inner.url.clone();
    let config = server(&identity, &[]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let front = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let (config, address) = (Arc::clone(&config), address.clone());
            thread::spawn(move || relay_tls(socket, config, &address));
        }
    });
    let url = format!("https://user:s3cr3t@localhost:{front}");
    let of = |authorities: &str| {
        setup(&ca, "https://idp.test", SET)
            .file("system.pem", authorities)
            .env("SSL_CERT_FILE", "system.pem")
            .env("HTTPS_PROXY", &url)
            .start()
    };
    of(&proxy_ca.pem()).allowed(&get(&key));
    assert!(inner.seen().contains("CONNECT idp.test:443"));
    let gateway = of(&ca);
    gateway.refused(&get(&key), 503, "keys_unavailable");
    let page = gateway.admin("/readyz").text();
    assert!(
        page.contains(&format!(
            "the proxy https://***@localhost:{front}: invalid peer certificate"
        )),
        "{page}"
    );
}

/// Takes the TLS off a connection, by turns.
fn relay_tls(mut socket: TcpStream, config: Arc<rustls::ServerConfig>, address: &str) -> io::Result<()> {
    let mut plain = TcpStream::connect(address)?;
    let mut tls = rustls::ServerConnection::new(config).map_err(io::Error::other)?;
    while tls.is_handshaking() {
        tls.complete_io(&mut socket)?;
    }
    socket.set_nonblocking(true)?;
    plain.set_nonblocking(true)?;
    let mut buffer = [0; 4096];
    loop {
        let mut idle = true;
        match tls.read_tls(&mut socket) {
            Ok(0) => return Ok(()),
            Ok(_) => {
                idle = false;
                tls.process_new_packets().map_err(io::Error::other)?;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        if let Ok(count @ 1..) = tls.reader().read(&mut buffer) {
            plain.write_all(&buffer[..count])?;
        }
        match plain.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => {
                idle = false;
                tls.writer().write_all(&buffer[..count])?;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        while tls.wants_write() {
            match tls.write_tls(&mut socket) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::yield_now(),
                Err(error) => return Err(error),
            }
        }
        if idle {
            thread::yield_now();
        }
    }
}
