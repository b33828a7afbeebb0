//! What services make of a path, against what was decided on it: a path that is let through leads
//! to the same route in every reading.

#![expect(clippy::string_slice, reason = "the texts are cut where something ASCII was found")]

use http::{HeaderMap, Method};
use percent_encoding::percent_decode_str;
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::request::path::Allowance;
use crate::testing::{NOW, parse, vectors};

const STRICT: &str = "
version: 1
service: s
prefix: /
upstream: { url: http://127.0.0.1:1 }
jwt:
  issuers:
    - { issuer: i, audience: unchecked, algorithms: [HS256], keys: { secret: { env: SECRET } } }
internal_key:
  header: x-internal-api-key
  keys: [{ name: jobs, secret: { env: JOBS_KEY } }]
routes:
  - { path: /*, auth: jwt }
  - { path: /open/*, auth: public }
  - { path: /open/secret, auth: jwt }
  - { path: /open/é, auth: jwt }
  - { path: /open/a/*, auth: jwt, roles: [b] }
  - { path: /key/*, auth: internal_key }
  - { path: /key/a/secret, auth: jwt }
  - { path: /a, auth: public }
  - { path: /a/b, auth: jwt, roles: [a] }
  - { path: '/{id}/secret', auth: jwt, roles: [c] }
  - { path: '/a:b', auth: public }
";

fn policies(allow: &str) -> PolicySet {
    parse(&[&format!("{STRICT}paths: {{ allow: [{allow}] }}\n")]).unwrap()
}

fn open() -> PolicySet {
    policies("double_slash, semicolon, encoded_slash, encoded_percent, encoded_delimiter")
}

/// Policies for a service that does not decode `%2F`, one of them below the prefix of the other.
fn opaque() -> PolicySet {
    let paths =
        "paths: { allow: [double_slash, semicolon, encoded_percent, encoded_delimiter], encoded_slash: opaque }\n";
    let inner = STRICT.replace("prefix: /\n", "prefix: /a/x\n");
    parse(&[&format!("{STRICT}{paths}"), &format!("{inner}{paths}")]).unwrap()
}

fn strict() -> PolicySet {
    parse(&[STRICT]).unwrap()
}

/// The path that is forwarded and the route that was found, if it is let through.
fn accepted(policies: &PolicySet, raw: &[u8]) -> Option<(String, RouteIndex)> {
    let headers = HeaderMap::new();
    let facts = RequestFacts {
        path: raw,
        authority: Some("localhost"),
        now: NOW,
        ..RequestFacts::new(&Method::GET, b"", &headers)
    };
    let (path, policy) = resolve(policies, policies.by_raw_prefix(None, raw), &facts).ok()?;
    let route = find(policies, policy, &path, &facts).ok()?;
    Some((path.as_str().to_owned(), route))
}

/// What services read where this path is on the wire.
fn readings(wire: &str) -> Vec<(&'static str, String)> {
    vec![
        ("one that decodes before it looks for a route", decode(wire)),
        (
            "Express, which decodes nothing of what may stand there",
            decode_non_ascii(wire),
        ),
        ("nginx with `merge_slashes`", merge(&resolve_dots(&decode(wire)))),
        (
            "Tomcat and Spring, parameters first",
            merge(&resolve_dots(&decode(&cut(wire)))),
        ),
        ("Jetty, parameters last", merge(&resolve_dots(&cut(&decode(wire))))),
        (
            "one that cuts parameters and decodes as Express does",
            cut(&decode_non_ascii(wire)),
        ),
        (
            "one that decodes slashes as well",
            decode_non_ascii(wire).replace("%2F", "/"),
        ),
        ("one that merges slashes as well", merge(&decode_non_ascii(wire))),
        (
            "a CGI folder, where a name ends with NUL",
            resolve_dots(decode(wire).split('\0').next().unwrap()),
        ),
        ("one that decodes twice", decode(&decode(wire))),
        (
            "IIS, which takes a backslash for a slash",
            merge(&resolve_dots(&decode(wire).replace('\\', "/"))),
        ),
        (
            "one that looks for a fragment and a query once more",
            decode(wire).split(['#', '?']).next().unwrap().to_owned(),
        ),
        ("Express and NestJS, which ignore case", fold(&decode_non_ascii(wire))),
        ("one that decodes and ignores case", fold(&decode(wire))),
        (
            "one that cuts parameters, merges slashes and ignores case",
            fold(&merge(&cut(&decode(wire)))),
        ),
        (
            "one that trims",
            decode(wire).split('/').map(str::trim).collect::<Vec<_>>().join("/"),
        ),
    ]
}

/// Lower case; some letters are ASCII ones to those who go by Unicode.
fn fold(path: &str) -> String {
    let letters = [("\u{130}", "i"), ("\u{131}", "i"), ("\u{17f}", "s"), ("\u{212a}", "k")];
    let path = letters
        .iter()
        .fold(path.to_owned(), |path, (from, to)| path.replace(from, to));
    path.to_ascii_lowercase()
}

fn decode(path: &str) -> String {
    percent_decode_str(path).decode_utf8_lossy().into_owned()
}

/// Decodes what could not stand in a path as it is.
fn decode_non_ascii(path: &str) -> String {
    let plain = |escape: &str| {
        decode(escape)
            .chars()
            .all(|c| c.is_ascii_graphic() && !"\"<>\\^`{|}%?#".contains(c))
    };
    let mut out = Vec::new();
    let mut rest = path;
    while let Some(at) = rest.find('%') {
        let (escape, after) = rest[at..].split_at(3);
        out.extend_from_slice(&rest.as_bytes()[..at]);
        match plain(escape) {
            true => out.extend_from_slice(escape.as_bytes()),
            false => out.extend(percent_decode_str(escape)),
        }
        rest = after;
    }
    out.extend_from_slice(rest.as_bytes());
    String::from_utf8(out).unwrap()
}

fn cut(path: &str) -> String {
    path.split('/')
        .map(|segment| segment.split(';').next().unwrap())
        .collect::<Vec<_>>()
        .join("/")
}

fn merge(path: &str) -> String {
    format!(
        "/{}",
        path.split('/')
            .filter(|segment| !segment.is_empty())
            .collect::<Vec<_>>()
            .join("/")
    )
}

/// RFC 3986, 5.2.4.
fn resolve_dots(path: &str) -> String {
    let mut out: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "." => {}
            ".." => drop(out.pop()),
            _ => out.push(segment),
        }
    }
    let path = out.join("/");
    if path.starts_with('/') {
        path
    } else {
        format!("/{path}")
    }
}

/// Whether the path is let through; if so, everybody must be led to the same route, and one that
/// only an allowance let through never to a door that opens without a token.
#[track_caller]
fn check(policies: &PolicySet, raw: &[u8]) -> bool {
    let Some((wire, found)) = accepted(policies, raw) else {
        return false;
    };
    check_readings(policies, raw, &wire, found);
    true
}

/// The same for a service that takes `%2F` for a part of a segment. One that does not is led to the same policy.
#[track_caller]
fn check_opaque(policies: &PolicySet, raw: &[u8]) -> bool {
    let Some((wire, found)) = accepted(policies, raw) else {
        return false;
    };
    // A character of its own, as it is to the service.
    check_readings(policies, raw, &wire.replace("%2F", "\u{e000}"), found);
    for (who, reading) in readings(&wire) {
        assert_eq!(
            policies.select(None, &reading),
            Some(found.policy),
            "{wire} is {reading} to {who}"
        );
    }
    let (_, route) = policies.route(found).unwrap();
    assert!(
        !wire.contains("%2F") || !route.is_permissive(),
        "{wire} leads to {}",
        route.pattern
    );
    true
}

#[track_caller]
fn check_readings(policies: &PolicySet, raw: &[u8], wire: &str, found: RouteIndex) {
    let raw = String::from_utf8_lossy(raw);
    for (who, reading) in readings(wire) {
        let policy = policies.select(None, &reading).map(|index| &policies.policies()[index]);
        let other = policy.map(|policy| policy.find(&reading, &Method::GET));
        assert_eq!(
            other,
            Some(RouteMatch::Found(found.route)),
            "{raw} is {wire} on the wire and {reading} to {who}"
        );
    }
    let ambiguous = NormalizedPath::parse(raw.as_bytes(), Allowance::default()).is_err();
    let (_, route) = policies.route(found).unwrap();
    assert!(!ambiguous || !route.is_permissive(), "{raw} leads to {}", route.pattern);
}

fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "/",
        "/",
        "/",
        "//",
        "/.",
        "/..",
        "%2F",
        "%2f",
        "\\",
        "%5C",
        ";",
        ";x=1",
        "%3B",
        ".",
        "%2e",
        "%2E%2e",
        "a",
        "b",
        "x",
        "open",
        "OPEN",
        "B",
        "Secret",
        "%C5%BFecret",
        "%E2%84%AAey",
        "A:b",
        "%6fpen",
        "secret",
        "key",
        "a:b",
        "a%3Ab",
        "%3a",
        "%25",
        "%252e",
        "%25%32%66",
        "%2520",
        "%2525",
        "%252F",
        "%253B",
        "%253F",
        "%255C",
        "%2573ecret",
        "%2561",
        "%25C5%25BFecret",
        "/x",
        "%00",
        "#",
        "%23",
        "?",
        "%3F",
        " ",
        "%20",
        "é",
        "%C3%A9",
        "%c0%af",
        "%",
        "%zz",
        "%0d%0a",
        "+",
        "%2B",
        "*",
    ]);
    prop::collection::vec(piece, 1..9).prop_map(|pieces| format!("/{}", pieces.concat()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_reading_of_a_path_leads_to_the_same_route(raw in pieces()) {
        check(&strict(), raw.as_bytes());
    }

    #[test]
    fn allowance_leads_no_path_elsewhere(raw in pieces()) {
        check(&open(), raw.as_bytes());
    }

    #[test]
    fn opaque_slash_leads_no_path_elsewhere(raw in pieces()) {
        check_opaque(&opaque(), raw.as_bytes());
    }
}

#[test]
fn slash_beside_the_escape_of_a_slash_leads_no_path_elsewhere() {
    for (path, let_through) in [
        ("/x%252Fa%2Fb", true),
        ("/x%252Fa%2Fsecret", false),
        ("/x%252Fa%2FSecret", false),
        ("/x%2Fa%252Fsecret", true),
        ("/a%2Fb%252Fc", true),
        ("/a%252Fx%2Fb", true),
        ("/open%2Fa%252Fb", false),
    ] {
        assert_eq!(check(&open(), path.as_bytes()), let_through, "{path}");
    }
}

#[test]
fn opaque_slash_is_let_through_where_it_does_no_harm() {
    let policies = opaque();
    for (path, let_through) in [
        ("/g%2Fp", true),
        ("/g%2fp/x", true),
        ("/g%2Fp%2Fq/secret", true),
        ("/x/%2F", true),
        ("/%2F/secret", true),
        ("/g%2Fsecret", true),
        ("/a/x/g%2Fp", true),
        // To a service that decodes it, it is for another policy.
        ("/a%2Fx/g", false),
        ("/A%2Fx/g", false),
        ("/a/x%2Fg", false),
        ("/a/%2F/x/g", false),
        ("/a/x/%2F", true),
        // Public, or an internal key.
        ("/open/g%2Fp", false),
        ("/key/g%2Fp", false),
        ("/open/a/g%2Fp", true),
        ("/open%2Fg", true),
        ("/g%2F", false),
        ("/%2Fg", false),
        ("/g%2F%2Fp", false),
        ("/g%2F..%2Fopen", false),
        ("/g%2F..%2F..", false),
        ("/g%5Cp", false),
        ("/g%252Fp", false),
        ("/g%2Fp%3Fq", true),
        ("/g%2Fp;v", true),
        ("/g%2F;v", false),
        ("/open/x%2520y", false),
    ] {
        assert_eq!(check_opaque(&policies, path.as_bytes()), let_through, "{path}");
    }
}

#[test]
fn opaque_slash_of_a_route_in_shadow_mode_leads_to_no_route_that_is_enforced() {
    let policy = |mode: &str, case: &str, routes: &[&str]| {
        let start = STRICT.split("routes:").next().unwrap();
        let routes: Vec<_> = routes.iter().map(|route| format!("  - {{ {route} }}\n")).collect();
        let paths = format!("paths: {{ encoded_slash: opaque{case} }}\n");
        parse(&[&format!("{start}{paths}{mode}routes:\n{}", routes.concat())]).unwrap()
    };
    let project = "path: '/p/{id}', auth: jwt";
    let shadowed = "path: '/p/{id}', auth: jwt, mode: shadow";
    for (routes, path, enforced, let_through) in [
        // Where `%2F` is a separator, no route takes it.
        (&[shadowed][..], "/p/a%2Fb", true, false),
        (&[shadowed], "/p/a", true, true),
        (&[shadowed, "path: '/p/{id}/b', auth: jwt"], "/p/a%2Fb", true, false),
        (&[shadowed, "path: '/p/{id}/b', auth: deny"], "/p/a%2Fb", true, false),
        (
            &[shadowed, "path: '/p/{id}/b', auth: internal_key"],
            "/p/a%2Fb",
            true,
            false,
        ),
        (
            &[shadowed, "path: '/p/{id}/b', methods: [POST], auth: public"],
            "/p/a%2Fb",
            true,
            false,
        ),
        (&[shadowed, "path: '/p/{id}/b', auth: public"], "/p/a%2Fb", true, true),
        (
            &[shadowed, "path: '/p/{id}/b', auth: jwt, mode: shadow"],
            "/p/a%2Fb",
            true,
            true,
        ),
        (
            &[shadowed, "path: '/p/*', auth: jwt, mode: shadow"],
            "/p/a%2Fb%2Fc",
            true,
            true,
        ),
        (&[shadowed, "path: '/p/*', auth: jwt"], "/p/a%2Fb%2Fc", true, false),
        (&["path: '/p/*', auth: jwt, mode: shadow"], "/p/a%2Fb/c", true, true),
        (
            &["path: '/p/*', auth: jwt, mode: shadow", "path: /p/admin/*, auth: jwt"],
            "/p/admin%2Fb",
            true,
            false,
        ),
        (
            &["path: '/p/*', auth: jwt, mode: shadow", "path: /p/admin/*, auth: jwt"],
            "/p/ADMIN%2Fb",
            true,
            false,
        ),
        // `%2F` alone is two separators, which are merged.
        (&[shadowed, "path: /p, auth: jwt"], "/p/%2F", true, false),
        // An enforced route asks for its credential wherever the path leads.
        (&[project], "/p/a%2Fb", true, true),
        (&[project, "path: '/p/{id}/b', auth: jwt"], "/p/a%2Fb", true, true),
        // The whole policy is in shadow mode.
        (&[project], "/p/a%2Fb", false, false),
        (&[project, "path: '/p/{id}/b', auth: jwt"], "/p/a%2Fb", false, true),
        (&[project, "path: '/p/{id}/b', auth: deny"], "/p/a%2Fb", false, false),
    ] {
        let mode = if enforced { "" } else { "mode: shadow\n" };
        for case in ["", ", case_insensitive: true"] {
            let policies = policy(mode, case, routes);
            assert_eq!(
                accepted(&policies, path.as_bytes()).is_some(),
                let_through,
                "{routes:?} {path}{case}"
            );
        }
    }
}

#[test]
fn escape_of_an_escape_and_delimiter_are_let_through_where_they_do_no_harm() {
    let policies = policies("encoded_percent, encoded_delimiter");
    for (path, let_through) in [
        ("/x/a%2520b", true),
        ("/x/100%2525", true),
        ("/x/%2561", true),
        ("/x/a%3Fb", true),
        ("/x/a%23b/c", true),
        ("/x/a%253Fb", true),
        ("/open/a%2520b", false),
        ("/open/a%3Fb", false),
        ("/key/a%2520b", false),
        ("/x/%2573ecret", false),
        ("/x/secret%3F", false),
        ("/x/secret%2520", false),
        ("/%2561", false),
        ("/a%3F/b", false),
        ("/a/b%3Fx", false),
        ("/x/%253B", false),
        ("/x/a%252Fb", false),
        ("/x/%252e%252e/open", false),
        ("/x/..%3F", false),
        ("/x/a%252520b", false),
    ] {
        assert_eq!(check(&policies, path.as_bytes()), let_through, "{path}");
    }
    let policies = self::policies("encoded_percent, encoded_slash, semicolon");
    for (path, let_through) in [
        ("/x/a%252Fb", true),
        ("/x/a%25%32%46b", true),
        ("/x/a%253Bb", true),
        ("/x%252Fsecret", false),
        ("/x/secret%253Bv", false),
        ("/open/x%252Fy", false),
        ("/x/a%252F..%252Fb", false),
        ("/x/a%253F", false),
    ] {
        assert_eq!(check(&policies, path.as_bytes()), let_through, "{path}");
    }
}

#[test]
fn what_is_read_is_what_the_policy_of_the_path_allows() {
    let policy = |prefix: &str, paths: &str| {
        format!(
            "{}paths: {{ {paths} }}\n",
            STRICT.replace("prefix: /\n", &format!("prefix: {prefix}\n"))
        )
    };
    // The first bytes spell a prefix whose policy takes `%2F` for a part of a segment; the path is for the other one.
    let policies = parse(&[
        &policy("/x", "encoded_slash: opaque"),
        &policy("/", "allow: [encoded_slash]"),
    ])
    .unwrap();
    assert!(accepted(&policies, b"/xy%2Fsecret").is_none());
    assert!(accepted(&policies, b"/xy%2Fz").is_some());
    assert!(accepted(&policies, b"/x/g%2Fsecret").is_some());
}

#[test]
fn path_without_its_prefix_begins_with_one_slash() {
    let policy = |paths: &str| {
        let text = STRICT
            .replace("prefix: /\n", "prefix: /w\n")
            .replace("  - { path: /open/é, auth: jwt }\n", "");
        let text = text.replace("url: http://127.0.0.1:1", "url: http://127.0.0.1:1, strip_prefix: true");
        parse(&[&format!("{text}paths: {{ {paths} }}\n")]).unwrap()
    };
    for (paths, path, want) in [
        ("case_insensitive: false", "/w", Some("/")),
        ("case_insensitive: false", "/w/", Some("/")),
        ("case_insensitive: false", "/w/x/y", Some("/x/y")),
        ("case_insensitive: false", "/w/w/x", Some("/w/x")),
        ("case_insensitive: false", "/w/x%20y/", Some("/x%20y/")),
        ("case_insensitive: false", "/%77/%78", Some("/x")),
        ("allow: [double_slash]", "/w//x", None),
        ("allow: [double_slash]", "/w//", None),
        ("allow: [double_slash]", "/w/x//y", Some("/x//y")),
        ("allow: [encoded_slash]", "/w/%2Fx", None),
        ("allow: [encoded_slash]", "/w/x%2Fy", Some("/x%2Fy")),
        ("allow: [encoded_slash, encoded_percent]", "/w/%252Fx", None),
        ("encoded_slash: opaque", "/w/x%2Fy", Some("/x%2Fy")),
        ("encoded_slash: opaque", "/w/%2Fx", None),
        ("encoded_slash: opaque", "/w%2Fx", None),
        ("case_insensitive: true", "/W/x", Some("/x")),
    ] {
        let policies = policy(paths);
        let found = accepted(&policies, path.as_bytes());
        let found = found.map(|(wire, route)| policies.policies()[route.policy].forwarded_path(&wire).to_owned());
        assert_eq!(found.as_deref(), want, "{path} {paths}");
    }
}

#[test]
fn a_route_that_is_not_ascii_is_the_same_to_all() {
    for policies in [strict(), open()] {
        assert!(check(&policies, "/open/%C3%A9".as_bytes()));
    }
}

#[test]
fn an_allowance_opens_what_it_names_where_that_does_no_harm() {
    let policies = open();
    for (path, let_through) in [
        ("/x//y", true),
        ("/x;v=1/y", true),
        ("/x%2Fy", true),
        ("/open//x", false),
        ("/open/x;v=1", false),
        ("/open%2Fx", false),
        ("/key/x%2Fy", false),
        ("/x/..;/open/y", false),
        ("/a;x%2Fb", false),
        ("//x/open/y", false),
        ("/%2Fx/open/y", false),
        ("/%2F%2Fx/open/y", false),
        ("/a%3Ab", false),
        ("/x/secret;v", false),
        ("/x%2Fsecret", false),
    ] {
        assert_eq!(check(&policies, path.as_bytes()), let_through, "{path}");
    }
}

/// Where a path of a public table is let through, it is what the table says it is once normalized.
fn check_table(rows: impl Iterator<Item = (String, String)>) {
    let policies = strict();
    let (mut let_through, mut rejected) = (0, 0);
    for (input, output) in rows {
        let input = input.split('?').next().unwrap();
        if check(&policies, input.as_bytes()) {
            let (wire, _) = accepted(&policies, input.as_bytes()).unwrap();
            assert_eq!(decode(&wire), decode(&output), "{input}");
            let_through += 1;
        } else {
            rejected += 1;
        }
        check(&open(), input.as_bytes());
    }
    assert!(
        let_through > 0 && rejected > 0,
        "{let_through} let through, {rejected} rejected"
    );
}

#[test]
fn istios_table_of_normalizations() {
    let Some(rows) = vectors("path-normalization/istio_normalization.json") else {
        return;
    };
    let text = |row: &Value, name: &str| row[name].as_str().unwrap().to_owned();
    check_table(
        rows.as_array()
            .unwrap()
            .iter()
            .map(|row| (text(row, "input"), text(row, "output"))),
    );
}

#[test]
fn envoys_tables_of_normalizations() {
    let Some(tables) = vectors("path-normalization/envoy_path_utility.json") else {
        return;
    };
    for table in ["rfc3986_normalize", "merge_slashes"] {
        let text = |row: &Value, at: usize| row[at].as_str().unwrap().to_owned();
        check_table(
            tables[table]
                .as_array()
                .unwrap()
                .iter()
                .map(|row| (text(row, 0), text(row, 1))),
        );
    }
    for path in tables["invalid_rejected"].as_array().unwrap() {
        assert!(!check(&open(), path.as_str().unwrap().as_bytes()), "{path}");
    }
}

#[test]
fn whatwgs_table_of_urls() {
    let Some(rows) = vectors("whatwg-url/url/tests/urltestdata.json") else {
        return;
    };
    let row = |row: &Value| {
        let pathname = row["pathname"].as_str().filter(|_| row["protocol"] == "http:")?;
        let raw = raw_path(row["input"].as_str()?, row["base"].as_str())?;
        Some((raw, pathname.to_owned()))
    };
    check_table(rows.as_array().unwrap().iter().filter_map(row));
}

/// The path that a client sends which does not normalize: behind the authority, or below the base.
fn raw_path(input: &str, base: Option<&str>) -> Option<String> {
    let input = input.trim();
    let path = |url: &str| {
        let (_, rest) = url.split_once("://")?;
        Some(rest.find(['/', '\\']).map_or("/", |at| &rest[at..]).to_owned())
    };
    let has_scheme = input.split('/').next().is_some_and(|first| first.contains(':'));
    if has_scheme || input.starts_with('/') {
        return path(input).or_else(|| Some(input.to_owned()).filter(|_| !has_scheme));
    }
    let base = base
        .filter(|_| !input.is_empty() && !input.starts_with(['?', '#']))
        .and_then(path)?;
    let folder = &base[..=base.rfind('/')?];
    Some(format!("{folder}{input}"))
}
