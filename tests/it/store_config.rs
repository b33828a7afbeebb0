//! Where the store is, as files, variables and flags say; and that no password is ever shown.

use std::process::Output;

use super::harness::{
    Setup,
    certificates::pki,
    eventually,
    redis::{PASSWORD, Redis},
};

const POLICY: &str = "
$wallet
prefix: /w
routes: [{ path: /*, auth: jwt }]
";

fn setup() -> Setup {
    Setup::new().policy("wallet", POLICY)
}

/// The password of the tests, as a URL writes it.
const WRITTEN: &str = "it%27s%20a%20s3cret%3A%20of%2Fredis%40tests";

/// All that was said, and nothing of it is the password.
#[track_caller]
fn said(output: &Output) -> String {
    let text = [&output.stdout[..], &output.stderr].concat();
    let text = String::from_utf8(text).unwrap();
    assert!(
        !text.contains("s3cret") && !text.contains(PASSWORD) && !text.contains("panicked"),
        "{text}"
    );
    text
}

#[test]
fn problem_of_a_store_is_reported_with_its_place() {
    let url = format!("redis+cluster://:{WRITTEN}@h/1");
    for (store, problem) in [
        ("disk", "sidegate.yaml:6:8"),
        ("{ redis: { url: { env: NONE } } }", "the variable `NONE` is not set"),
        ("{ redis: { url: { env: BAD } } }", "a cluster has one database"),
        (
            "{ redis: { url: 'redis://:x@h' } }",
            "a password does not belong in this file",
        ),
        (
            "{ redis: { url: 'rediss://h', ca_file: no.crt } }",
            "`no.crt` cannot be read",
        ),
        (
            "{ redis: { url: 'rediss://h', ca_file: sidegate.yaml } }",
            "has no certificate",
        ),
        ("{ redis: { url: 'redis://h', tiemout: 1s } }", "`timeout`"),
    ] {
        let setup = setup().env("BAD", &url).config(&format!("store: {store}"));
        let checked = setup.run(&["check", "sidegate.yaml"]);
        let text = said(&checked);
        assert_eq!(checked.status.code(), Some(1), "{store}: {text}");
        assert!(text.contains(problem) && text.contains("1 problem"), "{store}: {text}");
        let run = setup.run(&["run"]);
        assert_eq!(run.status.code(), Some(2), "{store}: {}", said(&run));
    }
}

#[test]
fn flags_beat_the_environment_and_that_the_file() {
    let bad = format!("redis://:{WRITTEN}@h/x");
    let file = "store: { redis: { url: 'redis://127.0.0.1:1' } }";
    for (environment, flags, refused) in [
        ("memory", &[][..], false),
        (bad.as_str(), &[], true),
        (bad.as_str(), &["--store", "memory"], false),
        ("memory", &["--store", bad.as_str()], true),
        ("memory", &["--store", "disk"], true),
    ] {
        let setup = setup().config(file).env("SIDEGATE_STORE", environment);
        if refused {
            let output = setup.run(&[&["run"], flags].concat());
            let text = said(&output);
            assert_eq!(output.status.code(), Some(2), "{environment} {flags:?}: {text}");
            assert!(text.contains("the store cannot be read"), "{text}");
        } else {
            let gateway = setup.with_flags(flags).start();
            assert_eq!(
                gateway.metric("sidegate_store_up", &[]),
                Some(1.0),
                "{environment} {flags:?}"
            );
        }
    }
    let empty = setup().config(file).env("SIDEGATE_STORE", "").start();
    assert_eq!(
        empty.metric("sidegate_store_up", &[]),
        Some(0.0),
        "an empty variable is none"
    );
    let help = setup().env("SIDEGATE_STORE", &bad).run(&["run", "--help"]);
    assert!(said(&help).contains("SIDEGATE_STORE"));
}

#[test]
fn a_password_is_in_no_log_and_on_no_page() {
    let redis = Redis::secured();
    let gateway = setup().redis(&redis).config("log: { level: trace }").start();
    assert_eq!(gateway.metric("sidegate_store_up", &[]), Some(1.0));
    redis.kill();
    eventually("it is lost", || gateway.metric("sidegate_store_up", &[]) == Some(0.0));
    redis.run();
    eventually("it is there", || gateway.metric("sidegate_store_up", &[]) == Some(1.0));
    let told = [gateway.log_text(), gateway.metrics(), gateway.admin("/readyz").text()].concat();
    assert!(
        told.contains("the store unavailable") && told.contains("localhost:"),
        "{told}"
    );
    assert!(!told.contains("s3cret") && !told.contains(PASSWORD), "{told}");
}

#[test]
fn a_redis_that_wants_a_certificate_is_shown_one() {
    let (redis, pki) = (Redis::mutual(), pki());
    let files = |setup: Setup| {
        setup
            .env("IT_REDIS", &format!("rediss://localhost:{}", redis.port))
            .env("IT_PASSWORD", PASSWORD)
            .file("ca.pem", &pki.ca)
            .file("client.pem", &pki.scheduler.chain)
            .file("client.key", &pki.scheduler.key)
    };
    let store = |more: &str| {
        let how = "url: { env: IT_REDIS }, username: default, password: { env: IT_PASSWORD }, ca_file: ca.pem";
        format!("store: {{ redis: {{ {how}{more} }} }}")
    };
    let shown = store(", client_certificate: client.pem, client_key: client.key");
    let gateway = files(setup()).config(&shown).start();
    eventually("the store is up", || {
        gateway.metric("sidegate_store_up", &[]) == Some(1.0)
    });
    let gateway = files(setup()).config(&store("")).start();
    assert_eq!(gateway.metric("sidegate_store_up", &[]), Some(0.0));
    let wrong = store(", client_certificate: client.pem, client_key: client.pem");
    let output = files(setup()).config(&wrong).run(&["run"]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
}
