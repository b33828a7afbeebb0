//! Random policies, and random changes of them.

use serde_json::{Value, json};

use super::dice::Dice;

mod changes;

pub(super) use changes::CHANGES;

/// The names that policies and callers share.
pub(super) const ROLES: [&str; 5] = ["admin", "editor", "viewer", "support", "guest"];
pub(super) const SCOPES: [&str; 3] = ["read", "write", "all"];
pub(super) const AUDIENCES: [&str; 3] = ["aud", "aud2", "aud3"];
const AUTHS: [&str; 12] = [
    r#""public""#,
    r#""jwt""#,
    r#""jwt""#,
    r#""jwt""#,
    r#""internal_key""#,
    r#""mtls""#,
    r#"{"any":["jwt","public"]}"#,
    r#"{"any":["jwt","internal_key"]}"#,
    r#"{"any":["internal_key","jwt"]}"#,
    r#"{"all":["internal_key","jwt"]}"#,
    r#"{"any":["mtls","jwt","internal_key"]}"#,
    r#"{"all":["mtls","jwt"]}"#,
];
const PATHS: [&str; 8] = [
    "/health",
    "/jobs/*",
    "/admin/*",
    "/docs/{id}",
    "/docs/public",
    "/*",
    "/{id}",
    "/admin/users/{id}",
];
const METHODS: [&str; 6] = ["GET", "POST", "PUT", "DELETE", "OPTIONS", "TRACE"];

fn auth(dice: &mut Dice) -> Value {
    serde_json::from_str(dice.pick(&AUTHS)).unwrap()
}

/// Whether every request that the route accepts has a token.
fn brings_token(route: &Value) -> bool {
    let auth = &route["auth"];
    *auth == "jwt" || auth["all"].as_array().is_some_and(|all| all.contains(&json!("jwt")))
}

fn brings_name(route: &Value) -> bool {
    *route != "public" && route["auth"] != "public" && route["auth"] != "deny"
}

/// Makes a route fit its `auth`.
fn fit(route: &mut Value) {
    if !brings_token(route) {
        let route = route.as_object_mut().unwrap();
        route.remove("roles");
        route.remove("scopes");
        if let Some(when) = route.get_mut("when").and_then(Value::as_array_mut) {
            when.retain(|condition| condition.get("claim").is_none() && condition.get("equals_claim").is_none());
        }
        if route.get("when").is_some_and(|when| when == &json!([])) {
            route.remove("when");
        }
    }
    if route["auth"] == "deny" {
        let (path, methods) = (route["path"].clone(), route["methods"].clone());
        *route = json!({ "path": path, "auth": "deny" });
        if !methods.is_null() {
            route["methods"] = methods;
        }
    }
}

fn condition(dice: &mut Dice, has_parameter: bool) -> Value {
    match dice.below(14) {
        0 => json!({ "claim": "dept", "equals": dice.pick(&["a", "b"]) }),
        1 => json!({ "claim": "dept", "in": dice.some(&["a", "b", "c"]) }),
        2 => json!({ "claim": "level", "equals": dice.pick(&[3, 5]) }),
        3 => json!({ "claim": "groups", "has": dice.pick(&["x", "y"]) }),
        4 => json!({ "claim": "groups", "has_any": ["x", dice.pick(&["y", "z"])] }),
        5 => json!({ "claim": "auth_time", "within": dice.pick(&["5m", "15m"]) }),
        6 => json!({ "header": "x-region", "equals": dice.pick(&["eu", "us"]) }),
        7 => json!({ "header": "x-region", "in": ["eu", dice.pick(&["us", "jp"])] }),
        8 => json!({ "header": "x-account", "equals_claim": "account" }),
        9 => json!({ "client": { "in": [dice.pick(&["10.0.0.0/8", "10.1.0.0/16", "fd00::/8"])] } }),
        10 if has_parameter => json!({ "claim": "owner", "equals": "{id}" }),
        11 => json!({ "claim": "owner", "equals": dice.pick(&["d1", "u1"]) }),
        12 if has_parameter => json!({ "header": "x-account", "equals": dice.pick(&["{id}", "d1"]) }),
        _ => json!({ "claim": "staff", "equals": true }),
    }
}

fn decorate(route: &mut Value, dice: &mut Dice) {
    if dice.one_in(3) {
        route["methods"] = json!(dice.some(&METHODS));
        if route["methods"] == json!([]) {
            route["methods"] = json!(["GET"]);
        }
    }
    if dice.one_in(3) {
        route["roles"] = json!([dice.pick(&ROLES)]);
    }
    if dice.one_in(5) {
        route["scopes"] = json!([dice.pick(&SCOPES)]);
    }
    if dice.one_in(5) {
        let has_parameter = route["path"].as_str().unwrap().contains("{id}");
        route["when"] = json!([condition(dice, has_parameter)]);
    }
    if dice.one_in(8) {
        route["mode"] = json!("shadow");
    }
    if dice.one_in(8) {
        route["content_types"] = json!(["application/json"]);
    }
    if dice.one_in(10) {
        route["pass"] = json!([dice.pick(&["x-tenant-id", "remote-user"])]);
    }
    if dice.one_in(10) && brings_name(route) {
        route["idempotency"] = json!({ "required": dice.one_in(2) });
    }
    if dice.one_in(12) {
        route["body_bytes"] = json!(dice.pick(&[100, 1000]));
    }
}

fn route(dice: &mut Dice, path: &str) -> Value {
    let mut route = json!({ "path": path, "auth": auth(dice) });
    decorate(&mut route, dice);
    fit(&mut route);
    route
}

fn issuer(dice: &mut Dice, name: &str, secret: &str) -> Value {
    let mut issuer = json!({
        "issuer": name, "audience": ["aud"], "algorithms": ["HS256"], "keys": { "secret": { "env": secret } },
    });
    if dice.one_in(6) {
        issuer["leeway"] = json!(dice.pick(&["30s", "60s"]));
    }
    if dice.one_in(6) {
        issuer["required_claims"] = json!(dice.pick(&[vec![], vec!["sub", "dept"], vec!["jti"]]));
    }
    issuer
}

/// Makes a policy.
pub(super) fn policy(dice: &mut Dice) -> Value {
    let mut policy = json!({
        "version": 1, "service": "s", "prefix": "/api", "upstream": { "url": "http://127.0.0.1:22000" },
        "jwt": { "issuers": [issuer(dice, "iss-a", "A")] },
        "internal_key": { "keys": [{ "name": "job", "secret": { "env": "K1" } }] },
        "mtls": { "allow": [{ "uri": "spiffe://td/ns/*/sa/job" }] },
        "roles": { "admin": ["editor"], "editor": ["viewer"] },
    });
    let paths: Vec<&str> = dice.some(&PATHS);
    let mut routes: Vec<Value> = paths.iter().take(4).map(|path| route(dice, path)).collect();
    if routes.is_empty() {
        routes.push(route(dice, "/*"));
    }
    policy["routes"] = json!(routes);
    let features: [fn(&mut Value, &mut Dice); 8] = [
        tenant,
        sources,
        cors,
        revocation,
        errors,
        identity,
        keys,
        several_issuers,
    ];
    for feature in features {
        if dice.one_in(4) {
            feature(&mut policy, dice);
        }
    }
    policy
}

fn tenant(policy: &mut Value, dice: &mut Dice) {
    policy["tenant"] = json!({ "claims": dice.pick(&[vec!["tenantId"], vec!["org"], vec!["tenantId", "org"]]) });
    if dice.one_in(3) {
        policy["tenant"]["header"] = json!("x-org");
    }
    if dice.one_in(3) {
        policy["tenant"]["header_required"] = json!(false);
    }
    if dice.one_in(4) {
        policy["tenant"]["format"] = json!("text");
    }
    if dice.one_in(4) {
        policy["tenant"]["lists"] = json!(true);
    }
}

fn sources(policy: &mut Value, dice: &mut Dice) {
    let others = [
        json!({ "header": "x-token" }),
        json!({ "cookie": "sid" }),
        json!({ "query": "access_token" }),
        json!({ "websocket_protocol": "bearer" }),
    ];
    let mut sources: Vec<Value> = dice.some(&others);
    if sources.is_empty() || !dice.one_in(4) {
        sources.insert(0, json!("authorization"));
    }
    policy["jwt"]["sources"] = json!(sources);
}

fn cors(policy: &mut Value, dice: &mut Dice) {
    policy["cors"] = match dice.below(4) {
        0 => json!({ "origins": ["*"] }),
        1 => json!({ "origins": ["https://app.example"], "credentials": true }),
        2 => json!({ "origins": ["https://app.example", "https://*.example.com"], "headers": ["authorization"] }),
        _ => json!({ "origins": ["https://app.example"] }),
    };
    match dice.below(6) {
        0 => policy["cors"]["max_age"] = json!("1m"),
        1 => policy["cors"]["headers"] = json!(["x-a"]),
        2 => policy["cors"]["expose"] = json!(["x-b"]),
        _ => {}
    }
}

fn revocation(policy: &mut Value, dice: &mut Dice) {
    policy["revocation"] = match dice.below(3) {
        0 => json!({ "when_unavailable": "allow" }),
        1 => json!({ "max_stale": "60s" }),
        _ => json!({}),
    };
}

fn errors(policy: &mut Value, dice: &mut Dice) {
    policy["errors"] = match dice.below(4) {
        0 => json!({ "format": "envelope" }),
        1 => json!({ "format": "problem" }),
        2 => json!({ "reason_header": false }),
        _ => json!({ "code_prefix": "ERR_OTHER" }),
    };
}

fn identity(policy: &mut Value, dice: &mut Dice) {
    policy["identity"] = match dice.below(5) {
        0 => json!({ "x-user-id": "email" }),
        1 => json!({ "x-user-id": "sub", "x-dept": "dept", "x-roles": "roles" }),
        2 => {
            json!({ "x-user-id": "sub", "x-dept": { "from": "dept", "separator": ";" }, "x-roles": { "from": "roles", "separator": ";" } })
        }
        3 => json!({ "x-user-id": { "from": "email", "encoding": "percent" }, "x-dept": "dept" }),
        _ => json!({ "x-user-id": "sub", "x-tenant-id": "@tenant", "x-client-id": "@client_id" }),
    };
}

fn keys(policy: &mut Value, dice: &mut Dice) {
    policy["internal_key"]["keys"] = match dice.below(4) {
        0 => json!([{ "name": "job", "secret": { "env": "K1" } }, { "name": "cron", "secret": { "env": "K2" } }]),
        1 => json!([{ "name": "cron", "secret": { "env": "K1" } }]),
        2 => json!([{ "name": "job", "secret": { "env": "K2" } }]),
        _ => json!([
            { "name": "job", "secret": { "env": "K1" }, "expires": dice.pick(&["2027-02-01T00:00:00Z", "2027-03-01T00:00:00Z"]) },
            { "name": "cron", "secret": { "env": "K2" } },
        ]),
    };
    if dice.one_in(3) {
        let keys = policy["internal_key"]["keys"].as_array_mut().unwrap();
        keys.last_mut().unwrap()["expires"] = json!(dice.pick(&["2027-02-01T00:00:00Z", "2027-03-01T00:00:00Z"]));
    }
    if dice.one_in(4) {
        policy["internal_key"]["header"] = json!("x-key");
    }
}

fn several_issuers(policy: &mut Value, dice: &mut Dice) {
    let secret = dice.pick(&["A", "B"]);
    let other = issuer(dice, "iss-b", secret);
    let issuers = policy["jwt"]["issuers"].as_array_mut().unwrap();
    match issuers.len() {
        1 => issuers.push(other),
        _ => issuers.truncate(1),
    }
}
