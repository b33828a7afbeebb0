//! A running Sidegate, and what became of a request to it.

use std::{
    collections::BTreeMap,
    fs,
    io::Read,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{Arc, Weak},
    thread,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, prlimit};
use serde_json::Value;
use tempfile::TempDir;

use super::{Answer, PATIENCE, Request, Upstream, Wire, send, threads, upstream::Recorded};

/// A running Sidegate, and the service behind it. Dropping it sends SIGTERM.
pub(crate) struct Gateway {
    pub(crate) folder: TempDir,
    pub(crate) upstream: Upstream,
    pub(crate) port: u16,
    pub(crate) tls_port: u16,
    pub(crate) admin_port: u16,
    pub(super) log: PathBuf,
    pub(super) child: Mutex<Child>,
    /// The connections of others on each thread, see [`threads`].
    pub(super) others: Mutex<Vec<UnixStream>>,
}

impl Gateway {
    pub(crate) fn send(&self, request: &Request) -> Answer {
        send(self.port, request)
    }

    pub(crate) fn connect(&self) -> Wire {
        Wire::connect(self.port)
    }

    /// Connections whose requests the process finds all at once: it stands still until each was sent.
    pub(crate) fn at_once(&self, requests: &[Request]) -> Vec<Wire> {
        self.signal(Signal::STOP);
        let send = |request: &Request| {
            let mut wire = self.connect();
            wire.write(request.bytes());
            wire
        };
        let wires = requests.iter().map(send).collect();
        self.signal(Signal::CONT);
        wires
    }

    /// The request is answered by the service; what the service saw of it.
    #[track_caller]
    pub(crate) fn allowed(&self, request: &Request) -> Recorded {
        let answer = self.send(request);
        self.reached(request, &answer)
    }

    /// As [`Self::allowed`], for a response that came some other way.
    #[track_caller]
    pub(crate) fn reached(&self, request: &Request, answer: &Answer) -> Recorded {
        assert_eq!(answer.status, 200, "{request}: {answer:?}");
        let mut seen = self.upstream.seen(&request.case);
        assert_eq!(seen.len(), 1, "{request}: requests at the upstream");
        seen.remove(0)
    }

    /// The request is rejected for this reason, and the service hears nothing of it.
    #[track_caller]
    pub(crate) fn refused(&self, request: &Request, status: u16, reason: &str) -> Answer {
        let answer = self.send(request);
        self.rejected(request, &answer, status, reason);
        answer
    }

    /// As [`Self::refused`], for a response that came some other way.
    #[track_caller]
    pub(crate) fn rejected(&self, request: &Request, answer: &Answer, status: u16, reason: &str) {
        assert_eq!(answer.status, status, "{request}, expected {reason}: {answer:?}");
        assert_eq!(answer.reason(), reason, "{request}: {answer:?}");
        assert_eq!(
            answer.header("x-sidegate-reason"),
            Some(reason),
            "{request}: {answer:?}"
        );
        assert_eq!(
            answer.header("cache-control"),
            Some("no-store"),
            "{request}: {answer:?}"
        );
        assert_eq!(
            answer.header("www-authenticate").is_some(),
            status == 401,
            "{request}: {answer:?}"
        );
        assert!(answer.header("x-request-id").is_some(), "{request}: {answer:?}");
        assert_eq!(
            self.upstream.seen(&request.case).len(),
            0,
            "{request}: it reached the upstream"
        );
    }

    /// The status of an admin page, if it answers at all.
    pub(crate) fn probe(&self, path: &str) -> Option<u16> {
        let mut wire = Wire::try_connect(self.admin_port)?;
        wire.try_write(&Request::get(path).bytes()).ok()?;
        wire.answer("GET").ok().map(|answer| answer.status)
    }

    pub(crate) fn admin(&self, path: &str) -> Answer {
        send(self.admin_port, &Request::get(path))
    }

    pub(crate) fn metrics(&self) -> String {
        let page = self.admin("/metrics");
        assert_eq!(page.status, 200, "{page:?}");
        page.text()
    }

    /// The value of the one sample that has all these labels.
    pub(crate) fn metric(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let has = |line: &str| {
            labels
                .iter()
                .all(|(label, value)| line.contains(&format!("{label}=\"{value}\"")))
        };
        let page = self.metrics();
        let mut samples = page
            .lines()
            .filter(|line| line.split(['{', ' ']).next() == Some(name) && has(line));
        samples.next()?.rsplit(' ').next()?.parse().ok()
    }

    /// How many connections clients of the test have.
    pub(crate) fn connections(&self) -> usize {
        let all: usize = self
            .metric("sidegate_connections", &[])
            .unwrap()
            .to_string()
            .parse()
            .unwrap();
        all - self.others.lock().len()
    }

    /// The memory that the process has at hand (proc(5), `statm`).
    pub(crate) fn resident_bytes(&self) -> u64 {
        let pages = fs::read_to_string(format!("/proc/{}/statm", self.child.lock().id())).unwrap();
        let resident: u64 = pages.split(' ').nth(1).unwrap().parse().unwrap();
        resident * rustix::param::page_size() as u64
    }

    /// A command of the built program in the folder of this one, in no other environment.
    pub(crate) fn command(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sidegate"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env_clear()
            .envs(environment.iter().copied())
            .stdin(Stdio::null());
        command
    }

    /// Runs a command beside this one to its end.
    pub(crate) fn sidegate(&self, arguments: &[&str]) -> Output {
        self.sidegate_with(arguments, &[])
    }

    /// As [`Self::sidegate`], with some variables.
    pub(crate) fn sidegate_with(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
        output(self.command(arguments, environment))
    }

    pub(crate) fn log_text(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Begins to read a log that was unread until now.
    pub(crate) fn read_log(&self) {
        let mut log = self.child.lock().stdout.take().unwrap();
        let mut file = fs::File::options().append(true).open(&self.log).unwrap();
        thread::spawn(move || std::io::copy(&mut log, &mut file).unwrap());
    }

    /// Closes the pipe of a log that was unread until now.
    pub(crate) fn close_log(&self) {
        drop(self.child.lock().stdout.take());
    }

    /// The log lines that are JSON.
    pub(crate) fn log_lines(&self) -> Vec<Value> {
        self.log_text()
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn unix(&self, name: &str) -> Wire {
        Wire::unix(Path::new(&self.path(name)))
    }

    /// Tells it to stop.
    pub(crate) fn terminate(&self) {
        self.others.lock().clear();
        self.signal(Signal::TERM);
    }

    /// Tells it to look at its files.
    pub(crate) fn hang_up(&self) {
        self.signal(Signal::HUP);
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child.lock())
    }

    /// Lets it open no file beyond so many descriptors; the hard limit stays.
    pub(crate) fn limit_descriptors(&self, most: u64) {
        let limit = |current| Rlimit {
            current: Some(current),
            maximum: getrlimit(Resource::Nofile).maximum,
        };
        prlimit(Some(self.pid()), Resource::Nofile, limit(most)).unwrap();
    }

    /// Ends it as a crash does.
    pub(crate) fn kill(&self) {
        let mut child = self.child.lock();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Waits for its end.
    pub(crate) fn ended(&self) -> ExitStatus {
        wait(&mut self.child.lock(), PATIENCE)
    }

    pub(crate) fn is_running(&self) -> bool {
        self.child.lock().try_wait().unwrap().is_none()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if self.is_running() {
            self.terminate();
            if thread::panicking() {
                let log = self.log_text();
                let first = log.lines().count().saturating_sub(20);
                let end: Vec<&str> = log.lines().skip(first).collect();
                eprintln!("the end of its log:\n{}", end.join("\n"));
                let mut child = self.child.lock();
                _ = child.kill();
                _ = child.wait();
                return;
            }
            self.ended();
        }
        if !thread::panicking() {
            self.upstream.assert_strict();
            assert!(
                !self.log_text().contains("panicked at"),
                "it panicked: {}",
                self.log_text()
            );
        }
    }
}

/// One value for all tests that run at the same time with as many serving threads; dropped when the last of them ends.
pub(crate) struct Shared<T>(Mutex<BTreeMap<usize, Weak<T>>>);

impl<T> Shared<T> {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }

    pub(crate) fn get(&self, make: impl FnOnce() -> T) -> Arc<T> {
        let mut all = self.0.lock();
        let shared = all.entry(threads::serving()).or_default();
        shared.upgrade().unwrap_or_else(|| {
            let value = Arc::new(make());
            *shared = Arc::downgrade(&value);
            value
        })
    }
}

/// What a command said, on both outputs. It did not panic.
pub(crate) fn text(output: &Output) -> String {
    let out = String::from_utf8_lossy(&output.stdout);
    let text = format!("{out}{}", String::from_utf8_lossy(&output.stderr));
    assert!(!text.contains("panicked"), "{text}");
    text
}

/// Waits for a command's end, and kills it when it takes too long.
pub(crate) fn output(mut command: Command) -> Output {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (mut out, mut err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let read = |pipe: &mut dyn Read| {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).unwrap();
        bytes
    };
    let stderr = thread::spawn(move || read(&mut err));
    let stdout = thread::spawn(move || read(&mut out));
    let status = wait(&mut child, PATIENCE * 2);
    Output {
        status,
        stdout: stdout.join().unwrap(),
        stderr: stderr.join().unwrap(),
    }
}

fn wait(child: &mut Child, patience: Duration) -> ExitStatus {
    let deadline = Instant::now() + patience;
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    panic!("the process did not end within {patience:?}");
}
