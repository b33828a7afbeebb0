//! The claims that either side reads, each with the values that it tells apart.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::identity_claims;
use super::operands::{COMPARED as COMPARED_VALUE, claim_values};
use super::parts::{ClaimValue, Patch};
use super::prune::Prints;
use super::rules::{ClaimPath, NO_TENANT, OTHER_TENANT, Rules, TENANT, TEXT_TENANT, THUMBPRINT, UNNAMED};
use super::solve::Solution;
use super::space::{Label, Variant};
use crate::policy::condition::{Condition, HeaderTest};
use crate::policy::document::{BindingMode, TenantFormat};
use crate::policy::identity::IdentitySource;

/// The thumbprint of a client certificate that the connection does not have.
const OTHER_THUMBPRINT: &str = "BAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// A claim that either side reads.
#[derive(Debug, Default)]
pub(super) struct ReadClaim {
    /// The values, the usual one first; of those that matter more, the most important one.
    values: Vec<(u8, Option<ClaimValue>, Label)>,
    /// Whether the upstream receives it.
    is_told: bool,
    /// What each side says about it.
    rules: [BTreeSet<String>; 2],
    /// What it names.
    kind: ClaimKind,
    /// Whether nothing but conditions reads it.
    is_compared_only: bool,
}

/// What a claim names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum ClaimKind {
    /// Roles.
    Roles,
    /// Scopes.
    Scopes,
    /// Anything else.
    #[default]
    Other,
}

/// All claims that either side reads.
#[derive(Debug, Default)]
pub(super) struct ReadClaims(BTreeMap<ClaimPath, ReadClaim>);

impl ReadClaim {
    /// Returns whether both sides say the same about it.
    pub(super) fn is_alike(&self) -> bool {
        let [old, new] = &self.rules;
        old == new
    }

    /// Returns whether nothing but conditions reads it.
    pub(super) const fn is_compared_only(&self) -> bool {
        self.is_compared_only
    }

    /// Returns whether the upstream receives it.
    pub(super) const fn is_told(&self) -> bool {
        self.is_told
    }

    /// Returns the usual value, and the others; with `all`, also those that are faults like others, before or after them.
    pub(super) fn variants(&self, path: &[String], all: bool) -> (Variant, Vec<Variant>) {
        let mut values: Vec<&(u8, Option<ClaimValue>, Label)> = Vec::new();
        for value in &self.values {
            let is_needed = all || value.0 < MINOR;
            if is_needed && !values.iter().any(|known| known.1 == value.1) {
                values.push(value);
            }
        }
        values.sort_by_key(|(rank, ..)| *rank);
        let mut variants = values
            .into_iter()
            .map(|(_, value, label)| Variant::new(Patch::Claim(path.to_vec(), value.clone()), label.clone()));
        (variants.next().unwrap_or_default(), variants.collect())
    }
}

/// Ranks of values: the usual one of a claim is the one of the lowest rank.
const SOLVED: u8 = 0;
const COMPARED: u8 = 1;
const TENANTS: u8 = 2;
const GRANTS: u8 = 3;
const AUDIENCE: u8 = 4;
const ANY: u8 = 5;
const OTHER: u8 = 9;
/// A fault of a token like many others, which matters only by what is looked at before it.
const MINOR: u8 = 10;

#[expect(clippy::unnecessary_wraps, reason = "a claim may be absent")]
fn plain(value: impl Into<Value>) -> Option<ClaimValue> {
    Some(ClaimValue::Plain(value.into()))
}

fn name(name: &str) -> ClaimPath {
    vec![name.to_owned()]
}

impl ReadClaims {
    /// Collects the claims that either side reads in the tokens of an issuer.
    pub(super) fn of(sides: [Option<Rules<'_>>; 2]) -> Self {
        let mut claims = Self::default();
        for (side, rules) in sides.into_iter().enumerate() {
            if let Some(rules) = rules {
                let mut reader = Reader {
                    claims: &mut claims,
                    rules,
                    side,
                };
                reader.read();
            }
        }
        claims.grants(sides);
        claims.audiences(sides);
        for (path, value) in identity_claims::values(sides) {
            claims.add_plain(&path, OTHER, plain(value));
        }
        let is_condition = |rule: &String| rule.starts_with("issuer ") || rule.starts_with("route ");
        for claim in claims.0.values_mut() {
            claim.is_compared_only = claim.rules.iter().flatten().all(is_condition);
        }
        claims
    }

    /// Iterates over them.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&ClaimPath, &ReadClaim)> {
        self.0.iter()
    }

    /// Adds values that meet all rules: the first ones become the usual ones.
    pub(super) fn solve(&mut self, solutions: &[Solution]) {
        for (at, solution) in solutions.iter().enumerate() {
            for (path, value) in &solution.claims {
                let label = self.label(path, value);
                let rank = if at == 0 { SOLVED } else { OTHER };
                let claim = self.0.entry(path.clone()).or_default();
                let known = claim.values.iter_mut().find(|known| known.1.as_ref() == Some(value));
                match known {
                    Some((known, ..)) => *known = rank.min(*known),
                    None => claim.values.push((rank, Some(value.clone()), label)),
                }
            }
        }
    }

    /// What to write of a value of a claim.
    fn label(&self, path: &[String], value: &ClaimValue) -> Label {
        let kind = self.0.get(path).map(|claim| claim.kind).unwrap_or_default();
        let items = match value {
            ClaimValue::Plain(Value::Array(items)) => {
                items.iter().filter_map(Value::as_str).map(str::to_owned).collect()
            }
            _ => Vec::new(),
        };
        match (kind, value) {
            (ClaimKind::Roles, ClaimValue::Plain(Value::Array(_))) if items.len() < 2 => Label::Roles(items),
            (ClaimKind::Scopes, ClaimValue::Plain(Value::Array(_))) => Label::Scopes(items),
            (_, ClaimValue::Plain(value)) => Label::Claim(path.join("."), value.clone()),
            (_, ClaimValue::FromNow(from_now)) => Label::Claim(path.join("."), json!(format!("{from_now}s from now"))),
        }
    }

    /// Leaves out values of which all conditions say the same as of another one.
    pub(super) fn prune(&mut self, prints: &Prints<'_>) {
        for (path, claim) in &mut self.0 {
            if !claim.is_compared_only {
                continue;
            }
            let mut known = BTreeSet::new();
            claim.values.sort_by_key(|(rank, ..)| *rank);
            claim.values.retain(|(_, value, _)| match value {
                Some(ClaimValue::Plain(value)) => known.insert(prints.of(path, value)),
                _ => true,
            });
        }
    }

    /// Takes a claim out, because it is set otherwise.
    pub(super) fn remove(&mut self, path: &[String]) {
        self.0.remove(path);
    }

    fn add(&mut self, path: &[String], rank: u8, value: Option<ClaimValue>, label: Label) {
        let claim = self.0.entry(path.to_vec()).or_default();
        claim.values.push((rank, value, label));
    }

    fn add_plain(&mut self, path: &[String], rank: u8, value: Option<ClaimValue>) {
        let label = match &value {
            Some(ClaimValue::Plain(value)) => Label::Claim(path.join("."), value.clone()),
            Some(ClaimValue::FromNow(from_now)) => Label::Claim(path.join("."), json!(format!("{from_now}s from now"))),
            None => Label::Claim(path.join("."), Value::Null),
        };
        self.add(path, rank, value, label);
    }

    /// Adds a value without anything that either side names. Another claim may still have it, unless this is the only one.
    fn add_lack(&mut self, path: &[String], value: Option<ClaimValue>, label: Label, is_only: bool) {
        match is_only {
            true => self.add(path, OTHER, value, label),
            false => self.add_plain(path, OTHER, value),
        }
    }

    /// Adds the roles and scopes that either side asks for.
    fn grants(&mut self, sides: [Option<Rules<'_>>; 2]) {
        let known = || sides.into_iter().flatten();
        let roles = distinct_roles(sides);
        let required: BTreeSet<&str> = known()
            .flat_map(|rules| rules.route.requirement.roles.iter().map(String::as_str))
            .collect();
        let scopes: Vec<BTreeSet<&str>> = known()
            .map(|rules| rules.route.requirement.scopes.iter().map(String::as_str).collect())
            .collect();
        let role_paths: BTreeSet<&ClaimPath> = known().flat_map(|rules| &rules.issuer.roles_claim.paths).collect();
        let scope_paths: BTreeSet<&ClaimPath> = known().flat_map(|rules| &rules.issuer.scopes_claim.paths).collect();
        let (is_one_role, is_one_scope) = (role_paths.len() == 1, scope_paths.len() == 1);
        for path in &role_paths {
            self.0.entry((*path).clone()).or_default().kind = ClaimKind::Roles;
        }
        for path in &scope_paths {
            self.0.entry((*path).clone()).or_default().kind = ClaimKind::Scopes;
        }
        for path in role_paths {
            // The upstream receives roles of several claims apart.
            let marked = |roles: Vec<&str>| plain(with_mark(roles, path, is_one_role));
            let usual = marked(required.iter().copied().collect());
            match roles.values().next_back() {
                None => self.add(path, GRANTS, usual, Label::None),
                Some(alike) if roles.len() == 1 || roles.contains_key(&[true; 2]) => {
                    self.add(path, GRANTS, usual, Label::Roles(owned(alike)));
                }
                Some(_) => self.add_plain(path, GRANTS, usual),
            }
            self.add_lack(path, None, Label::Roles(Vec::new()), is_one_role);
            for alike in roles.values() {
                let first = alike.iter().copied().take(1).collect();
                self.add(path, OTHER, marked(first), Label::Roles(owned(alike)));
            }
            let unnamed = Label::Roles(owned(&[UNNAMED]));
            self.add_lack(path, marked(vec![UNNAMED]), unnamed, is_one_role);
            self.add_plain(path, OTHER, plain(7));
        }
        for path in scope_paths {
            let marked = |scopes: Vec<&str>| plain(with_mark(scopes, path, is_one_scope));
            let all: BTreeSet<&str> = scopes.iter().flatten().copied().collect();
            let all: Vec<&str> = all.into_iter().collect();
            self.add(path, GRANTS, marked(all.clone()), Label::Scopes(owned(&all)));
            self.add_lack(path, None, Label::Scopes(Vec::new()), is_one_scope);
            for set in scopes.iter().filter(|set| !set.is_empty()) {
                let set: Vec<&str> = set.iter().copied().collect();
                self.add(path, OTHER, marked(set.clone()), Label::Scopes(owned(&set)));
            }
            let unnamed = Label::Scopes(owned(&[UNNAMED]));
            self.add_lack(path, marked(vec![UNNAMED]), unnamed, is_one_scope);
            self.add_plain(path, OTHER, plain(7));
        }
    }

    /// Adds the audiences of both sides.
    fn audiences(&mut self, sides: [Option<Rules<'_>>; 2]) {
        let known = || sides.into_iter().flatten().map(|rules| rules.issuer);
        let all: BTreeSet<&str> = known()
            .flat_map(|issuer| issuer.audiences.iter().flatten().map(String::as_str))
            .collect();
        let paths: BTreeSet<&str> = known()
            .map(|issuer| issuer.audience_claim.as_str())
            .chain(["aud"])
            .collect();
        for path in paths {
            let path = name(path);
            let usual: Vec<&str> = all.iter().copied().collect();
            let usual_is_none = usual.is_empty();
            if !usual_is_none {
                self.add(&path, AUDIENCE, plain(usual), Label::None);
            }
            self.add_plain(&path, OTHER, plain(UNNAMED));
            for audience in &all {
                self.add_plain(&path, MINOR, plain(*audience));
            }
            self.add_plain(&path, if usual_is_none { OTHER - 1 } else { MINOR }, None);
            self.add_plain(&path, MINOR, plain(7));
        }
    }
}

/// The roles that either side asks for, or that bring one of them, by whether they are enough on each side.
fn distinct_roles(sides: [Option<Rules<'_>>; 2]) -> BTreeMap<[bool; 2], Vec<&str>> {
    let wanted = sides.map(|rules| -> BTreeSet<&str> { rules.iter().flat_map(Rules::wanted_roles).collect() });
    let [old, new] = &wanted;
    let mut alike: BTreeMap<[bool; 2], Vec<&str>> = BTreeMap::new();
    for role in old.union(new).copied() {
        alike
            .entry([old.contains(role), new.contains(role)])
            .or_default()
            .push(role);
    }
    alike
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// Adds a name of its own to the names in a claim, unless it is the only one with names.
fn with_mark(names: Vec<&str>, path: &[String], is_only: bool) -> Vec<String> {
    let mark = (!is_only).then(|| format!("in-{}", path.join("-")));
    names.into_iter().map(str::to_owned).chain(mark).collect()
}

/// Reads what one side says about claims.
struct Reader<'c, 'p> {
    claims: &'c mut ReadClaims,
    rules: Rules<'p>,
    side: usize,
}

impl Reader<'_, '_> {
    fn rule(&mut self, path: &[String], rule: impl Into<String>) {
        let claim = self.claims.0.entry(path.to_vec()).or_default();
        if let Some(rules) = claim.rules.get_mut(self.side) {
            rules.insert(rule.into());
        }
    }

    fn value(&mut self, path: &[String], rank: u8, value: Option<ClaimValue>) {
        self.claims.add_plain(path, rank, value);
    }

    fn read(&mut self) {
        self.lifetime();
        self.subject();
        self.issuer();
        self.tenant();
        self.identity();
        for condition in &self.rules.issuer.when {
            self.condition("issuer", condition);
        }
        for condition in &self.rules.route.requirement.conditions {
            self.condition("route", condition);
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a leeway is minutes")]
    fn lifetime(&mut self) {
        let leeway = self.rules.issuer.leeway as f64;
        let rule = format!("leeway {leeway}");
        let (exp, nbf, iat) = (name("exp"), name("nbf"), name("iat"));
        for path in [&exp, &nbf, &iat] {
            self.rule(path, rule.clone());
            self.value(path, MINOR, plain("soon"));
        }
        self.claims
            .add(&exp, ANY, Some(ClaimValue::FromNow(86_400.0)), Label::None);
        let late = Label::Fault("token_expired".to_owned());
        for from_now in [-leeway, 1.0 - leeway] {
            self.claims
                .add(&exp, MINOR, Some(ClaimValue::FromNow(from_now)), late.clone());
        }
        self.value(&exp, MINOR, None);
        self.claims.add(&nbf, ANY, None, Label::None);
        let early = Label::Fault("token_not_yet_valid".to_owned());
        for from_now in [leeway, leeway + 1.0] {
            self.claims
                .add(&nbf, MINOR, Some(ClaimValue::FromNow(from_now)), early.clone());
        }
        self.claims
            .add(&iat, ANY, Some(ClaimValue::FromNow(-10.0)), Label::None);
        self.value(&iat, MINOR, None);
    }

    fn subject(&mut self) {
        let sub = name("sub");
        self.rule(&sub, "sub");
        self.claims.add(&sub, ANY, plain("subject"), Label::None);
        self.value(&sub, OTHER, None);
        self.value(&sub, MINOR, plain(""));
        self.value(&sub, MINOR, plain(7));
        if let Some(rule) = &self.rules.policy.revocation {
            let jti = name("jti");
            self.rule(&jti, format!("{rule:?}"));
            self.claims.add(&jti, ANY, plain("id"), Label::None);
            self.value(&jti, OTHER, None);
            self.value(&jti, MINOR, plain(7));
        }
    }

    fn issuer(&mut self) {
        let issuer = self.rules.issuer;
        let audiences: BTreeSet<_> = issuer.audiences.iter().flatten().collect();
        let rule = format!(
            "audience {} {audiences:?} {}",
            issuer.audience_claim,
            issuer.audiences.is_some()
        );
        self.rule(&name("aud"), rule.clone());
        self.rule(&name(&issuer.audience_claim), rule);
        for required in &issuer.required_claims {
            let path = name(required);
            self.rule(&path, "required");
            self.claims.add(&path, ANY, plain("v"), Label::None);
            self.value(&path, MINOR, None);
            self.value(&path, MINOR, plain(Value::Null));
        }
        self.binding(issuer.binding);
        let covering: BTreeSet<&str> = self.rules.wanted_roles().collect();
        let requirement = &self.rules.route.requirement;
        let required: BTreeSet<_> = requirement.roles.iter().collect();
        for path in &issuer.roles_claim.paths {
            self.rule(
                path,
                format!("roles {required:?} {covering:?} {:?}", issuer.roles_claim),
            );
        }
        let scopes: BTreeSet<_> = requirement.scopes.iter().collect();
        for path in &issuer.scopes_claim.paths {
            self.rule(path, format!("scopes {scopes:?} {:?}", issuer.scopes_claim));
        }
    }

    fn binding(&mut self, mode: BindingMode) {
        let path = name("cnf");
        self.rule(&path, format!("binding {mode:?}"));
        let bound = plain(json!({ "x5t#S256": THUMBPRINT }));
        let (unbound_rank, bound_rank) = match mode {
            BindingMode::Required => (ANY + 1, ANY),
            _ => (ANY, ANY + 1),
        };
        self.value(&path, unbound_rank, None);
        self.value(&path, bound_rank, bound);
        for value in [
            json!({ "x5t#S256": OTHER_THUMBPRINT }),
            json!({ "jkt": "thumbprint" }),
            json!({}),
            json!(7),
        ] {
            self.value(&path, OTHER, plain(value));
        }
    }

    fn tenant(&mut self) {
        let Some(rule) = &self.rules.policy.tenant else { return };
        let text = format!("{rule:?}");
        for path in &rule.claims {
            self.rule(path, text.clone());
            self.claims.add(path, TENANTS, plain(TENANT), Label::None);
            let mut values = vec![(plain(OTHER_TENANT), "other"), (None, "missing")];
            values.push((plain(NO_TENANT), "not a tenant"));
            values.push((plain(7), "a number"));
            values.push((plain(TEXT_TENANT), "a text"));
            if rule.format == TenantFormat::Text {
                values.push((plain(TENANT.to_uppercase()), "in capital letters"));
            }
            if rule.lists {
                values.push((plain(vec![TENANT]), "a list of its own"));
                values.push((plain(vec![TENANT, OTHER_TENANT]), "a list with its own"));
                values.push((plain(vec![OTHER_TENANT]), "a list of others"));
                values.push((plain(Vec::<String>::new()), "an empty list"));
                values.push((plain(json!([TENANT, 7])), "a list with a number"));
            }
            for (value, label) in values {
                self.claims.add(path, OTHER, value, Label::Tenant(label));
            }
        }
    }

    fn identity(&mut self) {
        let policy = self.rules.policy;
        for header in policy.identity.headers() {
            let rule = format!("{header:?}");
            let paths: Vec<ClaimPath> = match &header.source {
                IdentitySource::Claim(path) => vec![path.clone()],
                IdentitySource::Roles => self.rules.issuer.roles_claim.paths.clone(),
                IdentitySource::Scopes => self.rules.issuer.scopes_claim.paths.clone(),
                IdentitySource::Tenant => policy.tenant.iter().flat_map(|rule| rule.claims.clone()).collect(),
                IdentitySource::AuthMethod | IdentitySource::ClientId => Vec::new(),
            };
            for path in paths {
                self.rule(&path, rule.clone());
                self.claims.0.entry(path.clone()).or_default().is_told = true;
                if let IdentitySource::Claim(_) = &header.source {
                    self.value(&path, OTHER - 1, plain("v"));
                    self.value(&path, OTHER, None);
                    self.value(&path, OTHER, plain(Map::new()));
                }
            }
        }
    }

    fn condition(&mut self, of: &str, condition: &Condition) {
        let (path, values) = match condition {
            Condition::Claim { path, test } => (path, claim_values(test, self.rules.issuer.leeway, self.rules.path)),
            Condition::Header {
                test: HeaderTest::EqualsClaim(path),
                ..
            } => {
                let values = [json!(COMPARED_VALUE), json!("w"), json!(1), json!({})];
                (path, values.into_iter().map(ClaimValue::Plain).collect())
            }
            Condition::Header { .. } | Condition::Client { .. } => return,
        };
        self.rule(path, format!("{of} {condition:?}"));
        for (at, value) in values.into_iter().enumerate() {
            self.value(path, if at == 0 { COMPARED } else { OTHER }, Some(value));
        }
        self.value(path, OTHER, None);
    }
}
