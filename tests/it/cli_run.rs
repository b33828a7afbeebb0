//! The program itself: usage, exit codes, flags and environment, and the small commands.

use std::{
    io::{BufRead, BufReader},
    net::TcpListener,
    process::{Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::harness::{
    Request, Setup, free_port,
    gateway::{output, text},
    send,
};

const POLICY: &str = "
$wallet
prefix: /w
routes: [{ path: /open/*, auth: public }, { path: /*, auth: jwt }]
";

fn setup() -> Setup {
    Setup::new().policy("wallet", POLICY)
}

#[test]
fn wrong_usage_exits_with_two() {
    for arguments in [
        &["frobnicate"][..],
        &[],
        &["run", "--frobnicate"],
        &["run", "extra"],
        &["schema", "nothing"],
        &["completions", "cmd.exe"],
        &["check", "--output", "xml", "x"],
    ] {
        let output = setup().run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", text(&output));
    }
    let help = setup().run(&["--help"]);
    assert_eq!(help.status.code(), Some(0));
    for command in [
        "run",
        "check",
        "explain",
        "doctor",
        "revoke",
        "revocations",
        "schema",
        "healthcheck",
        "completions",
    ] {
        assert!(text(&help).contains(command), "{command}");
    }
    let version = setup().run(&["--version"]);
    assert_eq!(
        (version.status.code(), text(&version).trim()),
        (Some(0), concat!("sidegate ", env!("CARGO_PKG_VERSION")))
    );
}

#[test]
fn schemas_are_json_and_completions_are_printed() {
    for (name, member) in [("policy", "routes"), ("config", "listeners")] {
        let output = setup().run(&["schema", name]);
        assert_eq!(output.status.code(), Some(0));
        let schema: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(
            schema["$schema"].is_string() && schema["properties"][member].is_object(),
            "{schema}"
        );
    }
    for shell in ["bash", "zsh", "fish"] {
        let output = setup().run(&["completions", shell]);
        assert_eq!(output.status.code(), Some(0));
        assert!(text(&output).contains("sidegate") && text(&output).contains("explain"));
    }
}

#[test]
fn a_port_in_use_ends_it_at_once_with_two() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for flag in ["--listen", "--admin"] {
        let output = setup().run(&["run", "--config", "sidegate.yaml", flag, &address]);
        assert_eq!(output.status.code(), Some(2), "{flag}: {}", text(&output));
        assert!(text(&output).contains(&address), "{flag}: {}", text(&output));
    }
}

#[test]
fn program_in_a_place_without_devices_serves() {
    let setup = setup();
    setup.write();
    let inner = setup.command(&["run", "--config", "sidegate.yaml"]);
    let mut outer = Command::new("unshare");
    let mount = "mount -t tmpfs tmpfs /dev || exit 77; exec \"$0\" \"$@\"";
    outer.args(["-rm", "sh", "-c", mount]);
    outer.arg(inner.get_program()).args(inner.get_args());
    outer.current_dir(setup.folder.path()).stdin(Stdio::null());
    outer.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut program = outer.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(program.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok);
    let serves = lines.any(|line| line.contains("policies in force"));
    if serves {
        kill_process(Pid::from_child(&program), Signal::TERM).unwrap();
    }
    let output = program.wait_with_output().unwrap();
    let said = text(&output);
    if output.status.code() == Some(77) || said.starts_with("unshare:") {
        eprintln!("skipped: no namespaces here: {said}");
        return;
    }
    assert!(serves && output.status.success(), "{:?}: {said}", output.status);
}

#[test]
fn what_cannot_be_read_ends_it_with_two() {
    for (what, config) in [
        (
            "a missing certificate",
            "{ certificate: /not/there.crt, key: /not/there.key }",
        ),
        (
            "no certificate",
            "{ certificate: $folder/sidegate.yaml, key: $folder/sidegate.yaml }",
        ),
    ] {
        let text_of_config = format!(
            "version: 1\nlisteners:\n  - address: 127.0.0.1:{}\n    tls: {config}\nadmin: {{ address: 127.0.0.1:{} }}\npolicies: $folder/policies\n",
            free_port(),
            free_port()
        );
        let setup = setup().file("tls.yaml", &text_of_config);
        let output = setup.run(&["run", "--config", "tls.yaml"]);
        assert!(
            matches!(output.status.code(), Some(1 | 2)),
            "{what}: {:?} {}",
            output.status,
            text(&output)
        );
        assert!(
            text(&output).contains("not/there.crt") || text(&output).contains("sidegate.yaml"),
            "{what}: {}",
            text(&output)
        );
    }
    for arguments in [
        &["run", "--config", "not-there.yaml"][..],
        &["run", "--config", "sidegate.yaml", "--policies", "not-there"],
        &["run", "--config", "sidegate.yaml", "--listen", "nonsense"],
    ] {
        let output = setup().run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", text(&output));
    }
}

#[test]
fn run_does_not_start_on_a_policy_that_check_rejects() {
    let broken = POLICY
        .replace("auth: public", "auth: pubic")
        .replace("auth: jwt }", "auth: jvt }");
    let setup = Setup::new().policy("wallet", &broken);
    let run = setup.run(&["run", "--config", "sidegate.yaml"]);
    assert!(matches!(run.status.code(), Some(1 | 2)), "{}", text(&run));
    for word in ["pubic", "jvt", "wallet.yaml:"] {
        assert!(text(&run).contains(word), "`{word}` is not in {}", text(&run));
    }
    // No policy at all guards nothing.
    let nothing = Setup::new().run(&["run", "--config", "sidegate.yaml"]);
    assert!(matches!(nothing.status.code(), Some(1 | 2)), "{}", text(&nothing));
}

#[test]
fn flags_beat_the_environment_and_the_environment_beats_the_file() {
    let (from_environment, from_flag) = (free_port(), free_port());
    let gateway = setup()
        .env("SIDEGATE_LISTEN", &format!("127.0.0.1:{from_environment}"))
        .start();
    assert_eq!(send(from_environment, &Request::get("/w/open/x")).status, 200);
    assert!(std::net::TcpStream::connect(("127.0.0.1", gateway.port)).is_err());
    drop(gateway);

    let setup = setup().env("SIDEGATE_LISTEN", &format!("127.0.0.1:{from_environment}"));
    let gateway = setup
        .with_flags(&["--listen", &format!("127.0.0.1:{from_flag}")])
        .start();
    assert_eq!(send(from_flag, &Request::get("/w/open/x")).status, 200);
    assert!(std::net::TcpStream::connect(("127.0.0.1", from_environment)).is_err());
    drop(gateway);
}

#[test]
fn policies_can_be_one_file() {
    let setup = setup().file("single.yaml", &POLICY.replace("/w", "/single"));
    let gateway = setup.with_flags(&["--policies", "single.yaml"]).start();
    gateway.allowed(&Request::get("/single/open/x"));
    assert_eq!(gateway.send(&Request::get("/w/open/x")).status, 404);
}

#[test]
fn values_may_come_from_the_environment_with_a_default() {
    let policy = |url: &str| {
        POLICY.replace("$wallet", &format!("version: 1\nservice: s\nupstream: {{ url: {url} }}\njwt: {{ issuers: [{{ issuer: unchecked, audience: unchecked, algorithms: [HS256], keys: {{ secret: {{ env: IT_SECRET }} }} }}] }}"))
    };
    let named = Setup::new().policy("s", &policy("{ env: IT_UPSTREAM, default: 'http://127.0.0.1:1' }"));
    let url = named.upstream_url().to_owned();
    named
        .env("IT_UPSTREAM", &url)
        .start()
        .allowed(&Request::get("/w/open/x"));
    let gateway = Setup::new()
        .policy("s", &policy("{ env: IT_UPSTREAM, default: '$upstream' }"))
        .start();
    gateway.allowed(&Request::get("/w/open/x"));
    let unset = Setup::new()
        .policy("s", &policy("{ env: IT_UPSTREAM }"))
        .run(&["check", "policies"]);
    assert_eq!(unset.status.code(), Some(1), "{}", text(&unset));
    assert!(text(&unset).contains("IT_UPSTREAM"));
}

#[test]
fn healthcheck_answers_by_its_exit_code() {
    let gateway = setup().start();
    let admin = format!("127.0.0.1:{}", gateway.admin_port);
    let healthy = |address: &str| {
        let setup = setup().env("SIDEGATE_ADMIN", address);
        setup.write();
        output(setup.command(&["healthcheck"])).status.code()
    };
    assert_eq!(healthy(&admin), Some(0));
    let nobody = format!("127.0.0.1:{}", free_port());
    assert!(matches!(healthy(&nobody), Some(1 | 2)));
}

#[test]
fn demo_service_runs_alone_until_sigterm() {
    let setup = setup().file("secret", "0123456789abcdef0123456789abcdef\n");
    let auth_svc = ["demo", "serve", "auth-svc", "--listen", "127.0.0.1:0"];
    assert_eq!(setup.run(&auth_svc).status.code(), Some(2), "it has no secret");
    for arguments in [
        [&auth_svc[..], &["--wallet-secret", "secret"]].concat(),
        vec!["demo", "serve", "wallet", "--listen", "127.0.0.1:0"],
    ] {
        let mut service = setup.command(&arguments).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let mut stdout = BufReader::new(service.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        let address = line.trim_end().rsplit(' ').next().unwrap();
        let health = output(setup.command(&["healthcheck", "--admin", address]));
        assert_eq!(health.status.code(), Some(0), "{arguments:?}: {}", text(&health));
        kill_process(Pid::from_child(&service), Signal::TERM).unwrap();
        assert_eq!(service.wait().unwrap().code(), Some(0), "{arguments:?}");
    }
}
