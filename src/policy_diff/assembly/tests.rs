use std::sync::Arc;

use http::Method;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::document::problem::SourceFile;
use crate::policy::ErrorStyle;
use crate::policy_diff::effects::Effect;
use crate::policy_diff::paths::LIMIT;
use crate::rehearsal::{Answer, Request, ThrowawayKeys};
use crate::revocation::Revocations;
use crate::testing::NOW;

/// A policy apart from its routes.
#[derive(Debug, Clone)]
struct Head {
    prefix: &'static str,
    hosts: &'static str,
    paths: &'static str,
    resource: &'static str,
    cors: &'static str,
}

/// A route: its path, its methods, and who may call it.
type Line = (String, &'static str, &'static str);

fn text(at: usize, head: &Head, routes: &[Line]) -> String {
    let routes = routes.iter().map(|(path, methods, auth)| match *methods {
        "" => format!("  - {{ path: '{path}', {auth} }}\n"),
        methods => format!("  - {{ path: '{path}', methods: [{methods}], {auth} }}\n"),
    });
    let Head {
        prefix,
        hosts,
        paths,
        resource,
        cors,
    } = head;
    format!(
        "version: 1\nservice: s{at}\nprefix: '{prefix}'\nupstream: {{ url: 'http://127.0.0.1:{}' }}\n\
         jwt: {{ issuers: [{{ issuer: i, audience: ['https://h1.test/mcp'], algorithms: [HS256], keys: {{ secret: {{ env: S }} }} }}] }}\n\
         internal_key: {{ keys: [{{ name: k, secret: {{ env: K }} }}] }}\n\
         {hosts}{paths}{resource}{cors}routes:\n{}",
        at + 1,
        routes.collect::<String>()
    )
}

fn set(policies: &[String], keys: &ThrowawayKeys) -> Option<PolicySet> {
    let files = policies.iter().enumerate();
    let files: Vec<_> = files
        .map(|(at, text)| Arc::new(SourceFile::new(format!("{at}.yaml"), text.as_str())))
        .collect();
    PolicySet::parse(&files, keys, ErrorStyle::default()).ok()
}

/// Reads policies, those of their routes that do not contradict others.
fn readable(policies: &[(Head, Vec<Line>)], keys: &ThrowawayKeys) -> Vec<String> {
    let mut texts: Vec<String> = Vec::new();
    for (at, (head, lines)) in policies.iter().enumerate() {
        let mut kept: Vec<Line> = Vec::new();
        for line in lines {
            kept.push(line.clone());
            texts.push(text(at, head, &kept));
            if set(&texts, keys).is_none() {
                kept.pop();
            }
            texts.pop();
        }
        if !kept.is_empty() {
            texts.push(text(at, head, &kept));
        }
    }
    texts
}

fn rehearsal(texts: &[String], keys: &Arc<ThrowawayKeys>) -> Rehearsal {
    Rehearsal::new(Arc::new(set(texts, keys).unwrap()), keys)
}

fn head() -> impl Strategy<Value = Head> {
    let hosts = [
        "",
        "",
        "hosts: [h1.test]\n",
        "hosts: ['*.test']\n",
        "hosts: ['*.a.test', h1.test]\n",
    ];
    let paths = [
        "",
        "",
        "",
        "paths: { case: exact }\n",
        "paths: { case_insensitive: true }\n",
    ];
    let resource = "resource: { url: 'https://h1.test/mcp', authorization_servers: ['https://login.test'] }\n";
    let resource = ["", "", "", resource];
    let cors = ["", "", "cors: { origins: ['https://page.test'] }\n"];
    (
        select(vec!["/", "/a", "/A", "/a/b", "/a/B", "/b"]),
        select(hosts.to_vec()),
        select(paths.to_vec()),
        select(resource.to_vec()),
        select(cors.to_vec()),
    )
        .prop_map(|(prefix, hosts, paths, resource, cors)| Head {
            prefix,
            hosts,
            paths,
            resource,
            cors,
        })
}

fn line() -> impl Strategy<Value = Line> {
    let path = "(/(a|A|b|ab|Ab|\\{x\\}|\\{x\\}:run|\\{x\\}:Run|\\{x\\}n|a:run)){0,3}(/\\*)?";
    let named = |path: String| {
        let parts = path.split('/').enumerate();
        let parts: Vec<_> = parts
            .map(|(at, part)| part.replace("{x}", &format!("{{x{at}}}")))
            .collect();
        match parts.join("/") {
            path if path.is_empty() => "/".to_owned(),
            path => path,
        }
    };
    let methods = ["", "", "", "GET", "POST", "HEAD", "TRACE, GET", "PURGE"];
    let auths = [
        "auth: jwt",
        "auth: jwt",
        "auth: public",
        "auth: deny",
        "auth: internal_key",
        "auth: jwt, mode: shadow",
    ];
    (path.prop_map(named), select(methods.to_vec()), select(auths.to_vec()))
}

fn policies() -> impl Strategy<Value = Vec<(Head, Vec<Line>)>> {
    prop::collection::vec((head(), prop::collection::vec(line(), 1..7)), 1..4)
}

/// The same policies, some lines left out, and one policy more.
fn pair() -> impl Strategy<Value = [Vec<(Head, Vec<Line>)>; 2]> {
    let left_out = prop::collection::vec(any::<bool>(), 30);
    (policies(), policies(), left_out, any::<bool>()).prop_map(|(old, mut more, left_out, is_near)| {
        if !is_near {
            return [old, more];
        }
        let mut keeps = left_out.into_iter();
        let mut new = old.clone();
        for (_, lines) in &mut new {
            lines.retain(|_| keeps.next().unwrap_or(true));
        }
        let (head, lines) = more.remove(0);
        match head.prefix == "/b" {
            true => new.push((head, lines)),
            false => new[0].1.extend(lines),
        }
        [old, new]
    })
}

fn path() -> impl Strategy<Value = String> {
    let segments = "(/(a|A|b|B|ab|aB|AB|x|x:run|X:Run|x:RUN|a:run|a:RUN|A:run|A:Run|an|aN|:run)){0,5}/?";
    let documents =
        ["", "/mcp", "/MCP", "/mcp/", "/x"].map(|rest| format!("/.well-known/oauth-protected-resource{rest}"));
    let segments = segments.prop_map(|path| if path.is_empty() { "/".to_owned() } else { path });
    prop_oneof![6 => segments, 1 => select(documents.to_vec())]
}

fn request() -> impl Strategy<Value = (&'static str, &'static str, String)> {
    let hosts = [
        "h1.test",
        "H1.test",
        "x.test",
        "y.a.test",
        "a.test",
        "test",
        "localhost",
        "other.example",
    ];
    let methods = ["GET", "HEAD", "POST", "TRACE", "OPTIONS", "PURGE", "PROPFIND", "MKCOL"];
    (select(hosts.to_vec()), select(methods.to_vec()), path())
}

/// What a client without a credential meets, apart from the path itself.
fn meets(side: &Rehearsal, (host, method, path): (&str, &Method, &str)) -> (Answer, String) {
    let request = Request::new(method.clone(), path, host, NOW);
    let scope = side
        .decide(&request.facts(), Revocations::Unasked, &mut ())
        .matched
        .scope();
    let answer = side.answer(&request.facts(), Revocations::Unasked);
    let kind = match &answer {
        Answer::Forwarded(_) => "allow".to_owned(),
        Answer::Shadow(reason, _) => format!("shadow {reason:?}"),
        Answer::Rejected(rejected) => format!("{:?} {:?}", rejected.reason, rejected.allow),
        Answer::Own(kind, _) => (*kind).to_owned(),
    };
    (answer, format!("{:?} {kind}", place(scope)))
}

fn delta(what: String) -> Delta {
    Delta {
        effects: vec![Effect::Opened],
        gained: Vec::new(),
        lost: Vec::new(),
        forwarded: Vec::new(),
        rejected: Vec::new(),
        told: Vec::new(),
        differs: vec![what],
        another_tenant: false,
        callers: 1,
        left_out: 0,
    }
}

/// Compares two sides by what a client without a credential gets.
fn compared(old: &Rehearsal, new: &Rehearsal) -> Difference {
    difference([old, new], &mut |cell| {
        let request = (cell.host.as_str(), &cell.method, cell.path.as_str());
        let ((was, from), (now, to)) = (meets(old, request), meets(new, request));
        Ok((was != now || from != to).then(|| Rc::new(delta(format!("{from} -> {to}")))))
    })
    .unwrap()
}

/// Each case has many requests. `PROPTEST_CASES` asks for more.
fn config() -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok());
    ProptestConfig {
        cases: cases.unwrap_or(16),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn each_request_belongs_to_the_change_that_it_meets_and_to_no_other(
        sides in pair(),
        requests in prop::collection::vec(request(), 200),
    ) {
        let keys = Arc::new(ThrowawayKeys::new());
        let texts = sides.map(|side| readable(&side, &keys));
        let [old, new] = texts.each_ref().map(|texts| rehearsal(texts, &keys));
        let difference = compared(&old, &new);
        for (host, method, path) in &requests {
            let method: Method = method.parse().unwrap();
            let [(was, from), (now, to)] = [&old, &new].map(|side| meets(side, (host, &method, path)));
            let change = difference.change(host, &method, path);
            let what = change.map(|change| change.delta.differs[0].clone());
            let wanted = (was != now || from != to).then(|| format!("{from} -> {to}"));
            // The places of a policy and its routes differ where another one is left out.
            let is_fine = what == wanted || (what.is_none() && was == now);
            let [old, new] = texts.each_ref().map(|texts| texts.join("\n"));
            prop_assert!(is_fine, "{method} {host} {path}: {what:?}, wanted {wanted:?} by {change:?}\n{old}\n-----\n{new}");
            let class = difference.host_class(host);
            let is_in = |region: &Region| {
                let is_host = region.hosts.iter().any(|host| host == class);
                is_host && region.methods.contains(&method) && region.has_path(path)
            };
            let count = difference.changes.iter().filter(|change| is_in(&change.region)).count();
            prop_assert!(count <= 1, "{method} {host} {path} belongs to {count} changes\n{old}\n-----\n{new}");
        }
        for change in &difference.changes {
            let Example { host, method, path } = &change.example;
            let found = difference.change(host, method, path).map(|change| &change.delta);
            prop_assert_eq!(found, Some(&change.delta), "{:?}", change);
        }
    }
}

/// Policies: `---` between two of them, `;` between routes, each a path, who may call it, and its methods. The first part
/// is the rest of the policy.
fn side(text: &str, keys: &Arc<ThrowawayKeys>) -> Rehearsal {
    let route = |line: &str| {
        let mut words = line.split_whitespace();
        let (path, auth) = (words.next().unwrap(), words.next().unwrap());
        let methods: Vec<_> = words.collect();
        let methods = match methods.is_empty() {
            true => String::new(),
            false => format!(", methods: [{}]", methods.join(", ")),
        };
        format!("  - {{ path: '{path}', auth: {auth}{methods} }}\n")
    };
    let policies = text.split("---").enumerate().map(|(at, policy)| {
        let (head, routes) = policy.split_once(';').unwrap();
        let routes: String = routes.split(';').map(route).collect();
        let head = head.trim().replace(" + ", "\n");
        format!(
            "version: 1\nservice: s{at}\nupstream: {{ url: 'http://127.0.0.1:{}' }}\n{head}\n\
             internal_key: {{ keys: [{{ name: k, secret: {{ env: K }} }}] }}\nroutes:\n{routes}",
            at + 1
        )
    });
    rehearsal(&policies.collect::<Vec<_>>(), keys)
}

/// A region as `methods: paths - except @ hosts`.
fn shown(region: &Region, difference: &Difference) -> String {
    let methods = match region.methods.len() {
        count if count == difference.methods.len() + 1 => "all".to_owned(),
        count if count == difference.methods.len() => {
            let left_out = difference
                .methods
                .iter()
                .find(|method| !region.methods.contains(method));
            format!("all but {}", left_out.unwrap())
        }
        _ => region.methods.iter().map(Method::as_str).collect::<Vec<_>>().join(" "),
    };
    let paths = |regions: &[PathRegion]| {
        let words = regions.iter().map(|region| {
            let case = serde_json::to_string(&region.case)
                .unwrap()
                .replace("\"as_written\"", "=")
                .replace('"', "");
            format!(
                "{}{}",
                region.pattern,
                if case == "=" {
                    String::new()
                } else {
                    format!("({case})")
                }
            )
        });
        words.collect::<Vec<_>>().join(" ")
    };
    let except = match region.except.is_empty() {
        true => String::new(),
        false => format!(" - {}", paths(&region.except)),
    };
    let hosts = match region.hosts.len() == difference.hosts.len() {
        true => String::new(),
        false => format!(" @ {}", region.hosts.join(" ")),
    };
    format!("{methods}: {}{except}{hosts}", paths(&region.paths))
}

#[test]
fn more_classes_of_paths_than_are_compared_are_an_error() {
    let keys = Arc::new(ThrowawayKeys::new());
    let sides = ["; /a/b public", "; /a/c public"].map(|text| side(text, &keys));
    let [old, new] = &sides;
    let sets = [old.policies(), new.policies()];
    let mut trees = Trees::default();
    let entries = sets.map(|set| trees.add(set));
    let [hosts] = hosts::classes(sets[0], sets[1]).try_into().unwrap();
    let plans = plans(sets, (&trees, &entries), &hosts);
    let count = Graph::read(&plans, 0).unwrap().nodes().count();
    assert!(Graph::read(&plans, LIMIT - count).is_ok());
    let too_many = Graph::read(&plans, LIMIT - count + 1).unwrap_err();
    assert_eq!(
        too_many.to_string(),
        "the policies tell more than 1000000 classes of paths apart"
    );
}

#[test]
fn routes_that_answer_some_request_in_another_way_are_counted() {
    let keys = Arc::new(ThrowawayKeys::new());
    let sides = [
        "prefix: /api; /a public; /b/* internal_key; /* public",
        "prefix: /api; /a public; /b/* public; /* public; /c public",
    ];
    let [old, new] = sides.map(|text| side(text, &keys));
    let difference = compared(&old, &new);
    assert_eq!((difference.unchanged_routes, difference.routes), (1, 4));
}

#[test]
fn regions_of_long_paths_are_few_and_found_at_once() {
    let path = (0..60).fold(String::new(), |path, number| format!("{path}/s{number}"));
    for head in ["", " + paths: { case_insensitive: true }", " + paths: { case: exact }"] {
        let keys = Arc::new(ThrowawayKeys::new());
        let old = side(&format!("prefix: /{head}; {path} public"), &keys);
        let new = side(&format!("prefix: /{head}; {path} public; {path}/* public"), &keys);
        for [old, new] in [[&old, &new], [&new, &old]] {
            let difference = compared(old, new);
            let shown: Vec<_> = difference
                .changes
                .iter()
                .map(|change| shown(&change.region, &difference))
                .collect();
            assert!(
                shown.len() < 8 && shown.iter().all(|region| region.len() < 4000),
                "{shown:#?}"
            );
        }
    }
}

#[test]
fn regions_are_written_as_routes_are() {
    let base = "prefix: /api; /health public; /jobs/* internal_key; /* internal_key";
    for (new, want) in [
        (
            "prefix: /api; /* internal_key; /jobs/* internal_key; /health public",
            &[] as &[&str],
        ),
        (
            "prefix: /api; /health public; /jobs/* public; /* internal_key",
            &["all but TRACE: /api/jobs/*"],
        ),
        (
            "prefix: /api; /health public; /jobs/* internal_key; /* public",
            &["all but TRACE: /api/* - /api/health(any) /api/jobs/*(any)"],
        ),
        (
            "prefix: /api; /health public; /jobs/* internal_key; /{id} public; /* internal_key",
            &[
                "all but TRACE: /api/jobs([=,other])",
                "all but TRACE: /api/jobs",
                "all but TRACE: /api/{id} - /api/health(any) /api/jobs(any)",
            ],
        ),
        (
            "prefix: /api; /health public; /jobs/* internal_key",
            &[
                "all but TRACE: /api/* - /api/health(any) /api/jobs/*(any)",
                "TRACE: /api/* - /api/health(any) /api/jobs/*(any)",
                "TRACE: /api/health([=,other]) /api/jobs/*([=,other])",
            ],
        ),
        (
            "prefix: /api; /health public; /jobs/* internal_key; /jobs/{id}:run public POST; /* internal_key",
            &["POST: /api/jobs/{id}:run([=,=,other])", "POST: /api/jobs/{id}:run"],
        ),
        (
            "prefix: /api + paths: { case_insensitive: true }; /health public; /jobs/* internal_key; /* internal_key",
            &[
                "all but TRACE: /api/*(other) - /api/health([other,=]) /api/jobs/*(any)",
                "TRACE: /api/*(other)",
                "all but TRACE: /api/health([=,other])",
                "all but TRACE: /api/health([other,=])",
                "all but TRACE: /api/jobs/*([=,other])",
                "all but TRACE: /api/jobs/*([other,any])",
            ],
        ),
        (
            "prefix: /api + paths: { case: exact }; /health public; /jobs/* internal_key; /* internal_key",
            &["all but TRACE: /api/health([=,other]) /api/jobs/*([=,other])"],
        ),
        (
            "prefix: /api; /health public; /jobs/* internal_key; /* internal_key \
             --- hosts: ['*.test'] + prefix: /api/jobs; /* public",
            &[
                "TRACE: /api/jobs/*([=,other]) @ *.test",
                "all but TRACE: /api/jobs/* @ *.test",
                "TRACE: /api/jobs/* @ *.test",
            ],
        ),
    ] {
        let keys = Arc::new(ThrowawayKeys::new());
        let difference = compared(&side(base, &keys), &side(new, &keys));
        let changes = difference
            .changes
            .iter()
            .map(|change| shown(&change.region, &difference));
        assert_eq!(changes.collect::<Vec<_>>(), want, "{new}");
    }
}
