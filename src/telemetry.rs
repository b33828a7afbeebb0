//! What operators see: log lines and metrics.

use std::io::IsTerminal;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

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

/// Where the engine tells about connections.
const ENGINE: &str = "pingora_core::services::listening";

/// What the engine says. Most of it is left out: it tells about every connection that a client
/// breaks off. Handshakes that fail are told by nobody else.
struct EngineLog;

impl log::Log for EngineLog {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.target() == ENGINE && metadata.level() <= log::Level::Warn
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            tracing::warn!("{}", record.args());
        }
    }

    fn flush(&self) {}
}

/// Starts logging.
pub fn start(config: LogConfig, target: LogTarget) {
    let level: LevelFilter = config.level.as_str().parse().unwrap_or(LevelFilter::INFO);
    let access = if config.access {
        LevelFilter::INFO
    } else {
        LevelFilter::OFF
    };
    let quiet = level.min(LevelFilter::WARN);
    let filter = Targets::new()
        .with_default(level)
        .with_target(access_log::TARGET, access)
        .with_targets([("hyper", quiet), ("h2", quiet)]);
    let (writer, is_terminal) = match target {
        LogTarget::Stdout => (BoxMakeWriter::new(std::io::stdout), std::io::stdout().is_terminal()),
        LogTarget::Stderr => (BoxMakeWriter::new(std::io::stderr), std::io::stderr().is_terminal()),
    };
    let lines = tracing_subscriber::fmt::layer().with_writer(writer).with_target(false);
    let lines = match config.format {
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
        LogFormat::Text => lines.with_ansi(is_terminal).boxed(),
    };
    // A second start finds a logger already, and leaves it.
    let _ = tracing_subscriber::registry().with(lines).with(filter).try_init();
    if log::set_logger(&EngineLog).is_ok() {
        log::set_max_level(log::LevelFilter::Warn);
    }
}
