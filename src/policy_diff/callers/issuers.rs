//! The issuers of tokens: which names they have that either side tells apart.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::linked::Group;
use super::operands::texts;
use super::pair::{Pair, Side};
use super::prune::Prints;
use super::rules::{Rules, TENANT};
use super::solve::Spot;
use crate::authn::jwt;
use crate::policy::Issuer;
use crate::policy::condition::{ClaimTest, Condition, HeaderTest};
use crate::policy::issuer_names::{IssuerNames, IssuerPattern, PlaceholderValues, has_form, is_value};
use crate::policy::tenant::ClaimedTenants;
use crate::policy_diff::types::Incomplete;
use crate::principal::{AuthMethod, Claims};
use crate::rehearsal::Token;

/// The most names of one issuer.
const MOST: usize = 4096;

/// The value of a placeholder that may have any.
const ANY_VALUE: &str = "unlisted";

const fn at<T: Copy>(found: (usize, T)) -> usize {
    found.0
}

/// Finds the issuer of a token on a side, if the side looks at tokens.
pub(super) fn pick<'r>(side: &Side<'r>, claims: &Claims) -> Option<(usize, &'r Issuer)> {
    let policy = side.asking(AuthMethod::Jwt)?;
    jwt::pick(&policy.issuers, claims).ok()
}

/// Returns a text that is the same for tokens that both sides read alike, whichever their issuers are.
pub(super) fn class(pair: &Pair<'_>, claims: &Claims, path: &str) -> Option<String> {
    let [old, new] = pair.sides().map(|side| pick(side, claims));
    if old.is_none() && new.is_none() {
        return None;
    }
    let issuers = match (old, new) {
        (Some((_, old)), Some((_, new))) if is_same(old, new) => told(old),
        _ => format!("{:?}", [old.map(at), new.map(at)]),
    };
    let rules = pair.sides().map(|side| {
        let (policy, route) = side.met()?;
        let (_, issuer) = pick(side, claims)?;
        Some(Rules {
            policy,
            route,
            issuer,
            path,
        })
    });
    let is_fixed = |path: &Vec<String>| matches!(path.as_slice(), [name] if FIXED.contains(&name.as_str()) || is_placeholder(pair, name));
    let conditions = Prints::new(rules, path).of_claims(claims, |path| is_fixed(path));
    let tenants = rules.iter().flatten().flat_map(|rules| {
        let rule = rules.policy.tenant.as_ref();
        let paths = rule
            .into_iter()
            .flat_map(|rule| rule.claims.iter().map(move |path| (rule, path)));
        let named = paths.filter(|(_, path)| is_fixed(path));
        named.map(|(rule, path)| matches!(rule.in_claim(claims, path), ClaimedTenants::Named(_)))
    });
    let groups = Group::all(rules).into_iter();
    let is_named = |spot: &Spot| matches!(spot, Spot::Claim(path) if is_fixed(path));
    let named = groups.filter(|group| group.spots.iter().any(is_named));
    let linked: Vec<_> = named.map(|group| group.outcomes(claims, path)).collect();
    Some(format!(
        "{issuers} {conditions:?} {:?} {linked:?}",
        tenants.collect::<Vec<_>>()
    ))
}

/// Claims that pick issuers.
const FIXED: [&str; 1] = ["iss"];

fn is_placeholder(pair: &Pair<'_>, name: &str) -> bool {
    let issuers = pair.asking(AuthMethod::Jwt).flat_map(|policy| &policy.issuers);
    let mut patterns = issuers.filter_map(|issuer| issuer.names.pattern());
    patterns.any(|pattern| pattern.template().claims().contains(&name))
}

/// Whether values of other claims and of headers may have to be those of placeholders.
fn is_linked(pair: &Pair<'_>) -> bool {
    let names_placeholder = |path: &Vec<String>| path.first().is_some_and(|name| is_placeholder(pair, name));
    let in_tenant = pair.policies().filter_map(|policy| policy.tenant.as_ref());
    let in_headers = pair.met().flat_map(|(_, route)| &route.requirement.conditions);
    in_tenant.flat_map(|rule| &rule.claims).any(names_placeholder)
        || in_headers
            .filter_map(|condition| match condition {
                Condition::Header {
                    test: HeaderTest::EqualsClaim(path),
                    ..
                } => Some(path),
                _ => None,
            })
            .any(names_placeholder)
}

/// Returns whether tokens of two issuers are the same ones.
fn is_same(old: &Issuer, new: &Issuer) -> bool {
    old.names == new.names && old.signer == new.signer && told(old) == told(new)
}

/// What decides about the tokens of an issuer, but for its names and its keys.
fn told(issuer: &Issuer) -> String {
    let read = (
        &issuer.audiences,
        &issuer.audience_claim,
        &issuer.required_claims,
        &issuer.when,
    );
    let grants = (&issuer.roles_claim, &issuer.scopes_claim, issuer.leeway);
    let form = (
        &issuer.algorithms,
        &issuer.types,
        &issuer.ignored_headers,
        issuer.binding,
    );
    format!("{read:?} {grants:?} {form:?} {}", issuer.names.texts().next().is_none())
}

/// The claims that pick the issuers of both sides.
pub(super) fn names(pair: &Pair<'_>, path: &str) -> Result<Vec<Claims>, Incomplete> {
    let issuers: Vec<&Issuer> = pair
        .asking(AuthMethod::Jwt)
        .flat_map(|policy| &policy.issuers)
        .collect();
    let patterns: Vec<&IssuerPattern> = issuers.iter().filter_map(|issuer| issuer.names.pattern()).collect();
    let listed = match patterns.is_empty() {
        true => BTreeSet::new(),
        false => listed(pair, &patterns, &issuers, path),
    };
    let mut names = Vec::new();
    for issuer in &issuers {
        match &issuer.names {
            IssuerNames::Unchecked => names.push(Map::new()),
            IssuerNames::Exact(texts) => names.extend(texts.texts().iter().map(|text| claims(text, &[]))),
            IssuerNames::Pattern(pattern) => names.extend(instances(pattern, &listed)?),
        }
    }
    Ok(names)
}

/// The values of placeholders: those that patterns list, those that conditions on claims compare, a tenant, and another
/// one.
fn listed(pair: &Pair<'_>, patterns: &[&IssuerPattern], issuers: &[&Issuer], path: &str) -> BTreeSet<String> {
    let values = patterns.iter().flat_map(|pattern| pattern.values());
    let texts_of = values.flat_map(|(_, values)| match values {
        PlaceholderValues::Any => &[][..],
        PlaceholderValues::OneOf(values) => values.texts(),
    });
    let mut listed: BTreeSet<String> = texts_of.cloned().collect();
    listed.insert(ANY_VALUE.to_owned());
    if pair.policies().any(|policy| policy.tenant.is_some()) {
        listed.insert(TENANT.to_owned());
    }
    let of_issuers = issuers.iter().flat_map(|issuer| &issuer.when);
    let conditions = pair
        .met()
        .flat_map(|(_, route)| &route.requirement.conditions)
        .chain(of_issuers);
    for condition in conditions {
        let (name, operands) = match condition {
            Condition::Claim { path: claim, test } => {
                let operands = match test {
                    ClaimTest::Equals(operand) | ClaimTest::Has(operand) => std::slice::from_ref(operand),
                    ClaimTest::In(operands) => operands,
                    ClaimTest::HasAny(several) => several.written(),
                    ClaimTest::Within(_) => continue,
                };
                (claim.first().map_or("", String::as_str), operands)
            }
            // A header may have to equal a claim that picks the issuer.
            Condition::Header { test, .. } => match test {
                HeaderTest::Equals(operand) => ("", std::slice::from_ref(operand)),
                HeaderTest::In(operands) => ("", operands.as_slice()),
                HeaderTest::EqualsClaim(_) => continue,
            },
            Condition::Client { .. } => continue,
        };
        for text in operands.iter().flat_map(|operand| texts(operand, path)) {
            if name == "iss" {
                for pattern in patterns
                    .iter()
                    .filter(|pattern| has_form(pattern.template().text(), &text))
                {
                    let pairs = pattern.template().text().split('/').zip(text.split('/'));
                    let filled = pairs.filter(|(segment, _)| segment.starts_with('{'));
                    listed.extend(filled.map(|(_, value)| value.to_owned()));
                }
            } else if is_value(&text) && (is_linked(pair) || is_placeholder(pair, name)) {
                listed.insert(text);
            }
        }
    }
    listed
}

fn claims(iss: &str, others: &[(&str, &str)]) -> Claims {
    let others = others.iter().copied();
    let all = std::iter::once(("iss", iss)).chain(others);
    all.map(|(name, value)| (name.to_owned(), Value::from(value))).collect()
}

/// Names of the form of a pattern: all combinations of the values of its placeholders.
fn instances(pattern: &IssuerPattern, listed: &BTreeSet<String>) -> Result<Vec<Claims>, Incomplete> {
    let mut found: Vec<Vec<(&str, &str)>> = vec![Vec::new()];
    for name in pattern.template().claims() {
        let values: Vec<&str> = listed.iter().map(String::as_str).collect();
        if found.len().saturating_mul(values.len()) > MOST {
            let what = "names of one issuer";
            return Err(Incomplete::TooMany { what, limit: MOST });
        }
        found = found
            .iter()
            .flat_map(|known| {
                values.iter().map(|value| {
                    let mut more = known.clone();
                    more.push((name, *value));
                    more
                })
            })
            .collect();
    }
    let named = found.iter().map(|chosen| {
        let template = pattern.template().text().to_owned();
        let iss = chosen.iter().fold(template, |text, (name, value)| {
            text.replace(&format!("{{{name}}}"), value)
        });
        claims(&iss, chosen)
    });
    Ok(named.collect())
}

/// Claims that are times, in seconds from the request on.
type Times = Vec<(Vec<String>, f64)>;

/// Returns a token whose issuer neither side knows, if there is one.
pub(super) fn foreign(pair: &Pair<'_>) -> Option<(Token, Times)> {
    let issuer = pair.asking(AuthMethod::Jwt).flat_map(|policy| &policy.issuers).next()?;
    let mut all = [claims("https://another-issuer.example", &[]), Map::new()].into_iter();
    let unknown = all.find(|claims| pair.sides().iter().all(|side| pick(side, claims).is_none()))?;
    let token = Token::of(issuer, unknown)?;
    Some((token, vec![(vec!["exp".to_owned()], 86_400.0)]))
}
