//! The control socket: whose it is, where it is found, and what does not harm it.

use std::{
    fs,
    io::{Read, Write},
    net::Shutdown,
    os::unix::{
        fs::{FileTypeExt, MetadataExt, PermissionsExt},
        net::{UnixListener, UnixStream},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::Output,
};

use serde_json::{Value, json};

use crate::harness::{
    Gateway, PATIENCE, Setup, eventually, free_port,
    gateway::{output, text},
};

const POLICY: &str = "
$wallet
prefix: /w
revocation: {}
routes: [{ path: /*, auth: jwt }]
";

fn setup() -> Setup {
    Setup::new().policy("wallet", POLICY)
}

/// A process whose socket is `c.sock` in its folder.
fn configured() -> Setup {
    setup().config("control: c.sock")
}

fn connect(path: &Path) -> UnixStream {
    let stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Says something, and hears what is answered until the end.
fn say(path: &Path, bytes: impl AsRef<[u8]>) -> Vec<Value> {
    let mut stream = connect(path);
    // It may hang up before it has heard everything.
    _ = stream.write_all(bytes.as_ref());
    _ = stream.shutdown(Shutdown::Write);
    heard(stream)
}

fn heard(mut stream: UnixStream) -> Vec<Value> {
    let mut text = Vec::new();
    _ = stream.read_to_end(&mut text);
    let text = String::from_utf8(text).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn jti(name: &str) -> String {
    let revocation = json!({ "target": { "kind": "jti", "value": name }, "expires": 4_000_000_000_000_i64 });
    json!({ "revoke": revocation }).to_string() + "\n"
}

#[track_caller]
fn assert_works(gateway: &Gateway, arguments: &[&str]) {
    let output = gateway.sidegate(&[&["revocations"], arguments].concat());
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", text(&output));
}

#[track_caller]
fn assert_fails(output: &Output, words: &[&str]) {
    let said = text(output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    for word in words {
        assert!(said.contains(word), "`{word}` is not in {said}");
    }
}

#[test]
fn it_is_for_its_owner_alone() {
    let runtime = tempfile::tempdir().unwrap();
    let place = runtime.path().to_str().unwrap();
    let gateway = setup().env("XDG_RUNTIME_DIR", place).start();
    let folder = runtime.path().join("sidegate");
    let socket = folder.join(format!("127.0.0.1-{}.sock", gateway.admin_port));
    let mode = |path: &Path| fs::symlink_metadata(path).unwrap().mode() & 0o777;
    assert!(fs::symlink_metadata(&socket).unwrap().file_type().is_socket());
    assert_eq!((mode(&folder), mode(&socket)), (0o700, 0o600));
    let found = gateway.sidegate_with(&["revocations"], &[("XDG_RUNTIME_DIR", place)]);
    assert_eq!(found.status.code(), Some(0), "{}", text(&found));
    // Without the variable it is looked for elsewhere.
    assert_fails(
        &gateway.sidegate(&["revocations"]),
        &[
            "no process or store could be reached",
            "sidegate-",
            "--control",
            "--store",
        ],
    );
    // Another user may have put the socket there, so the command sends nothing to it.
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
    let unsure = gateway.sidegate_with(&["revocations"], &[("XDG_RUNTIME_DIR", place)]);
    assert_fails(&unsure, &["not a folder that only this user writes to"]);
    gateway.terminate();
    assert!(gateway.ended().success());
    assert!(!socket.exists());
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
}

#[test]
fn flags_beat_the_environment_and_the_environment_beats_the_file() {
    let setup = configured().env("SIDEGATE_CONTROL", "from-environment.sock");
    let gateway = setup.with_flags(&["--control", "from-flag.sock"]).start();
    assert!(gateway.path("from-flag.sock").exists());
    assert!(!gateway.path("from-environment.sock").exists() && !gateway.path("c.sock").exists());
    assert_works(&gateway, &["--control", "from-flag.sock"]);
    assert_fails(&gateway.sidegate(&["revocations"]), &["c.sock"]);
    let with = |variables: &[(&str, &str)], arguments: &[&str]| {
        let arguments = [&["revocations"], arguments].concat();
        gateway.sidegate_with(&arguments, variables)
    };
    let right = ("SIDEGATE_CONTROL", "from-flag.sock");
    assert_eq!(with(&[right], &[]).status.code(), Some(0));
    assert_eq!(with(&[right, ("SIDEGATE_STORE", "memory")], &[]).status.code(), Some(0));
    assert_fails(&with(&[("SIDEGATE_CONTROL", "")], &[]), &["c.sock"]);
    assert_fails(&with(&[right], &["--control", "other.sock"]), &["other.sock"]);
    let elsewhere = with(
        &[("SIDEGATE_STORE", "redis://127.0.0.1:1")],
        &["--control", "from-flag.sock"],
    );
    assert_eq!(elsewhere.status.code(), Some(0), "{}", text(&elsewhere));
}

#[test]
fn it_can_be_off() {
    let gateway = setup().config("control: off").start();
    assert_fails(&gateway.sidegate(&["revocations"]), &["has no control socket"]);
    assert!(!gateway.log_text().contains("control listening"));
    // What a variable says of it does not hold for another process.
    drop(gateway);
    let gateway = configured().env("SIDEGATE_CONTROL", "").start();
    assert_works(&gateway, &[]);
    assert!(gateway.log_text().contains("control listening"));
}

#[test]
fn no_two_processes_have_one_path() {
    let gateway = configured().start();
    let path = gateway.path("c.sock");
    let second = setup().config(&format!("control: {}", path.display()));
    let output = second.run(&["run", "--config", "sidegate.yaml"]);
    assert_fails(
        &output,
        &["cannot listen on", "c.sock", "another process listens there"],
    );
    assert_works(&gateway, &[]);
    gateway.terminate();
    gateway.ended();
    assert!(!path.exists());
}

#[test]
fn what_an_earlier_process_left_over_is_replaced() {
    let setup = configured();
    drop(UnixListener::bind(setup.path("c.sock")).unwrap());
    let gateway = setup.start();
    assert_works(&gateway, &[]);
    drop(gateway);

    for (what, prepare) in [
        ("a file", (|path| fs::write(path, "precious").unwrap()) as fn(PathBuf)),
        ("a folder", |path| fs::create_dir(path).unwrap()),
    ] {
        let setup = configured();
        prepare(setup.path("c.sock"));
        let output = setup.run(&["run", "--config", "sidegate.yaml"]);
        assert_fails(&output, &["c.sock", "something else than a socket"]);
        assert!(setup.path("c.sock").exists(), "{what}");
    }
}

#[test]
fn a_place_that_is_configured_has_to_be_usable() {
    let long = format!("control: {}", "s".repeat(110));
    for (config, word) in [
        ("control: not-there/c.sock", "No such file"),
        (&long, "too long for the path of a socket"),
        ("control: unix:/run/c.sock", "leave out `unix:`"),
        ("control: [a]", "expected text"),
    ] {
        let output = setup().config(config).run(&["run", "--config", "sidegate.yaml"]);
        assert_fails(&output, &[word]);
    }
}

#[test]
fn a_default_place_that_is_not_usable_is_done_without() {
    let open = tempfile::tempdir().unwrap();
    fs::create_dir(open.path().join("sidegate")).unwrap();
    fs::set_permissions(open.path().join("sidegate"), fs::Permissions::from_mode(0o777)).unwrap();
    let long = tempfile::tempdir().unwrap();
    let long = long.path().join("x".repeat(100));
    fs::create_dir_all(&long).unwrap();
    for (folder, word) in [
        // Not even root can create a folder there.
        (Path::new("/proc/self"), "No such file"),
        (open.path(), "only this user writes to"),
        (&long, "too long"),
    ] {
        let gateway = setup().env("XDG_RUNTIME_DIR", folder.to_str().unwrap()).start();
        let warnings = gateway.log_lines();
        let warnings = warnings
            .iter()
            .filter(|line| line["message"].to_string().contains("no control socket"));
        let warnings: Vec<_> = warnings.collect();
        assert_eq!(warnings.len(), 1, "{folder:?}: {}", gateway.log_text());
        assert_eq!(warnings[0]["level"], "WARN");
        assert!(warnings[0]["error"].to_string().contains(word), "{warnings:?}");
    }
    // Any port says nothing of where to look.
    let setup = setup().with_flags(&["--admin", "127.0.0.1:0"]);
    let port = setup.port();
    let gateway = setup.launch();
    eventually("it listens", || {
        std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
    });
    assert!(!gateway.log_text().contains("control"), "{}", gateway.log_text());
}

#[test]
fn invalid_control_request_gets_a_reply_and_does_no_harm() {
    let gateway = configured().start();
    let path = gateway.path("c.sock");
    let past = jti("x").replace("4000000000000", "1");
    let far = jti("x").replace("4000000000000", &i64::MAX.to_string());
    let empty = jti("");
    for line in [
        "\n",
        "null\n",
        "GET / HTTP/1.1\n",
        "{\"revocations\":{},\"x\":1}\n",
        "{\"revocations\":{\"x\":1}}\n",
        "{\"revoke\":{}}\n",
        "{\"unrevoke\":{}}\n",
        &jti("x").replace("target", "targets"),
        &jti("x").replace("\"value\"", "\"note\":1,\"value\""),
        &"[".repeat(10_000),
        &past,
        &far,
        &empty,
    ] {
        let line = format!("{}\n", line.trim_end());
        let answers = say(&path, line.clone() + "{\"revocations\":{}}\n");
        assert_eq!(answers.len(), 2, "{line}: {answers:?}");
        assert_eq!(answers[0]["error"]["kind"], "invalid", "{line}: {answers:?}");
        assert_eq!(answers[1], json!({ "end": { "count": 0, "age_ms": 0 } }), "{line}");
    }
    let mut invalid = vec![0xff, 0xfe, 0x00];
    invalid.push(b'\n');
    assert_eq!(say(&path, &invalid)[0]["error"]["kind"], "invalid");
    // Half a line is not done: it may be half of what was meant.
    assert_eq!(say(&path, jti("half").trim_end()), Vec::<Value>::new());
    let endless = say(&path, "x".repeat(1 << 20));
    assert_eq!(endless.len(), 1, "{endless:?}");
    assert_eq!(endless[0]["error"]["message"], "the line is too long");
    let whole = jti(&"j".repeat(8 * 1024));
    assert!(say(&path, whole)[0]["revoked"].is_object());
    assert_works(&gateway, &[]);
    assert_eq!(say(&path, "{\"revocations\":{}}\n").len(), 2);
}

#[test]
fn a_long_list_comes_line_by_line() {
    let gateway = configured().start();
    let path = gateway.path("c.sock");
    let mut stream = connect(&path);
    let names = 0..4000;
    let lines: String = names.clone().map(|at| jti(&format!("{at:0>100}"))).collect();
    let mut writer = stream.try_clone().unwrap();
    let written = std::thread::spawn(move || {
        writer.write_all(lines.as_bytes()).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let mut answers = String::new();
    stream.read_to_string(&mut answers).unwrap();
    written.join().unwrap();
    assert_eq!(answers.lines().count(), names.len());
    let output = gateway.sidegate(&["revocations", "--output", "json"]);
    let listed: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(listed["count"], names.len());
    assert_eq!(listed["revocations"][7]["value"], format!("{:0>100}", 7));
    // Clients need not read all of it.
    for _ in 0..40 {
        connect(&path).write_all(b"{\"revocations\":{}}\n").unwrap();
    }
    eventually("there is room again", || {
        gateway.sidegate(&["revocations"]).status.code() == Some(0)
    });
}

#[test]
fn connections_are_few_and_not_idle() {
    let gateway = configured().start();
    let path = gateway.path("c.sock");
    let mut idle: Vec<UnixStream> = (0..16).map(|_| connect(&path)).collect();
    // One of them is slow rather than silent.
    idle[0].write_all(b"{\"revo").unwrap();
    assert_fails(&gateway.sidegate(&["revocations"]), &["too many ask at the same time"]);
    assert_fails(
        &gateway.sidegate(&["revoke", "jti", "x"]),
        &["too many ask at the same time"],
    );
    idle.truncate(15);
    eventually("there is room again", || {
        gateway.sidegate(&["revocations"]).status.code() == Some(0)
    });
    for stream in idle {
        assert_eq!(heard(stream), Vec::<Value>::new());
    }
    assert_works(&gateway, &[]);
}

#[test]
fn a_process_is_found_by_its_admin_address() {
    let gateway = setup().start();
    let admin = format!("127.0.0.1:{}", gateway.admin_port);
    let elsewhere = tempfile::tempdir().unwrap();
    let from = |arguments: &[&str], variables: &[(&str, &str)]| {
        let mut command = gateway.command(arguments, variables);
        command.current_dir(elsewhere.path());
        output(command)
    };
    let found = from(&["revocations", "--admin", &admin], &[]);
    assert_eq!(found.status.code(), Some(0), "{}", text(&found));
    let found = from(&["revocations"], &[("SIDEGATE_ADMIN", &admin)]);
    assert_eq!(found.status.code(), Some(0), "{}", text(&found));
    let file = gateway.path("sidegate.yaml");
    let found = from(&["revocations", "--config", file.to_str().unwrap()], &[]);
    assert_eq!(found.status.code(), Some(0), "{}", text(&found));
    let nobody = format!("127.0.0.1:{}", free_port());
    assert_fails(&from(&["revocations", "--admin", &nobody], &[]), &["No such file"]);
}

#[test]
fn strangers_are_sent_away() {
    let gateway = configured().start();
    let socket = gateway.path("c.sock");
    // As if an operator had opened it for all users.
    for (path, mode) in [(gateway.folder.path(), 0o755), (&socket, 0o666)] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    let stranger = |arguments: &[&str]| {
        let mut command = gateway.command(arguments, &[]);
        command.uid(65_534).gid(65_534);
        command
    };
    // Only root can act as another user, and only where others may run the program.
    if stranger(&["--version"]).output().is_err() {
        return;
    }
    let output = output(stranger(&["revoke", "jti", "x", "--control", "c.sock"]));
    assert_fails(&output, &["the process did not reply"]);
    assert_eq!(say(&socket, "{\"revocations\":{}}\n").len(), 1, "nothing was revoked");
    let lines = gateway.log_lines();
    let line = lines
        .iter()
        .find(|line| line["message"].to_string().contains("rejected a control connection"));
    assert!(line.unwrap()["uid"].to_string().contains("65534"), "{line:?}");
}
