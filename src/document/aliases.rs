//! Field names of other programs, and what Sidegate has in their place.

use super::suggestion::did_you_mean;

/// One thing by the names that other programs have for it.
struct Alias {
    /// Their names, in snake case.
    theirs: &'static [&'static str],
    /// The field here. The alias counts where a mapping may have this field.
    ours: &'static str,
    /// What to write, where that is more than another name.
    write: Option<&'static str>,
}

const fn renamed(theirs: &'static [&'static str], ours: &'static str) -> Alias {
    Alias {
        theirs,
        ours,
        write: None,
    }
}

const fn written(theirs: &'static [&'static str], ours: &'static str, write: &'static str) -> Alias {
    Alias {
        theirs,
        ours,
        write: Some(write),
    }
}

const KEY_SET: &[&str] = &[
    "jwks_uri",
    "jwks_url",
    "jwk_set_url",
    "jwks_endpoint",
    "jwks_file",
    "certs_url",
];
const AUDIENCE: &[&str] = &["aud", "audiences", "allowed_audiences"];
const ALGORITHMS: &[&str] = &["alg", "algs", "algorithm", "signing_algorithms", "allowed_algorithms"];
const ISSUER: &[&str] = &[
    "iss",
    "issuer_url",
    "issuer_uri",
    "oidc_issuer",
    "provider",
    "authority",
];
const SECRET: &[&str] = &[
    "secret_env",
    "secret_file",
    "secret_key",
    "shared_secret",
    "hmac_secret",
    "key",
    "value",
];
const UPSTREAM: &[&str] = &[
    "target",
    "backend",
    "backend_url",
    "target_url",
    "proxy_url",
    "url",
    "uri",
    "upstreams",
    "upstream_url",
    "destination",
    "proxy_pass",
    "service_url",
    "forward_to",
    "origin",
    "to",
    "server",
    "address",
    "host_port",
];
const TIMEOUT: &[&str] = &[
    "read_timeout",
    "request_timeout",
    "response_timeout",
    "proxy_timeout",
    "idle_timeout",
];
const LISTEN: &[&str] = &[
    "listen", "listener", "bind", "port", "address", "http", "https", "server", "addr",
];

/// Where a name has several meanings, the first row counts whose field the mapping may have.
#[rustfmt::skip]
const ALIASES: &[Alias] = &[
    // A policy.
    renamed(&["name", "service_name", "app", "id"], "service"),
    renamed(&["path_prefix", "base_path", "basepath", "context_path", "root", "base", "mount"], "prefix"),
    renamed(&["host", "hostname", "hostnames", "domain", "domains", "server_name", "vhost", "virtual_hosts"],
        "hosts"),
    written(UPSTREAM, "upstream", "write `upstream: { url: http://host:port }`"),
    renamed(&["rules", "endpoints", "locations", "paths_rules", "route", "matches", "resources"], "routes"),
    written(&[
        "jwks", "jwks_uri", "jwks_url", "issuer", "issuers", "oidc", "oauth", "oauth2", "token", "tokens",
        "bearer",
    ],
        "jwt", "write `jwt: { issuers: [{ issuer: …, audience: […], algorithms: […], keys: … }] }`"),
    written(&["api_key", "api_keys", "apikey", "internal_keys", "keys"],
        "internal_key", "write `internal_key: { keys: [{ name: …, secret: { env: NAME } }] }`"),
    renamed(&["client_certificates", "client_certs", "tls", "mutual_tls", "spiffe"], "mtls"),
    renamed(&["role_hierarchy", "roles_hierarchy", "role_inheritance"], "roles"),
    renamed(&["error_format", "error"], "errors"),
    written(&["timeout", "connect_timeout"],
        "upstream", "write it below `upstream`, as in `upstream: { url: …, timeout: 30s }`"),
    written(&["case_sensitive", "ignore_case", "case_insensitive"],
        "paths", "write `paths: { case_insensitive: true }`, or `paths: { case: exact }`"),
    renamed(&["rate_limit", "rate_limits", "ratelimit", "throttle", "quota"], "quotas"),
    renamed(&["idempotent", "idempotency_key"], "idempotency"),
    renamed(&["headers", "identity_headers", "inject_headers", "set_headers", "claims_to_headers"], "identity"),
    renamed(&["pass_through", "passthrough", "allow_headers", "forward_headers"], "pass"),
    written(&["shadow", "dry_run", "report_only"], "mode", "write `mode: shadow`"),
    written(&["allowed_origins", "allow_origins", "cors_origins", "cors_allowed_origins", "cross_origin"],
        "cors", "write `cors: { origins: ['https://app.example.com'] }`"),
    // `cors`.
    renamed(&["allowed_origins", "allow_origins", "allow_origin", "origin"], "origins"),
    renamed(&["allowed_headers", "allow_headers"], "headers"),
    renamed(&["exposed_headers", "expose_headers"], "expose"),
    renamed(&["allow_credentials", "allowed_credentials", "supports_credentials"], "credentials"),
    written(&["allowed_methods", "allow_methods", "methods"],
        "origins", "leave it out: the methods are those that routes take"),
    // An issuer.
    written(KEY_SET, "jwks", "write `jwks: { url: https://… }`, or `jwks: { file: PATH }`"),
    written(KEY_SET, "keys", "write `keys: { jwks: { url: https://… } }`"),
    written(&[
        "jwks", "oidc", "secret", "pem", "public_key", "secret_env", "key", "well_known", "discovery",
        "discovery_url",
    ],
        "keys", "write it below `keys`, as in `keys: { oidc: https://idp.example.com }`"),
    renamed(AUDIENCE, "audience"),
    renamed(ALGORITHMS, "algorithms"),
    renamed(ISSUER, "issuer"),
    renamed(&["clock_skew", "clock_tolerance", "skew", "clock_skew_seconds", "tolerance"], "leeway"),
    renamed(&["role_claim", "role_path", "roles_path", "groups_claim", "role_attribute_path"], "roles_claim"),
    renamed(&["scope_claim", "scope_path", "scopes_path"], "scopes_claim"),
    renamed(&["aud_claim", "audience_claims"], "audience_claim"),
    renamed(&["typ", "token_types", "token_type", "allowed_types"], "types"),
    renamed(&["claims", "require_claims", "mandatory_claims"], "required_claims"),
    // Keys.
    written(SECRET, "secret", "write `secret: { env: NAME }`, or `secret: { file: PATH }`"),
    written(&["public_key", "certificate", "cert", "rsa_public_key"], "pem", "write `pem: { file: PATH }`"),
    written(&["discovery", "discovery_url", "well_known", "issuer"],
        "oidc", "write `oidc: https://idp.example.com`, the issuer without `/.well-known/…`"),
    renamed(&["cache_ttl", "cache_duration", "refresh_interval", "refresh_every", "interval", "ttl"], "refresh"),
    renamed(&["uri", "endpoint", "href", "jwks_uri"], "url"),
    renamed(&["ca", "ca_cert", "ca_certificate", "cacert", "root_ca", "trust_bundle"], "ca_file"),
    written(&["insecure", "insecure_skip_verify", "skip_verify", "tls_verify", "verify", "verify_ssl"],
        "ca_file", "Sidegate always verifies servers: name their CA as `ca_file: PATH`"),
    renamed(&["token_file", "bearer_token", "authorization"], "bearer_token_file"),
    renamed(&["hash", "digest", "sha_256", "key_hash", "key_sha256"], "sha256"),
    renamed(&["expires_at", "expiry", "expiration", "not_after", "valid_until"], "expires"),
    renamed(&["variable", "from_env", "environment", "var"], "env"),
    // A route.
    renamed(&["paths", "uri", "url", "match", "pattern", "route", "location", "prefix", "path_prefix"], "path"),
    renamed(&["method", "allowed_methods", "http_methods", "verbs", "verb"], "methods"),
    renamed(&["authentication", "authn", "auth_type", "security", "access", "policy", "allow"], "auth"),
    written(&["public", "anonymous", "no_auth", "skip_auth"], "auth", "write `auth: public`"),
    renamed(&["role", "allowed_roles", "any_role", "groups", "group"], "roles"),
    written(&["required_roles", "all_roles", "roles_all", "every_role"],
        "roles", "write `roles: […]`: a token needs one of them; for more than one, use `scopes`"),
    renamed(&["and", "all_of", "every", "both"], "all"),
    renamed(&["or", "any_of", "one_of", "either"], "any"),
    renamed(&["scope", "required_scopes", "permissions"], "scopes"),
    written(&["conditions", "condition", "if", "claims", "required_claims", "claim_rules"],
        "when", "write `when: [{ claim: NAME, equals: VALUE }]`"),
    written(&["allowed_ips", "allow_ips", "ip_allow_list", "ip_whitelist", "source_ranges", "remote_ips"],
        "when", "write `when: [{ client: { in: [10.0.0.0/8] } }]`"),
    written(&["networks", "address", "ip"], "client", "write `client: { in: [10.0.0.0/8] }`"),
    renamed(&["eq", "equal", "value", "is"], "equals"),
    renamed(&["values", "one_of", "any_of"], "in"),
    renamed(&["contains", "includes"], "has"),
    renamed(&["max_age", "newer_than"], "within"),
    renamed(&["content_type", "consumes", "media_types", "accept"], "content_types"),
    renamed(&["cert", "certs", "crt", "cert_file", "certificate_file", "tls_cert", "cert_path", "chain"],
        "client_certificate"),
    // sidegate.yaml
    written(LISTEN, "listeners", "write `listeners: [{ address: '127.0.0.1:8080' }]`"),
    renamed(LISTEN, "address"),
    renamed(&["cert", "certs", "crt", "cert_file", "certificate_file", "tls_cert", "cert_path", "chain"],
        "certificate"),
    renamed(&["key_file", "private_key", "tls_key", "key_path", "keyfile"], "key"),
    renamed(&["ca", "ca_cert", "ca_file", "client_cas", "client_ca_file", "client_auth", "trusted_ca"], "client_ca"),
    renamed(&["crl", "crl_file", "crls"], "client_crl"),
    written(&["metrics", "health", "status", "management", "admin_port", "admin_address"],
        "admin", "write `admin: { address: 127.0.0.1:9090 }`"),
    written(&["redis", "redis_url", "cache", "state", "database"],
        "store", "write `store: { redis: { url: redis://host:6379 } }`"),
    renamed(&["policy", "policy_dir", "policies_path", "policies_dir", "policy_path", "config"], "policies"),
    renamed(&["workers", "worker_threads", "worker_processes", "concurrency", "cpus"], "threads"),
    renamed(&["trusted_ips", "trusted_networks", "real_ip_from", "proxies", "trust_proxy", "trusted_proxy"],
        "trusted_proxies"),
    written(&["log_level", "loglevel", "level", "verbose", "debug"], "log", "write `log: { level: debug }`"),
    written(&["log_format", "logging", "logs", "access_log"],
        "log", "write `log: { format: json, level: info, access: true }`"),
    written(&["file", "path", "output", "destination", "filename", "dir"],
        "format", "leave it out: Sidegate logs to standard output; redirect that to a file"),
    renamed(&["access_log", "requests"], "access"),
    renamed(&["severity", "verbosity", "log_level"], "level"),
    renamed(&["max_body_size", "client_max_body_size", "body_size", "max_body", "body_limit", "max_body_bytes"],
        "body_bytes"),
    renamed(&["max_header_size", "header_size", "max_header_bytes"], "header_bytes"),
    renamed(&["max_headers", "header_count"], "headers"),
    renamed(&["max_uri_length", "uri_length", "url_bytes", "max_url_length"], "uri_bytes"),
    renamed(&["keepalive_timeout", "keep_alive", "keepalive", "keep_alive_timeout"], "idle_timeout"),
    renamed(TIMEOUT, "timeout"),
    written(&["timeout"], "idle_timeout",
        "write `idle_timeout`; the time for a response is `timeout` in `upstream` or `routes[]`"),
    renamed(&["connection_timeout", "dial_timeout"], "connect_timeout"),
    written(&["preserve_host", "pass_host_header", "change_origin", "host_header", "host_rewrite", "rewrite_host"],
        "host", "write `host: upstream`, or the host name that the service expects"),
    renamed(&["max_connections", "max_conns", "connection_limit"], "connections"),
    renamed(&["max_requests", "concurrency", "max_concurrent_requests", "in_flight"], "requests"),
    renamed(&["drain", "drain_timeout", "graceful_timeout", "grace_period", "terminate_timeout"], "grace"),
    // Tests of policies.
    renamed(&["spoilt", "spoiled", "spoil", "broken", "tampered", "tamper", "forged"], "corrupt"),
    renamed(&["claims", "jwt", "bearer"], "token"),
    renamed(&["extends", "inherits", "inherit", "as", "based_on", "base", "from"], "like"),
    renamed(&["expected", "expects", "want", "wanted", "then", "outcomes", "assert", "assertions"], "expect"),
    renamed(&["title", "description", "test", "case"], "name"),
    renamed(&["callers", "who", "principal", "user", "as", "actor"], "caller"),
    renamed(&["principals", "users", "who", "actors", "subjects"], "callers"),
    renamed(&["now", "time", "when", "date"], "at"),
    renamed(&["policy", "policy_files", "policies_path"], "policies"),
    renamed(&["cases", "test", "scenarios"], "tests"),
    written(&[
        "rewrite", "strip_prefix", "login", "session", "cookie", "include",
        "extends",
    ],
        "routes", NOT_HERE),
];

const NOT_HERE: &str = "leave it out: Sidegate does not do this";

/// Finds what a field of another program is in a mapping that may have some fields: the field that it is
/// here, and what to write.
pub(super) fn meant(name: &str, known: &[&'static str]) -> Option<(&'static str, String)> {
    let name = snake_case(name);
    let fits = |alias: &&Alias| known.contains(&alias.ours) && alias.theirs.contains(&name.as_str());
    let alias = ALIASES.iter().find(fits)?;
    let help = alias.write.map_or_else(|| did_you_mean(alias.ours), ToOwned::to_owned);
    Some((alias.ours, help))
}

/// `jwksUri` and `jwks-uri` as `jwks_uri`.
pub(super) fn snake_case(name: &str) -> String {
    let mut snake = String::with_capacity(name.len());
    for c in name.chars() {
        if c.is_ascii_uppercase() && !snake.is_empty() && !snake.ends_with('_') {
            snake.push('_');
        }
        snake.push(if c == '-' { '_' } else { c.to_ascii_lowercase() });
    }
    snake
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn field_of_another_program_leads_to_ours() {
        const ISSUER: &[&str] = &["issuer", "audience", "algorithms", "keys", "leeway", "roles_claim"];
        const ROUTE: &[&str] = &["path", "methods", "auth", "roles", "scopes"];
        for (name, known, want) in [
            (
                "jwks_uri",
                ISSUER,
                Some(("keys", "write `keys: { jwks: { url: https://… } }`")),
            ),
            (
                "jwksUri",
                ISSUER,
                Some(("keys", "write `keys: { jwks: { url: https://… } }`")),
            ),
            ("audiences", ISSUER, Some(("audience", "did you mean `audience`?"))),
            ("alg", ISSUER, Some(("algorithms", "did you mean `algorithms`?"))),
            (
                "role-claim",
                ISSUER,
                Some(("roles_claim", "did you mean `roles_claim`?")),
            ),
            ("method", ROUTE, Some(("methods", "did you mean `methods`?"))),
            (
                "listen",
                &["listeners", "admin"],
                Some(("listeners", "write `listeners: [{ address: '127.0.0.1:8080' }]`")),
            ),
            (
                "listen",
                &["address", "tls"],
                Some(("address", "did you mean `address`?")),
            ),
            (
                "conditions",
                &["path", "auth", "when"],
                Some(("when", "write `when: [{ claim: NAME, equals: VALUE }]`")),
            ),
            ("colour", ROUTE, None),
        ] {
            let found = meant(name, known);
            assert_eq!(found, want.map(|(ours, help)| (ours, help.to_owned())), "{name}");
        }
    }
}
