//! Listeners behind load balancers that speak the PROXY protocol.

use super::document::ConfigDocument;
use crate::document::collections::{List, ListOrEmpty};
use crate::document::problem::{ProblemCode, Problems};

/// Checks that a peer may send the header on each listener that expects one. Returns whether there is such a listener.
pub(super) fn check(document: &ConfigDocument, problems: &mut Problems) -> bool {
    let mut is_expected = false;
    let trusted = document.trusted_proxies.as_ref();
    let trusts = trusted.is_some_and(|ListOrEmpty(networks)| !networks.is_empty());
    for listener in document.listeners.iter().flat_map(|List(listeners)| listeners) {
        let Some(expected) = listener.proxy_protocol.as_ref().filter(|expected| expected.value) else {
            continue;
        };
        is_expected = true;
        let fault = match (listener.address.value.starts_with("unix:"), trusts) {
            (true, _) => Some((
                "`proxy_protocol` needs an `address` with a port: the peer on a unix socket has no address that could be trusted",
                "write an IP address and a port, or leave `proxy_protocol` out",
            )),
            (false, false) => Some((
                "`proxy_protocol` needs `trusted_proxies`: without it, every connection would be closed",
                "add `trusted_proxies: [ADDRESS]` with the addresses of the load balancers, or leave `proxy_protocol` out",
            )),
            (false, true) => None,
        };
        if let Some((message, help)) = fault {
            problems.add(&expected.span, ProblemCode::FieldNeedsOther, message, help);
        }
    }
    is_expected
}
