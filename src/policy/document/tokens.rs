//! `jwt` of a policy as written: the issuers of tokens, and where their keys are.

use std::time::Duration;

use super::conditions::ClaimConditionDocument;
use super::forms::{AlgorithmName, ClaimName, KeysUrl, TokenType};
use super::grants::{GrantsDocument, LinkHeader};
use super::issuer_names::{IssuerNamesDocument, PlaceholderDocument};
use super::rules::{issuer_rules, key_set_rules, several_issuers};
use super::sources::TokenSourceDocument;
use super::values::{AudienceDocument, OidcDocument};
use super::words::BindingMode;
use crate::document::collections::{List, ListOrEmpty, Map};
use crate::document::decode::{Spanned, document};
use crate::document::patterns::{periods, whole_seconds};
use crate::document::scalars::HumanDuration;
use crate::document::secret::{EnvString, EnvText, SecretDocument};

document! {
    /// The issuers of the tokens that the service accepts.
    pub struct JwtDocument {
        /// The places that the token of a request may be in: `authorization`, and places for clients that cannot set that
        /// header. Where `authorization` is listed and present, it alone counts; else one of the others may be present. A
        /// place that is not listed is never looked at; one that is listed never reaches the service, also by other
        /// policies with this `upstream.url`. `Authorization` reaches it as `credentials` says.
        #[schemars(extend("uniqueItems" = true, "default" = ["authorization"], "examples" = [["authorization", { "cookie": "__Host-session" }]]))]
        sources: Option<List<Spanned<TokenSourceDocument>>>,
        /// The issuers of tokens. The claim `iss` of a token picks its issuer, so each `issuer` occurs once.
        #[schemars(extend("anyOf" = several_issuers()))]
        issuers: List<Spanned<IssuerDocument>>,
    }

    /// One issuer of tokens (RFC 7519).
    #[schemars(extend("allOf" = issuer_rules()))]
    pub struct IssuerDocument {
        /// The exact `iss` of the tokens: a slash at the end counts. A list names issuers with the same keys. A pattern
        /// such as `https://login.example.com/{tid}/v2.0` has placeholders for whole segments of the path, each equal to
        /// the claim of that name; it needs `issuer_values`. `unchecked` accepts any `iss` and must be the only issuer.
        /// Not the URL of the discovery document.
        #[schemars(extend("examples" = ["https://auth.example.com/", ["https://a.example.com", "https://b.example.com"],
            "https://login.example.com/{tid}/v2.0", "unchecked"]))]
        issuer: IssuerNamesDocument,
        /// The accepted values of each placeholder in `issuer`: a list, or `any`. A value has letters, digits and `-`, at
        /// most 64.
        #[schemars(extend("minProperties" = 1, "examples" = [{ "tid": ["2f9c1e6a-3d1b-4c6e-9a51-7c0d1b8e4f20"] }, { "tid": "any" }]))]
        issuer_values: Option<Spanned<Map<PlaceholderDocument>>>,
        /// The audiences: a token must name one of them in `aud` (RFC 7519, 4.1.3). `unchecked` ignores `aud`; then a
        /// token that the issuer made for another service works here, too.
        #[schemars(extend("examples" = [["orders-api"], "unchecked"]))]
        audience: Spanned<AudienceDocument>,
        /// The claim that names the audience, by its exact name; for tokens without `aud`, such as the access tokens of
        /// Amazon Cognito. If a token has `aud` as well, both must name an accepted audience.
        #[schemars(with = "Option<ClaimName>", extend("default" = "aud", "examples" = ["client_id"]))]
        audience_claim: Option<Spanned<String>>,
        /// The signature algorithms of the issuer. A token with another `alg` is rejected (RFC 8725, 3.1).
        #[schemars(with = "List<AlgorithmName>", extend("examples" = [["RS256"]]))]
        algorithms: List<Spanned<String>>,
        /// The accepted types: a token has one of them as `typ` in its header, in any case, with or without
        /// `application/`. A token without `typ` counts as `JWT`. The list replaces the default.
        #[schemars(with = "Option<List<TokenType>>", extend("default" = ["JWT", "at+jwt"], "examples" = [["at+jwt"]]))]
        types: Option<List<Spanned<String>>>,
        /// Parameters of a token's header that Sidegate ignores. Without this, it rejects a token that brings a key or
        /// points to one. It never follows them: `kid` selects a key from `keys`.
        #[schemars(extend("uniqueItems" = true, "examples" = [["jku"]]))]
        ignore_headers: Option<List<Spanned<LinkHeader>>>,
        /// Where the keys of the issuer are: exactly one of `secret`, `pem`, `jwks` and `oidc`.
        keys: Spanned<KeysDocument>,
        /// How far the clocks of the issuer and of Sidegate may differ, in whole seconds, at most `5m`. It applies to
        /// `exp`, `nbf` and `iat`.
        #[schemars(extend("default" = "0s", "pattern" = whole_seconds(Duration::from_mins(5)), "examples" = ["30s"]))]
        leeway: Option<Spanned<HumanDuration>>,
        /// Claims that a token must have besides `exp`, whatever their value; `[]` for none. Only claims at the top
        /// level of the token, by their exact names.
        #[schemars(with = "Option<ListOrEmpty<ClaimName>>", extend("default" = ["sub"], "examples" = [["sub", "roles"]]))]
        required_claims: Option<ListOrEmpty<Spanned<String>>>,
        /// The claim with the roles: a list of texts, or one text, which is one role. Written as its name, or as the list
        /// of names that leads to it, as in `[realm_access, roles]` for Keycloak. A dot in a name is a part of the name.
        /// Several claims are a list of such lists; a token has the roles of all of them.
        #[schemars(extend("default" = "roles", "examples" = ["roles", ["realm_access", "roles"],
            [["realm_access", "roles"], ["resource_access", "my-app", "roles"]]]))]
        roles_claim: Option<GrantsDocument>,
        /// The claim with the scopes: a list of texts, or one text with spaces between the scopes. Written as in
        /// `roles_claim`. Without it, the scopes are in `scopes`, or else in `scope` (RFC 8693, 4.2).
        #[schemars(extend("examples" = ["scp", [["scp"], ["realm_access", "scopes"]]]))]
        scopes_claim: Option<GrantsDocument>,
        /// Conditions on claims, all of which a token must meet: 401 `token_claim_invalid`. They tell the tokens for this
        /// service from others of the issuer, such as ID tokens. At most 32.
        #[schemars(extend("maxItems" = 32, "examples" = [[{ "claim": "token_use", "equals": "access" }]]))]
        when: Option<List<Spanned<ClaimConditionDocument>>>,
        /// How Sidegate treats tokens that the issuer bound to a key of the client (claim `cnf`, RFC 7800).
        #[schemars(extend("default" = "verify"))]
        binding: Option<Spanned<BindingMode>>,
    }

    /// Where the keys of an issuer are: exactly one of these. Errors: secrets under 32 bytes, RSA keys under 2048 or
    /// over 8192 bits, private keys as PEM, keys that contradict
    /// their algorithm, and two different keys of one id and algorithm.
    #[schemars(extend("minProperties" = 1, "maxProperties" = 1))]
    pub struct KeysDocument [whole] {
        /// The shared secret of HS256, HS384 or HS512, at least 32 bytes: `{ env: NAME }` or `{ file: PATH }`.
        #[schemars(extend("examples" = [{ "env": "ORDERS_JWT_SECRET" }]))]
        secret: Option<SecretDocument>,
        /// One public key as PEM, in a file: `{ file: PATH }`.
        #[schemars(extend("examples" = [{ "file": "auth.pem" }]))]
        pem: Option<FileDocument>,
        /// A JSON Web Key Set (RFC 7517): `{ file: PATH }`, or `{ url: URL }` to fetch it. A set has at most 64 keys
        /// and 256 KiB.
        #[schemars(extend("examples" = [{ "url": "https://auth.example.com/.well-known/jwks.json" }]))]
        jwks: Option<Spanned<JwksDocument>>,
        /// The URL of the issuer, or `{ issuer: …, url: … }`: Sidegate fetches the document below
        /// `/.well-known/openid-configuration`, which says where the key set is (OpenID Connect Discovery 1.0, 4). The
        /// document must name the `issuer` of this entry exactly. If that is a pattern, write the URL below which the
        /// document is: the document names the same pattern, and its placeholders may have other names.
        #[schemars(extend("examples" = ["https://auth.example.com/"]))]
        oidc: Option<Spanned<OidcDocument>>,
    }

    /// A file without secrets.
    pub struct FileDocument {
        /// The path of the file, at most 1 MiB. A relative path starts at the folder of this file.
        #[schemars(extend("examples" = ["auth.pem"]))]
        file: Spanned<String>,
    }

    /// A key set in a file, or behind a URL: exactly one of `file` and `url`.
    #[schemars(extend("oneOf" = [{ "required": ["file"] }, { "required": ["url"] }], "allOf" = key_set_rules()))]
    pub struct JwksDocument [whole] {
        /// The path of a file with the key set, at most 1 MiB. A relative path starts at the folder of this file.
        #[schemars(extend("examples" = ["jwks.json"]))]
        file: Option<Spanned<String>>,
        /// The URL of the key set. Sidegate fetches it in the background and does not follow redirects. `https`, or
        /// `http` for this machine; a set from a URL has no shared secrets.
        #[schemars(with = "Option<EnvText<KeysUrl>>")]
        url: Option<Spanned<EnvString>>,
        /// How often Sidegate fetches the key set, at least `10s`. A `max-age` of the response makes it more often, but
        /// never more often than every 10 s (RFC 9111, 5.2.2.1).
        #[schemars(extend("default" = "5m", "pattern" = periods(Duration::from_secs(10)..=Duration::MAX)))]
        refresh: Option<Spanned<HumanDuration>>,
        /// How long keys stay valid after the last successful fetch; then requests get 503 `keys_unavailable`. Not
        /// shorter than `refresh`. Sidegate retries failed fetches with back-off, after 1 s to 30 s. The default is
        /// twice `refresh` if that is longer than `1h`.
        #[schemars(extend("default" = "1h"))]
        max_stale: Option<Spanned<HumanDuration>>,
        /// A PEM file with the CAs of the key server. Without it, Sidegate trusts the CAs of the system.
        #[schemars(extend("examples" = ["/etc/ssl/private-ca.pem"]))]
        ca_file: Option<Spanned<String>>,
        /// A file with a bearer token for the key server, read at each fetch. Sidegate sends it over https or to this
        /// machine only.
        #[schemars(extend("examples" = ["/var/run/secrets/kubernetes.io/serviceaccount/token"]))]
        bearer_token_file: Option<Spanned<String>>,
        /// Allows plain `http` to other machines. Keys can then be replaced on the way.
        #[schemars(extend("default" = false))]
        allow_http: Option<bool>,
    }
}
