//! A policy document to a [`Policy`]: names resolved, secrets and keys read, contradictions found.
//! Every problem is noted; a policy comes out only where there is none.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use http::HeaderName;

use super::document::{
    AllowedAmbiguity, CaseReading, ContentTypesDocument, CredentialsMode, EncodedSlashReading, ErrorsDocument,
    PathsDocument, PolicyDocument, StreamsDocument, TenantDocument, TenantFormat,
};
use super::identity::INTERNAL_KEY;
use super::internal_key::InternalKeys;
use super::origin::Origin;
use super::route::path_texts::check_prefix;
use super::router::Router;
use super::stream_rule::StreamRule;
use super::tenant::TenantRule;
use super::{ErrorFormat, ErrorStyle, HostPattern, PathCase, Policy, RoleHierarchy};
use crate::document::characters::unseen;
use crate::document::collections::{List, Map};
use crate::document::decode::{FromNode, Spanned};
use crate::document::environment::Environment;
use crate::document::problem::{Location, Problem, ProblemCode, Problems, SourceFile};
use crate::document::yaml::Value;
use crate::request::is_host;
use crate::request::names::fold;
use crate::request::path::{Allowance, EncodedSlash};

mod algorithm_hint;
mod compiler;
mod conditions;
mod cors;
pub mod error_style;
mod foreign;
mod headers;
mod internal_key;
mod issuer_names;
mod jwt;
mod lints;
mod mtls;
mod pass;
mod remote;
mod resource;
mod route_conflicts;
mod route_defaults;
mod routes;
mod store_rules;
mod token_rules;
mod token_sources;
mod upstream;
mod web_lints;
mod wildcard_overlap;

use compiler::{ASCII_OR_EXACT, Compiler, NOT_FOLDED};
use foreign::foreign;
use lints::{Declared, lints};
use route_defaults::RouteDefaults;

/// The most roles in a hierarchy: each is kept with all that it brings along.
const MAX_ROLES: usize = 256;

/// Reads a policy whole, or reports everything that is wrong with it.
pub fn parse(source: &Arc<SourceFile>, environment: &dyn Environment) -> Result<Policy, Vec<Problem>> {
    let mut problems = Problems::of(Arc::clone(source));
    let policy = crate::document::read(&mut problems).and_then(|node| {
        let declared: Declared = match &node.value {
            Value::Mapping(entries) => entries.iter().map(|(key, _)| key.clone()).collect(),
            _ => Declared::new(),
        };
        if let Some(fault) = foreign(&node, &source.name) {
            let start = node.span.start;
            problems.add_fault(&(start..start), &fault);
            return None;
        }
        let document = PolicyDocument::from_node(&node, &mut problems).ok()?;
        let written = document.clone();
        let mut compiler = Compiler {
            problems: &mut problems,
            environment,
            declared: &declared,
            lints: Vec::new(),
        };
        let policy = compiler.policy(document)?;
        let mut found = std::mem::take(&mut compiler.lints);
        found.extend(lints(&written, &policy, &declared, source));
        Some(Policy {
            lints: Origin(found),
            ..policy
        })
    });
    match policy {
        Some(policy) if !problems.has_errors() => Ok(Policy {
            warnings: Origin(problems.into_sorted()),
            ..policy
        }),
        _ => {
            if !problems.has_errors() {
                let help = "write `version`, `service`, `upstream` and `routes`";
                problems.add(&(0..0), ProblemCode::WrongType, "the policy cannot be read", help);
            }
            Err(problems.into_sorted())
        }
    }
}

/// Returns how long streams may be silent.
fn stream_rule(document: Option<StreamsDocument>) -> StreamRule {
    let idle_timeout = document.and_then(|streams| streams.idle_timeout);
    idle_timeout.map_or_else(StreamRule::default, |timeout| StreamRule {
        idle_timeout: timeout.0,
    })
}

impl Compiler<'_> {
    fn policy(&mut self, document: PolicyDocument) -> Option<Policy> {
        self.version(&document.version);
        self.service(&document.service);
        let prefix = self.prefix(document.prefix.as_ref());
        let tenant = document.tenant.and_then(|tenant| self.tenant(tenant));
        let mut internal_keys = document.internal_key.and_then(|keys| self.internal_keys(keys));
        self.tell_apart(tenant.as_ref(), internal_keys.as_ref(), &document.service.span);
        let errors = self.errors(document.errors, &document.service.value);
        let cors = document.cors.map(|cors| self.cors(cors));
        let (case, allowance) = self.paths(document.paths);
        let tenant_header = tenant.as_ref().map(|tenant| tenant.header.clone());
        let mut identity = self.identity(document.identity, tenant_header.as_ref());
        let key_header = internal_keys.as_ref().map_or(&INTERNAL_KEY, |keys| &keys.header);
        let sources = document.jwt.as_ref().and_then(|jwt| jwt.sources.as_ref());
        let sources = self.token_sources(sources, (&identity, key_header));
        identity.own_too(sources.read.headers.iter().map(|name| fold(name.as_str())));
        let compared = self.compared_headers(&document.routes, &identity, key_header);
        identity.own_too(compared.iter().map(|name| fold(name.as_str())));
        if let Some(keys) = &mut internal_keys {
            keys.prepare(&identity);
        }
        let revocation = document.revocation.map(|revocation| self.revocation(&revocation));
        let idempotency = document.idempotency.map(|idempotency| self.idempotency(idempotency));
        let quotas = document.quotas.map(|quotas| self.quotas(quotas)).unwrap_or_default();
        let mut defaults = RouteDefaults {
            prefix: &prefix,
            has_tenant: tenant.is_some(),
            tenant_header: tenant_header.unwrap_or(HeaderName::from_static("x-tenant-id")),
            key_header: internal_keys.as_ref().map(|keys| &keys.header),
            identity: &identity,
            compared: &compared,
            pass: Vec::new(),
            mode: document.mode,
            content_types: self.content_types(document.content_types),
            idempotency,
            quotas,
            case,
            sandbox: document.sandbox.as_ref().is_some_and(|sandbox| sandbox.value),
            roles: role_names(document.roles.as_ref()),
        };
        defaults.pass = self.policy_pass(document.pass, &defaults);
        self.prefix_folds(document.prefix.as_ref(), case);
        let routes = self.routes(document.routes, &defaults);
        self.sandbox_has_quotas(document.sandbox.as_ref(), &routes);
        let upstream = self.upstream(&document.upstream);
        let upstream_host = upstream
            .as_ref()
            .and_then(|upstream| self.upstream_host(document.upstream.host.as_ref(), &upstream.address));
        let forwarded_prefix = self.forwarded_prefix(document.upstream.strip_prefix.as_ref(), &prefix);
        let hosts = self.hosts(document.hosts);
        let issuers = document.jwt.map(|jwt| self.issuers(jwt)).unwrap_or_default();
        let forward_authorization =
            self.forwards_authorization(document.credentials.as_ref(), document.resource.is_some(), &sources);
        let resource = document
            .resource
            .and_then(|resource| self.resource(resource, &issuers, &sources));
        let certificates = document.mtls.map(|mtls| self.certificates(mtls)).unwrap_or_default();
        Some(Policy {
            service: document.service.value,
            prefix,
            hosts,
            upstream: upstream?,
            streams: stream_rule(document.streams),
            errors,
            cors,
            resource,
            issuers,
            sources,
            tenant,
            internal_keys,
            certificates,
            roles: self.roles(document.roles),
            case,
            allowance,
            forwarded_prefix,
            upstream_host,
            forward_authorization,
            forward_internal_key: document
                .credentials
                .is_some_and(|credentials| credentials.value == CredentialsMode::Forward),
            identity,
            compared,
            revocation,
            router: Router::new(&routes, case),
            routes,
            file: Origin(self.problems.source().name.clone()),
            warnings: Origin::default(),
            lints: Origin::default(),
            upstream_location: Origin(Location::new(self.problems.source(), &document.upstream.url.span)),
        })
    }

    /// Decides how paths are read.
    fn paths(&mut self, paths: Option<PathsDocument>) -> (PathCase, Allowance) {
        let Some(paths) = paths else {
            return (self.case(false, None), Allowance::default());
        };
        let allowance = self.allowance(paths.allow, paths.encoded_slash.as_ref());
        let case = self.case(paths.case_insensitive.unwrap_or(false), paths.case.as_ref());
        (case, allowance)
    }

    fn version(&mut self, version: &Spanned<u32>) {
        if version.value != 1 {
            let found = version.value;
            let message = format!("version {found} of the format is unknown");
            self.problems.add(
                &version.span,
                ProblemCode::UnsupportedVersion,
                message,
                "write `version: 1`",
            );
        }
    }

    fn service(&mut self, service: &Spanned<String>) {
        let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        // What cannot be seen has been reported.
        if service.value.trim().is_empty() || unseen(&service.value).is_some() {
            return;
        }
        if !service.value.chars().all(fine) {
            let message = "the name of a service has letters, digits, `-`, `_` and `.` only";
            let help = format!("write `{}`", plain_name(&service.value, "my-service"));
            self.problems
                .add(&service.span, ProblemCode::InvalidName, message, help);
        }
    }

    fn prefix(&mut self, prefix: Option<&Spanned<String>>) -> String {
        let Some(prefix) = prefix else {
            return String::new();
        };
        if let Err(fault) = check_prefix(&prefix.value) {
            self.problems.add_fault(&prefix.span, &fault);
        }
        prefix.value.trim_end_matches('/').to_owned()
    }

    /// Decides how case is read; a service either ignores it or tells it apart.
    fn case(&mut self, insensitive: bool, exact: Option<&Spanned<CaseReading>>) -> PathCase {
        match (insensitive, exact) {
            (false, None) => PathCase::Unambiguous,
            (true, None) => PathCase::Insensitive,
            (false, Some(_)) => PathCase::Exact,
            (true, Some(exact)) => {
                let message = "`case: exact` contradicts `case_insensitive: true`";
                self.problems.add(
                    &exact.span,
                    ProblemCode::CaseContradiction,
                    message,
                    "leave one of them out",
                );
                PathCase::Unambiguous
            }
        }
    }

    /// Decides which ambiguous paths are let through; a `%2F` is either a part of a segment or may be a separator.
    fn allowance(
        &mut self,
        allow: Option<List<AllowedAmbiguity>>,
        slash: Option<&Spanned<EncodedSlashReading>>,
    ) -> Allowance {
        let allow = allow.map(|List(allow)| allow).unwrap_or_default();
        let either = allow.contains(&AllowedAmbiguity::EncodedSlash);
        if let Some(slash) = slash.filter(|_| either) {
            let message = "`encoded_slash: opaque` contradicts `allow: [encoded_slash]`";
            let help = "keep `encoded_slash: opaque` if the service does not decode `%2F`, else the word in `allow`";
            self.problems
                .add(&slash.span, ProblemCode::PathsContradiction, message, help);
        }
        Allowance {
            double_slash: allow.contains(&AllowedAmbiguity::DoubleSlash),
            semicolon: allow.contains(&AllowedAmbiguity::Semicolon),
            encoded_slash: match slash {
                Some(_) => EncodedSlash::Opaque,
                None if either => EncodedSlash::Either,
                None => EncodedSlash::Ambiguous,
            },
            encoded_percent: allow.contains(&AllowedAmbiguity::EncodedPercent),
            encoded_delimiter: allow.contains(&AllowedAmbiguity::EncodedDelimiter),
        }
    }

    /// Only ASCII letters have one other case, whoever folds them.
    fn prefix_folds(&mut self, prefix: Option<&Spanned<String>>, case: PathCase) {
        let folds = case == PathCase::Insensitive;
        if let Some(prefix) = prefix.filter(|prefix| folds && !prefix.value.is_ascii()) {
            self.problems
                .add(&prefix.span, ProblemCode::CaseContradiction, NOT_FOLDED, ASCII_OR_EXACT);
        }
    }

    fn hosts(&mut self, hosts: Option<List<Spanned<String>>>) -> Vec<HostPattern> {
        let mut patterns = Vec::new();
        for host in hosts.map(|List(hosts)| hosts).unwrap_or_default() {
            let written = host.value.to_ascii_lowercase();
            let (pattern, name) = match written.strip_prefix("*.") {
                Some(name) => (HostPattern::Suffix(format!(".{name}")), name),
                None => (HostPattern::Exact(written.clone()), written.as_str()),
            };
            if !is_host(name) || name.ends_with('.') {
                let message = format!("`{}` is not a host", host.value);
                self.problems
                    .add(&host.span, ProblemCode::InvalidHost, message, host_help(&written));
            }
            patterns.push(pattern);
        }
        patterns
    }

    fn errors(&mut self, errors: Option<ErrorsDocument>, service: &str) -> ErrorStyle {
        let prefix = || format!("ERR_{}", service.to_uppercase().replace(['-', '.'], "_"));
        match errors {
            Some(errors) => error_style::check(errors, prefix, self.problems),
            None => ErrorStyle::new(ErrorFormat::Flat, prefix()),
        }
    }

    fn tenant(&mut self, tenant: TenantDocument) -> Option<TenantRule> {
        let header = self.header_name(tenant.header, "x-tenant-id")?;
        let List(claims) = tenant.claims;
        Some(TenantRule {
            header,
            claims: claims.into_iter().map(|path| self.claim_path(Some(path), "")).collect(),
            format: tenant.format.unwrap_or(TenantFormat::Uuid),
            lists: tenant.lists.unwrap_or(false),
            header_required: tenant.header_required.unwrap_or(true),
        })
    }

    /// A tenant is no secret, so it cannot be the key.
    fn tell_apart(&mut self, tenant: Option<&TenantRule>, keys: Option<&InternalKeys>, span: &Range<usize>) {
        if let (Some(tenant), Some(keys)) = (tenant, keys)
            && tenant.header == keys.header
        {
            let message = format!("`{}` is both the tenant header and the internal key's", keys.header);
            let help = "give one of them another `header`";
            self.problems.add(span, ProblemCode::HeaderConflict, message, help);
        }
    }

    fn roles(&mut self, roles: Option<Map<List<Spanned<String>>>>) -> RoleHierarchy {
        let names: BTreeSet<String> = role_names(roles.as_ref()).into_iter().collect();
        let Some(Map(entries)) = roles else {
            return RoleHierarchy::default();
        };
        if let Some((first, _)) = entries.first().filter(|_| names.len() > MAX_ROLES) {
            let message = format!("`roles` names {} roles, and {MAX_ROLES} are possible", names.len());
            let help = "name only roles that bring others along";
            self.problems.add(&first.span, ProblemCode::TooLarge, message, help);
            return RoleHierarchy::default();
        }
        let names = |List(names): List<Spanned<String>>| names.into_iter().map(|name| name.value).collect();
        let direct: Vec<_> = entries
            .into_iter()
            .map(|(role, brings)| (role.value, names(brings)))
            .collect();
        RoleHierarchy::new(&direct)
    }

    fn content_types(&mut self, types: Option<ContentTypesDocument>) -> Vec<String> {
        let Some(ContentTypesDocument::OneOf(types)) = types else {
            return Vec::new();
        };
        let mut read = Vec::new();
        for media in types {
            let token = |part: &str| !part.is_empty() && HeaderName::from_bytes(part.as_bytes()).is_ok();
            match media.value.split_once('/') {
                _ if media.value.contains('*') => {
                    let message = format!(
                        "`{}` would match no request: media types have no wildcards here",
                        media.value
                    );
                    let help = "list the types, as in `[application/json, application/xml]`, or write `any`";
                    self.problems
                        .add(&media.span, ProblemCode::InvalidMediaType, message, help);
                }
                Some((kind, subtype)) if token(kind) && token(subtype) => read.push(media.value.to_ascii_lowercase()),
                Some((kind, rest)) if token(kind) && rest.contains(';') => {
                    let message = format!(
                        "`{}` has parameters, and those of a request are not compared",
                        media.value
                    );
                    let bare = media.value.split(';').next().unwrap_or_default().trim_end();
                    let help = format!("write `{bare}`");
                    self.problems
                        .add(&media.span, ProblemCode::InvalidMediaType, message, help);
                }
                _ => {
                    let message = format!("`{}` is not a media type", media.value);
                    let help = "write a type and a subtype, such as `application/json`";
                    self.problems
                        .add(&media.span, ProblemCode::InvalidMediaType, message, help);
                }
            }
        }
        read
    }
}

/// A name with the allowed characters alone, as near to what is written as that is.
fn plain_name(written: &str, default: &str) -> String {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let name: String = written.chars().map(|c| if fine(c) { c } else { '-' }).collect();
    match name.trim_matches('-') {
        "" => default.to_owned(),
        name => name.to_owned(),
    }
}

/// How a host is written: without scheme, port and path.
fn host_help(written: &str) -> String {
    let name = written.split_once("://").map_or(written, |(_, rest)| rest);
    let name = name.split(['/', ':']).next().unwrap_or_default();
    let bare = name.strip_prefix("*.").unwrap_or(name);
    match is_host(bare) && !bare.ends_with('.') && bare.contains('.') {
        true => format!("write `{name}`, without scheme and port"),
        false => "write `api.example.com` or `*.example.com`, without scheme and port".to_owned(),
    }
}

fn role_names(roles: Option<&Map<List<Spanned<String>>>>) -> Vec<String> {
    let entries = roles.iter().flat_map(|Map(entries)| entries);
    let names = entries.flat_map(|(role, List(brings))| std::iter::once(role).chain(brings));
    names.map(|name| name.value.clone()).collect()
}

#[cfg(test)]
mod tests;
