//! The aspects by which requests differ, besides the token.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use http::HeaderValue;

use super::pair::{MethodClass, Pair};
use super::parts::{Known, Patch};
use super::space::{Aspect, Dimension, Label, Variant};
use crate::document::key_reference::KeyReference;
use crate::policy::condition::Condition;
use crate::policy::internal_key::InternalKey;
use crate::principal::AuthMethod;
use crate::request::Body;

/// The type of a body that no route lists.
const OTHER_TYPE: &str = "application/x-unnamed";

/// The type of a request of gRPC, whose clients get rejections in a form of their own.
const GRPC: &str = "application/grpc";

/// Returns the bodies that either side tells apart.
pub(super) fn body(pair: &Pair<'_>, method: MethodClass) -> Option<Dimension> {
    let routes: Vec<_> = pair.met().map(|(_, route)| route).collect();
    let types: BTreeSet<&str> = routes
        .iter()
        .flat_map(|route| route.content_types.iter().map(String::as_str))
        .collect();
    let limits = limits(pair);
    let has_styles = !pair.has_same_policy(|policy| &policy.errors);
    let may_repeat = method.may_repeat.contains(&true);
    let value = |text: &str| HeaderValue::from_str(text).ok().into_iter().collect::<Vec<_>>();
    let of_type = |body, text: &str| Variant::new(Patch::Body(body, value(text)), Label::Body(text.to_owned()));
    let mut variants = vec![Variant::new(Patch::Body(Body::None, Vec::new()), Label::None)];
    if method.writes {
        variants.extend(types.iter().map(|text| of_type(Body::Sized(1), text)));
        variants.push(of_type(Body::Sized(1), OTHER_TYPE));
        let untyped = Patch::Body(Body::Sized(1), Vec::new());
        variants.push(Variant::new(untyped, Label::Body("no type".to_owned())));
    }
    if has_styles || may_repeat {
        let body = if types.contains(GRPC) {
            Body::Sized(1)
        } else {
            Body::None
        };
        variants.push(of_type(body, GRPC));
    }
    if method.opens && has_handshakes(pair) {
        let sized = Patch::Body(Body::Sized(1), Vec::new());
        variants.push(Variant::new(sized, Label::Body("1 byte".to_owned())));
    }
    if !limits.is_empty() {
        let first = types.iter().next().map(|text| value(text)).unwrap_or_default();
        for limit in limits {
            for length in [limit, limit.saturating_add(1)] {
                let patch = Patch::Body(Body::Sized(length), first.clone());
                variants.push(Variant::new(patch, Label::Body(format!("{length} bytes"))));
            }
        }
    }
    (variants.len() > 1).then(|| Dimension::new(Aspect::Body, variants))
}

/// Returns whether a side looks for tokens in handshakes, which have no body.
fn has_handshakes(pair: &Pair<'_>) -> bool {
    let mut policies = pair.asking(AuthMethod::Jwt);
    policies.any(|policy| !policy.sources.read.protocols.is_empty())
}

/// Returns the limits of bodies on both sides, if a route has its own.
fn limits(pair: &Pair<'_>) -> BTreeSet<u64> {
    let limits = pair.sides().into_iter().filter_map(|side| {
        let (_, route) = side.met()?;
        Some((route.body_bytes, side.rehearsal.body_bytes()))
    });
    let limits: Vec<(Option<u64>, u64)> = limits.collect();
    if limits.iter().all(|(own, _)| own.is_none()) {
        return BTreeSet::new();
    }
    limits.into_iter().map(|(own, usual)| own.unwrap_or(usual)).collect()
}

/// Returns the addresses that either side tells apart: the first one of each part that the borders of networks make.
pub(super) fn client(pair: &Pair<'_>) -> Option<Dimension> {
    let conditions = pair.met().flat_map(|(_, route)| &route.requirement.conditions);
    let networks = conditions.filter_map(|condition| match condition {
        Condition::Client { networks } => Some(networks),
        Condition::Claim { .. } | Condition::Header { .. } => None,
    });
    let networks: Vec<_> = networks.flatten().collect();
    if networks.is_empty() {
        return None;
    }
    let mut addresses = BTreeSet::from([IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)]);
    for network in networks {
        addresses.insert(network.network());
        addresses.extend(following(network.broadcast()));
    }
    let known = addresses.into_iter().map(|address| {
        let patch = Patch::Client(Some(address));
        Variant::new(patch, Label::Address(address.to_string()))
    });
    let unknown = Variant::new(Patch::Client(None), Label::Address("unknown".to_owned()));
    let variants = known.chain([unknown]).collect();
    Some(Dimension::new(Aspect::Client, variants))
}

fn following(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(address) => address
            .to_bits()
            .checked_add(1)
            .map(|bits| Ipv4Addr::from_bits(bits).into()),
        IpAddr::V6(address) => address
            .to_bits()
            .checked_add(1)
            .map(|bits| Ipv6Addr::from_bits(bits).into()),
    }
}

/// Returns the times at which keys stop working, each with its key.
pub(super) fn expiries(pair: &Pair<'_>) -> BTreeSet<i64> {
    let keys = pair
        .asking(AuthMethod::InternalKey)
        .filter_map(|policy| policy.internal_keys.as_ref());
    keys.flat_map(|keys| &keys.keys)
        .filter_map(InternalKey::expires)
        .collect()
}

/// An internal key that either side tells apart from others.
#[derive(Debug, Clone)]
pub(super) struct KnownKey {
    /// Where it comes from.
    pub(super) reference: KeyReference,
    /// Its name.
    pub(super) name: String,
    /// The times at which it stops working on some side.
    pub(super) expiries: BTreeSet<i64>,
}

/// Returns the keys that either side tells apart: those of both where they differ, else one for each time at which a key
/// stops working.
pub(super) fn keys(pair: &Pair<'_>) -> Vec<KnownKey> {
    let policies: Vec<_> = pair.asking(AuthMethod::InternalKey).collect();
    let lists: Vec<_> = policies
        .iter()
        .filter_map(|policy| policy.internal_keys.as_ref())
        .collect();
    let same = match lists.as_slice() {
        [old, new] => {
            let names = |keys: &crate::policy::internal_key::InternalKeys| {
                let named = keys
                    .keys
                    .iter()
                    .map(|key| (key.name().to_owned(), key.reference().clone(), key.expires()));
                named.collect::<Vec<_>>()
            };
            names(old) == names(new)
        }
        _ => true,
    };
    let mut found: Vec<KnownKey> = Vec::new();
    let mut seen: BTreeSet<Option<i64>> = BTreeSet::new();
    for key in lists.iter().flat_map(|keys| &keys.keys) {
        match found.iter_mut().find(|known| known.reference == *key.reference()) {
            Some(known) => known.expiries.extend(key.expires()),
            None if !same || seen.insert(key.expires()) => found.push(KnownKey {
                reference: key.reference().clone(),
                name: key.name().to_owned(),
                expiries: key.expires().into_iter().collect(),
            }),
            None => {}
        }
    }
    found
}

/// Returns what may be known of revoked tokens, if either side asks.
pub(super) fn known(pair: &Pair<'_>) -> Option<Dimension> {
    let rules: Vec<_> = pair
        .asking(AuthMethod::Jwt)
        .filter_map(|policy| policy.revocation.as_ref())
        .collect();
    if rules.is_empty() {
        return None;
    }
    let mut variants = vec![
        Variant::new(Patch::Known(Known::Nothing), Label::None),
        Variant::new(Patch::Known(Known::All), Label::When("revoked".to_owned())),
        Variant::new(
            Patch::Known(Known::Tenant),
            Label::When("whose tenant is revoked".to_owned()),
        ),
    ];
    let ages: BTreeSet<Duration> = rules
        .iter()
        .flat_map(|rule| [rule.max_stale, rule.max_stale + Duration::from_secs(1)])
        .collect();
    let unavailable = Label::When("while the list of revocations is unavailable".to_owned());
    let stale = ages.into_iter().map(Known::Stale).chain([Known::Never]);
    variants.extend(stale.map(|known| Variant::new(Patch::Known(known), unavailable.clone())));
    Some(Dimension::new(Aspect::Known, variants))
}
