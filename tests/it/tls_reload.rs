//! Certificates, keys, CAs and revocation lists that change while Sidegate runs.

use std::{
    cell::Cell,
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::Arc,
};

use rcgen::date_time_ymd;
use rustls::{ClientConfig, SupportedProtocolVersion, version};

use crate::harness::{
    Answer, Gateway, Request, Setup, Wire, also_on_4_threads,
    certificates::{
        Authority, Identity, SCHEDULER, authority, authority_until, client, client_of, dns, leaf, revocations, uri,
    },
    client::Handshake,
    eventually,
    http2::Http2,
};

const POLICY: &str = "
$wallet
prefix: /w
mtls: { allow: [{ uri: 'spiffe://eventzr/ns/*/sa/scheduler' }] }
routes:
  - { path: /jobs, auth: mtls }
  - { path: /health, auth: public }
";

const LISTENER: &str = "
  - address: 127.0.0.1:$tls_port
    tls:
      certificate: $folder/tls/server.crt
      key: $folder/tls/server.key
      client_ca: $folder/tls/ca.crt
      client_crl: $folder/tls/ca.crl
";

/// A gateway with a CA of its own, so that it can change.
pub(crate) struct Changing {
    pub(crate) gateway: Gateway,
    mounted: Mounted,
    pub(crate) ca: Authority,
    server: Identity,
    pub(crate) scheduler: Identity,
}

const SERIAL: u64 = 20;

fn changing() -> Changing {
    changing_with(POLICY)
}

pub(crate) fn changing_with(policy: &str) -> Changing {
    let ca = authority("First CA");
    let (server, scheduler) = (leaf(&ca, 10, dns("localhost"), |_| {}), scheduler(&ca));
    let setup = Setup::new().tls_with(LISTENER).policy("wallet", policy);
    let mounted = Mounted::new(&setup.path("tls"));
    let (ca_file, list) = (ca.pem(), revocations(&ca, &[99]));
    let files = [
        ("server.crt", &server.chain),
        ("server.key", &server.key),
        ("ca.crt", &ca_file),
        ("ca.crl", &list),
    ];
    mounted.turn(&files.map(|(name, text)| (name, text.as_str())));
    Changing {
        gateway: setup.start(),
        mounted,
        ca,
        server,
        scheduler,
    }
}

/// A folder as Kubernetes mounts it: `file -> ..data/file`, `..data -> ..1`. All files of it change
/// at the same moment, so that each change is read exactly once.
struct Mounted {
    folder: PathBuf,
    version: Cell<usize>,
}

impl Mounted {
    fn new(folder: &Path) -> Self {
        fs::create_dir(folder).unwrap();
        fs::create_dir(folder.join("..0")).unwrap();
        Self {
            folder: folder.to_owned(),
            version: Cell::new(0),
        }
    }

    /// Publishes a version with these files new and all others as before.
    fn turn(&self, files: &[(&str, &str)]) {
        let (old, new) = (self.version.get(), self.version.get() + 1);
        let [old, next] = [old, new].map(|version| self.folder.join(format!("..{version}")));
        fs::create_dir(&next).unwrap();
        for file in fs::read_dir(&old).unwrap() {
            let file = file.unwrap();
            fs::copy(file.path(), next.join(file.file_name())).unwrap();
        }
        for (name, text) in files {
            fs::write(next.join(name), text).unwrap();
            _ = symlink(format!("..data/{name}"), self.folder.join(name));
        }
        symlink(format!("..{new}"), self.folder.join("..data_tmp")).unwrap();
        fs::rename(self.folder.join("..data_tmp"), self.folder.join("..data")).unwrap();
        fs::remove_dir_all(&old).unwrap();
        self.version.set(new);
    }
}

fn scheduler(ca: &Authority) -> Identity {
    leaf(ca, SERIAL, uri(SCHEDULER), |_| {})
}

impl Changing {
    fn counted(&self, result: &str) -> u64 {
        let listener = format!("127.0.0.1:{}", self.gateway.tls_port);
        let labels = [("listener", listener.as_str()), ("result", result)];
        let count = self.gateway.metric("sidegate_certificate_reloads_total", &labels);
        count.unwrap().to_string().parse().unwrap()
    }

    /// Replaces files, and waits until it is counted.
    pub(crate) fn write(&self, files: &[(&str, &str)], result: &str) {
        let before = self.counted(result);
        self.mounted.turn(files);
        eventually("the files are read again", || self.counted(result) > before);
        let last = self.gateway.metric("sidegate_certificate_last_reload_successful", &[]);
        assert_eq!(last.unwrap() > 0.0, result == "success");
    }

    pub(crate) fn connect(&self, config: &Arc<ClientConfig>) -> io::Result<(Wire, Handshake)> {
        Wire::tls_to(self.gateway.tls_port, Arc::clone(config), "localhost")
    }

    pub(crate) fn client(&self, identity: Option<&Identity>) -> Arc<ClientConfig> {
        client_of(rustls::ALL_VERSIONS, &self.ca.pem(), identity, &["http/1.1"])
    }

    /// One request over a new connection; with whether its session was resumed.
    pub(crate) fn call(&self, config: &Arc<ClientConfig>, request: &Request) -> io::Result<(Answer, bool)> {
        let (mut wire, handshake) = self.connect(config)?;
        wire.try_write(&request.bytes())?;
        Ok((wire.answer(&request.method)?, handshake.resumed))
    }

    fn served(&self) -> Vec<u8> {
        self.connect(&self.client(None)).unwrap().1.server
    }
}

fn jobs() -> Request {
    Request::get("/w/jobs")
}

also_on_4_threads![
    a_new_certificate_is_for_new_handshakes_and_old_connections_live_on,
    a_connection_keeps_its_identity_only_as_long_as_its_certificate_is_good,
    resumed_session_lets_no_client_in_that_is_no_longer_good,
    a_client_of_a_new_ca_gets_in_without_a_restart,
];

#[test]
fn a_new_certificate_is_for_new_handshakes_and_old_connections_live_on() {
    let it = changing();
    let (mut old, _) = it.connect(&it.client(Some(&it.scheduler))).unwrap();
    let request = jobs();
    it.gateway.reached(&request, &old.exchange(&request));
    assert_eq!(it.served(), it.server.leaf());

    let new = leaf(&it.ca, 11, dns("localhost"), |params| {
        params.not_after = date_time_ymd(2040, 1, 1);
    });
    it.write(&[("server.crt", &new.chain), ("server.key", &new.key)], "success");
    eventually("the new one is served", || it.served() == new.leaf());
    eventually("its end is told", || {
        let expiry = it.gateway.metric("sidegate_certificate_expiry_timestamp_seconds", &[]);
        expiry == Some(2_208_988_800.0)
    });
    let request = jobs();
    it.gateway.reached(&request, &old.exchange(&request));
}

#[test]
fn gauges_for_client_cas_and_revocation_lists_follow_changed_files() {
    let it = changing();
    let end = |what: &str| {
        it.gateway
            .metric(&format!("sidegate_client_{what}_timestamp_seconds"), &[])
    };
    assert_eq!(end("crl_next_update"), Some(3_786_912_000.0));
    let before = end("ca_expiry").unwrap();
    let next = authority_until("Next CA", 2040);
    let both = format!("{}{}", it.ca.pem(), next.pem());
    let lists = format!("{}{}", revocations(&it.ca, &[]), revocations(&next, &[]));
    it.write(&[("ca.crt", &both), ("ca.crl", &lists)], "success");
    assert!(before > 2_208_988_800.0);
    eventually("the first of two CAs counts", || {
        end("ca_expiry") == Some(2_208_988_800.0)
    });
}

#[test]
fn invalid_certificate_leaves_the_old_one_in_force_and_every_problem_is_logged() {
    let it = changing();
    let other = leaf(&it.ca, 12, dns("localhost"), |_| {});
    let expired = leaf(&it.ca, 13, dns("localhost"), |params| {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
    });
    for (name, text, problem) in [
        ("server.crt", other.chain.as_str(), "does not belong to the certificate"),
        ("ca.crt", "no PEM", "has no certificate as PEM"),
        ("ca.crl", "no PEM either", "has no revocation list as PEM"),
        ("server.crt", &expired.chain, "has expired"),
        ("server.key", "x", "has no private key as PEM"),
    ] {
        it.write(&[(name, text)], "failure");
        assert!(it.gateway.log_text().contains(problem), "{problem}");
        assert_eq!(it.served(), it.server.leaf(), "{problem}");
    }
    let log = it.gateway.log_lines();
    let last = log.iter().rfind(|line| line["level"] == "ERROR").unwrap().to_string();
    for part in ["server.key", "ca.crt", "ca.crl"] {
        assert!(last.contains(part), "{part} in {last}");
    }
    let (answer, _) = it.call(&it.client(Some(&it.scheduler)), &jobs()).unwrap();
    assert_eq!(answer.status, 200);
    // Mended, though not all at once.
    it.write(
        &[("ca.crt", &it.ca.pem()), ("ca.crl", &revocations(&it.ca, &[99]))],
        "failure",
    );
    it.write(&[("server.crt", &other.chain), ("server.key", &other.key)], "success");
    assert_eq!(it.served(), other.leaf());
}

#[test]
fn a_connection_keeps_its_identity_only_as_long_as_its_certificate_is_good() {
    let ca = authority("Second CA");
    let both = |it: &Changing| format!("{}{}", it.ca.pem(), ca.pem());
    let lists = |it: &Changing, serials| format!("{}{}", revocations(&it.ca, serials), revocations(&ca, &[]));
    for (what, file, text) in [
        (
            "revoked",
            "ca.crl",
            (|it: &Changing, _: &Authority| revocations(&it.ca, &[SERIAL])) as fn(&_, &_) -> String,
        ),
        ("another CA", "ca.crt", |_, ca| ca.pem()),
    ] {
        let it = changing();
        // First a change that takes nothing away.
        let (mut http1, _) = it.connect(&it.client(Some(&it.scheduler))).unwrap();
        let h2 = client_of(rustls::ALL_VERSIONS, &it.ca.pem(), Some(&it.scheduler), &["h2"]);
        let http2 = Http2::tls(it.gateway.tls_port, h2).unwrap();
        it.write(&[("ca.crt", &both(&it)), ("ca.crl", &lists(&it, &[98]))], "success");
        let request = jobs();
        it.gateway.reached(&request, &http1.exchange(&request));
        let request = jobs();
        it.gateway.reached(&request, &http2.exchange(&request));

        it.write(&[(file, &text(&it, &ca))], "success");
        for _ in 0..2 {
            let request = jobs();
            let answer = http1.exchange(&request);
            it.gateway
                .rejected(&request, &answer, 403, "client_certificate_not_allowed");
            let request = jobs();
            let answer = http2.exchange(&request);
            it.gateway
                .rejected(&request, &answer, 403, "client_certificate_not_allowed");
        }
        // On a route that needs no certificate, the connection is as good as ever.
        let request = Request::get("/w/health");
        it.gateway.reached(&request, &http1.exchange(&request));
        let cause = "the client certificate is no longer good";
        eventually(what, || it.gateway.log_text().contains(cause));
        // Nor does it come in again.
        assert!(it.call(&it.client(Some(&it.scheduler)), &jobs()).is_err(), "{what}");
    }
}

#[test]
fn resumed_session_lets_no_client_in_that_is_no_longer_good() {
    let versions: [(&str, &'static SupportedProtocolVersion); 2] =
        [("TLS 1.2", &version::TLS12), ("TLS 1.3", &version::TLS13)];
    let other = authority("Second CA");
    for (protocol, version) in versions {
        for change in ["ca.crl", "ca.crt", "both"] {
            let it = changing();
            let config = client_of(&[version], &it.ca.pem(), Some(&it.scheduler), &["http/1.1"]);
            let bystander = client_of(&[version], &it.ca.pem(), None, &["http/1.1"]);
            let (answer, resumed) = it.call(&config, &jobs()).unwrap();
            assert_eq!((answer.status, resumed), (200, false), "{protocol}");
            let (answer, resumed) = it.call(&config, &jobs()).unwrap();
            assert_eq!(
                (answer.status, resumed),
                (200, true),
                "{protocol}: sessions are resumed"
            );

            let revoked = revocations(&it.ca, &[SERIAL]);
            let (ca, list) = (other.pem(), revocations(&other, &[]));
            match change {
                "ca.crl" => it.write(&[("ca.crl", &revoked)], "success"),
                "ca.crt" => it.write(&[("ca.crt", &ca)], "success"),
                _ => it.write(&[("ca.crt", &ca), ("ca.crl", &list)], "success"),
            }
            for _ in 0..3 {
                let request = jobs();
                if let Ok((answer, _)) = it.call(&config, &request) {
                    it.gateway
                        .rejected(&request, &answer, 403, "client_certificate_not_allowed");
                }
                assert_eq!(it.gateway.upstream.seen(&request.case).len(), 0, "{protocol}, {change}");
            }
            let (answer, _) = it.call(&bystander, &Request::get("/w/health")).unwrap();
            assert_eq!(answer.status, 200, "{protocol}, {change}");
        }
    }
}

#[test]
fn a_client_of_a_new_ca_gets_in_without_a_restart() {
    let it = changing();
    let next = authority("Second CA");
    let newcomer = it.client(Some(&scheduler(&next)));
    assert!(it.call(&newcomer, &jobs()).is_err());
    let lists = format!("{}{}", revocations(&it.ca, &[99]), revocations(&next, &[]));
    let both = format!("{}{}", it.ca.pem(), next.pem());
    it.write(&[("ca.crl", &lists), ("ca.crt", &both)], "success");
    for config in [&newcomer, &it.client(Some(&it.scheduler))] {
        let request = jobs();
        let (answer, _) = it.call(config, &request).unwrap();
        it.gateway.reached(&request, &answer);
    }
}

#[test]
fn files_that_are_written_in_place_one_after_the_other() {
    let ca = authority("First CA");
    let [old, new] = [1, 2].map(|serial| leaf(&ca, serial, dns("localhost"), |_| {}));
    let setup = Setup::new().tls().policy("wallet", POLICY);
    let gateway = setup
        .file("server.crt", &old.chain)
        .file("server.key", &old.key)
        .start();
    let config = client_of(rustls::ALL_VERSIONS, &ca.pem(), None, &["http/1.1"]);
    let served = || {
        Wire::tls_to(gateway.tls_port, Arc::clone(&config), "localhost")
            .unwrap()
            .1
            .server
    };
    assert_eq!(served(), old.leaf());
    fs::write(gateway.path("server.key"), &new.key).unwrap();
    assert_eq!(served(), old.leaf());
    fs::write(gateway.path("server.crt"), &new.chain).unwrap();
    eventually("the new one is served", || served() == new.leaf());
}

#[test]
fn files_are_read_again_on_sighup() {
    let it = changing();
    let before = it.counted("success");
    it.gateway.hang_up();
    eventually("they are read again", || it.counted("success") == before + 1);
    assert_eq!(it.counted("failure"), 0);
    assert_eq!(it.served(), it.server.leaf());
    assert!(it.gateway.is_running());
    let request = jobs();
    let refused = Wire::tls(it.gateway.tls_port, client(None, &["http/1.1"]));
    assert!(refused.is_err(), "a client that trusts another CA");
    let (answer, _) = it.call(&it.client(Some(&it.scheduler)), &request).unwrap();
    it.gateway.reached(&request, &answer);
}
