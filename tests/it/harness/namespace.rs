//! A network of a test's own: no other program has its ports, and names mean what the test says.

use std::{
    env, fs,
    net::{IpAddr, SocketAddr},
    process::Command,
};

use super::{
    gateway::{output, text},
    name_server::NameServer,
};

/// Tells the test that it is inside.
const INSIDE: &str = "SIDEGATE_IT_NAMESPACE";

/// The port of all services inside.
pub(crate) const PORT: u16 = 8000;

/// An address that takes packets and never answers.
pub(crate) const SILENT: &str = "192.0.2.1";

/// Sets the network up, and starts the test again inside of it.
const SETUP: &str = "
ip link set lo up && ip route add 192.0.2.0/24 dev lo || exit 77
mount --bind \"$1/resolv.conf\" /etc/resolv.conf && mount --bind \"$1/hosts\" /etc/hosts || exit 77
exec \"$2\" --exact \"$3\" --nocapture --test-threads 1
";

/// An address for a service inside.
pub(crate) fn at(address: &str) -> SocketAddr {
    SocketAddr::new(address.parse().unwrap(), PORT)
}

/// Some addresses of a name.
pub(crate) fn ips(addresses: &[&str]) -> Vec<IpAddr> {
    addresses.iter().map(|address| address.parse().unwrap()).collect()
}

/// Runs `body` in a network namespace with a name server that it controls; `test` is the name of the test that calls
/// this. Without the right to make one it is skipped, unless root runs it.
pub(crate) fn inside(test: &str, body: impl FnOnce(&NameServer)) {
    if env::var_os(INSIDE).is_some() {
        return body(&NameServer::start());
    }
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("resolv.conf"), "nameserver 127.0.0.1\n").unwrap();
    fs::write(folder.path().join("hosts"), "127.0.0.1 localhost\n::1 localhost\n").unwrap();
    let mut unshare = Command::new("unshare");
    unshare.args(["--net", "--mount"]);
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        unshare.arg("--map-root-user");
    }
    unshare.args(["sh", "-c", SETUP, "sh"]).arg(folder.path());
    unshare.arg(env::current_exe().unwrap()).arg(test).env(INSIDE, "1");
    let output = output(unshare);
    let said = text(&output);
    if !is_root && (output.status.code() == Some(77) || said.starts_with("unshare:")) {
        eprintln!("skipped, as this user cannot make a network namespace (root can): {said}");
        return;
    }
    let has_run = said.contains("test result: ok. 1 passed");
    assert!(output.status.success() && has_run, "{:?}: {said}", output.status);
}
