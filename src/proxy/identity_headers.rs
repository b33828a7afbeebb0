//! Drops what the client claimed and sets what the permit proves. Runs after the engine removed
//! what `Connection` nominates, so nothing that is set here can be removed again.

use std::net::IpAddr;

use http::header::{AUTHORIZATION, COOKIE, HOST};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::ids::RequestIds;
use crate::authz::Permit;
use crate::policy::Policy;
use crate::policy::identity::{INTERNAL_KEY, ONE_SPELLING, is_alias};
use crate::policy::route::Route;
use crate::principal::AuthMethod;
use crate::proxy::error_response::REQUEST_ID;

/// What a proxy in front says about the connection that it took; only believed if it is trusted.
const FORWARDING: [&str; 14] = [
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

/// What never comes from a client: certificates that were not in this handshake (RFC 9440), and
/// orders to serve another path or method than the one that was decided on.
const NEVER: [&str; 23] = [
    "client-cert",
    "client-cert-chain",
    "proxy",
    "proxy-client-ip",
    "remote-user",
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
    "x-remote-user",
    "x-rewrite-url",
];

/// How the names of further such headers begin.
const NEVER_BEGINS: [&str; 6] = [
    "ssl-client-",
    "x-amzn-mtls-",
    "x-client-cert-",
    "x-forwarded-client-cert",
    "x-ssl-client-",
    "x-tls-client-",
];

const X_FORWARDED: &str = "x-forwarded-";
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_SANDBOX: HeaderName = HeaderName::from_static("x-sandbox");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The connection that a request came by.
#[derive(Debug, Clone, Copy)]
pub struct Hop {
    /// The other end, if it has an IP address.
    pub peer: Option<IpAddr>,
    /// Whether the connection is TLS.
    pub tls: bool,
    /// Whether the other end may speak for its clients.
    pub trusted: bool,
}

/// The changes to the header of one request.
#[derive(Debug, Default, PartialEq)]
pub struct Changes {
    /// Names to remove, all their values.
    pub remove: Vec<HeaderName>,
    /// Values to set, each the only one of its name.
    pub set: Vec<(HeaderName, HeaderValue)>,
}

/// Says how the header of a request changes before it is forwarded.
pub fn changes(
    headers: &HeaderMap,
    policy: &Policy,
    route: &Route,
    permit: &Permit,
    hop: Hop,
    ids: &RequestIds,
) -> Changes {
    let remove = headers
        .keys()
        .filter(|name| is_removed(name, policy, route, permit, hop))
        .cloned()
        .collect();
    let mut changes = Changes {
        remove,
        set: Vec::new(),
    };
    changes.forwarding(headers, hop);
    changes.sandbox(headers);
    changes.cookies(headers);
    changes.tracing(ids);
    changes.set.extend(permit.identity().iter().cloned());
    changes
}

fn is_removed(name: &HeaderName, policy: &Policy, route: &Route, permit: &Permit, hop: Hop) -> bool {
    let text = name.as_str();
    if *name == AUTHORIZATION {
        return !policy.forward_authorization;
    }
    if policy.identity.owns(text) {
        return !route.pass.contains(name);
    }
    let key = policy.internal_keys.as_ref().map_or(&INTERNAL_KEY, |keys| &keys.header);
    if is_alias(text, key.as_str()) {
        // Only a key that was verified here may go on, and only where the policy says so.
        return !(policy.forward_internal_key && permit.proves(AuthMethod::InternalKey) && name == key);
    }
    if ONE_SPELLING.iter().any(|one| text != *one && is_alias(text, one)) || is_never_passed(text) {
        return true;
    }
    let forwarding = starts_like(text, X_FORWARDED) || FORWARDING.iter().any(|f| is_alias(text, f));
    forwarding && !(hop.trusted && FORWARDING.contains(&text))
}

fn is_never_passed(name: &str) -> bool {
    let exactly = NEVER.iter().any(|never| is_alias(name, never));
    exactly || NEVER_BEGINS.iter().any(|start| starts_like(name, start))
}

/// Whether a name begins like another, in any spelling.
fn starts_like(name: &str, start: &str) -> bool {
    let begins = |name: &str| name.get(..start.len()).is_some_and(|head| is_alias(head, start));
    begins(name) || (begins_with_http(name) && name.get(5..).is_some_and(begins))
}

fn begins_with_http(name: &str) -> bool {
    name.get(..5).is_some_and(|head| is_alias(head, "http-"))
}

impl Changes {
    /// What Sidegate saw; behind a trusted proxy, what that proxy says.
    fn forwarding(&mut self, headers: &HeaderMap, hop: Hop) {
        let told = |name: &HeaderName| {
            let mut values = headers.get_all(name).iter().filter(|_| hop.trusted);
            values.next().filter(|_| values.next().is_none()).cloned()
        };
        let peer = hop.peer.map(|peer| peer.to_string());
        let mut chain: Vec<String> = Vec::new();
        if hop.trusted {
            let values = headers.get_all(&X_FORWARDED_FOR).iter();
            chain.extend(values.filter_map(|value| value.to_str().ok()).map(ToOwned::to_owned));
        }
        chain.extend(peer);
        self.set.extend(
            HeaderValue::from_str(&chain.join(", "))
                .ok()
                .filter(|v| !v.is_empty())
                .map(|v| (X_FORWARDED_FOR, v)),
        );
        let proto = HeaderValue::from_static(if hop.tls { "https" } else { "http" });
        let told_proto = told(&X_FORWARDED_PROTO).filter(|told| told == "http" || told == "https");
        self.set.push((X_FORWARDED_PROTO.clone(), told_proto.unwrap_or(proto)));
        let host = told(&X_FORWARDED_HOST).or_else(|| headers.get(HOST).cloned());
        self.set.extend(host.map(|host| (X_FORWARDED_HOST, host)));
    }

    /// `x-sandbox: true` passes, any other value does not.
    fn sandbox(&mut self, headers: &HeaderMap) {
        let mut values = headers.get_all(&X_SANDBOX).iter().peekable();
        if values.peek().is_none() {
            return;
        }
        match values.all(|value| value == "true") {
            true => self.set.push((X_SANDBOX, HeaderValue::from_static("true"))),
            false => self.remove.push(X_SANDBOX),
        }
    }

    /// HTTP/2 may split cookies; one field is what HTTP/1 services read (RFC 9113, 8.2.3).
    fn cookies(&mut self, headers: &HeaderMap) {
        let crumbs: Vec<_> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
        if crumbs.len() > 1 {
            let whole = HeaderValue::from_bytes(&crumbs.join(&b"; "[..]));
            self.set.extend(whole.ok().map(|whole| (COOKIE, whole)));
        }
    }

    fn tracing(&mut self, ids: &RequestIds) {
        self.set
            .extend(HeaderValue::from_str(&ids.request_id).ok().map(|id| (REQUEST_ID, id)));
        self.set.extend(
            HeaderValue::from_str(&ids.traceparent)
                .ok()
                .map(|trace| (TRACEPARENT, trace)),
        );
        if ids.trace_begins {
            self.remove.push(TRACESTATE);
        }
    }
}

#[cfg(test)]
mod tests;
