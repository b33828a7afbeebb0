//! Runs the commands of one document, apart from everything else on this machine.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use super::{
    markdown::{Block, Document},
    output, root,
};

/// How long the commands of one document may take.
const LIMIT: Duration = Duration::from_mins(1);

/// Where programs are, besides Sidegate. What `.ci/install` unpacks is not in the other folders.
const PATH: &str = "/mnt/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/mnt/kubectl";

/// Ends a file that a document shows.
const END_OF_FILE: &str = "end of the file in the document";

/// The folder that `session.sh` makes a session of.
struct Session(TempDir);

/// Runs all commands of a document, and compares what they print with what the document says.
pub(super) fn run(document: &Document) -> Result<(), String> {
    let session = Session::new(document);
    let (status, log) = session.run(&document.path);
    let path = &document.path;
    let printed = |block: &Block| fs::read_to_string(session.path("outputs").join(block.line.to_string()));
    if !status.is_some_and(|status| status.success()) {
        let mut blocks = document.blocks.iter().rev();
        let last = blocks.find_map(|block| Some((block.line, printed(block).ok()?)));
        let (line, printed) = last.unwrap_or_default();
        let outcome = status.map_or_else(|| format!("not done within {LIMIT:?}"), |status| status.to_string());
        return Err(format!(
            "{path}: {outcome}\n{log}\nthe block in line {line} printed:\n{printed}"
        ));
    }
    for pair in document.blocks.windows(2) {
        let (commands, shown) = (&pair[0], &pair[1]);
        if commands.commands().is_empty() || !shown.follows || !["text", "json"].contains(&shown.language.as_str()) {
            continue;
        }
        let printed = printed(commands).unwrap();
        let documented: Vec<&str> = shown.lines.iter().map(String::as_str).collect();
        if !output::matches(&documented, &printed.lines().collect::<Vec<_>>()) {
            return Err(format!(
                "{path}:{}: the commands before it print:\n{printed}",
                shown.line
            ));
        }
    }
    Ok(())
}

impl Session {
    fn new(document: &Document) -> Self {
        let session = Self(tempfile::tempdir().unwrap());
        for folder in ["checkout", "outputs", "private"] {
            fs::create_dir(session.path(folder)).unwrap();
        }
        for file in files_of_the_checkout() {
            let copy = session.path("checkout").join(&file);
            fs::create_dir_all(copy.parent().unwrap()).unwrap();
            fs::copy(root().join(&file), copy).unwrap();
        }
        fs::write(session.path("commands"), script(document)).unwrap();
        session
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The status, unless it takes too long, and what was printed outside of blocks.
    fn run(&self, path: &str) -> (Option<ExitStatus>, String) {
        let log = self.path("log");
        let mut unshare = Command::new("unshare");
        unshare.args([
            "--net",
            "--mount",
            "--pid",
            "--fork",
            "--kill-child=KILL",
            "--mount-proc",
        ]);
        if !rustix::process::geteuid().is_root() {
            unshare.arg("--map-root-user");
        }
        let script = Path::new(file!()).with_extension("sh");
        unshare.arg("bash").arg(root().join(script)).arg(self.0.path());
        unshare.args([env!("CARGO_BIN_EXE_sidegate"), path]);
        unshare.env_clear().envs([("PATH", PATH), ("LC_ALL", "C.UTF-8")]);
        unshare.current_dir(root());
        let file = File::create(&log).unwrap();
        unshare.stdout(file.try_clone().unwrap()).stderr(file);
        let child = unshare.spawn().expect("`unshare` of util-linux is needed");
        let status = wait(child);
        (status, fs::read_to_string(log).unwrap())
    }
}

/// Waits for a session and ends it after the limit; its processes end with it.
fn wait(mut child: Child) -> Option<ExitStatus> {
    let deadline = Instant::now() + LIMIT;
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        thread::sleep(Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    None
}

/// The files that git knows, and new ones that it does not ignore.
pub(super) fn files_of_the_checkout() -> Vec<PathBuf> {
    let mut git = Command::new("git");
    git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root());
    let listed = git.output().expect("`git` is needed");
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let names = String::from_utf8(listed.stdout).unwrap();
    let mut files: Vec<PathBuf> = names.split_terminator('\0').map(PathBuf::from).collect();
    files.retain(|file| root().join(file).is_file());
    files
}

/// The commands of a document as a script in which each one stands in the line that it has in the document.
fn script(document: &Document) -> String {
    let mut lines = vec![String::new(); document.lines.len()];
    for block in &document.blocks {
        let (first, after) = (block.line - 1, block.line + block.lines.len());
        let commands = block.commands();
        if !commands.is_empty() {
            lines[first] = format!("begin {}", block.line);
            "end 0".clone_into(&mut lines[after]);
            if block.status() != 0 {
                lines[first] += "; set +e";
                lines[after] = format!("end {}", block.status());
            }
            for (line, command) in lines[first + 1..after].iter_mut().zip(commands) {
                command.clone_into(line);
            }
        } else if let Some(path) = block.file() {
            lines[first] = format!("mkdir -p \"$(dirname {path})\"; cat >{path} <<'{END_OF_FILE}'");
            END_OF_FILE.clone_into(&mut lines[after]);
            lines[first + 1..after].clone_from_slice(&block.lines);
        }
    }
    lines.join("\n") + "\n"
}

#[test]
fn commands_keep_the_lines_that_they_have_in_the_document() {
    let text = "words\n```sh\na\n```\n```yaml\n# p/q.yaml\nb: 1\n```\n```sh exit=2\nc\n```\n";
    let want = format!(
        "\nbegin 2\na\nend 0\nmkdir -p \"$(dirname p/q.yaml)\"; cat >p/q.yaml <<'{END_OF_FILE}'\n# p/q.yaml\nb: 1\n\
         {END_OF_FILE}\nbegin 9; set +e\nc\nend 2\n"
    );
    assert_eq!(script(&Document::parse("x.md", text)), want);
}

#[test]
fn session_fails_at_the_command_or_the_output_that_is_wrong() {
    for (text, want) in [
        ("```sh\necho a\n```\n```text\na\n```\n", None),
        (
            "```sh\necho a\n```\n```text\nb\n```\n",
            Some("x.md:4: the commands before it print:\na"),
        ),
        ("```sh\necho a\nfalse\n```\n", Some("x.md:3: false")),
        ("```sh exit=1\nfalse\n```\n```sh\nfalse\n```\n", Some("x.md:5: false")),
        (
            "```sh exit=1\ntrue\n```\n",
            Some("the last command ended with 0 instead of 1"),
        ),
        (
            "```sh\necho $UNSET_VARIABLE\n```\n",
            Some("line 2: UNSET_VARIABLE: unbound variable"),
        ),
        (
            "```sh\n# not run in CI: it fails\nfalse\n```\n```text\nnot compared\n```\n",
            None,
        ),
        (
            "```yaml\n# p/q.yaml\na: 1\n```\n```sh\ncat p/q.yaml\n```\n```text\n# p/q.yaml\na: 1\n```\n",
            None,
        ),
    ] {
        let error = run(&Document::parse("x.md", text)).err();
        let is_expected = match (&error, want) {
            (None, None) => true,
            (Some(error), Some(want)) => error.contains(want),
            _ => false,
        };
        assert!(is_expected, "{text}: {error:?}, expected {want:?}");
    }
}

#[test]
fn session_leaves_neither_files_nor_processes() {
    let mark = format!("sidegate-session-{}", std::process::id());
    let text = format!(
        "```sh\ntouch /etc/{mark} /usr/local/{mark} /run/{mark} /tmp/{mark} /var/{mark}\n\
         touch started\nsetsid sleep 86399 & sleep 0.1\n```\n"
    );
    assert_eq!(run(&Document::parse("x.md", &text)), Ok(()));
    for folder in ["/etc", "/usr/local", "/run", "/tmp", "/var"] {
        assert!(!Path::new(folder).join(&mark).exists(), "{folder}");
    }
    assert!(!root().join("started").exists());
    let lines = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| fs::read(entry.unwrap().path().join("cmdline")).ok());
    assert!(
        lines.into_iter().all(|line| line != b"sleep\x0086399\0"),
        "a process is left"
    );
}
