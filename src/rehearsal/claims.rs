//! The claims that a token of an issuer has in any case, filled in where they are left out.

use serde_json::{Map, Value};

use crate::policy::Issuer;
use crate::policy::issuer_names::{IssuerNames, Template};
use crate::principal::Claims;

/// How long a token is valid, in seconds.
const LIFETIME: i64 = 300;

/// Adds to claims what the policy says of all tokens of an issuer, where they do not say it: `iss`, the audience, `iat` and
/// `exp`. A claim that is `null` is said, so that it stays. An `iss` that depends on claims is added if they are given; see [`missing`].
pub fn completed(issuer: &Issuer, claims: Map<String, Value>, now: i64) -> Map<String, Value> {
    let mut claims = claims;
    let audience = issuer.audiences.as_ref().and_then(|audiences| audiences.first());
    let audience = audience.map(|audience| (issuer.audience_claim.clone(), Value::from(audience.as_str())));
    let times = [("iat", now), ("exp", now + LIFETIME)].map(|(name, time)| (name.to_owned(), Value::from(time)));
    let name = name(issuer, &claims).map(|name| ("iss".to_owned(), Value::from(name)));
    for (name, value) in name.into_iter().chain(audience).chain(times) {
        claims.entry(name).or_insert(value);
    }
    claims
}

/// Says what claims have to say so that the token can be one of an issuer, where no policy can: the claims of the
/// placeholders of its pattern, which are its tenants.
pub fn missing(issuer: &Issuer, claims: &Claims) -> Option<String> {
    let pattern = issuer.names.pattern()?;
    let template = pattern.template();
    let absent = template.claims().into_iter().find(|name| text(claims, name).is_none());
    let absent = absent.filter(|_| !claims.contains_key("iss"))?;
    Some(format!(
        "`{}` needs the claim `{absent}`, which is text",
        template.text()
    ))
}

/// The `iss` that an issuer writes into a token with some claims; the first of several names.
fn name(issuer: &Issuer, claims: &Claims) -> Option<String> {
    match &issuer.names {
        IssuerNames::Unchecked => None,
        IssuerNames::Exact(names) => names.texts().first().cloned(),
        IssuerNames::Pattern(pattern) => filled(pattern.template(), claims),
    }
}

/// The text of a template, whose placeholders are claims.
fn filled(template: &Template, claims: &Claims) -> Option<String> {
    let mut filled = template.text().to_owned();
    for name in template.claims() {
        filled = filled.replace(&format!("{{{name}}}"), text(claims, name)?);
    }
    Some(filled)
}

fn text<'c>(claims: &'c Claims, name: &str) -> Option<&'c str> {
    claims.get(name).and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{self, NOW};

    fn issuer(fields: &str) -> Issuer {
        let text = format!(
            "version: 1\nservice: s\nupstream: {{ url: 'http://127.0.0.1:1' }}\n\
             jwt: {{ issuers: [{{ {fields}, algorithms: [HS256], keys: {{ secret: {{ env: SECRET }} }} }}] }}\n\
             routes: [{{ path: /*, auth: jwt }}]\n"
        );
        let policies = testing::parse(&[&text]).unwrap_or_else(|problems| panic!("{fields}: {problems:?}"));
        policies.policies()[0].issuers[0].clone()
    }

    #[test]
    fn claims_that_are_left_out_are_those_of_the_policy() {
        let exact = "issuer: [one, two], audience: [a, b]";
        let pattern = "issuer: 'https://login.example.com/{tid}/v2', issuer_values: { tid: any }, audience: [a]";
        let open = "issuer: unchecked, audience: unchecked";
        let named = "issuer: one, audience: [a], audience_claim: client_id";
        for (fields, given, want) in [
            (
                exact,
                json!({}),
                json!({ "iss": "one", "aud": "a", "iat": NOW, "exp": NOW + LIFETIME }),
            ),
            (
                exact,
                json!({ "iss": "two", "aud": ["b"], "iat": 1, "exp": null, "sub": "x" }),
                json!({ "iss": "two", "aud": ["b"], "iat": 1, "exp": null, "sub": "x" }),
            ),
            (
                exact,
                json!({ "iss": null, "aud": null, "iat": null, "exp": null }),
                json!({ "iss": null, "aud": null, "iat": null, "exp": null }),
            ),
            (
                pattern,
                json!({ "iss": null, "exp": 7 }),
                json!({ "iss": null, "aud": "a", "iat": NOW, "exp": 7 }),
            ),
            (
                pattern,
                json!({ "tid": "t1" }),
                json!({ "iss": "https://login.example.com/t1/v2", "tid": "t1", "aud": "a", "iat": NOW, "exp": NOW + LIFETIME }),
            ),
            (
                pattern,
                json!({}),
                json!({ "aud": "a", "iat": NOW, "exp": NOW + LIFETIME }),
            ),
            (open, json!({}), json!({ "iat": NOW, "exp": NOW + LIFETIME })),
            (
                named,
                json!({ "aud": "x" }),
                json!({ "iss": "one", "aud": "x", "client_id": "a", "iat": NOW, "exp": NOW + LIFETIME }),
            ),
        ] {
            let issuer = issuer(fields);
            let given = given.as_object().unwrap().clone();
            let missing = missing(&issuer, &given);
            let is_missing = fields == pattern && given.is_empty();
            assert_eq!(missing.is_some(), is_missing, "{missing:?}");
            assert_eq!(Value::from(completed(&issuer, given, NOW)), want, "{fields}");
        }
    }
}
