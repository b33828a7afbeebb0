//! Files as they were at a revision, read by running `git`. Nothing is written, and no hook or filter runs.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

mod place;
mod tree;

use place::Place;

/// Variables that hooks of git set, by which a child would look at another repository than that of the path.
const HOOK_VARIABLES: [&str; 5] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_PREFIX",
    "GIT_COMMON_DIR",
];

/// A revision of the repository that has a folder.
#[derive(Debug)]
pub(super) struct Revision {
    /// A folder of the work tree, without symbolic links.
    folder: PathBuf,
    /// The path in the repository that it was opened for; it may lead through links.
    path: String,
    /// The revision as the operator names it.
    name: String,
    /// The commit.
    commit: String,
}

/// What a path was at a revision.
#[derive(Debug)]
pub(super) enum Found {
    /// A file.
    File(Entry),
    /// A folder, with what is in it.
    Folder(Vec<Entry>),
}

/// A thing in a folder of a revision.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// Its path in the repository.
    pub(super) path: String,
    kind: Kind,
    object: String,
    bytes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    File,
    Folder,
    Link,
    Repository,
}

impl Kind {
    /// Reads the mode of an entry (gitformat-index, "Index entry").
    fn of_mode(mode: &str) -> Self {
        match mode {
            "040000" => Self::Folder,
            "120000" => Self::Link,
            "160000" => Self::Repository,
            _ => Self::File,
        }
    }
}

impl Entry {
    /// Returns the name without the folders.
    pub(super) fn file_name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }
}

impl Revision {
    /// Finds a revision in the repository that a path is in.
    pub(super) fn open(path: &Path, name: &str) -> Result<Self, String> {
        let unreadable = |error: io::Error| format!("`{}` cannot be read: {error}", path.display());
        path.metadata().map_err(unreadable)?;
        let place =
            Place::of(path, |folder| prefix_of(folder).is_ok_and(|prefix| prefix.is_ok())).map_err(unreadable)?;
        let outside = |why: String| {
            format!(
                "`--git` needs a path in the work tree of a git repository, and `{}` is in none: {why}",
                path.display()
            )
        };
        let prefix = prefix_of(&place.folder)?.map_err(outside)?;
        let mut steps = vec![prefix.trim_end_matches('/').to_owned()];
        for step in place.steps {
            let step = step.into_string();
            steps.push(step.map_err(|_| format!("a name in `{}` is not UTF-8", path.display()))?);
        }
        Ok(Self {
            commit: commit(&place.folder, name)?,
            folder: place.folder,
            path: steps.join("/").trim_start_matches('/').to_owned(),
            name: name.to_owned(),
        })
    }

    /// Returns the path in the repository of the path that was given to [`Revision::open`].
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Returns the name of a path for reports, as git writes it.
    pub(super) fn shown(&self, path: &str) -> String {
        format!("{}:{path}", self.name)
    }

    /// Reads a file.
    pub(super) fn read(&self, entry: &Entry, limit: u64) -> Result<Vec<u8>, String> {
        self.blob(&self.followed(entry)?, limit)
    }

    fn blob(&self, entry: &Entry, limit: u64) -> Result<Vec<u8>, String> {
        let shown = self.shown(&entry.path);
        if entry.bytes > limit {
            return Err(match limit / 1024 / 1024 {
                0 => format!("`{shown}` is longer than {limit} bytes"),
                limit => format!("`{shown}` is longer than {limit} MiB"),
            });
        }
        let read = git(&self.folder, ["cat-file", "blob", &entry.object])?;
        read.map_err(|why| format!("`{shown}` cannot be read: {why}"))
    }

    /// Lists what is in a folder.
    fn below(&self, folder: &[String]) -> Result<Vec<Entry>, String> {
        match folder {
            [] => self.list(None),
            folder => self.list(Some(&format!("{}/", folder.join("/")))),
        }
    }

    /// Finds what is at a path without links.
    fn entry_at(&self, path: &str) -> Result<Option<Entry>, String> {
        Ok(self.list(Some(path))?.pop())
    }

    /// Lists one path, or with a slash at its end what is in it; without a path, what is at the top.
    fn list(&self, path: Option<&str>) -> Result<Vec<Entry>, String> {
        let options = ["ls-tree", "-l", "-z", "--full-tree", &self.commit];
        let arguments = options.into_iter().chain(path.iter().flat_map(|path| ["--", path]));
        let listed = git(&self.folder, arguments)?.map_err(|why| format!("`{}` cannot be listed: {why}", self.name))?;
        let records = listed.split(|byte| *byte == 0).filter(|record| !record.is_empty());
        records
            .map(|record| entry(record).ok_or_else(|| "git lists a file whose name is not UTF-8".to_owned()))
            .collect()
    }
}

/// Returns the path of a folder in its repository, or what git complains of if it is in none.
fn prefix_of(folder: &Path) -> Result<Result<String, String>, String> {
    let found = git(folder, ["rev-parse", "--show-prefix"])?;
    Ok(match found {
        Ok(written) => Ok(text(written)?.trim_end_matches('\n').to_owned()),
        Err(why) => Err(why),
    })
}

/// Finds the commit that a revision is.
fn commit(folder: &Path, name: &str) -> Result<String, String> {
    if name.is_empty() || name.starts_with(['-', '^']) {
        return Err(format!(
            "`{name}` is not a revision: write a branch, a tag or a commit, such as `main` or `HEAD~1`"
        ));
    }
    let wanted = format!("{name}^{{commit}}");
    let found = git(
        folder,
        ["rev-parse", "--verify", "--quiet", "--end-of-options", &wanted],
    )?;
    let commit = found.ok().and_then(|found| String::from_utf8(found).ok());
    let commit = commit.map(|commit| commit.trim().to_owned());
    let is_hash = |commit: &String| !commit.is_empty() && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
    commit.filter(is_hash).ok_or_else(|| {
        let name = name.escape_debug();
        format!(
            "the repository has no revision `{name}`; in a shallow clone, fetch it first (`git fetch origin {name}`, or `fetch-depth: 0` for actions/checkout)"
        )
    })
}

/// Reads a record of `git ls-tree -l -z`: mode, type, object, size, and behind a tab the path.
fn entry(record: &[u8]) -> Option<Entry> {
    let (facts, path) = std::str::from_utf8(record).ok()?.split_once('\t')?;
    let mut facts = facts.split_ascii_whitespace();
    let (mode, _, object, bytes) = (facts.next()?, facts.next()?, facts.next()?, facts.next()?);
    Some(Entry {
        path: path.to_owned(),
        kind: Kind::of_mode(mode),
        object: object.to_owned(),
        bytes: bytes.parse().unwrap_or_default(),
    })
}

fn text(bytes: Vec<u8>) -> Result<String, String> {
    String::from_utf8(bytes).map_err(|_| "the path of the repository is not UTF-8".to_owned())
}

/// Runs git: its output, or what it complains of. An error if it cannot be run.
fn git<'a>(folder: &Path, arguments: impl IntoIterator<Item = &'a str>) -> Result<Result<Vec<u8>, String>, String> {
    let mut command = Command::new("git");
    command
        .arg("-C")
        .arg(folder)
        .args(["--no-pager", "--literal-pathspecs"]);
    for variable in HOOK_VARIABLES {
        command.env_remove(variable);
    }
    let output = command
        .args(arguments)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => "`--git` runs `git`, which is not in `PATH`".to_owned(),
            _ => format!("`git` cannot be run: {error}"),
        })?;
    Ok(match output.status.success() {
        true => Ok(output.stdout),
        false => Err(complaint(&output.stderr)),
    })
}

/// Returns the first line of a complaint of git.
fn complaint(written: &[u8]) -> String {
    let written = String::from_utf8_lossy(written);
    let line = written
        .lines()
        .find(|line| !line.trim().is_empty())
        .unwrap_or("git failed");
    let line = ["fatal: ", "error: "]
        .iter()
        .find_map(|start| line.strip_prefix(start))
        .unwrap_or(line);
    line.to_owned()
}
