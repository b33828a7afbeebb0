//! Tokens in all places, conditions of all kinds, bodies, and what Sidegate itself answers.

use super::{Lab, assert_passes};

/// A policy with all places of tokens, conditions of all kinds, and what Sidegate itself answers.
const SOURCES: &str = r"version: 1
service: s
prefix: /s
upstream: { url: http://127.0.0.1:1 }
credentials: strip
cors: { origins: [https://app.example.com], headers: [authorization], credentials: true }
resource: { url: 'https://s.example.com/s', authorization_servers: [https://idp.example.com] }
jwt:
  issuers:
    - { issuer: https://idp.example.com, audience: ['https://s.example.com/s'], algorithms: [ES256], types: [at+jwt], keys: { jwks: { url: https://idp.example.com/jwks } }, binding: verify }
  sources: [authorization, { cookie: __Host-session }, { query: access_token }, { websocket_protocol: bearer }]
content_types: [application/json]
quotas:
  - { name: q, per: subject, limit: 3, window: 1m, when_unavailable: deny }
routes:
  - { path: '/users/{userId}', auth: jwt, when: [{ claim: sub, equals: '{userId}' }, { client: { in: [10.0.0.0/8] } }, { claim: auth_time, within: 15m }] }
  - { path: '/items/{id}:run', methods: [POST], auth: jwt, scopes: [run] }
  - { path: /*, auth: jwt }
";

/// What becomes of its requests.
const SOURCES_TEST: &str = r#"version: 1
host: s.example.com
callers:
  anonymous: {}
  user: { token: { sub: u1, scope: run other } , client: 10.1.2.3 }
  web: { like: user, source: cookie, headers: { sec-fetch-site: same-origin } }
  bare: { like: user, source: cookie }
  link: { like: user, source: query }
  socket: { like: user, source: websocket_protocol }
  fresh: { like: user, token: { auth_time: -5m } }
  stale: { like: user, token: { auth_time: -20m } }
  far: { like: fresh, client: 192.0.2.1 }
  bound: { like: user, certificate: { cn: device }, bound: true }
  stolen: { like: bound, certificate: ~ }
  badkid: { like: user, corrupt: key_id }
  none: { like: user, corrupt: algorithm }
  twice: { like: user, corrupt: twice }
  junk: { like: user, corrupt: malformed }
  wrongaud: { like: user, token: { aud: other } }
  early: { like: user, token: { nbf: +1h } }
  noexp: { like: user, token: { exp: ~ } }
tests:
  - name: sources
    request: GET /s/x
    expect: { anonymous: deny, user: allow, web: allow, link: allow, socket: allow, bound: allow, stolen: token_binding_mismatch, badkid: token_key_unknown, none: token_algorithm_not_allowed, twice: request_malformed, junk: token_malformed, wrongaud: token_audience_mismatch, early: token_not_yet_valid, noexp: token_claim_missing, bare: token_source_not_allowed, "*": allow }
  - name: cookie from elsewhere
    request: { POST: /s/x, headers: { origin: https://evil.example, sec-fetch-site: cross-site } }
    expect: { web: token_source_not_allowed, link: token_source_not_allowed, user: allow }
  - name: own page
    request: { POST: /s/x, headers: { origin: https://s.example.com, sec-fetch-site: ~ }, scheme: https }
    expect: { web: allow }
  - name: own user
    request: GET /s/users/u1
    expect: { fresh: allow, stale: condition_failed, far: condition_failed, user: 403 }
  - name: other user
    request: 'GET /s/users/{id}'
    expect: { fresh: condition_failed }
  - name: verbs
    requests: ['POST /s/items/{items}:run']
    expect: { user: allow }
  - name: media
    requests: [{ POST: /s/x, body: text/plain }]
    expect: { user: 415 }
  - name: nothing
    requests: [{ POST: /s/x, body: none }, POST /s/x, { POST: /s/x, body: application/json }]
    expect: { user: allow }
  - name: large
    requests: [{ POST: /s/x, body: { type: application/json, bytes: 20MiB } }]
    expect: { user: body_too_large }
  - name: preflight
    request: { OPTIONS: /s/x, headers: { origin: https://app.example.com, access-control-request-method: GET } }
    caller: anonymous
    expect: { outcome: preflight, response: { status: 204, headers: { access-control-allow-origin: https://app.example.com } } }
  - name: metadata
    request: GET /.well-known/oauth-protected-resource/s
    caller: anonymous
    expect: { outcome: metadata, response: { status: 200, body: { resource: https://s.example.com/s, authorization_servers.0: https://idp.example.com } } }
  - name: store
    given: { store: down }
    request: GET /s/x
    caller: user
    expect: { outcome: 503 store_unavailable, response: { status: 503, headers: { x-sidegate-reason: store_unavailable } } }
"#;

#[test]
fn places_of_tokens_conditions_bodies_and_own_responses_are_decided_as_by_the_proxy() {
    let lab = Lab::new(SOURCES).file("b.test.yaml", SOURCES_TEST);
    assert_passes(&lab.run(&["."]), 36);
}
