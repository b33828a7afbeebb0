//! `/upstream/healthz` on the admin listener: how the service is, for a kubelet that cannot reach
//! one on loopback. It tells a status, and cannot be made to ask for anything else.

use std::io::ErrorKind;
use std::net::TcpListener;

use crate::harness::{Answer, Gateway, Reply, Request, Setup, Upstream, eventually, send};

const POLICY: &str = "
$wallet
prefix: /w
routes: [{ path: /open/*, auth: public }, { path: /*, auth: jwt }]
";

const PROBE: &str = "upstream: '$upstream', path: /w/health?deep=1";

fn probed(upstream: Upstream) -> Gateway {
    let setup = Setup::in_front_of(upstream).probe(PROBE);
    setup.policy("wallet", POLICY).start()
}

fn ask(gateway: &Gateway) -> Answer {
    gateway.admin("/upstream/healthz")
}

#[test]
fn it_is_not_there_unless_it_is_configured() {
    let gateway = Setup::new().policy("wallet", POLICY).start();
    assert_eq!(ask(&gateway).status, 404);
    assert!(gateway.upstream.all().is_empty());
}

#[test]
fn probe_returns_only_the_status_of_the_response() {
    for status in [200, 204, 302, 304, 404, 500, 503] {
        let upstream = Upstream::start(move |request| match request.target.as_str() {
            "/w/health?deep=1" => Reply::status(status, if matches!(status, 204 | 304) { "" } else { "password" })
                .header("location", "/w/elsewhere")
                .header("set-cookie", "session=secret"),
            _ => Reply::ok("another page"),
        });
        let gateway = probed(upstream);
        let answer = ask(&gateway);
        assert_eq!((answer.status, answer.text().as_str()), (status, ""), "{answer:?}");
        let mut names: Vec<_> = answer
            .headers
            .iter()
            .map(|(name, _)| name.to_ascii_lowercase())
            .collect();
        names.retain(|name| {
            !["cache-control", "connection", "content-length", "content-type", "date"].contains(&name.as_str())
        });
        assert!(names.is_empty(), "{names:?}");
        // A redirect leads nowhere.
        assert_eq!(gateway.upstream.all().len(), 1);
    }
}

#[test]
fn service_on_either_address_of_localhost_is_asked() {
    for (address, other) in [("127.0.0.1:0", "[::1]"), ("[::1]:0", "127.0.0.1")] {
        let mut services = std::iter::repeat_with(|| Upstream::at(address.parse().unwrap(), |_| Reply::ok("fine")));
        // Another service may have the same port on the other address.
        let is_alone = |service: &Upstream| {
            let port = service.url.rsplit(':').next().unwrap();
            TcpListener::bind(format!("{other}:{port}")).is_ok()
        };
        let service = services.find(is_alone).unwrap();
        let port = service.url.rsplit(':').next().unwrap();
        let probe = format!("upstream: 'http://localhost:{port}', path: /health");
        let gateway = Setup::in_front_of(service.clone()).probe(&probe);
        let gateway = gateway.policy("wallet", POLICY).start();
        assert_eq!(ask(&gateway).status, 200, "{address}");
        assert_eq!(service.all()[0].values("host"), [format!("localhost:{port}")]);
    }
}

#[test]
fn of_the_request_nothing_reaches_the_service() {
    let gateway = probed(Upstream::recording());
    let with_headers = |target: &str| {
        Request::get(target)
            .host("elsewhere.example")
            .bearer("a.b.c")
            .header("x-user-id", "somebody")
            .header("x-forwarded-for", "10.0.0.1")
            .header("cookie", "session=1")
    };
    for target in [
        "/upstream/healthz",
        "/upstream/healthz?path=/w/wallets",
        "http://elsewhere.example/upstream/healthz",
    ] {
        assert_eq!(send(gateway.admin_port, &with_headers(target)).status, 200, "{target}");
    }
    let head = send(gateway.admin_port, &Request::new("HEAD", "/upstream/healthz"));
    assert_eq!(head.status, 200);
    let asked = gateway.upstream.all();
    assert_eq!(asked.len(), 4);
    let host = gateway.upstream.url.strip_prefix("http://").unwrap();
    for request in asked {
        assert_eq!(
            (request.method.as_str(), request.target.as_str()),
            ("GET", "/w/health?deep=1")
        );
        let names: Vec<_> = request.headers.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["host", "user-agent", "accept", "connection"]);
        assert_eq!(request.values("host"), [host]);
        assert!(request.body.is_empty());
    }
    for target in [
        "/upstream/healthz/",
        "/upstream",
        "/upstream/w/wallets",
        "//upstream/healthz",
        "/w/health",
    ] {
        assert_eq!(send(gateway.admin_port, &Request::get(target)).status, 404, "{target}");
    }
    for method in ["POST", "PUT", "OPTIONS"] {
        let answer = send(gateway.admin_port, &Request::new(method, "/upstream/healthz"));
        assert_eq!(answer.status, 405, "{method}");
    }
    assert_eq!(gateway.upstream.all().len(), 4);
    // Nor is it there for clients.
    assert_eq!(gateway.send(&Request::get("/upstream/healthz")).status, 404);
}

#[test]
fn service_that_is_silent_differs_from_one_that_is_gone() {
    let gone = format!("http://127.0.0.1:{}", crate::harness::free_port());
    let silent = Upstream::raw(|stream| {
        loop {
            match stream.read(&mut [0; 1024]) {
                Ok(0) => return Ok(()),
                Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error),
                _ => {}
            }
        }
    });
    let babbling = Upstream::raw(|stream| stream.write_all(b"220 mail.example ESMTP\r\n"));
    let switching = Upstream::raw(|stream| {
        let read = stream.read(&mut [0; 1024])?;
        assert!(read > 0);
        stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n")
    });
    let endless = Upstream::raw(|stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nx-long: ")?;
        loop {
            stream.write_all(&[b'x'; 4096])?;
        }
    });
    for (url, status, reason) in [
        (gone.as_str(), 503, "the service cannot be reached"),
        ("unix:/nobody/is/here", 503, "the service cannot be reached"),
        (&silent.url, 504, "the service did not answer in time"),
        (&babbling.url, 503, "the service sent no response"),
        (&switching.url, 503, "the service sent no response: its status is 101"),
        (&endless.url, 503, "the service sent no response"),
    ] {
        let setup = Setup::new().probe(&format!("upstream: '{url}', path: /, timeout: 500ms"));
        let gateway = setup.policy("wallet", POLICY).start();
        let answer = ask(&gateway);
        assert_eq!(answer.status, status, "{url}: {answer:?}");
        assert!(answer.text().starts_with(reason), "{url}: {answer:?}");
        // Sidegate itself is alive and ready, and says once what it found.
        assert_eq!(
            (gateway.probe("/livez"), gateway.probe("/readyz")),
            (Some(200), Some(200))
        );
        ask(&gateway);
        let told = |log: &str| log.matches("the service fails its probe").count();
        eventually("it is told", || told(&gateway.log_text()) > 0);
        assert_eq!(told(&gateway.log_text()), 1);
    }
}

#[test]
fn a_service_that_comes_is_found() {
    let port = crate::harness::free_port();
    let setup = Setup::new().probe(&format!("upstream: 'http://localhost:{port}', path: /health"));
    let gateway = setup.policy("wallet", POLICY).start();
    assert_eq!(ask(&gateway).status, 503);
    let service = Upstream::on_port(port, |_| Reply::ok("fine"));
    assert_eq!(ask(&gateway).status, 200);
    assert_eq!(service.all()[0].values("host"), [format!("localhost:{port}")]);
    eventually("it is told", || gateway.log_text().contains("passes its probe again"));
}

#[test]
fn a_service_on_a_socket_is_asked_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    let service = Upstream::unix(&path, |_| Reply::ok("fine"));
    let setup = Setup::new().probe(&format!("upstream: 'unix:{}', path: /health", path.display()));
    let gateway = setup.policy("wallet", POLICY).start();
    assert_eq!(ask(&gateway).status, 200);
    assert_eq!(service.all()[0].values("host"), ["localhost"]);
}

#[test]
fn probe_of_another_machine_is_a_problem() {
    for (probe, words) in [
        ("upstream: 'http://10.0.0.1:80', path: /", "is not on this machine"),
        ("upstream: 'http://127.0.0.1:3002', path: health", "is not a path"),
        (
            "upstream: 'http://127.0.0.1:3002', path: /, timeout: 6s",
            "at most `5s`",
        ),
        ("upstream: 'http://127.0.0.1:3002'", "`path` is missing"),
    ] {
        let setup = Setup::new().probe(probe).policy("wallet", POLICY);
        let said = crate::cli_check::said(&setup.run(&["check", "sidegate.yaml"]));
        assert_eq!(said.code, Some(1), "{probe}: {}", said.text);
        assert!(said.text.contains(words), "{probe}: {}", said.text);
    }
}
