//! Tells that something may have changed in some folders. What has changed, if anything, is seen by
//! reading it.

use std::sync::Arc;
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::folders::Folders;

/// A watch over folders.
#[derive(Debug, Default)]
pub(super) struct FileWatch {
    folders: Arc<Folders>,
    watcher: Option<RecommendedWatcher>,
    stirred: Arc<Notify>,
    complained: bool,
}

impl FileWatch {
    /// Watches these folders from now on, and no others. One that was put in the place of another
    /// is another folder.
    pub(super) fn arm(&mut self, folders: Folders) {
        if self.watcher.is_some() && *self.folders == folders {
            return;
        }
        self.folders = Arc::new(folders);
        self.watcher = None;
        match self.watch() {
            Ok(watcher) => self.watcher = Some(watcher),
            Err(error) if !self.complained => {
                self.complained = true;
                tracing::warn!(%error, "folders cannot be watched; files are read again and again instead");
            }
            Err(_) => {}
        }
    }

    fn watch(&self) -> notify::Result<RecommendedWatcher> {
        let (folders, stirred) = (Arc::clone(&self.folders), Arc::clone(&self.stirred));
        let tell = move |event: notify::Result<Event>| {
            if event.map_or(true, |event| matters(&event, &folders)) {
                stirred.notify_one();
            }
        };
        let mut watcher = notify::recommended_watcher(tell)?;
        for folder in self.folders.paths() {
            watcher.watch(folder, RecursiveMode::NonRecursive)?;
        }
        Ok(watcher)
    }

    /// Whether changes will be told at all.
    pub(super) fn works(&self) -> bool {
        self.watcher.is_some()
    }

    /// Forgets what has changed until now.
    pub(super) async fn forget(&self) {
        let _ = timeout(Duration::ZERO, self.stirred()).await;
    }

    /// Waits until something may have changed.
    pub(super) async fn stirred(&self) {
        self.stirred.notified().await;
    }
}

/// Reading is no change, or every look would lead to another one. An event without a path says that
/// some were lost.
fn matters(event: &Event, folders: &Folders) -> bool {
    let reading = match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => false,
        EventKind::Access(_) => true,
        _ => false,
    };
    !reading && (event.paths.is_empty() || event.paths.iter().any(|path| folders.concerns(path)))
}
