//! Real Redis servers: alone, with TLS and a password, as a cluster, watched by a sentinel. Each
//! has a folder, ports and a process of its own, and a socket over which the tests speak to it.

use std::{
    fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use parking_lot::Mutex;
use redis::FromRedisValue;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::{certificates, eventually, free_port};

/// The password of servers that have one.
pub(crate) const PASSWORD: &str = "it's a s3cret: of/redis@tests";

/// A server. It is killed when it is dropped.
pub(crate) struct Redis {
    folder: TempDir,
    pub(crate) port: u16,
    password: Option<&'static str>,
    is_sentinel: bool,
    child: Mutex<Option<Child>>,
}

impl Redis {
    /// A server in clear text that keeps nothing on disk.
    pub(crate) fn start() -> Self {
        Self::with(&[])
    }

    /// A server that keeps everything that it acknowledged.
    pub(crate) fn durable() -> Self {
        Self::with(&["appendonly yes", "appendfsync always"])
    }

    /// A server with further settings.
    pub(crate) fn with(settings: &[&str]) -> Self {
        let server = Self::prepare();
        let port = format!("port {}", server.port);
        server.configure(&[&[port.as_str()], settings].concat());
        server.run();
        server
    }

    /// A server that speaks TLS only, and wants a password.
    pub(crate) fn secured() -> Self {
        Self::secured_with("tls-auth-clients no")
    }

    /// As [`Self::secured`], and it wants a certificate, too.
    pub(crate) fn mutual() -> Self {
        Self::secured_with("tls-auth-clients yes")
    }

    fn secured_with(clients: &str) -> Self {
        let pki = certificates::pki();
        let mut server = Self::prepare();
        server.password = Some(PASSWORD);
        let files = [("crt", &pki.server.chain), ("key", &pki.server.key), ("ca", &pki.ca)];
        for (name, text) in files {
            fs::write(server.folder.path().join(name), text).unwrap();
        }
        let settings = [
            "port 0".to_owned(),
            format!("tls-port {}", server.port),
            "tls-cert-file crt".into(),
            "tls-key-file key".into(),
            // Servers want to know a CA, even where clients show nothing.
            "tls-ca-cert-file ca".into(),
            clients.into(),
            format!("requirepass \"{PASSWORD}\""),
        ];
        server.configure(&settings.each_ref().map(String::as_str));
        server.run();
        server
    }

    fn prepare() -> Self {
        Self {
            folder: tempfile::Builder::new().prefix("sidegate-it-").tempdir().unwrap(),
            port: free_port(),
            password: None,
            is_sentinel: false,
            child: Mutex::default(),
        }
    }

    fn configure(&self, settings: &[&str]) {
        let all = ["bind 127.0.0.1", "unixsocket socket", "save \"\""];
        let text = [&all[..], settings].concat().join("\n");
        fs::write(self.folder.path().join("redis.conf"), text).unwrap();
    }

    /// Starts the process, with what is left of its data.
    pub(crate) fn run(&self) {
        let log = fs::File::create(self.folder.path().join("log")).unwrap();
        let mut command = Command::new("redis-server");
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        command.arg("redis.conf").args(self.is_sentinel.then_some("--sentinel"));
        command.stdout(log.try_clone().unwrap()).stderr(log);
        let child = command.spawn().expect("redis-server is missing: .ci/install test");
        *self.child.lock() = Some(child);
        eventually("redis answers", || {
            let ended = self.child.lock().as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none(), "redis ended: {}", self.log());
            self.try_ask::<String>(&["PING"]).is_ok()
        });
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    /// How Sidegate reaches it.
    pub(crate) fn url(&self) -> String {
        match self.password {
            None => format!("redis://127.0.0.1:{}", self.port),
            Some(password) => {
                let password = percent_encoding::utf8_percent_encode(password, percent_encoding::NON_ALPHANUMERIC);
                format!("rediss://:{password}@localhost:{}", self.port)
            }
        }
    }

    /// Whether it speaks TLS, and wants a password.
    pub(crate) fn is_secured(&self) -> bool {
        self.password.is_some()
    }

    /// Asks it directly.
    pub(crate) fn try_ask<T: FromRedisValue>(&self, words: &[&str]) -> redis::RedisResult<T> {
        let mut connection =
            redis::Client::open(format!("redis+unix://{}", self.socket().display()))?.get_connection()?;
        if let Some(password) = self.password {
            redis::cmd("AUTH").arg(password).exec(&mut connection)?;
        }
        redis::cmd(words[0]).arg(&words[1..]).query(&mut connection)
    }

    /// As [`Self::try_ask`], and it has to answer.
    #[track_caller]
    pub(crate) fn ask<T: FromRedisValue>(&self, words: &[&str]) -> T {
        self.try_ask(words).unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    /// Ends it as a crash does.
    pub(crate) fn kill(&self) {
        if let Some(mut child) = self.child.lock().take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Stops it in the middle of whatever it does; its connections stay.
    pub(crate) fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it continue.
    pub(crate) fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let id = self.child.lock().as_ref().unwrap().id();
        let id = Pid::from_raw(i32::try_from(id).unwrap()).unwrap();
        kill_process(id, signal).unwrap();
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Three servers that share the keys.
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Redis>,
}

impl Cluster {
    pub(crate) fn start() -> Self {
        let buses: Vec<u16> = (0..3).map(|_| free_port()).collect();
        let node = |bus: &u16| {
            let bus = format!("cluster-port {bus}");
            Redis::with(&["cluster-enabled yes", "cluster-node-timeout 2000", &bus])
        };
        let nodes: Vec<Redis> = buses.iter().map(node).collect();
        for (node, [first, last]) in nodes.iter().zip([["0", "5460"], ["5461", "10922"], ["10923", "16383"]]) {
            node.ask::<()>(&["CLUSTER", "ADDSLOTSRANGE", first, last]);
        }
        for (node, bus) in nodes.iter().zip(&buses).skip(1) {
            let (port, bus) = (node.port.to_string(), bus.to_string());
            nodes[0].ask::<()>(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus]);
        }
        eventually("the cluster is whole", || {
            nodes.iter().all(|node| {
                let info: String = node.ask(&["CLUSTER", "INFO"]);
                info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:3")
            })
        });
        Self { nodes }
    }

    /// How Sidegate reaches it: by two of its nodes.
    pub(crate) fn url(&self) -> String {
        let [one, two] = [&self.nodes[0], &self.nodes[1]].map(|node| node.port);
        format!("redis+cluster://127.0.0.1:{one},127.0.0.1:{two}")
    }
}

/// Two servers, one the copy of the other, and a sentinel that promotes it.
pub(crate) struct Watched {
    pub(crate) master: Redis,
    pub(crate) replica: Redis,
    sentinel: Redis,
}

impl Watched {
    pub(crate) fn start() -> Self {
        let master = Redis::start();
        let replica = Redis::with(&[&format!("replicaof 127.0.0.1 {}", master.port)]);
        let mut sentinel = Redis::prepare();
        sentinel.is_sentinel = true;
        sentinel.configure(&[
            &format!("port {}", sentinel.port),
            &format!("sentinel monitor main 127.0.0.1 {} 1", master.port),
            "sentinel down-after-milliseconds main 500",
            "sentinel failover-timeout main 3000",
        ]);
        sentinel.run();
        eventually("the sentinel knows both", || {
            let replicas = sentinel.try_ask::<Vec<redis::Value>>(&["SENTINEL", "REPLICAS", "main"]);
            replicas.is_ok_and(|replicas| replicas.len() == 1)
        });
        eventually("the copy is one", || {
            replica
                .ask::<String>(&["INFO", "replication"])
                .contains("master_link_status:up")
        });
        Self {
            master,
            replica,
            sentinel,
        }
    }

    /// How Sidegate reaches it: by the second of two sentinels, for there is no first.
    pub(crate) fn url(&self) -> String {
        let (none, sentinel) = (free_port(), self.sentinel.port);
        format!("redis+sentinel://127.0.0.1:{none},127.0.0.1:{sentinel}/main")
    }
}
