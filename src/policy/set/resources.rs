//! The metadata documents of protected resources (RFC 9728), which Sidegate serves before routing.

use super::contradictions::share_host;
use crate::document::problem::{Fault, Location, Problem, ProblemCode};
use crate::policy::resource::{Resource, WELL_KNOWN, without_slash};
use crate::policy::route::{PathPattern, Route};
use crate::policy::{HostPattern, Policy};

/// The folder that no document leaves.
const FOLDER: &str = "/.well-known";

/// The policies with a resource, by their indexes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ResourceIndex(Vec<usize>);

impl ResourceIndex {
    pub(super) fn new(policies: &[Policy]) -> Self {
        let with_one = policies
            .iter()
            .enumerate()
            .filter(|(_, policy)| policy.resource.is_some());
        Self(with_one.map(|(index, _)| index).collect())
    }

    /// Finds the policy whose document has a path, for a host: that with the most specific host. The path without that
    /// of a resource is for the only resource of the host.
    pub(super) fn find(&self, policies: &[Policy], host: Option<&str>, path: &[u8]) -> Option<usize> {
        if self.0.is_empty() {
            return None;
        }
        let rest = path.strip_prefix(WELL_KNOWN.as_bytes())?;
        let of_host = self.0.iter().filter_map(|index| {
            let policy = policies.get(*index)?;
            let rank = host_rank(policy, host.unwrap_or_default())?;
            Some((rank, *index, policy.resource.as_ref()?))
        });
        let of_host: Vec<_> = of_host.collect();
        let named = of_host.iter().filter(|(_, _, resource)| resource.has_path(rest));
        // Of equal ranks, the first one in the order of the files.
        let best = named.reduce(|best, next| if next.0 > best.0 { next } else { best });
        match (best, of_host.as_slice()) {
            (Some((_, index, _)), _) => Some(*index),
            (None, [(_, index, _)]) if without_slash(rest).is_empty() => Some(*index),
            (None, _) => None,
        }
    }
}

/// Returns how specific the host is by which a policy is for a host; `None` if it is for others.
fn host_rank(policy: &Policy, host: &str) -> Option<usize> {
    if policy.hosts.is_empty() {
        return Some(0);
    }
    let ranks = policy.hosts.iter().filter_map(|pattern| match pattern {
        HostPattern::Exact(name) => name.eq_ignore_ascii_case(host).then_some(usize::MAX),
        HostPattern::Suffix(suffix) => {
            let at = host.len().checked_sub(suffix.len()).filter(|at| *at > 0)?;
            let end = host.get(at..)?;
            end.eq_ignore_ascii_case(suffix).then_some(suffix.len())
        }
    });
    ranks.max()
}

/// Finds routes that take the path of a document, and documents that differ and have one path.
pub(super) fn contradictions(policies: &[Policy]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let with_resource = || {
        policies
            .iter()
            .filter_map(|policy| Some((policy, policy.resource.as_ref()?)))
    };
    for (at, (policy, resource)) in with_resource().enumerate() {
        let mut others = with_resource().filter(|(other, _)| !std::ptr::eq(*other, policy) && overlap(policy, other));
        let is_only = others.next().is_none();
        for (earlier, other) in with_resource().take(at) {
            if share_host(policy, earlier) && resource.shares_path(other) && resource.document != other.document {
                problems.push(same_path(resource, earlier));
            }
        }
        let root = is_only.then(|| WELL_KNOWN.to_owned());
        let paths: Vec<_> = root.into_iter().chain([resource.metadata_path()]).collect();
        for other in policies.iter().filter(|other| overlap(policy, other)) {
            let taking = other.routes.iter().filter_map(|route| {
                let path = paths.iter().rev().find(|path| takes(other, route, path))?;
                Some((route, path))
            });
            problems.extend(taking.map(|(route, path)| taken(route, path, policy)));
        }
    }
    problems
}

fn same_path(resource: &Resource, earlier: &Policy) -> Problem {
    let message = format!(
        "`{}` has another `resource` with the same metadata path `{}`, for the same hosts",
        earlier.file,
        resource.metadata_path()
    );
    let help = "write the same `resource` in both, or give one another `url` or other `hosts`";
    let fault = Fault::new(ProblemCode::ResourceConflict, message, help);
    Problem::new(Location::clone(&resource.location), &fault)
}

fn taken(route: &Route, path: &str, policy: &Policy) -> Problem {
    let message = format!(
        "the route takes `{path}`, where Sidegate serves the metadata of the resource of `{}`",
        policy.file
    );
    let help = "leave the route out, or list other paths below `/.well-known` one by one";
    let fault = Fault::new(ProblemCode::RouteUnreachable, message, help);
    Problem::new(Location::clone(&route.location), &fault)
}

/// Returns whether a host can be meant by both policies.
fn overlap(a: &Policy, b: &Policy) -> bool {
    let meets = |one: &HostPattern, other: &HostPattern| match (one, other) {
        (HostPattern::Exact(a), HostPattern::Exact(b)) => a == b,
        (HostPattern::Exact(host), HostPattern::Suffix(end)) | (HostPattern::Suffix(end), HostPattern::Exact(host)) => {
            host.len() > end.len() && host.ends_with(end.as_str())
        }
        (HostPattern::Suffix(a), HostPattern::Suffix(b)) => a.ends_with(b.as_str()) || b.ends_with(a.as_str()),
    };
    let any = |policy: &Policy| policy.hosts.is_empty();
    any(a) || any(b) || a.hosts.iter().any(|one| b.hosts.iter().any(|other| meets(one, other)))
}

/// Returns whether a route names a path of a document. One that takes all paths, or those of some first segment, does
/// not: it loses two paths to the document.
fn takes(policy: &Policy, route: &Route, path: &str) -> bool {
    let start = route.pattern.get(..FOLDER.len()).unwrap_or_default();
    let names_folder = start.eq_ignore_ascii_case(FOLDER);
    let below = policy.below_prefix_in_any_case(path);
    let literal = below.and_then(|below| PathPattern::parse(below).ok());
    names_folder && literal.is_some_and(|literal| route.path.overlaps(&literal))
}

#[cfg(test)]
mod tests {
    use crate::document::problem::Problem;
    use crate::testing::parse;

    fn policy(service: &str, lines: &str, url: Option<&str>, routes: &str) -> String {
        let resource = url.map(|url| {
            format!(
                "jwt: {{ issuers: [{{ issuer: i, audience: ['{url}'], algorithms: [HS256], keys: {{ secret: {{ env: SECRET }} }} }}] }}\n\
                 resource: {{ url: '{url}', authorization_servers: ['https://login.example'], scopes: [{service}] }}\n"
            )
        });
        let auth = if url.is_some() { "jwt" } else { "public" };
        format!(
            "version: 1\nservice: {service}\nupstream: {{ url: 'http://127.0.0.1:1' }}\n{lines}\n{}routes: [{{ path: '{routes}', auth: {auth} }}]\n",
            resource.unwrap_or_default()
        )
    }

    #[test]
    fn document_is_that_of_the_most_specific_host_and_the_root_form_that_of_the_only_resource() {
        let policies = parse(&[
            &policy(
                "a",
                "prefix: /a\nhosts: [x.example]",
                Some("https://x.example/mcp"),
                "/*",
            ),
            &policy(
                "b",
                "prefix: /b\nhosts: ['*.example']",
                Some("https://b.example/mcp"),
                "/*",
            ),
            &policy(
                "c",
                "prefix: /c\nhosts: [only.test]",
                Some("https://only.test/c/"),
                "/*",
            ),
            &policy("d", "prefix: /d\nhosts: [root.test]", Some("https://root.test"), "/*"),
            &policy("e", "prefix: /e\nhosts: [root.test]", Some("https://root.test/e"), "/*"),
            &policy("f", "hosts: [x.example, other.test]", None, "/*"),
        ])
        .unwrap();
        for (host, rest, want) in [
            ("x.example", "/mcp", Some(0)),
            ("X.Example", "/mcp/", Some(0)),
            ("y.example", "/mcp", Some(1)),
            ("x.y.example", "/mcp", Some(1)),
            ("example", "/mcp", None),
            ("x.example", "", None),
            ("y.example", "", Some(1)),
            ("y.example", "/", Some(1)),
            ("only.test", "", Some(2)),
            ("only.test", "/c", Some(2)),
            ("only.test", "/mcp", None),
            ("root.test", "", Some(3)),
            ("root.test", "/e", Some(4)),
            ("other.test", "", None),
            ("", "", None),
        ] {
            let path = format!("/.well-known/oauth-protected-resource{rest}");
            assert_eq!(
                policies.metadata_for(Some(host), path.as_bytes()),
                want,
                "{host} {rest}"
            );
        }
        for path in [
            "/.well-known/oauth-protected-resourcex",
            "/.well-known/oauth-protected-resource%2Fc",
            "/.well-known/oauth-authorization-server",
            "/c/.well-known/oauth-protected-resource/c",
            "/",
        ] {
            assert_eq!(
                policies.metadata_for(Some("only.test"), path.as_bytes()),
                None,
                "{path}"
            );
        }
    }

    #[test]
    fn route_that_names_the_path_of_a_document_is_a_problem() {
        let url = Some("https://x.example/mcp");
        for (lines, routes, fine) in [
            ("", "/*", true),
            ("", "/{a}/{b}/mcp", true),
            ("", "/.well-known/openid-configuration", true),
            ("", "/.well-known/oauth-protected-resource/other", true),
            ("", "/.well-known/*", false),
            ("", "/.well-known/{name}", false),
            ("", "/.well-known/{name}/mcp", false),
            ("", "/.well-known/oauth-protected-resource", false),
            ("", "/.well-known/oauth-protected-resource/mcp", false),
            ("", "/.well-known/oauth-protected-resource/*", false),
            ("prefix: /.well-known", "/oauth-protected-resource/mcp", false),
            ("prefix: /.well-known", "/*", false),
            ("hosts: [x.example]", "/.well-known/*", false),
            ("hosts: ['*.example']", "/.well-known/*", false),
            ("hosts: [y.example]", "/.well-known/*", true),
        ] {
            let found = parse(&[
                &policy("a", "prefix: /mcp\nhosts: [x.example]", url, "/*"),
                &policy("b", lines, None, routes),
            ]);
            let found: Vec<_> = found.err().into_iter().flatten().filter(Problem::is_error).collect();
            assert_eq!(found.is_empty(), fine, "{lines} {routes}: {found:?}");
            assert!(
                found.iter().all(|problem| problem.to_string().starts_with("1.yaml:5:")),
                "{found:?}"
            );
        }
    }

    #[test]
    fn two_documents_of_one_path_are_a_problem_unless_they_are_the_same() {
        let (one, other) = ("https://x.example/mcp", "https://y.example/mcp/");
        for (a, b, hosts, fine) in [
            (("a", one), ("a", one), "hosts: [x.example]", true),
            (("a", one), ("b", one), "hosts: [x.example]", false),
            (("a", one), ("b", other), "hosts: [x.example]", false),
            (("a", one), ("b", other), "hosts: [z.example]", true),
            (("a", one), ("b", "https://x.example/other"), "hosts: [x.example]", true),
        ] {
            let found = parse(&[
                &policy(a.0, "prefix: /a\nhosts: [x.example]", Some(a.1), "/*"),
                &policy(b.0, &format!("prefix: /b\n{hosts}"), Some(b.1), "/*"),
            ]);
            let found: Vec<_> = found.err().into_iter().flatten().filter(Problem::is_error).collect();
            assert_eq!(found.is_empty(), fine, "{a:?} {b:?} {hosts}: {found:?}");
        }
    }
}
