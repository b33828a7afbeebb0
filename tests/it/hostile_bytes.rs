//! Public collections of malformed and ambiguous requests: whatever arrives, the service reads
//! strict HTTP, and the next ordinary request is answered.

use std::path::PathBuf;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;

use crate::harness::{Answer, Gateway, Request, Setup, eventually, issuer::token_of_text, unique};

const POLICY: &str = "
version: 1
service: everything
prefix: /
upstream: { url: '$upstream' }
routes: [{ path: /*, auth: public }]
";

fn gateway() -> Gateway {
    let limits = "limits: { header_timeout: 2s, body_timeout: 2s }";
    Setup::new().config(limits).policy("everything", POLICY).start()
}

/// Sends these bytes and nothing more; returns the response, if one came.
fn answer_to(gateway: &Gateway, bytes: &[u8]) -> Option<Answer> {
    let mut wire = gateway.connect();
    wire.try_write(bytes).ok()?;
    wire.finish();
    wire.answer("GET").ok()
}

/// The folder of public test vectors is named by a variable. Without it these tests are reported
/// as skipped; with it the vectors must exist.
#[expect(clippy::print_stdout, reason = "a skipped test says so")]
fn vectors_folder() -> Option<PathBuf> {
    let folder = std::env::var_os("SIDEGATE_VECTORS");
    if folder.is_none() {
        println!("skipped: SIDEGATE_VECTORS is not set");
    }
    folder.map(Into::into)
}

fn vectors(file: &str) -> Option<String> {
    let path = vectors_folder()?.join(file);
    Some(std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

fn cases(text: &str, member: &str) -> Vec<(String, Vec<u8>, Value)> {
    let document: Value = serde_json::from_str(text).unwrap();
    let cases = document.get("cases").unwrap_or(&document).as_array().unwrap().clone();
    let bytes = |case: &Value| STANDARD.decode(case[member].as_str().unwrap()).unwrap();
    let name = |case: &Value| case.get("id").unwrap_or(&case["name"]).as_str().unwrap().to_owned();
    cases
        .into_iter()
        .map(|case| (name(&case), bytes(&case), case))
        .collect()
}

fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    match bytes.windows(from.len()).position(|window| window == from) {
        Some(at) => [&bytes[..at], to, &bytes[at + from.len()..]].concat(),
        None => bytes.to_vec(),
    }
}

#[test]
fn vectors_to_reject_are_rejected_and_no_others() {
    let gateway = gateway();
    let Some(text) = vectors("http11probe/cases.json") else {
        return;
    };
    let mut wrong = Vec::new();
    for (id, bytes, case) in cases(&text, "request_b64_with_host_placeholder") {
        let bytes = replace(&bytes, b"\0HOST\0", b"localhost");
        let answer = answer_to(&gateway, &bytes);
        let status = answer.as_ref().map_or(0, |answer| answer.status);
        let fine = match case["expected_status"].as_str() {
            // A connection that is closed without a response is a rejection, too.
            Some("Exact(400)") => status == 400 || status == 0 && case["close_ok"] == true,
            Some("Range2xx") => (200..300).contains(&status),
            _ => status < 500,
        };
        if !fine {
            wrong.push((id, status));
        }
        gateway.upstream.assert_strict();
    }
    assert!(wrong.is_empty(), "{wrong:?}");
    gateway.allowed(&Request::get("/x"));
}

#[test]
fn bytes_that_a_strict_parser_rejects_never_reach_the_service_as_more_than_was_sent() {
    let gateway = gateway();
    let Some(text) = vectors("llhttp/requests.json") else {
        return;
    };
    for (name, bytes, case) in cases(&text, "request_b64") {
        let before = gateway.upstream.all().len();
        // Many of them name no host, which alone would be reason enough to reject them.
        let host = format!("HTTP/1.1\r\nHost: localhost\r\nx-case: {}\r\n", unique());
        let named = if bytes.to_ascii_lowercase().windows(5).any(|window| window == b"host:") {
            bytes.clone()
        } else {
            replace(&bytes, b"HTTP/1.1\r\n", host.as_bytes())
        };
        let answer = answer_to(&gateway, &named);
        assert!(answer.is_none_or(|answer| answer.status < 500), "{name}");
        // A request that is still on its way belongs to this case and not to the next.
        eventually("the end of the case", || {
            gateway.metric("sidegate_requests_in_flight", &[]) == Some(0.0)
        });
        let arrived = gateway.upstream.all().len() - before;
        let sent = usize::try_from(case["messages_completed"].as_u64().unwrap_or(0)).unwrap();
        assert!(arrived <= sent.max(1), "{name}: {arrived} requests of {sent}");
        gateway.upstream.assert_strict();
    }
    gateway.allowed(&Request::get("/x"));
}

#[test]
fn token_whose_claims_are_not_json_is_rejected() {
    let gateway = Setup::new()
        .policy("wallet", "$wallet\nprefix: /w\nroutes: [{ path: /*, auth: jwt }]\n")
        .start();
    let Some(folder) = vectors_folder() else { return };
    let mut run = 0;
    for entry in std::fs::read_dir(folder.join("json-test-suite/test_parsing")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read(&path).unwrap();
        let request = Request::get("/w/x")
            .bearer(&token_of_text(r#"{"alg":"HS256"}"#, &text))
            .tenant();
        let answer = gateway.send(&request);
        // None of them has the claims that are needed, so none is let through.
        match text.len() {
            ..=5000 => gateway.rejected(&request, &answer, 401, &answer.reason()),
            _ => assert!(matches!(answer.status, 401 | 431), "{name}: {answer:?}"),
        }
        if name.starts_with("n_") && text.len() <= 5000 {
            assert_eq!(answer.reason(), "token_malformed", "{name}");
            run += 1;
        }
    }
    assert!(run > 100, "{run}");
}

/// The access line of the request with this method.
fn line_with(gateway: &Gateway, method: &str) -> (String, serde_json::Value) {
    let mut found = None;
    eventually("it is logged", || {
        let log = gateway.log_text();
        let line = log
            .lines()
            .find(|line| line.contains(&format!("\"method\":\"{method}\"")));
        found = line.map(|line| (line.to_owned(), serde_json::from_str(line).unwrap()));
        found.is_some()
    });
    found.unwrap()
}

#[test]
fn what_a_terminal_acts_on_is_escaped_in_the_log() {
    let gateway = gateway();
    // C1 controls, DEL, ends of line, and marks that turn text round, as bytes of the target.
    for (method, bytes, shown) in [
        ("CSI", &b"\xc2\x9b2J"[..], "\u{9b}2J"),
        ("NEL", b"\xc2\x85x", "\u{85}x"),
        ("DEL", b"\x7fx", "\u{7f}x"),
        ("ESC", b"\x1b[2Jx", "\u{1b}[2Jx"),
        ("LINE", b"\xe2\x80\xa8\xe2\x80\xa9", "\u{2028}\u{2029}"),
        ("RLO", b"\xe2\x80\xae\xe2\x81\xa6", "\u{202e}\u{2066}"),
        ("LETTER", b"\xc3\xa4", "ä"),
        ("BROKEN", b"\xff\x9b", "\u{fffd}\u{fffd}"),
    ] {
        let request = [method.as_bytes(), b" /", bytes, b" HTTP/1.1\r\nhost: a\r\n\r\n"].concat();
        answer_to(&gateway, &request);
        let (line, value) = line_with(&gateway, method);
        assert_eq!(value["path"], format!("/{shown}"), "{line}");
        // Heads that never become a request have the address, too.
        assert_eq!(value["client"], "127.0.0.1", "{line}");
        let acted_on = ['\u{2028}', '\u{2029}', '\u{202e}', '\u{2066}'];
        assert!(!line.contains(char::is_control) && !line.contains(acted_on), "{line:?}");
    }
}
