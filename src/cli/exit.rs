//! How a command ended, and the exit code for it.

use std::process::ExitCode;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// All is fine.
    Fine,
    /// A problem was found, or a request is rejected.
    No,
    /// It could not run: usage, an unreadable file, an address in use.
    CouldNotRun,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Fine => Self::SUCCESS,
            Exit::No => Self::from(1),
            Exit::CouldNotRun => Self::from(2),
        }
    }
}
