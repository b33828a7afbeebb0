//! Lists of header names that have a meaning for proxies, frameworks and other products. They say
//! what a service never gets from a client, on any route and in any spelling.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::names::FoldedName;

/// Headers with a meaning of their own. They pass in this one spelling only, for others could be
/// taken for them, and a policy cannot give them another meaning.
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

/// What a proxy in front says about the connection that it took; only believed if it is trusted.
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

/// How the names of further such headers begin.
const X_FORWARDED: &str = "x-forwarded-";

/// What never comes from a client: certificates that were not in this handshake (RFC 9440), and
/// orders to serve another path or method than the one that was decided on.
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

/// Headers in which other products tell a service who is calling, or tell a server which file to
/// send. They are removed unless a policy passes them.
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

/// A list that a family of names is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum List {
    Never,
    Foreign,
}

/// How the names of families begin: in ascending order, and none of them begins another one, so that
/// the last one that is not behind a name is the only one that the name can begin with.
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

/// The letters that families begin with: most names need no further look.
const FIRST_LETTERS: &[u8] = b"ciostx";

/// On which of the lists a name is, in any spelling.
#[derive(Debug, Default, Clone, Copy)]
pub struct Listed {
    /// The one spelling that passes, of a name that has one.
    pub exact_only: Option<&'static str>,
    /// Never passes.
    pub never: bool,
    /// Passes from trusted proxies, if it is one of [`FORWARDING`].
    pub forwarding: bool,
    /// Passes where a policy says so.
    pub foreign: bool,
}

/// One name of the lists, and which one it is on.
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

    /// Whether it is on none of them.
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

/// The names that a policy can pass, those of families without their end.
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
