//! Tokens that are revoked: by `jti`, by subject, by tenant, from the command line.

use std::{
    io::{Read, Write},
    os::unix::net::UnixListener,
    path::Path,
    thread::{self, JoinHandle},
};

use serde_json::{Value, json};

use crate::harness::{
    Gateway, JOBS_KEY, OTHER_TENANT, Request, SECRET, Setup, TENANT, also_on_4_threads, eventually,
    gateway::text,
    issuer::{now, token},
    redis::Redis,
};

const POLICY: &str = "
$wallet
prefix: /w
revocation: {}
routes: [{ path: /open/*, auth: public }, { path: /*, auth: jwt }]
";

fn start() -> Gateway {
    Setup::new().policy("wallet", POLICY).start()
}

/// A request with a token of these claims.
fn with(claims: Value) -> Request {
    let tenant = claims["tenant"].as_str().unwrap_or(TENANT).to_owned();
    Request::get("/w/x")
        .header("x-tenant-id", &tenant)
        .bearer(&token(claims))
}

/// Runs a command that succeeds; what it says.
#[track_caller]
fn done(gateway: &Gateway, arguments: &[&str]) -> String {
    let output = gateway.sidegate(arguments);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", text(&output));
    text(&output)
}

#[track_caller]
fn revocations(gateway: &Gateway) -> Value {
    serde_json::from_str(&done(gateway, &["revocations", "--output", "json"])).unwrap()
}

#[track_caller]
fn revoked(gateway: &Gateway, request: &Request) {
    let answer = gateway.refused(request, 401, "token_revoked");
    let challenge = answer.header("www-authenticate").unwrap();
    assert!(challenge.contains("error=\"invalid_token\""), "{challenge}");
}

also_on_4_threads![
    a_token_by_its_jti,
    a_subject_up_to_a_moment,
    an_issuer_narrows_it,
    what_is_over_is_forgotten,
    two_of_one_target_are_the_stricter_of_both,
];

#[test]
fn a_token_by_its_jti() {
    let gateway = start();
    let (one, other, none) = (
        with(json!({ "jti": "one" })),
        with(json!({ "jti": "other" })),
        with(json!({})),
    );
    gateway.allowed(&one);
    done(&gateway, &["revoke", "jti", "one"]);
    for _ in 0..2 {
        revoked(
            &gateway,
            &Request {
                case: Request::get("/").case,
                ..one.clone()
            },
        );
    }
    gateway.allowed(&other);
    gateway.allowed(&none);
    let mut open = one.clone();
    open.target = "/w/open/x".into();
    open.case = Request::get("/").case;
    gateway.allowed(&open);
    // A `jti` that is not text cannot be looked up.
    gateway.refused(&with(json!({ "jti": 1 })), 401, "token_claim_invalid");
}

#[test]
fn a_subject_up_to_a_moment() {
    let gateway = start();
    gateway.allowed(&with(json!({})));
    done(&gateway, &["revoke", "subject", "user-7"]);
    revoked(&gateway, &with(json!({ "iat": now() - 10 })));
    revoked(&gateway, &with(json!({ "iat": null })));
    gateway.allowed(&with(json!({ "iat": now() + 2 })));
    gateway.allowed(&with(json!({ "sub": "user-8", "iat": now() - 10 })));
    // A moment may be past.
    let hour_ago = now() - 3600;
    done(
        &gateway,
        &["revoke", "subject", "user-9", "--before", &hour_ago.to_string()],
    );
    revoked(&gateway, &with(json!({ "sub": "user-9", "iat": hour_ago - 1 })));
    gateway.allowed(&with(json!({ "sub": "user-9", "iat": hour_ago + 1 })));
}

#[test]
fn a_tenant_up_to_a_moment() {
    let gateway = start();
    done(&gateway, &["revoke", "tenant", &TENANT.to_uppercase()]);
    revoked(&gateway, &with(json!({ "iat": now() - 10 })));
    revoked(&gateway, &with(json!({ "sub": "user-8", "iat": null })));
    gateway.allowed(&with(json!({ "iat": now() + 2 })));
    let other = json!({ "tenant": OTHER_TENANT, "tenantId": OTHER_TENANT, "iat": now() - 10 });
    gateway.allowed(&with(other));
}

#[test]
fn an_issuer_narrows_it() {
    let gateway = start();
    let one = || with(json!({ "jti": "one" }));
    done(
        &gateway,
        &["revoke", "jti", "one", "--issuer", "https://somebody.example"],
    );
    gateway.allowed(&one());
    done(&gateway, &["revoke", "jti", "one", "--issuer", "eventzr.com"]);
    revoked(&gateway, &one());
    assert_eq!(revocations(&gateway)["count"], 2);
}

#[test]
fn what_is_over_is_forgotten() {
    let gateway = start();
    let one = || with(json!({ "jti": "one" }));
    let until = (now() + 3).to_string();
    done(&gateway, &["revoke", "jti", "one", "--until", &until]);
    revoked(&gateway, &one());
    eventually("the token is good again", || gateway.send(&one()).status == 200);
    assert!(now() >= until.parse().unwrap());
    assert_eq!(revocations(&gateway)["count"], 0);
}

#[test]
fn a_policy_that_does_not_ask_does_not_look() {
    let deaf = POLICY.replace("revocation: {}\n", "");
    let both = Setup::new()
        .policy("wallet", POLICY)
        .policy("deaf", &deaf.replace("/w", "/deaf"));
    let gateway = both.start();
    let said = done(&gateway, &["revoke", "jti", "one"]);
    assert!(!said.contains("no policy"), "{said}");
    revoked(&gateway, &with(json!({ "jti": "one" })));
    let mut elsewhere = with(json!({ "jti": "one" }));
    elsewhere.target = "/deaf/x".into();
    gateway.allowed(&elsewhere);
    drop(gateway);

    let gateway = Setup::new().policy("wallet", &deaf).start();
    let said = done(&gateway, &["revoke", "jti", "one"]);
    assert!(
        said.contains("no policy of this process has `revocation: {}`"),
        "{said}"
    );
    gateway.allowed(&with(json!({ "jti": "one" })));
}

#[test]
fn two_of_one_target_are_the_stricter_of_both() {
    let gateway = start();
    let revoke = |arguments: &[&str]| {
        let arguments = [&["revoke", "subject", "u", "--output", "json"], arguments].concat();
        let said: Value = serde_json::from_str(&done(&gateway, &arguments)).unwrap();
        said["revoked"].clone()
    };
    let until = "2090-01-01T00:00:00Z";
    let first = revoke(&["--before", "2026-01-01T00:00:00Z", "--until", until]);
    let both = revoke(&["--before", "2026-02-01T00:00:00Z", "--for", "1d"]);
    assert_eq!(first["before"], "2026-01-01T00:00:00Z");
    let expected = json!({
        "kind": "subject", "value": "u", "issuer": null, "before": "2026-02-01T00:00:00Z", "expires": until,
    });
    assert_eq!(both, expected);
    assert_eq!(revocations(&gateway)["revocations"], json!([expected]));
}

#[test]
fn the_list_is_sorted_and_says_how_fresh_it_is() {
    let gateway = start();
    let until = ["--until", "2090-01-01T00:00:00Z"];
    let before = ["--before", "2026-01-01T00:00:00Z"];
    done(&gateway, &[&["revoke", "tenant", TENANT][..], &before, &until].concat());
    done(&gateway, &[&["revoke", "subject", "b"][..], &before, &until].concat());
    done(&gateway, &[&["revoke", "jti", "b\u{1b}\n"][..], &until].concat());
    done(
        &gateway,
        &[&["revoke", "jti", "a", "--issuer", "i"][..], &until].concat(),
    );
    let said = done(&gateway, &["revocations"]);
    let expected = format!(
        "KIND     VALUE                                 ISSUER  BEFORE                EXPIRES\n\
         jti      a                                     i       any                   2090-01-01T00:00:00Z\n\
         jti      b\\u{{1b}}\\n                             any     any                   2090-01-01T00:00:00Z\n\
         subject  b                                     any     2026-01-01T00:00:00Z  2090-01-01T00:00:00Z\n\
         tenant   {TENANT}  any     2026-01-01T00:00:00Z  2090-01-01T00:00:00Z\n\
         4 revocations, complete; from the process at "
    );
    assert!(said.starts_with(&expected), "{said}");
    let said = revocations(&gateway);
    assert_eq!((&said["count"], &said["age_ms"]), (&json!(4), &json!(0)));
    assert_eq!(said["revocations"][1]["value"], "b\u{1b}\n");
    assert!(said["via"]["control"].as_str().unwrap().contains("sidegate-"), "{said}");
}

#[test]
fn each_revocation_is_a_line_in_the_log() {
    let gateway = start();
    let bearer = token(json!({ "jti": "one" }));
    done(&gateway, &["revoke", "jti", "one", "--issuer", "eventzr.com"]);
    done(&gateway, &["revoke", "tenant", TENANT, "--before", "1767225600"]);
    gateway.send(&Request::get("/w/x").tenant().bearer(&bearer));
    let refused = gateway.sidegate(&["revoke", "jti", &bearer]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused).contains("name the `jti` in it") && !text(&refused).contains(&bearer));
    let lines: Vec<Value> = gateway.log_lines();
    let lines: Vec<&Value> = lines
        .iter()
        .filter(|line| line["message"] == "tokens revoked")
        .collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert_eq!(
        (&lines[0]["kind"], &lines[0]["value"], &lines[0]["issuer"]),
        (&json!("jti"), &json!("one"), &json!("eventzr.com"))
    );
    assert!(lines[0]["before"].is_null() && lines[0]["expires"].is_string());
    assert_eq!(
        (&lines[1]["kind"], &lines[1]["value"], &lines[1]["before"]),
        (&json!("tenant"), &json!(TENANT), &json!("2026-01-01T00:00:00Z"))
    );
    assert!(!gateway.log_text().contains(&bearer));
}

#[test]
fn arguments_that_make_no_sense_are_usage() {
    let gateway = start();
    for (arguments, message) in [
        (&[][..], "Usage"),
        (&["jti"], "<ID>"),
        (&["token", "x"], "possible values"),
        (&["jti", ""], "empty or too long"),
        (
            &["jti", "x", "--before", "2026-01-01T00:00:00Z"],
            "leave out `--before`",
        ),
        (&["subject", "x", "--before", "2999-01-01T00:00:00Z"], "not issued yet"),
        (&["subject", "x", "--before", "soon"], "seconds since the epoch"),
        (&["tenant", "acme corp"], "UUID"),
        (&["jti", "x", "--until", "2026-01-01T00:00:00Z"], "in the past"),
        (&["jti", "x", "--for", "0d"], "is not a length of time"),
        (&["jti", "x", "--for", "1 day"], "`24h` or `30d`"),
        (
            &["jti", "x", "--for", "1d", "--until", "4000000000"],
            "cannot be used with",
        ),
        (&["jti", "x", "--store", "memory"], "reached by its `--control`"),
        (&["jti", "x", "--store", "http://:secret@x"], "the store cannot be read"),
        (&["jti", "x", "--control", "off"], "is not a path of a socket"),
        (
            &["jti", "x", "--control", "not-there.sock"],
            "control socket `not-there.sock`: No such file",
        ),
        (&["jti", "x", "--config", "not-there.yaml"], "not-there.yaml"),
        (&["jti", "x", "--output", "xml"], "possible values"),
    ] {
        let output = gateway.sidegate(&[&["revoke"], arguments].concat());
        let said = text(&output);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(
            said.contains(message) && !said.contains("secret"),
            "{arguments:?}: {said}"
        );
    }
    assert_eq!(revocations(&gateway)["count"], 0);
}

/// A policy of this service, which asks for revocations or not.
fn policy_of(service: &str, lines: &str) -> String {
    let policy = POLICY
        .replace("/w\n", &format!("/{service}\n"))
        .replace("revocation: {}\n", lines);
    let begin = crate::harness::setup::WALLET.replace("wallet-svc", service);
    policy.replace("$wallet", &begin)
}

const FORGETS: &str = "the revocation is lost when this process restarts";

#[test]
fn revoke_with_a_memory_store_reports_policies_that_ask_and_the_loss_on_restart() {
    let gateway = Setup::new()
        .policy("a", &policy_of("shop-svc", ""))
        .policy("b", &policy_of("pay-svc", "revocation: {}\n"))
        .policy("c", &policy_of("dead-svc", ""))
        .start();
    let warned = |line: &Value| {
        let message = line["message"].as_str().unwrap_or_default();
        line["level"] == "WARN" && line["services"] == "pay-svc" && message.contains("lost when this process restarts")
    };
    assert_eq!(gateway.log_lines().iter().filter(|line| warned(line)).count(), 1);
    let output = gateway.sidegate(&["revoke", "jti", "stolen-1"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let (out, err) = (
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    );
    assert!(
        out.contains("1 of 3 policies ask: pay-svc; not: dead-svc, shop-svc\n"),
        "{out}"
    );
    assert!(
        err.contains("do not have `revocation: {}`: dead-svc, shop-svc"),
        "{err}"
    );
    assert!(err.contains(FORGETS), "{err}");
    let output = gateway.sidegate(&["revoke", "jti", "stolen-2", "--output", "json"]);
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(said["policies"], 1, "{said}");
    let asking = json!({
        "policies": 1, "of": 3, "asking": ["pay-svc"], "not_asking": ["dead-svc", "shop-svc"], "lost_on_restart": true
    });
    assert_eq!(said["asking"], asking);
    // What was said is so.
    for (service, status) in [("pay-svc", 401), ("shop-svc", 200)] {
        let request = Request::get(&format!("/{service}/x")).tenant();
        let answer = gateway.send(&request.bearer(&token(json!({ "jti": "stolen-1" }))));
        assert_eq!(answer.status, status, "{service}");
    }
    let doctor = gateway.sidegate_with(
        &["doctor", "--config", "sidegate.yaml", "--output", "json"],
        &[("IT_SECRET", SECRET), ("IT_JOBS_KEY", JOBS_KEY)],
    );
    let report: Value = serde_json::from_slice(&doctor.stdout).unwrap_or_else(|_| panic!("{}", text(&doctor)));
    let about = |code: &str| {
        let findings = report["findings"].as_array().unwrap().iter();
        let found = findings.filter(|finding| finding["code"] == code);
        found
            .map(|finding| (finding["about"].clone(), finding["severity"].clone()))
            .collect::<Vec<_>>()
    };
    let note = |service: &str| (json!(service), json!("note"));
    assert_eq!(about("revocation_absent"), [note("shop-svc"), note("dead-svc")]);
    assert_eq!(about("revocations_in_memory"), [(json!("pay-svc"), json!("caution"))]);
}

#[test]
fn revoke_of_a_tenant_names_the_policies_that_know_no_tenants() {
    let without_tenant = |service| {
        let policy = policy_of(service, "revocation: {}\n").replace("$wallet", "");
        let (before, after) = policy.split_once("tenant: {").unwrap();
        format!("{before}{}", after.split_once('\n').unwrap().1)
    };
    let gateway = Setup::new()
        .policy("a", &policy_of("pay-svc", "revocation: {}\n"))
        .policy("b", &without_tenant("shop-svc"))
        .start();
    let alone = Setup::new().policy("b", &without_tenant("shop-svc")).start();
    for (gateway, kind, id, asks, warning) in [
        (
            &gateway,
            "tenant",
            TENANT,
            "1 of 2 policies ask: pay-svc; not: shop-svc",
            "do not have both `revocation: {}` and `tenant`: shop-svc",
        ),
        (&gateway, "subject", "user-7", "2 of 2 policies ask", ""),
        (
            &alone,
            "tenant",
            TENANT,
            "0 of 1 policy asks; not: shop-svc",
            "no policy of this process has both `revocation: {}` and `tenant`",
        ),
    ] {
        let output = gateway.sidegate(&["revoke", kind, id, "--before", "0"]);
        let said = text(&output);
        assert_eq!(output.status.code(), Some(0), "{said}");
        assert!(said.contains(asks) && said.contains(warning), "{said}");
        assert_eq!(
            said.contains("do not have"),
            asks.contains("; not") && asks.starts_with('1'),
            "{said}"
        );
    }
}

#[test]
fn nothing_is_said_to_be_forgotten_where_no_policy_asks_or_redis_remembers() {
    let redis = Redis::start();
    for (setup, asks) in [
        (
            Setup::new().policy("a", &policy_of("shop-svc", "")),
            "0 of 1 policy asks; not: shop-svc",
        ),
        (
            Setup::new()
                .redis(&redis)
                .policy("a", &policy_of("pay-svc", "revocation: {}\n")),
            "1 of 1 policy asks: pay-svc\n",
        ),
    ] {
        let gateway = setup.config("control: c.sock").start();
        let said = done(&gateway, &["revoke", "jti", "x", "--control", "c.sock"]);
        assert!(said.contains(asks), "{said}");
        assert!(!said.contains(FORGETS), "{said}");
        assert!(!gateway.log_text().contains("lost when this process restarts"));
    }
}

/// A process that answers each line of the first connection with these bytes, and hangs up.
fn pretender(path: &Path, answer: &str) -> JoinHandle<()> {
    let listener = UnixListener::bind(path).unwrap();
    let answer = format!("{answer}\n");
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        _ = stream.read(&mut [0; 4096]);
        _ = stream.write_all(answer.as_bytes());
    })
}

#[test]
fn what_a_process_answers_decides_the_exit_code() {
    for (answer, code, words) in [
        (r#"{"error":{"kind":"full","message":"no room"}}"#, 1, "no room"),
        (r#"{"error":{"kind":"invalid","message":"no sense"}}"#, 1, "no sense"),
        (
            r#"{"error":{"kind":"unavailable","message":"Redis"}}"#,
            2,
            "the store of the process did not reply: Redis",
        ),
        (r#"{"error":{"kind":"busy","message":"later"}}"#, 2, "later"),
        (
            r#"{"error":{"kind":"odd","message":"later"}}"#,
            2,
            "the process did not reply",
        ),
        (r#"{"end":{"count":0,"age_ms":0}}"#, 2, "a reply to another request"),
        ("HTTP/1.1 400 Bad Request", 2, "the process did not reply"),
        ("", 2, "the process did not reply"),
    ] {
        let setup = Setup::new();
        let listening = pretender(&setup.path("c.sock"), answer);
        let output = setup.run(&["revoke", "jti", "x", "--control", "c.sock"]);
        listening.join().unwrap();
        assert_eq!(output.status.code(), Some(code), "{answer}: {}", text(&output));
        assert!(text(&output).contains(words), "{answer}: {}", text(&output));
    }
    // A list that was cut off is a failure.
    let setup = Setup::new();
    let one = r#"{"revocation":{"target":{"kind":"jti","value":"j"},"expires":4000000000000}}"#;
    let listening = pretender(&setup.path("c.sock"), one);
    let output = setup.run(&["revocations", "--control", "c.sock"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output).contains("did not reply"), "{}", text(&output));
    listening.join().unwrap();
}
