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

pub mod admin;
pub mod config;
pub mod jwks;
pub mod policy_files;
pub mod proxy;
pub mod telemetry;
pub mod tls;

pub mod app;
pub mod cli;
pub mod demo;

#[cfg(test)]
mod testing;
