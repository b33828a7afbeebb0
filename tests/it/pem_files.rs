//! Files with PEM: a broken one is the same problem wherever it is named, for `check` and `run`.

use crate::harness::{
    Setup,
    certificates::{Identity, authority, dns, leaf, pki},
    gateway::text,
    issuer::Key,
};

/// A policy whose upstream and keys name files.
const POLICY: &str = "version: 1
service: s
upstream: { url: 'https://localhost:1', ca_file: '$folder/ca.crt', client_certificate: '$folder/server.crt', client_key: '$folder/server.key' }
jwt:
  issuers:
    - issuer: https://a
      audience: [a]
      algorithms: [RS256]
      keys: { jwks: { url: 'https://localhost:1/keys', ca_file: '$folder/ca.crt' } }
    - issuer: https://b
      audience: [a]
      algorithms: [RS256]
      keys: { oidc: { issuer: https://b, ca_file: '$folder/ca.crt' } }
    - issuer: https://c
      audience: [a]
      algorithms: [RS256]
      keys: { pem: { file: '$folder/key.pem' } }
routes: [{ path: /*, auth: jwt }]
";

const LISTENER: &str = "
  - address: 127.0.0.1:$tls_port
    tls:
      certificate: server.crt
      key: server.key
      certificates: [{ certificate: other.crt, key: other.key }]
      client_ca: ca.crt
      client_crl: ca.crl
";

const STORE: &str = "store: { redis: { url: 'rediss://localhost:1', ca_file: ca.crt, client_certificate: server.crt, client_key: server.key } }";

/// Where files are named: the text before the name, the name, and what kind of file it is.
const FIELDS: [(&str, &str, Kind); 14] = [
    ("localhost:1', ca_file: '$folder/", "ca.crt", Kind::Certificate),
    ("client_certificate: '$folder/", "server.crt", Kind::Certificate),
    ("client_key: '$folder/", "server.key", Kind::Key),
    ("1/keys', ca_file: '$folder/", "ca.crt", Kind::Certificate),
    ("https://b, ca_file: '$folder/", "ca.crt", Kind::Certificate),
    ("pem: { file: '$folder/", "key.pem", Kind::PublicKey),
    ("      certificate: ", "server.crt", Kind::Certificate),
    ("      key: ", "server.key", Kind::Key),
    ("[{ certificate: ", "other.crt", Kind::Certificate),
    ("other.crt, key: ", "other.key", Kind::Key),
    ("client_ca: ", "ca.crt", Kind::Certificate),
    ("client_crl: ", "ca.crl", Kind::List),
    ("localhost:1', ca_file: ", "ca.crt", Kind::Certificate),
    ("client_certificate: ", "server.crt", Kind::Certificate),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Certificate,
    Key,
    PublicKey,
    List,
}

fn setup(change: impl Fn(&str) -> String) -> Setup {
    let other = leaf(&authority("Other"), 9, dns("other.example"), |_| {});
    Setup::new()
        .tls_with(&change(LISTENER))
        .config(&change(STORE))
        .file("other.crt", &other.chain)
        .file("other.key", &other.key)
        .file("key.pem", &Key::new("RS256", "c").public_pem)
        .policy("s", &change(POLICY))
}

/// Each command rejects the files with this problem, at the value that names `bad`.
#[track_caller]
fn refused(setup: &Setup, file: &str, message: &str) {
    setup.write();
    let mut placed = None;
    for name in ["sidegate.yaml", "policies/s.yaml"] {
        let written = std::fs::read_to_string(setup.path(name)).unwrap();
        for (at, line) in written.lines().enumerate().filter(|(_, line)| line.contains(file)) {
            let mut column = line.find(file).unwrap();
            // The value begins before it, with a quote and the folder.
            column = line[..column].rfind([' ', ':']).unwrap() + 1;
            placed = Some(format!("{name}:{}:{}", at + 1, column + 1));
        }
    }
    let placed = placed.unwrap();
    for arguments in [&["check", "sidegate.yaml"][..], &["run"]] {
        let output = setup.run(arguments);
        let said = text(&output);
        let code = if arguments == ["run"] { 2 } else { 1 };
        assert_eq!(output.status.code(), Some(code), "{said}");
        for part in [placed.as_str(), message, "= help: "] {
            assert!(said.contains(part), "{arguments:?}: no `{part}` in {said}");
        }
        assert!(said.contains("1 problem"), "{said}");
    }
}

#[test]
fn pem_files_without_a_fault_pass_check() {
    let setup = setup(str::to_owned);
    let output = setup.run(&["check", "sidegate.yaml"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
}

#[test]
fn a_broken_block_is_the_same_problem_wherever_its_file_is_named() {
    let pki = pki();
    let block = |label: &str| format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n");
    for (before, name, kind) in FIELDS {
        let (good, broken, message) = match kind {
            Kind::Certificate if name == "ca.crt" => (&pki.ca, "CERTIFICATE", "is not a readable certificate"),
            Kind::Certificate => (&pki.server.chain, "CERTIFICATE", "is not a readable certificate"),
            Kind::Key => (&pki.server.key, "PRIVATE KEY", ""),
            Kind::PublicKey => (&pki.server.key, "PUBLIC KEY", ""),
            Kind::List => (&pki.crl, "X509 CRL", "is not a readable revocation list"),
        };
        let text = match kind {
            // The first key counts, and this one is cut off.
            Kind::Key | Kind::PublicKey => block(broken).replace("-----END", "----END"),
            _ => format!("{good}{}", block(broken)),
        };
        let message = match kind {
            Kind::Key | Kind::PublicKey => "bad.pem` is cut off, or is not base64".to_owned(),
            _ => format!("bad.pem` {message}"),
        };
        let that = format!("{before}{name}");
        let changes = [POLICY, LISTENER, STORE]
            .iter()
            .filter(|text| text.contains(&that))
            .count();
        assert!(changes >= 1, "{that}");
        let this = format!("{before}bad.pem");
        // Only the first of the texts that have it, so that there is one problem.
        let whole = [POLICY, LISTENER, STORE]
            .iter()
            .position(|text| text.contains(&that))
            .unwrap();
        let change = |written: &str| match [POLICY, LISTENER, STORE].iter().position(|text| *text == written) {
            Some(at) if at == whole => written.replacen(&that, &this, 1),
            _ => written.to_owned(),
        };
        refused(&setup(change).file("bad.pem", &text), "bad.pem", &message);
    }
}

#[test]
fn a_key_of_another_certificate_is_a_problem_at_the_key() {
    let stranger: &Identity = &pki().stranger;
    for (text, before) in [
        (POLICY, "client_key: '$folder/"),
        (LISTENER, "      key: "),
        (STORE, "client_key: "),
    ] {
        let that = format!("{before}server.key");
        let this = format!("{before}stranger.key");
        let change = |written: &str| match written == text {
            true => written.replacen(&that, &this, 1),
            false => written.to_owned(),
        };
        let setup = setup(change).file("stranger.key", &stranger.key);
        refused(&setup, "stranger.key", "does not belong to the certificate in");
    }
}
