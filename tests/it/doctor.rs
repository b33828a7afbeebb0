//! `sidegate doctor`: what can be reached around Sidegate, who can read its secrets, whose clock is wrong.

use std::{
    fs,
    net::TcpListener,
    os::unix::{fs::PermissionsExt, net::UnixListener},
    path::Path,
};

use jiff::{Timestamp, ToSpan};
use serde_json::Value;

use crate::harness::{
    Reply, SECRET, Setup, certificates,
    gateway::text,
    issuer::{Key, KeyServer, key_set},
};

const POLICY: &str = "
$wallet
prefix: /w
routes: [{ path: /open/*, methods: [GET], auth: public }, { path: /*, auth: jwt }]
";

const KEYS: &str = "
version: 1
service: wallet-svc
prefix: /w
upstream: { url: '$upstream' }
jwt: { issuers: [{ issuer: them, audience: unchecked, algorithms: [ES256], keys: { jwks: { url: '$keys' } } }] }
routes: [{ path: /*, auth: jwt }]
";

fn setup() -> Setup {
    private().policy("wallet", POLICY)
}

/// In a folder that others do not enter.
fn private() -> Setup {
    let setup = Setup::new();
    mode(setup.folder.path(), 0o700);
    setup
}

/// What it found, and its exit code.
fn doctor(setup: &Setup, flags: &[&str]) -> (Option<i32>, Vec<Value>) {
    let mut arguments = vec!["doctor", "--config", "sidegate.yaml", "--output", "json"];
    arguments.extend(flags);
    let output = setup.run(&arguments);
    let said = text(&output);
    assert!(!said.contains(SECRET), "{said}");
    let report: Value = serde_json::from_slice(&output.stdout).expect(&said);
    let findings = report["findings"].as_array().unwrap().clone();
    let problems = findings
        .iter()
        .filter(|finding| finding["severity"] == "problem")
        .count();
    assert_eq!(report["problems"], problems, "{said}");
    (output.status.code(), findings)
}

/// The one finding with this code.
fn one<'f>(findings: &'f [Value], code: &str) -> &'f Value {
    let found: Vec<_> = findings.iter().filter(|finding| finding["code"] == code).collect();
    assert_eq!(found.len(), 1, "{code}: {findings:#?}");
    found[0]
}

fn mode(path: &Path, bits: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(bits)).unwrap();
}

#[test]
fn a_service_on_loopback_is_fine() {
    let (code, findings) = doctor(&setup(), &[]);
    assert_eq!(code, Some(0), "{findings:#?}");
    let found = one(&findings, "upstream_on_loopback");
    assert_eq!((&found["severity"], &found["area"]), (&"ok".into(), &"services".into()));
    let public = one(&findings, "route_public");
    assert_eq!(public["severity"], "note");
    assert!(
        public["found"].as_str().unwrap().contains("`/w/open/*` (GET)"),
        "{public}"
    );
}

#[test]
fn a_service_that_others_reach_is_found() {
    let exposed = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = exposed.local_addr().unwrap().port();
    for host in ["127.0.0.1", "localhost"] {
        let policy = POLICY.replace(
            "$wallet",
            &crate::harness::setup::WALLET.replace("$upstream", "$exposed"),
        );
        let setup = private()
            .policy("wallet", &policy)
            .set("exposed", &format!("http://{host}:{port}"));
        let (code, findings) = doctor(&setup, &[]);
        assert_eq!(code, Some(1));
        let found = one(&findings, "upstream_exposed");
        assert!(
            found["found"].as_str().unwrap().contains(&format!("0.0.0.0:{port}")),
            "{found}"
        );
        assert!(
            found["about"].as_str().unwrap().starts_with("wallet-svc at http://"),
            "{found}"
        );
    }
}

#[test]
fn service_elsewhere_is_not_checked_and_one_that_is_down_is_reported() {
    let at = |url: &str| {
        let policy = POLICY.replace("$wallet", &crate::harness::setup::WALLET.replace("$upstream", url));
        private().policy("wallet", &policy)
    };
    let (code, findings) = doctor(&at("http://wallet.internal:3000"), &["--offline"]);
    assert_eq!(code, Some(0), "{findings:#?}");
    assert_eq!(one(&findings, "upstream_elsewhere")["severity"], "not_checked");
    let port = crate::harness::free_port();
    let (code, findings) = doctor(&at(&format!("http://127.0.0.1:{port}")), &[]);
    assert_eq!(code, Some(0), "{findings:#?}");
    assert_eq!(one(&findings, "upstream_not_listening")["severity"], "caution");

    let setup = at("unix:$folder/service.sock");
    let _service = UnixListener::bind(setup.path("service.sock")).unwrap();
    mode(&setup.path("service.sock"), 0o777);
    one(&doctor(&setup, &[]).1, "upstream_socket_private");
    mode(setup.folder.path(), 0o755);
    one(&doctor(&setup, &[]).1, "upstream_socket_open");
}

#[test]
fn a_secret_that_others_can_read_is_found() {
    let policy = POLICY.replace(
        "$wallet",
        &crate::harness::setup::WALLET.replace("{ env: IT_SECRET }", "{ file: ../secret }"),
    );
    let setup = private().policy("wallet", &policy).file("secret", SECRET);
    setup.write();
    mode(&setup.path("secret"), 0o644);
    let (code, findings) = doctor(&setup, &[]);
    assert_eq!(code, Some(0), "its folder keeps others out: {findings:#?}");
    one(&findings, "files_private");
    mode(setup.folder.path(), 0o755);
    let (code, findings) = doctor(&setup, &[]);
    assert_eq!(code, Some(1));
    let found = one(&findings, "secret_readable");
    assert!(found["about"].as_str().unwrap().ends_with("/secret"), "{found}");
    mode(&setup.path("secret"), 0o440);
    assert_eq!(doctor(&setup, &[]).0, Some(0));
    mode(&setup.path("policies/wallet.yaml"), 0o666);
    let (code, findings) = doctor(&setup, &[]);
    assert_eq!(code, Some(1));
    assert!(
        findings.iter().any(|finding| finding["code"] == "file_writable"),
        "{findings:#?}"
    );
}

#[test]
fn an_expired_certificate_is_found() {
    let expired = &certificates::pki().expired;
    let setup = setup()
        .tls_with("  - address: 127.0.0.1:$tls_port\n    tls: { certificate: old.crt, key: old.key }\n")
        .file("old.crt", &expired.chain)
        .file("old.key", &expired.key);
    let (code, findings) = doctor(&setup, &[]);
    assert_eq!(code, Some(1));
    let found = one(&findings, "certificate_expired");
    assert!(found["found"].as_str().unwrap().contains("2021-01-01"), "{found}");
    let current = doctor(&private().policy("wallet", POLICY).tls(), &[]);
    assert_eq!(current.0, Some(0), "{current:#?}");
    assert!(current.1.iter().any(|finding| finding["code"] == "certificate_current"));
}

#[test]
fn a_key_server_whose_clock_differs_is_found() {
    let key = Key::new("ES256", "one");
    let set = key_set(&[&key]);
    let server = KeyServer::publishing(&[&key]);
    let setup = private().policy("wallet", KEYS).set("keys", &server.url);
    one(&doctor(&setup, &[]).1, "clock_unknown");
    for (minutes, code, exit) in [
        (0, "clock_agrees", 0),
        (1, "clock_skew", 0),
        (10, "clock_skew", 1),
        (-10, "clock_skew", 1),
    ] {
        let set = set.clone();
        server.now_answers(move || {
            let time = Timestamp::now().checked_add(minutes.minutes()).unwrap();
            Reply::ok(&set).header("date", &time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string())
        });
        let (status, findings) = doctor(&setup, &[]);
        assert_eq!(status, Some(exit), "{minutes}: {findings:#?}");
        let found = one(&findings, code)["found"].as_str().unwrap();
        assert_eq!(found.contains("behind"), minutes > 0, "{minutes}: {found}");
        assert_eq!(found.contains("ahead of"), minutes < 0, "{minutes}: {found}");
    }
    server.now_answers(|| Reply::status(503, ""));
    let (status, findings) = doctor(&setup, &[]);
    assert_eq!(status, Some(1));
    let found = one(&findings, "keys_unavailable");
    assert!(found["found"].as_str().unwrap().contains("503"), "{found}");
    let before = server.fetches();
    let (status, findings) = doctor(&setup, &["--offline"]);
    assert_eq!((status, server.fetches()), (Some(0), before));
    assert_eq!(one(&findings, "keys_not_fetched")["severity"], "not_checked");
}

#[test]
fn clocks_of_two_key_servers_of_one_issuer_are_judged_apart() {
    let key = Key::new("ES256", "one");
    let set = key_set(&[&key]);
    let server = |minutes: i64| {
        let set = set.clone();
        KeyServer::new(move || {
            let time = Timestamp::now().checked_add(minutes.minutes()).unwrap();
            Reply::ok(&set).header("date", &time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string())
        })
    };
    let (right, wrong) = (server(0), server(10));
    let policy = |service: &str, url: &str| {
        KEYS.replace("/w\n", &format!("/{service}\n"))
            .replace("wallet-svc", service)
            .replace("$keys", url)
    };
    for [one_of, other] in [[&right, &wrong], [&wrong, &right]] {
        let setup = private()
            .policy("a", &policy("a-svc", &one_of.url))
            .policy("b", &policy("b-svc", &other.url));
        let (status, findings) = doctor(&setup, &[]);
        assert_eq!(status, Some(1), "{findings:#?}");
        for (code, url) in [("clock_agrees", &right.url), ("clock_skew", &wrong.url)] {
            let about = one(&findings, code)["about"].as_str().unwrap();
            assert!(about.ends_with(url.as_str()), "{code}: {about}");
        }
    }
}

#[test]
fn what_is_opened_too_far_is_found() {
    let setup = private()
        .policy("wallet", &POLICY.replace("prefix: /w", "prefix: /w\nmode: shadow"))
        .config("trusted_proxies: [0.0.0.0/0]\nlog: { access: false }\ncontrol: c.sock");
    let _control = UnixListener::bind(setup.path("c.sock")).unwrap();
    mode(&setup.path("c.sock"), 0o777);
    mode(setup.folder.path(), 0o755);
    let (code, findings) = doctor(&setup, &["--admin", "0.0.0.0:9090"]);
    assert_eq!(code, Some(1));
    let shadow = findings
        .iter()
        .filter(|finding| finding["code"] == "route_shadow")
        .count();
    assert_eq!(shadow, 2, "{findings:#?}");
    for (code, severity) in [
        ("trusted_proxies_wide", "problem"),
        ("control_open", "problem"),
        ("admin_exposed", "caution"),
        ("access_log_off", "caution"),
    ] {
        assert_eq!(one(&findings, code)["severity"], severity, "{code}");
    }
}

#[test]
fn the_report_is_read_by_people_too() {
    let setup = setup();
    let output = setup.run(&["doctor", "--config", "sidegate.yaml"]);
    let said = text(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    for part in [
        "services\n  ok ",
        "[upstream_on_loopback]\n",
        "policies\n  note ",
        "\nproblems: 0, cautions: ",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn what_run_does_not_start_with_ends_it_with_two() {
    let wrong = private().policy("wallet", &POLICY.replace("auth: public", "auth: publik"));
    let output = wrong.run(&["doctor", "--config", "sidegate.yaml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output).contains("publik"));
    assert!(output.stdout.is_empty());
    assert_eq!(
        setup().run(&["doctor", "--config", "missing.yaml"]).status.code(),
        Some(2)
    );
    assert_eq!(setup().run(&["doctor", "extra"]).status.code(), Some(2));
}
