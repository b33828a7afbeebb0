//! Why a demo cannot start.

use std::error::Error;

/// An error of any kind: only people read it.
pub type DemoError = Box<dyn Error + Send + Sync>;
