//! The forms of texts in `sidegate.yaml`, for its JSON Schema. What a text means is decided in `config.rs`.

use serde_json::{Value, json};

use crate::document::networks::{OCTET, ipv4};
use crate::document::patterns::{UNIX_SOCKET, numbers, text};
use crate::document::schema::text_forms;

/// A host in the URL of a Redis.
const HOST: &str = r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_~-]+(\.[A-Za-z0-9_~-]+)*\.?)";

fn port(least: u64) -> String {
    numbers(least..=u64::from(u16::MAX))
}

/// An IP address and a port, with `localhost` for `127.0.0.1`.
fn socket_address() -> String {
    format!(r"(localhost|{}|\[[0-9A-Fa-f:.]+(%[0-9]+)?\]):{}", ipv4(), port(0))
}

/// The URL of a Redis. A password in it comes from a variable, so none is in a text.
fn redis_url() -> String {
    let host = format!("{HOST}(:{})?", port(1));
    let hosts = format!("{host}(,{host})*");
    let database = format!("(/({})?)?", port(0));
    format!(
        r"^(rediss?://(:?@)?{host}{database}|rediss?\+cluster://(:?@)?{hosts}(/0?)?|rediss?\+sentinel://(:?@)?{hosts}/[A-Za-z0-9._-]+{database}|((redis\+)?unix://|unix:)/[^?#]*)$"
    )
}

text_forms! {
    /// An address to listen on.
    ListenAddress {
        pattern: format!("^({}|{UNIX_SOCKET})$", socket_address()),
        expected: "an IP address and a port such as 0.0.0.0:8080 or \"[::]:8080\", or unix:/path",
        examples: ["0.0.0.0:8080", "[::]:8080", "unix:/run/sidegate/http.sock"],
    }

    /// An IP address and a port.
    AdminAddress {
        pattern: format!("^{}$", socket_address()),
        expected: "an IP address and a port such as 127.0.0.1:9090",
        examples: ["127.0.0.1:9090"],
    }

    /// A service on this machine.
    LocalService {
        pattern: format!(
            r"^(http://(localhost|127(\.{OCTET}){{3}}|\[::1\]):{}/?|{UNIX_SOCKET})$",
            port(1)
        ),
        expected: "a service on this machine: http://127.0.0.1:PORT or unix:/path",
        examples: ["http://127.0.0.1:3000", "unix:/run/orders.sock"],
    }

    /// The target of a request: a path, and perhaps a query.
    Target {
        pattern: r#"^/[!"$-;=?-_a-~]*$"#,
        expected: "a path such as /health",
        examples: ["/health"],
    }

    /// The path of a socket.
    SocketPath {
        pattern: text().replacen('^', "^(?!unix:|[oO][fF][fF]$)", 1),
        expected: "the path of a unix socket without `unix:`, or \"off\"",
        examples: ["/run/sidegate/control.sock"],
    }

    /// The URL of a Redis, without a password.
    RedisAddress {
        pattern: redis_url(),
        expected: "the URL of a Redis such as redis://host:6379 or rediss://host:6379, without a password",
        examples: [
            "redis://127.0.0.1:6379",
            "rediss://redis.internal:6380/1",
            "unix:/run/redis/redis.sock",
            "redis+cluster://a:6379,b:6379",
            "redis+sentinel://a:26379,b:26379/main",
        ],
    }

    /// The beginning of the names of keys in a Redis.
    KeyPrefix {
        pattern: "^[A-Za-z0-9._:-]{1,100}$",
        expected: "at most 100 letters, digits, `-`, `_`, `.` and `:`",
        examples: ["sidegate"],
    }
}

/// The fields of a Redis that need others: files for TLS need a URL with TLS, a certificate its key.
pub(crate) fn redis_dependencies() -> Value {
    let tls = json!({ "properties": { "url": { "pattern": "^rediss" } } });
    let with = |other: &str| json!({ "required": [other], "allOf": [tls] });
    json!({ "ca_file": tls, "client_certificate": with("client_key"), "client_key": with("client_certificate") })
}

/// A listener that expects a PROXY header.
fn proxied() -> Value {
    json!({ "required": ["proxy_protocol"], "properties": { "proxy_protocol": { "const": true } } })
}

/// The header is accepted from trusted addresses only.
pub(crate) fn config_rules() -> Value {
    json!([{
        "if": { "required": ["listeners"], "properties": { "listeners": { "contains": proxied() } } },
        "then": { "required": ["trusted_proxies"], "properties": { "trusted_proxies": { "minItems": 1 } } },
    }])
}

/// A peer on a unix socket has no address.
pub(crate) fn listener_rules() -> Value {
    json!([{ "if": proxied(), "then": { "properties": { "address": { "not": { "pattern": "^unix:" } } } } }])
}
