//! `sidegate explain`: the decision on one request, by the same code that the proxy runs.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueEnum};
use http::header::{AUTHORIZATION, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::format::text_or_json;
use super::output::{could_not_run, print, print_error, print_json};
use super::run::{ServerOptions, refuse_to_start};
use super::value_parsers::time;
use super::{Exit, Format};
use crate::authn::sources;
use crate::config::ServerConfig;
use crate::credential::ClientCertificate;
use crate::decision::{Evaluator, decide};
use crate::document::environment::Environment;
use crate::document::pem::PemFile;
use crate::document::problem::{Problem, ProblemCode};
use crate::document::tls_material::certificates;
use crate::jwks::KeySources;
use crate::jwks::proxy::KeyProxy;
use crate::policy_files::{LoadError, ProcessEnvironment};
use crate::rehearsal::{Rehearsal, Request, ThrowawayKeys};
use crate::request::{self, Body, Downstream, RequestFacts};
use crate::revocation::Revocations;
use crate::tls::client_certificate;

mod claims;
mod report;

use claims::{MadeToken, add_token};
use report::{Report, Steps};

/// The host of a request that names none.
const ASSUMED_HOST: &str = "localhost";

#[derive(Debug, Args)]
pub(super) struct Explain {
    /// The method, as in `GET`
    method: Method,
    /// The path, with or without a query
    path: String,
    /// A header of the request; can be repeated. Without a host, it is `localhost`
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// A bearer token, without `Bearer`, or `@FILE` to read it from a file
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
    /// The claims of a token, as JSON, or `@FILE` to read them from a file: the request has a token with them, as if an issuer of
    /// the policy signed it. `iss`, the audience, `iat` and `exp` are added where they are missing; a claim that is
    /// `null` is `null` in the token. Then no secret and no URL of the policies is read
    #[arg(long, value_name = "JSON", conflicts_with = "token")]
    claims: Option<String>,
    /// The issuer of the claims, if the policy has several and `iss` is not among the claims
    #[arg(long, value_name = "ISSUER", requires = "claims")]
    issuer: Option<String>,
    /// Read no secret and no URL of the policies, as with `--claims`. A token or key of the request is then a wrong one
    #[arg(long)]
    without_secrets: bool,
    /// The client certificate that the handshake would have verified
    #[arg(long, value_name = "PEM")]
    client_cert: Option<PathBuf>,
    /// The scheme of the connection [default: https if every listener has `tls`, and with `--client-cert`; otherwise http]
    #[arg(long, value_enum)]
    scheme: Option<Scheme>,
    /// The configuration of the process, for its policies, listeners, limits and default errors
    /// [default: sidegate.yaml, if it exists]
    #[arg(long, env = "SIDEGATE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// A policy file, or a folder of them [default: what the configuration says]
    #[arg(long, env = "SIDEGATE_POLICIES", value_name = "DIR|FILE")]
    policies: Option<PathBuf>,
    /// The time of the request, as in `2026-02-24T12:00:00Z`, or in seconds since the epoch
    /// [default: now]
    #[arg(long, value_name = "TIME", value_parser = time)]
    at: Option<Timestamp>,
    /// The address that the request comes from [default: none, as on a unix socket]
    #[arg(long, value_name = "ADDRESS")]
    client: Option<IpAddr>,
    /// Show the values of claims and headers that conditions compare, not only their kinds
    #[arg(long)]
    show_values: bool,
    /// The form of the report
    #[arg(long, value_parser = text_or_json(), default_value = "text")]
    output: Format,
}

/// The scheme of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Scheme {
    /// In clear text
    Http,
    /// With TLS
    Https,
}

impl Explain {
    pub(super) fn execute(self) -> Exit {
        if self.client_cert.is_some() && self.scheme == Some(Scheme::Http) {
            return could_not_run("`--client-cert` needs TLS: leave out `--scheme http`".to_owned());
        }
        let (headers, certificate) = match (self.header_map(), self.certificate()) {
            (Ok(headers), Ok(certificate)) => (headers, certificate),
            (Err(error), _) | (_, Err(error)) => return could_not_run(error),
        };
        let request = Request {
            headers,
            certificate,
            now: self.at.unwrap_or_else(Timestamp::now).as_second(),
            ..Request::new(self.method.clone(), self.path.clone(), ASSUMED_HOST, 0)
        };
        match self.claims.as_deref().map(claims::read) {
            Some(Ok(claims)) => self.with_claims(request, Some(claims)),
            Some(Err(error)) => could_not_run(error),
            None if self.without_secrets => self.with_claims(request, None),
            None => self.with_keys(&request),
        }
    }

    /// Explains a request by the policies and keys that the proxy would have.
    fn with_keys(&self, request: &Request) -> Exit {
        let (config, policies) = match self.options().load_with_policies(|_| Vec::new()) {
            Ok((config, loaded)) => (config, Arc::new(loaded.policies)),
            Err(error) => {
                let is_secret = needs_secrets(&error);
                let exit = refuse_to_start(error);
                if is_secret {
                    print_error(
                        "set it, or use `--without-secrets` or `--claims`, which read no variable and no file of a secret",
                    );
                }
                return exit;
            }
        };
        let evaluator = Evaluator::new(policies);
        if has_token(&evaluator, request) {
            match KeyProxy::from_process() {
                Ok(proxy) => fetch_keys(&evaluator, proxy),
                Err(error) => return could_not_run(error),
            }
        }
        self.report((&evaluator, &config), request, None)
    }

    /// Explains a request by policies whose secrets are not read, perhaps with a token that is made for it.
    fn with_claims(&self, mut request: Request, claims: Option<Map<String, Value>>) -> Exit {
        let keys = Arc::new(ThrowawayKeys::new());
        let (config, policies) = match self.options().load_without_secrets(&keys) {
            Ok((config, loaded)) => (config, Arc::new(loaded.policies)),
            Err(error) => return refuse_to_start(error),
        };
        let rehearsal = Rehearsal::new(policies, &keys);
        let made = match claims {
            Some(claims) => add_token(&rehearsal, &mut request, claims, self.issuer.as_deref()),
            None => Ok(None),
        };
        match made {
            Ok(made) => self.report((rehearsal.evaluator(), &config), &request, made),
            Err(error) => could_not_run(error),
        }
    }

    fn options(&self) -> ServerOptions {
        ServerOptions::of_files(self.config.clone(), self.policies.clone())
    }

    fn report(
        &self,
        (evaluator, config): (&Evaluator, &ServerConfig),
        request: &Request,
        made: Option<MadeToken>,
    ) -> Exit {
        let certificate = request.certificate.as_ref();
        let facts = RequestFacts {
            downstream: Downstream {
                tls: certificate.is_some() || self.is_https(config),
                trusted: self.client.is_some_and(|peer| trusts(config, peer)),
                peer: self.client.map(|address| address.to_canonical()),
                ..Downstream::default()
            },
            trusted_proxies: &config.trusted_proxies,
            body: request::body(&request.headers).unwrap_or(Body::None),
            limits: config.limits.request,
            ..request.facts()
        };
        let mut steps = Steps::new(self.show_values, made);
        let decision = decide(evaluator, &facts, Revocations::Unasked, &mut steps);
        let now = self.at.unwrap_or_else(Timestamp::now);
        let report = Report::of(&decision, steps, evaluator.policies(), &facts, now);
        match self.output {
            Format::Json => print_json(&report),
            _ => print(&report.text()),
        }
        let mut policies = evaluator.policies().policies().iter();
        let by_host = policies.any(|policy| !policy.hosts.is_empty());
        if by_host && report.misses_route() && !self.names_host() {
            print_error(format!(
                "no host is given, so it is `{ASSUMED_HOST}`; name one with `-H 'host: NAME'`"
            ));
        }
        if report.is_rejected() { Exit::No } else { Exit::Fine }
    }

    /// Whether the connection has TLS.
    fn is_https(&self, config: &ServerConfig) -> bool {
        self.scheme.map_or_else(
            || !config.listeners.is_empty() && config.listeners.iter().all(|listener| listener.tls.is_some()),
            |scheme| scheme == Scheme::Https,
        )
    }

    fn names_host(&self) -> bool {
        let mut names = self.headers.iter().filter_map(|text| text.split(':').next());
        names.any(|name| name.trim().eq_ignore_ascii_case(HOST.as_str()))
    }

    fn header_map(&self) -> Result<HeaderMap, String> {
        let mut headers = HeaderMap::new();
        for text in &self.headers {
            let (name, value) = text
                .split_once(':')
                .ok_or_else(|| format!("`{text}` is not a header: write `name: value`"))?;
            let name: HeaderName = name
                .trim()
                .parse()
                .map_err(|_| format!("`{name}` is not a header name"))?;
            let value: HeaderValue = value
                .trim()
                .parse()
                .map_err(|_| format!("the value of `{name}` is not a valid header value"))?;
            headers.append(name, value);
        }
        if let Some(token) = &self.token {
            let token = match token.strip_prefix('@') {
                Some(file) => {
                    let bytes = ProcessEnvironment.file(Path::new(file));
                    let bytes = bytes.map_err(|error| format!("`{file}` cannot be read: {error}"))?;
                    String::from_utf8(bytes).map_err(|_| format!("`{file}` is not UTF-8"))?
                }
                None => token.clone(),
            };
            if token.trim_start().starts_with("Bearer ") {
                return Err("`--token` takes the token alone: leave out `Bearer`".to_owned());
            }
            let value = format!("Bearer {}", token.trim());
            headers.append(
                AUTHORIZATION,
                value.parse().map_err(|_| "the token is not a valid header value")?,
            );
        }
        headers.entry(HOST).or_insert(HeaderValue::from_static(ASSUMED_HOST));
        Ok(headers)
    }

    fn certificate(&self) -> Result<Option<ClientCertificate>, String> {
        self.client_cert.as_deref().map(read_certificate).transpose()
    }
}

/// Whether policies lack a variable or a file that they name, so that they can only be read without.
fn needs_secrets(error: &LoadError) -> bool {
    let is_missing = |problem: &Problem| {
        matches!(
            problem.code(),
            ProblemCode::VariableNotSet | ProblemCode::NamedFileUnreadable
        )
    };
    matches!(error, LoadError::Wrong(problems) if problems.iter().any(is_missing))
}

/// Whether the request has a token in a place that any of the policies reads.
fn has_token(evaluator: &Evaluator, request: &Request) -> bool {
    let mut policies = evaluator.policies().policies().iter();
    policies.any(|policy| sources::has_any(&policy.sources, &request.facts()))
}

fn trusts(config: &ServerConfig, peer: IpAddr) -> bool {
    config
        .trusted_proxies
        .iter()
        .any(|network| network.contains(&peer.to_canonical()))
}

fn read_certificate(path: &Path) -> Result<ClientCertificate, String> {
    let shown = path.display();
    let pem = ProcessEnvironment
        .file(path)
        .map_err(|error| format!("`{shown}` cannot be read: {error}"))?;
    let name = shown.to_string();
    let found = certificates(PemFile {
        name: &name,
        bytes: &pem,
    });
    let found = found.map_err(|fault| fault.message)?;
    let first = found.first().and_then(|(_, der)| client_certificate(der));
    first.ok_or_else(|| format!("the certificate in `{shown}` cannot be read"))
}

/// Fetches the key sets that the proxy would hold by now. A failed fetch shows in the decision.
fn fetch_keys(evaluator: &Evaluator, proxy: KeyProxy) {
    for issuer in KeySources::once(evaluator, proxy).unwrap_or_default() {
        if let Some(Err(error)) = issuer.last {
            print_error(format!("failed to fetch the keys of `{}`: {error}", issuer.issuer));
        }
    }
}
