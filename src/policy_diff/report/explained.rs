//! A change with what is behind it, and its JSON.

use http::Method;
use serde::Serialize;
use serde::ser::Serializer;

use super::asks::asks;
use crate::document::masks::shown_url;
use crate::document::problem::Location;
use crate::policy::{PolicySet, Scope, Upstream};
use crate::policy_diff::delta::{CallerChange, Delta, Told};
use crate::policy_diff::effects::Effect;
use crate::policy_diff::fields::FieldChange;
use crate::policy_diff::types::{Change, PathRegion};
use crate::rehearsal::who;

/// A change, with what is behind it.
#[derive(Debug)]
pub struct Explained {
    /// The change.
    pub change: Change,
    /// What its requests met.
    pub was: Met,
    /// What they meet.
    pub now: Met,
    /// The fields behind it.
    pub because: Vec<FieldChange>,
    /// What becomes of callers by their names, if there are any.
    pub named: Option<Named>,
}

/// The named callers for whom a change matters.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Named {
    /// Those who pass and did not.
    pub let_in: Vec<String>,
    /// Those who do not pass and did.
    pub kept_out: Vec<String>,
}

/// What requests meet on one side.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Met {
    /// The service of the policy, if there is one.
    pub service: Option<String>,
    /// The pattern of the route, if there is one.
    pub route: Option<String>,
    /// Where the route stands.
    #[serde(serialize_with = "place")]
    pub place: Option<Location>,
    /// What it asks of callers, as in `jwt; one of editor, admin`.
    pub asks: Option<String>,
    /// Where the service is.
    #[serde(skip)]
    pub upstream: Option<String>,
    /// Who may call it, in words.
    #[serde(skip)]
    pub who: Option<String>,
}

/// Writes the address of a service, or the variable that it comes from.
fn upstream(upstream: &Upstream) -> String {
    match &upstream.variable.0 {
        Some(variable) => shown_url(variable).into_owned(),
        None => upstream.address.to_string(),
    }
}

#[expect(clippy::ref_option, reason = "serde passes fields so")]
fn place<S: Serializer>(location: &Option<Location>, serializer: S) -> Result<S::Ok, S::Error> {
    location.as_ref().map(ToString::to_string).serialize(serializer)
}

impl Met {
    pub(super) fn of(policies: &PolicySet, scope: Scope) -> Self {
        let policy = scope.policy.and_then(|index| policies.get(index));
        let route = scope.route.and_then(|index| policies.route(index));
        Self {
            service: policy.map(|policy| policy.service.clone()),
            route: route.map(|(_, route)| route.pattern.clone()),
            place: route.map(|(_, route)| route.location.0.clone()),
            asks: route.map(|(policy, route)| asks(policy, route)),
            upstream: policy.map(|policy| upstream(&policy.upstream)),
            who: route.map(|(policy, route)| who(policy, route)),
        }
    }
}

impl Explained {
    /// Returns what the change means first of all.
    pub fn kind(&self) -> Effect {
        self.change
            .effects
            .first()
            .copied()
            .unwrap_or(Effect::RejectedDifferently)
    }

    /// Returns what changes with the same causes have in common.
    pub(super) fn cause_key(&self) -> Option<String> {
        let fields = self.because.iter().map(|field| {
            let (file, start) = (field.location.file(), field.location.span().start);
            format!("{file} {start} {} {:?} {:?}", field.field, field.was, field.now)
        });
        let fields: Vec<_> = fields.collect();
        (!fields.is_empty()).then(|| fields.join("\n"))
    }

    /// Returns what changes for callers.
    pub fn delta(&self) -> &Delta {
        &self.change.delta
    }
}

/// The JSON of a change.
#[derive(Serialize)]
struct ChangeJson<'c> {
    kind: Effect,
    effects: &'c [Effect],
    hosts: &'c [String],
    methods: Vec<&'c str>,
    other_methods: bool,
    paths: &'c [PathRegion],
    except: &'c [PathRegion],
    was: &'c Met,
    now: &'c Met,
    because: &'c [FieldChange],
    gained: &'c [CallerChange],
    lost: &'c [CallerChange],
    forwarded: &'c [CallerChange],
    rejected: &'c [CallerChange],
    told: &'c [Told],
    differs: &'c [String],
    another_tenant: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    callers: Option<&'c Named>,
    example: ExampleJson<'c>,
}

/// The JSON of a request.
#[derive(Serialize)]
struct ExampleJson<'c> {
    host: &'c str,
    method: &'c str,
    path: &'c str,
}

impl Serialize for Explained {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Change {
            effects,
            region,
            example,
            ..
        } = &self.change;
        let delta = self.delta();
        let json = ChangeJson {
            kind: self.kind(),
            effects,
            hosts: &region.hosts,
            methods: region.methods.iter().map(Method::as_str).collect(),
            other_methods: region.other_methods,
            paths: &region.paths,
            except: &region.except,
            was: &self.was,
            now: &self.now,
            because: &self.because,
            gained: &delta.gained,
            lost: &delta.lost,
            forwarded: &delta.forwarded,
            rejected: &delta.rejected,
            told: &delta.told,
            differs: &delta.differs,
            another_tenant: delta.another_tenant,
            callers: self.named.as_ref(),
            example: ExampleJson {
                host: &example.host,
                method: example.method.as_str(),
                path: &example.path,
            },
        };
        json.serialize(serializer)
    }
}
