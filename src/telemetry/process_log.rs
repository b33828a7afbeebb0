//! The log of this process: where its lines go, and how they look.

use std::sync::OnceLock;

use super::log_writer::LogBuffer;
use crate::config::LogFormat;

/// The log of this process, once it is started, and its format.
pub(super) static LOG: OnceLock<(LogBuffer, LogFormat)> = OnceLock::new();

/// Returns the log, if it is started.
pub(super) fn log() -> Option<&'static (LogBuffer, LogFormat)> {
    LOG.get()
}
