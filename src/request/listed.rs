//! Lists of header names that have a meaning for proxies, frameworks and other products. A service never receives
//! them from a client, on any route and in any spelling, unless the list says otherwise.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::names::FoldedName;

/// Headers with a standard meaning. They pass in this spelling only, because a service could take another spelling
/// for them. A policy cannot give them another meaning.
pub const EXACT_ONLY: [&str; 18] = [
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "expect",
    "host",
    "idempotency-key",
    "keep-alive",
    "te",
    "traceparent",
    "tracestate",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-request-id",
    "x-sandbox",
];

/// Headers in which a proxy in front describes the client's connection. They are accepted from trusted proxies only.
pub const FORWARDING: [&str; 14] = [
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-proto",
    "x-forwarded-server",
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "fastly-client-ip",
    "x-original-forwarded-for",
];

/// Prefixes of further such headers.
const X_FORWARDED: &str = "x-forwarded-";

/// Headers that never pass: certificates that were not verified in this handshake (RFC 9440), and overrides of the
/// path or method that was decided on.
const NEVER: [&str; 21] = [
    "client-cert",
    "client-cert-chain",
    "proxy",
    "proxy-client-ip",
    "wl-proxy-client-ip",
    "x-arr-clientcert",
    "x-client-cert",
    "x-client-certificate",
    "x-envoy-external-address",
    "x-envoy-original-path",
    "x-forwarded",
    "x-host",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-middleware-subrequest",
    "x-original-host",
    "x-original-method",
    "x-original-url",
    "x-original-uri",
    "x-rewrite-url",
];

/// Headers in which other products name the caller to a service, or name a file that a server sends. They are removed
/// unless a policy passes them.
const FOREIGN: [&str; 20] = [
    // Authelia, Traefik, web servers.
    "remote-email",
    "remote-groups",
    "remote-name",
    "remote-user",
    "x-forwarded-access-token",
    "x-forwarded-email",
    "x-forwarded-groups",
    "x-forwarded-preferred-username",
    "x-forwarded-user",
    // Kubernetes: authenticating proxies.
    "x-remote-group",
    "x-remote-uid",
    "x-remote-user",
    // Kong and APISIX.
    "x-anonymous-consumer",
    "x-userinfo",
    // Google Cloud: Identity-Aware Proxy, Endpoints, API Gateway.
    "x-apigateway-api-userinfo",
    "x-endpoint-api-userinfo",
    "x-goog-iap-jwt-assertion",
    // Teleport.
    "teleport-jwt-assertion",
    // Servers that send files for an application.
    "x-sendfile",
    "x-sendfile-type",
];

/// The list that a family of names is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum List {
    Never,
    Foreign,
}

/// The prefixes of families, in ascending order. No prefix begins another one, so the last prefix that does not sort
/// after a name is the only one that the name can have.
const FAMILIES: [(&str, List); 25] = [
    ("cf-access-", List::Foreign),
    ("impersonate-", List::Foreign),
    ("oidc-claim-", List::Foreign),
    ("ssl-client-", List::Never),
    ("tailscale-", List::Foreign),
    ("x-accel-", List::Foreign),
    ("x-amzn-mtls-", List::Never),
    ("x-amzn-oidc-", List::Foreign),
    ("x-auth-request-", List::Foreign),
    ("x-authenticated-", List::Foreign),
    ("x-authentik-", List::Foreign),
    ("x-client-cert-", List::Never),
    ("x-consumer-", List::Foreign),
    ("x-credential-", List::Foreign),
    ("x-envoy-", List::Foreign),
    ("x-forwarded-client-cert", List::Never),
    ("x-goog-authenticated-user-", List::Foreign),
    ("x-ms-client-principal", List::Foreign),
    ("x-ms-token-", List::Foreign),
    ("x-pomerium-", List::Foreign),
    ("x-remote-extra-", List::Foreign),
    ("x-ssl-client-", List::Never),
    ("x-tls-client-", List::Never),
    ("x-vouch-", List::Foreign),
    ("x-webauth-", List::Foreign),
];

/// The first letters of families: most names have none of them, and need no search.
const FIRST_LETTERS: &[u8] = b"ciostx";

/// The lists that a name is on, in any spelling.
#[derive(Debug, Default, Clone, Copy)]
pub struct Listed {
    /// The only spelling that passes, if the name has one.
    pub exact_only: Option<&'static str>,
    /// Never passes.
    pub never: bool,
    /// Passes from trusted proxies if it is in [`FORWARDING`].
    pub forwarding: bool,
    /// Passes if a policy says so.
    pub foreign: bool,
}

/// A name, and the list that it is on.
type Entry = (&'static str, fn(&mut Listed, &'static str));

/// All whole names of the lists.
static LISTED: LazyLock<HashMap<&'static [u8], Entry>> = LazyLock::new(|| {
    let exact_only = EXACT_ONLY.map(|name| -> Entry { (name, |listed, name| listed.exact_only = Some(name)) });
    let never = NEVER.map(|name| -> Entry { (name, |listed, _| listed.never = true) });
    let forwarding = FORWARDING.map(|name| -> Entry { (name, |listed, _| listed.forwarding = true) });
    let foreign = FOREIGN.map(|name| -> Entry { (name, |listed, _| listed.foreign = true) });
    let all = exact_only.into_iter().chain(never).chain(forwarding).chain(foreign);
    all.map(|entry| (entry.0.as_bytes(), entry)).collect()
});

impl Listed {
    /// Looks a name up.
    pub fn of(name: &FoldedName<'_>) -> Self {
        let mut listed = Self {
            forwarding: name.begins(X_FORWARDED),
            ..Self::default()
        };
        for reading in name.readings() {
            match family(reading) {
                Some(List::Never) => listed.never = true,
                Some(List::Foreign) => listed.foreign = true,
                None => {}
            }
            if let Some((name, note)) = LISTED.get(reading) {
                note(&mut listed, name);
            }
        }
        listed
    }

    /// Returns whether the name is on no list.
    pub fn is_nowhere(&self) -> bool {
        !(self.exact_only.is_some() || self.never || self.forwarding || self.foreign)
    }
}

fn family(reading: &[u8]) -> Option<List> {
    if !reading.first().is_some_and(|first| FIRST_LETTERS.contains(first)) {
        return None;
    }
    let behind = FAMILIES.partition_point(|(start, _)| start.as_bytes() <= reading);
    let (start, list) = FAMILIES.get(behind.checked_sub(1)?)?;
    reading.starts_with(start.as_bytes()).then_some(*list)
}

/// Returns whether clients send a header by themselves, and services read its absence as well: the origin of a page
/// (Fetch, 3.2 and Fetch Metadata), preconditions, ranges and preferences (RFC 9110, 12.5, 13.1 and 14.2).
pub fn is_standard(name: &str) -> bool {
    const NAMES: [&str; 8] = [
        "cache-control",
        "origin",
        "prefer",
        "priority",
        "range",
        "referer",
        "user-agent",
        "via",
    ];
    const FAMILIES: [&str; 4] = ["accept", "if-", "sec-ch-", "sec-fetch-"];
    NAMES.contains(&name) || FAMILIES.iter().any(|family| name.starts_with(family))
}

/// Returns the names that a policy can pass, and the prefixes of such families.
pub fn passable() -> impl Iterator<Item = &'static str> {
    let families = FAMILIES.iter().filter(|(_, list)| *list == List::Foreign);
    FOREIGN.into_iter().chain(families.map(|(start, _)| *start))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(name: &str) -> Listed {
        FoldedName::with(name, |name| Listed::of(&name))
    }

    #[test]
    fn families_are_in_order_and_none_begins_another() {
        for pair in FAMILIES.windows(2) {
            let [(first, _), (second, _)] = pair else { panic!() };
            assert!(first < second && !second.starts_with(first), "{first} {second}");
        }
        for (start, _) in FAMILIES {
            assert!(FIRST_LETTERS.contains(&start.as_bytes()[0]), "{start}");
            assert!(family(start.as_bytes()).is_some(), "{start}");
        }
    }

    #[test]
    fn identity_header_of_another_product_is_listed_in_every_spelling() {
        for name in [
            "x-auth-request-user",
            "x-auth-request-preferred-username",
            "x-forwarded-user",
            "x-forwarded-email",
            "x-forwarded-groups",
            "x-forwarded-preferred-username",
            "x-forwarded-access-token",
            "x-goog-authenticated-user-email",
            "x-goog-authenticated-user-id",
            "x-goog-iap-jwt-assertion",
            "x-endpoint-api-userinfo",
            "x-amzn-oidc-data",
            "x-amzn-oidc-identity",
            "x-amzn-oidc-accesstoken",
            "x-ms-client-principal",
            "x-ms-client-principal-name",
            "x-ms-token-aad-id-token",
            "impersonate-user",
            "impersonate-extra-scopes",
            "x-remote-user",
            "x-remote-group",
            "x-remote-uid",
            "x-remote-extra-scopes",
            "x-consumer-id",
            "x-consumer-groups",
            "x-credential-identifier",
            "x-authenticated-userid",
            "x-userinfo",
            "x-anonymous-consumer",
            "x-webauth-user",
            "cf-access-jwt-assertion",
            "cf-access-authenticated-user-email",
            "tailscale-user-login",
            "tailscale-app-capabilities",
            "remote-user",
            "remote-groups",
            "remote-name",
            "remote-email",
            "x-authentik-username",
            "x-pomerium-jwt-assertion",
            "x-vouch-user",
            "oidc-claim-sub",
            "x-accel-redirect",
            "x-accel-mapping",
            "x-sendfile",
            "x-sendfile-type",
            "x-envoy-internal",
            "x-envoy-downstream-service-cluster",
            "x-envoy-peer-metadata-id",
            "x-envoy-upstream-rq-timeout-ms",
        ] {
            for spelling in [
                name.to_owned(),
                name.to_uppercase(),
                name.replace('-', "_"),
                name.replace('-', "."),
                format!("HTTP_{}", name.to_uppercase().replace('-', "_")),
            ] {
                let found = listed(&spelling);
                assert!(found.foreign && !found.never, "{spelling}: {found:?}");
            }
        }
    }

    #[test]
    fn name_beside_a_family_is_on_no_list() {
        for name in [
            "",
            "x",
            "x-auth-request",
            "x-auth-token",
            "x-authorization",
            "x-consumers",
            "x-envoy",
            "x-ms-client",
            "x-ms-client-request-id",
            "x-goog-authenticated",
            "cf-ray",
            "impersonate",
            "tailscale",
            "x-remote-extra",
            "x-webauthn",
            "x-zzz",
            "user-agent",
            "accept",
            "x-correlation-id",
            "x-api-key",
            "zz",
        ] {
            assert!(listed(name).is_nowhere(), "{name}: {:?}", listed(name));
        }
    }
}
