//! A policy file as written. What it means is decided in `compile.rs`.
//!
//! Comments of fields and words are the descriptions of the JSON Schema, and of the tables in `docs/policy.md`.

use crate::document::collections::{List, Map, OffOr};
use crate::document::decode::{Spanned, document};
use crate::document::scalars::{Size, Timeout};
use crate::document::schema::Version;
use crate::document::secret::{EnvString, EnvText};

mod auth_help;
mod callers;
mod conditions;
mod cors;
mod forms;
mod grants;
mod identity;
mod issuer_names;
mod resource;
mod rules;
mod shared_state;
mod sources;
mod tokens;
pub mod values;
mod web_forms;
mod words;

pub use callers::{CertificateNameDocument, InternalKeyDocument, KeyDocument, MtlsDocument, TenantDocument};
pub use conditions::{
    ClaimConditionDocument, ClientConditionDocument, ConditionDocument, MAX_CONDITIONS, OperandDocument,
};
pub use cors::{CorsDocument, LONGEST_MAX_AGE, MAX_NAMES, MAX_ORIGINS};
pub use grants::{GrantsDocument, LinkHeader};
pub use identity::{IdentityHeaderDocument, IdentityOptionsDocument};
pub use issuer_names::{IssuerNamesDocument, PlaceholderDocument};
pub use resource::{MAX_SCOPES, MAX_SERVERS, ResourceDocument};
pub use shared_state::{IdempotencyDocument, QuotaDocument, RevocationDocument};
pub use sources::{TokenPlaceDocument, TokenSourceDocument};
pub use tokens::{FileDocument, IssuerDocument, JwksDocument, JwtDocument, KeysDocument};
pub use values::{AudienceDocument, AuthDocument, ClaimPath, ContentTypesDocument, OidcDocument};
pub use words::{AllowedAmbiguity, BindingMode, CaseReading, CredentialsMode, EncodedSlashReading};
pub use words::{ErrorFormat, Fallback, HeaderEncoding, LogMode, Mode, QuotaScope, TenantFormat};

use forms::default_identity;
use forms::{
    CodePrefix, HeaderField, HostName, Method, Prefix, RoutePath, ServiceName, SpiffeId, TypeBase, UpstreamUrl,
    VirtualHost,
};
pub use rules::NOT_BESIDE_DENY;
use rules::{policy_rules, route_dependencies, route_rules, upstream_dependencies};

document! {
    /// A policy: one service, which requests may reach it, and how Sidegate rejects the others. One file, one service;
    /// at most 2 MiB, 50 000 values and 5000 routes.
    #[schemars(extend("allOf" = policy_rules()))]
    pub struct PolicyDocument {
        /// The version of the file format. The only version is 1.
        #[schemars(with = "Version")]
        version: Spanned<u32>,
        /// The name of the service in metrics, in the log and in `WWW-Authenticate`: letters, digits, `-`, `_` and `.`.
        #[schemars(with = "ServiceName")]
        service: Spanned<String>,
        /// The path in front of the paths of all routes. Without it, the policy applies to all paths. Characters stand
        /// as they are, without percent-encoding; no wildcards.
        #[schemars(with = "Option<Prefix>")]
        prefix: Option<Spanned<String>>,
        /// The hosts that the policy applies to, in any case, without scheme and port: `api.example.com`, or
        /// `*.example.com` for all hosts below it at any depth, but not for `example.com`. Without it, the policy
        /// applies to all hosts. Two policies with the same prefix and host are an error.
        #[schemars(with = "Option<List<HostName>>", extend("examples" = [["api.example.com"]]))]
        hosts: Option<List<Spanned<String>>>,
        /// Where the service is.
        #[schemars(extend("examples" = [{ "url": "http://127.0.0.1:3000" }]))]
        upstream: UpstreamDocument,
        /// How long streams may be silent: WebSockets, `text/event-stream` and gRPC.
        #[schemars(extend("examples" = [{ "idle_timeout": "10m" }]))]
        streams: Option<StreamsDocument>,
        /// The format of error bodies. Without it: `flat`, with `ERR_` and the name of the service in capitals.
        #[schemars(extend("examples" = [{ "format": "problem" }]))]
        errors: Option<ErrorsDocument>,
        /// The pages of other origins that may call the service and read its responses (CORS). Without it, Sidegate
        /// forwards preflights and the `Access-Control-*` headers of the service, and pages cannot read rejections.
        #[schemars(extend("examples" = [{ "origins": ["https://app.example.com"], "headers": ["authorization"] }]))]
        cors: Option<CorsDocument>,
        /// The issuers of the tokens that the service accepts, for `auth: jwt`.
        jwt: Option<JwtDocument>,
        /// The service as an OAuth 2.0 protected resource (RFC 9728), for clients that find their authorization server by
        /// themselves, such as MCP clients. Without it, challenges name none.
        #[schemars(extend("examples" = [{
            "url": "https://tools.example.com/mcp",
            "authorization_servers": ["https://login.example.com"],
            "scopes": ["tools.read", "tools.write"]
        }]))]
        resource: Option<ResourceDocument>,
        /// The rule that a token belongs to the tenant that the request names. Without it, tenants are not verified.
        #[schemars(extend("examples" = [{ "claims": ["tenantId"] }]))]
        tenant: Option<TenantDocument>,
        /// The internal keys that the service accepts, for `auth: internal_key`.
        internal_key: Option<InternalKeyDocument>,
        /// The client certificates that the service accepts, for `auth: mtls`.
        mtls: Option<MtlsDocument>,
        /// The roles that a role includes, directly or through another role: with `admin: [editor]`, an admin may do
        /// what an editor may. At most 256 roles.
        #[schemars(extend("examples" = [{ "admin": ["editor"], "editor": ["reader"] }]))]
        roles: Option<Map<List<Spanned<String>>>>,
        /// The media types that a POST, PUT or PATCH may have, without parameters and wildcards; or `any`. A request
        /// with another type is rejected with 415, also if its body is empty.
        #[schemars(extend("default" = "any", "examples" = [["application/json"]]))]
        content_types: Option<ContentTypesDocument>,
        /// How paths are read, for services that read them in another way than most.
        #[schemars(extend("examples" = [{ "case_insensitive": true }]))]
        paths: Option<PathsDocument>,
        /// Whether rejections are enforced or only counted.
        #[schemars(extend("default" = "enforce"))]
        mode: Option<Mode>,
        /// Whether the credentials themselves reach the service. Without it, `Authorization` does and the internal key
        /// does not; with `resource`, or where `jwt.sources` does not list `authorization`, neither does. `check` warns of
        /// `forward` in these two cases.
        credentials: Option<Spanned<CredentialsMode>>,
        /// The headers in which the service receives the verified identity, each with its source. `identity` replaces
        /// the whole default. A header with a value that cannot stand in it is left out, unless it names the caller
        /// (`sub`, `@tenant`, `@client_id`): then the request is rejected, 401 `token_claim_invalid`. A client's own headers of these names, and of the default names, never reach the service.
        #[schemars(
            with = "Option<Map<IdentityHeaderDocument>>",
            extend(
                "propertyNames" = { "title": "header", "description": "The name of a header.", "pattern": forms::header_field() },
                "default" = default_identity(),
                "examples" = [
                    { "x-account": "sub", "x-org": ["organization", "id"], "x-tenant": "@tenant" },
                    { "x-user-name": { "from": "name", "encoding": "percent" } }
                ]
            )
        )]
        identity: Option<Map<IdentityHeaderDocument>>,
        /// Identity headers of other products (such as `x-userinfo`) that reach the service as the client sent them.
        /// Without it, Sidegate removes them. An error for headers that Sidegate does not remove, for the tenant
        /// header, and for headers that a policy with the same `upstream.url` reads or sets.
        #[schemars(with = "Option<List<HeaderField>>", extend("examples" = [["x-userinfo"]]))]
        pass: Option<List<Spanned<String>>>,
        /// Rejects revoked tokens. Without it, a token is valid until it expires.
        #[schemars(extend("examples" = [{}]))]
        revocation: Option<Spanned<RevocationDocument>>,
        /// Requests with an `Idempotency-Key` reach the service once, and a repetition gets the stored response. It
        /// applies to routes that authenticate the caller. Without it, the key has no effect.
        #[schemars(extend("examples" = [{ "methods": ["POST"], "ttl": "24h" }]))]
        idempotency: Option<IdempotencyDocument>,
        /// Limits on the number of requests, at most 8. They apply to routes that authenticate the caller, and those
        /// `per: address` to all routes.
        #[schemars(extend(
            "maxItems" = 8,
            "examples" = [[{ "name": "calls", "per": "tenant", "limit": 1000, "window": "1h" }]]
        ))]
        quotas: Option<List<Spanned<QuotaDocument>>>,
        /// Whether quotas ignore requests with the header `x-sandbox: true`, on routes that authenticate the caller. An
        /// error if none of these routes has a quota.
        #[schemars(extend("default" = false))]
        sandbox: Option<Spanned<bool>>,
        /// The routes. The most specific route that matches path and method decides, whatever the order in the file. A
        /// request without a route is rejected: 404 `route_not_found`.
        #[schemars(extend("maxItems" = 5000))]
        routes: List<Spanned<RouteDocument>>,
    }

    /// Where a service is, and how Sidegate connects to it.
    #[schemars(extend("dependentSchemas" = upstream_dependencies()))]
    pub struct UpstreamDocument {
        /// `http://`, `https://` or `h2c://` (HTTP/2 in clear text) with host and port, or `unix:/path`; a text, or
        /// `{ env: NAME, default: … }`. No path, query or user.
        #[schemars(with = "EnvText<UpstreamUrl>")]
        url: Spanned<EnvString>,
        /// The longest time for opening a connection.
        #[schemars(extend("default" = "1s"))]
        connect_timeout: Option<Timeout>,
        /// The longest time without any byte from the upstream, and the longest time that it reads nothing. A route may
        /// have its own, and streams may be silent for `streams.idle_timeout`.
        #[schemars(extend("default" = "30s"))]
        timeout: Option<Timeout>,
        /// The longest time that a connection to the service may be unused; then it is closed. Must be shorter than that
        /// of the service (Node and uvicorn: 5 s): a POST on a connection that the service closes at that moment is lost.
        #[schemars(extend("default" = "4s"))]
        idle_timeout: Option<Timeout>,
        /// The `Host` that the service receives: `client` for that of the client, `upstream` for the host and port of
        /// `url`, or a host name with an optional port. `x-forwarded-host` stays that of the client, and TLS goes by `url`.
        /// `upstream` is an error if `url` has an IP address or a unix socket.
        #[schemars(with = "Option<VirtualHost>", extend("default" = "client"))]
        host: Option<Spanned<String>>,
        /// Whether the service receives paths without the `prefix` of the policy, which `x-forwarded-prefix` then names.
        /// `Location` and cookie paths of its responses are not rewritten. Needs `prefix`.
        #[schemars(extend("default" = false))]
        strip_prefix: Option<Spanned<bool>>,
        /// A PEM file with the CAs of an `https` upstream. Without it, Sidegate trusts the CAs of the system.
        #[schemars(extend("examples" = ["/etc/sidegate/upstream-ca.pem"]))]
        ca_file: Option<Spanned<String>>,
        /// A PEM file with the client certificate chain that Sidegate presents to an `https` upstream (mTLS). Needs
        /// `client_key`.
        #[schemars(extend("examples" = ["/etc/sidegate/client.crt"]))]
        client_certificate: Option<Spanned<String>>,
        /// A PEM file with the private key of `client_certificate`.
        #[schemars(extend("examples" = ["/etc/sidegate/client.key"]))]
        client_key: Option<Spanned<String>>,
        /// The SPIFFE ID of an `https` upstream. Its certificate must contain exactly this ID as its only URI; the host
        /// name is then not checked (SPIFFE X.509-SVID, 2). Needs `ca_file`.
        #[schemars(with = "Option<SpiffeId>")]
        spiffe_id: Option<Spanned<String>>,
    }

    /// How long streams may be silent.
    pub struct StreamsDocument {
        /// The longest time without any byte from either side; replaces the `timeout` of upstream and route. It applies
        /// to WebSockets, and to responses with the content type `text/event-stream` or `application/grpc` (also
        /// `application/grpc+…`), each once the head of the response has arrived.
        #[schemars(extend("default" = "1h"))]
        idle_timeout: Option<Timeout>,
    }

    /// The format of error bodies.
    #[schemars(extend("dependentSchemas" = {
        "type_base": { "required": ["format"], "properties": { "format": { "const": "problem" } } }
    }))]
    pub struct ErrorsDocument {
        /// The format of the body.
        #[schemars(extend("default" = "flat"))]
        format: Option<ErrorFormat>,
        /// The start of the error code, as in `ERR_ORDERS_FORBIDDEN`: letters, digits and `_`. Without it, `ERR_` and
        /// the name of the service in capitals.
        #[schemars(with = "Option<CodePrefix>")]
        code_prefix: Option<Spanned<String>>,
        /// Whether a 403 `scope_missing` names the scopes of the route in `WWW-Authenticate` (RFC 6750, 3.1). Without
        /// it: `false` for `envelope`, else `true`. With `resource`, it always does.
        scope_challenge: Option<bool>,
        /// Whether rejections have the header `x-sidegate-reason`, which names the reason code.
        #[schemars(extend("default" = true))]
        reason_header: Option<bool>,
        /// The start of `type` for the format `problem` (RFC 9457, 3.1.1), which ends in the reason code: with
        /// `https://docs.example.com/rejections#` the `type` of an expired token is
        /// `https://docs.example.com/rejections#token_expired`. Without it, `type` is `about:blank`.
        #[schemars(with = "Option<TypeBase>")]
        type_base: Option<Spanned<String>>,
    }

    /// How paths are read.
    #[schemars(extend("not" = { "anyOf": [
        { "required": ["case_insensitive", "case"], "properties": { "case_insensitive": { "const": true } } },
        { "required": ["encoded_slash", "allow"], "properties": { "allow": { "contains": { "const": "encoded_slash" } } } },
    ] }))]
    pub struct PathsDocument {
        /// Whether routes match in any case, for services whose router ignores case (Express, NestJS). Prefix and
        /// routes then have ASCII letters only, and public routes still match only as they are written.
        #[schemars(extend("default" = false))]
        case_insensitive: Option<bool>,
        /// `exact` for services that distinguish `Jobs` from `jobs`. Without it, a path that selects another route in
        /// another case is rejected: 400 `path_ambiguous`. An error beside `case_insensitive: true`.
        case: Option<Spanned<CaseReading>>,
        /// Ambiguities to let through, one by one. The path must then select the same route in every interpretation,
        /// and never a route with `public` or `internal_key`. Without it, such paths are rejected: 400
        /// `path_ambiguous`.
        #[schemars(extend("examples" = [["double_slash"]]))]
        allow: Option<List<AllowedAmbiguity>>,
        /// `opaque` for services that do not decode `%2F` (GitLab, RabbitMQ): it is a part of a segment then. It never
        /// leads to a route with `public` or `internal_key`, and is rejected at either end of a segment and twice in a
        /// row. An error beside `allow: [encoded_slash]`.
        encoded_slash: Option<Spanned<EncodedSlashReading>>,
    }

    /// One route: the requests that it matches, and what they need.
    #[schemars(extend("dependentSchemas" = route_dependencies(), "allOf" = route_rules()))]
    pub struct RouteDocument {
        /// The path below `prefix`. `/x` matches this path, with or without a slash at its end; `/x/*` matches `/x` and
        /// all paths below it; `"/x/{name}"` (in quotes) matches any one segment, and `"/x/{name}:run"` one that ends in
        /// these characters. At most 64 segments, each name once. Not a regular expression, without query and
        /// percent-encoding.
        #[schemars(with = "RoutePath")]
        path: Spanned<String>,
        /// The methods of the route, in capitals; GET includes HEAD. Without it, all methods except TRACE. If a route
        /// does not list the method, matching continues with the next route. CONNECT is an error.
        #[schemars(with = "Option<List<Method>>", extend("uniqueItems" = true, "examples" = [["GET"], ["POST", "PUT"]]))]
        methods: Option<List<Spanned<String>>>,
        /// How callers authenticate: one method, `{ any: […] }` or `{ all: […] }`. Each method needs its block in the
        /// policy. `deny` rejects every request, also in shadow mode; only `path` and `methods` say more then.
        #[schemars(extend("examples" = ["jwt", "deny", { "any": ["jwt", "internal_key"] }, { "all": ["mtls", "jwt"] }]))]
        auth: Spanned<AuthDocument>,
        /// Roles, one of which the token must have, or one that includes it. An error if the route can be reached
        /// without a token, or if a role looks like a misspelling of one under `roles`.
        #[schemars(extend("examples" = [["admin"]]))]
        roles: Option<Spanned<List<Spanned<String>>>>,
        /// Scopes, all of which the token must have (RFC 8693, 4.2). An error if the route can be reached without a
        /// token.
        #[schemars(extend("examples" = [["orders:write"]]))]
        scopes: Option<Spanned<List<Spanned<String>>>>,
        /// Conditions, all of which must hold: 403 `condition_failed`. They compare claims of the token, headers and the
        /// address of the client. At most 32.
        #[schemars(extend(
            "maxItems" = 32,
            "examples" = [[{ "claim": "sub", "equals": "{userId}" }], [{ "client": { "in": ["10.0.0.0/8"] } }]]
        ))]
        when: Option<List<Spanned<ConditionDocument>>>,
        /// The media types that a POST, PUT or PATCH may have, or `any`; replaces those of the policy.
        #[schemars(extend("examples" = [["application/json"], "any"]))]
        content_types: Option<ContentTypesDocument>,
        /// Whether rejections are enforced or only counted; replaces `mode` of the policy.
        mode: Option<Mode>,
        /// Headers that reach the service as the client sent them; replaces `pass` of the policy. Identity headers of
        /// other products, and the tenant header (`[x-tenant-id]`) on routes that do not verify a tenant, such as a
        /// login.
        #[schemars(with = "Option<List<HeaderField>>", extend("examples" = [["x-tenant-id"]]))]
        pass: Option<List<Spanned<String>>>,
        /// Replaces `idempotency` of the policy; `off` disables it. An error on public routes.
        #[schemars(extend("examples" = ["off", { "required": true }]))]
        idempotency: Option<Spanned<OffOr<IdempotencyDocument>>>,
        /// Replaces `quotas` of the policy; `off` disables them. On public routes, only quotas `per: address`.
        #[schemars(extend(
            "maxItems" = 8,
            "examples" = ["off", [{ "name": "logins", "per": "address", "limit": 20, "window": "5m" }]]
        ))]
        quotas: Option<Spanned<OffOr<List<Spanned<QuotaDocument>>>>>,
        /// Whether quotas ignore requests with the header `x-sandbox: true`; replaces `sandbox` of the policy, also on
        /// public routes. An error on a route without quotas.
        sandbox: Option<Spanned<bool>>,
        /// Whether the access log has a line for each request of the route, as for probes.
        #[schemars(extend("default" = "on", "examples" = ["off"]))]
        log: Option<LogMode>,
        /// The longest time without any byte from the upstream, and the longest time that it reads nothing; replaces
        /// `upstream.timeout`, longer or shorter.
        #[schemars(extend("examples" = ["5m"]))]
        timeout: Option<Timeout>,
        /// The longest body of a request; longer ones get 413 (RFC 9110, 15.5.14). Replaces `limits.body_bytes` of
        /// `sidegate.yaml`, larger or smaller, also for streams of gRPC.
        #[schemars(extend("examples" = ["1GiB"]))]
        body_bytes: Option<Size>,
    }
}
