//! The tokens that callers have: one kind for each issuer that either side knows.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::claims::{ReadClaim, ReadClaims};
use super::operands::texts;
use super::pair::{Pair, Side};
use super::parts::Patch;
use super::prune::Prints;
use super::rules::{Rules, TENANT, UNNAMED};
use super::solve::{Asked, Solution};
use super::space::{Aspect, Dimension, Label, Start, Variant};
use crate::authn::jwt;
use crate::document::key_reference::{KeyForm, KeyReference};
use crate::keys::{Algorithm, Material};
use crate::policy::Issuer;
use crate::policy::condition::{ClaimTest, Condition};
use crate::policy::document::LinkHeader;
use crate::policy::issuer_names::{IssuerNames, IssuerPattern, PlaceholderValues, has_form, is_value};
use crate::policy::tenant::ClaimedTenants;
use crate::principal::{AuthMethod, Claims};
use crate::rehearsal::{Corruption, Token};

/// The most claims of which all combinations are left out.
const MOST_TOLD: usize = 6;

/// The most claims that only conditions read, and that the sides read differently, of which all combinations are tried.
const MOST_APART: usize = 5;

/// The value of a placeholder that may have any.
const ANY_VALUE: &str = "unlisted";

/// Tokens with one `iss`, and the issuer that it picks on each side that looks at tokens.
#[derive(Debug)]
pub(super) struct Kind<'r> {
    /// The claims that pick the issuer.
    claims: Claims,
    /// The issuers of both sides.
    issuers: [Option<&'r Issuer>; 2],
}

/// The aspects by which tokens of a kind differ.
#[derive(Debug)]
pub(super) struct Aspects {
    /// What all of them have.
    pub(super) base: Vec<Patch>,
    /// The aspects.
    pub(super) dimensions: Vec<Dimension>,
    /// Who meets all rules, as far as there is such a caller.
    pub(super) starts: Vec<Start>,
    /// The values by which they do.
    pub(super) solutions: Vec<Solution>,
}

impl<'r> Kind<'r> {
    /// Finds the kinds of tokens that either side knows, for a path.
    pub(super) fn all(pair: &Pair<'r>, path: &str) -> Vec<Self> {
        let mut known = BTreeSet::new();
        let kinds = names(pair, path).into_iter().filter_map(|claims| {
            let class = class(pair, &claims, path)?;
            let issuers = pair.sides().map(|side| pick(side, &claims).map(|(_, issuer)| issuer));
            known.insert(class).then_some(Self { claims, issuers })
        });
        kinds.collect()
    }

    /// Returns the name of the issuer.
    pub(super) fn label(&self) -> String {
        let iss = self.claims.get("iss").and_then(Value::as_str);
        iss.map_or_else(|| "unchecked".to_owned(), str::to_owned)
    }

    /// Returns whether tokens of this kind are known on both sides.
    pub(super) const fn is_on_both_sides(&self) -> bool {
        matches!(self.issuers, [Some(_), Some(_)])
    }

    /// Returns whether a token is of this kind.
    #[cfg(test)]
    pub(super) fn has(&self, pair: &Pair<'r>, claims: &Claims, path: &str) -> bool {
        class(pair, &self.claims, path) == class(pair, claims, path)
    }

    /// Returns a token that its issuer could sign, with no other claims than those that pick the issuer.
    pub(super) fn token(&self) -> Option<Token> {
        let issuer = self.issuers.into_iter().flatten().next()?;
        Token::of(issuer, self.claims.clone())
    }

    /// Returns the aspects by which these tokens differ, and those who meet all rules. Where a rule is the same on both
    /// sides, one fault at a time is enough: the first one decides, on both sides.
    pub(super) fn dimensions(&self, pair: &Pair<'r>, path: &str) -> Aspects {
        let rules = self.rules(pair, path);
        let mut claims = ReadClaims::of(rules);
        let solutions = Asked::of_tokens(rules, &self.claims).solutions();
        claims.solve(&solutions);
        claims.prune(&Prints::new(rules, path));
        for name in self.claims.keys() {
            claims.remove(std::slice::from_ref(name));
        }
        let signers = self.signers();
        let has_signers = signers.len() > 1;
        let differs = |claim: &ReadClaim| self.is_on_both_sides() && !claim.is_alike();
        let compared = claims
            .iter()
            .filter(|(_, claim)| differs(claim) && claim.is_compared_only());
        let has_many = compared.count() > MOST_APART;
        let is_apart = |claim: &ReadClaim| differs(claim) && !(has_many && claim.is_compared_only());
        let members = self.members();
        let has_places = has_signers || !members.is_empty() || claims.iter().any(|(_, claim)| is_apart(claim));
        let mut faults = vec![Variant::default()];
        let most = if has_places { usize::MAX } else { 1 };
        faults.extend(self.forgeries().into_iter().take(most));
        let (mut base, mut dimensions, mut told, mut labels) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (path, claim) in claims.iter() {
            let (usual, others) = claim.variants(path, has_places);
            if is_apart(claim) {
                let variants = std::iter::once(usual).chain(others).collect();
                dimensions.push(Dimension::new(Aspect::Claim(path.clone()), variants));
            } else {
                base.extend(usual.patches);
                labels.extend(Some(usual.label).filter(|label| !label.is_absence()));
                faults.extend(others);
                told.extend(claim.is_told().then_some(path));
            }
        }
        if !pair.is_same(|_, route| (&route.authentication, route.mode)) {
            faults.extend(untold(&told));
        }
        let asks_the_same = pair.is_same(|_, route| {
            let takes_tokens = route.authentication.methods().contains(&AuthMethod::Jwt);
            (&route.requirement, takes_tokens)
        });
        if let Some(usual) = faults.first_mut().filter(|_| !asks_the_same) {
            usual.label = Label::Several(labels);
        }
        let is_in_token = |path: &Vec<String>| claims.iter().any(|(known, claim)| known == path && !is_apart(claim));
        let starts: Vec<Start> = solutions
            .iter()
            .map(|solution| Start::of(solution, &base, is_in_token))
            .collect();
        for start in starts.iter().filter(|start| start.token.len() > 1) {
            let label = Label::Fault("with several other claims".to_owned());
            faults.push(Variant::of(start.token.clone(), label));
        }
        let mut all = vec![Dimension::new(Aspect::Token, faults)];
        all.extend(Some(Dimension::new(Aspect::Signer, signers)).filter(|_| has_signers));
        all.extend(members);
        all.extend(dimensions);
        Aspects {
            base,
            dimensions: all,
            starts,
            solutions,
        }
    }

    fn rules<'a>(&self, pair: &Pair<'r>, path: &'a str) -> [Option<Rules<'a>>; 2]
    where
        'r: 'a,
    {
        let [old, new] = pair.sides().map(Side::met);
        let [old_issuer, new_issuer] = self.issuers;
        [(old, old_issuer), (new, new_issuer)].map(|(met, issuer)| {
            let (policy, route) = met?;
            let issuer = issuer?;
            Some(Rules {
                policy,
                route,
                issuer,
                path,
            })
        })
    }

    /// Each signer by each algorithm, where the sides differ.
    fn signers(&self) -> Vec<Variant> {
        let [Some(old), Some(new)] = self.issuers else {
            return Vec::new();
        };
        if old.signer == new.signer && old.algorithms == new.algorithms {
            return Vec::new();
        }
        let mut signers: Vec<(&KeyReference, Algorithm)> = Vec::new();
        for issuer in [old, new] {
            for algorithm in old.algorithms.iter().chain(&new.algorithms) {
                let signer = (&issuer.signer, *algorithm);
                if fits(signer) && !signers.contains(&signer) {
                    signers.push(signer);
                }
            }
        }
        let variants = signers.into_iter().map(|(signer, algorithm)| {
            let patch = Patch::Signer(signer.clone(), algorithm);
            let label = match old.signer == new.signer {
                true => format!("{signer} by {}", algorithm.name()),
                false => signer.to_string(),
            };
            Variant::new(patch, Label::Signer(label))
        });
        let others = [
            Patch::Corrupt(Some(Corruption::Signature)),
            Patch::Corrupt(Some(Corruption::Algorithm)),
        ];
        let others = others.map(|patch| Variant::new(patch, Label::Signer("another key".to_owned())));
        variants.chain(others).collect()
    }

    /// The members of the header of which the sides say different things.
    fn members(&self) -> Vec<Dimension> {
        let [Some(old), Some(new)] = self.issuers else {
            return Vec::new();
        };
        let mut members = Vec::new();
        if old.types != new.types {
            let types: BTreeSet<&str> = old.types.iter().chain(new.types.iter()).chain([UNNAMED]).collect();
            let variants = types.into_iter().map(|typ| {
                let label = Label::Fault(format!("typ {typ}"));
                Variant::new(Patch::Jose("typ", Some(json!(typ))), label)
            });
            let untyped = Variant::new(Patch::Jose("typ", None), Label::Fault("without typ".to_owned()));
            members.push(Dimension::new(
                Aspect::Jose("typ"),
                [untyped].into_iter().chain(variants).collect(),
            ));
        }
        let links = LinkHeader::ALL
            .into_iter()
            .filter(|link| old.ignores(*link) != new.ignores(*link));
        members.extend(links.map(|link| {
            let absent = Variant::new(Patch::Jose(link.name(), None), Label::None);
            Dimension::new(Aspect::Jose(link.name()), vec![absent, linked(link)])
        }));
        members
    }

    /// What else may be wrong with a token, or particular about its header.
    fn forgeries(&self) -> Vec<Variant> {
        let fault = |patch, what: &str| Variant::new(patch, Label::Fault(what.to_owned()));
        let mut variants = vec![
            fault(Patch::Corrupt(Some(Corruption::Signature)), "token_signature_invalid"),
            fault(
                Patch::Corrupt(Some(Corruption::Algorithm)),
                "token_algorithm_not_allowed",
            ),
            fault(Patch::Corrupt(Some(Corruption::KeyId)), "token_key_unknown"),
        ];
        let mut types: BTreeSet<&str> = BTreeSet::from([UNNAMED]);
        types.extend(self.issuers.iter().flatten().flat_map(|issuer| issuer.types.iter()));
        for typ in types {
            let label = Label::Fault(format!("typ {typ}"));
            variants.push(Variant::new(Patch::Jose("typ", Some(json!(typ))), label));
        }
        variants.push(fault(Patch::Jose("typ", None), "without typ"));
        variants.extend(LinkHeader::ALL.into_iter().map(linked));
        variants
    }
}

/// A token whose header leads to a key.
fn linked(link: LinkHeader) -> Variant {
    let label = Label::Fault(format!("with `{}`", link.name()));
    Variant::new(Patch::Jose(link.name(), Some(json!("https://keys.example"))), label)
}

/// Tokens without several of the claims that the upstream receives: without any of them it may get the same as without a token.
fn untold(told: &[&Vec<String>]) -> Vec<Variant> {
    let told = told.get(..MOST_TOLD).unwrap_or(told);
    let sets = 0..1_usize << told.len();
    let most = u32::try_from(told.len()).unwrap_or_default();
    let is_kept = |set: &usize| set.count_ones() > 1 && (most <= 3 || set.count_ones() + 2 > most);
    let several = sets.rev().filter(is_kept);
    let variants = several.map(|set| {
        let absent = told.iter().enumerate().filter(|(at, _)| set >> at & 1 == 1);
        let patches = absent.map(|(_, path)| Patch::Claim((*path).clone(), None)).collect();
        Variant::of(
            patches,
            Label::Fault("without claims that the service is told".to_owned()),
        )
    });
    variants.collect()
}

const fn at<T: Copy>(found: (usize, T)) -> usize {
    found.0
}

fn fits((signer, algorithm): (&KeyReference, Algorithm)) -> bool {
    (algorithm.material() == Material::Secret) == (signer.form() == KeyForm::Secret) || signer.form() == KeyForm::Set
}

/// Finds the issuer of a token on a side, if the side looks at tokens.
fn pick<'r>(side: &Side<'r>, claims: &Claims) -> Option<(usize, &'r Issuer)> {
    let policy = side.asking(AuthMethod::Jwt)?;
    jwt::pick(&policy.issuers, claims).ok()
}

/// Returns a text that is the same for tokens that both sides read alike, whichever their issuers are.
fn class(pair: &Pair<'_>, claims: &Claims, path: &str) -> Option<String> {
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
    Some(format!("{issuers} {conditions:?} {:?}", tenants.collect::<Vec<_>>()))
}

/// Claims that pick issuers.
const FIXED: [&str; 1] = ["iss"];

fn is_placeholder(pair: &Pair<'_>, name: &str) -> bool {
    let issuers = pair.asking(AuthMethod::Jwt).flat_map(|policy| &policy.issuers);
    let mut patterns = issuers.filter_map(|issuer| issuer.names.pattern());
    patterns.any(|pattern| pattern.template().claims().contains(&name))
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
fn names(pair: &Pair<'_>, path: &str) -> Vec<Claims> {
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
            IssuerNames::Pattern(pattern) => names.extend(instances(pattern, &listed)),
        }
    }
    names
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
        let Condition::Claim { path: claim, test } = condition else {
            continue;
        };
        let operands = match test {
            ClaimTest::Equals(operand) => std::slice::from_ref(operand),
            ClaimTest::In(operands) => operands,
            ClaimTest::Has(_) | ClaimTest::HasAny(_) | ClaimTest::Within(_) => continue,
        };
        let [name] = claim.as_slice() else { continue };
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
            } else if is_placeholder(pair, name) && is_value(&text) {
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

/// Names of the form of a pattern: each of some values, with the first ones of the other placeholders.
fn instances(pattern: &IssuerPattern, listed: &BTreeSet<String>) -> Vec<Claims> {
    let usual = |name: &str| {
        let values = pattern.values().iter().find(|(known, _)| known == name);
        match values {
            Some((_, PlaceholderValues::OneOf(values))) => values.texts().first().map_or(ANY_VALUE, String::as_str),
            _ => ANY_VALUE,
        }
    };
    let names = pattern.template().claims();
    let mut found = Vec::new();
    for varied in &names {
        for value in listed {
            let chosen: Vec<(&str, &str)> = names
                .iter()
                .map(|name| (*name, if name == varied { value.as_str() } else { usual(name) }))
                .collect();
            let iss = chosen
                .iter()
                .fold(pattern.template().text().to_owned(), |text, (name, value)| {
                    text.replace(&format!("{{{name}}}"), value)
                });
            found.push(claims(&iss, &chosen));
        }
    }
    found
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
