//! `tenant`, `internal_key` and `mtls` of a policy as written.

use super::forms::{CertificateUri, ExactName, HeaderField, KeyName, Moment, Sha256};
use super::values::ClaimPath;
use super::words::TenantFormat;
use crate::document::collections::List;
use crate::document::decode::{Spanned, document};
use crate::document::secret::SecretDocument;

document! {
    /// The rule that a token belongs to the tenant that the request names. It applies to every request that is
    /// authenticated by a token; internal keys and certificates have no tenant.
    pub struct TenantDocument {
        /// The header with the tenant, at most once. Not a header that frames, routes or authenticates a request.
        #[schemars(with = "Option<HeaderField>", extend("default" = "x-tenant-id", "examples" = ["x-tenant-id"]))]
        header: Option<Spanned<String>>,
        /// The claims that must all be in the token and equal the header, each by its name or by the list of names that
        /// leads to it. A missing claim is a 401, another tenant a 403 `tenant_mismatch`.
        #[schemars(extend("examples" = [["tenantId"], ["org_id", ["organization", "id"]]]))]
        claims: List<Spanned<ClaimPath>>,
        /// What a tenant looks like. In another form, the header is a 400 `tenant_header_invalid`, and a claim a 401
        /// `token_claim_invalid`.
        #[schemars(extend("default" = "uuid"))]
        format: Option<TenantFormat>,
        /// Whether a claim may be a list of tenants, one of which must equal the header. `revoke tenant` then rejects
        /// requests for that tenant, not the other requests with the same token. If `false`, a list is a 401
        /// `token_claim_invalid`.
        #[schemars(extend("default" = false))]
        lists: Option<bool>,
        /// Whether a request must have the header. If `false`, the claims name the tenant of a request without it; with
        /// `lists`, such a request is still rejected: 400 `tenant_header_missing`.
        #[schemars(extend("default" = true))]
        header_required: Option<bool>,
    }

    /// The internal keys that the service accepts, for `auth: internal_key`.
    pub struct InternalKeyDocument {
        /// The header with the key. Not the tenant header, and not a header that frames, routes or authenticates a
        /// request.
        #[schemars(
            with = "Option<HeaderField>",
            extend("default" = "x-internal-api-key", "examples" = ["x-internal-api-key"])
        )]
        header: Option<Spanned<String>>,
        /// The keys. Several keys at once allow a rotation: add the new one, switch the callers, remove the old one.
        keys: List<Spanned<KeyDocument>>,
    }

    /// One internal key: `secret` or `sha256`, exactly one of them.
    #[schemars(extend("oneOf" = [{ "required": ["secret"] }, { "required": ["sha256"] }]))]
    pub struct KeyDocument [whole] {
        /// The name of the caller, for the log and the header `x-client-id`. Visible ASCII without spaces, once in the
        /// policy.
        #[schemars(with = "KeyName")]
        name: Spanned<String>,
        /// The key itself, at least 16 bytes: `{ env: NAME }` or `{ file: PATH }`.
        #[schemars(extend("examples" = [{ "env": "ORDERS_JOBS_KEY" }]))]
        secret: Option<SecretDocument>,
        /// The SHA-256 digest of the key as 64 hex digits, so that the key itself is not on this machine.
        #[schemars(with = "Option<Sha256>")]
        sha256: Option<Spanned<String>>,
        /// When the key expires (RFC 3339). Without it, the key does not expire.
        #[schemars(with = "Option<Moment>")]
        expires: Option<Spanned<String>>,
    }

    /// The client certificates that the service accepts, for `auth: mtls`. The listener must ask for certificates
    /// (`client_ca` in `sidegate.yaml`); certificates in headers prove nothing.
    pub struct MtlsDocument {
        /// The accepted names. A certificate must have one of them.
        allow: List<Spanned<CertificateNameDocument>>,
    }

    /// One name in a certificate: exactly one of `uri`, `dns` and `cn`.
    #[schemars(extend("minProperties" = 1, "maxProperties" = 1))]
    pub struct CertificateNameDocument [whole] {
        /// A URI in the subject alternative names; `*` stands for one whole segment of the path. A certificate with
        /// several URIs matches no `spiffe://` name (SPIFFE X.509-SVID, 2).
        #[schemars(with = "Option<CertificateUri>")]
        uri: Option<Spanned<String>>,
        /// A DNS name in the subject alternative names, exactly, in any case.
        #[schemars(with = "Option<ExactName>", extend("examples" = ["jobs.internal"]))]
        dns: Option<Spanned<String>>,
        /// The common name of the subject, exactly.
        #[schemars(with = "Option<ExactName>", extend("examples" = ["scheduler"]))]
        cn: Option<Spanned<String>>,
    }
}
