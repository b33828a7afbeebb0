//! YAML text to an immutable, indexed policy.

pub mod decode;
pub mod document;
pub mod problem;
pub mod route;
pub mod router;
pub mod yaml;
