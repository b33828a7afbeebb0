//! Sidegate, a sidecar authorization proxy.

pub mod credential;
pub mod principal;
pub mod rejection;
pub mod request;

pub mod keys;
pub mod policy;

pub mod authn;
pub mod authz;
pub mod decision;

pub mod demo;
