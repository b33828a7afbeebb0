//! `sidegate.yaml` as written. What it means is decided in `config.rs`.

use super::store::document::StoreDocument;
use crate::document::collections::{List, ListOrEmpty, OffOr};
use crate::document::decode::{Spanned, document, string_enum};
use crate::document::scalars::{HumanDuration, Size, Timeout};
use crate::policy::document::ErrorsDocument;

document! {
    /// The process: where it listens, where its policies are, what it bears.
    pub struct ConfigDocument {
        /// The version of this format: 1.
        version: Spanned<u32>,
        /// Where clients connect. Default: `0.0.0.0:8080`.
        listeners: Option<List<ListenerDocument>>,
        /// Address of the admin listener (metrics and health). Default: `127.0.0.1:9090`.
        admin: Option<AdminDocument>,
        /// The unix socket that tokens are revoked by on this machine, or `off`. Default: one in a
        /// private folder, by the admin address.
        control: Option<OffOr<Spanned<String>>>,
        /// A policy file, or a folder of them. Default: `./policies`.
        policies: Option<Spanned<String>>,
        /// Where state is kept that replicas share. Default: `memory`.
        store: Option<StoreDocument>,
        /// What a request may cost.
        limits: Option<LimitsDocument>,
        /// How the process ends.
        shutdown: Option<ShutdownDocument>,
        /// CIDRs whose `x-forwarded-*` are believed. Default: none.
        trusted_proxies: Option<ListOrEmpty<Spanned<String>>>,
        /// What is logged.
        log: Option<LogDocument>,
        /// The number of threads that serve requests. Default: 1.
        threads: Option<Spanned<u32>>,
        /// What holds where no policy says otherwise.
        defaults: Option<DefaultsDocument>,
    }

    /// Where clients connect.
    pub struct ListenerDocument {
        /// `host:port`, or `unix:/path`.
        address: Spanned<String>,
        /// Makes it a TLS listener.
        tls: Option<TlsDocument>,
        /// The most connections at a time. Default: `limits.connections`.
        connections: Option<Spanned<u32>>,
    }

    /// The certificates of a listener.
    pub struct TlsDocument {
        /// The certificate chain as PEM, for every name that no other certificate has.
        certificate: Spanned<String>,
        /// Its private key as PEM.
        key: Spanned<String>,
        /// Further certificates. Clients get the one with the name that they ask for (SNI).
        certificates: Option<List<KeyPairDocument>>,
        /// The CAs of client certificates as PEM. Asks every client for one.
        client_ca: Option<Spanned<String>>,
        /// Revoked client certificates as PEM.
        client_crl: Option<Spanned<String>>,
    }

    /// A certificate for the DNS names in it.
    pub struct KeyPairDocument {
        /// The certificate chain as PEM.
        certificate: Spanned<String>,
        /// Its private key as PEM.
        key: Spanned<String>,
    }

    /// Address of the admin listener (metrics and health).
    pub struct AdminDocument {
        /// `host:port`. Default: `127.0.0.1:9090`.
        address: Option<Spanned<String>>,
        /// Makes `/upstream/healthz` ask the service.
        probe: Option<ProbeDocument>,
        /// What `/readyz` waits for at the start. Default `once_had`.
        ready: Option<ReadyRule>,
    }

    /// The one request that the service gets from a probe. Only the status of the response is returned.
    pub struct ProbeDocument {
        /// The service on this machine: `http://127.0.0.1:PORT`, or `unix:/path`.
        upstream: Spanned<String>,
        /// The path that tells how it is.
        path: Spanned<String>,
        /// How long it may take to answer. Default 1s, at most 5s.
        timeout: Option<Spanned<Timeout>>,
    }

    /// What a request may cost.
    pub struct LimitsDocument {
        /// The longest head of a request. Default 32KiB.
        header_bytes: Option<Size>,
        /// The most header fields. Default 100, at most 256.
        headers: Option<Spanned<u32>>,
        /// The longest request target. Default 8KiB.
        uri_bytes: Option<Size>,
        /// The longest body. Default 10MiB.
        body_bytes: Option<Size>,
        /// How long the head of a request may take. Default 10s.
        header_timeout: Option<Timeout>,
        /// How long the body of a request may pause. Default 30s.
        body_timeout: Option<Timeout>,
        /// The most connections of a listener at a time. Default 4096.
        connections: Option<Spanned<u32>>,
        /// The most HTTP/2 streams of a connection at a time. Default 100.
        streams: Option<Spanned<u32>>,
        /// The most requests that are with services at a time. Default 4096.
        requests: Option<Spanned<u32>>,
        /// The most connections of one client address to a listener at a time. Not for `trusted_proxies`
        /// and unix sockets. Default: three quarters of the connections of the listener.
        client_connections: Option<Spanned<u32>>,
        /// The most requests of one client that are with services at a time, by address and by caller.
        /// Default: three quarters of `requests`.
        client_requests: Option<Spanned<u32>>,
        /// The fewest bytes a second of a body, once `body_timeout` is over, and of what a client is sent,
        /// once it was waited for as long as `idle_timeout`; 0 for any. Default 500.
        body_rate: Option<Size>,
        /// How long a connection may be idle between requests, and how long a client is waited for to
        /// read what it is sent. Default 60s.
        idle_timeout: Option<Timeout>,
    }

    /// How the process ends.
    pub struct ShutdownDocument {
        /// How long connections are still accepted after SIGTERM, while `/readyz` is 503. Default 0s.
        delay: Option<HumanDuration>,
        /// How long requests in flight may take after that. Default 20s.
        grace: Option<HumanDuration>,
    }

    /// What is logged.
    pub struct LogDocument {
        /// One JSON object a line, or text for people. Default `json`.
        format: Option<LogFormat>,
        /// The least important lines that are written. Default `info`.
        level: Option<LogLevel>,
        /// Whether each request is a line. Default true.
        access: Option<bool>,
    }

    /// What holds where no policy says otherwise.
    pub struct DefaultsDocument {
        /// How errors are written.
        errors: ErrorsDocument,
    }
}

string_enum! {
    /// What `/readyz` waits for at the start.
    pub enum ReadyRule {
        /// Each key set was fetched once, and so was the list of revocations where a policy rejects
        /// tokens without it.
        OnceHad = "once_had",
        /// Nothing but the first attempt to fetch each, successful or not.
        Always = "always",
    }

    /// The form of a log line.
    pub enum LogFormat {
        /// One JSON object.
        Json = "json",
        /// Text for people.
        Text = "text",
    }

    /// How important a log line is.
    pub enum LogLevel {
        /// Faults of Sidegate itself.
        Error = "error",
        /// What an operator should look at.
        Warn = "warn",
        /// What happens.
        Info = "info",
        /// Why it happens.
        Debug = "debug",
        /// Everything.
        Trace = "trace",
    }
}

impl LogLevel {
    /// The word that the logging library knows.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}
