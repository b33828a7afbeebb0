//! A policy file as written. What it means is decided in `compile.rs`.

use crate::document::collections::{List, ListOrEmpty, Map, OffOr};
use crate::document::decode::{Spanned, document, string_enum};
use crate::document::scalars::{HumanDuration, Size, Timeout};

use crate::document::secret::{EnvString, SecretDocument};

mod auth_help;
pub mod values;

pub use values::{AudienceDocument, AuthDocument, ClaimPath, ContentTypesDocument, OidcDocument};

document! {
    /// One service: how it is reached, who may call it, and how it rejects.
    pub struct PolicyDocument {
        /// The version of this format: 1.
        version: Spanned<u32>,
        /// The name of the service, in metrics, logs and `WWW-Authenticate`.
        service: Spanned<String>,
        /// The path that all routes are below.
        prefix: Option<Spanned<String>>,
        /// The hosts that the policy is for, as in `api.example.com` or `*.example.com`. Absent: all.
        hosts: Option<List<Spanned<String>>>,
        /// Where the service is.
        upstream: UpstreamDocument,
        /// How the service writes its errors.
        errors: Option<ErrorsDocument>,
        /// Who issues the tokens that the service takes.
        jwt: Option<JwtDocument>,
        /// The rule that a token belongs to the tenant that the request names.
        tenant: Option<TenantDocument>,
        /// The internal keys that the service takes.
        internal_key: Option<InternalKeyDocument>,
        /// The client certificates that the service takes.
        mtls: Option<MtlsDocument>,
        /// What other roles a role brings along.
        roles: Option<Map<List<Spanned<String>>>>,
        /// The media types that a POST, PUT or PATCH may have.
        content_types: Option<ContentTypesDocument>,
        /// How paths are read.
        paths: Option<PathsDocument>,
        /// Whether rejections are enforced or only counted.
        mode: Option<Mode>,
        /// Whether the credentials themselves reach the service.
        credentials: Option<CredentialsMode>,
        /// The identity headers and what they are set from.
        identity: Option<Map<Spanned<ClaimPath>>>,
        /// Headers in which other products tell who is calling, and that reach the service as they came.
        pass: Option<List<Spanned<String>>>,
        /// Lets tokens be revoked before they expire.
        revocation: Option<Spanned<RevocationDocument>>,
        /// Answers writes that come again without asking the service again; for routes that prove who calls.
        idempotency: Option<IdempotencyDocument>,
        /// How often callers may call; for routes that prove who calls, and `per: address` for all.
        quotas: Option<List<Spanned<QuotaDocument>>>,
        /// Leaves requests with `x-sandbox: true` out of the quotas of routes that prove who calls. Default false.
        sandbox: Option<Spanned<bool>>,
        /// The routes. The most specific one decides, whatever the order.
        routes: List<Spanned<RouteDocument>>,
    }

    /// Where the service is.
    pub struct UpstreamDocument {
        /// `http://`, `https://` or `h2c://` with host and port, or `unix:/path`.
        url: Spanned<EnvString>,
        /// How long a connection may take. Default 1s.
        connect_timeout: Option<Timeout>,
        /// How long the service may be silent. Default 30s.
        timeout: Option<Timeout>,
        /// The CAs of an https service, as PEM. Default: those of the system.
        ca_file: Option<Spanned<String>>,
        /// The certificate chain that an https service gets to see, as PEM; with `client_key`.
        client_certificate: Option<Spanned<String>>,
        /// The private key of `client_certificate`, as PEM.
        client_key: Option<Spanned<String>>,
        /// The SPIFFE id that an https service has to prove, in place of its host name; with `ca_file`.
        spiffe_id: Option<Spanned<String>>,
    }

    /// How the service writes its errors.
    pub struct ErrorsDocument {
        /// The form of the body.
        format: ErrorFormat,
        /// The start of the code, as in `ERR_WALLET`.
        code_prefix: Option<Spanned<String>>,
        /// Whether a 403 `scope_missing` names the scopes of the route in `WWW-Authenticate` (RFC 6750, 3.1).
        /// Default true, and false for `envelope`.
        scope_challenge: Option<bool>,
        /// Whether rejections have the header `x-sidegate-reason`. Default true.
        reason_header: Option<bool>,
        /// The start of `type` for the format `problem`, which ends in the reason code: with
        /// `https://docs.example.com/rejections#` the `type` of an expired token is
        /// `https://docs.example.com/rejections#token_expired`. Default: `type` is `about:blank`.
        type_base: Option<Spanned<String>>,
    }

    /// Who issues the tokens that the service takes.
    pub struct JwtDocument {
        /// The issuers; the token's `iss` picks one.
        issuers: List<Spanned<IssuerDocument>>,
    }

    /// One issuer of tokens.
    pub struct IssuerDocument {
        /// The exact `iss`, or `unchecked`.
        issuer: Spanned<String>,
        /// The audiences, one of which the token names; or `unchecked`.
        audience: Spanned<AudienceDocument>,
        /// The algorithms that the issuer signs with.
        algorithms: List<Spanned<String>>,
        /// Where its keys are.
        keys: Spanned<KeysDocument>,
        /// How far clocks may differ. Default 0s, at most 5m.
        leeway: Option<Spanned<HumanDuration>>,
        /// Claims that a token must have besides `exp`. Default `[sub]`.
        required_claims: Option<ListOrEmpty<Spanned<String>>>,
        /// The claim with the list of roles. Default `roles`.
        roles_claim: Option<Spanned<ClaimPath>>,
        /// Whether a token that its issuer bound to a key (claim `cnf`) is a good one without that key. Default `verify`.
        binding: Option<Spanned<BindingMode>>,
    }

    /// Where an issuer's keys are: exactly one of these.
    pub struct KeysDocument [whole] {
        /// A shared secret, for HS256, HS384 and HS512.
        secret: Option<SecretDocument>,
        /// One public key as PEM.
        pem: Option<FileDocument>,
        /// A JSON Web Key Set (RFC 7517).
        jwks: Option<Spanned<JwksDocument>>,
        /// The issuer's own document says where its key set is (OIDC Discovery 1.0).
        oidc: Option<Spanned<OidcDocument>>,
    }

    /// A file without secrets.
    pub struct FileDocument {
        /// Its path.
        file: Spanned<String>,
    }

    /// A key set in a file or behind a URL.
    pub struct JwksDocument [whole] {
        /// A file.
        file: Option<Spanned<String>>,
        /// A URL; fetched in the background.
        url: Option<Spanned<EnvString>>,
        /// How often the URL is fetched. Default 5m, at least 10s.
        refresh: Option<Spanned<HumanDuration>>,
        /// How long keys serve after the last fetch that went well. Default 1h, or twice `refresh` if that is longer.
        max_stale: Option<Spanned<HumanDuration>>,
        /// The CAs of the URL's server, as PEM. Default: those of the system.
        ca_file: Option<Spanned<String>>,
        /// A file with a bearer token for the URL's server; read at each fetch.
        bearer_token_file: Option<Spanned<String>>,
        /// Lets `http://` be used for a host that is not this machine.
        allow_http: Option<bool>,
    }

    /// The rule that a token belongs to the tenant that the request names.
    pub struct TenantDocument {
        /// The header that names the tenant. Default `x-tenant-id`.
        header: Option<Spanned<String>>,
        /// The claims that must all equal it.
        claims: List<String>,
    }

    /// The internal keys that the service takes.
    pub struct InternalKeyDocument {
        /// The header that carries the key. Default `x-internal-api-key`.
        header: Option<Spanned<String>>,
        /// The keys; several at once, for rotation.
        keys: List<Spanned<KeyDocument>>,
    }

    /// One internal key: a secret, or its digest.
    pub struct KeyDocument [whole] {
        /// The name of the caller, for the log and `x-client-id`.
        name: Spanned<String>,
        /// The key itself, at least 16 bytes.
        secret: Option<SecretDocument>,
        /// The SHA-256 digest of the key, in hex.
        sha256: Option<Spanned<String>>,
        /// When the key stops working, as in `2027-01-01T00:00:00Z`.
        expires: Option<Spanned<String>>,
    }

    /// The client certificates that the service takes.
    pub struct MtlsDocument {
        /// Names, any one of which the certificate must have.
        allow: List<Spanned<CertificateNameDocument>>,
    }

    /// One name in a certificate: exactly one of these.
    pub struct CertificateNameDocument [whole] {
        /// A URI; `*` stands for one segment.
        uri: Option<Spanned<String>>,
        /// A DNS name, exactly.
        dns: Option<Spanned<String>>,
        /// A common name, exactly.
        cn: Option<Spanned<String>>,
    }

    /// How paths are read.
    pub struct PathsDocument {
        /// For services whose router ignores case: routes match in any case.
        case_insensitive: Option<bool>,
        /// `exact` for services that tell `Jobs` from `jobs`. Default: a path that leads to another route in
        /// another case is rejected.
        case: Option<Spanned<CaseReading>>,
        /// Ambiguities to let through; never to a public or internal-key route.
        allow: Option<List<AllowedAmbiguity>>,
    }

    /// Tokens are rejected by their `jti`, by subject and by tenant.
    pub struct RevocationDocument {
        /// How old the list of revocations may be. Default 30s, at least 2s.
        max_stale: Option<Spanned<HumanDuration>>,
        /// What becomes of a token when the list is older or missing. Default `deny`.
        when_unavailable: Option<Fallback>,
    }

    /// Requests with an `Idempotency-Key` are answered once, and again with the same answer.
    pub struct IdempotencyDocument {
        /// The methods. Default `[POST, PUT, PATCH]`.
        methods: Option<List<Spanned<String>>>,
        /// Whether a request without a key is rejected. Default false.
        required: Option<bool>,
        /// How long a response is stored. Default 24h, at most 30d.
        ttl: Option<Spanned<HumanDuration>>,
        /// The longest body of a response that is stored. Default 1MiB, at most 16MiB.
        max_body: Option<Spanned<Size>>,
        /// What becomes of a request with a key when the store cannot be asked. Default `deny`.
        when_unavailable: Option<Fallback>,
    }

    /// How often callers may call.
    pub struct QuotaDocument [whole] {
        /// The name, in `RateLimit` headers, logs and metrics.
        name: Spanned<String>,
        /// Who shares it.
        per: Spanned<QuotaScope>,
        /// So many requests at once, and as many again over the window.
        limit: Spanned<u32>,
        /// The time in which all of them come back.
        window: Spanned<Timeout>,
        /// Other limits, by the plan that the token names.
        plans: Option<Map<Spanned<u32>>>,
        /// The claim with the plan. Default `planTier`.
        plan_claim: Option<Spanned<ClaimPath>>,
        /// Whether it is enforced or only counted.
        mode: Option<Mode>,
        /// What becomes of a request when the store cannot be asked. Default `allow`.
        when_unavailable: Option<Fallback>,
    }

    /// One route.
    pub struct RouteDocument {
        /// `/x` for that path, `/x/*` for it and all below, `{name}` for one segment.
        path: Spanned<String>,
        /// The methods. Absent: all but TRACE.
        methods: Option<List<Spanned<String>>>,
        /// How callers prove who they are.
        auth: Spanned<AuthDocument>,
        /// Roles, one of which is needed.
        roles: Option<Spanned<List<Spanned<String>>>>,
        /// Scopes, all of which are needed.
        scopes: Option<Spanned<List<Spanned<String>>>>,
        /// The media types that a POST, PUT or PATCH may have, or `any`.
        content_types: Option<ContentTypesDocument>,
        /// Whether rejections are enforced or only counted.
        mode: Option<Mode>,
        /// Headers that reach the service as they came: the tenant header where no tenant is verified, and headers in
        /// which other products tell who is calling. In place of the policy's.
        pass: Option<List<Spanned<String>>>,
        /// In place of the policy's; `off` for none.
        idempotency: Option<Spanned<OffOr<IdempotencyDocument>>>,
        /// In place of the policy's; `off` for none.
        quotas: Option<Spanned<OffOr<List<Spanned<QuotaDocument>>>>>,
        /// Whether a request with `x-sandbox: true` is not counted by quotas. In place of the policy's.
        sandbox: Option<Spanned<bool>>,
    }
}

string_enum! {
    /// The form of an error body.
    pub enum ErrorFormat {
        /// One object, as Integration Hub writes it.
        Flat = "flat",
        /// `data`, `error` and `meta`, as Wallet writes it.
        Envelope = "envelope",
        /// RFC 9457.
        Problem = "problem",
    }

    /// Whether rejections are enforced or only counted.
    pub enum Mode {
        /// Rejections are enforced.
        Enforce = "enforce",
        /// A rejection is logged and counted, and the request is forwarded without an identity.
        Shadow = "shadow",
    }

    /// Whether the credentials themselves reach the service.
    pub enum CredentialsMode {
        /// They do, the internal key included.
        Forward = "forward",
        /// They do not, `Authorization` included.
        Strip = "strip",
    }

    /// What becomes of a token by the key that its issuer bound it to (RFC 7800).
    pub enum BindingMode {
        /// The client must have the key of a bound token. Tokens that are not bound pass.
        Verify = "verify",
        /// The same, and a token that is not bound is rejected: 401 `token_binding_missing`.
        Required = "required",
        /// Bound tokens pass without their key, so a stolen one works. For tokens that a proxy in front has verified.
        Ignore = "ignore",
    }

    /// What is done without the store.
    pub enum Fallback {
        /// The request is rejected: 503 `store_unavailable`.
        Deny = "deny",
        /// The request passes as if the store had no objection; it is counted.
        Allow = "allow",
    }

    /// Who shares a quota: what was verified of the caller, or the address that it calls from.
    pub enum QuotaScope {
        /// All of a tenant.
        Tenant = "tenant",
        /// All with a token of one subject.
        Subject = "subject",
        /// All with one internal key or one client certificate.
        Client = "client",
        /// All from one address; from one network of 64 bits for IPv6.
        Address = "address",
    }

    /// How the case of paths is read.
    pub enum CaseReading {
        /// Paths that differ in case are different paths.
        Exact = "exact",
    }

    /// An ambiguity that a policy may let through.
    pub enum AllowedAmbiguity {
        /// `//`
        DoubleSlash = "double_slash",
        /// `;`
        Semicolon = "semicolon",
        /// `%2F`
        EncodedSlash = "encoded_slash",
    }
}
