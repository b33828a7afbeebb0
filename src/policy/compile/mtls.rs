//! The client certificates that a policy takes, by a name in them.

use super::compiler::Compiler;
use crate::document::collections::List;
use crate::document::decode::{Spanned, not_one_of};
use crate::document::problem::ProblemCode;
use crate::policy::certificate::CertificateName;
use crate::policy::document::{CertificateNameDocument, MtlsDocument};

impl Compiler<'_> {
    pub(super) fn certificates(&mut self, mtls: MtlsDocument) -> Vec<CertificateName> {
        let List(names) = mtls.allow;
        names
            .into_iter()
            .filter_map(|name| self.certificate_name(name))
            .collect()
    }

    fn certificate_name(&mut self, name: Spanned<CertificateNameDocument>) -> Option<CertificateName> {
        let found = match name.value {
            CertificateNameDocument {
                uri: Some(uri),
                dns: None,
                cn: None,
            } => {
                let parts = uri.value.split('/').any(|part| part.contains('*') && part != "*");
                if !uri.value.contains(':') || parts || uri.value.starts_with("spiffe://*") {
                    let message = format!(
                        "`{}` is not a URI in which `*` stands for whole segments of the path",
                        uri.value
                    );
                    let help = "write it as in `spiffe://example.org/ns/*/sa/jobs`";
                    self.problems
                        .add(&uri.span, ProblemCode::InvalidCertificateName, message, help);
                }
                CertificateName::Uri(uri.value)
            }
            CertificateNameDocument {
                uri: None,
                dns: Some(dns),
                cn: None,
            } => {
                self.exact_name("a DNS name", &dns);
                CertificateName::Dns(dns.value)
            }
            CertificateNameDocument {
                uri: None,
                dns: None,
                cn: Some(cn),
            } => {
                self.exact_name("a common name", &cn);
                CertificateName::CommonName(cn.value)
            }
            CertificateNameDocument { uri, dns, cn } => {
                let found = [uri.is_some(), dns.is_some(), cn.is_some()];
                let found = found.into_iter().filter(|is_written| *is_written).count();
                let help = "write one name an item, as in `- dns: jobs.internal`";
                not_one_of(&name.span, &["uri", "dns", "cn"], found, help, self.problems);
                return None;
            }
        };
        Some(found)
    }

    fn exact_name(&mut self, what: &str, name: &Spanned<String>) {
        if name.value.contains('*') {
            let message = format!("{what} is matched exactly, and `{}` has a `*`", name.value);
            let help = "write each name out; only a `uri` may have `*` for a segment of its path";
            self.problems
                .add(&name.span, ProblemCode::InvalidCertificateName, message, help);
        }
    }
}
