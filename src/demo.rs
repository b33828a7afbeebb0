//! The services behind `sidegate demo`: an issuer of tokens, and echoes of what a proxied service receives.
//!
//! They are plain HTTP servers which know nothing of Sidegate's own types, so that what is shown in front of
//! them holds for any service. They are for a laptop: the passwords are published, and nothing is persisted.

pub mod auth_svc;
pub mod echo;
pub mod http;
