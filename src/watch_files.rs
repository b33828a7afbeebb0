//! Tells when files may have changed: edited in place, replaced by a rename, or behind a symbolic
//! link that was turned, as Kubernetes turns `..data`. Never says what they mean.
//!
//! Folders are watched, not files: a file that is replaced takes its watch with it. What the kernel
//! does not tell is found by a poll that compares contents.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use tokio::sync::watch::{Receiver, Sender};
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use crate::read_file::{MAX_PEM_BYTES, read_file};

pub(crate) mod folders;
pub(crate) mod watch;

use crate::fd_limit::is_lack;

use folders::Folders;
use watch::FolderWatch;

/// How long files have to be quiet, so that those that belong together are read together.
pub(crate) const DEBOUNCE: Duration = Duration::from_millis(100);

/// How long events may put off a look.
pub(crate) const MAX_DEBOUNCE: Duration = Duration::from_millis(500);

/// How often contents are compared, whatever the kernel says.
const POLL: Duration = Duration::from_secs(10);

/// How often they are where the kernel tells nothing.
const FAST_POLL: Duration = Duration::from_secs(1);

/// Returns how often the files are read, in case a change was not reported.
pub(crate) fn poll(folders: &FolderWatch) -> Duration {
    if folders.works() { POLL } else { FAST_POLL }
}

/// Asks for everything to be read again, as SIGHUP does.
#[derive(Debug, Clone)]
pub struct Trigger(Arc<Sender<()>>);

impl Default for Trigger {
    fn default() -> Self {
        Self(Arc::new(Sender::new(())))
    }
}

impl Trigger {
    /// Every [`FileWatch`] of this trigger says [`Change::Asked`], changed or not.
    pub fn reload_now(&self) {
        self.0.send_replace(());
    }

    /// Hears of every time from now on.
    pub(crate) fn listen(&self) -> Receiver<()> {
        self.0.subscribe()
    }
}

/// Why files are to be read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Their contents are others.
    Contents,
    /// It was requested, by SIGHUP.
    Asked,
}

/// Some files. Make it before the files are first read, so that no change is lost between.
#[derive(Debug)]
pub struct FileWatch {
    paths: Arc<[PathBuf]>,
    seen: Option<Contents>,
    folders: FolderWatch,
    asked: Receiver<()>,
}

impl FileWatch {
    /// Watches these files from now on, whether or not they exist.
    pub fn new(paths: Vec<PathBuf>, trigger: &Trigger) -> Self {
        let mut folders = FolderWatch::default();
        folders.arm(folders_of(&paths));
        Self {
            seen: contents(&paths),
            paths: paths.into(),
            folders,
            asked: trigger.listen(),
        }
    }

    /// Waits until the files are to be read again.
    pub async fn changed(&mut self) -> Change {
        loop {
            let asked = tokio::select! {
                Ok(()) = self.asked.changed() => true,
                () = self.folders.changed() => {
                    self.settle().await;
                    false
                }
                () = sleep(poll(&self.folders)) => false,
            };
            match (asked, self.look().await) {
                // What cannot be looked at now is looked at with the next poll.
                (_, None) | (false, Some(false)) => {}
                (true, Some(_)) => return Change::Asked,
                (false, Some(true)) => return Change::Contents,
            }
        }
    }

    async fn settle(&self) {
        let quiet = async { while timeout(DEBOUNCE, self.folders.changed()).await.is_ok() {} };
        let _ = timeout(MAX_DEBOUNCE, quiet).await;
    }

    /// Whether the contents are others than at the last look; `None` if that is unknown. The
    /// files may be on a file system that takes its time.
    async fn look(&mut self) -> Option<bool> {
        let paths = Arc::clone(&self.paths);
        let folders = spawn_blocking(move || folders_of(&paths)).await.ok()?;
        // Watched first and read then, so that nothing is missed in between.
        self.folders.arm(folders);
        let paths = Arc::clone(&self.paths);
        let contents = spawn_blocking(move || contents(&paths)).await.ok()??;
        let changed = self.seen.as_ref() != Some(&contents);
        self.seen = Some(contents);
        Some(changed)
    }
}

fn folders_of(paths: &[PathBuf]) -> Folders {
    Folders::of(paths.iter().map(PathBuf::as_path), &[])
}

/// The digest of what is in some files, or that it cannot be read.
type Contents = Vec<u8>;

/// `None` where the process has no file descriptor left to look.
fn contents(paths: &[PathBuf]) -> Option<Contents> {
    let mut all = Context::new(&SHA256);
    for path in paths {
        match read_file(path, MAX_PEM_BYTES) {
            Ok(bytes) => {
                all.update(&(bytes.len() as u64).to_be_bytes());
                all.update(&bytes);
            }
            Err(error) if is_lack(&error) => return None,
            Err(_) => all.update(&u64::MAX.to_be_bytes()),
        }
    }
    Some(all.finish().as_ref().to_vec())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

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
        assert_eq!(poll(&watch.folders), POLL, "the folders are watched");
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
    fn what_is_asked_for_needs_no_change_and_a_folder_may_come_later() {
        let folder = tempfile::tempdir().unwrap();
        let trigger = Trigger::default();
        let missing = folder.path().join("later/file");
        runtime().block_on(async {
            let mut watch = FileWatch::new(vec![missing.clone()], &trigger);
            trigger.reload_now();
            assert_eq!(watch.changed().await, Change::Asked);
            fs::create_dir(folder.path().join("later")).unwrap();
            fs::write(&missing, "1").unwrap();
            assert_eq!(told(&mut watch).await, Change::Contents);
        });
    }
}
