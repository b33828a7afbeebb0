//! What the conditions of both sides say of a value: values of which they say the same are one class.

use serde_json::{Map, Value};

use super::rules::{ClaimPath, Rules};
use crate::policy::condition::{Condition, Subject};
use crate::principal::Claims;
use crate::rehearsal::Request;
use crate::request::path::{Allowance, NormalizedPath};

/// The conditions of both sides on claims.
#[derive(Debug)]
pub(super) struct Prints<'p> {
    conditions: Vec<(&'p Condition, i64)>,
    request: Request,
}

impl<'p> Prints<'p> {
    /// Collects the conditions.
    pub(super) fn new(sides: [Option<Rules<'p>>; 2], path: &str) -> Self {
        let of = |rules: Rules<'p>| {
            let all = rules.issuer.when.iter().chain(&rules.route.requirement.conditions);
            all.filter(|condition| matches!(condition, Condition::Claim { .. }))
                .map(move |condition| (condition, rules.issuer.leeway))
        };
        Self {
            conditions: sides.into_iter().flatten().flat_map(of).collect(),
            request: Request::new(http::Method::GET, path, "localhost", 0),
        }
    }

    /// Returns what the conditions say of a value of a claim, and the type of the value.
    pub(super) fn of(&self, path: &ClaimPath, value: &Value) -> Vec<bool> {
        let mut claims = Map::new();
        insert(&mut claims, path, value);
        let mut print = self.of_claims(&claims, |known| known == path);
        let kinds = [
            value.is_string(),
            value.is_number(),
            value.is_array(),
            value.is_boolean(),
        ];
        print.extend(kinds);
        print
    }

    /// Returns what the conditions on some claims say.
    pub(super) fn of_claims(&self, claims: &Claims, is_about: impl Fn(&ClaimPath) -> bool) -> Vec<bool> {
        let facts = self.request.facts();
        let Ok(path) = NormalizedPath::parse(self.request.target.as_bytes(), Allowance::default()) else {
            return Vec::new();
        };
        let about = self.conditions.iter().filter(|(condition, _)| match condition {
            Condition::Claim { path, .. } => is_about(path),
            Condition::Header { .. } | Condition::Client { .. } => false,
        });
        let checked = about.map(|(condition, leeway)| {
            let subject = Subject {
                claims: Some(claims),
                request: Some((&facts, &path)),
                now: 0,
                leeway: *leeway,
            };
            condition.check(&subject).is_ok()
        });
        checked.collect()
    }
}

fn insert(claims: &mut Claims, path: &[String], value: &Value) {
    let Some((name, rest)) = path.split_first() else { return };
    if rest.is_empty() {
        claims.insert(name.clone(), value.clone());
        return;
    }
    let mut inner = Map::new();
    insert(&mut inner, rest, value);
    claims.insert(name.clone(), Value::Object(inner));
}
