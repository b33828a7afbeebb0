//! Random changes of policies.

use serde_json::{Value, json};

use super::super::dice::Dice;
use super::{
    METHODS, PATHS, ROLES, SCOPES, auth, brings_name, condition, cors, errors, fit, identity, keys, revocation, route,
    several_issuers, sources, tenant,
};

type Change = fn(&mut Value, &mut Dice);

/// Changes, each by its name.
pub(in super::super) const CHANGES: [(&str, Change); 40] = [
    ("auth", |policy, dice| {
        on_route(policy, dice, |route, dice| route["auth"] = auth(dice));
    }),
    ("roles of a route", |policy, dice| {
        on_route(policy, dice, |route, dice| {
            route["roles"] = json!([dice.pick(&ROLES), "admin"]);
        });
    }),
    ("hierarchy", |policy, dice| {
        let (role, brought) = (dice.pick(&ROLES), dice.pick(&["viewer", "editor"]));
        if role != brought && role != "viewer" {
            policy["roles"][role] = json!([brought]);
        }
    }),
    ("scopes of a route", |policy, dice| {
        on_route(policy, dice, |route, dice| {
            route["scopes"] = json!(dice.some(&SCOPES));
            if route["scopes"] == json!([]) {
                route.as_object_mut().unwrap().remove("scopes");
            }
        });
    }),
    ("methods", |policy, dice| {
        on_route(policy, dice, |route, dice| {
            route["methods"] = json!([dice.pick(&METHODS)]);
        });
    }),
    ("route removed", |policy, dice| {
        let routes = policy["routes"].as_array_mut().unwrap();
        if routes.len() > 1 {
            routes.remove(dice.below(routes.len()));
        }
    }),
    ("route added", |policy, dice| {
        let path = dice.pick(&PATHS);
        let added = route(dice, path);
        policy["routes"].as_array_mut().unwrap().push(added);
    }),
    ("mode of a route", |policy, dice| {
        on_route(policy, dice, |route, _| {
            route["mode"] = json!(if route["mode"] == "shadow" { "enforce" } else { "shadow" });
        });
    }),
    ("mode", |policy, _| policy["mode"] = json!("shadow")),
    ("deny", |policy, dice| {
        on_route(policy, dice, |route, _| route["auth"] = json!("deny"));
    }),
    ("issuer", several_issuers),
    ("audience", |policy, dice| {
        on_issuer(policy, dice, |issuer, dice| {
            issuer["audience"] = match dice.below(4) {
                0 => json!("unchecked"),
                1 => json!(["aud", "aud2"]),
                2 => json!(["aud2"]),
                _ => json!(["aud2", "aud3"]),
            };
        });
    }),
    ("audience claim", |policy, dice| {
        on_issuer(policy, dice, |issuer, _| {
            if issuer["audience"] != "unchecked" {
                issuer["audience_claim"] = json!("client");
            }
        });
    }),
    ("algorithms", |policy, dice| {
        on_issuer(policy, dice, |issuer, dice| {
            issuer["algorithms"] = json!(dice.pick(&[vec!["HS384"], vec!["HS256", "HS512"]]));
        });
    }),
    ("types", |policy, dice| {
        on_issuer(policy, dice, |issuer, dice| {
            issuer["types"] = json!([dice.pick(&["at+jwt", "JWT"])]);
        });
    }),
    ("ignored headers", |policy, dice| {
        on_issuer(policy, dice, |issuer, dice| {
            issuer["ignore_headers"] = json!([dice.pick(&["jku", "x5u"])]);
        });
    }),
    ("required claims", |policy, dice| {
        on_issuer(policy, dice, |issuer, dice| {
            issuer["required_claims"] = json!(dice.pick(&[vec![], vec!["sub", "email"], vec!["dept", "jti"]]));
        });
    }),
    ("secret", |policy, dice| {
        on_issuer(policy, dice, |issuer, dice| {
            issuer["keys"]["secret"]["env"] = json!(dice.pick(&["A", "B", "C"]));
        });
    }),
    ("leeway", |policy, dice| {
        on_issuer(policy, dice, |issuer, dice| {
            issuer["leeway"] = json!(dice.pick(&["30s", "45s", "60s"]));
        });
    }),
    ("claim of roles", |policy, dice| {
        on_issuer(policy, dice, |issuer, dice| {
            issuer["roles_claim"] = dice.pick(&[
                json!(["realm", "roles"]),
                json!("groups"),
                json!([["roles"], ["groups"]]),
            ]);
        });
    }),
    ("claim of scopes", |policy, dice| {
        on_issuer(policy, dice, |issuer, dice| {
            issuer["scopes_claim"] = json!(dice.pick(&["scp", "scope"]));
        });
    }),
    ("conditions of an issuer", |policy, dice| {
        on_issuer(policy, dice, |issuer, dice| {
            issuer["when"] = json!([dice.pick(&[
                json!({ "claim": "token_use", "equals": "access" }),
                json!({ "claim": "dept", "in": ["a", "b"] }),
                json!({ "claim": "auth_time", "within": "10m" }),
            ])]);
        });
    }),
    ("binding", |policy, dice| {
        on_issuer(policy, dice, |issuer, dice| {
            issuer["binding"] = json!(dice.pick(&["verify", "required", "ignore"]));
        });
    }),
    ("tenant", |policy, dice| {
        match policy.get("tenant").is_some() && dice.one_in(2) {
            true => drop(policy.as_object_mut().unwrap().remove("tenant")),
            false => tenant(policy, dice),
        }
    }),
    ("keys", keys),
    ("certificates", |policy, dice| {
        policy["mtls"]["allow"] = dice.pick(&[
            json!([{ "uri": "spiffe://td/ns/*/sa/*" }]),
            json!([{ "uri": "spiffe://td/ns/core/sa/job" }, { "dns": "jobs.internal" }]),
            json!([{ "uri": "spiffe://td/ns/x/sa/job" }]),
            json!([{ "cn": "scheduler" }, { "uri": "spiffe://td/ns/*/sa/job" }]),
            json!([{ "uri": "spiffe://td/*/core/sa/job" }, { "uri": "spiffe://td/ns/*/sa/job" }]),
        ]);
    }),
    ("identity", identity),
    ("credentials", |policy, dice| {
        policy["credentials"] = json!(dice.pick(&["forward", "strip"]));
    }),
    ("content types", |policy, dice| {
        on_route(policy, dice, |route, dice| {
            route["content_types"] = json!(dice.pick(&[vec!["application/json", "text/plain"], vec!["text/plain"]]));
        });
    }),
    ("conditions of a route", |policy, dice| {
        on_route(policy, dice, |route, dice| {
            let has_parameter = route["path"].as_str().unwrap().contains("{id}");
            route["when"] = json!([condition(dice, has_parameter)]);
        });
    }),
    ("sources", sources),
    ("revocation", |policy, dice| {
        match policy.get("revocation").is_some() && dice.one_in(2) {
            true => drop(policy.as_object_mut().unwrap().remove("revocation")),
            false => revocation(policy, dice),
        }
    }),
    ("cors", |policy, dice| {
        match policy.get("cors").is_some() && dice.one_in(2) {
            true => drop(policy.as_object_mut().unwrap().remove("cors")),
            false => cors(policy, dice),
        }
    }),
    ("errors", errors),
    ("prefix", |policy, _| policy["prefix"] = json!("/api/v2")),
    ("hosts", |policy, dice| {
        policy["hosts"] = json!([dice.pick(&["api.example.com", "*.example.com"])]);
    }),
    ("upstream", |policy, dice| {
        policy["upstream"] = dice.pick(&[
            json!({ "url": "http://127.0.0.1:22001" }),
            json!({ "url": { "env": "UPSTREAM", "default": "http://127.0.0.1:22000" } }),
            json!({ "url": "http://127.0.0.1:22000", "strip_prefix": true }),
            json!({ "url": "http://127.0.0.1:22000", "host": "service.internal" }),
        ]);
    }),
    ("case", |policy, dice| {
        policy["paths"] = dice.pick(&[json!({ "case_insensitive": true }), json!({ "case": "exact" })]);
    }),
    ("idempotency, pass, body", |policy, dice| {
        on_route(policy, dice, |route, dice| match dice.below(3) {
            0 if brings_name(route) => {
                route["idempotency"] = json!({ "required": dice.one_in(2), "methods": [dice.pick(&["POST", "PUT"])] });
            }
            1 => route["pass"] = json!([dice.pick(&["x-tenant-id", "remote-user"])]),
            _ => route["body_bytes"] = json!(dice.pick(&[100, 2000])),
        });
    }),
    ("resource", |policy, _| {
        policy["resource"] = json!({
            "url": "https://api.example.com/api", "authorization_servers": ["https://login.example.com"], "scopes": ["read"],
        });
    }),
];

fn on_route(policy: &mut Value, dice: &mut Dice, change: impl Fn(&mut Value, &mut Dice)) {
    let routes = policy["routes"].as_array_mut().unwrap();
    let at = dice.below(routes.len());
    change(&mut routes[at], dice);
    fit(&mut routes[at]);
}

fn on_issuer(policy: &mut Value, dice: &mut Dice, change: impl Fn(&mut Value, &mut Dice)) {
    let issuers = policy["jwt"]["issuers"].as_array_mut().unwrap();
    let at = dice.below(issuers.len());
    change(&mut issuers[at], dice);
}
