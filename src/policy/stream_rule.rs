//! What a policy says of streams: WebSockets, event streams and gRPC.

use std::time::Duration;

/// How long streams may be silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamRule {
    /// The longest time without any byte from either side.
    pub idle_timeout: Duration,
}

impl Default for StreamRule {
    fn default() -> Self {
        Self {
            idle_timeout: Duration::from_hours(1),
        }
    }
}
