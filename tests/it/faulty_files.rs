//! Files with one fault each, and what `check` says of them, or `test` of tests. The reports beside the files were read by a
//! person; `SIDEGATE_WRITE_SNAPSHOTS=1` writes them anew.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sidegate::document::problem::ProblemCode;

/// The codes that no file can cause here, and why.
const WITHOUT_A_FILE: &[(&str, &str)] = &[
    (
        "not_utf8",
        "git would not show a change of such a file; `unreadable_files.rs` makes one",
    ),
    (
        "too_many_problems",
        "a file with a thousand problems is not worth reading",
    ),
    ("private_key_mismatch", "needs a private key; `sni.rs` makes one"),
    ("tls_setup", "needs a private key; `client_chains.rs` makes one"),
];

/// The folder of faulty tests. Their policies are in a folder of their own, and have no fault.
const TESTS: &str = "tests";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/faulty")
}

/// What is checked: each file, and each folder of files that are fault-free by themselves.
fn cases() -> Vec<PathBuf> {
    let mut cases = Vec::new();
    for group in ["policies", "configs", "sets"] {
        let entries = fs::read_dir(folder().join(group)).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        cases.extend(paths.filter(|path| path.is_dir() || path.extension().is_some_and(|end| end == "yaml")));
    }
    let entries = fs::read_dir(folder().join(TESTS)).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    cases.extend(paths.filter(|path| path.extension().is_some_and(|end| end == "yaml")));
    cases.sort();
    cases
}

/// The report for a case, with the exit code in its last line.
fn report(case: &Path) -> String {
    let command = match case.starts_with(folder().join(TESTS)) {
        true => "test",
        false => "check",
    };
    let output = Command::new(env!("CARGO_BIN_EXE_sidegate"))
        .arg(command)
        .arg(case.strip_prefix(folder()).unwrap())
        .current_dir(folder())
        .env_clear()
        .env("IT_SECRET", "a-secret-of-at-least-32-bytes-for-tests")
        .env("IT_JOBS_KEY", "an-internal-key-for-tests")
        .env("IT_SHORT", "short")
        .env("IT_EMPTY", "")
        .env("IT_REDIS_URL", "redis://sidegate:a-password-for-tests@redis:6379")
        .output()
        .unwrap();
    let mut text = String::from_utf8(output.stdout).unwrap();
    if let Some((totals, time)) = text.rsplit_once(", in ")
        && time.ends_with(" ms\n")
    {
        text = format!("{totals}\n");
    }
    text.push_str(&String::from_utf8(output.stderr).unwrap());
    writeln!(text, "exit {}", output.status.code().unwrap()).unwrap();
    text
}

/// What is wrong with a report, whatever it is for.
fn fault(report: &str) -> Option<&'static str> {
    let count = |start: &str| report.lines().filter(|line| line.starts_with(start)).count();
    let (errors, warnings) = (count("error["), count("warning["));
    let helps = report
        .lines()
        .filter(|line| line.trim_start().starts_with("= help: "))
        .count();
    let helps = helps + count("help: ");
    let exit = match errors {
        0 => "exit 0\n",
        _ if report.contains("no test was run") => "exit 2\n",
        _ => "exit 1\n",
    };
    match () {
        () if errors + warnings == 0 => Some("nothing was found"),
        () if helps < errors + warnings => Some("a problem has no help"),
        () if !report.ends_with(exit) => Some("the exit code is wrong"),
        () if report.contains("panicked") => Some("the program panicked"),
        () if report.contains("for-tests") => Some("a secret is shown"),
        () => None,
    }
}

#[test]
fn report_of_each_faulty_file_is_the_reviewed_one() {
    let write = std::env::var_os("SIDEGATE_WRITE_SNAPSHOTS").is_some();
    let mut complaints = Vec::new();
    let mut seen = String::new();
    for case in cases() {
        let snapshot = case.with_extension("txt");
        let report = report(&case);
        let name = case.display();
        complaints.extend(fault(&report).map(|fault| format!("{name}: {fault}\n{report}")));
        if write {
            fs::write(&snapshot, &report).unwrap();
        } else if fs::read_to_string(&snapshot).unwrap_or_default() != report {
            complaints.push(format!("{name}: the report has changed:\n{report}"));
        }
        seen.push_str(&report);
    }
    let unseen = ProblemCode::ALL.iter().map(|code| code.as_str());
    let unseen = unseen.filter(|code| !seen.contains(&format!("[{code}]")));
    let unseen: BTreeSet<_> = unseen.collect();
    let listed: BTreeSet<_> = WITHOUT_A_FILE.iter().map(|(code, _)| *code).collect();
    if unseen != listed {
        complaints.push(format!("codes in no report: {unseen:?}\nlisted as such: {listed:?}"));
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n---\n"));
}

#[test]
fn snapshot_without_its_file_is_not_kept() {
    for group in ["policies", "configs", "sets", TESTS] {
        for entry in fs::read_dir(folder().join(group)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|end| end == "txt") {
                let case = path.with_extension("yaml");
                assert!(case.exists() || path.with_extension("").is_dir(), "{}", path.display());
            }
        }
    }
}
