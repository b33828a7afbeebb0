//! `deploy/compose/init`: the CA of the project and what it signs, made and renewed with openssl.

use std::{fs, path::PathBuf, process::Command};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use tempfile::TempDir;

use crate::harness::{
    Setup,
    certificates::{dns, leaf},
    gateway::{output, text},
};

const POLICY: &str = "
version: 1
service: s
upstream: { url: '$upstream' }
mtls: { allow: [{ uri: 'spiffe://eventzr/ns/*/sa/scheduler' }] }
routes: [{ path: /*, auth: mtls }]
";

/// A copy of the project's folder.
struct Project(TempDir);

impl Project {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/compose/init");
        fs::copy(source, folder.path().join("init")).unwrap();
        Self(folder)
    }

    /// Runs the script, which gives a new CA so many days.
    fn init(&self, ca_days: &str) {
        let mut init = Command::new(self.0.path().join("init"));
        init.env("CA_DAYS", ca_days);
        let done = output(init);
        assert!(done.status.success(), "{}", text(&done));
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join("secrets").join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn write(&self, name: &str, text: &str) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), text).unwrap();
    }

    /// Whether a CA of one file signed the certificate in another.
    fn vouches(&self, authorities: &str, certificate: &str) -> bool {
        let mut verify = Command::new("openssl");
        verify.args(["verify", "-no-CApath", "-no-CAstore", "-CAfile"]);
        verify.arg(self.path(authorities)).arg(self.path(certificate));
        output(verify).status.success()
    }
}

/// A CA that ended years ago.
fn ended() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "ended");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2021, 1, 1);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn certificates(pem: &str) -> usize {
    pem.matches("BEGIN CERTIFICATE").count()
}

const FILES: [&str; 8] = [
    "tls/ca.crt",
    "tls/server.crt",
    "tls/server.key",
    "clients/ca.crt",
    "clients/ca.key",
    "clients/scheduler.crt",
    "clients/scheduler.key",
    "wallet_jwt_secret",
];

#[test]
fn a_second_run_changes_nothing_while_all_of_it_lives() {
    let project = Project::new();
    project.init("365");
    let first = FILES.map(|name| project.read(name));
    assert_eq!(certificates(&project.read("tls/ca.crt")), 1);
    project.init("365");
    assert_eq!(FILES.map(|name| project.read(name)), first);
}

#[test]
fn a_ca_is_renewed_beside_the_old_one_before_a_certificate_could_outlive_it() {
    let project = Project::new();
    // A certificate that is made today ends on the same day.
    project.init("90");
    let old = project.read("tls/ca.crt");
    for name in ["scheduler.crt", "scheduler.key"] {
        fs::copy(
            project.path(&format!("clients/{name}")),
            project.path(&format!("clients/old-{name}")),
        )
        .unwrap();
    }
    let server = project.read("tls/server.crt");
    project.init("365");
    let trusted = project.read("tls/ca.crt");
    assert_eq!(certificates(&trusted), 2);
    assert!(trusted.starts_with(&project.read("clients/ca.crt")) && trusted.ends_with(&old));
    assert_eq!(
        project.read("tls/server.crt"),
        server,
        "it is good for as long as before"
    );

    fs::remove_file(project.path("clients/scheduler.crt")).unwrap();
    project.init("365");
    assert_eq!(project.read("tls/ca.crt"), trusted);
    assert!(project.vouches("clients/ca.crt", "clients/scheduler.crt"));
    assert!(!project.vouches("clients/ca.crt", "clients/old-scheduler.crt"));
    assert!(project.vouches("tls/ca.crt", "tls/server.crt"));
    both_are_let_in(&project);
}

/// Sidegate takes the certificates of both CAs, as curl takes that of Sidegate.
fn both_are_let_in(project: &Project) {
    let tls = project.path("tls").display().to_string();
    let files = format!("certificate: {tls}/server.crt, key: {tls}/server.key, client_ca: {tls}/ca.crt");
    let setup = Setup::new().policy("s", POLICY);
    let gateway = setup
        .tls_with(&format!("  - address: 127.0.0.1:$tls_port\n    tls: {{ {files} }}\n"))
        .start();
    for (name, status) in [("scheduler", "200"), ("old-scheduler", "200"), ("stranger", "403")] {
        let mut curl = Command::new("curl");
        let option = |kind: &str| project.path(&format!("clients/{name}.{kind}"));
        curl.args(["-sS", "-w", "\n%{http_code}", "--cacert"])
            .arg(project.path("tls/ca.crt"));
        curl.arg("--cert").arg(option("crt")).arg("--key").arg(option("key"));
        curl.arg(format!("https://localhost:{}/", gateway.tls_port));
        let said = text(&output(curl));
        assert_eq!(said.lines().last(), Some(status), "{name}: {said}");
    }
}

#[test]
fn a_ca_that_has_ended_is_replaced_with_all_that_it_signed() {
    let project = Project::new();
    let ended = ended();
    // As the script left it before there could be several CAs.
    project.write("tls/ca.crt", &ended.pem());
    project.write("clients/ca.key", &ended.key().serialize_pem());
    let server = leaf(&ended, 1, dns("localhost"), |_| {});
    project.write("tls/server.crt", &server.chain);
    project.write("tls/server.key", &server.key);
    project.init("365");
    let trusted = project.read("tls/ca.crt");
    assert_eq!(trusted, project.read("clients/ca.crt"));
    assert!(!trusted.contains(&ended.pem()));
    for certificate in ["tls/server.crt", "clients/scheduler.crt", "clients/stranger.crt"] {
        assert!(project.vouches("tls/ca.crt", certificate), "{certificate}");
    }
}

#[test]
fn a_key_that_is_not_of_its_certificate_is_replaced_with_it() {
    let project = Project::new();
    project.init("365");
    let other = KeyPair::generate().unwrap().serialize_pem();
    for name in ["clients/ca.key", "tls/server.key"] {
        project.write(name, &other);
    }
    project.init("365");
    assert_ne!(project.read("clients/ca.key"), other);
    assert_ne!(project.read("tls/server.key"), other);
    assert!(project.vouches("tls/ca.crt", "tls/server.crt"));
}
