//! Files as they were at a revision, read by running `git`. Nothing is written, and no hook or filter runs.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

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
    /// The path of the folder in the repository, with a slash at its end; empty for the top.
    prefix: String,
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
#[derive(Debug)]
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

    const fn describe(self) -> &'static str {
        match self {
            Self::File => "a file",
            Self::Folder => "a folder",
            Self::Link => "a symbolic link, and links are not followed there",
            Self::Repository => "another repository (a submodule)",
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
        let real = path.canonicalize().map_err(unreadable)?;
        let folder = match real.is_dir() {
            true => real,
            false => real.parent().map(Path::to_owned).unwrap_or_default(),
        };
        let outside = |why: String| {
            format!(
                "`--git` needs a path in the work tree of a git repository, and `{}` is in none: {why}",
                path.display()
            )
        };
        let prefix = git(&folder, ["rev-parse", "--show-prefix"])?.map_err(outside)?;
        let prefix = text(prefix)?;
        let prefix = prefix.strip_suffix('\n').unwrap_or(&prefix).to_owned();
        let wanted = format!("{name}^{{commit}}");
        let found = git(
            &folder,
            ["rev-parse", "--verify", "--quiet", "--end-of-options", &wanted],
        )?;
        let Ok(commit) = found else {
            return Err(format!(
                "the repository has no revision `{name}`; in a shallow clone, fetch it first (`git fetch origin {name}`, or `fetch-depth: 0` for actions/checkout)"
            ));
        };
        Ok(Self {
            folder,
            prefix,
            name: name.to_owned(),
            commit: text(commit)?.trim().to_owned(),
        })
    }

    /// Returns the path in the repository of a path that was given to [`Revision::open`].
    pub(super) fn path_of(&self, path: &Path) -> Result<String, String> {
        let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        if real == self.folder {
            return Ok(self.prefix.trim_end_matches('/').to_owned());
        }
        let name = real.file_name().and_then(OsStr::to_str);
        let name = name.ok_or_else(|| format!("the name of `{}` is not UTF-8", path.display()))?;
        Ok(format!("{}{name}", self.prefix))
    }

    /// Returns the name of a path for reports, as git writes it.
    pub(super) fn shown(&self, path: &str) -> String {
        format!("{}:{path}", self.name)
    }

    /// Finds what a path in the repository was.
    pub(super) fn find(&self, path: &str) -> Result<Found, String> {
        if path.is_empty() {
            return self.list(None).map(Found::Folder);
        }
        match self.list(Some(path))?.pop() {
            Some(entry) => match entry.kind {
                Kind::File => Ok(Found::File(entry)),
                Kind::Folder => self.list(Some(&format!("{path}/"))).map(Found::Folder),
                Kind::Link | Kind::Repository => Err(self.unfit(&entry)),
            },
            None => Err(self.absent(path)?),
        }
    }

    /// Reads a file.
    pub(super) fn read(&self, entry: &Entry, limit: u64) -> Result<Vec<u8>, String> {
        if entry.kind != Kind::File {
            return Err(self.unfit(entry));
        }
        if entry.bytes > limit {
            let limit = limit / 1024 / 1024;
            return Err(format!("`{}` is longer than {limit} MiB", self.shown(&entry.path)));
        }
        let read = git(&self.folder, ["cat-file", "blob", &entry.object])?;
        read.map_err(|why| format!("`{}` cannot be read: {why}", self.shown(&entry.path)))
    }

    /// Says why a path is not there: it is new, or a link led to it.
    fn absent(&self, path: &str) -> Result<String, String> {
        let folders = path.match_indices('/').filter_map(|(at, _)| path.get(..at));
        for folder in folders {
            if let Some(entry) = self
                .list(Some(folder))?
                .pop()
                .filter(|entry| entry.kind != Kind::Folder)
            {
                return Ok(self.unfit(&entry));
            }
        }
        Ok(format!(
            "`{}` does not exist: at that revision, the repository had no `{path}` to compare with",
            self.shown(path)
        ))
    }

    fn unfit(&self, entry: &Entry) -> String {
        format!("`{}` is {}", self.shown(&entry.path), entry.kind.describe())
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
