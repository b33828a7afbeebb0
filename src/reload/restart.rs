//! Says that the configuration of the process has changed, which takes a restart. Puts nothing in force.

use tokio::task::spawn_blocking;

use crate::config::ConfigFile;
use crate::document::yaml::MAX_FILE_BYTES;
use crate::policy_files::loaded_files::FileState;
use crate::read_file::read_file;
use crate::watch_files::{FileWatch, Trigger};

/// Tells operators whenever a file changes or a reload is asked for, and the file is not what the process
/// was started with.
pub async fn tell(started_with: ConfigFile, trigger: Trigger) {
    let ConfigFile { path, found } = started_with;
    let mut watch = FileWatch::new(vec![path.clone()], &trigger);
    let mut differs = false;
    loop {
        let file = path.clone();
        let now = spawn_blocking(move || FileState::by(&read_file(&file, MAX_FILE_BYTES as u64))).await;
        let now = now.unwrap_or(FileState::Unseen);
        let path = path.display();
        match now {
            FileState::Unseen => {}
            now if now == found => {
                if std::mem::take(&mut differs) {
                    tracing::info!("{path} is again what this process was started with");
                }
            }
            _ => {
                differs = true;
                tracing::warn!("{path} has changed; that takes a restart");
            }
        }
        watch.changed().await;
    }
}
