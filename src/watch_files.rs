//! Tells when files may have changed: edited in place, replaced by a rename, or behind a symbolic
//! link that was turned, as Kubernetes turns `..data`. Never says what they mean.
//!
//! Folders are watched, not files: a file that is replaced takes its watch with it. What the kernel
//! does not tell is found by a poll that compares contents.

use std::collections::BTreeMap;
use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};

/// How long files have to be quiet, so that a certificate and its key are read together.
const QUIET: Duration = Duration::from_millis(100);

/// How long events may put off a look.
const PUT_OFF: Duration = Duration::from_millis(500);

/// How often contents are compared, whatever the kernel says.
const POLL: Duration = Duration::from_secs(10);

/// How often they are where the kernel tells nothing.
const FAST_POLL: Duration = Duration::from_secs(1);

/// The longest chain of symbolic links that is followed.
const MOST_LINKS: usize = 40;

/// Asks for everything to be read again, as SIGHUP does.
#[derive(Debug, Clone)]
pub struct Trigger(Arc<watch::Sender<()>>);

impl Default for Trigger {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(())))
    }
}

impl Trigger {
    /// Every [`FileWatch`] of this trigger says [`Change::Asked`], changed or not.
    pub fn reload_now(&self) {
        self.0.send_replace(());
    }
}

/// Why files are to be read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Their contents are others.
    Contents,
    /// Somebody asked for it.
    Asked,
}

/// Some files. Make it before the files are first read, so that no change is lost between.
pub struct FileWatch {
    paths: Arc<[PathBuf]>,
    seen: Contents,
    folders: Arc<Mutex<Folders>>,
    events: mpsc::Receiver<()>,
    asked: watch::Receiver<()>,
    poll: Duration,
}

impl fmt::Debug for FileWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileWatch")
            .field("paths", &self.paths)
            .finish_non_exhaustive()
    }
}

impl FileWatch {
    /// Watches these files from now on, whether or not they are there.
    pub fn new(paths: Vec<PathBuf>, trigger: &Trigger) -> Self {
        let (tell, events) = mpsc::channel(1);
        let mut folders = Folders::new(tell);
        let complete = folders.follow(&paths);
        Self {
            seen: contents(&paths),
            paths: paths.into(),
            folders: Arc::new(Mutex::new(folders)),
            events,
            asked: trigger.0.subscribe(),
            poll: poll(complete),
        }
    }

    /// Waits until the files are to be read again.
    pub async fn changed(&mut self) -> Change {
        loop {
            let asked = tokio::select! {
                Ok(()) = self.asked.changed() => true,
                Some(()) = self.events.recv() => {
                    self.settle().await;
                    false
                }
                () = sleep(self.poll) => false,
            };
            let changed = self.look().await;
            match (asked, changed) {
                (true, _) => return Change::Asked,
                (false, true) => return Change::Contents,
                (false, false) => {}
            }
        }
    }

    async fn settle(&mut self) {
        let quiet = async { while timeout(QUIET, self.events.recv()).await.is_ok() {} };
        let _ = timeout(PUT_OFF, quiet).await;
    }

    /// Whether the contents are others than at the last look.
    async fn look(&mut self) -> bool {
        let (paths, folders) = (Arc::clone(&self.paths), Arc::clone(&self.folders));
        // The files may be on a file system that takes its time.
        let looked = tokio::task::spawn_blocking(move || {
            let complete = folders.lock().follow(&paths);
            (complete, contents(&paths))
        });
        let Ok((complete, contents)) = looked.await else {
            return false;
        };
        self.poll = poll(complete);
        let changed = self.seen != contents;
        self.seen = contents;
        changed
    }
}

const fn poll(complete: bool) -> Duration {
    if complete { POLL } else { FAST_POLL }
}

/// The digest of what is in some files, or that it cannot be read.
type Contents = Vec<u8>;

fn contents(paths: &[PathBuf]) -> Contents {
    let mut all = Context::new(&SHA256);
    for path in paths {
        match std::fs::read(path) {
            Ok(bytes) => {
                all.update(&(bytes.len() as u64).to_be_bytes());
                all.update(&bytes);
            }
            Err(_) => all.update(&u64::MAX.to_be_bytes()),
        }
    }
    all.finish().as_ref().to_vec()
}

/// The folders that are watched, each with what told it apart when its watch began.
struct Folders {
    watcher: Option<RecommendedWatcher>,
    watched: BTreeMap<PathBuf, Identity>,
}

/// Device and inode: a folder that was replaced under its name is another one.
type Identity = (u64, u64);

impl Folders {
    fn new(tell: mpsc::Sender<()>) -> Self {
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            if event.is_ok_and(|event| is_reading(event.kind)) {
                return;
            }
            // Full is as good: somebody is told already.
            let _ = tell.try_send(());
        });
        let watcher =
            watcher.inspect_err(|error| tracing::warn!(%error, "files are polled, for they cannot be watched"));
        Self {
            watcher: watcher.ok(),
            watched: BTreeMap::new(),
        }
    }

    /// Watches the folders that the paths lead through now. Whether that went well for all of them.
    fn follow(&mut self, paths: &[PathBuf]) -> bool {
        let Some(watcher) = &mut self.watcher else { return false };
        let wanted = all_folders(paths);
        for (folder, identity) in std::mem::take(&mut self.watched) {
            if wanted.get(&folder) == Some(&Some(identity)) {
                self.watched.insert(folder, identity);
            } else {
                let _ = watcher.unwatch(&folder);
            }
        }
        let mut complete = true;
        for (folder, identity) in wanted {
            if self.watched.contains_key(&folder) {
                continue;
            }
            match identity {
                Some(identity) if watcher.watch(&folder, RecursiveMode::NonRecursive).is_ok() => {
                    self.watched.insert(folder, identity);
                }
                _ => complete = false,
            }
        }
        complete
    }
}

/// Whether an event is about somebody who only reads, such as this process.
fn is_reading(kind: EventKind) -> bool {
    use notify::event::{AccessKind, AccessMode};
    matches!(kind, EventKind::Access(access) if access != AccessKind::Close(AccessMode::Write))
}

fn all_folders(paths: &[PathBuf]) -> BTreeMap<PathBuf, Option<Identity>> {
    let identity = |folder: &Path| folder.metadata().ok().map(|f| (f.dev(), f.ino()));
    let folders = paths.iter().flat_map(|path| folders(path));
    folders.map(|folder| (folder.clone(), identity(&folder))).collect()
}

/// The folder of a file, of each link on the way to it, and of what each link leads to.
fn folders(path: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(mut path) = std::path::absolute(path) else {
        return found;
    };
    for _ in 0..MOST_LINKS {
        found.extend(path.parent().map(Path::to_owned));
        let Some((link, target)) = first_link(&path) else { break };
        let Some(folder) = link.parent() else { break };
        found.push(folder.to_owned());
        let rest = path.strip_prefix(&link).map(Path::to_owned).unwrap_or_default();
        path = match rest.as_os_str().is_empty() {
            true => folder.join(target),
            false => folder.join(target).join(rest),
        };
    }
    found
}

/// The first part of a path that is a symbolic link, and what it says.
fn first_link(path: &Path) -> Option<(PathBuf, PathBuf)> {
    let mut parts: Vec<_> = path.ancestors().collect();
    parts.reverse();
    parts
        .into_iter()
        .find_map(|part| std::fs::read_link(part).ok().map(|target| (part.to_owned(), target)))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    }

    /// A folder as Kubernetes mounts it: `file -> ..data/file`, `..data -> ..1`.
    fn mounted(folder: &Path) -> PathBuf {
        fs::create_dir(folder.join("..1")).unwrap();
        fs::write(folder.join("..1/file"), "1").unwrap();
        symlink("..1", folder.join("..data")).unwrap();
        symlink("..data/file", folder.join("file")).unwrap();
        folder.join("file")
    }

    fn turn(folder: &Path, from: &str, to: &str) {
        fs::create_dir(folder.join(to)).unwrap();
        fs::write(folder.join(to).join("file"), to).unwrap();
        symlink(to, folder.join("..data_tmp")).unwrap();
        fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
        fs::remove_dir_all(folder.join(from)).unwrap();
    }

    /// Without the poll, so that it is the kernel's event that is tested.
    async fn told(watch: &mut FileWatch) -> Change {
        assert_eq!(watch.poll, POLL, "all folders are watched");
        timeout(POLL / 2, watch.changed()).await.unwrap()
    }

    #[test]
    fn files_that_are_edited_replaced_or_behind_a_turned_link() {
        let folder = tempfile::tempdir().unwrap();
        let edited = folder.path().join("edited");
        fs::write(&edited, "1").unwrap();
        let other = tempfile::tempdir().unwrap();
        let linked = mounted(other.path());
        runtime().block_on(async {
            let mut watch = FileWatch::new(vec![edited.clone(), linked], &Trigger::default());
            fs::write(&edited, "2").unwrap();
            assert_eq!(told(&mut watch).await, Change::Contents);
            fs::write(folder.path().join("new"), "3").unwrap();
            fs::rename(folder.path().join("new"), &edited).unwrap();
            assert_eq!(told(&mut watch).await, Change::Contents);
            turn(other.path(), "..1", "..2");
            assert_eq!(told(&mut watch).await, Change::Contents);
            turn(other.path(), "..2", "..3");
            assert_eq!(told(&mut watch).await, Change::Contents);
            fs::remove_file(&edited).unwrap();
            assert_eq!(told(&mut watch).await, Change::Contents);
        });
    }

    #[test]
    fn a_folder_that_is_a_link_and_is_turned() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["a", "b"] {
            fs::create_dir(at(name)).unwrap();
            fs::write(at(name).join("file"), name).unwrap();
        }
        symlink("a", at("in-use")).unwrap();
        runtime().block_on(async {
            let mut watch = FileWatch::new(vec![at("in-use/file")], &Trigger::default());
            symlink("b", at("next")).unwrap();
            fs::rename(at("next"), at("in-use")).unwrap();
            assert_eq!(told(&mut watch).await, Change::Contents);
            fs::write(at("b/file"), "c").unwrap();
            assert_eq!(told(&mut watch).await, Change::Contents);
        });
    }

    #[test]
    fn what_is_asked_for_needs_no_change_and_a_missing_folder_is_polled() {
        let folder = tempfile::tempdir().unwrap();
        let trigger = Trigger::default();
        let missing = folder.path().join("later/file");
        runtime().block_on(async {
            let mut watch = FileWatch::new(vec![missing.clone()], &trigger);
            assert_eq!(watch.poll, FAST_POLL);
            trigger.reload_now();
            assert_eq!(watch.changed().await, Change::Asked);
            fs::create_dir(folder.path().join("later")).unwrap();
            fs::write(&missing, "1").unwrap();
            assert_eq!(watch.changed().await, Change::Contents);
            assert_eq!(watch.poll, POLL);
        });
    }
}
