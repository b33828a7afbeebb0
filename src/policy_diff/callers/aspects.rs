//! Changes that matter only where several aspects of a request come together.

use super::tests::{delta, effects};

const HEAD: &str = "version: 1\nservice: s\nprefix: /api\nupstream: { url: \"http://127.0.0.1:1\" }\n";

fn jwt(sources: &str, audience: &str, route: &str) -> String {
    format!(
        "{HEAD}jwt: {{ {sources}issuers: [{{ issuer: iss-a, audience: {audience}, algorithms: [HS256], keys: {{ secret: {{ env: SEC }} }} }}] }}\nroutes: [{{ path: /*, {route} }}]\n"
    )
}

fn keys(last: &str) -> String {
    format!(
        "{HEAD}internal_key: {{ keys: [{{ name: a, secret: {{ env: A }} }}, {{ name: b, secret: {{ env: B }}{last} }}] }}\nroutes: [{{ path: /*, auth: internal_key }}]\n"
    )
}

fn pages(cors: &str) -> String {
    format!("{HEAD}cors: {{ {cors} }}\nroutes: [{{ path: /*, auth: public, methods: [GET, OPTIONS] }}]\n")
}

fn certificates(uri: &str) -> String {
    format!("{HEAD}mtls: {{ allow: [{{ uri: \"{uri}\" }}] }}\nroutes: [{{ path: /*, auth: mtls }}]\n")
}

fn body(limit: &str) -> String {
    format!("{HEAD}routes: [{{ path: /*, auth: public{limit} }}]\n")
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn changes_of_aspects_that_matter_together_are_found_in_both_directions() {
    let cookie = "sources: [{ cookie: __Host-s }], ";
    let query = "sources: [{ query: token }], ";
    let socket = "sources: [{ websocket_protocol: bearer }], ";
    let jwt_route = |sources: &str, more: &str| jwt(sources, "[aud]", &format!("auth: jwt{more}"));
    let app = "origins: [https://app.example.com]";
    for (name, old, new, line, there, back) in [
        (
            "role of tokens in cookies",
            jwt_route(cookie, ", roles: [x]"),
            jwt_route(cookie, ""),
            "GET /api/x",
            "opened",
            "closed",
        ),
        (
            "role of tokens in cookies of requests that write",
            jwt_route(cookie, ", roles: [x]"),
            jwt_route(cookie, ""),
            "POST /api/x",
            "opened",
            "closed",
        ),
        (
            "audience of tokens in cookies",
            jwt(cookie, "[aud]", "auth: jwt"),
            jwt(cookie, "unchecked", "auth: jwt"),
            "GET /api/x",
            "opened",
            "closed",
        ),
        (
            "role of tokens in queries",
            jwt_route(query, ", roles: [x]"),
            jwt_route(query, ""),
            "GET /api/x",
            "opened",
            "closed",
        ),
        (
            "role of tokens in handshakes",
            jwt_route(socket, ", roles: [x]"),
            jwt_route(socket, ""),
            "GET /api/x",
            "opened",
            "closed",
        ),
        (
            "end of the second key",
            keys(""),
            keys(", expires: 2026-06-01T00:00:00Z"),
            "GET /api/x",
            "closed",
            "opened",
        ),
        (
            "late end of the second key",
            keys(""),
            keys(", expires: 2027-05-01T00:00:00Z"),
            "GET /api/x",
            "closed",
            "opened",
        ),
        (
            "headers of pages",
            pages(app),
            pages(&format!("{app}, headers: [x-a]")),
            "OPTIONS /api/x",
            "opened",
            "closed",
        ),
        (
            "credentials of pages",
            pages(app),
            pages(&format!("{app}, credentials: true")),
            "GET /api/x",
            "opened",
            "closed",
        ),
        (
            "time for which browsers keep what they know of pages",
            pages(app),
            pages(&format!("{app}, max_age: 1m")),
            "OPTIONS /api/x",
            "forwarded_differently",
            "forwarded_differently",
        ),
        (
            "one of many pages",
            pages("origins: [\"https://*.example.com\"]"),
            pages("origins: [https://a-page.example.com]"),
            "GET /api/x",
            "closed",
            "opened",
        ),
        (
            "segment of a certificate",
            certificates("spiffe://td/ns/x/sa/job"),
            certificates("spiffe://td/ns/*/sa/job"),
            "GET /api/x",
            "opened",
            "closed",
        ),
        (
            "limit of bodies",
            body(""),
            body(", body_bytes: 1MiB"),
            "POST /api/x",
            "closed",
            "opened_to_public",
        ),
        (
            "usual limit of bodies",
            body(""),
            body(", body_bytes: 10MiB"),
            "POST /api/x",
            "",
            "",
        ),
    ] {
        let found = [delta(&old, &[&new], line), delta(&new, &[&old], line)];
        let passing = |effects: String| {
            let words = effects.split(' ').filter(|word| *word != "rejected_differently");
            words.collect::<Vec<_>>().join(" ")
        };
        let found = found.map(|delta| passing(effects(delta.as_deref())));
        assert_eq!(found, [there, back], "{name}");
    }
}

#[test]
fn header_that_another_policy_of_the_service_reads_is_forwarded_on_one_side_only() {
    let public = format!("{}routes: [{{ path: /*, auth: public }}]\n", HEAD.replace("/api", "/a"));
    let other = |more: &str| {
        let head = HEAD.replace("service: s", "service: two").replace("/api", "/b");
        format!(
            "{head}jwt: {{ issuers: [{{ issuer: a, audience: [aud], algorithms: [HS256], keys: {{ secret: {{ env: SEC }} }} }}] }}\n{more}"
        )
    };
    let plain = other("routes: [{ path: /*, auth: jwt }]\n");
    for (name, more) in [
        (
            "when",
            "routes: [{ path: /*, auth: jwt, when: [{ header: x-region, equals: eu }] }]\n",
        ),
        (
            "tenant",
            "tenant: { claims: [t], header: x-org }\nroutes: [{ path: /*, auth: jwt }]\n",
        ),
        (
            "key",
            "internal_key: { header: x-kk, keys: [{ name: k, secret: { env: K } }] }\nroutes: [{ path: /*, auth: jwt }]\n",
        ),
    ] {
        let changed = other(more);
        for sides in [[&plain, &changed], [&changed, &plain]] {
            let [old, new] = sides.map(|other| [public.as_str(), other.as_str()]);
            let [old, new] = super::tests::rehearsals(&old, &new);
            let cell = super::tests::cell(&old, &new, "localhost", &http::Method::GET, "/a/x");
            let delta = super::Callers::new(&old, &new).compare(&cell).unwrap();
            assert_eq!(effects(delta.as_deref()), "forwarded_differently", "{name}");
        }
    }
}
