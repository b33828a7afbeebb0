//! The codes of problems. A code is never renamed: scripts and editors match it.

use std::fmt;

/// Declares the codes, in one table: name, code, what it means, how to fix it.
macro_rules! problem_codes {
    ($($name:ident $code:literal $meaning:literal $fix:literal)*) => {
        /// What kind of problem it is. Stable.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum ProblemCode { $(#[doc = $meaning] $name,)* }

        impl ProblemCode {
            /// All codes, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The code as reports and scripts have it.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// What the code means, in one sentence.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => $meaning,)* }
            }

            /// How such a problem is fixed in general, in one sentence.
            pub const fn fix(self) -> &'static str {
                match self { $(Self::$name => $fix,)* }
            }
        }
    };
}

impl fmt::Display for ProblemCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

problem_codes! {
    FileUnreadable "file_unreadable"
        "Sidegate cannot read the file or folder."
        "Check the path, and let the user that Sidegate runs as read it."
    NoPolicyFiles "no_policy_files"
        "The path leads to no policy file."
        "Name a policy file, or a folder with `*.yaml` files."
    NotUtf8 "not_utf8"
        "The file has bytes that are not UTF-8 text."
        "Save the file as UTF-8."
    TooLarge "too_large"
        "The file, a list in it or the nesting of its values is larger than Sidegate reads."
        "Shorten it, or split the policy by prefix."
    NotAPolicy "not_a_policy"
        "The file is YAML of another program, not a policy."
        "Move the file out of the folder of policies."

    YamlSyntax "yaml_syntax"
        "The file is not valid YAML."
        "Correct the line; most slips are an indentation, a missing space after `:` or text that needs quotes."
    UnsupportedYaml "unsupported_yaml"
        "The file uses a part of YAML that Sidegate does not read: tags, merge keys or several documents."
        "Write the fields out, in one document and without tags."

    UnknownField "unknown_field"
        "The mapping has a field that Sidegate does not know."
        "Correct the name of the field, or remove it."
    MissingField "missing_field"
        "A required field is missing."
        "Add the field."
    DuplicateField "duplicate_field"
        "The mapping has the same field twice."
        "Remove one of them."
    EmptyValue "empty_value"
        "A field, text or list has nothing in it."
        "Write a value, or remove the field."
    InvisibleCharacter "invisible_character"
        "The file has a character that cannot be seen or that only looks like another one, so the text differs from what it seems."
        "Write the text again with plain characters."
    WrongType "wrong_type"
        "The value has another type than the field needs, such as text for a list."
        "Write the value in the form that the message shows."
    UnknownWord "unknown_word"
        "The field takes one of a few words, and the value is another one."
        "Write one of the known words."
    DuplicateItem "duplicate_item"
        "The same thing is written twice."
        "Remove one of them."
    OneOfFields "one_of_fields"
        "Exactly one field of a group is needed, and the mapping has none or several."
        "Keep exactly one of the fields that the message names."
    FieldNeedsOther "field_needs_other"
        "The field has an effect only together with another field, which is missing."
        "Add the other field, or remove this one."
    InvalidDuration "invalid_duration"
        "The value is not a length of time."
        "Write a whole number with one unit: `500ms`, `30s`, `5m`, `24h` or `7d`."
    InvalidSize "invalid_size"
        "The value is not a number of bytes."
        "Write a whole number, alone or with one unit: `512`, `32KiB`, `10MiB` or `1GiB`."
    InvalidTime "invalid_time"
        "The value is not a point in time."
        "Write a time with its zone, such as `2027-01-01T00:00:00Z`."
    OutOfRange "out_of_range"
        "The value is smaller or larger than the field allows."
        "Write a value in the range that the message names."
    TooManyProblems "too_many_problems"
        "The file has more problems than are listed."
        "Fix those that are listed, and check again."
    UnsupportedVersion "unsupported_version"
        "The file is written in a version of the format that this program does not know."
        "Write `version: 1`."

    SecretInFile "secret_in_file"
        "A secret or a password stands in the file itself."
        "Write `{ env: NAME }` or `{ file: PATH }`, and replace the secret: others may have read it."
    VariableNotSet "variable_not_set"
        "The environment variable that the file names is not set."
        "Set the variable where Sidegate runs."
    NamedFileUnreadable "named_file_unreadable"
        "Sidegate cannot read a file that the policy or `sidegate.yaml` names."
        "Check the path, which starts at the folder of the YAML file, and the permissions."
    SecretEmpty "secret_empty"
        "The variable or file with a secret, a key or a certificate is empty."
        "Write the content into the variable or file."
    InvalidPem "invalid_pem"
        "The file is not readable PEM."
        "Write the file again, as PEM with complete `BEGIN` and `END` lines."
    InvalidCertificate "invalid_certificate"
        "The file has no certificate that can be used here."
        "Name a file with a `CERTIFICATE` as PEM that was issued for this use."
    CertificateExpired "certificate_expired"
        "The certificate has expired."
        "Issue a new certificate."
    InvalidPrivateKey "invalid_private_key"
        "The file has no private key that Sidegate can use."
        "Name a file with an unencrypted RSA, P-256, P-384 or Ed25519 private key as PEM."
    PrivateKeyMismatch "private_key_mismatch"
        "The private key does not belong to the certificate."
        "Name the key that the certificate was issued for."
    InvalidRevocationList "invalid_revocation_list"
        "The file has no certificate revocation list that Sidegate can use."
        "Name a file with an `X509 CRL` as PEM."

    InvalidName "invalid_name"
        "The name has characters that cannot stand where it is used, such as in headers and metrics."
        "Use the characters that the message names."
    InvalidPrefix "invalid_prefix"
        "The prefix is not a plain path."
        "Write a path that starts with `/` and has no wildcards, such as `/orders/v1`."
    InvalidPath "invalid_path"
        "No request could have this path, so the route would never match."
        "Write the path as it is after decoding, starting with `/`."
    InvalidWildcard "invalid_wildcard"
        "The path has a wildcard or a regular expression that Sidegate does not read."
        "Write `{name}` for one segment, and `/*` at the end for all paths below."
    PrefixRepeated "prefix_repeated"
        "The path of a route begins with the prefix of its policy, so the route matches the prefix twice."
        "Write the path as it is below the prefix."
    CaseContradiction "case_contradiction"
        "The settings for the case of paths contradict each other or the paths."
        "Keep one of `case_insensitive: true` and `case: exact`, and ASCII letters with the first."
    InvalidHost "invalid_host"
        "The value is not a host name or a wildcard for one."
        "Write `api.example.com` or `*.example.com`, without scheme and port."
    UnknownMethod "unknown_method"
        "The route names a method that does not exist, or that is written in another case."
        "Write a method in capital letters, such as `GET`."
    UnknownAuth "unknown_auth"
        "The way to authenticate is unknown."
        "Write `public`, `jwt`, `internal_key`, `mtls`, `{ any: […] }` or `{ all: […] }`."
    AuthCombination "auth_combination"
        "The ways to authenticate cannot be combined like this."
        "Put `public` last in `any`, after another way, and nowhere else."
    AuthNotConfigured "auth_not_configured"
        "The policy uses tokens, internal keys or client certificates, and does not say which are good."
        "Add the `jwt`, `internal_key` or `mtls` block, or use what the policy has."
    RolesWithoutToken "roles_without_token"
        "The route requires roles or scopes, and clients can reach it without a token that has them."
        "Use `auth: jwt`, or leave `roles` and `scopes` out."
    ConditionWithoutToken "condition_without_token"
        "A condition of the route compares a claim, and clients can reach the route without a token."
        "Use `auth: jwt`, or leave the condition out."
    ConditionContradiction "condition_contradiction"
        "A condition can never hold, or two conditions cannot hold together, so every request would be rejected."
        "Change or remove one of the conditions."
    ConditionType "condition_type"
        "The operator does not fit the type that the standards give the claim, so the condition would not hold."
        "Use `has` or `has_any` for a list, `within` for a time, and `equals` or `in` for other claims."
    UnknownParameter "unknown_parameter"
        "The text names a parameter that the path of the route does not have."
        "Write a `{name}` of the path, or a text without braces."
    UnknownRole "unknown_role"
        "A role is nearly spelled as one of the policy's `roles`, and is not one of them."
        "Correct the spelling of the role."
    RouteConflict "route_conflict"
        "Two routes match the same requests, and neither is more specific."
        "Make their paths or methods differ, or remove one of them."
    RouteUnreachable "route_unreachable"
        "Another route or policy takes every request that the route matches."
        "Remove the route, or make its path or methods differ."
    PolicyConflict "policy_conflict"
        "Two policies match the same requests, because they have the same prefix and hosts."
        "Give one of them another `prefix`, or tell them apart by `hosts`."
    InvalidMediaType "invalid_media_type"
        "The value is not a media type that a request could be compared with."
        "Write a type without parameters and wildcards, such as `application/json`."
    InvalidHeaderName "invalid_header_name"
        "The value is not the name of a header."
        "Write a header name, such as `x-tenant-id`."
    ReservedHeader "reserved_header"
        "The header has a meaning of its own in HTTP or in Sidegate, and cannot be used for this."
        "Choose another header."
    HeaderConflict "header_conflict"
        "Two settings use the same header for different things."
        "Choose another header for one of them."
    PassNotAllowed "pass_not_allowed"
        "The header cannot be passed, because Sidegate sets it, removes it always, or never removes it."
        "Leave the header out of `pass`."
    PassUnproven "pass_unproven"
        "A route that any client may call passes a header that names the caller, so any client can set it."
        "Leave the header out of `pass`, unless only a proxy that sets it can reach Sidegate."
    HeaderNotRemoved "header_not_removed"
        "Two policies may forward to the same upstream, and one of them does not remove a header that the other sets."
        "Write `upstream.url` in the same way in both policies."
    OpenInOtherCase "open_in_other_case"
        "A guarded path is public in another case, so an upstream that ignores case can be reached without a credential."
        "Leave out `case: exact`, unless the upstream tells the paths apart."

    InvalidUpstreamUrl "invalid_upstream_url"
        "The value is not the URL of an upstream."
        "Write `http://host:port`, `https://…`, `h2c://…` or `unix:/path`."
    TlsOnly "tls_only"
        "The setting works only with a URL that uses TLS."
        "Use `https://` (for Redis `rediss://`), or remove the setting."

    InvalidIssuer "invalid_issuer"
        "No token can have this value as its `iss`."
        "Write the issuer exactly as the `iss` claim of its tokens has it."
    IssuerMismatch "issuer_mismatch"
        "The keys belong to another issuer than the tokens."
        "Make `issuer` and `oidc` name the same issuer, or write `oidc: { issuer: …, url: … }`."
    UncheckedNotAlone "unchecked_not_alone"
        "`unchecked` stands beside other issuers or audiences."
        "Write `unchecked` alone, or remove it."
    UnknownAlgorithm "unknown_algorithm"
        "The signature algorithm is unknown, or Sidegate does not support it."
        "Write one of the supported algorithms, such as `RS256` or `ES256`."
    AlgorithmKeyMismatch "algorithm_key_mismatch"
        "The key cannot be used with one of the algorithms of the issuer."
        "List only algorithms that fit the key."
    SecretIsPublic "secret_is_public"
        "A shared secret comes from a public place, such as a URL or a PEM file."
        "Use `keys: { secret: … }` with a random value, or an algorithm with a public key."
    WeakKey "weak_key"
        "The key or secret is too short, or weak in another way."
        "Generate a longer key."
    InvalidKey "invalid_key"
        "The key or key set cannot be read, or has no key that Sidegate can use."
        "Use an RSA, P-256, P-384 or Ed25519 public key, or a key set that has one."
    KeyNotUsed "key_not_used"
        "A key of a key set is not used, because its `use` is a word that is not registered."
        "Write `\"use\": \"sig\"` in the key, or leave `use` out of it."
    KeyEncoding "key_encoding"
        "A number of a public key is written in padded or plain base64, and the standard is base64url without `=`."
        "Write the number as RFC 7518 has it. Sidegate takes the key nevertheless."
    InvalidUrl "invalid_url"
        "The value is not a URL that can be used here."
        "Write an `https://` URL without user, password and fragment."
    InsecureUrl "insecure_url"
        "Keys or tokens would be sent over plain http, where others can replace or read them."
        "Use `https://`."
    DottedClaim "dotted_claim"
        "The name of a claim has dots, and Sidegate looks for one claim with exactly that name."
        "Write the path as a list, such as `[realm_access, roles]`."
    InvalidClaimName "invalid_claim_name"
        "The value is not the name of a claim."
        "Write the name of the claim alone."
    InvalidTokenType "invalid_token_type"
        "The value is not a type that the tokens of an issuer can have."
        "Write the type as in the header of the tokens, such as `at+jwt`."
    InvalidHeaderFormat "invalid_header_format"
        "The `encoding` or the `separator` of an identity header does not fit, or cannot have an effect."
        "Write `encoding: percent` for text only, and a `separator` for lists only."
    BindingIgnored "binding_ignored"
        "Tokens that are bound to a key are accepted without the key, so a stolen token works."
        "Leave `binding` out, unless a proxy in front of Sidegate verifies bound tokens."

    DuplicateKey "duplicate_key"
        "Two internal keys have the same secret."
        "Give each caller a key of its own."
    InvalidDigest "invalid_digest"
        "The value is not the SHA-256 digest of a key."
        "Write 64 hex digits, as `printf %s \"$KEY\" | sha256sum` prints them."
    KeyExpired "key_expired"
        "An internal key has expired, so requests with it are rejected."
        "Remove the key, or give it a later `expires`."
    InvalidCertificateName "invalid_certificate_name"
        "No certificate could have this name."
        "Write the name exactly; `*` stands for one whole segment of the path of a URI."

    IdempotencyMisplaced "idempotency_misplaced"
        "`idempotency` stands on a public route or names a method that changes nothing."
        "Use it on routes with a credential, for `POST`, `PUT`, `PATCH` or `DELETE`."
    QuotaScope "quota_scope"
        "The quota counts by something that the policy never verifies."
        "Add the block that verifies it, or count by something else, such as `per: address`."
    QuotaConflict "quota_conflict"
        "Two quotas of one name differ, and are counted together."
        "Make them the same, or rename one."
    SandboxWithoutQuotas "sandbox_without_quotas"
        "`sandbox` leaves requests out of quotas, and the policy or route has none."
        "Add `quotas`, or remove `sandbox`."

    InvalidAddress "invalid_address"
        "The value is not an address or a unix socket to listen on."
        "Write `127.0.0.1:8080`, `0.0.0.0:8080`, `[::]:8080` or `unix:/path`."
    DuplicateAddress "duplicate_address"
        "Two listeners have the same address."
        "Give one of them another port or path."
    InvalidNetwork "invalid_network"
        "The value is not a network."
        "Write a CIDR such as `10.0.0.0/8`, or one IP address."
    InvalidProbe "invalid_probe"
        "The upstream or the path of the probe cannot be asked."
        "Write `http://127.0.0.1:PORT` or `unix:/path`, and a path such as `/health`."
    InvalidRedisUrl "invalid_redis_url"
        "The value is not the URL of a Redis."
        "Write `redis://host:6379`, `rediss://host:6379` or `unix:/path`, or the form for a cluster or sentinels."
    TlsSetup "tls_setup"
        "TLS cannot be set up with these files."
        "Check certificates, CAs and revocation lists of the listener."
    CertificatesNotAsked "certificates_not_asked"
        "The policy needs client certificates, and no listener asks for them."
        "Give a listener in `sidegate.yaml` a `tls.client_ca`."

    UnusedBlock "unused_block"
        "The policy has a block such as `jwt`, `internal_key`, `mtls` or `tenant`, and no route uses it."
        "Use it in a route, or remove it."
    UnusedRole "unused_role"
        "An entry under `roles` has no effect, because no route requires a role that it brings along."
        "Require one of the roles on a route, or remove the entry."
    ShadowMode "shadow_mode"
        "Shadow mode is on: requests are forwarded even if they would be rejected."
        "Remove `mode: shadow` once the log shows no `shadow_deny` that should pass."
    WideTrustedProxies "wide_trusted_proxies"
        "`trusted_proxies` covers so many addresses that most clients can set their own address."
        "Name the networks of your proxies only."
    UpstreamIsSidegate "upstream_is_sidegate"
        "The upstream of a policy is a listener of Sidegate itself, so requests would come back without end."
        "Write the address of the upstream."
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn code_is_one_snake_case_word_with_two_sentences() {
        let mut seen = BTreeSet::new();
        for code in ProblemCode::ALL {
            let text = code.as_str();
            assert!(
                text.bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'),
                "{text}"
            );
            assert!(seen.insert(text), "{text} is a code twice");
            for sentence in [code.meaning(), code.fix()] {
                let first = sentence.chars().next().unwrap();
                assert!(first.is_uppercase() || first == '`', "{text}: {sentence}");
                assert!(
                    sentence.ends_with('.') && !sentence.contains(". "),
                    "{text}: {sentence}"
                );
            }
        }
    }
}
