//! The names under which a Redis keeps what is ours. None holds anything that a client says.

use redis::Cmd;

use crate::digest::Fingerprint;

/// The names, which all begin alike.
#[derive(Debug, Clone)]
pub(super) struct KeyNames {
    prefix: String,
    /// All revocations, by when they are forgotten.
    pub(super) set: String,
    /// The latest revocations, in the order in which they were made.
    pub(super) log: String,
    /// How many revocations were ever made.
    pub(super) count: String,
    /// A text that is lost with everything else.
    pub(super) epoch: String,
}

impl KeyNames {
    pub(super) fn of(prefix: &str) -> Self {
        // The braces keep all of them on one node of a cluster.
        let revocations = |name: &str| format!("{prefix}:{{r}}:{name}");
        Self {
            prefix: prefix.to_owned(),
            set: revocations("set"),
            log: revocations("log"),
            count: revocations("count"),
            epoch: revocations("epoch"),
        }
    }

    /// Reads the epoch in a way that only a server does which can be written to.
    pub(super) fn touch(&self) -> Cmd {
        let mut command = redis::cmd("GETEX");
        command.arg(&self.epoch).arg("PERSIST");
        command
    }

    /// Returns the key of a stored response.
    pub(super) fn record(&self, key: Fingerprint) -> String {
        format!("{}:i:{key}", self.prefix)
    }

    /// A bucket.
    pub(super) fn bucket(&self, bucket: Fingerprint) -> String {
        format!("{}:q:{bucket}", self.prefix)
    }
}
