//! The forms of texts in a policy, and the rules between the fields of one block, for its JSON Schema. What a text means
//! is decided in `compile.rs`.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use crate::document::patterns::{INVISIBLE, UNIX_SOCKET, text, text_without};
use crate::document::schema::text_forms;
use crate::keys::{Algorithm, Material};
use crate::policy::identity::{IdentityHeader, IdentitySource, SPECIAL, default_headers};

/// The methods that are completed, with their meaning (RFC 9110, 9.3; RFC 5789).
const METHODS: [(&str, &str); 8] = [
    ("GET", "Reads a resource. A route with GET also matches HEAD."),
    ("HEAD", "Reads the header of a resource."),
    ("POST", "Lets the resource process the body."),
    ("PUT", "Replaces a resource."),
    ("PATCH", "Changes a part of a resource (RFC 5789)."),
    ("DELETE", "Removes a resource."),
    (
        "OPTIONS",
        "Asks what the resource supports; browsers ask it before requests to other origins (CORS).",
    ),
    (
        "TRACE",
        "Returns the request. Matches only where it is listed: the response would show the identity headers.",
    ),
];

/// Characters of a path that are not letters, digits or slashes, and that no path in a policy can have.
const NOT_IN_PATHS: &str = r#"\s%?#\\;"\[\]|^<>`"#;

/// Characters of the name of a header (RFC 9110, 5.6.2), written as in a class.
pub(super) const TOKEN: &str = "!#$%&'+.^_`|~0-9A-Za-z-";

/// A host without port: a name, or an IPv6 address in brackets.
const HOST: &str = r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_~-]+(\.[A-Za-z0-9_~-]+)*\.?)";

/// A port.
const PORT: &str = "0*(0|[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])";

/// A label of a name, not longer than 63 characters, without `-` at its ends.
const LABEL: &str = "[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?";

/// A port other than 0, without leading zeros.
pub(super) const PLAIN_PORT: &str =
    "([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])";

/// No `.` and `..` segments, and no empty ones.
const PLAIN_SEGMENTS: &str = r"(?!.*//)(?!.*/\.{1,2}(/|$))";

/// A URL over plain http to another machine.
pub(super) const OPEN_URL: &str = r"^[hH][tT][tT][pP]://(?!(localhost|127(\.[0-9]{1,3}){3}|\[::1\])(:|/|$))";

pub(super) fn issuer_url() -> String {
    format!(r"^(?!.*/\.well-known/)[hH][tT][tT][pP][sS]?://{HOST}(:{PORT})?(/[!$-;=@-Z_a-z~|\[\]]*)?$")
}

/// A URL with a placeholder for a whole segment of its path.
fn issuer_pattern() -> String {
    let literal = r#"[!"$-.0->@-z|~]"#;
    let name = r"\{(?!tenantid\})[A-Za-z_][A-Za-z0-9_-]{0,63}\}";
    format!(r"(?=.*\{{)[hH][tT][tT][pP][sS]?://{literal}+(/({name}|{literal}*))*")
}

/// The name of a header.
pub(super) fn header_field() -> String {
    format!("^[*{TOKEN}]+$")
}

fn prefix() -> String {
    format!("^{PLAIN_SEGMENTS}/[^{NOT_IN_PATHS}{INVISIBLE}{{}}*]*$")
}

/// The name of a wildcard in braces.
const PARAMETER: &str = r"\{[^\u0000-/:-@\[-^`{-\u007f]+\}";

/// Visible text with braces around names only.
fn with_parameters() -> String {
    let text = text();
    format!(r"^(?=([^{{}}]|{PARAMETER})*$){}", text.trim_start_matches('^'))
}

/// At most 64 segments: literals, or `{name}` with or without a literal behind it; a `/*` at the end. Each name once:
/// the second group is a name, the first one is in `PLAIN_SEGMENTS`.
fn path() -> String {
    let literal = format!("[^{NOT_IN_PATHS}{INVISIBLE}{{}}*/]");
    let segment = format!("({PARAMETER}{literal}*|(?!:){literal}+)");
    format!(r"^{PLAIN_SEGMENTS}(?!.*({PARAMETER}).*\2)(/\*?|(/{segment}){{1,64}}(/\*?)?)$")
}

text_forms! {
    /// The name of a service.
    ServiceName {
        pattern: "^[A-Za-z0-9._-]+$",
        expected: "letters, digits, `-`, `_` and `.` only",
        examples: ["orders-svc"],
    }

    /// The path prefix of a policy.
    Prefix {
        pattern: prefix(),
        expected: "a path that starts with `/`, without wildcards, query and percent-encoding",
        examples: ["/orders/v1"],
    }

    /// The path of a route.
    RoutePath {
        pattern: path(),
        expected: "a path such as /orders, /orders/* or \"/orders/{id}\": `*` is the last segment, `{name}` begins one",
        examples: ["/health", "/orders/*", "/orders/{id}", "/orders/{id}:cancel"],
    }

    /// A host, or a wildcard for all hosts below one.
    HostName {
        pattern: format!(r"^(\*\.)?{}$", HOST.replace(r"\.?)", ")")),
        expected: "a host such as api.example.com or \"*.example.com\", without scheme and port",
        examples: ["api.example.com", "*.example.com"],
    }

    /// The URL of a service: scheme, host and port, without a path; or a unix socket.
    UpstreamUrl {
        pattern: format!("^([hH][tT][tT][pP][sS]?://{HOST}(:{PORT})?/?|h2c://{HOST}(:{PORT})?/?|{UNIX_SOCKET})$"),
        expected: "http://host:port, https://host:port, h2c://host:port or unix:/path, without a path behind the port",
        examples: ["http://127.0.0.1:3000", "https://orders.internal:8443", "unix:/run/orders.sock"],
    }

    /// A host name that a service is known by, or where it comes from.
    VirtualHost {
        pattern: format!(
            r"^(client|upstream|(?![cC][lL][iI][eE][nN][tT]$)(?![uU][pP][sS][tT][rR][eE][aA][mM]$)(?=[^:]{{1,253}}(:|$))(?!([^:]*\.)?[0-9]+(:|$)){LABEL}(\.{LABEL})*(:{PLAIN_PORT})?)$"
        ),
        expected: "client, upstream, or a host name with an optional port",
        examples: ["client", "upstream", "orders.example.com"],
    }

    /// A SPIFFE ID (SPIFFE-ID, 2) without wildcards.
    SpiffeId {
        pattern: r"^(?!.*/\.{1,2}(/|$))(?=.{1,2048}$)spiffe://[a-z0-9._-]+(/[A-Za-z0-9._-]+)+$",
        expected: "a SPIFFE ID such as spiffe://example.org/orders",
        examples: ["spiffe://example.org/orders"],
    }

    /// The start of error codes.
    CodePrefix {
        pattern: "^[A-Za-z0-9_]+$",
        expected: "letters, digits and `_` only",
        examples: ["ERR_ORDERS"],
    }

    /// The start of the URL of a reason.
    TypeBase {
        pattern: r"^(?=.{1,512}$)https?://[A-Za-z0-9._~:\[\]-]+([/?#][!#-;=?-\[\]_a-z~]*)?$",
        expected: "an http or https URL of at most 512 bytes, without a user",
        examples: ["https://docs.example.com/rejections#"],
    }

    /// The `iss` of an issuer, which is not the URL of its discovery document.
    IssuerName {
        pattern: format!(
            r"^(?!.*/\.well-known/)(?![uU][nN][cC][hH][eE][cC][kK][eE][dD]$){}",
            text_without("{}").trim_start_matches('^')
        ),
        expected: "the `iss` of the tokens, without braces and without /.well-known/…",
        examples: ["https://auth.example.com/"],
    }

    /// The `iss` of an issuer, a pattern for it, or `unchecked`.
    IssuerText {
        pattern: format!(
            r"^(?!.*/\.well-known/)(?!(?!unchecked$)[uU][nN][cC][hH][eE][cC][kK][eE][dD]$)({}|{})$",
            text_without("{}").trim_start_matches('^').trim_end_matches('$'),
            issuer_pattern(),
        ),
        expected: "the `iss` of the tokens, without /.well-known/…; {name} is a whole segment of the path, and the name of a claim",
        examples: ["https://auth.example.com/", "https://login.example.com/{tid}/v2.0"],
    }

    /// A value of a placeholder.
    PlaceholderValue {
        pattern: "^(?![aA][nN][yY]$)[A-Za-z0-9-]{1,64}$",
        expected: "letters, digits and `-`, at most 64; `any` stands alone, without brackets",
        examples: ["2f9c1e6a-3d1b-4c6e-9a51-7c0d1b8e4f20"],
    }

    /// One audience.
    AudienceName {
        pattern: format!("^(?![uU][nN][cC][hH][eE][cC][kK][eE][dD]$){}", text().trim_start_matches('^')),
        expected: "an audience; `unchecked` stands alone, not in a list",
        examples: ["orders-api"],
    }

    /// The name of a claim.
    ClaimName {
        pattern: text_without("="),
        expected: "the name of a claim, without `=`",
        examples: ["sub"],
    }

    /// The type of a token, other than that of proofs of possession (RFC 9449), which clients sign.
    TokenType {
        pattern: r"^(?!([aA][pP][pP][lL][iI][cC][aA][tT][iI][oO][nN]/)?[dD][pP][oO][pP]\+[jJ][wW][tT]$)([aA][pP][pP][lL][iI][cC][aA][tT][iI][oO][nN]/)?[A-Za-z0-9!#$&^_.+-]{1,127}$",
        expected: "the type of a token, such as JWT or at+jwt; not dpop+jwt",
        examples: ["at+jwt"],
    }

    /// A text that a claim or header is compared with.
    ConditionText {
        pattern: with_parameters(),
        expected: "a text, in which {name} is a parameter of the path",
        examples: ["{userId}", "team-{team}"],
    }

    /// A text that a claim is compared with, without parameters.
    PlainConditionText {
        pattern: text_without("{}"),
        expected: "a text without braces",
        examples: ["access"],
    }

    /// The URL of a key set or of a discovery document.
    KeysUrl {
        pattern: format!("^[hH][tT][tT][pP][sS]?://{HOST}(:{PORT})?([/?][!-\"$-;=?-Z_a-z~{{|}}\\[\\]]*)?$"),
        expected: "an https:// URL without user and fragment; http:// for this machine, or with `allow_http: true`",
        examples: ["https://auth.example.com/.well-known/jwks.json"],
    }

    /// The URL of an issuer, to which discovery appends the path of its document.
    IssuerUrl {
        pattern: issuer_url(),
        expected: "the URL of the issuer, without /.well-known/openid-configuration, query and fragment",
        examples: ["https://auth.example.com/"],
    }

    /// The URL of an issuer, over https or on this machine.
    ProtectedIssuerUrl {
        pattern: format!("^(?!{}){}", OPEN_URL.trim_start_matches('^'), issuer_url().trim_start_matches('^')),
        expected: "the https URL of the issuer, without /.well-known/openid-configuration, query and fragment",
        examples: ["https://auth.example.com/"],
    }

    /// The name of a header (RFC 9110, 5.1).
    HeaderField {
        pattern: header_field(),
        expected: "the name of a header",
        examples: ["x-tenant-id"],
    }

    /// The name of a cookie or a subprotocol: a token (RFC 9110, 5.6.2).
    TokenName {
        pattern: header_field(),
        expected: "letters, digits and characters such as `-` and `_`, without spaces",
        examples: ["__Host-session"],
    }

    /// The name of a query parameter that is written without percent-encoding (RFC 3986, 2.3).
    QueryName {
        pattern: "^[A-Za-z0-9._~-]+$",
        expected: "letters, digits, `-`, `_`, `.` and `~` only",
        examples: ["access_token"],
    }

    /// The name of an internal key.
    KeyName {
        pattern: "^[!-~]+$",
        expected: "visible ASCII characters without spaces",
        examples: ["scheduler"],
    }

    /// A SHA-256 digest in hex.
    Sha256 {
        pattern: "^[0-9A-Fa-f]{64}$",
        expected: "64 hex digits",
        examples: ["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"],
    }

    /// A moment in time (RFC 3339).
    Moment {
        pattern: "^[0-9]{4}-?(0[1-9]|1[0-2])-?(0[1-9]|[12][0-9]|3[01])[Tt ]([01][0-9]|2[0-3])(:?[0-5][0-9](:?[0-5][0-9]([.,][0-9]{1,9})?)?)?([Zz]|[+-]([01][0-9]|2[0-3])(:?[0-5][0-9])?)(\\[.*\\])?$",
        expected: "a time such as 2027-01-01T00:00:00Z",
        examples: ["2027-01-01T00:00:00Z"],
    }

    /// A URI of a certificate, in which `*` stands for whole segments of the path.
    CertificateUri {
        pattern: format!(
            r"^(?!spiffe://\*)(?=[^:]*:)(?!.*[^/]\*)(?!.*\*[^/]){}",
            text().trim_start_matches('^')
        ),
        expected: "a URI in which `*` is a whole segment of the path, such as spiffe://example.org/ns/*/sa/jobs",
        examples: ["spiffe://example.org/ns/*/sa/jobs"],
    }

    /// A name in a certificate that is compared exactly.
    ExactName {
        pattern: text_without("*"),
        expected: "an exact name, without `*`",
        examples: ["jobs.internal"],
    }

    /// A media type without parameters.
    MediaType {
        pattern: format!("^[{TOKEN}]+/[{TOKEN}]+$"),
        expected: "a media type such as application/json, without wildcards and parameters",
        examples: ["application/json"],
    }

    /// The name of a quota.
    QuotaName {
        pattern: "^[A-Za-z0-9._-]{1,64}$",
        expected: "at most 64 letters, digits, `-`, `_` and `.`",
        examples: ["calls"],
    }
}

/// A method of HTTP, in capitals.
#[derive(Debug)]
pub(super) enum Method {}

/// A method that changes something, so that a request can need an idempotency key.
#[derive(Debug)]
pub(super) enum ChangingMethod {}

fn method_schema(fits: fn(&str) -> bool) -> Schema {
    let standard: Vec<_> = METHODS.iter().map(|(method, _)| *method).collect();
    let methods = METHODS.iter().filter(|(method, _)| fits(method));
    let (names, meanings): (Vec<_>, Vec<_>) = methods.copied().unzip();
    json_schema!({
        "anyOf": [
            { "type": "string", "enum": names, "enumDescriptions": meanings },
            {
                // Others, such as `PROPFIND`.
                "type": "string",
                "pattern": format!("^(?!(CONNECT|{})$)[A-Z_-]+$", standard.join("|")),
                "patternErrorMessage": "expected a method in capitals, such as GET or POST",
            },
        ]
    })
}

impl JsonSchema for Method {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Method".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        method_schema(|_| true)
    }
}

impl JsonSchema for ChangingMethod {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "ChangingMethod".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        method_schema(|method| matches!(method, "POST" | "PUT" | "PATCH" | "DELETE"))
    }
}

/// A signature algorithm.
#[derive(Debug)]
pub(super) enum AlgorithmName {}

impl JsonSchema for AlgorithmName {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Algorithm".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let about = |algorithm: Algorithm| {
            let name = algorithm.name();
            let bits = name.trim_start_matches(|c: char| !c.is_ascii_digit());
            match (algorithm.material(), name.starts_with('P')) {
                (Material::Secret, _) => format!("HMAC with SHA-{bits} and a shared secret (RFC 7518, 3.2)."),
                (Material::Rsa, false) => format!("RSA, PKCS #1 v1.5 with SHA-{bits} (RFC 7518, 3.3)."),
                (Material::Rsa, true) => format!("RSA, PSS with SHA-{bits} (RFC 7518, 3.5)."),
                (Material::P256 | Material::P384, _) => {
                    format!("ECDSA on the curve P-{bits} with SHA-{bits} (RFC 7518, 3.4).")
                }
                (Material::Ed25519, _) => "Ed25519 (RFC 8037, 3.1).".to_owned(),
            }
        };
        json_schema!({
            "type": "string",
            "enum": Algorithm::ALL.map(Algorithm::name),
            "enumDescriptions": Algorithm::ALL.map(about),
        })
    }
}

/// The limit of a plan.
#[derive(Debug)]
pub(super) enum PlanLimit {}

impl JsonSchema for PlanLimit {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "PlanLimit".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "description": "The limit for this plan.", "type": "integer", "minimum": 1, "maximum": u32::MAX })
    }
}

/// The identity headers of a policy that says nothing of its own.
pub(super) fn default_identity() -> Value {
    let source = |header: &IdentityHeader| match &header.source {
        IdentitySource::Claim(path) => json!(path.first()),
        IdentitySource::Roles => json!("roles"),
        IdentitySource::Scopes => json!("scopes"),
        special => json!(
            SPECIAL
                .iter()
                .find(|(_, source)| source == special)
                .map(|(word, _)| word)
        ),
    };
    let headers = default_headers(None);
    Value::Object(
        headers
            .iter()
            .map(|header| (header.name.to_string(), source(header)))
            .collect(),
    )
}
