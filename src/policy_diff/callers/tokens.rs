//! The tokens that callers have: one kind for each issuer that either side knows.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::claims::{ReadClaim, ReadClaims};
use super::issuers::{class, names, pick};
use super::linked::{self, Group};
use super::pair::{Pair, Side};
use super::parts::Patch;
use super::prune::Prints;
use super::rules::{Rules, UNNAMED};
use super::solve::{Asked, Solution};
use super::space::{Aspect, Dimension, Label, Start, Variant};
use crate::document::key_reference::{KeyForm, KeyReference};
use crate::keys::{Algorithm, Material};
use crate::policy::Issuer;
use crate::policy::document::LinkHeader;
use crate::policy_diff::types::Incomplete;
use crate::principal::{AuthMethod, Claims};
use crate::rehearsal::{Corruption, Token};

/// The most claims of which all combinations are left out.
const MOST_TOLD: usize = 6;

/// The most claims that only conditions read, and that the sides read differently, of which all combinations are tried.
const MOST_APART: usize = 5;

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
    /// What several rules read that the sides differ in.
    pub(super) doubtful: Vec<String>,
}

impl<'r> Kind<'r> {
    /// Finds the kinds of tokens that either side knows, for a path.
    pub(super) fn all(pair: &Pair<'r>, path: &str) -> Result<Vec<Self>, Incomplete> {
        let mut known = BTreeSet::new();
        let kinds = names(pair, path)?.into_iter().filter_map(|claims| {
            let class = class(pair, &claims, path)?;
            let issuers = pair.sides().map(|side| pick(side, &claims).map(|(_, issuer)| issuer));
            known.insert(class).then_some(Self { claims, issuers })
        });
        Ok(kinds.collect())
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
        let others = Asked::of_tokens(rules, &self.claims).solutions();
        let first = others.first().cloned().unwrap_or_default();
        let mut solutions = linked::solutions(rules, &self.claims, &first);
        claims.solve(&solutions, true);
        claims.solve(&others, false);
        solutions.extend(others);
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
        for start in starts.iter().filter(|start| !start.token.is_empty()) {
            if !faults.iter().any(|known| known.patches == start.token) {
                let label = Label::Fault("with several other claims".to_owned());
                faults.push(Variant::of(start.token.clone(), label));
            }
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
            doubtful: self.doubtful(rules),
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

    /// Returns whether no token of this kind meets the rules of a side, for what is in the path.
    pub(super) fn is_shut(&self, pair: &Pair<'r>, path: &str, side: usize) -> bool {
        if self.issuers.get(side).is_some_and(Option::is_none) {
            return true;
        }
        let is_shut = |group: &Group<'_>| {
            let outcomes = group.outcomes(&self.claims, path);
            group.compares_one_text() && !outcomes.iter().any(|holds| holds.get(side) == Some(&true))
        };
        Group::all(self.rules(pair, path)).iter().any(is_shut)
    }

    /// What several rules read that the sides differ in.
    fn doubtful(&self, rules: [Option<Rules<'_>>; 2]) -> Vec<String> {
        let groups = Group::all(rules).into_iter().filter(|_| self.is_on_both_sides());
        let path = rules
            .iter()
            .flatten()
            .map(|rules| rules.path)
            .next()
            .unwrap_or_default();
        let doubtful = groups.filter(|group| group.is_doubtful(&self.claims, path));
        doubtful.map(|group| group.name()).collect()
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

fn fits((signer, algorithm): (&KeyReference, Algorithm)) -> bool {
    (algorithm.material() == Material::Secret) == (signer.form() == KeyForm::Secret) || signer.form() == KeyForm::Set
}
