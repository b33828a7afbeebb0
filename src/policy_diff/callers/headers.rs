//! The headers that either side reads, or lets through as the other does not.

use http::{HeaderName, HeaderValue, Method};

use super::operands::header_values;
use super::pages::{self, Cookies};
use super::pair::{MethodClass, Pair};
use super::parts::{Patch, Sent};
use super::places::places;
use super::requests::{KnownKey, keys};
use super::rules::{NO_TENANT, OTHER_TENANT, TENANT, TEXT_TENANT, UNNAMED};
use super::space::{Aspect, Dimension, Label, Variant};
use crate::policy::Policy;
use crate::policy::condition::Condition;
use crate::policy::document::TenantFormat;
use crate::policy::issuer_names::{IssuerPattern, PlaceholderValues};
use crate::policy::route::Route;
use crate::principal::AuthMethod;
use crate::rehearsal::TokenPlace;
use crate::request::IDEMPOTENCY_KEY;
use crate::request::listed::is_standard;
use crate::request::names::FoldedName;

/// A key that no policy has.
const UNKNOWN_KEY: &str = "a-key-that-no-policy-has-for-any-service";

/// An idempotency key.
const UUID: &str = "c0000000-0000-4000-a000-00000000000c";

/// The headers, each with its values.
#[derive(Debug, Default)]
pub(super) struct Headers(Vec<(HeaderName, Vec<Variant>)>);

impl Headers {
    /// Returns the headers that matter to callers, to those with a token of an issuer among them.
    pub(super) fn of(
        pair: &Pair<'_>,
        method: MethodClass,
        path: &str,
        methods: &[Method],
        (has_token, cookies): (bool, Cookies),
    ) -> Vec<Dimension> {
        let mut headers = Self::default();
        let keys = headers.keys(pair);
        if has_token {
            headers.tenants(pair);
        }
        headers.conditions(pair, path);
        headers.idempotency(method);
        headers.identity(pair, method);
        let pages = pages::dimension(pair, method, methods, cookies, |name| headers.taken(name));
        let dimensions = headers.0.into_iter().map(|(name, variants)| {
            let aspect = match keys.contains(&name) {
                true => Aspect::Key(name),
                false => Aspect::Header(name),
            };
            Dimension::new(aspect, variants)
        });
        dimensions.chain(pages).collect()
    }

    fn add(&mut self, name: &HeaderName, variants: impl IntoIterator<Item = Variant>) {
        let at = self.0.iter().position(|(known, _)| known == name);
        let at = at.unwrap_or_else(|| {
            self.0.push((name.clone(), Vec::new()));
            self.0.len() - 1
        });
        let Some((_, known)) = self.0.get_mut(at) else { return };
        for variant in variants {
            if !known.iter().any(|known| known.patches == variant.patches) {
                known.push(variant);
            }
        }
    }

    /// Takes the values of a header out.
    fn taken(&mut self, name: &HeaderName) -> Vec<Variant> {
        let at = self.0.iter().position(|(known, _)| known == name);
        at.map(|at| self.0.remove(at).1).unwrap_or_default()
    }

    /// Adds the internal keys, each before and after it stops working, and returns the names of their headers.
    fn keys(&mut self, pair: &Pair<'_>) -> Vec<HeaderName> {
        let mut names: Vec<&HeaderName> = Vec::new();
        let lists = pair
            .asking(AuthMethod::InternalKey)
            .filter_map(|policy| policy.internal_keys.as_ref());
        for name in lists.map(|keys| &keys.header) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        for name in &names {
            let known = keys(pair).into_iter().flat_map(|key| timed(name, &key));
            let unknown = Variant::new(Patch::header(name, UNKNOWN_KEY), Label::Key("unknown".to_owned()));
            let absent = Variant::new(Patch::without(name), Label::None);
            self.add(name, [absent].into_iter().chain(known).chain([unknown.credential()]));
        }
        names.into_iter().cloned().collect()
    }

    fn tenants(&mut self, pair: &Pair<'_>) {
        for policy in pair.asking(AuthMethod::Jwt) {
            let Some(rule) = &policy.tenant else { continue };
            let mut values = vec![OTHER_TENANT.to_owned(), NO_TENANT.to_owned(), TEXT_TENANT.to_owned()];
            if rule.format == TenantFormat::Text {
                values.push(TENANT.to_uppercase());
            }
            for issuer in &policy.issuers {
                let placeholders = issuer.names.pattern().map(IssuerPattern::values).unwrap_or_default();
                let listed = placeholders
                    .iter()
                    .filter(|(name, _)| rule.claims.iter().any(|path| path == std::slice::from_ref(name)));
                for (_, values_of) in listed {
                    if let PlaceholderValues::OneOf(texts) = values_of {
                        values.extend(texts.texts().iter().cloned());
                    }
                }
            }
            let name = &rule.header;
            let usual = Variant::new(Patch::header(name, TENANT), Label::None);
            let absent = without(name);
            self.add(
                name,
                [usual, absent]
                    .into_iter()
                    .chain(values.iter().map(|value| with(name, value))),
            );
        }
    }

    fn conditions(&mut self, pair: &Pair<'_>, path: &str) {
        for (_, route) in pair.met() {
            for condition in &route.requirement.conditions {
                let Condition::Header { name, test } = condition else {
                    continue;
                };
                let values = header_values(test, path);
                let twice = values
                    .first()
                    .and_then(|value| HeaderValue::from_str(value).ok())
                    .map(|value| {
                        let both = Patch::Header(name.clone(), vec![Sent::Value(value.clone()), Sent::Value(value)]);
                        Variant::new(both, Label::Header(name.to_string(), Some("twice".to_owned())))
                    });
                let mut variants: Vec<_> = values.iter().map(|value| with(name, value)).collect();
                variants.push(without(name));
                variants.push(with(name, "another value"));
                self.add(name, variants.into_iter().chain(twice));
            }
        }
    }

    fn idempotency(&mut self, method: MethodClass) {
        if method.may_repeat.contains(&true) {
            let usual = Variant::new(Patch::header(&IDEMPOTENCY_KEY, UUID), Label::None);
            let others = [without(&IDEMPOTENCY_KEY), with(&IDEMPOTENCY_KEY, UNNAMED)];
            self.add(&IDEMPOTENCY_KEY, [usual].into_iter().chain(others));
        }
    }

    /// Adds the headers of clients that reach the upstream on one side and not on the other.
    fn identity(&mut self, pair: &Pair<'_>, method: MethodClass) {
        let (Some(old), Some(new)) = (pair.old.met(), pair.new.met()) else {
            return;
        };
        let mut names: Vec<HeaderName> = Vec::new();
        for (policy, route) in [old, new] {
            let identity = policy.identity.headers().iter().map(|header| &header.name);
            let tenant = policy.tenant.iter().map(|rule| &rule.header);
            let own = identity
                .chain(tenant)
                .chain([policy.key_header()])
                .chain(&policy.compared);
            let passed = route.pass_through.iter().chain(&policy.sources.removed.headers);
            // Those that other policies of the service read or set are among them.
            let owned = policy.identity.owned().iter();
            let owned: Vec<_> = owned.filter_map(|name| HeaderName::try_from(name).ok()).collect();
            for name in own.chain(passed).chain(&owned) {
                let alias = HeaderName::try_from(name.as_str().replace('-', "_")).ok();
                for name in [Some(name.clone()), alias].into_iter().flatten() {
                    if !names.contains(&name) {
                        names.push(name);
                    }
                }
            }
        }
        let places = places(pair, method);
        for name in names {
            let is_place = places.contains(&TokenPlace::Header(name.clone()));
            if !is_place && treated(&name, old) != treated(&name, new) {
                self.add(
                    &name,
                    [Variant::new(Patch::without(&name), Label::None), with(&name, "sent")],
                );
            }
        }
    }
}

/// Returns the variants of an internal key: before it stops working on a side, and after that.
fn timed(name: &HeaderName, key: &KnownKey) -> Vec<Variant> {
    let patch = || Patch::Header(name.clone(), vec![Sent::Key(key.reference.clone())]);
    let usual = Variant::new(patch(), Label::Key(key.name.clone()));
    let later = key.expiries.iter().map(|time| {
        let label = Label::Key(format!("{} from {} on", key.name, crate::rejection::moment(*time)));
        Variant::of(vec![patch(), Patch::Now(*time)], label)
    });
    std::iter::once(usual).chain(later).map(Variant::credential).collect()
}

/// What a policy says about a header of clients.
fn treated(name: &HeaderName, (policy, route): (&Policy, &Route)) -> [bool; 7] {
    FoldedName::with(name.as_str(), |folded| {
        [
            policy.identity.is_reserved(&folded),
            folded.spells(policy.key_header()),
            name == policy.key_header() && policy.forward_internal_key,
            is_standard(name.as_str()) && policy.identity.sets(name),
            policy.sources.removed.is_header(&folded),
            route.pass_through.contains(name),
            route.requirement.compares(name),
        ]
    })
}

fn with(name: &HeaderName, value: &str) -> Variant {
    Variant::new(
        Patch::header(name, value),
        Label::Header(name.to_string(), Some(value.to_owned())),
    )
}

fn without(name: &HeaderName) -> Variant {
    Variant::new(Patch::without(name), Label::Header(name.to_string(), None))
}
