//! `sidegate.yaml` as written. What it means is decided in `config.rs`.
//!
//! Comments of fields and words are the descriptions of the JSON Schema, and of the tables in `docs/configuration.md`.

use std::time::Duration;

use super::store::document::StoreDocument;
use super::threads::ThreadsDocument;
use crate::document::collections::{List, ListOrEmpty, OffOr};
use crate::document::decode::{Spanned, document, string_enum};
use crate::document::networks::Network;
use crate::document::patterns::periods;
use crate::document::scalars::{HumanDuration, Size, Timeout};
use crate::document::schema::Version;
use crate::policy::document::ErrorsDocument;

pub(crate) mod forms;

use forms::{AdminAddress, ListenAddress, LocalService, SocketPath, Target};

document! {
    /// The settings of the process: where it listens, where its policies are, and what a request may cost. Every field
    /// except `version` has a default. Relative paths start at the folder of this file.
    #[schemars(extend("allOf" = forms::config_rules()))]
    pub struct ConfigDocument {
        /// The version of the file format. The only version is 1.
        #[schemars(with = "Version")]
        version: Spanned<u32>,
        /// The addresses on which Sidegate accepts clients. Without it, `0.0.0.0:8080` in clear text.
        #[schemars(extend("examples" = [[{ "address": "0.0.0.0:8080" }]]))]
        listeners: Option<List<ListenerDocument>>,
        /// The listener for metrics and health.
        admin: Option<AdminDocument>,
        /// The path of the unix socket for `sidegate revoke` on this machine, or `off`; at most 16 connections. Without
        /// it, the socket is in a private folder and named after the admin address; if the default socket cannot be
        /// created, Sidegate logs a warning and runs without one.
        #[schemars(with = "Option<OffOr<SocketPath>>", extend("examples" = ["/run/sidegate/control.sock", "off"]))]
        control: Option<OffOr<Spanned<String>>>,
        /// A policy file, or a folder of policies: all its `*.yaml` and `*.yml`, except `*.test.yaml` and
        /// `sidegate.yaml`, without the folders below it.
        #[schemars(extend("default" = "./policies"))]
        policies: Option<Spanned<String>>,
        /// Where revocations, responses with an idempotency key and quotas are stored: `memory`, `{ memory: … }` or
        /// `{ redis: … }`. Replicas share a store only in Redis.
        #[schemars(extend("default" = "memory", "examples" = ["memory", { "redis": { "url": "redis://127.0.0.1:6379" } }]))]
        store: Option<StoreDocument>,
        /// What requests and connections may cost.
        #[schemars(extend("examples" = [{ "body_bytes": "1MiB" }]))]
        limits: Option<LimitsDocument>,
        /// How the process ends after SIGTERM.
        #[schemars(extend("examples" = [{ "delay": "5s", "grace": "20s" }]))]
        shutdown: Option<ShutdownDocument>,
        /// The addresses and networks (CIDR, RFC 4632) of proxies whose `x-forwarded-*` and `forwarded` headers
        /// Sidegate trusts. A peer on a unix socket has no address.
        #[schemars(with = "Option<ListOrEmpty<Network>>", extend("default" = [], "examples" = [["10.0.0.0/8"]]))]
        trusted_proxies: Option<ListOrEmpty<Spanned<String>>>,
        /// What Sidegate logs, to standard output.
        #[schemars(extend("examples" = [{ "format": "text", "level": "debug" }]))]
        log: Option<LogDocument>,
        /// The number of threads that serve requests, from 1 to 256, or `auto`.
        #[schemars(extend("default" = 1))]
        threads: Option<ThreadsDocument>,
        /// What applies where no policy matches.
        #[schemars(extend("examples" = [{ "errors": { "format": "problem" } }]))]
        defaults: Option<DefaultsDocument>,
    }

    /// One address on which Sidegate accepts clients. It speaks HTTP/1.1 and HTTP/2, also in clear text.
    #[schemars(extend("allOf" = forms::listener_rules()))]
    pub struct ListenerDocument {
        /// An IP address and a port (`localhost` is `127.0.0.1`), or `unix:/path`. Any local user can connect to the
        /// unix socket.
        #[schemars(with = "ListenAddress")]
        address: Spanned<String>,
        /// The certificates of the listener. Without it, the listener is in clear text.
        #[schemars(extend("examples" = [{ "certificate": "tls/server.crt", "key": "tls/server.key" }]))]
        tls: Option<TlsDocument>,
        /// The most connections at a time; replaces `limits.connections` for this listener.
        #[schemars(range(min = 1), extend("examples" = [1024]))]
        connections: Option<Spanned<u32>>,
        /// Whether each connection begins with a header of the PROXY protocol, version 1 or 2, that names the client: for
        /// load balancers that pass connections on. It needs an IP address and `trusted_proxies`; Sidegate closes
        /// connections from other peers, and those without the header.
        #[schemars(extend("default" = false))]
        proxy_protocol: Option<Spanned<bool>>,
    }

    /// The certificates of a listener. Sidegate reads the files again within 2 s of a change.
    #[schemars(extend("dependentRequired" = { "client_crl": ["client_ca"] }))]
    pub struct TlsDocument {
        /// A PEM file with the certificate chain for clients that name no server (SNI, RFC 6066, 3), or one that no
        /// other certificate has.
        #[schemars(extend("examples" = ["tls/server.crt"]))]
        certificate: Spanned<String>,
        /// A PEM file with the private key of `certificate`.
        #[schemars(extend("examples" = ["tls/server.key"]))]
        key: Spanned<String>,
        /// Further certificates. The client gets the one with the server name that it asks for (SNI).
        certificates: Option<List<KeyPairDocument>>,
        /// A PEM file with the CAs of client certificates. With it, the listener asks every client for a certificate;
        /// the route decides whether one is needed. Without it, clients are not asked.
        #[schemars(extend("examples" = ["tls/clients-ca.crt"]))]
        client_ca: Option<Spanned<String>>,
        /// A PEM file with revoked client certificates (CRL, RFC 5280, 5). Every CA then needs a CRL, or its
        /// certificates are rejected; expired CRLs are still used. Needs `client_ca`.
        #[schemars(extend("examples" = ["tls/clients.crl"]))]
        client_crl: Option<Spanned<String>>,
    }

    /// A certificate for the DNS names in it; `*` stands for one label. No name occurs twice in a listener.
    pub struct KeyPairDocument {
        /// A PEM file with the certificate chain.
        #[schemars(extend("examples" = ["tls/other.crt"]))]
        certificate: Spanned<String>,
        /// A PEM file with the private key of `certificate`.
        #[schemars(extend("examples" = ["tls/other.key"]))]
        key: Spanned<String>,
    }

    /// The listener for metrics and health: `/metrics`, `/livez`, `/readyz`. At most 128 connections, each for one
    /// request and 10 s.
    pub struct AdminDocument {
        /// The IP address and port of the listener.
        #[schemars(with = "Option<AdminAddress>", extend("default" = "127.0.0.1:9090"))]
        address: Option<Spanned<String>>,
        /// Enables `/upstream/healthz`, which sends one request to the service. Without it: 404.
        #[schemars(extend("examples" = [{ "upstream": "http://127.0.0.1:3000", "path": "/health" }]))]
        probe: Option<ProbeDocument>,
        /// What `/readyz` waits for at the start.
        #[schemars(extend("default" = "once_had"))]
        ready: Option<ReadyRule>,
    }

    /// The request that the service receives for each request to `/upstream/healthz`. Only the status of the response
    /// is returned.
    pub struct ProbeDocument {
        /// The service, on this machine only: `http://127.0.0.1:PORT`, or `unix:/path`.
        #[schemars(with = "LocalService")]
        upstream: Spanned<String>,
        /// The path of the GET request.
        #[schemars(with = "Target")]
        path: Spanned<String>,
        /// The longest time for a response, at most `5s`. Give the probe of the kubelet a longer timeout.
        #[schemars(extend(
            "default" = "1s",
            "pattern" = periods(Duration::from_millis(1)..=Duration::from_secs(5))
        ))]
        timeout: Option<Spanned<Timeout>>,
    }

    /// What requests and connections may cost. A request over a limit is rejected.
    pub struct LimitsDocument {
        /// The longest head of a request; longer ones get 431 (RFC 6585, 5).
        #[schemars(extend("default" = "32KiB"))]
        header_bytes: Option<Size>,
        /// The most header fields of a request, at most 256; more get 431.
        #[schemars(range(min = 1, max = 256), extend("default" = 100))]
        headers: Option<Spanned<u32>>,
        /// The longest request target; longer ones get 414 (RFC 9110, 15.5.15).
        #[schemars(extend("default" = "8KiB"))]
        uri_bytes: Option<Size>,
        /// The longest body of a request; longer ones get 413 (RFC 9110, 15.5.14).
        #[schemars(extend("default" = "10MiB"))]
        body_bytes: Option<Size>,
        /// The longest time for the head of a request; then 408 (RFC 9110, 15.5.9).
        #[schemars(extend("default" = "10s"))]
        header_timeout: Option<Timeout>,
        /// The longest pause in the body of a request; then 408. Not for gRPC over HTTP/2, which may pause between
        /// messages.
        #[schemars(extend("default" = "30s"))]
        body_timeout: Option<Timeout>,
        /// The most connections of a listener at a time. Further connections get 503 and are closed; TLS connections
        /// are only closed. Fewer if the limit on file descriptors is low; the log says so at the start.
        #[schemars(range(min = 1), extend("default" = 4096))]
        connections: Option<Spanned<u32>>,
        /// The most HTTP/2 streams of a connection at a time (RFC 9113, 5.1.2).
        #[schemars(range(min = 1), extend("default" = 100))]
        streams: Option<Spanned<u32>>,
        /// The most requests, WebSockets included, that upstreams are serving at a time. Further requests get 503.
        #[schemars(range(min = 1), extend("default" = 4096))]
        requests: Option<Spanned<u32>>,
        /// The most connections of one client address (IPv6: of its /64 network) to a listener at a time, at most
        /// `connections`. Peers in `trusted_proxies` and on unix sockets are not counted. Without it, three quarters of
        /// the connections of the listener.
        #[schemars(range(min = 1), extend("examples" = [256]))]
        client_connections: Option<Spanned<u32>>,
        /// The most requests of one client that upstreams are serving at a time, by its address and by its caller, at
        /// most `requests`. Further requests get 503. Without it, three quarters of `requests`.
        #[schemars(range(min = 1), extend("examples" = [256]))]
        client_requests: Option<Spanned<u32>>,
        /// The minimum rate in bytes per second: of uploads, after `body_timeout` and until the upstream responds, else
        /// 408 (not for gRPC over HTTP/2); and of downloads, after the client has paused for `idle_timeout` in all,
        /// else the connection is closed. `0` disables it.
        #[schemars(extend("default" = 500))]
        body_rate: Option<Size>,
        /// The longest time that a connection may be idle between requests, and that a client may read nothing; then
        /// the connection is closed. Over HTTP/2, it applies to each part of a body, of at most 64 KiB. Longer than that of
        /// a load balancer in front, which many keep connections open for 60 s.
        #[schemars(extend("default" = "75s"))]
        idle_timeout: Option<Timeout>,
    }

    /// How the process ends after SIGTERM. `/readyz` is 503 at once.
    pub struct ShutdownDocument {
        /// How long Sidegate still accepts connections, for load balancers that have not seen the 503 yet.
        #[schemars(extend("default" = "0s", "examples" = ["5s"]))]
        delay: Option<HumanDuration>,
        /// The longest time for requests in flight, after `delay`.
        #[schemars(extend("default" = "20s"))]
        grace: Option<HumanDuration>,
    }

    /// What Sidegate logs, to standard output.
    pub struct LogDocument {
        /// The format of a log line.
        #[schemars(extend("default" = "json"))]
        format: Option<LogFormat>,
        /// The least important lines that are written.
        #[schemars(extend("default" = "info"))]
        level: Option<LogLevel>,
        /// Whether each request writes a line, whatever the level.
        #[schemars(extend("default" = true))]
        access: Option<bool>,
    }

    /// What applies where no policy matches.
    pub struct DefaultsDocument {
        /// The format of error bodies. Without it: `flat`, with the code prefix `ERR_SIDEGATE`.
        #[schemars(extend("examples" = [{ "format": "problem", "code_prefix": "ERR_GATEWAY" }]))]
        errors: ErrorsDocument,
    }
}

string_enum! {
    /// What `/readyz` waits for at the start.
    pub enum ReadyRule {
        /// Until each key set was fetched once, and the list of revocations where a policy rejects tokens without it.
        OnceHad = "once_had",
        /// Until the first attempt to fetch each of them has ended, successful or not.
        Always = "always",
    }

    /// The format of a log line.
    pub enum LogFormat {
        /// One JSON object in a line.
        Json = "json",
        /// Text for people.
        Text = "text",
    }

    /// How important a log line is.
    pub enum LogLevel {
        /// Faults of Sidegate itself, and what needs an operator at once.
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
