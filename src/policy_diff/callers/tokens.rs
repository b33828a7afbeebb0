//! The tokens that callers have: one kind for each issuer that either side knows.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::claims::{ReadClaim, ReadClaims};
use super::pair::{Pair, Side};
use super::parts::Patch;
use super::rules::{Rules, UNNAMED};
use super::space::{Aspect, Dimension, Label, Variant};
use crate::authn::jwt;
use crate::document::key_reference::{KeyForm, KeyReference};
use crate::keys::{Algorithm, Material};
use crate::policy::Issuer;
use crate::policy::document::LinkHeader;
use crate::policy::issuer_names::{IssuerNames, IssuerPattern, PlaceholderValues};
use crate::principal::{AuthMethod, Claims};
use crate::rehearsal::{Corruption, Token};

/// The most claims of which all combinations are left out.
const MOST_TOLD: usize = 6;

/// The value of a placeholder that may have any.
const ANY_VALUE: &str = "a1";

/// Tokens with one `iss`, and the issuer that it picks on each side that looks at tokens.
#[derive(Debug)]
pub(super) struct Kind<'r> {
    /// The claims that pick the issuer.
    claims: Claims,
    /// The issuers of both sides.
    issuers: [Option<&'r Issuer>; 2],
}

impl<'r> Kind<'r> {
    /// Finds the kinds of tokens that either side knows.
    pub(super) fn all(pair: &Pair<'r>) -> Vec<Self> {
        let mut kinds: Vec<(Option<usize>, Option<usize>, Self)> = Vec::new();
        for claims in names(pair) {
            let [old, new] = pair.sides().map(|side| pick(side, &claims));
            let is_known = kinds.iter().any(|(a, b, _)| (*a, *b) == (old.map(at), new.map(at)));
            if is_known || (old.is_none() && new.is_none()) {
                continue;
            }
            let issuers = [old.map(|(_, issuer)| issuer), new.map(|(_, issuer)| issuer)];
            kinds.push((old.map(at), new.map(at), Self { claims, issuers }));
        }
        kinds.into_iter().map(|(.., kind)| kind).collect()
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
    pub(super) fn has(&self, pair: &Pair<'r>, claims: &Claims) -> bool {
        let [old, new] = pair.sides().map(|side| pick(side, claims).map(at));
        let [own_old, own_new] = pair.sides().map(|side| pick(side, &self.claims).map(at));
        (old, new) == (own_old, own_new)
    }

    /// Returns a token that its issuer could sign, with no other claims than those that pick the issuer.
    pub(super) fn token(&self) -> Option<Token> {
        let issuer = self.issuers.into_iter().flatten().next()?;
        Token::of(issuer, self.claims.clone())
    }

    /// Returns the aspects by which these tokens differ. Where a rule is the same on both sides, one fault at a time is
    /// enough: the first one decides, on both sides.
    pub(super) fn dimensions(&self, pair: &Pair<'r>, path: &'r str) -> (Vec<Patch>, Vec<Dimension>) {
        let mut claims = ReadClaims::of(self.rules(pair, path));
        for name in self.claims.keys() {
            claims.remove(std::slice::from_ref(name));
        }
        let mut base = Vec::new();
        let signers = self.signers();
        let has_signers = signers.len() > 1;
        let is_apart = |claim: &ReadClaim| self.is_on_both_sides() && !claim.is_alike();
        let members = self.members();
        let has_places = has_signers || !members.is_empty() || claims.iter().any(|(_, claim)| is_apart(claim));
        let mut faults = vec![Variant::default()];
        faults.extend(
            self.forgeries()
                .into_iter()
                .take(if has_places { usize::MAX } else { 1 }),
        );
        let mut dimensions = Vec::new();
        let mut told = Vec::new();
        for (path, claim) in claims.iter() {
            let (usual, others) = claim.variants(path, has_places);
            match is_apart(claim) {
                true => {
                    let variants = std::iter::once(usual).chain(others).collect();
                    dimensions.push(Dimension::new(Aspect::Claim(path.clone()), variants));
                }
                false => {
                    base.extend(usual.patches);
                    faults.extend(others);
                    told.extend(claim.is_told().then_some(path));
                }
            }
        }
        if !pair.is_same(|_, route| (&route.authentication, route.mode)) {
            faults.extend(untold(&told));
        }
        let mut all = vec![Dimension::new(Aspect::Token, faults)];
        all.extend(Some(Dimension::new(Aspect::Signer, signers)).filter(|_| has_signers));
        all.extend(members);
        all.extend(dimensions);
        (base, all)
    }

    fn rules(&self, pair: &Pair<'r>, path: &'r str) -> [Option<Rules<'r>>; 2] {
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
            let typed = types.into_iter().map(|typ| {
                let label = Label::Fault(format!("typ {typ}"));
                Variant::new(Patch::Jose("typ", Some(json!(typ))), label)
            });
            let untyped = Variant::new(Patch::Jose("typ", None), Label::Fault("without typ".to_owned()));
            members.push(Dimension::new(
                Aspect::Jose("typ"),
                [untyped].into_iter().chain(typed).collect(),
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

/// The claims that pick the issuers of both sides.
fn names(pair: &Pair<'_>) -> Vec<Claims> {
    let issuers: Vec<&Issuer> = pair
        .asking(AuthMethod::Jwt)
        .flat_map(|policy| &policy.issuers)
        .collect();
    let patterns: Vec<&IssuerPattern> = issuers.iter().filter_map(|issuer| issuer.names.pattern()).collect();
    let mut names = Vec::new();
    for issuer in &issuers {
        match &issuer.names {
            IssuerNames::Unchecked => names.push(Map::new()),
            IssuerNames::Exact(texts) => names.extend(texts.texts().iter().map(|text| claims(text, &[]))),
            IssuerNames::Pattern(pattern) => names.extend(instances(pattern, &patterns)),
        }
    }
    names
}

fn claims(iss: &str, others: &[(&str, &str)]) -> Claims {
    let others = others.iter().copied();
    let all = std::iter::once(("iss", iss)).chain(others);
    all.map(|(name, value)| (name.to_owned(), Value::from(value))).collect()
}

/// Names of the form of a pattern: each value that any pattern lists, with the first ones of the other placeholders.
fn instances(pattern: &IssuerPattern, all: &[&IssuerPattern]) -> Vec<Claims> {
    let listed: BTreeSet<&str> = all
        .iter()
        .flat_map(|pattern| pattern.values())
        .flat_map(|(_, values)| match values {
            PlaceholderValues::Any => &[][..],
            PlaceholderValues::OneOf(values) => values.texts(),
        })
        .map(String::as_str)
        .chain([ANY_VALUE])
        .collect();
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
        for value in &listed {
            let chosen: Vec<(&str, &str)> = names
                .iter()
                .map(|name| (*name, if name == varied { *value } else { usual(name) }))
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

/// The name of issuers that neither side knows.
pub(super) const FOREIGN: &str = "another issuer";

/// Returns a token whose issuer neither side knows, if there is one.
pub(super) fn foreign(pair: &Pair<'_>) -> Option<(Token, Vec<(Vec<String>, f64)>)> {
    let issuer = pair.asking(AuthMethod::Jwt).flat_map(|policy| &policy.issuers).next()?;
    let mut all = [claims("https://another-issuer.example", &[]), Map::new()].into_iter();
    let unknown = all.find(|claims| pair.sides().iter().all(|side| pick(side, claims).is_none()))?;
    let token = Token::of(issuer, unknown)?;
    Some((token, vec![(vec!["exp".to_owned()], 86_400.0)]))
}
