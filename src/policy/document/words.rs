//! The closed sets of words in a policy.

use crate::document::decode::string_enum;

string_enum! {
    /// The format of an error body.
    pub enum ErrorFormat {
        /// One object: `statusCode`, `code`, `message`, `path` and `timestamp`.
        Flat = "flat",
        /// `data`, `error` and `meta`; the reason is in `error.details.reason`.
        Envelope = "envelope",
        /// Problem details (RFC 9457), with `code`, `reason` and `requestId`.
        Problem = "problem",
    }

    /// Whether rejections are enforced or only counted.
    pub enum Mode {
        /// Rejected requests do not reach the service.
        Enforce = "enforce",
        /// Rejections are logged and counted as `shadow_deny`, and the request is forwarded without identity headers.
        /// Malformed requests, ambiguous paths, unknown routes and methods, and bodies over the limit are still
        /// rejected.
        Shadow = "shadow",
    }

    /// Whether the access log has a line for each request of a route.
    pub enum LogMode {
        /// Each request has a line.
        On = "on",
        /// A request that is allowed and does not fail has no line. Rejections, failures after the decision, responses
        /// with a 5xx status and requests that shadow mode would reject have one.
        Off = "off",
    }

    /// Whether the credentials themselves reach the service.
    pub enum CredentialsMode {
        /// `Authorization` and the internal key reach the service.
        Forward = "forward",
        /// Neither `Authorization` (the token) nor the internal key reaches the service.
        Strip = "strip",
    }

    /// How Sidegate treats tokens that the issuer bound to a key of the client (claim `cnf`, RFC 7800).
    pub enum BindingMode {
        /// The client must have the key of a bound token. Tokens that are not bound are accepted.
        Verify = "verify",
        /// As `verify`, and a token that is not bound is rejected: 401 `token_binding_missing`.
        Required = "required",
        /// Bound tokens are accepted without their key, so a stolen token works. Only for tokens that a proxy in front
        /// of Sidegate has verified; `check` warns.
        Ignore = "ignore",
    }

    /// What becomes of characters that the value of a header cannot have.
    pub enum HeaderEncoding {
        /// Values stand as they are. A header with a value that cannot stand in it is left out.
        None = "none",
        /// Percent-encoding (RFC 3986, 2.1) of every byte of the UTF-8 that is not visible ASCII, of `%` and of the
        /// separator. It applies to all values of the header.
        Percent = "percent",
    }

    /// What a tenant looks like.
    pub enum TenantFormat {
        /// A UUID with hyphens (RFC 9562, 4), compared without regard to case.
        Uuid = "uuid",
        /// 1 to 128 visible ASCII characters, compared byte for byte.
        Text = "text",
    }

    /// What happens to a request if the store is unavailable.
    pub enum Fallback {
        /// The request is rejected: 503 `store_unavailable`.
        Deny = "deny",
        /// The request passes without the check, and `sidegate_fail_open_total` counts it.
        Allow = "allow",
    }

    /// Which requests share a quota.
    pub enum QuotaScope {
        /// All requests of a tenant. Needs a `tenant` block.
        Tenant = "tenant",
        /// All requests with tokens of one issuer and subject. Needs a `jwt` block.
        Subject = "subject",
        /// All requests with one internal key or one client certificate. Needs an `internal_key` or `mtls` block.
        Client = "client",
        /// All requests from one IP address; for IPv6, from one /64 network.
        Address = "address",
    }

    /// How the case of paths is read.
    pub enum CaseReading {
        /// Paths that differ in case are different paths.
        Exact = "exact",
    }

    /// An ambiguity in paths that a policy can let through.
    pub enum AllowedAmbiguity {
        /// Two slashes in a row, `//`, but not at the beginning.
        DoubleSlash = "double_slash",
        /// A semicolon, `;` or `%3B`.
        Semicolon = "semicolon",
        /// An encoded slash, `%2F`, that the service may decode.
        EncodedSlash = "encoded_slash",
        /// An encoded percent sign, `%25`, before two hex digits. What it decodes to must be allowed as well.
        EncodedPercent = "encoded_percent",
        /// An encoded question mark or number sign, `%3F` and `%23`.
        EncodedDelimiter = "encoded_delimiter",
    }

    /// How `%2F` is read.
    pub enum EncodedSlashReading {
        /// A part of a segment, for services that do not decode it: `{name}` matches it, and it is forwarded as it is.
        Opaque = "opaque",
    }
}
