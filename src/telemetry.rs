//! What operators see: log lines and metrics.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

use crate::config::{LogConfig, LogFormat};

pub mod access_log;
pub mod metrics;

/// Where log lines go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogTarget {
    /// Standard output, for a process whose only output is its log.
    Stdout,
    /// Standard error, for a command that prints something else.
    Stderr,
}

/// Starts logging. The engine's own lines are written from `warn` up, and not below: they tell
/// about every connection that a client breaks off.
pub fn start(config: LogConfig, target: LogTarget) {
    let level = config.level.as_str();
    let filter = EnvFilter::new(format!(
        "{level},pingora_core=off,pingora_proxy=off,rustls=warn,hyper=warn,h2=warn"
    ));
    let (writer, is_terminal) = match target {
        LogTarget::Stdout => (BoxMakeWriter::new(std::io::stdout), std::io::stdout().is_terminal()),
        LogTarget::Stderr => (BoxMakeWriter::new(std::io::stderr), std::io::stderr().is_terminal()),
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        .with_target(false);
    // A second start finds a logger already, and leaves it.
    let _ = match config.format {
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
        LogFormat::Text => builder.with_ansi(is_terminal).try_init(),
    };
}
