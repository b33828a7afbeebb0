//! Path and method to the most specific route, without allocating.
//!
//! Exact beats prefix, longer beats shorter, a literal beats `{name}:run` and that beats `{name}` from the left, and
//! methods beat none. Routes are ranked so once; a search keeps the best rank among those that match.

use std::cmp::Reverse;
use std::collections::HashMap;

use http::Method;

use super::path_case::PathCase;
use super::route::{PathPattern, Route, Segment};

/// The methods of RFC 9110, 9.3, and PATCH (RFC 5789). CONNECT is for proxies, and has no path.
pub const STANDARD: [Method; 8] = [
    Method::DELETE,
    Method::GET,
    Method::HEAD,
    Method::OPTIONS,
    Method::PATCH,
    Method::POST,
    Method::PUT,
    Method::TRACE,
];

/// What a search found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouteMatch {
    /// The route with this index.
    Found(usize),
    /// Routes take the path, with other methods.
    MethodMismatch,
    /// No route takes the path.
    NotFound,
}

/// The routes of one policy as a tree of segments.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Router {
    root: Node,
    /// The same with literals in lower case, where that makes a difference.
    folded: Option<Node>,
    /// Indices of the routes, the most specific first.
    ranked: Vec<usize>,
    case: PathCase,
    has_capitals: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Node {
    literals: HashMap<String, Node>,
    wildcards: Option<Box<Wildcards>>,
    /// Ranks of the routes that end here, and of those that end here in `/*`; ascending.
    exact: Vec<usize>,
    below: Vec<usize>,
}

/// What follows a segment with a wildcard.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Wildcards {
    /// `{name}`.
    any: Option<Node>,
    /// `{name}:run`, by the literal behind the wildcard.
    suffixed: HashMap<String, Node>,
    /// The lengths of these literals.
    lengths: Vec<usize>,
}

/// How specific a pattern is: what sorts first wins.
fn specificity(pattern: &PathPattern) -> impl Ord + use<'_> {
    (pattern.is_prefix, Reverse(pattern.segments.len()), &pattern.segments)
}

impl Router {
    /// Indexes routes. Where case is ignored, paths match in any case, except that a route which lets every
    /// client through matches as it is written: the stricter reading is the safe one.
    pub fn new(routes: &[Route], case: PathCase) -> Self {
        let mut ranked: Vec<usize> = (0..routes.len()).collect();
        ranked.sort_by_key(|&index| {
            routes
                .get(index)
                .map(|route| (specificity(&route.path), route.methods.is_empty(), index))
        });
        let tree = |folds_case| {
            let mut root = Node::default();
            for (rank, route) in ranked.iter().filter_map(|&index| routes.get(index)).enumerate() {
                root.insert(&route.path, rank, folds_case);
            }
            root
        };
        let has_capitals = case != PathCase::Exact && routes.iter().any(|route| has_capitals(&route.path));
        let folds_otherwise = has_capitals && case == PathCase::Unambiguous;
        Self {
            root: tree(case == PathCase::Insensitive),
            folded: folds_otherwise.then(|| tree(true)),
            ranked,
            case,
            has_capitals,
        }
    }

    /// Whether a literal of a route has a capital letter, unless case tells paths apart.
    pub fn has_capitals(&self) -> bool {
        self.has_capitals
    }

    /// Finds the most specific route for a path below the policy's prefix.
    pub fn find(&self, routes: &[Route], path: &str, method: &Method) -> RouteMatch {
        let mut best = Search::default();
        self.visit_matching(routes, path, &mut |rank, route| best.consider(route, rank, method));
        self.found(&best)
    }

    /// Calls back with the rank of every route that takes a path, and with the route.
    fn visit_matching<'s>(&self, routes: &'s [Route], path: &str, found: &mut impl FnMut(usize, &'s Route)) {
        let mut matching = |rank, takes: &dyn Fn(&Route) -> bool| {
            if let Some(route) = self.route(routes, rank).filter(|route| takes(route)) {
                found(rank, route);
            }
        };
        if self.case == PathCase::Insensitive {
            // A public route matches as it is written.
            let takes = |route: &Route| !route.is_open() || matches_exactly(&route.path, path);
            in_lower_case(path, |folded| {
                visit(&self.root, folded, &mut |rank| matching(rank, &takes));
            });
        } else {
            visit(&self.root, path, &mut |rank| matching(rank, &|_| true));
        }
    }

    /// Finds the route that a service comes to whose router ignores case.
    pub fn find_in_any_case(&self, routes: &[Route], path: &str, method: &Method) -> RouteMatch {
        let mut best = Search::default();
        in_lower_case(path, |folded| {
            visit(self.folded.as_ref().unwrap_or(&self.root), folded, &mut |rank| {
                if let Some(route) = self.route(routes, rank) {
                    best.consider(route, rank, method);
                }
            });
        });
        self.found(&best)
    }

    fn found(&self, best: &Search) -> RouteMatch {
        match best {
            Search { rank: Some(rank), .. } => self
                .ranked
                .get(*rank)
                .map_or(RouteMatch::NotFound, |&i| RouteMatch::Found(i)),
            Search { path_matched: true, .. } => RouteMatch::MethodMismatch,
            Search { .. } => RouteMatch::NotFound,
        }
    }

    /// The methods that are taken on a path, for `Allow` (RFC 9110, 10.2.1): those that routes name,
    /// and those of the standard that they take, without those that a route denies.
    pub fn methods(&self, routes: &[Route], path: &str) -> Vec<Method> {
        let mut methods: Vec<Method> = Vec::new();
        self.visit_matching(routes, path, &mut |_, route| {
            methods.extend(route.methods.iter().cloned());
            methods.extend(STANDARD.into_iter().filter(|method| route.accepts(method)));
        });
        methods.sort_by(|a, b| a.as_str().cmp(b.as_str()));
        methods.dedup();
        let is_denied = |method: &Method| match self.find(routes, path, method) {
            RouteMatch::Found(index) => routes.get(index).is_none_or(Route::is_denied),
            RouteMatch::MethodMismatch | RouteMatch::NotFound => true,
        };
        methods.retain(|method| !is_denied(method));
        methods
    }

    fn route<'s>(&self, routes: &'s [Route], rank: usize) -> Option<&'s Route> {
        self.ranked.get(rank).and_then(|&index| routes.get(index))
    }
}

/// Calls back with the rank of every route whose pattern matches the path.
fn visit(root: &Node, path: &str, found: &mut impl FnMut(usize)) {
    let path = path.strip_prefix('/').unwrap_or(path);
    // `/x/` is `/x`: one trailing slash is not a segment.
    let path = path.strip_suffix('/').unwrap_or(path);
    root.visit(Some(path).filter(|p| !p.is_empty()), found);
}

/// Calls back with a path in lower case. Allocates for a long one only.
fn in_lower_case(path: &str, read: impl FnOnce(&str)) {
    let mut buffer = [0; 256];
    if let Some(copy) = buffer.get_mut(..path.len()) {
        copy.copy_from_slice(path.as_bytes());
        copy.make_ascii_lowercase();
        if let Ok(lower) = std::str::from_utf8(copy) {
            return read(lower);
        }
    }
    read(&path.to_ascii_lowercase());
}

fn has_capitals(pattern: &PathPattern) -> bool {
    let mut texts = pattern.segments.iter().map(Segment::text);
    texts.any(|text| text.bytes().any(|byte| byte.is_ascii_uppercase()))
}

#[derive(Debug, Default)]
struct Search {
    rank: Option<usize>,
    path_matched: bool,
}

impl Search {
    fn consider(&mut self, route: &Route, rank: usize, method: &Method) {
        self.path_matched = true;
        if route.accepts(method) && self.rank.is_none_or(|found| rank < found) {
            self.rank = Some(rank);
        }
    }
}

impl Node {
    fn insert(&mut self, pattern: &PathPattern, rank: usize, folds_case: bool) {
        let mut node = self;
        for segment in &pattern.segments {
            let segment = match folds_case {
                true => segment.folded(),
                false => segment.clone(),
            };
            node = match segment {
                Segment::Literal(text) => node.literals.entry(text).or_default(),
                Segment::Wildcard(suffix) => node.wildcards.get_or_insert_default().entry(suffix),
            };
        }
        let ranks = if pattern.is_prefix {
            &mut node.below
        } else {
            &mut node.exact
        };
        ranks.push(rank);
    }

    fn visit(&self, rest: Option<&str>, found: &mut impl FnMut(usize)) {
        self.below.iter().copied().for_each(&mut *found);
        let Some(rest) = rest else {
            self.exact.iter().copied().for_each(&mut *found);
            return;
        };
        let (segment, rest) = match rest.split_once('/') {
            Some((segment, rest)) => (segment, Some(rest)),
            None => (rest, None),
        };
        if let Some(node) = self.literals.get(segment) {
            node.visit(rest, found);
        }
        if let Some(wildcards) = self.wildcards.as_deref().filter(|_| !segment.is_empty()) {
            wildcards.visit(segment, rest, found);
        }
    }
}

impl Wildcards {
    /// The node behind a wildcard that this literal follows.
    fn entry(&mut self, suffix: String) -> &mut Node {
        if suffix.is_empty() {
            return self.any.get_or_insert_default();
        }
        if !self.lengths.contains(&suffix.len()) {
            self.lengths.push(suffix.len());
        }
        self.suffixed.entry(suffix).or_default()
    }

    /// Visits what follows a segment that is not empty.
    fn visit(&self, segment: &str, rest: Option<&str>, found: &mut impl FnMut(usize)) {
        for length in &self.lengths {
            let at = segment.len().checked_sub(*length).filter(|at| *at > 0);
            let suffix = at.and_then(|at| segment.get(at..));
            if let Some(node) = suffix.and_then(|suffix| self.suffixed.get(suffix)) {
                node.visit(rest, found);
            }
        }
        if let Some(node) = &self.any {
            node.visit(rest, found);
        }
    }
}

fn matches_exactly(pattern: &PathPattern, path: &str) -> bool {
    let path = path.strip_prefix('/').unwrap_or(path);
    let mut given = path.split('/');
    let mut segments = pattern.segments.iter();
    segments.all(|segment| given.next().is_some_and(|text| segment.matches(text)))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::document::Mode;
    use super::super::origin::Origin;
    use super::super::route::{AuthRule, Authentication, Requirement};
    use super::*;
    use crate::document::problem::{Location, SourceFile};
    use crate::principal::AuthMethod;
    use proptest::prelude::*;
    use std::sync::Arc;

    pub(crate) fn route(path: &str, methods: &[Method], auth: impl Into<AuthRule>) -> Route {
        Route {
            pattern: path.into(),
            path: PathPattern::parse(path).unwrap(),
            methods: methods.to_vec(),
            authentication: Authentication::new(auth.into()),
            requirement: Requirement::default(),
            content_types: Vec::new(),
            mode: Mode::Enforce,
            pass_through: Vec::new(),
            idempotency: None,
            quotas: Vec::new(),
            sandbox: false,
            access_log: true,
            timeout: None,
            body_bytes: None,
            location: Origin(Location::new(&Arc::new(SourceFile::new("", "")), &(0..0))),
        }
    }

    fn found(routes: &[Route], path: &str, method: &Method, folds_case: bool) -> String {
        let case = match folds_case {
            true => PathCase::Insensitive,
            false => PathCase::Exact,
        };
        shown(routes, Router::new(routes, case).find(routes, path, method))
    }

    fn shown(routes: &[Route], found: RouteMatch) -> String {
        match found {
            RouteMatch::Found(index) => format!("{} {:?}", routes[index].pattern, routes[index].methods),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn the_most_specific_route_wins() {
        let jwt = AuthMethod::Jwt;
        let routes = [
            route("/*", &[], jwt),
            route("/wallets", &[Method::POST], jwt),
            route("/wallets/*", &[], jwt),
            route("/wallets/{id}", &[], jwt),
            route("/wallets/{id}/{part}", &[], jwt),
            route("/wallets/main/{part}", &[], jwt),
            route("/wallets/{id}", &[Method::GET], jwt),
        ];
        for (method, path, want) in [
            (Method::POST, "/wallets", "/wallets [POST]"),
            (Method::POST, "/wallets/", "/wallets [POST]"),
            (Method::GET, "/wallets", "/wallets/* []"),
            (Method::GET, "/wallets/7", "/wallets/{id} [GET]"),
            (Method::HEAD, "/wallets/7", "/wallets/{id} [GET]"),
            (Method::PUT, "/wallets/7", "/wallets/{id} []"),
            (Method::GET, "/wallets/main/x", "/wallets/main/{part} []"),
            (Method::GET, "/wallets/7/x", "/wallets/{id}/{part} []"),
            (Method::GET, "/wallets/7/x/y", "/wallets/* []"),
            (Method::GET, "/walletsx", "/* []"),
            (Method::GET, "/", "/* []"),
        ] {
            assert_eq!(found(&routes, path, &method, false), want, "{method} {path}");
        }
    }

    #[test]
    fn longer_literal_behind_a_wildcard_wins() {
        let jwt = AuthMethod::Jwt;
        let routes = [
            route("/op/{id}", &[], jwt),
            route("/op/{id}:cancel", &[], jwt),
            route("/op/{id}l", &[Method::GET], jwt),
            route("/op/{id}:soft:cancel", &[], jwt),
            route("/op/all:cancel", &[], jwt),
            route("/op/{id}:cancel/log", &[], jwt),
            route("/op/{id}:Open", &[], AuthMethod::Public),
            route("/op/*", &[], jwt),
            route("/{x}é/*", &[], jwt),
        ];
        for (path, want, folded) in [
            ("/op/7", "/op/{id}", "/op/{id}"),
            ("/op/7:cancel", "/op/{id}:cancel", "/op/{id}:cancel"),
            ("/op/7:cancel/", "/op/{id}:cancel", "/op/{id}:cancel"),
            ("/op/7:CANCEL", "/op/{id}", "/op/{id}:cancel"),
            ("/op/7:Open", "/op/{id}:Open", "/op/{id}:Open"),
            ("/op/7:OPEN", "/op/{id}", "/op/{id}"),
            ("/op/7:cancel:", "/op/{id}", "/op/{id}"),
            ("/op/cancel", "/op/{id}l", "/op/{id}l"),
            ("/op/:cancel", "/op/{id}l", "/op/{id}l"),
            ("/op/7:soft:cancel", "/op/{id}:soft:cancel", "/op/{id}:soft:cancel"),
            ("/op/:soft:cancel", "/op/{id}:cancel", "/op/{id}:cancel"),
            ("/op/all:cancel", "/op/all:cancel", "/op/all:cancel"),
            ("/op/7:cancel/log", "/op/{id}:cancel/log", "/op/{id}:cancel/log"),
            ("/op/7/log", "/op/*", "/op/*"),
            ("/aé/x", "/{x}é/*", "/{x}é/*"),
            ("/é/x", "NotFound", "NotFound"),
            ("/日/x", "NotFound", "NotFound"),
        ] {
            let pattern = |folds| {
                found(&routes, path, &Method::GET, folds)
                    .split(' ')
                    .next()
                    .map(str::to_owned)
            };
            assert_eq!(pattern(false).as_deref(), Some(want), "{path}");
            assert_eq!(pattern(true).as_deref(), Some(folded), "{path} in any case");
        }
    }

    #[test]
    fn other_methods_and_nothing() {
        let routes = [
            route("/x", &[Method::GET], AuthMethod::Jwt),
            route("/x", &[Method::POST], AuthMethod::Jwt),
        ];
        assert_eq!(found(&routes, "/x", &Method::DELETE, false), "MethodMismatch");
        assert_eq!(found(&routes, "/y", &Method::GET, false), "NotFound");
        let index = Router::new(&routes, PathCase::Unambiguous);
        assert_eq!(index.methods(&routes, "/x"), [Method::GET, Method::HEAD, Method::POST]);
    }

    #[test]
    fn methods_of_a_path_are_all_that_its_routes_take() {
        let routes = [
            route("/x", &[Method::POST, Method::TRACE], AuthMethod::Jwt),
            route("/y", &["PURGE".parse().unwrap(), Method::POST], AuthMethod::Jwt),
            route("/y/*", &[], AuthMethod::Jwt),
            route("/Open", &[], AuthMethod::Public),
            route("/*", &[Method::PUT], AuthMethod::Jwt),
        ];
        let all = "DELETE GET HEAD OPTIONS PATCH POST PUT";
        for (path, case, want) in [
            ("/x", PathCase::Exact, "POST PUT TRACE"),
            ("/y", PathCase::Exact, &all.replace("PUT", "PURGE PUT")),
            ("/y/z", PathCase::Unambiguous, all),
            ("/Y/Z", PathCase::Insensitive, all),
            ("/Y/Z", PathCase::Exact, "PUT"),
            ("/Open", PathCase::Insensitive, all),
            ("/open", PathCase::Insensitive, "PUT"),
            ("/z", PathCase::Exact, "PUT"),
        ] {
            let methods = Router::new(&routes, case).methods(&routes, path);
            let methods: Vec<_> = methods.iter().map(Method::as_str).collect();
            assert_eq!(methods.join(" "), want, "{path} {case:?}");
        }
    }

    #[test]
    fn denied_method_of_a_path_is_not_among_the_accepted() {
        let routes = [
            route("/x", &[Method::DELETE], AuthRule::Deny),
            route("/x/*", &[Method::GET, Method::DELETE], AuthMethod::Jwt),
            route("/internal/*", &[], AuthRule::Deny),
            route("/*", &[Method::PUT], AuthMethod::Jwt),
        ];
        for (path, want) in [
            ("/x", "GET HEAD PUT"),
            ("/x/y", "DELETE GET HEAD PUT"),
            ("/internal", ""),
        ] {
            let methods = Router::new(&routes, PathCase::Unambiguous).methods(&routes, path);
            let methods: Vec<_> = methods.iter().map(Method::as_str).collect();
            assert_eq!(methods.join(" "), want, "{path}");
        }
    }

    #[test]
    fn folding_case_never_opens_a_route() {
        let routes = [
            route("/*", &[], AuthMethod::Jwt),
            route("/health", &[], AuthMethod::Public),
            route("/Admin/*", &[], AuthMethod::Mtls),
            route("/Jobs/*", &[], AuthMethod::InternalKey),
        ];
        for (path, want) in [
            ("/health", "/health []"),
            ("/HEALTH", "/* []"),
            ("/admin/x", "/Admin/* []"),
            ("/ADMIN/x", "/Admin/* []"),
            ("/jobs/x", "/Jobs/* []"),
        ] {
            assert_eq!(found(&routes, path, &Method::GET, true), want, "{path}");
        }
        assert_eq!(found(&routes, "/admin/x", &Method::GET, false), "/* []");
    }

    #[test]
    fn route_in_any_case_is_that_of_a_router_that_ignores_case() {
        let routes = [
            route("/*", &[], AuthMethod::Jwt),
            route("/health", &[], AuthMethod::Public),
            route("/Admin/{id}", &[Method::GET], AuthMethod::Mtls),
        ];
        let long = format!("/admin/{}", "x".repeat(300));
        for (path, want) in [
            ("/HEALTH", "/health []"),
            ("/admin/x", "/Admin/{id} [GET]"),
            ("/ADMIN/X", "/Admin/{id} [GET]"),
            (long.as_str(), "/Admin/{id} [GET]"),
            ("/other", "/* []"),
        ] {
            for case in [PathCase::Unambiguous, PathCase::Insensitive] {
                let found = Router::new(&routes, case).find_in_any_case(&routes, path, &Method::GET);
                assert_eq!(shown(&routes, found), want, "{path}");
            }
        }
    }

    /// Paths of segments that begin and end alike.
    fn alike() -> impl Strategy<Value = Vec<String>> {
        let pattern = "(/(a|b|ab|\\{x\\}|\\{x\\}b|\\{x\\}ab)){0,3}(/\\*)?";
        let distinct = |pattern: String| {
            let named = pattern.split('/').enumerate();
            let named: Vec<_> = named
                .map(|(at, part)| part.replace("{x}", &format!("{{x{at}}}")))
                .collect();
            named.join("/")
        };
        prop::collection::vec(pattern.prop_map(distinct), 1..8)
    }

    proptest! {
        #[test]
        fn routes_of_a_path_are_those_whose_segments_match(patterns in alike(), path in "(/(a|b|ab|bab|aab)){0,4}") {
            let named = |pattern: &String| if pattern.is_empty() { "/".to_owned() } else { pattern.clone() };
            let routes: Vec<_> = patterns.iter().map(|p| route(&named(p), &[], AuthMethod::Jwt)).collect();
            let router = Router::new(&routes, PathCase::Exact);
            let mut found = Vec::new();
            router.visit_matching(&routes, &path, &mut |_, route| found.push(&route.pattern));
            let given: Vec<_> = path.split('/').skip(1).collect();
            let takes = |route: &&Route| {
                let segments = &route.path.segments;
                (segments.len() == given.len() || (route.path.is_prefix && segments.len() < given.len()))
                    && segments.iter().zip(&given).all(|(segment, text)| segment.matches(text))
            };
            let mut wanted: Vec<_> = routes.iter().filter(takes).map(|route| &route.pattern).collect();
            found.sort();
            wanted.sort();
            prop_assert_eq!(found, wanted);
        }

        #[test]
        fn the_order_of_the_file_does_not_matter(
            order in Just((0..10).collect::<Vec<usize>>()).prop_shuffle(),
            path in "(/(a|b|c|a:b|ba)){0,3}/?",
        ) {
            let patterns = ["/*", "/a", "/a/*", "/a/{x}", "/a/b", "/{x}/b/c", "/a/b/*", "/a/{x}:b", "/a/{x}b", "/{x}a/b"];
            let sorted: Vec<_> = patterns.iter().map(|p| route(p, &[], AuthMethod::Jwt)).collect();
            let shuffled: Vec<_> = order.iter().map(|&i| sorted[i].clone()).collect();
            prop_assert_eq!(
                found(&sorted, &path, &Method::GET, false),
                found(&shuffled, &path, &Method::GET, false)
            );
        }
    }
}
