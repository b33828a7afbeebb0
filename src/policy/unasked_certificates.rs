//! What needs client certificates, where no listener asks for them.

use super::{BindingMode, Issuer, Policy};
use crate::document::problem::{Fault, Problem, ProblemCode};
use crate::principal::AuthMethod;

impl Policy {
    /// Warns of what needs client certificates, for a process of which no listener asks for them.
    pub fn unasked_certificates(&self) -> impl Iterator<Item = Problem> {
        let routes = self.routes.iter();
        let routes = routes.filter(|route| route.authentication.methods().contains(&AuthMethod::Mtls));
        let routes = routes.map(|route| (&*route.location, "the route takes client certificates"));
        let required = |issuer: &&Issuer| issuer.binding == BindingMode::Required;
        let issuers = self.issuers.iter().filter(required);
        let issuers = issuers.filter_map(|issuer| issuer.binding_location.as_ref());
        let issuers = issuers.map(|location| (location, "tokens must be bound to a client certificate"));
        routes.chain(issuers).map(|(location, what)| {
            let message = format!("{what}, and no listener has a `client_ca` to ask for one");
            let help = "give a listener in `sidegate.yaml` a `tls.client_ca`";
            Problem::warning(
                location.clone(),
                &Fault::new(ProblemCode::CertificatesNotAsked, message, help),
            )
        })
    }
}
