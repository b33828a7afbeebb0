//! The headers that conditions compare. They become identity headers of the policy: a client's own reach the service
//! only where a route verified them or passes them.

use http::HeaderName;

use crate::document::collections::List;
use crate::document::decode::Spanned;
use crate::document::masks::is_secret_key;
use crate::document::problem::ProblemCode;
use crate::policy::compile::compiler::Compiler;
use crate::policy::document::{ConditionDocument, RouteDocument};
use crate::policy::identity::Identity;
use crate::request::listed::Listed;
use crate::request::names::FoldedName;

impl Compiler<'_> {
    /// The headers that the conditions of all routes compare, each once. Notes those that cannot be compared.
    pub(in crate::policy::compile) fn compared_headers(
        &mut self,
        List(routes): &List<Spanned<RouteDocument>>,
        identity: &Identity,
        key: &HeaderName,
    ) -> Vec<HeaderName> {
        let mut compared: Vec<HeaderName> = Vec::new();
        for name in routes.iter().flat_map(|route| headers_of(&route.value)) {
            let Some(header) = self.header_name(Some(name.clone()), "") else {
                continue;
            };
            if compared.contains(&header) {
                continue;
            }
            let (is_own, listed, spelled) = FoldedName::with(header.as_str(), |folded| {
                let is_own = identity.is_reserved(&folded) || folded.spells(key);
                let spelled = compared.iter().find(|other| folded.spells(other)).cloned();
                (is_own, Listed::of(&folded), spelled)
            });
            if is_own {
                let message = format!("`{header}` is read or set by Sidegate, and a client's own decides nothing");
                let help = "compare the claim that it is set from, or another header";
                self.problems
                    .add(&name.span, ProblemCode::HeaderConflict, message, help);
            } else if listed.never || listed.forwarding {
                let message = format!("`{header}` never reaches the service, or from trusted proxies only");
                let help = "for the address of the client, write `{ client: { in: [10.0.0.0/8] } }`";
                self.problems
                    .add(&name.span, ProblemCode::ReservedHeader, message, help);
            } else if let Some(other) = spelled {
                let message = format!("`{header}` is another spelling of `{other}`");
                let help = "write the name in one spelling: many upstreams read `-` and `_` alike";
                self.problems
                    .add(&name.span, ProblemCode::HeaderConflict, message, help);
            } else {
                compared.push(header);
            }
        }
        for condition in routes.iter().flat_map(|route| conditions_of(&route.value)) {
            self.no_credential(condition, &compared);
        }
        compared
    }
}

impl Compiler<'_> {
    /// Notes a credential that would be compared with a value in the file. Causes show that value, in the log as well.
    fn no_credential(&mut self, condition: &ConditionDocument, compared: &[HeaderName]) {
        let is_one = |header: &&Spanned<String>| {
            let is_compared = compared
                .iter()
                .any(|name| header.value.eq_ignore_ascii_case(name.as_str()));
            is_compared && is_credential(&header.value)
        };
        let Some(header) = condition.header.as_ref().filter(is_one) else {
            return;
        };
        let several = condition.r#in.iter().flat_map(|List(several)| several);
        let values: Vec<_> = condition.equals.iter().chain(several).collect();
        if values.is_empty() {
            return;
        }
        for value in values {
            self.problems.hide(value.span.clone());
        }
        let name = &header.value;
        let message = format!("`{name}` is a credential, and the value that it must have stands in this file");
        let help = format!(
            "write `internal_key: {{ header: {name}, keys: [{{ name: …, secret: {{ env: NAME }} }}] }}`, and \
             `auth: internal_key`"
        );
        self.problems
            .add(&header.span, ProblemCode::SecretInFile, message, help);
    }
}

/// Whether the name of a header speaks of a credential.
fn is_credential(header: &str) -> bool {
    is_secret_key(header) || header.to_ascii_lowercase().ends_with("-key")
}

/// The headers that the conditions of a route compare, as they are written.
pub(in crate::policy::compile) fn headers_of(route: &RouteDocument) -> impl Iterator<Item = &Spanned<String>> {
    conditions_of(route).filter_map(|condition| condition.header.as_ref())
}

fn conditions_of(route: &RouteDocument) -> impl Iterator<Item = &ConditionDocument> {
    let conditions = route.when.iter().flat_map(|List(conditions)| conditions);
    conditions.map(|condition| &condition.value)
}
