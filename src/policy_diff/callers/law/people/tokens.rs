//! Random tokens.

use serde_json::{Map, Value, json};

use super::super::super::rules::{NO_TENANT, OTHER_TENANT, TENANT, TEXT_TENANT, THUMBPRINT};
use super::super::dice::Dice;
use super::super::policies::{AUDIENCES, ROLES, SCOPES};
use crate::document::key_reference::KeyReference;
use crate::keys::Algorithm;
use crate::rehearsal::{Corruption, Token};

const THIRD_TENANT: &str = "c0000000-0000-4000-a000-00000000000d";

/// What policies name that is not in their text.
pub(in super::super) struct Pool {
    pub(in super::super) signers: Vec<KeyReference>,
    pub(in super::super) keys: Vec<KeyReference>,
}

/// Picks a tenant.
pub(super) fn tenant(dice: &mut Dice) -> &'static str {
    match dice.one_in(4) {
        true => dice.pick(&[OTHER_TENANT, THIRD_TENANT, NO_TENANT, TEXT_TENANT, "acme", ""]),
        false => TENANT,
    }
}

pub(super) fn token(pool: &Pool, dice: &mut Dice) -> Token {
    let mut claims = Map::new();
    let mut set = |name: &str, value: Value| {
        if !value.is_null() {
            claims.insert(name.to_owned(), value);
        }
    };
    let names = ["iss-a", "iss-a", "iss-a", "iss-b", "iss-b", "iss-c"];
    if !dice.one_in(30) {
        set("iss", json!(dice.pick(&names)));
    }
    for (name, times) in [("aud", 30), ("client", 2)] {
        if !dice.one_in(times) {
            let some: Vec<_> = dice.some(&AUDIENCES);
            set(
                name,
                match dice.below(8) {
                    0 => json!(dice.pick(&AUDIENCES)),
                    1 => json!("elsewhere"),
                    2 => json!(some),
                    3 if dice.one_in(4) => json!(7),
                    _ => json!(AUDIENCES),
                },
            );
        }
    }
    if !dice.one_in(20) {
        set(
            "sub",
            match dice.below(15) {
                0 => json!(""),
                1 => json!(7),
                2 => json!("someone else"),
                _ => json!("user-1"),
            },
        );
    }
    for (name, value) in [
        ("email", json!(dice.pick(&["a@example.com", "50% a,b;c"]))),
        ("planTier", json!("pro")),
        ("name", json!({})),
        ("jti", json!("j")),
    ] {
        if dice.one_in(2) {
            set(name, value);
        }
    }
    grants(&mut set, dice);
    for name in ["tenantId", "org"] {
        if !dice.one_in(6) {
            let (one, other) = (tenant(dice), tenant(dice));
            set(
                name,
                match dice.below(10) {
                    0 => json!([one, other]),
                    1 => json!([one]),
                    2 if dice.one_in(3) => json!([]),
                    3 if dice.one_in(3) => json!(5),
                    _ => json!(one),
                },
            );
        }
    }
    facts(&mut set, dice);
    let algorithm = dice.pick(&[Algorithm::HS256, Algorithm::HS256, Algorithm::HS384, Algorithm::HS512]);
    let mut header = Map::new();
    if dice.one_in(5) {
        header.insert("typ".into(), json!(dice.pick(&["JWT", "at+jwt", "dpop+jwt", "jwt"])));
    }
    if dice.one_in(12) {
        header.insert(
            dice.pick(&["jku", "x5u", "x5c", "x"]).into(),
            json!("https://keys.example"),
        );
    }
    let corruptions = [
        Corruption::Signature,
        Corruption::Algorithm,
        Corruption::KeyId,
        Corruption::Malformed,
    ];
    Token {
        signer: dice.pick(&pool.signers),
        algorithm,
        header,
        claims,
        corruption: dice.one_in(15).then(|| dice.pick(&corruptions)),
    }
}

/// Roles and scopes. No two claims have the same list: then the upstream would receive the same from another claim.
fn grants(set: &mut impl FnMut(&str, Value), dice: &mut Dice) {
    let list = |mark: &str, names: &[&str], dice: &mut Dice| {
        let marked = |names: Vec<&str>| json!([names, vec![mark]].concat());
        match dice.below(10) {
            0 => json!(mark),
            1 if dice.one_in(3) => json!(5),
            2 => Value::Null,
            3 | 4 => marked(vec![dice.pick(names)]),
            _ => marked(dice.some(names)),
        }
    };
    set("roles", list("r", &ROLES, dice));
    set("groups", list("g", &["x", "y", "z", "admin", "viewer"], dice));
    set("scopes", list("s", &SCOPES, dice));
    if dice.one_in(3) {
        set("scope", json!(format!("t {}", dice.some(&SCOPES).join(" "))));
    }
    if dice.one_in(3) {
        set("scp", list("p", &SCOPES, dice));
    }
    if dice.one_in(2) {
        set("realm", json!({ "roles": list("m", &ROLES, dice), "other": 1 }));
    }
}

/// Claims that conditions compare.
fn facts(set: &mut impl FnMut(&str, Value), dice: &mut Dice) {
    for (name, values) in [
        ("dept", [json!("a"), json!("b"), json!(["a"]), json!(["a", "b"])]),
        ("level", [json!(3), json!(5), json!("3"), json!(4)]),
        ("account", [json!("v"), json!("w"), json!(1), json!(true)]),
        ("owner", [json!("d1"), json!("public"), json!("u1"), json!("x")]),
        ("staff", [json!(true), json!(true), json!(false), json!("true")]),
        ("token_use", [json!("access"), json!("access"), json!("id"), json!(1)]),
    ] {
        if !dice.one_in(4) {
            set(name, dice.pick(&values));
        }
    }
    if dice.one_in(8) {
        let other = "CAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        set(
            "cnf",
            dice.pick(&[
                json!({ "x5t#S256": THUMBPRINT }),
                json!({ "x5t#S256": THUMBPRINT }),
                json!({ "x5t#S256": other }),
                json!({ "jkt": "j" }),
                json!("no"),
            ]),
        );
    }
}

pub(super) fn times(dice: &mut Dice) -> Vec<(Vec<String>, f64)> {
    let mut times = Vec::new();
    let mut set = |name: &str, from_now: f64| times.push((vec![name.to_owned()], from_now));
    if !dice.one_in(30) {
        set(
            "exp",
            match dice.one_in(5) {
                true => dice.pick(&[
                    1.0, 0.0, -1.0, -29.0, -30.0, -31.0, -44.0, -45.0, -46.0, -59.0, -60.0, -61.0, -9000.0,
                ]),
                false => dice.pick(&[3600.0, 60.0]),
            },
        );
    }
    if dice.one_in(6) {
        set(
            "nbf",
            dice.pick(&[-5.0, 0.0, 1.0, 29.0, 30.0, 31.0, 45.0, 46.0, 60.0, 61.0, 9000.0]),
        );
    }
    if dice.one_in(2) {
        set("iat", dice.pick(&[-5.0, -100.0, 3.0]));
    }
    if !dice.one_in(4) {
        set(
            "auth_time",
            dice.pick(&[
                -10.0, -299.0, -300.0, -301.0, -599.0, -601.0, -899.0, -901.0, 0.0, 20.0, 40.0, 50.0, 100.0,
            ]),
        );
    }
    times
}
