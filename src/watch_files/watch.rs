//! Tells that something may have changed in some folders. What has changed, if anything, is seen by
//! reading it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{ErrorKind, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::folders::Folders;

/// A watch over folders.
#[derive(Debug, Default)]
pub(crate) struct FolderWatch {
    folders: Arc<Folders>,
    watcher: Option<RecommendedWatcher>,
    changed: Arc<Notify>,
    complained: bool,
}

impl FolderWatch {
    /// Watches these folders from now on, and no others. One that was put in the place of another
    /// is another folder.
    pub(crate) fn arm(&mut self, folders: Folders) {
        if self.watcher.is_some() && *self.folders == folders {
            return;
        }
        self.folders = Arc::new(folders);
        self.watcher = None;
        match self.watch() {
            Ok(watcher) => self.watcher = Some(watcher),
            // It has changed already.
            Err(error) if is_gone(&error) => self.changed.notify_one(),
            Err(error) if !self.complained => {
                self.complained = true;
                tracing::warn!(%error, "folders cannot be watched; files are read again and again instead");
            }
            Err(_) => {}
        }
    }

    fn watch(&self) -> notify::Result<RecommendedWatcher> {
        let (folders, changed) = (Arc::clone(&self.folders), Arc::clone(&self.changed));
        let tell = move |event: notify::Result<Event>| {
            if event.map_or(true, |event| matters(&event, &folders)) {
                changed.notify_one();
            }
        };
        let mut watcher = notify::recommended_watcher(tell)?;
        for folder in self.folders.paths() {
            watcher.watch(folder, RecursiveMode::NonRecursive)?;
        }
        Ok(watcher)
    }

    /// Whether changes are reported at all.
    pub(crate) fn works(&self) -> bool {
        self.watcher.is_some()
    }

    /// Forgets what has changed until now.
    pub(crate) async fn forget(&self) {
        let _ = timeout(Duration::ZERO, self.changed()).await;
    }

    /// Waits until something may have changed.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }
}

/// Whether a folder is no longer where it was a moment ago.
fn is_gone(error: &notify::Error) -> bool {
    match &error.kind {
        ErrorKind::PathNotFound => true,
        ErrorKind::Io(error) => error.kind() == io::ErrorKind::NotFound,
        _ => false,
    }
}

/// Reading does not count as a change, or every look would lead to another one. An event without a path says that
/// some were lost.
fn matters(event: &Event, folders: &Folders) -> bool {
    let reading = match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => false,
        EventKind::Access(_) => true,
        _ => false,
    };
    !reading && (event.paths.is_empty() || event.paths.iter().any(|path| folders.concerns(path)))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use notify::event::{CreateKind, Flag};

    use super::*;

    #[test]
    fn reading_does_not_matter() {
        let place = tempfile::tempdir().unwrap();
        let place = place.path().canonicalize().unwrap();
        fs::write(place.join("file"), "").unwrap();
        let folders = Folders::of([place.join("file").as_path()].into_iter(), &[]);
        let check = |kind: EventKind, name: &str, want| {
            let event = Event::new(kind).add_path(place.join(name));
            assert_eq!(matters(&event, &folders), want, "{event:?}");
        };
        let close = |mode| EventKind::Access(AccessKind::Close(mode));
        check(EventKind::Access(AccessKind::Open(AccessMode::Any)), "file", false);
        check(close(AccessMode::Read), "file", false);
        check(close(AccessMode::Write), "file", true);
        check(close(AccessMode::Write), "other", false);
        check(EventKind::Create(CreateKind::File), "file", true);
        assert!(matters(&Event::new(EventKind::Other).set_flag(Flag::Rescan), &folders));
    }

    #[tokio::test]
    async fn a_folder_that_is_gone_is_a_change() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("folder/file");
        fs::create_dir(place.path().join("folder")).unwrap();
        fs::write(&file, "").unwrap();
        let folders = Folders::of([file.as_path()].into_iter(), &[]);
        fs::remove_dir_all(place.path().join("folder")).unwrap();
        let mut watch = FolderWatch::default();
        watch.arm(folders);
        assert!(!watch.works());
        watch.changed().await;
    }
}
