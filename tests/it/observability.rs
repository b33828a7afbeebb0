//! What an operator sees: metrics, probes, and one log line for each request.

use std::{
    io::Write,
    process::{Command, Stdio},
    sync::Arc,
    thread,
};

use serde_json::{Value, json};

use crate::harness::{
    Gateway, JOBS_KEY, OTHER_TENANT, Request, SECRET, Setup, Shared, TENANT, also_on_4_threads, eventually,
    issuer::{now, token},
};

const POLICY: &str = "
$wallet
prefix: /w
routes:
  - { path: '/wallets/{id}', auth: jwt }
  - { path: /jobs/*, auth: internal_key }
  - { path: /open/*, auth: public }
";

fn gateway() -> Arc<Gateway> {
    static SHARED: Shared<Gateway> = Shared::new();
    SHARED.get(|| Setup::new().tls().policy("wallet", POLICY).start())
}

fn good() -> Request {
    Request::get("/w/wallets/7").bearer(&token(json!({}))).tenant()
}

also_on_4_threads![
    requests_are_counted_by_pattern_method_and_status,
    nothing_is_in_flight_when_nothing_is,
    each_request_is_one_line_with_the_fields_that_are_promised,
];

#[test]
fn admin_port_serves_probes_and_nothing_else() {
    let gateway = gateway();
    assert_eq!(
        (
            gateway.probe("/livez"),
            gateway.probe("/readyz"),
            gateway.probe("/metrics")
        ),
        (Some(200), Some(200), Some(200))
    );
    for path in ["/", "/debug", "/metrics/../x", "/config"] {
        assert!(matches!(gateway.probe(path), Some(400..=499)), "{path}");
    }
    for method in ["POST", "PUT", "DELETE"] {
        let answer = crate::harness::send(gateway.admin_port, &Request::new(method, "/readyz"));
        assert!((400..500).contains(&answer.status), "{method}: {answer:?}");
    }
    // Nor is any of it on the public side.
    for path in ["/metrics", "/livez", "/readyz"] {
        assert_eq!(gateway.send(&Request::get(path)).status, 404, "{path}");
    }
}

#[test]
fn the_metrics_page_is_what_prometheus_expects() {
    let gateway = gateway();
    gateway.allowed(&good());
    gateway.refused(&Request::get("/w/wallets/7"), 401, "credential_missing");
    let page = gateway.admin("/metrics");
    assert!(page.header("content-type").unwrap().starts_with("text/plain"));
    let Ok(mut promtool) = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
    else {
        eprintln!("skipped: promtool is not on PATH");
        return;
    };
    promtool.stdin.take().unwrap().write_all(&page.body).unwrap();
    let said = promtool.wait_with_output().unwrap();
    let complaints = String::from_utf8_lossy(&said.stderr).into_owned() + &String::from_utf8_lossy(&said.stdout);
    assert!(said.status.success(), "{complaints}");
    assert_eq!(complaints.trim(), "");
}

#[test]
fn every_metric_of_the_contract_exists() {
    let gateway = gateway();
    gateway.allowed(&good());
    let page = gateway.metrics();
    let mut missing = vec![
        "sidegate_requests_total",
        "sidegate_decisions_total",
        "sidegate_request_duration_seconds",
        "sidegate_upstream_duration_seconds",
        "sidegate_decision_duration_seconds",
        "sidegate_requests_in_flight",
        "sidegate_certificate_expiry_timestamp_seconds",
        "sidegate_client_ca_expiry_timestamp_seconds",
        "sidegate_client_crl_next_update_timestamp_seconds",
        "sidegate_access_log_dropped_total",
        "sidegate_access_log_write_errors_total",
        "process_cpu_seconds_total",
        "sidegate_policy_reloads_total",
        "sidegate_policy_last_reload_success_timestamp_seconds",
        "sidegate_policy_info",
        "sidegate_build_info",
        "process_resident_memory_bytes",
        "process_cpu_seconds_total",
        "process_open_fds",
    ];
    missing.retain(|name| !page.contains(&format!("# TYPE {name} ")));
    assert!(missing.is_empty(), "{missing:?} are not in\n{page}");
    assert!(
        gateway
            .metric("sidegate_certificate_expiry_timestamp_seconds", &[])
            .unwrap()
            > 1e9
    );
}

#[test]
fn requests_are_counted_by_pattern_method_and_status() {
    let gateway = Setup::new().policy("wallet", POLICY).start();
    for _ in 0..3 {
        gateway.allowed(&good());
    }
    let denied = Request::get("/w/wallets/very-secret-42")
        .header("x-tenant-id", OTHER_TENANT)
        .bearer(&token(json!({})));
    gateway.refused(&denied, 403, "tenant_mismatch");
    gateway.send(&Request::new("BREW", "/w/open/x"));
    gateway.send(&Request::get("/not-there/raw-path-43"));
    gateway.refused(&Request::get("/w/raw-path-43"), 404, "route_not_found");

    let counted = |name: &str, labels: &[(&str, &str)], count: f64| {
        eventually(&format!("{name} {labels:?} is {count}"), || {
            gateway.metric(name, labels) == Some(count)
        });
    };
    let service = ("service", "wallet-svc");
    counted(
        "sidegate_requests_total",
        &[service, ("method", "GET"), ("status", "200")],
        3.0,
    );
    counted(
        "sidegate_requests_total",
        &[service, ("method", "GET"), ("status", "403")],
        1.0,
    );
    counted("sidegate_requests_total", &[("method", "other")], 1.0);
    counted(
        "sidegate_decisions_total",
        &[service, ("auth", "jwt"), ("decision", "allow")],
        3.0,
    );
    counted(
        "sidegate_decisions_total",
        &[service, ("decision", "deny"), ("reason", "tenant_mismatch")],
        1.0,
    );
    counted(
        "sidegate_decisions_total",
        &[service, ("decision", "deny"), ("reason", "route_not_found")],
        1.0,
    );
    counted("sidegate_request_duration_seconds_count", &[service], 6.0);
    counted("sidegate_upstream_duration_seconds_count", &[service], 4.0);
    let page = gateway.metrics();
    assert!(page.contains("{id}"), "the pattern is the label:\n{page}");
    for of_a_client in [
        "very-secret-42",
        "raw-path-43",
        "BREW",
        OTHER_TENANT,
        TENANT,
        "user-7",
        SECRET,
        JOBS_KEY,
    ] {
        assert!(!page.contains(of_a_client), "{of_a_client} in\n{page}");
    }
}

#[test]
fn nothing_is_in_flight_when_nothing_is() {
    let gateway = Setup::new().policy("wallet", POLICY).start();
    for _ in 0..5 {
        gateway.allowed(&good());
        gateway.refused(&Request::get("/w/wallets/7"), 401, "credential_missing");
        gateway.send(&Request::get("/w/../x"));
    }
    eventually("all requests ended", || {
        gateway.metric("sidegate_requests_in_flight", &[]) == Some(0.0)
    });
}

/// The access-log line of the request with this id.
fn line_of(gateway: &Gateway, id: &str) -> Value {
    let mut found = Vec::new();
    eventually("the request is logged", || {
        let of_request = |line: &Value| line.to_string().contains(id) && line.to_string().contains("\"status\"");
        found = gateway.log_lines().into_iter().filter(of_request).collect();
        !found.is_empty()
    });
    assert_eq!(found.len(), 1, "one line for each request: {found:?}");
    found.remove(0)
}

#[test]
fn each_request_is_one_line_with_the_fields_that_are_promised() {
    let gateway = gateway();
    let id = uuid::Uuid::new_v4().to_string();
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let request = Request::post("/w/wallets/7?card=visa-4111", "{\"a\":1}")
        .bearer(&token(json!({})))
        .tenant();
    gateway.allowed(
        &request
            .header("x-request-id", &id)
            .header("traceparent", &format!("00-{trace}-00f067aa0ba902b7-01")),
    );
    let line = line_of(&gateway, &id);
    for (field, value) in [
        ("request_id", json!(id)),
        ("trace_id", json!(trace)),
        ("service", json!("wallet-svc")),
        ("auth", json!("jwt")),
        ("decision", json!("allow")),
        ("subject", json!("user-7")),
        ("tenant", json!(TENANT)),
        ("status", json!(200)),
        ("upstream_status", json!(200)),
        ("method", json!("POST")),
    ] {
        assert_eq!(line[field], value, "{field} of {line}");
    }
    assert!(
        line["route"].as_str().is_some_and(|route| route.contains("{id}")),
        "{line}"
    );
    let text = line.to_string();
    assert!(text.contains("bytes") && text.contains("duration"), "{line}");
    for secret in ["visa", "card", "eyJ"] {
        assert!(!text.contains(secret), "{secret} in {line}");
    }
}

#[test]
fn a_rejection_is_a_line_with_its_reason() {
    let gateway = gateway();
    for (request, status, reason) in [
        (Request::get("/w/wallets/7"), 401, "credential_missing"),
        (
            Request::get("/w/wallets/7")
                .bearer(&token(json!({ "exp": now() - 9 })))
                .tenant(),
            401,
            "token_expired",
        ),
        (Request::get("/w/nothing"), 404, "route_not_found"),
        (Request::get("/w/a//b"), 400, "path_ambiguous"),
    ] {
        let id = uuid::Uuid::new_v4().to_string();
        gateway.refused(&request.header("x-request-id", &id), status, reason);
        let line = line_of(&gateway, &id);
        assert_eq!(
            (&line["decision"], &line["reason"], &line["status"]),
            (&json!("deny"), &json!(reason), &json!(status)),
            "{line}"
        );
        assert!(line["upstream_status"].is_null(), "{line}");
    }
}

#[test]
fn no_secret_is_ever_logged() {
    let gateway = Setup::new()
        .config("log: { format: json, level: debug, access: true }")
        .policy("wallet", POLICY)
        .start();
    let (good_token, forged) = (token(json!({})), format!("{}x", token(json!({ "sub": "forger" }))));
    gateway.allowed(
        &Request::get("/w/wallets/7?api_key=hunter2")
            .bearer(&good_token)
            .tenant(),
    );
    gateway.send(&Request::get("/w/wallets/7?api_key=hunter2").bearer(&forged).tenant());
    gateway.allowed(&Request::get("/w/jobs/x").jobs_key());
    gateway.send(&Request::get("/w/jobs/x").header("x-internal-api-key", "a-guess-at-the-key"));
    gateway.send(
        &Request::get("/w/open/x")
            .header("cookie", "session=hunter3")
            .header("authorization", "Basic aHVudGVyNA=="),
    );
    gateway.send(&Request::get("/w/../x?api_key=hunter2"));
    gateway.terminate();
    gateway.ended();
    let log = gateway.log_text();
    assert!(log.contains("wallet-svc"), "something was logged");
    let signature = good_token.rsplit('.').next().unwrap();
    for secret in [
        &good_token,
        &forged,
        signature,
        SECRET,
        JOBS_KEY,
        "a-guess-at-the-key",
        "hunter2",
        "hunter3",
        "aHVudGVyNA==",
    ] {
        assert!(!log.contains(secret), "{secret} in\n{log}");
    }
}

#[test]
fn a_line_cannot_be_forged_by_what_a_client_sends() {
    let gateway = gateway();
    let id = uuid::Uuid::new_v4().to_string();
    let request = Request::get("/w/open/%22%7D").header(
        "user-agent",
        "\"}\\n{\"forged\":true}\u{1b}[31m\u{e9}".replace('\u{1b}', "").as_str(),
    );
    gateway.allowed(&request.header("x-request-id", &id));
    line_of(&gateway, &id);
    assert!(gateway.log_lines().iter().all(|line| line.get("forged").is_none()));
}

#[test]
fn the_start_says_what_is_guarded_how() {
    let gateway = gateway();
    eventually("it says so", || gateway.log_text().contains("admin listening"));
    let log = gateway.log_text();
    for word in ["wallet-svc", "/w", "jwt", "internal_key", "public"] {
        assert!(log.contains(word), "{word} is not in\n{log}");
    }
}

#[test]
fn start_logs_how_many_threads_serve() {
    let processors = thread::available_parallelism().unwrap().get();
    let many = processors + 1;
    for (written, count, is_auto) in [
        ("threads: 1".to_owned(), 1, false),
        ("threads: auto".to_owned(), processors, true),
        (format!("threads: {many}"), many, false),
    ] {
        let gateway = Setup::new().config(&written).policy("wallet", POLICY).start();
        eventually("it says so", || gateway.log_text().contains("admin listening"));
        let log = gateway.log_lines();
        let serving = log.iter().find(|line| line["message"] == "serving").unwrap();
        assert_eq!(
            (&serving["threads"], &serving["auto"]),
            (&count.into(), &is_auto.into())
        );
        let warning = format!("`threads` is {many}, but the process has {processors} processors");
        assert_eq!(gateway.log_text().contains(&warning), count == many, "{log:?}");
        gateway.allowed(&good());
    }
}

#[test]
fn the_access_log_can_be_turned_off() {
    let gateway = Setup::new()
        .config("log: { access: false }")
        .policy("wallet", POLICY)
        .start();
    let id = uuid::Uuid::new_v4().to_string();
    gateway.allowed(&good().header("x-request-id", &id));
    gateway.terminate();
    gateway.ended();
    assert!(!gateway.log_text().contains(&id));
}

/// The ids in the access lines of a log, with repetitions.
fn logged_ids(gateway: &Gateway) -> Vec<String> {
    let lines = gateway.log_lines().into_iter();
    let access = lines.filter(|line| line["message"] == "request");
    let mut ids: Vec<_> = access
        .map(|line| line["request_id"].as_str().unwrap().to_owned())
        .collect();
    ids.sort();
    ids
}

#[test]
fn the_end_of_the_process_loses_no_line() {
    let gateway = Setup::new().config("threads: 3").policy("wallet", POLICY).start();
    let mut sent: Vec<String> = thread::scope(|scope| {
        let send = || {
            let mut wire = gateway.connect();
            let mut one = || {
                let id = uuid::Uuid::new_v4().to_string();
                wire.exchange(&Request::get("/w/nothing").header("x-request-id", &id));
                id
            };
            (0..50).map(|_| one()).collect::<Vec<_>>()
        };
        let clients: Vec<_> = (0..4).map(|_| scope.spawn(send)).collect();
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    gateway.terminate();
    assert!(gateway.ended().success());
    sent.sort();
    assert_eq!(logged_ids(&gateway), sent);
    for line in gateway.log_text().lines() {
        assert!(serde_json::from_str::<Value>(line).is_ok(), "not a whole line: {line}");
    }
}

#[test]
fn unread_log_delays_no_request() {
    let gateway = Setup::new()
        .unread_log()
        .config("threads: 16")
        .policy("wallet", POLICY)
        .start();
    let dropped = || gateway.metric("sidegate_access_log_dropped_total", &[]).unwrap();
    assert!(dropped() < 1.0, "nothing is dropped yet");
    let long = Request::get(&format!("/w/nothing/{}", "x".repeat(7_000)));
    let mut wire = gateway.connect();
    let mut sent = 0;
    while dropped() < 1.0 {
        assert!(sent < 5_000, "nothing is dropped");
        for _ in 0..50 {
            assert_eq!(wire.exchange(&long).status, 404);
        }
        sent += 50;
    }
    gateway.allowed(&good());
    // Once the log is read, lines are written again, and one says that some are missing.
    gateway.read_log();
    eventually("it says that lines were dropped", || {
        gateway.log_text().contains("log lines dropped")
    });
    let id = uuid::Uuid::new_v4().to_string();
    wire.exchange(&Request::get("/w/nothing").header("x-request-id", &id));
    line_of(&gateway, &id);
    let lost = dropped();
    gateway.terminate();
    assert!(gateway.ended().success());
    let told = |text: &str| text.matches("log lines dropped").count();
    eventually("its last words are read", || gateway.log_text().contains("stopped"));
    assert_eq!(told(&gateway.log_text()), 1);
    for line in gateway.log_text().lines() {
        assert!(serde_json::from_str::<Value>(line).is_ok(), "not a whole line: {line}");
    }
    let kept = i32::try_from(logged_ids(&gateway).len()).unwrap();
    assert_eq!(format!("{lost}"), format!("{}", sent + 2 - kept));
}

/// Requests are served while the log cannot be written; that is counted, and said once.
#[track_caller]
fn assert_serves_without_a_log(gateway: &Gateway) {
    let lost = || gateway.metric("sidegate_access_log_write_errors_total", &[]).unwrap();
    eventually("a line that cannot be written is counted", || {
        gateway.allowed(&good());
        lost() > 0.0
    });
    let before = lost();
    eventually("further ones are", || {
        gateway.allowed(&good());
        lost() >= before + 3.0
    });
    assert_eq!(gateway.probe("/readyz"), Some(200));
    assert_eq!(gateway.metric("sidegate_access_log_dropped_total", &[]), Some(0.0));
    let said = gateway.log_text();
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("the log cannot be written: "), "{said}");
    gateway.terminate();
    assert!(gateway.ended().success());
}

#[test]
fn a_log_that_cannot_be_written_stops_nothing_is_counted_and_said_once() {
    let setup = || Setup::new().policy("wallet", POLICY);
    let full = setup().standard_output("/dev/full").start();
    assert_serves_without_a_log(&full);
    let left = setup().unread_log().start();
    left.close_log();
    assert_serves_without_a_log(&left);
}

#[test]
fn the_log_can_be_read_by_people() {
    let gateway = Setup::new()
        .config("log: { format: text }")
        .policy("wallet", POLICY)
        .start();
    gateway.allowed(&good());
    gateway.terminate();
    assert!(gateway.ended().success());
    let log = gateway.log_text();
    let line = log
        .lines()
        .find(|line| line.contains(" INFO request request_id="))
        .unwrap();
    for part in [
        "service=\"wallet-svc\" route=\"/w/wallets/{id}\" auth=\"jwt\" decision=\"allow\" subject=\"user-7\"",
        "client=127.0.0.1 peer=127.0.0.1 host=\"",
        " status=200 upstream_status=200 bytes_in=0",
    ] {
        assert!(line.contains(part), "{part} is not in {line}");
    }
}
