//! `sidegate demo`: the lines that it prints, in a shell.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{
    Setup,
    gateway::{output, text},
};

/// Starts the demo on free ports; with it comes what it prints.
fn start(setup: &Setup) -> (Child, String) {
    let arguments = ["demo", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    let mut demo = setup
        .command(&arguments)
        .stdout(Stdio::piped())
        .stderr(File::create(setup.path("log")).unwrap())
        .spawn()
        .unwrap();
    let mut guide = String::new();
    let lines = BufReader::new(demo.stdout.take().unwrap()).lines();
    for line in lines.map(Result::unwrap) {
        let is_last = line.contains("sidegate init");
        guide += &(line + "\n");
        if is_last {
            break;
        }
    }
    (demo, guide)
}

/// The statuses that curl wrote, each on a line of its own, or several of one loop in one.
fn statuses(said: &str) -> Vec<&str> {
    let is_status = |word: &str| word.len() == 3 && word.bytes().all(|b| b.is_ascii_digit());
    let lines = said.lines().map(str::trim_end);
    lines
        .filter(|line| !line.is_empty() && line.split(' ').all(is_status))
        .collect()
}

#[test]
fn the_lines_of_the_demo_show_what_they_say() {
    let setup = Setup::new();
    let (mut demo, guide) = start(&setup);
    let (_, lines) = guide.split_once("\n# ").unwrap();
    let (lines, signs) = lines.split_once("\nWhat to look at:\n").unwrap();
    let script = format!("# {lines}").replace(r"-w '\n'", r"-w '\n%{http_code}\n'");
    let mut shell = Command::new("bash");
    let said = output({
        shell.args(["-euo", "pipefail", "-c", &script]).stdin(Stdio::null());
        shell
    });
    kill_process(Pid::from_child(&demo), Signal::TERM).unwrap();
    assert_eq!(demo.wait().unwrap().code(), Some(0));

    let said = text(&said);
    let mut statuses = statuses(&said);
    let guesses = statuses.pop().unwrap();
    let expected = [
        // The orders service: no token, a clerk, a refund by the clerk and by the manager.
        &["401", "200", "403", "200"][..],
        // A token at each service; none, and one of another tenant.
        &["200", "200", "401", "403"],
        // A user, and a role that it has not.
        &["200", "403"],
        // A refresh token as an access token, and where it belongs.
        &["401", "200"],
        // A form, and a write that comes again.
        &["415", "200", "200"],
        // Internal keys, certificates, paths.
        &["200", "401", "200", "403", "401", "200", "400"],
        // A revoked token.
        &["401"],
    ];
    assert_eq!(statuses, expected.concat(), "{said}");
    assert!(
        guesses.starts_with("401 401") && guesses.ends_with("429 429"),
        "{guesses}"
    );
    assert_eq!(said.matches("\nidempotency-replayed: true").count(), 1, "{said}");
    let log = fs::read_to_string(setup.path("log")).unwrap();
    let reasons = [
        "credential_missing",
        "tenant_mismatch",
        "role_missing",
        "token_claim_missing",
    ];
    let others = [
        "content_type_unsupported",
        "path_ambiguous",
        "token_revoked",
        "quota_exceeded",
    ];
    for reason in reasons.into_iter().chain(others) {
        assert!(log.contains(reason), "{reason}: {log}");
    }
    let first = log.lines().next().unwrap_or_default();
    assert_eq!(first, "requests:", "noise before the first request: {log}");
    assert!(
        said.contains(r#""x-user-id":["user-17"]"#),
        "a client cannot set it: {said}"
    );
    for file in signs
        .split_whitespace()
        .map(|word| word.trim_end_matches(','))
        .filter(|word| word.starts_with("docs/") || word.starts_with("policies/"))
    {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        assert!(file.exists(), "{}", file.display());
    }
}
