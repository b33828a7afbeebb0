//! What operators see: log lines and metrics.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;

use tracing::Metadata;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{LogConfig, LogFormat};

pub mod access_log;
pub mod escape;
pub mod log_writer;
pub mod metrics;
mod process_log;

use log_writer::{LogBuffer, LogWriterGuard, LostLines};
use process_log::LOG;

/// Where log lines go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogTarget {
    /// Standard output, for a process whose only output is its log.
    Stdout,
    /// Standard error, for a command that prints something else.
    Stderr,
}

/// The targets of pingora's log lines about connections.
const ENGINE: &str = "pingora_core::services::listening";

/// The log of pingora. Most of it is left out, such as a line for every connection that a client breaks off.
/// Failed handshakes are logged only here.
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

/// Where one line of `tracing` goes.
#[derive(Debug)]
pub struct OneLine<'l> {
    lines: &'l LogBuffer,
    is_access: bool,
}

impl Write for OneLine<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let escaped = escape::escaped(line);
        let safe = escaped.as_deref().map_or(line, str::as_bytes);
        match self.is_access {
            true => self.lines.write_buffered(safe),
            false => self.lines.write_through(safe),
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'l> MakeWriter<'l> for LogBuffer {
    type Writer = OneLine<'l>;

    fn make_writer(&'l self) -> OneLine<'l> {
        OneLine {
            lines: self,
            is_access: false,
        }
    }

    fn make_writer_for(&'l self, event: &Metadata<'_>) -> OneLine<'l> {
        OneLine {
            lines: self,
            is_access: event.target() == access_log::TARGET,
        }
    }
}

impl LogTarget {
    fn is_terminal(self) -> bool {
        match self {
            Self::Stdout => io::stdout().is_terminal(),
            Self::Stderr => io::stderr().is_terminal(),
        }
    }

    /// Opens it for lines, without a buffer that would hide what cannot be written.
    fn open(self) -> io::Result<File> {
        let descriptor = match self {
            Self::Stdout => io::stdout().as_fd().try_clone_to_owned(),
            Self::Stderr => io::stderr().as_fd().try_clone_to_owned(),
        };
        descriptor.map(File::from)
    }
}

/// Says on standard error that the log has an outage. If that fails as well, the metric says it.
fn print_error(error: &io::Error) {
    let _ = writeln!(
        io::stderr().lock(),
        "sidegate: the log cannot be written: {error}; requests are served, and lines that are lost are counted in `sidegate_access_log_write_errors_total`"
    );
}

/// Starts logging, until what it returns is dropped. Each of so many threads may leave many access
/// lines without waiting for another.
pub fn start(config: LogConfig, target: LogTarget, threads: usize) -> io::Result<LogWriterGuard> {
    let lost = LostLines::new().map_err(io::Error::other)?;
    let (lines, writing) = LogBuffer::start(threads, lost, target.open()?, print_error)?;
    // A second start finds a log already, and leaves it.
    let _ = LOG.set((lines.clone(), config.format));
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
    let layer = tracing_subscriber::fmt::layer().with_writer(lines).with_target(false);
    let layer = match config.format {
        LogFormat::Json => layer.json().flatten_event(true).boxed(),
        LogFormat::Text => layer.with_ansi(target.is_terminal()).boxed(),
    };
    let _ = tracing_subscriber::registry().with(layer).with(filter).try_init();
    if log::set_logger(&EngineLog).is_ok() {
        log::set_max_level(log::LevelFilter::Warn);
    }
    Ok(writing)
}
