use std::time::Duration;

use http::{HeaderMap, Method};
use ipnet::IpNet;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::evaluate::COMPARISONS;
use super::*;
use crate::principal::Claims;
use crate::request::path::{Allowance, EncodedSlash, NormalizedPath};
use crate::request::{Downstream, RequestFacts};
use crate::testing::{NOW, parse};

/// The conditions of a route, as a policy has them.
fn conditions(when: &str) -> Vec<Condition> {
    let policy = format!(
        "version: 1\nservice: s\nprefix: /p/q\nupstream: {{ url: 'http://127.0.0.1:1' }}\n\
         jwt: {{ issuers: [{{ issuer: i, audience: [a], algorithms: [HS256], keys: {{ secret: {{ env: SECRET }} }} }}] }}\n\
         paths: {{ allow: [double_slash, semicolon, encoded_slash] }}\n\
         routes: [{{ path: '/{{team}}/users/{{userId}}/*', auth: jwt, when: [{when}] }}]\n"
    );
    let policies = parse(&[&policy]).unwrap_or_else(|problems| panic!("{when}: {problems:?}"));
    policies.policies()[0].routes[0].requirement.conditions.clone()
}

fn condition(when: &str) -> Condition {
    conditions(when).remove(0)
}

/// Values of every type that JSON has.
fn values() -> Vec<Value> {
    vec![
        json!(null),
        json!(true),
        json!(false),
        json!(0),
        json!(7),
        json!(-7),
        json!(u64::MAX),
        json!(1.5),
        json!(7.0),
        json!(1e300),
        json!("x"),
        json!("X"),
        json!("x "),
        json!("7"),
        json!("07"),
        json!("-7"),
        json!("18446744073709551615"),
        json!("1.5"),
        json!("true"),
        json!(""),
        json!([]),
        json!(["x"]),
        json!(["y", "7"]),
        json!(["xx", "X"]),
        json!([7]),
        json!(["x", 7]),
        json!(["x", null]),
        json!([["x"]]),
        json!({}),
        json!({ "x": "x" }),
    ]
}

fn holds(condition: &Condition, claims: &Value) -> Result<(), Failure> {
    condition.check(&Subject {
        claims: claims.as_object(),
        request: None,
        now: NOW,
        leeway: 30,
    })
}

fn is_integer(value: &Value) -> bool {
    value.is_i64() || value.is_u64()
}

/// Whether an operator compares values of a type.
type Kind<'k> = &'k dyn Fn(&Value) -> bool;

#[test]
fn each_operator_holds_for_its_values_and_for_no_other_type() {
    let text = |value: &Value| value.is_string() || is_integer(value);
    let number = |value: &Value| value.is_string() || value.is_number();
    let texts = |value: &Value| {
        let items = value.as_array();
        items.is_some_and(|items| items.iter().all(Value::is_string))
    };
    let rows: [(&str, Vec<Value>, Kind<'_>); 14] = [
        ("equals: x", vec![json!("x")], &text),
        ("equals: '7'", vec![json!(7), json!("7")], &text),
        ("equals: '-7'", vec![json!(-7), json!("-7")], &text),
        ("equals: 'true'", vec![json!("true")], &text),
        ("equals: '1.5'", vec![json!("1.5")], &text),
        (
            "equals: '18446744073709551615'",
            vec![json!(u64::MAX), json!("18446744073709551615")],
            &text,
        ),
        ("equals: 7", vec![json!(7), json!(7.0), json!("7")], &number),
        ("equals: 1.5", vec![json!(1.5)], &Value::is_number),
        ("equals: true", vec![json!(true)], &Value::is_boolean),
        (
            "in: [x, 7]",
            vec![json!("x"), json!(7), json!(7.0), json!("7")],
            &number,
        ),
        ("in: [false, x]", vec![json!(false), json!("x")], &|value: &Value| {
            text(value) || value.is_boolean()
        }),
        ("has: x", vec![json!(["x"])], &texts),
        ("has: 7", vec![json!(["y", "7"])], &texts),
        ("has_any: [x, '7']", vec![json!(["x"]), json!(["y", "7"])], &texts),
    ];
    for (operator, wanted, compares) in rows {
        for path in ["c", "[outer, c]"] {
            let condition = condition(&format!("{{ claim: {path}, {operator} }}"));
            for value in values() {
                let claims = match path {
                    "c" => json!({ "c": value }),
                    _ => json!({ "outer": { "c": value }, "c": wanted[0] }),
                };
                let found = holds(&condition, &claims);
                let want = match (wanted.contains(&value), compares(&value)) {
                    (true, _) => Ok(()),
                    (false, true) => Err(Failure::Differs),
                    (false, false) => Err(Failure::WrongType),
                };
                assert_eq!(found, want, "{operator} and {value} at {path}");
            }
            for claims in [json!({}), json!({ "C": wanted[0] }), json!({ "outer": wanted[0] })] {
                assert_eq!(
                    holds(&condition, &claims),
                    Err(Failure::Missing),
                    "{operator} and {claims}"
                );
            }
        }
    }
}

#[test]
fn numbers_are_compared_exactly() {
    for (operand, value, want) in [
        ("9007199254740993", json!(9_007_199_254_740_993_i64), Ok(())),
        (
            "9007199254740993",
            json!(9_007_199_254_740_992_i64),
            Err(Failure::Differs),
        ),
        (
            "9007199254740993",
            json!(9_007_199_254_740_992.0),
            Err(Failure::Differs),
        ),
        ("18446744073709551615", json!(u64::MAX), Ok(())),
        ("-1", json!(u64::MAX), Err(Failure::Differs)),
        ("1e3", json!(1000), Ok(())),
        ("1.0", json!(1), Ok(())),
        ("0", json!(-0.0), Ok(())),
    ] {
        let condition = condition(&format!("{{ claim: c, equals: {operand} }}"));
        assert_eq!(holds(&condition, &json!({ "c": value })), want, "{operand} and {value}");
    }
}

#[test]
fn dotted_name_is_one_claim_and_a_list_is_a_path() {
    for (claim, claims, want) in [
        ("org.plan", json!({ "org.plan": "pro" }), Ok(())),
        ("org.plan", json!({ "org": { "plan": "pro" } }), Err(Failure::Missing)),
        ("[org, plan]", json!({ "org": { "plan": "pro" } }), Ok(())),
        ("[org, plan]", json!({ "org.plan": "pro" }), Err(Failure::Missing)),
        ("[org, plan]", json!({ "org": ["plan"] }), Err(Failure::Missing)),
        ("[org, plan]", json!({ "org": "pro" }), Err(Failure::Missing)),
    ] {
        let condition = condition(&format!("{{ claim: {claim}, equals: pro }}"));
        assert_eq!(holds(&condition, &claims), want, "{claim} in {claims}");
    }
}

#[test]
fn time_is_within_its_bounds_and_a_number() {
    let condition = condition("{ claim: auth_time, within: 15m }");
    for (value, want) in [
        (json!(NOW), Ok(())),
        (json!(NOW - 900), Ok(())),
        (json!(NOW - 901), Err(Failure::TooOld)),
        (json!(1_799_999_099.5), Err(Failure::TooOld)),
        (json!(1_799_999_100.5), Ok(())),
        (json!(0), Err(Failure::TooOld)),
        (json!(NOW + 30), Ok(())),
        (json!(NOW + 31), Err(Failure::InFuture)),
        (json!(-1), Err(Failure::WrongType)),
        (json!(1e300), Err(Failure::WrongType)),
        (json!(u64::MAX), Err(Failure::WrongType)),
        (json!(NOW.to_string()), Err(Failure::WrongType)),
        (json!("2027-01-15T08:00:00Z"), Err(Failure::WrongType)),
        (json!(null), Err(Failure::WrongType)),
        (json!(true), Err(Failure::WrongType)),
        (json!([NOW]), Err(Failure::WrongType)),
        (json!({}), Err(Failure::WrongType)),
    ] {
        assert_eq!(holds(&condition, &json!({ "auth_time": value })), want, "{value}");
    }
}

/// Holds a condition against a request with a path, headers and a client.
fn of_request(
    condition: &Condition,
    (path, headers, peer): (&str, &HeaderMap, Option<&str>),
    claims: &Value,
) -> Result<(), Failure> {
    let networks: [IpNet; 1] = ["10.0.0.0/8".parse().unwrap()];
    let facts = RequestFacts {
        downstream: Downstream {
            peer: peer.map(|peer| peer.parse().unwrap()),
            ..Downstream::default()
        },
        trusted_proxies: &networks,
        ..RequestFacts::new(&Method::GET, path.as_bytes(), headers)
    };
    let allowance = Allowance {
        double_slash: true,
        semicolon: true,
        encoded_slash: EncodedSlash::Either,
        ..Allowance::default()
    };
    let path = NormalizedPath::parse(path.as_bytes(), allowance).unwrap();
    condition.check(&Subject {
        claims: claims.as_object(),
        request: Some((&facts, &path)),
        now: NOW,
        leeway: 0,
    })
}

#[test]
fn parameter_is_its_segment_as_it_is_forwarded() {
    for (when, path, claim, want) in [
        ("equals: '{userId}'", "/p/q/t1/users/u1", json!("u1"), Ok(())),
        ("equals: '{userId}'", "/p/q/t1/users/u1/", json!("u1"), Ok(())),
        ("equals: '{userId}'", "/p/q/t1/users/u1/x/u2", json!("u1"), Ok(())),
        ("equals: '{userId}'", "/p/q/t1/users/7", json!(7), Ok(())),
        (
            "equals: '{userId}'",
            "/p/q/t1/users/07",
            json!(7),
            Err(Failure::Differs),
        ),
        (
            "equals: '{userId}'",
            "/p/q/t1/users/u2",
            json!("u1"),
            Err(Failure::Differs),
        ),
        (
            "equals: '{userId}'",
            "/p/q/t1/users/U1",
            json!("u1"),
            Err(Failure::Differs),
        ),
        (
            "equals: '{userId}'",
            "/p/q/t1/users/u11",
            json!("u1"),
            Err(Failure::Differs),
        ),
        (
            "equals: '{userId}'",
            "/p/q/t1/users/u",
            json!("u1"),
            Err(Failure::Differs),
        ),
        // A character that needs no escape has one form; the others keep theirs, and equal nothing.
        ("equals: '{userId}'", "/p/q/t1/users/%75%31", json!("u1"), Ok(())),
        ("equals: '{userId}'", "/p/q/t1/users/a@b.c", json!("a@b.c"), Ok(())),
        (
            "equals: '{userId}'",
            "/p/q/t1/users/a%40b.c",
            json!("a@b.c"),
            Err(Failure::NoParameter),
        ),
        (
            "equals: '{userId}'",
            "/p/q/t1/users/a%40b.c",
            json!("a%40b.c"),
            Err(Failure::NoParameter),
        ),
        (
            "equals: '{userId}'",
            "/p/q/t1/users/%C3%A9",
            json!("é"),
            Err(Failure::NoParameter),
        ),
        (
            "equals: '{userId}'",
            "/p/q/t1/users/a%2Fb",
            json!("a/b"),
            Err(Failure::NoParameter),
        ),
        (
            "equals: '{userId}'",
            "/p/q/t1/users/u1;a=b",
            json!("u1;a=b"),
            Err(Failure::NoParameter),
        ),
    ] {
        assert_parameter(when, path, &claim, want);
    }
}

fn assert_parameter(when: &str, path: &str, claim: &Value, want: Result<(), Failure>) {
    let condition = condition(&format!("{{ claim: c, {when} }}"));
    let found = of_request(&condition, (path, &HeaderMap::new(), None), &json!({ "c": claim }));
    assert_eq!(found, want, "{when} at {path} with {claim}");
}

#[test]
fn parameter_has_one_value_in_every_reading_of_the_path() {
    for (when, path, claim, want) in [
        ("equals: '{userId}'", "/p/q/t1/users/u1/a%2Fb", json!("u1"), Ok(())),
        ("equals: '{userId}'", "/p/q/t1/users/u1/a;b", json!("u1"), Ok(())),
        ("equals: '{userId}'", "/p/q/t1/users/u1//x", json!("u1"), Ok(())),
        (
            "equals: '{userId}'",
            "/p/q//t1/users/u1",
            json!("users"),
            Err(Failure::NoParameter),
        ),
        (
            "equals: '{userId}'",
            "/p/q/t1/users//u1",
            json!("u1"),
            Err(Failure::NoParameter),
        ),
        (
            "equals: '{userId}'",
            "/p/q/t1/users/",
            json!(""),
            Err(Failure::NoParameter),
        ),
        ("equals: 'u-{userId}'", "/p/q/t1/users/7", json!("u-7"), Ok(())),
        (
            "equals: 'u-{userId}'",
            "/p/q/t1/users/7",
            json!("u-"),
            Err(Failure::Differs),
        ),
        ("equals: '{team}/{userId}!'", "/p/q/t1/users/7", json!("t1/7!"), Ok(())),
        (
            "equals: '{team}/{userId}!'",
            "/p/q/t1/users/7",
            json!("t1/7"),
            Err(Failure::Differs),
        ),
        ("in: [x, '{team}']", "/p/q/t1/users/7", json!("t1"), Ok(())),
        ("has: 'team-{team}'", "/p/q/t1/users/7", json!(["a", "team-t1"]), Ok(())),
        (
            "has: 'team-{team}'",
            "/p/q/t1/users/7",
            json!(["team-t2", "team-"]),
            Err(Failure::Differs),
        ),
        ("has_any: [b, '{team}']", "/p/q/t1/users/7", json!(["a", "t1"]), Ok(())),
    ] {
        assert_parameter(when, path, &claim, want);
    }
}

#[test]
fn header_holds_exactly_once() {
    let claims = json!({ "region": "eu", "level": 7, "flag": true, "empty": "", "regions": ["eu"] });
    for (when, fields, want) in [
        ("equals: eu", &["eu"][..], Ok(())),
        ("equals: eu", &[], Err(Failure::Missing)),
        ("equals: eu", &[""], Err(Failure::Missing)),
        ("equals: eu", &["eu", "eu"], Err(Failure::Repeated)),
        ("equals: eu", &["eu", "us"], Err(Failure::Repeated)),
        ("equals: eu", &["eu,eu"], Err(Failure::Differs)),
        ("equals: eu", &["EU"], Err(Failure::Differs)),
        ("equals: 7", &["7"], Ok(())),
        ("equals: 7", &["7.0"], Err(Failure::Differs)),
        ("equals: '{team}'", &["t1"], Ok(())),
        ("in: [us, 7, eu]", &["eu"], Ok(())),
        ("in: [us, 7, eu]", &["7"], Ok(())),
        ("in: [us, 7, eu]", &["us, eu"], Err(Failure::Differs)),
        ("equals_claim: region", &["eu"], Ok(())),
        ("equals_claim: region", &["us"], Err(Failure::Differs)),
        ("equals_claim: region", &["e"], Err(Failure::Differs)),
        ("equals_claim: region", &["eu", "eu"], Err(Failure::Repeated)),
        ("equals_claim: region", &[], Err(Failure::Missing)),
        ("equals_claim: level", &["7"], Ok(())),
        ("equals_claim: level", &["07"], Err(Failure::Differs)),
        ("equals_claim: flag", &["true"], Err(Failure::WrongType)),
        ("equals_claim: regions", &["eu"], Err(Failure::WrongType)),
        ("equals_claim: empty", &[""], Err(Failure::Missing)),
        ("equals_claim: absent", &["eu"], Err(Failure::Missing)),
    ] {
        let condition = condition(&format!("{{ header: X-Region, {when} }}"));
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append("x-region", field.parse().unwrap());
        }
        headers.append("x_region", "eu".parse().unwrap());
        let found = of_request(&condition, ("/p/q/t1/users/u", &headers, None), &claims);
        assert_eq!(found, want, "{when} with {fields:?}");
    }
}

#[test]
fn client_is_in_a_network_by_the_address_that_proxies_forward() {
    let condition = condition("{ client: { in: [192.0.2.0/24, '::ffff:198.51.100.7', '2001:db8::/32'] } }");
    for (peer, forwarded, want) in [
        (Some("192.0.2.9"), None, Ok(())),
        (Some("198.51.100.7"), None, Ok(())),
        (Some("2001:db8::9"), None, Ok(())),
        (Some("198.51.100.8"), None, Err(Failure::Differs)),
        (Some("203.0.113.1"), Some("192.0.2.9"), Err(Failure::Differs)),
        (Some("10.0.0.1"), Some("192.0.2.9"), Ok(())),
        (Some("10.0.0.1"), Some("192.0.2.9, 203.0.113.1"), Err(Failure::Differs)),
        (Some("10.0.0.1"), Some("192.0.2.9, 10.0.0.2"), Ok(())),
        (Some("10.0.0.1"), Some("192.0.2.9, evil"), Err(Failure::Missing)),
        (Some("10.0.0.1"), None, Err(Failure::Differs)),
        (None, Some("192.0.2.9"), Err(Failure::Missing)),
        (None, None, Err(Failure::Missing)),
    ] {
        let mut headers = HeaderMap::new();
        headers.extend(
            forwarded.map(|value: &str| (http::HeaderName::from_static("x-forwarded-for"), value.parse().unwrap())),
        );
        let found = of_request(&condition, ("/p/q/t1/users/u", &headers, peer), &json!({}));
        assert_eq!(found, want, "{peer:?} {forwarded:?}");
    }
}

#[test]
fn description_has_the_kind_of_a_value_and_the_value_only_where_that_is_asked_for() {
    for (when, claims, shows, want) in [
        (
            "{ claim: sub, equals: '{userId}' }",
            json!({ "sub": "SECRET" }),
            false,
            "the claim `sub` must equal `{userId}`: it is a text with another value",
        ),
        (
            "{ claim: sub, equals: '{userId}' }",
            json!({ "sub": "SECRET" }),
            true,
            "the claim `sub` must equal `{userId}`: it is `SECRET`",
        ),
        (
            "{ claim: [org, plan], in: [pro, 7, true] }",
            json!({ "org": { "plan": ["SECRET"] } }),
            false,
            "the claim `[org, plan]` must be one of pro, 7, true: it is a list, which is not compared",
        ),
        (
            "{ claim: amr, has_any: [mfa, hwk] }",
            json!({}),
            false,
            "the claim `amr` must have one of mfa, hwk: it is missing",
        ),
        (
            "{ claim: groups, has: 'team-{team}' }",
            json!({ "groups": ["SECRET"] }),
            false,
            "the claim `groups` must have `team-{team}`: it is a list with another value",
        ),
        (
            "{ claim: auth_time, within: 15m }",
            json!({ "auth_time": NOW - 1000 }),
            false,
            "the claim `auth_time` must be at most 15 min ago: it is longer ago",
        ),
        (
            "{ claim: auth_time, within: 15m }",
            json!({ "auth_time": NOW }),
            false,
            "the claim `auth_time` must be at most 15 min ago: it is a number",
        ),
    ] {
        let condition = condition(when);
        let subject = Subject {
            claims: claims.as_object(),
            request: None,
            now: NOW,
            leeway: 0,
        };
        // Without a request, a parameter has no value.
        let outcome = match condition.check(&subject) {
            Err(Failure::NoParameter) => Err(Failure::Differs),
            outcome => outcome,
        };
        assert_eq!(condition.describe(&subject, outcome, shows), want, "{when}");
    }
}

fn operand() -> impl Strategy<Value = Operand> {
    let parameter = (0..4_usize).prop_map(|segment| {
        Part::Parameter(Parameter {
            name: "p".into(),
            segment,
            suffix: String::new(),
        })
    });
    let part = prop_oneof!["[a-z0-9]{1,3}".prop_map(Part::Literal), parameter];
    prop_oneof![
        prop::collection::vec(part, 0..3).prop_map(Operand::Text),
        any::<i64>().prop_map(|number| Operand::Number(number.into())),
        any::<bool>().prop_map(Operand::Boolean),
    ]
}

fn any_condition() -> impl Strategy<Value = Condition> {
    let several = || prop::collection::vec(operand(), 0..3);
    let claim = prop_oneof![
        operand().prop_map(ClaimTest::Equals),
        several().prop_map(ClaimTest::In),
        operand().prop_map(ClaimTest::Has),
        several().prop_map(|several| ClaimTest::HasAny(Texts::of(several))),
        (0..u64::MAX).prop_map(|seconds| ClaimTest::Within(Duration::from_secs(seconds))),
    ];
    let claim = (prop::collection::vec("[ab]", 1..3), claim).prop_map(|(path, test)| Condition::Claim { path, test });
    let header = prop_oneof![
        operand().prop_map(HeaderTest::Equals),
        several().prop_map(HeaderTest::In),
        prop::collection::vec("[ab]", 1..3).prop_map(HeaderTest::EqualsClaim),
    ];
    let header = header.prop_map(|test| Condition::Header {
        name: HeaderName::from_static("x-h"),
        test,
    });
    let client = Just(Condition::Client {
        networks: vec!["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()],
    });
    prop_oneof![claim, header, client]
}

#[test]
fn items_are_compared_one_by_one_with_parameters_alone() {
    let values: Vec<_> = (0..255).map(|number| format!("v{number}")).collect();
    let items: Vec<_> = (0..500).map(|number| format!("x{number}")).collect();
    let headers = HeaderMap::new();
    let check = |values: &str, items: &[String]| {
        let condition = condition(&format!("{{ claim: g, has_any: [{values}] }}"));
        COMPARISONS.set(0);
        let found = of_request(
            &condition,
            ("/p/q/core/users/7/x", &headers, None),
            &json!({ "g": items }),
        );
        (found, COMPARISONS.get())
    };
    let (all, last) = (values.join(", "), [items.as_slice(), &["v254".to_owned()]].concat());
    assert_eq!(check(&all, &items), (Err(Failure::Differs), 0));
    assert_eq!(check(&all, &last), (Ok(()), 0));
    let with_parameter = format!("{all}, '{{team}}'");
    assert_eq!(check(&with_parameter, &items), (Err(Failure::Differs), 500));
    assert_eq!(check(&with_parameter, &last), (Ok(()), 0));
    let core = [items.as_slice(), &["core".to_owned()]].concat();
    assert_eq!(check(&with_parameter, &core), (Ok(()), 501));
}

proptest! {
    #[test]
    fn one_of_several_texts_is_among_items_if_any_of_them_alone_is(
        several in prop::collection::vec(operand(), 0..6),
        items in prop::collection::vec("[a-z0-9]{0,2}", 0..6),
        path in "(/[a-z0-9]{1,2}){1,5}",
    ) {
        let (headers, claims) = (HeaderMap::new(), json!({ "g": items }));
        let holds = |test: ClaimTest| {
            let condition = Condition::Claim { path: vec!["g".into()], test };
            of_request(&condition, (&path, &headers, None), &claims).is_ok()
        };
        let alone = several.iter().any(|operand| holds(ClaimTest::Has(operand.clone())));
        prop_assert_eq!(holds(ClaimTest::HasAny(Texts::of(several.clone()))), alone, "{:?}", several);
    }

    #[test]
    fn condition_without_its_subject_never_holds(
        condition in any_condition(),
        path in "(/[a-z0-9]{1,3}){1,5}",
        others in prop::collection::btree_map("[c-f]", "[a-z0-9]{0,3}", 0..3),
        empty in any::<bool>(),
    ) {
        let claims: Claims = others.into_iter().map(|(name, value)| (name, Value::from(value))).collect();
        let mut headers = HeaderMap::new();
        headers.extend(empty.then(|| (HeaderName::from_static("x-h"), "".parse().unwrap())));
        for claims in [json!(claims), Value::Null] {
            let found = of_request(&condition, (&path, &headers, None), &claims);
            prop_assert_eq!(found, Err(Failure::Missing), "{:?}", &condition);
        }
    }
}
