//! Other proxies in front of Sidegate, with the files of `deploy/front`.

use std::{
    fs,
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;
use tokio::net::TcpSocket;

use super::{Gateway, PATIENCE, Wire, eventually, free_port, runtime};

/// A proxy with a folder, a port and a process of its own. It is killed when it is dropped.
pub(crate) struct Front {
    _folder: TempDir,
    pub(crate) name: &'static str,
    pub(crate) port: u16,
    child: Child,
}

impl Front {
    /// nginx with one of its files; `changes` are made to it, each of which has to be possible.
    pub(crate) fn nginx(file: &str, gateway: &Gateway, changes: &[(&str, &str)]) -> Self {
        let listen = |port| ("listen 80;", format!("listen 127.0.0.1:{port};"));
        Self::start("nginx", file, gateway, listen, changes, |folder, config| {
            let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
            let temporary = temporary.map(|kind| format!("{kind}_temp_path {}/{kind};", folder.display()));
            let text = fs::read_to_string(config).unwrap();
            fs::write(
                config,
                text.replace("http {", &format!("http {{ {}", temporary.concat())),
            )
            .unwrap();
            let mut command = Command::new("nginx");
            command.arg("-e").arg(folder.join("error.log")).arg("-c").arg(config);
            // One process, which ends when it is killed.
            let own = format!("daemon off; master_process off; pid {}/pid;", folder.display());
            command.args(["-g", &own]);
            command
        })
    }

    pub(crate) fn haproxy(gateway: &Gateway, changes: &[(&str, &str)]) -> Self {
        let bind = |port| ("bind :80\n", format!("bind 127.0.0.1:{port}\n"));
        Self::start("haproxy", "haproxy.cfg", gateway, bind, changes, |_, config| {
            let mut command = Command::new("haproxy");
            command.arg("-db").arg("-f").arg(config);
            command
        })
    }

    /// Envoy, where `.ci/install bench` could install it.
    pub(crate) fn envoy(gateway: &Gateway) -> Option<Self> {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/envoy/bin/envoy");
        if !program.exists() {
            eprintln!("skipped: envoy is not in target");
            return None;
        }
        let address = |port| {
            (
                "address: 0.0.0.0, port_value: 10000",
                format!("address: 127.0.0.1, port_value: {port}"),
            )
        };
        let to = ("port_value: 8080", format!("port_value: {}", gateway.port));
        let changes = [(to.0, to.1.as_str())];
        let command = |_: &Path, config: &Path| {
            let mut command = Command::new(&program);
            command.args(["--disable-hot-restart", "--concurrency", "1", "-c"]);
            command.arg(config);
            command
        };
        Some(Self::start("envoy", "envoy.yaml", gateway, address, &changes, command))
    }

    fn start(
        name: &'static str,
        file: &str,
        gateway: &Gateway,
        listens: impl Fn(u16) -> (&'static str, String),
        changes: &[(&str, &str)],
        command: impl Fn(&Path, &Path) -> Command,
    ) -> Self {
        let folder = tempfile::Builder::new().prefix("sidegate-it-").tempdir().unwrap();
        let shipped = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("deploy/front")
            .join(file);
        let mut text = fs::read_to_string(shipped).unwrap();
        let port = free_port();
        let (from, to) = listens(port);
        for (from, to) in changes.iter().copied().chain([(from, to.as_str())]) {
            assert!(text.contains(from), "{file} has no {from:?}");
            text = text.replace(from, to);
        }
        let text = text.replace("127.0.0.1:8080", &format!("127.0.0.1:{}", gateway.port));
        let config = folder.path().join(file);
        fs::write(&config, text).unwrap();
        let log = folder.path().join("log");
        let output = fs::File::create(&log).unwrap();
        let mut command = command(folder.path(), &config);
        command.stdin(Stdio::null()).stdout(output.try_clone().unwrap());
        let child = command.stderr(output).spawn();
        let mut front = Self {
            _folder: folder,
            name,
            port,
            child: child.unwrap_or_else(|error| panic!("{name}: {error}; .ci/install test")),
        };
        eventually(&format!("{name} listens"), || {
            let ended = front.child.try_wait().unwrap();
            assert!(ended.is_none(), "{name} ended: {}", fs::read_to_string(&log).unwrap());
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        front
    }

    /// A connection from one of the addresses of this machine.
    pub(crate) fn connect_from(&self, address: [u8; 4]) -> Wire {
        let port = self.port;
        let stream = runtime().block_on(async move {
            let socket = TcpSocket::new_v4().unwrap();
            socket.bind((address, 0).into()).unwrap();
            socket.connect(([127, 0, 0, 1], port).into()).await.unwrap()
        });
        let stream = stream.into_std().unwrap();
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Wire::of(stream)
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}
