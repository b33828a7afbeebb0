//! Issuers that publish where their keys are (OIDC Discovery 1.0).

use serde_json::json;

use crate::{
    cli_check::{GOOD, check, said},
    harness::{
        Reply, Request, Setup, Upstream,
        issuer::{Key, KeyServer, claims, key_set},
    },
};

const POLICY: &str = "
version: 1
service: wallet-svc
prefix: /w
upstream: { url: '$upstream' }
errors: { format: envelope, code_prefix: ERR_WALLET }
jwt: { issuers: [{ issuer: '$issuer', audience: unchecked, algorithms: [ES256], keys: { oidc: $oidc } }] }
routes: [{ path: /*, auth: jwt }]
";

pub(crate) const DOCUMENT: &str = "/.well-known/openid-configuration";

/// A server that names itself as the issuer, and where this says, its keys.
fn issuer(path: &'static str, keys_at: impl Fn(&str) -> String + Send + Sync + 'static, keys: &[&Key]) -> Upstream {
    let set = key_set(keys);
    Upstream::start(move |request| {
        let host = request.values("host").concat();
        if request.target == format!("{}{DOCUMENT}", path.trim_end_matches('/')) {
            document(&format!("http://{host}{path}"), &keys_at(&host))
        } else if request.target == "/keys" {
            Reply::ok(&set)
        } else {
            Reply::status(404, "")
        }
    })
}

pub(crate) fn document(issuer: &str, keys: &str) -> Reply {
    let document = json!({ "issuer": issuer, "jwks_uri": keys, "response_types_supported": ["id_token"] });
    Reply::ok(document.to_string()).header("content-type", "application/json")
}

fn beside(host: &str) -> String {
    format!("http://{host}/keys")
}

fn trusting(issuer: &str, oidc: &str) -> Setup {
    let setup = Setup::new().set("issuer", issuer).set("oidc", oidc);
    setup.policy("wallet", POLICY)
}

fn get(key: &Key, issuer: &str) -> Request {
    Request::get("/w/x").bearer(&key.sign(claims(json!({ "iss": issuer }))))
}

#[test]
fn an_issuer_says_where_its_keys_are() {
    let key = Key::new("ES256", "one");
    for path in ["", "/", "/tenant", "/tenant/"] {
        let server = issuer(path, beside, &[&key]);
        let name = format!("{}{path}", server.url);
        for oidc in ["'$issuer'", "{ issuer: '$issuer' }", "{ url: '$issuer', refresh: 10s }"] {
            let gateway = trusting(&name, &oidc.replace("$issuer", &name)).start();
            gateway.allowed(&get(&key, &name));
            gateway.refused(&get(&key, &format!("{name}x")), 401, "token_issuer_mismatch");
            gateway.refused(&get(&Key::new("ES256", "one"), &name), 401, "token_signature_invalid");
        }
    }
}

#[test]
fn the_keys_may_be_on_another_host_that_never_sees_the_bearer_token() {
    let key = Key::new("ES256", "one");
    let keys = KeyServer::publishing(&[&key]);
    let elsewhere = keys.url.clone();
    let server = issuer("", move |_| elsewhere.clone(), &[]);
    let oidc = format!("{{ issuer: '{}', bearer_token_file: ../token }}", server.url);
    let gateway = trusting(&server.url, &oidc).file("token", "hush-hush\n").start();
    gateway.allowed(&get(&key, &server.url));
    assert_eq!(server.all()[0].values("authorization"), ["Bearer hush-hush"]);
    let asked = keys.requests();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].values("authorization"), Vec::<&str>::new());
    assert!(!gateway.log_text().contains("hush-hush"));
}

/// What is answered to a host.
type Answer = dyn Fn(&str) -> Reply + Send + Sync;

#[test]
fn invalid_discovery_document_leads_to_no_keys() {
    let key = Key::new("ES256", "one");
    let set = key_set(&[&key]);
    let long = format!("{{\"padding\":\"{}\",", "x".repeat(8 << 20));
    let cases: [(&str, Box<Answer>); 8] = [
        (
            "of another issuer",
            Box::new(|host| document("http://other.example", &beside(host))),
        ),
        (
            "with a slash more",
            Box::new(|host| document(&format!("http://{host}/"), &beside(host))),
        ),
        (
            "without keys",
            Box::new(|host| Reply::ok(json!({ "issuer": format!("http://{host}") }).to_string())),
        ),
        (
            "keys in clear text",
            Box::new(|host| document(&format!("http://{host}"), "http://192.0.2.1/keys")),
        ),
        (
            "keys in a file",
            Box::new(|host| document(&format!("http://{host}"), "file:///etc/passwd")),
        ),
        (
            "too long",
            Box::new(move |host| Reply::ok(format!("{long}\"issuer\":\"http://{host}\"}}"))),
        ),
        (
            "somewhere else",
            Box::new(|host| Reply::status(302, "").header("location", &beside(host))),
        ),
        ("the key set itself", Box::new(move |_| Reply::ok(&set))),
    ];
    for (what, answer) in cases {
        let set = key_set(&[&key]);
        let server = Upstream::start(move |request| match request.target.as_str() {
            DOCUMENT => answer(&request.values("host").concat()),
            _ => Reply::ok(&set),
        });
        let gateway = trusting(&server.url, &format!("'{}'", server.url))
            .always_ready()
            .start();
        gateway.refused(&get(&key, &server.url), 503, "keys_unavailable");
        assert!(server.all().iter().all(|request| request.target == DOCUMENT), "{what}");
    }
}

#[test]
fn what_check_says_about_discovery() {
    let with = |keys: &str| {
        let policy = GOOD
            .replace("HS256", "RS256")
            .replace("eventzr.com", "https://a.example")
            .replace("{ secret: { env: IT_SECRET } }", keys);
        check(&policy)
    };
    for keys in [
        "{ oidc: 'https://a.example' }",
        "{ oidc: { env: ISSUER_URL, default: 'https://a.example' } }",
        "{ oidc: { issuer: 'https://a.example', refresh: 1m, max_stale: 2h } }",
        "{ oidc: { issuer: 'https://a.example', url: 'https://b.example' } }",
    ] {
        let said = with(keys);
        assert_eq!(said.code, Some(0), "{keys}: {}", said.text);
    }
    for (keys, words) in [
        (
            "{ oidc: 'https://b.example' }",
            "the tokens are those of `https://a.example`",
        ),
        ("{ oidc: 'https://a.example/' }", "write `issuer: https://a.example/`"),
        (
            "{ oidc: { url: 'https://b.example' } }",
            "these are the keys of `https://b.example`",
        ),
        ("{ oidc: { refresh: 1m } }", "`issuer` is missing"),
        ("{ oidc: { isuer: 'https://a.example' } }", "unknown field `isuer`"),
        ("{ oidc: [x] }", "expected text"),
        (
            "{ oidc: { issuer: 'https://a.example', refresh: 1s } }",
            "`10s` at the most",
        ),
        (
            "{ oidc: { issuer: 'https://a.example', url: 'http://b.example' } }",
            "plain http",
        ),
        (
            "{ oidc: { issuer: 'https://a.example', url: 'https://b.example?x' } }",
            "neither a query nor a fragment",
        ),
        (
            "{ oidc: { issuer: 'https://a.example', bearer_token_file: nowhere } }",
            "cannot be read",
        ),
        (
            "{ oidc: { issuer: 'https://a.example', url: 'http://b.example', allow_http: true, bearer_token_file: bad.yaml } }",
            "a bearer token is sent over https",
        ),
        (
            "{ jwks: { url: 'https://me:word@b.example/keys' } }",
            "cannot have a user and a password",
        ),
        (
            "{ oidc: 'https://a.example', jwks: { url: 'https://b.example' } }",
            "exactly one of",
        ),
    ] {
        let said = with(keys);
        assert_eq!(said.code, Some(1), "{keys}: {}", said.text);
        assert!(said.text.contains(words), "{keys}: {}", said.text);
    }
    let hmac = GOOD.replace("{ secret: { env: IT_SECRET } }", "{ oidc: eventzr.com }");
    assert!(check(&hmac).text.contains("HS256 needs a shared secret"));
}

#[test]
fn explain_asks_the_issuer_too() {
    let key = Key::new("ES256", "one");
    let server = issuer("", beside, &[&key]);
    let setup = trusting(&server.url, &format!("'{}'", server.url));
    let token = key.sign(claims(json!({ "iss": server.url })));
    let explain = ["explain", "GET", "/w/x", "--policies", "policies", "--token", &token];
    assert_eq!(setup.run(&explain).status.code(), Some(0));
    drop(server);
    let nobody = trusting("http://127.0.0.1:9", "'http://127.0.0.1:9'");
    let token = key.sign(claims(json!({ "iss": "http://127.0.0.1:9" })));
    let explain = ["explain", "GET", "/w/x", "--policies", "policies", "--token", &token];
    let said = said(&nobody.run(&explain));
    assert_eq!(said.code, Some(1));
    assert!(
        said.text.contains("failed to fetch the keys of `http://127.0.0.1:9`"),
        "{}",
        said.text
    );
}
