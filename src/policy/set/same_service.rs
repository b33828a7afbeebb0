//! Policies for one service: what one of them reads or sets, none of them takes from a client.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::IpAddr;

use http::HeaderName;

use super::contradictions::start;
use crate::document::problem::{Fault, Location, Problem, ProblemCode};
use crate::policy::identity::{IdentityHeader, IdentitySource};
use crate::policy::{Policy, UpstreamAddress};
use crate::request::listed::Listed;
use crate::request::names::{FoldedName, fold};

/// As many files are named in one message.
const MOST_NAMED: usize = 3;

/// Makes the names of each policy those of all policies for the same service.
pub(super) fn share_names(policies: &mut [Policy]) {
    for group in groups(policies) {
        let members = group.iter().filter_map(|index| policies.get(*index));
        let names: BTreeSet<String> = members.flat_map(own_names).collect();
        for index in group {
            let Some(policy) = policies.get_mut(index) else {
                continue;
            };
            let key = fold(policy.key_header().as_str());
            // Whether its own key goes on is for the policy to say.
            let names = names.iter().filter(|name| **name != key);
            policy.identity.own_too(names.cloned());
        }
    }
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
                let setter = members.iter().find(|other| sets(other, name));
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
        let names: BTreeSet<String> = own_names(owner).collect();
        let others = policies.iter().zip(&addresses);
        let others = others
            .filter(|(_, other)| may_be_one(address, other))
            .map(|(other, _)| other);
        let (mut open, mut files) = (BTreeSet::new(), Vec::new());
        for other in others {
            let taken: Vec<_> = names.iter().filter(|name| !removes(other, name)).collect();
            if !taken.is_empty() {
                files.push(other.file.as_str());
                open.extend(taken);
            }
        }
        let warning = start(owner).filter(|_| !open.is_empty()).map(|location| {
            let message = format!(
                "{} is removed here and not in {}, whose `upstream.url` may lead to the same service",
                quoted(open.iter().map(|name| name.as_str())),
                quoted(files.into_iter())
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
fn removes(policy: &Policy, name: &str) -> bool {
    FoldedName::with(name, |name| {
        let listed = Listed::of(&name);
        let is_passed = || {
            policy
                .routes
                .iter()
                .any(|route| route.pass_through.iter().any(|passed| name.spells(passed)))
        };
        policy.is_reserved(&name) || listed.never || listed.forwarding || (listed.foreign && !is_passed())
    })
}

fn quoted<'t>(texts: impl ExactSizeIterator<Item = &'t str>) -> String {
    let more = texts.len().saturating_sub(MOST_NAMED);
    let first: Vec<_> = texts.take(MOST_NAMED).map(|text| format!("`{text}`")).collect();
    match more {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::parse;

    /// A policy at a URL, with what tells it apart.
    fn policy(prefix: &str, url: &str, rest: &str) -> String {
        format!(
            "version: 1\nservice: s\nprefix: /{prefix}\nupstream: {{ url: '{url}' }}\n\
             jwt: {{ issuers: [{{ issuer: i, audience: [a], algorithms: [HS256], keys: {{ secret: {{ env: SECRET }} }} }}] }}\n\
             {rest}\n"
        )
    }

    const OWNER: &str = "tenant: { header: x-org, claims: [org] }
internal_key: { header: x-job-key, keys: [{ name: jobs, secret: { env: JOBS_KEY } }] }
identity: { x-account: sub, x_group: roles }
routes: [{ path: /*, auth: jwt }]";

    const OPEN: &str = "routes: [{ path: /*, auth: public }]";

    #[test]
    fn names_are_shared_by_the_policies_of_one_service_and_by_no_others() {
        use crate::request::names::FoldedName;
        for (url, other, shared) in [
            ("http://a.example:80", "http://a.example:80", true),
            ("http://a.example:80", "http://A.Example", true),
            ("http://a.example:80", "http://b.example:80", false),
            ("http://a.example:80", "http://a.example:81", false),
            ("http://a.example:80", "h2c://a.example:80", false),
            ("https://a.example", "https://a.example:443", true),
            ("http://[::1]:80", "http://[0:0:0:0:0:0:0:1]:80", true),
            ("unix:/run/a", "unix:/run/a", true),
            ("unix:/run/a", "unix:/run/b", false),
        ] {
            let policies = parse(&[&policy("a", url, OWNER), &policy("b", other, OPEN)]).unwrap();
            for name in ["x-account", "X_Account", "x-group", "x-org", "x-job-key", "x.job.key"] {
                let owns = FoldedName::with(name, |name| policies.get(1).unwrap().is_reserved(&name));
                assert_eq!(owns, shared, "{name} at {url} and {other}");
            }
            let key = FoldedName::with("x-job-key", |name| policies.get(0).unwrap().identity.is_reserved(&name));
            assert!(!key, "whether its own key goes on is for the policy to say");
        }
    }

    #[test]
    fn name_that_another_policy_takes_from_clients_is_warned_of_where_it_may_be_the_same_service() {
        let own = "identity: { x-account: sub }\nroutes: [{ path: /*, auth: jwt }]";
        let default = "routes: [{ path: /*, auth: jwt }]";
        for (owner, url, other, want) in [
            (
                own,
                "http://a:80",
                ("http://b:80", OPEN),
                &["`x-account`", "`1.yaml`"][..],
            ),
            (
                own,
                "http://127.0.0.1:80",
                ("http://localhost:80", OPEN),
                &["`x-account`"],
            ),
            (own, "http://a:80", ("https://a:443", OPEN), &["`x-account`"]),
            (own, "http://a:80", ("h2c://a:80", OPEN), &["`x-account`"]),
            (
                OWNER,
                "http://a:80",
                ("http://b:80", OPEN),
                &["`x-account`, `x-group`, `x-job-key` and 1 more"],
            ),
            (own, "http://a:80", ("http://a:80", OPEN), &[]),
            (own, "http://a:80", ("http://a:81", OPEN), &[]),
            (own, "http://a:80", ("http://b:81", OPEN), &[]),
            (own, "unix:/a", ("unix:/b", OPEN), &[]),
            (own, "http://a:80", ("http://b:80", own), &[]),
            (default, "http://a:80", ("http://b:80", OPEN), &[]),
            (
                "identity: { x-remote-user: sub }\nroutes: [{ path: /*, auth: jwt }]",
                "http://a:80",
                (
                    "http://b:80",
                    "routes: [{ path: /*, auth: jwt, pass: [x-remote-user] }]",
                ),
                &["`x-remote-user`"],
            ),
            (
                "identity: { x-remote-user: sub }\nroutes: [{ path: /*, auth: jwt }]",
                "http://a:80",
                ("http://b:80", OPEN),
                &[],
            ),
        ] {
            let (other_url, other) = other;
            let policies = parse(&[&policy("a", url, owner), &policy("b", other_url, other)]).unwrap();
            let warnings: Vec<_> = policies.warnings().map(ToString::to_string).collect();
            assert_eq!(
                warnings.len(),
                usize::from(!want.is_empty()),
                "{url} {other_url}: {warnings:?}"
            );
            for part in want {
                assert!(
                    warnings[0].starts_with("0.yaml:") && warnings[0].contains(part),
                    "{part}: {warnings:?}"
                );
            }
        }
    }

    #[test]
    fn one_policy_has_one_warning_however_many_others_there_are() {
        let mut files = vec![policy("a", "http://a:80", OWNER)];
        files.extend((0..5).map(|at| policy(&format!("b{at}"), &format!("http://b{at}:80"), OPEN)));
        let files: Vec<_> = files.iter().map(String::as_str).collect();
        let policies = parse(&files).unwrap();
        let warnings: Vec<_> = policies.warnings().map(ToString::to_string).collect();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(
            warnings[0].contains("`1.yaml`, `2.yaml`, `3.yaml` and 2 more"),
            "{warnings:?}"
        );
    }

    #[test]
    fn name_that_another_policy_for_the_same_service_sets_cannot_be_passed() {
        let sets = |name: &str| format!("identity: {{ {name}: sub }}\nroutes: [{{ path: /*, auth: jwt }}]");
        let passes = |name: &str, rest: &str| format!("{rest}routes: [{{ path: /*, auth: public, pass: [{name}] }}]");
        let key = "internal_key: { header: x-userinfo, keys: [{ name: jobs, secret: { env: JOBS_KEY } }] }\n\
                   routes: [{ path: /*, auth: internal_key }]";
        let (here, there) = ("http://a:80", "http://a:81");
        for (setter, url, passing, fine) in [
            (sets("x-userinfo"), here, passes("x-userinfo", ""), false),
            (sets("X_Userinfo"), here, passes("x-userinfo", ""), false),
            // The name of another product stays one, also where it is for a tenant.
            (
                sets("x-userinfo").replace("sub", "'@tenant'"),
                here,
                passes("x-userinfo", ""),
                false,
            ),
            (
                format!("tenant: {{ header: x-userinfo, claims: [org] }}\n{}", sets("x-account")),
                here,
                passes("x-userinfo", ""),
                false,
            ),
            (key.to_owned(), here, passes("x-userinfo", ""), false),
            (sets("x-userinfo"), there, passes("x-userinfo", ""), true),
            (sets("x-consumer-id"), here, passes("x-userinfo", ""), true),
            (
                sets("x-account"),
                here,
                passes("x-account", "tenant: { header: x-account, claims: [org] }\n"),
                false,
            ),
            (OWNER.to_owned(), here, passes("x-tenant-id", ""), true),
            (
                OWNER.to_owned(),
                here,
                passes("x-org", "tenant: { header: x-org, claims: [org] }\n"),
                true,
            ),
        ] {
            let found = parse(&[&policy("a", here, &setter), &policy("b", url, &passing)]);
            let found = found.err().unwrap_or_default();
            let errors: Vec<_> = found.iter().filter(|problem| problem.is_error()).collect();
            assert_eq!(errors.len(), usize::from(!fine), "{setter} {url} {passing}: {errors:?}");
            for error in errors {
                assert!(error.to_string().starts_with("1.yaml:"), "{error}");
                assert!(
                    error
                        .message()
                        .contains("`0.yaml` reads or sets it for the same service"),
                    "{error}"
                );
            }
        }
    }
}
