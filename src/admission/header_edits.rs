//! Removes the identity that a client claims, and sets the one that the permit proves. A header that the route compares
//! passes as it was compared. The edits apply after the fields that `Connection` names were removed, so that `Connection` cannot remove what they set.

use std::fmt::{Display, Write as _};
use std::net::IpAddr;

use http::header::{AUTHORIZATION, COOKIE, HOST, SEC_WEBSOCKET_PROTOCOL};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::trace_context::RequestIds;
use crate::admission::rejection_response::REQUEST_ID;
use crate::authz::Permit;
use crate::policy::Policy;
use crate::policy::route::Route;
use crate::policy::token_sources::TokenPlaces;
use crate::principal::AuthMethod;
use crate::request::forwarded::{
    X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PREFIX, X_FORWARDED_PROTO, said, scheme,
};
use crate::request::listed::{FORWARDING, Listed, is_standard};
use crate::request::names::FoldedName;
use crate::request::{Downstream, X_SANDBOX, cookies, is_sandbox, subprotocols};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The length of the longest IPv4 address.
const ADDRESS: usize = 15;

/// How many headers are set at most, besides those of the identity.
const MOST_SET: usize = 8;

/// The edits of the header fields of one request.
#[derive(Debug, Default, PartialEq)]
pub struct HeaderEdits {
    /// Names to remove, all their values.
    pub remove: Vec<HeaderName>,
    /// Values to set, each the only one of its name.
    pub set: Vec<(HeaderName, HeaderValue)>,
}

/// Returns the edits of a request's header fields before it is forwarded.
pub fn header_edits(
    headers: &HeaderMap,
    policy: &Policy,
    route: &Route,
    permit: &Permit,
    downstream: Downstream,
    ids: &RequestIds,
) -> HeaderEdits {
    let remove = headers
        .keys()
        .filter(|name| is_removed(name, policy, route, permit, downstream))
        .cloned()
        .collect();
    let mut edits = HeaderEdits {
        remove,
        set: Vec::with_capacity(MOST_SET + permit.identity().len()),
    };
    edits.forwarding(headers, downstream);
    edits.set.extend(
        policy
            .forwarded_prefix
            .clone()
            .map(|prefix| (X_FORWARDED_PREFIX, prefix)),
    );
    edits.sandbox(headers);
    edits.cookies(headers, &policy.sources.removed);
    edits.offers(headers, &policy.sources.removed);
    edits.tracing(ids);
    edits.set.extend(permit.identity().iter().cloned());
    edits
}

fn is_removed(name: &HeaderName, policy: &Policy, route: &Route, permit: &Permit, downstream: Downstream) -> bool {
    if *name == AUTHORIZATION {
        return !policy.forward_authorization;
    }
    FoldedName::with(name.as_str(), |folded| {
        if policy.sources.removed.is_header(&folded) || is_other_offer(name, policy, &folded) {
            return true;
        }
        if policy.identity.is_reserved(&folded) {
            if is_standard(name.as_str()) && !policy.identity.sets(name) {
                // A condition compares it. Without it, a service could take a page of another origin for no page.
                return false;
            }
            return match route.requirement.compares(name) {
                true => !permit.meets_requirement(),
                false => !route.pass_through.contains(name),
            };
        }
        let key = policy.key_header();
        if folded.spells(key) {
            // Only a key that Sidegate verified is forwarded, and only if the policy says so.
            return !(policy.forward_internal_key && permit.proves(AuthMethod::InternalKey) && name == key);
        }
        let listed = Listed::of(&folded);
        if listed.exact_only.is_some_and(|one| one != name.as_str()) || listed.never {
            return true;
        }
        if listed.foreign {
            return !route.pass_through.contains(name);
        }
        listed.forwarding && !(downstream.trusted && FORWARDING.contains(&name.as_str()))
    })
}

/// Returns whether a name is another spelling of the header with subprotocols, among which a token may be.
fn is_other_offer(name: &HeaderName, policy: &Policy, folded: &FoldedName<'_>) -> bool {
    !policy.sources.removed.protocols.is_empty()
        && *name != SEC_WEBSOCKET_PROTOCOL
        && folded.spells(&SEC_WEBSOCKET_PROTOCOL)
}

/// Adds an item to a list.
fn push(list: &mut String, item: &impl Display) {
    let separator = if list.is_empty() { "" } else { ", " };
    let _infallible = write!(list, "{separator}{item}");
}

/// Adds an address. Most are IPv4; this code formats them in a tenth of the instructions of `Display`.
fn push_address(list: &mut String, address: IpAddr) {
    let IpAddr::V4(address) = address else {
        return push(list, &address);
    };
    if !list.is_empty() {
        list.push_str(", ");
    }
    for (at, octet) in address.octets().into_iter().enumerate() {
        if at > 0 {
            list.push('.');
        }
        let digits = [octet / 100, octet / 10 % 10, octet % 10];
        let zeros = usize::from(octet < 100) + usize::from(octet < 10);
        list.extend(digits.iter().skip(zeros).map(|digit| char::from(b'0' + digit)));
    }
}

impl HeaderEdits {
    /// Sets the `X-Forwarded-*` fields from the connection, or as a trusted proxy sent them.
    fn forwarding(&mut self, headers: &HeaderMap, downstream: Downstream) {
        let mut chain = String::with_capacity(ADDRESS);
        if downstream.trusted {
            let values = headers.get_all(&X_FORWARDED_FOR).iter();
            for part in values.filter_map(|value| value.to_str().ok()) {
                push(&mut chain, &part);
            }
        }
        if let Some(peer) = downstream.peer {
            push_address(&mut chain, peer);
        }
        self.set.extend(
            HeaderValue::try_from(chain)
                .ok()
                .filter(|v| !v.is_empty())
                .map(|v| (X_FORWARDED_FOR, v)),
        );
        let proto = HeaderValue::from_static(scheme(headers, downstream.trusted, downstream.tls));
        self.set.push((X_FORWARDED_PROTO.clone(), proto));
        let host = said(headers, downstream.trusted, &X_FORWARDED_HOST).or_else(|| headers.get(HOST));
        self.set.extend(host.map(|host| (X_FORWARDED_HOST, host.clone())));
    }

    /// Removes an `x-sandbox` that quotas do not accept, so that the upstream does not accept it either.
    fn sandbox(&mut self, headers: &HeaderMap) {
        if !is_sandbox(headers) && headers.contains_key(&X_SANDBOX) {
            self.remove.push(X_SANDBOX);
        }
    }

    /// Removes cookies with tokens. Joins the others where HTTP/2 split them into several fields (RFC 9113, 8.2.3).
    fn cookies(&mut self, headers: &HeaderMap, places: &TokenPlaces) {
        let is_one = |name: &[u8]| places.is_cookie(name);
        let without = (!places.cookies.is_empty()).then(|| cookies::without(headers, is_one));
        if let Some(left) = without.flatten() {
            self.replace(COOKIE, &left);
        } else if headers.get_all(COOKIE).iter().nth(1).is_some() {
            let crumbs: Vec<_> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
            self.replace(COOKIE, &crumbs.join(&b"; "[..]));
        }
    }

    /// Removes a token that is offered as a subprotocol.
    fn offers(&mut self, headers: &HeaderMap, places: &TokenPlaces) {
        if places.protocols.is_empty() {
            return;
        }
        if let Some(left) = subprotocols::without(headers, |offer| places.is_protocol(offer)) {
            self.replace(SEC_WEBSOCKET_PROTOCOL, &left);
        }
    }

    /// Replaces all values of a header by one, or removes them if nothing is left.
    fn replace(&mut self, name: HeaderName, value: &[u8]) {
        match HeaderValue::from_bytes(value) {
            Ok(value) if !value.is_empty() => self.set.push((name, value)),
            _ => self.remove.push(name),
        }
    }

    fn tracing(&mut self, ids: &RequestIds) {
        self.set.push((REQUEST_ID, ids.request_id_value()));
        self.set.push((TRACEPARENT, ids.traceparent()));
        if ids.trace_begins {
            self.remove.push(TRACESTATE);
        }
    }
}

#[cfg(test)]
mod tests;
