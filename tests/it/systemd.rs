//! The unit of `deploy/systemd`: systemd reads it as it is meant, and the program fits it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use crate::harness::{Setup, gateway::text};

/// What `systemd-analyze security` may say at the most, in tenths.
const EXPOSURE: &str = "--threshold=20";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/systemd")
}

fn unit() -> String {
    fs::read_to_string(folder().join("sidegate.service")).unwrap()
}

/// The seconds that a line says, as in `grace: 20s`.
fn seconds(text: &str, key: &str) -> u64 {
    let value = text.split(key).nth(1).unwrap_or_else(|| panic!("no {key}"));
    let digits: String = value.trim_start().chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap()
}

fn analyze(arguments: &[&str], unit: &Path) -> Option<Output> {
    let output = Command::new("systemd-analyze").args(arguments).arg(unit).output();
    if output.is_err() {
        eprintln!("SKIPPED: there is no systemd-analyze; `.ci/install test` brings it");
    }
    output.ok()
}

#[test]
fn systemd_understands_the_unit_and_finds_it_confined() {
    let setup = Setup::new();
    let place = setup.path("sidegate.service");
    let installed = "/usr/local/bin/sidegate";
    assert!(unit().contains(installed));
    fs::write(&place, unit().replace(installed, env!("CARGO_BIN_EXE_sidegate"))).unwrap();
    for arguments in [&["verify"][..], &["security", "--offline=true", EXPOSURE]] {
        let Some(output) = analyze(arguments, &place) else {
            return;
        };
        assert!(output.status.success(), "{arguments:?}: {}", text(&output));
        // What it does not know, it only remarks.
        assert!(output.stderr.is_empty(), "{arguments:?}: {}", text(&output));
    }
}

#[test]
fn the_program_fits_the_unit() {
    let config = fs::read_to_string(folder().join("sidegate.yaml")).unwrap();
    assert!(seconds(&unit(), "TimeoutStopSec=") >= seconds(&config, "grace:") + 5);
    // Two for each connection and request of the limits as they are, and some: see `fd_limit`.
    assert!(seconds(&unit(), "LimitNOFILE=") >= 2 * 4096 + 384);
    let setup = Setup::new()
        .file("installed.yaml", &config)
        .policy("wallet", "$wallet\nprefix: /w\nroutes: [{ path: /*, auth: jwt }]\n");
    let output = setup.run(&["check", "installed.yaml"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert!(config.contains("control: /run/sidegate/") && unit().contains("RuntimeDirectory=sidegate\n"));
}
