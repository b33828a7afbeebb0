//! Rules between the fields of a policy, for its JSON Schema.

use serde_json::{Map, Value, json};

use super::forms::{OPEN_URL, issuer_url};
use crate::keys::{Algorithm, Material};
use crate::principal::{AuthMethod, DENY};

/// The URL of an upstream that has an IP address or a unix socket.
const NO_HOST_NAME: &str = r"^(unix:|[A-Za-z0-9]+://(\[|([^/:]*\.)?[0-9]+\.?(:|/|$)))";

/// The fields of a route that say which requests it accepts, and stand on no route with `auth: deny`.
pub const NOT_BESIDE_DENY: [&str; 11] = [
    "roles",
    "scopes",
    "when",
    "content_types",
    "pass",
    "idempotency",
    "quotas",
    "sandbox",
    "log",
    "timeout",
    "body_bytes",
];

/// Algorithms with a shared secret, or those with a public key.
fn algorithms(shared: bool) -> Value {
    let fits = |one: &Algorithm| (one.material() == Material::Secret) == shared;
    let names: Vec<_> = Algorithm::ALL.into_iter().filter(fits).map(Algorithm::name).collect();
    json!({ "enum": names })
}

/// What the keys of an issuer say about its algorithms: a shared secret is for HMAC alone, and never public.
pub(super) fn issuer_rules() -> Value {
    let public = json!({ "anyOf": [
        { "required": ["pem"] },
        { "required": ["oidc"] },
        { "required": ["jwks"], "properties": { "jwks": { "required": ["url"] } } },
    ]});
    let rule = |keys: Value, algorithm: Value| {
        json!({
            "if": { "properties": { "keys": keys }, "required": ["keys"] },
            "then": { "properties": { "algorithms": { "items": algorithm } } },
        })
    };
    let unchecked = json!({ "properties": { "audience": { "const": "unchecked" } }, "required": ["audience"] });
    let pattern = json!({ "properties": { "issuer": { "type": "string", "pattern": r"\{" } }, "required": ["issuer"] });
    let with_values = json!({
        "required": ["issuer_values"],
        "properties": { "audience": { "not": { "const": "unchecked" } } },
    });
    json!([
        rule(json!({ "required": ["secret"] }), algorithms(true)),
        rule(public, algorithms(false)),
        // `{` stands in patterns only.
        { "if": pattern, "then": with_values, "else": { "properties": { "issuer_values": false } } },
        // What names the audience is not looked at.
        { "if": unchecked, "then": { "properties": { "audience_claim": false } } },
    ])
}

/// `unchecked` stands alone: with several issuers, `iss` picks one.
pub(super) fn several_issuers() -> Value {
    json!([
        { "maxItems": 1 },
        { "items": { "properties": { "issuer": { "not": { "const": "unchecked" } } } } },
    ])
}

/// The `auth` of a route by which every request has a token.
fn brings_token() -> Value {
    let jwt = AuthMethod::Jwt.as_str();
    json!({ "anyOf": [
        { "const": jwt },
        { "type": "object", "required": ["any"], "properties": { "any": { "items": { "const": jwt } } } },
        { "type": "object", "required": ["all"], "properties": { "all": { "contains": { "const": jwt } } } },
    ]})
}

/// Roles and scopes come from tokens.
pub(super) fn route_dependencies() -> Value {
    let needs_token = json!({ "properties": { "auth": brings_token() } });
    let compares_claim =
        json!({ "contains": { "anyOf": [{ "required": ["claim"] }, { "required": ["equals_claim"] }] } });
    let when = json!({ "if": { "properties": { "when": compares_claim } }, "then": needs_token });
    json!({ "roles": needs_token, "scopes": needs_token, "when": when })
}

/// Exactly one of the operators that compare a thing. A list has texts.
fn one_operator(operators: &[&str]) -> Value {
    let forms = operators.iter().map(|operator| json!({ "required": [operator] }));
    let text = json!({ "type": ["string", "integer"] });
    json!({
        "oneOf": forms.collect::<Vec<_>>(),
        "properties": { "has": text, "has_any": { "items": text } },
    })
}

/// A claim is compared in one way.
pub(super) fn claim_condition_rules() -> Value {
    json!([one_operator(&["equals", "in", "has", "has_any", "within"])])
}

/// One thing is compared, in one way that fits it.
pub(super) fn condition_rules() -> Value {
    let without = |fields: &[&str]| {
        let fields = fields.iter().map(|field| ((*field).to_owned(), Value::Bool(false)));
        json!({ "properties": fields.collect::<serde_json::Map<_, _>>() })
    };
    let text = json!({ "type": ["string", "integer"] });
    json!([
        {
            "required": ["claim"],
            "allOf": [
                one_operator(&["equals", "in", "has", "has_any", "within"]),
                without(&["header", "client", "equals_claim"]),
            ],
        },
        {
            "required": ["header"],
            "properties": { "equals": text, "in": { "items": text } },
            "allOf": [
                one_operator(&["equals", "in", "equals_claim"]),
                without(&["claim", "client", "has", "has_any", "within"]),
            ],
        },
        { "required": ["client"], "maxProperties": 1 },
    ])
}

/// Only a prefix can be stripped.
pub(super) fn policy_rules() -> Value {
    json!([{
        "if": {
            "properties": { "upstream": { "required": ["strip_prefix"], "properties": { "strip_prefix": { "const": true } } } },
            "required": ["upstream"],
        },
        "then": { "required": ["prefix"], "properties": { "prefix": { "not": { "const": "/" } } } },
    }])
}

/// A response is stored for one caller, and only addresses are known of callers of public routes.
pub(super) fn route_rules() -> Value {
    let public = json!({ "const": AuthMethod::Public.as_str() });
    let listed = json!({ "type": "object", "properties": { "any": { "contains": public } }, "required": ["any"] });
    let if_auth = |auth: Value, then: Value| json!({ "if": { "properties": { "auth": auth }, "required": ["auth"] }, "then": { "properties": then } });
    let mut nothing_else: Map<_, _> = NOT_BESIDE_DENY
        .map(|field| (field.to_owned(), Value::Bool(false)))
        .into_iter()
        .collect();
    nothing_else.insert("mode".to_owned(), json!({ "const": "enforce" }));
    json!([
        if_auth(json!({ "const": DENY }), Value::Object(nothing_else)),
        if_auth(
            json!({ "anyOf": [public, listed] }),
            json!({ "idempotency": { "const": "off" } })
        ),
        if_auth(
            public.clone(),
            json!({ "quotas": { "items": { "properties": { "per": { "const": "address" } } } } })
        ),
    ])
}

/// The fields of `upstream` that need others. A text is checked; a variable is not known to an editor.
pub(super) fn upstream_dependencies() -> Value {
    let with = |other: &str| {
        json!({
            "properties": { "url": { "pattern": "^[hH][tT][tT][pP][sS]:" } },
            "required": [other],
        })
    };
    json!({
        "client_certificate": with("client_key"),
        "client_key": { "required": ["client_certificate"] },
        "spiffe_id": with("ca_file"),
        // An address is not a name.
        "host": {
            "if": { "properties": { "host": { "const": "upstream" } } },
            "then": { "properties": { "url": { "not": { "type": "string", "pattern": NO_HOST_NAME } } } },
        },
    })
}

/// Keys come over https or from this machine, unless the policy allows plain http; a bearer token never goes over it.
pub(super) fn key_set_rules() -> Value {
    json!([protected("url", &json!({}))])
}

/// The same for discovery, which asks `url`, or else the issuer itself.
pub(super) fn discovery_rules() -> Value {
    let without_url = json!({ "not": { "required": ["url"] } });
    json!([
        protected("url", &json!({})),
        protected("issuer", &without_url),
        { "if": { "required": ["issuer"], "allOf": [without_url] }, "then": { "properties": { "issuer": { "pattern": issuer_url() } } } },
    ])
}

/// A URL in a field that leads over plain http to another machine, where also a condition holds, is allowed first.
fn protected(field: &str, condition: &Value) -> Value {
    json!({
        "if": {
            "required": [field],
            "properties": { field: { "type": "string", "pattern": OPEN_URL } },
            "allOf": [condition],
        },
        "then": {
            "required": ["allow_http"],
            "properties": { "allow_http": { "const": true }, "bearer_token_file": false },
        },
    })
}

/// An `encoding` is for text, and a `separator` for lists.
pub(super) fn identity_dependencies() -> Value {
    let not_from = |words: &[&str]| {
        let alone = words.iter().map(|word| json!(word));
        let listed = words.iter().map(|word| json!([word]));
        let words: Vec<_> = alone.chain(listed).collect();
        json!({ "properties": { "from": { "not": { "enum": words } } } })
    };
    json!({
        "encoding": not_from(&["@auth_method", "exp", "nbf", "iat"]),
        "separator": not_from(&["@tenant", "@auth_method", "@client_id", "exp", "nbf", "iat", "iss", "sub", "jti"]),
    })
}
