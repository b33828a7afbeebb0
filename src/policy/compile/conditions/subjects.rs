//! The headers that conditions compare. They become identity headers of the policy: a client's own reach the service
//! only where a route verified them or passes them.

use http::HeaderName;

use crate::document::collections::List;
use crate::document::decode::Spanned;
use crate::document::problem::ProblemCode;
use crate::policy::compile::compiler::Compiler;
use crate::policy::document::RouteDocument;
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
        compared
    }
}

/// The headers that the conditions of a route compare, as they are written.
pub(in crate::policy::compile) fn headers_of(route: &RouteDocument) -> impl Iterator<Item = &Spanned<String>> {
    let conditions = route.when.iter().flat_map(|List(conditions)| conditions);
    conditions.filter_map(|condition| condition.value.header.as_ref())
}
