//! Policies for one service: what one of them reads or sets, none of them takes from a client.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::IpAddr;

use http::HeaderName;

use super::contradictions::start;
use crate::document::problem::{Fault, Location, Problem, ProblemCode};
use crate::policy::identity::{IdentityHeader, IdentitySource};
use crate::policy::token_sources::{SourceKind, TokenPlaces};
use crate::policy::{Policy, UpstreamAddress};
use crate::request::listed::Listed;
use crate::request::names::{FoldedName, fold};

/// As many files are named in one message.
const MOST_NAMED: usize = 3;

/// Makes the names of each policy those of all policies for the same service: all of them remove them.
pub(super) fn share_names(policies: &mut [Policy]) {
    for group in groups(policies) {
        let members = group.iter().filter_map(|index| policies.get(*index));
        let names: BTreeSet<String> = members.clone().flat_map(own_names).collect();
        let mut places = TokenPlaces::default();
        members.for_each(|policy| places.extend(&policy.sources.read));
        for index in group {
            let Some(policy) = policies.get_mut(index) else {
                continue;
            };
            let key = fold(policy.key_header().as_str());
            // Whether its own key goes on is for the policy to say.
            let names = names.iter().filter(|name| **name != key);
            policy.identity.own_too(names.cloned());
            policy.sources.removed.extend(&places);
        }
    }
}

/// Finds headers that have the tokens of one policy, and that another one for the same service reads or sets for
/// something else.
pub(super) fn taken(policies: &[Policy]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for group in groups(policies) {
        let members: Vec<_> = group.iter().filter_map(|index| policies.get(*index)).collect();
        for policy in &members {
            let names: BTreeSet<String> = own_names(policy).collect();
            problems.extend(names.iter().filter_map(|name| {
                let other = members.iter().find(|other| reads_token_in(other, name))?;
                let message = format!(
                    "`{name}` has tokens in `{}` for the same service, and is read or set for something else here",
                    other.file
                );
                let help = "choose another header, here or in `jwt.sources` there";
                let fault = Fault::new(ProblemCode::HeaderConflict, message, help);
                Some(Problem::new(start(policy)?, &fault))
            }));
        }
    }
    problems
}

/// Finds headers that one policy passes and another one for the same service sets.
pub(super) fn passed(policies: &[Policy]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for group in groups(policies) {
        let members: Vec<_> = group.iter().filter_map(|index| policies.get(*index)).collect();
        for policy in &members {
            let mut seen = HashSet::new();
            let passed = policy
                .routes
                .iter()
                .flat_map(|route| route.pass_through.iter().map(move |name| (route, name)));
            for (route, name) in passed.filter(|(_, name)| seen.insert(*name)) {
                let uses = |other: &&&Policy| sets(other, name) || reads_token_in(other, name.as_str());
                let setter = members.iter().find(uses);
                problems.extend(setter.map(|other| {
                    let message = format!(
                        "`{name}` cannot be passed: `{}` reads or sets it for the same service",
                        other.file
                    );
                    let fault = Fault::new(ProblemCode::PassNotAllowed, message, "leave it out of `pass`");
                    Problem::new(Location::clone(&route.location), &fault)
                }));
            }
        }
    }
    problems
}

/// Warns of each policy whose names another policy takes from clients, for a URL that may lead to the
/// same service. The warnings come with the index of their policy.
pub(super) fn let_through(policies: &[Policy]) -> Vec<(usize, Problem)> {
    let addresses: Vec<_> = policies
        .iter()
        .map(|policy| canonical(&policy.upstream.address))
        .collect();
    let mut warnings = Vec::new();
    for (index, (owner, address)) in policies.iter().zip(&addresses).enumerate() {
        let names = removed_names(owner);
        let others = policies.iter().zip(&addresses);
        let others = others
            .filter(|(_, other)| may_be_one(address, other))
            .map(|(other, _)| other);
        let (mut open, mut files) = (BTreeSet::new(), Vec::new());
        for other in others {
            let taken: Vec<_> = names
                .iter()
                .filter(|(kind, name)| !removes(other, *kind, name))
                .collect();
            if !taken.is_empty() {
                files.push(other.file.as_str());
                open.extend(taken);
            }
        }
        let warning = start(owner).filter(|_| !open.is_empty()).map(|location| {
            let message = format!(
                "{} is removed here and not in {}, whose `upstream.url` may lead to the same service",
                listed(open.iter().map(|(kind, name)| shown(*kind, name))),
                listed(files.iter().map(|file| format!("`{file}`")))
            );
            let help =
                "write `upstream.url` in the same way if it is the same service: then all these policies remove it";
            Problem::warning(location, &Fault::new(ProblemCode::HeaderNotRemoved, message, help))
        });
        warnings.extend(warning.map(|warning| (index, warning)));
    }
    warnings
}

/// The policies of each service that has several.
fn groups(policies: &[Policy]) -> Vec<Vec<usize>> {
    let mut services: HashMap<UpstreamAddress, Vec<usize>> = HashMap::new();
    for (index, policy) in policies.iter().enumerate() {
        services
            .entry(canonical(&policy.upstream.address))
            .or_default()
            .push(index);
    }
    let mut groups: Vec<_> = services.into_values().filter(|group| group.len() > 1).collect();
    groups.sort_unstable();
    groups
}

/// An address in its one spelling.
fn canonical(address: &UpstreamAddress) -> UpstreamAddress {
    match address {
        UpstreamAddress::Unix(path) => UpstreamAddress::Unix(path.clone()),
        UpstreamAddress::Network { scheme, host, port } => UpstreamAddress::Network {
            scheme: *scheme,
            host: match host.parse::<IpAddr>() {
                Ok(ip) => ip.to_canonical().to_string(),
                Err(_) => host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase(),
            },
            port: *port,
        },
    }
}

/// Whether two addresses differ and may still be one service: by another name at the same port, or
/// in another protocol at the same host.
fn may_be_one(a: &UpstreamAddress, b: &UpstreamAddress) -> bool {
    use UpstreamAddress::Network;
    match (a, b) {
        (
            Network { scheme, host, port },
            Network {
                scheme: other_scheme,
                host: other_host,
                port: other_port,
            },
        ) => a != b && (port == other_port || (host == other_host && scheme != other_scheme)),
        _ => false,
    }
}

/// The names that a policy reads or sets: in its identity headers, for its tenant, for its keys and in conditions.
fn own_names(policy: &Policy) -> impl Iterator<Item = String> {
    let identity = policy.identity.headers().iter().map(|header| &header.name);
    let tenant = policy.tenant.as_ref().map(|rule| &rule.header);
    let key = policy.internal_keys.as_ref().map(|keys| &keys.header);
    let own = identity.chain(tenant).chain(key).chain(&policy.compared);
    own.map(|name| fold(name.as_str()))
}

/// The names that a policy takes from no client: its own, and those of places with tokens.
fn removed_names(policy: &Policy) -> BTreeSet<(SourceKind, Cow<'_, str>)> {
    let own = own_names(policy).map(|name| (SourceKind::Header, Cow::Owned(name)));
    let places = policy.sources.read.iter().map(|(kind, name)| match kind {
        SourceKind::Header => (kind, Cow::Owned(fold(name))),
        SourceKind::Cookie | SourceKind::Query | SourceKind::WebSocketProtocol => (kind, Cow::Borrowed(name)),
    });
    own.chain(places).collect()
}

/// Whether a policy reads tokens in a header.
fn reads_token_in(policy: &Policy, header: &str) -> bool {
    FoldedName::with(header, |name| policy.sources.read.is_header(&name))
}

/// Whether a policy reads or sets a header. A client's tenant header proves nothing, and a login needs
/// it: only one that is called as a header of another product counts.
fn sets(policy: &Policy, name: &HeaderName) -> bool {
    FoldedName::with(name.as_str(), |folded| {
        let tenant = policy.tenant.as_ref().map(|rule| &rule.header);
        let names_tenant = tenant.is_some_and(|header| folded.spells(header));
        let mut headers = policy.identity.headers().iter();
        let is_set = if Listed::of(&folded).foreign {
            names_tenant || headers.any(|header| folded.spells(&header.name))
        } else {
            let sets = |header: &IdentityHeader| header.source != IdentitySource::Tenant;
            let is_tenant = folded.is("x-tenant-id") || names_tenant;
            !is_tenant && headers.any(|header| sets(header) && folded.spells(&header.name))
        };
        let is_key = policy
            .internal_keys
            .as_ref()
            .is_some_and(|keys| folded.spells(&keys.header));
        is_key || is_set
    })
}

/// Whether a policy takes a name from no client.
fn removes(policy: &Policy, kind: SourceKind, name: &str) -> bool {
    let places = &policy.sources.removed;
    match kind {
        SourceKind::Header => removes_header(policy, name),
        SourceKind::Cookie => places.is_cookie(name.as_bytes()),
        SourceKind::Query => places.is_query(name.as_bytes()),
        SourceKind::WebSocketProtocol => places.is_protocol(name.as_bytes()),
    }
}

fn removes_header(policy: &Policy, name: &str) -> bool {
    FoldedName::with(name, |name| {
        let listed = Listed::of(&name);
        let is_passed = || {
            policy
                .routes
                .iter()
                .any(|route| route.pass_through.iter().any(|passed| name.spells(passed)))
        };
        policy.is_reserved(&name)
            || policy.sources.removed.is_header(&name)
            || listed.never
            || listed.forwarding
            || (listed.foreign && !is_passed())
    })
}

/// A name with its kind, unless it is a header.
fn shown(kind: SourceKind, name: &str) -> String {
    match kind {
        SourceKind::Header => format!("`{name}`"),
        SourceKind::Cookie | SourceKind::Query | SourceKind::WebSocketProtocol => format!("{} `{name}`", kind.noun()),
    }
}

fn listed(texts: impl ExactSizeIterator<Item = String>) -> String {
    let more = texts.len().saturating_sub(MOST_NAMED);
    let first: Vec<_> = texts.take(MOST_NAMED).collect();
    match more {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

#[cfg(test)]
mod tests;
