//! Reads what one side says about claims.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::super::identity_claims;
use super::super::operands::{COMPARED as COMPARED_VALUE, claim_values};
use super::super::parts::ClaimValue;
use super::super::rules::{ClaimPath, NO_TENANT, OTHER_TENANT, Rules, TENANT, TEXT_TENANT, THUMBPRINT};
use super::super::space::Label;
use super::{ANY, COMPARED, MINOR, OTHER, ReadClaims, TENANTS, name, plain};
use crate::policy::condition::{Condition, HeaderTest};
use crate::policy::document::{BindingMode, TenantFormat};
use crate::policy::identity::IdentitySource;

/// The thumbprint of a client certificate that the connection does not have.
const OTHER_THUMBPRINT: &str = "BAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

impl ReadClaims {
    /// Collects the claims that either side reads in the tokens of an issuer.
    pub(in super::super) fn of(sides: [Option<Rules<'_>>; 2]) -> Self {
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
