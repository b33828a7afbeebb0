//! What a Sidegate is started with: a folder of files, an environment, some ports.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use parking_lot::Mutex;
use tempfile::TempDir;

use super::{
    Gateway, JOBS_KEY, SECRET, Upstream, certificates, eventually, free_port, gateway::output, redis::Redis, threads,
};

/// How most policies here begin; `$wallet` in a file. A policy adds its prefix and its routes.
pub(crate) const WALLET: &str = "
version: 1
service: wallet-svc
upstream: { url: '$upstream' }
errors: { format: envelope, code_prefix: ERR_WALLET }
jwt:
  issuers:
    - issuer: eventzr.com
      audience: [eventzr-api]
      algorithms: [HS256]
      keys: { secret: { env: IT_SECRET } }
      required_claims: [sub]
tenant: { header: x-tenant-id, claims: [tenant, tenantId] }
internal_key:
  header: x-internal-api-key
  keys:
    - { name: scheduler, secret: { env: IT_JOBS_KEY } }
";

/// What a Sidegate is started with. `$name` in a file is what [`Setup::set`] gave for `name`;
/// `$wallet`, `$folder` and `$upstream` are always there.
pub(crate) struct Setup {
    pub(crate) folder: TempDir,
    upstream: Upstream,
    words: Vec<(String, String)>,
    files: Vec<(String, String)>,
    environment: Vec<(String, String)>,
    flags: Vec<String>,
    descriptors: Option<u64>,
    unread: bool,
    standard_output: Option<PathBuf>,
    config: String,
    admin: String,
    listeners: Vec<String>,
    port: u16,
    tls_port: u16,
    admin_port: u16,
}

impl Setup {
    pub(crate) fn new() -> Self {
        Self::in_front_of(Upstream::recording())
    }

    pub(crate) fn in_front_of(upstream: Upstream) -> Self {
        let folder = tempfile::Builder::new().prefix("sidegate-it-").tempdir().unwrap();
        fs::create_dir(folder.path().join("policies")).unwrap();
        let place = folder.path().to_str().unwrap().to_owned();
        let url = upstream.url.clone();
        let (port, tls_port, admin_port) = (free_port(), free_port(), free_port());
        let setup = Self {
            folder,
            upstream,
            words: Vec::new(),
            files: Vec::new(),
            environment: Vec::new(),
            flags: Vec::new(),
            descriptors: None,
            unread: false,
            standard_output: None,
            config: match threads::serving() {
                1 => String::new(),
                more => format!("threads: {more}\n"),
            },
            admin: String::new(),
            listeners: vec![
                format!("  - address: 127.0.0.1:{port}\n"),
                threads::listener_for_others(),
            ],
            port,
            tls_port,
            admin_port,
        };
        let setup = setup.set("wallet", WALLET).set("folder", &place).set("upstream", &url);
        setup.env("IT_SECRET", SECRET).env("IT_JOBS_KEY", JOBS_KEY)
    }

    pub(crate) fn set(mut self, name: &str, value: &str) -> Self {
        self.words.push((format!("${name}"), value.to_owned()));
        self
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn file(mut self, name: &str, text: &str) -> Self {
        self.files.push((name.to_owned(), text.to_owned()));
        self
    }

    pub(crate) fn policy(self, name: &str, text: &str) -> Self {
        self.file(&format!("policies/{name}.yaml"), text)
    }

    /// Further lines of `sidegate.yaml`.
    pub(crate) fn config(mut self, lines: &str) -> Self {
        self.config.push_str(lines);
        self.config.push('\n');
        self
    }

    /// What `/upstream/healthz` asks for, as in `sidegate.yaml`.
    pub(crate) fn probe(mut self, fields: &str) -> Self {
        self.admin.extend([", probe: { ", fields, " }"]);
        self
    }

    /// It is ready although the keys of an issuer or the revocations cannot be fetched.
    pub(crate) fn always_ready(mut self) -> Self {
        self.admin.push_str(", ready: always");
        self
    }

    /// A second listener with TLS that asks for a client certificate and knows who was revoked.
    pub(crate) fn tls(self) -> Self {
        let files = "certificate: $folder/server.crt, key: $folder/server.key, client_ca: $folder/ca.crt, client_crl: $folder/ca.crl";
        self.tls_with(&format!("  - address: 127.0.0.1:$tls_port\n    tls: {{ {files} }}\n"))
    }

    /// A second listener with TLS, as these lines of `listeners` say.
    pub(crate) fn tls_with(mut self, lines: &str) -> Self {
        self.listeners.push(
            lines
                .trim_start_matches('\n')
                .replace("$tls_port", &self.tls_port.to_string()),
        );
        let pki = certificates::pki();
        self.file("server.crt", &pki.server.chain)
            .file("server.key", &pki.server.key)
            .file("ca.crt", &pki.ca)
            .file("ca.crl", &pki.crl)
    }

    /// State that is shared through a Redis, as `sidegate.yaml` and a variable say.
    pub(crate) fn redis(self, redis: &Redis) -> Self {
        let setup = self.env("IT_REDIS", &redis.url());
        match redis.is_secured() {
            false => setup.config("store: { redis: { url: { env: IT_REDIS } } }"),
            true => setup
                .config("store: { redis: { url: { env: IT_REDIS }, ca_file: redis-ca.crt } }")
                .file("redis-ca.crt", &certificates::pki().ca),
        }
    }

    /// A further listener on a unix socket in its folder.
    pub(crate) fn unix_listener(self, name: &str) -> Self {
        self.listener(&format!("unix:$folder/{name}"))
    }

    /// A further listener.
    pub(crate) fn listener(mut self, address: &str) -> Self {
        self.listeners.push(format!("  - address: {address}\n"));
        self
    }

    /// The most file descriptors that it can have.
    pub(crate) fn descriptors(mut self, most: u64) -> Self {
        self.descriptors = Some(most);
        self
    }

    /// Its log goes into a pipe that is unread before [`Gateway::read_log`].
    pub(crate) fn unread_log(mut self) -> Self {
        self.unread = true;
        self
    }

    /// Its standard output goes to another file than its standard error.
    pub(crate) fn standard_output(mut self, path: &str) -> Self {
        self.standard_output = Some(path.into());
        self
    }

    /// Further flags of `run`.
    pub(crate) fn with_flags(mut self, flags: &[&str]) -> Self {
        self.flags.extend(flags.iter().map(|&flag| flag.to_owned()));
        self
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn upstream_url(&self) -> &str {
        &self.upstream.url
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes every file, without starting anything.
    pub(crate) fn write(&self) {
        let config = format!(
            "version: 1\nlisteners:\n{}admin: {{ address: 127.0.0.1:{}{} }}\npolicies: $folder/policies\n{}",
            self.listeners.concat(),
            self.admin_port,
            self.admin,
            self.config
        );
        let config = ("sidegate.yaml".to_owned(), config);
        for (name, text) in self.files.iter().chain([&config]) {
            let replace = |text: String, (name, value): &(String, String)| text.replace(name, value);
            fs::write(self.path(name), self.words.iter().fold(text.clone(), replace)).unwrap();
        }
    }

    /// A command of the built program, within this folder and environment and no other.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sidegate"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env_clear()
            .stdin(Stdio::null());
        command.envs(std::env::var("PATH").map(|path| ("PATH", path)));
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.write();
        output(self.command(arguments))
    }

    /// Starts it without waiting for anything.
    pub(crate) fn launch(self) -> Gateway {
        self.write();
        let log = self.path("log");
        let file = fs::File::create(&log).unwrap();
        let mut command = self.command(&["run", "--config", "sidegate.yaml"]);
        command.args(&self.flags);
        if let Some(most) = self.descriptors {
            command = limited(&command, most);
        }
        let stdout = match &self.standard_output {
            _ if self.unread => Stdio::piped(),
            Some(path) => fs::File::options().write(true).open(path).unwrap().into(),
            None => file.try_clone().unwrap().into(),
        };
        command.stdout(stdout).stderr(file);
        let child = Mutex::new(command.spawn().unwrap());
        let Self {
            folder,
            upstream,
            port,
            tls_port,
            admin_port,
            ..
        } = self;
        Gateway {
            folder,
            upstream,
            port,
            tls_port,
            admin_port,
            log,
            child,
            others: Mutex::default(),
        }
    }

    /// Starts it, and waits until it takes connections, ready or not.
    pub(crate) fn start_unready(self) -> Gateway {
        let gateway = self.launch();
        eventually("/livez answers 200", || gateway.probe("/livez") == Some(200));
        eventually("it listens", || {
            std::net::TcpStream::connect(("127.0.0.1", gateway.port)).is_ok()
        });
        threads::connect_others(&gateway);
        gateway
    }

    /// Starts it, and waits until it is ready.
    pub(crate) fn start(self) -> Gateway {
        let gateway = self.launch();
        eventually("/readyz answers 200", || {
            let ended = gateway.child.lock().try_wait().unwrap();
            assert!(ended.is_none(), "it ended with {ended:?}: {}", gateway.log_text());
            gateway.probe("/readyz") == Some(200)
        });
        threads::connect_others(&gateway);
        gateway
    }
}

/// The same command with fewer file descriptors.
fn limited(command: &Command, descriptors: u64) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("ulimit -n {descriptors} && exec \"$0\" \"$@\"")]);
    shell.arg(command.get_program()).args(command.get_args());
    shell.env_clear().stdin(Stdio::null());
    shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell.current_dir(command.get_current_dir().unwrap());
    shell
}
