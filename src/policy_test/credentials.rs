//! What a caller has to show to a policy: its token by the issuer of that policy, its key under the header of that policy.

use http::{HeaderName, HeaderValue};
use serde_json::{Map, Value as Json, json};

use super::callers::CallerPlan;
use super::document::{
    BoundDocument, CertificateDocument, ClaimDocument, ClaimsDocument, CorruptionDocument, PlaceDocument,
    TextsDocument, relative, without_null,
};
use super::thumbprint::thumbprint;
use crate::credential::ClientCertificate;
use crate::document::decode::Spanned;
use crate::document::problem::{ProblemCode, Problems, Reported};
use crate::document::suggestion::suggest;
use crate::policy::condition::{ClaimTest, Condition};
use crate::policy::token_sources::SourceKind;
use crate::policy::{Issuer, Policy, PolicySet};
use crate::rehearsal::claims::{completed, missing};
use crate::rehearsal::{Caller, Corruption, PresentedKey, Token, TokenPlace};

/// The word for a key that no policy has.
const UNKNOWN: &str = "unknown";

/// The name of a place that a policy does not read, where a caller names only its kind.
const UNREAD: &str = "token";

/// How long a certificate is valid if a test does not say it, in seconds.
const CERTIFICATE_LIFETIME: i64 = 3600;

/// The claims that are times in every token.
const TIMES: [&str; 4] = ["exp", "nbf", "iat", "auth_time"];

/// Why a caller is shown to a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A test expects something of it: what could prove nothing there is a problem.
    Tested,
    /// A test expects its token to be of another issuer.
    TestedAsForeign,
    /// To see what the policy answers, whether or not the caller is made for this policy.
    Asked,
}

/// What a caller adds to a request for one policy.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    /// What is added.
    pub caller: Caller,
    /// The `jti` of its token, if that is revoked.
    pub revoked: Option<String>,
}

/// What the tests of a file know of its policies.
#[derive(Debug, Clone, Copy)]
pub struct Setting<'p> {
    /// The policies.
    pub policies: &'p PolicySet,
    /// The time of the requests.
    pub at: i64,
}

impl<'p> Setting<'p> {
    /// Makes what a caller shows to a policy, by its place in the set.
    pub fn credentials(
        self,
        plan: &CallerPlan,
        (policy, purpose): (Option<usize>, Purpose),
        problems: &mut Problems,
    ) -> Result<Credentials, Reported> {
        let policy = policy.and_then(|index| self.policies.get(index));
        let certificate = plan.certificate.as_ref().map(|document| self.certificate(document));
        let mut revoked = None;
        let mut caller = Caller {
            key: self.key(plan, policy, problems)?,
            headers: headers(plan),
            ..Caller::default()
        };
        if let Some(claims) = &plan.token {
            let issuer = self.issuer(plan, claims, (policy, purpose), problems)?;
            let is_read = policy.is_some_and(|policy| !policy.issuers.is_empty());
            let token = issuer
                .map(|issuer| self.token(plan, claims, (issuer, is_read), purpose, problems))
                .transpose()?;
            if let Some(mut token) = token.flatten() {
                let bound = plan.bound.as_ref().map(|bound| bound.value);
                bind(&mut token.claims, bound, certificate.as_ref());
                revoked = revoke(plan, &mut token.claims, (policy, purpose), problems)?;
                caller.token = Some(token);
                caller.place = place(plan, (policy, purpose), problems)?;
            }
        }
        caller.certificate = certificate;
        Ok(Credentials { caller, revoked })
    }

    /// Finds the internal key by its name: in the policy, otherwise in another one of the set.
    fn key(
        self,
        plan: &CallerPlan,
        policy: Option<&Policy>,
        problems: &mut Problems,
    ) -> Result<Option<(HeaderName, PresentedKey)>, Reported> {
        let Some(name) = &plan.key else { return Ok(None) };
        let first = policy.into_iter().chain(self.policies.policies());
        let keys = first.filter_map(|policy| policy.internal_keys.as_ref());
        let all: Vec<_> = keys.flat_map(|keys| &keys.keys).collect();
        let presented = match all.iter().find(|key| key.name() == name.value) {
            Some(key) => PresentedKey::Of(key.reference().clone()),
            None if name.value == UNKNOWN => PresentedKey::Unknown,
            None => {
                let message = format!("no policy has an internal key with the name `{}`", name.value);
                let known = all.iter().map(|key| key.name()).chain([UNKNOWN]);
                let help = suggest(&name.value, unique(known));
                return Err(problems.add(&name.span, ProblemCode::NotInPolicies, message, help));
            }
        };
        let header = policy
            .or_else(|| self.policies.policies().first())
            .map(Policy::key_header);
        Ok(header.map(|header| (header.clone(), presented)))
    }

    /// Finds the issuer of the token. A policy without issuers gets the token of another policy, which it does not look at.
    fn issuer(
        self,
        plan: &CallerPlan,
        claims: &ClaimsDocument,
        (policy, purpose): (Option<&'p Policy>, Purpose),
        problems: &mut Problems,
    ) -> Result<Option<&'p Issuer>, Reported> {
        let own = policy.map_or(&[][..], |policy| &policy.issuers);
        let candidates: Vec<_> = match own {
            [] => self
                .policies
                .policies()
                .iter()
                .flat_map(|policy| &policy.issuers)
                .collect(),
            own => own.iter().collect(),
        };
        let first = candidates.first().copied();
        let named = claims.get("iss");
        match named.map(|claim| (claim, &claim.value)) {
            Some((claim, Json::String(name))) => {
                let found = candidates.iter().copied().find(|issuer| has_name(issuer, name));
                match found {
                    Some(issuer) => Ok(Some(issuer)),
                    None if purpose != Purpose::Tested || own.is_empty() => Ok(first),
                    None => Err(unknown_issuer(claim, name, &candidates, problems)),
                }
            }
            None if own.len() > 1 => {
                let service = policy.map(|policy| policy.service.as_str()).unwrap_or_default();
                let message = format!(
                    "the token of `{}` names no issuer, and `{service}` has several",
                    plan.name
                );
                let known: Vec<_> = candidates.iter().flat_map(|issuer| issuer.names.texts()).collect();
                let example = known.first().copied().unwrap_or("…");
                let help = format!("write `iss: {example}` among the claims; known: {}", known.join(", "));
                Err(problems.add(&claims.span, ProblemCode::IssuerNotChosen, message, help))
            }
            Some(_) | None => Ok(first),
        }
    }

    fn token(
        self,
        plan: &CallerPlan,
        claims: &ClaimsDocument,
        (issuer, is_read): (&Issuer, bool),
        purpose: Purpose,
        problems: &mut Problems,
    ) -> Result<Option<Token>, Reported> {
        let mut written = Map::new();
        for claim in &claims.claims {
            let value = self.value(claim, issuer, problems)?;
            written.insert(claim.name.clone(), value);
        }
        // The pattern itself names the issuer, and its placeholders are filled from the claims.
        let pattern = issuer.names.pattern().map(|pattern| pattern.template().text());
        if written
            .get("iss")
            .and_then(Json::as_str)
            .is_some_and(|name| Some(name) == pattern)
        {
            written.remove("iss");
        }
        if let Some(why) = missing(issuer, &written).filter(|_| is_read) {
            let help = "add the claim, or write the whole `iss`";
            return Err(problems.add(&claims.span, ProblemCode::IssuerNotChosen, why, help));
        }
        let token = Token::of(issuer, without_null(completed(issuer, written, self.at)));
        let named = token.as_ref().is_some_and(Token::names_key);
        let by_id = |corrupt: &&Spanned<_>| corrupt.value == CorruptionDocument::KeyId;
        let proves_nothing = is_read && !named && purpose != Purpose::Asked;
        if let Some(corrupt) = plan.corrupt.as_ref().filter(by_id).filter(|_| proves_nothing) {
            let message = format!(
                "the keys of `{}` have no ids, so the id in a token makes no difference",
                issuer.label()
            );
            let help = "write `corrupt: signature`";
            return Err(problems.add(&corrupt.span, ProblemCode::NothingToProve, message, help));
        }
        let corruption = plan.corrupt.as_ref().map(|corrupt| corruption(corrupt.value));
        Ok(token.map(|token| Token { corruption, ..token }))
    }

    /// Reads a claim: a time may be relative to that of the requests.
    fn value(self, claim: &ClaimDocument, issuer: &Issuer, problems: &mut Problems) -> Result<Json, Reported> {
        let mut value = claim.value.clone();
        let mut paths = self.times(&claim.name, issuer);
        if TIMES.contains(&claim.name.as_str()) {
            paths.push(&[]);
        }
        for path in paths {
            let Some(Json::String(text)) = inner(&mut value, path) else {
                continue;
            };
            let Some(time) = relative(text, self.at) else {
                let name = [std::slice::from_ref(&claim.name), path].concat().join(".");
                let message = format!("`{name}` is a time, and `{text}` is not");
                let help = "write `-1s` or `+5m` from the time of the requests, `2026-03-01T12:00:00Z`, or seconds since the epoch";
                return Err(problems.add(&claim.span, ProblemCode::InvalidTime, message, help));
            };
            if let Some(place) = inner(&mut value, path) {
                *place = time;
            }
        }
        Ok(value)
    }

    /// Returns the paths below a claim that conditions read as a time.
    fn times<'i>(self, name: &str, issuer: &'i Issuer) -> Vec<&'i [String]>
    where
        'p: 'i,
    {
        let routes = self.policies.policies().iter().flat_map(|policy| &policy.routes);
        let conditions = routes.flat_map(|route| &route.requirement.conditions);
        let paths = conditions.chain(&issuer.when).filter_map(|condition| match condition {
            Condition::Claim {
                path,
                test: ClaimTest::Within(_),
            } => path.split_first(),
            _ => None,
        });
        paths
            .filter(|(first, _)| *first == name)
            .map(|(_, below)| below)
            .collect()
    }

    fn certificate(self, document: &CertificateDocument) -> ClientCertificate {
        let texts = |names: &Option<TextsDocument>| names.as_ref().map(|names| names.0.clone()).unwrap_or_default();
        let not_after = document.not_after.as_ref();
        let certificate = ClientCertificate {
            uris: texts(&document.uri),
            dns: texts(&document.dns),
            common_names: texts(&document.cn),
            not_after: not_after.map_or(self.at + CERTIFICATE_LIFETIME, |moment| moment.seconds(self.at)),
            refused: (document.refused == Some(true)).then_some("the client certificate is no longer good"),
            thumbprint: None,
        };
        let thumbprint = thumbprint(&certificate).0;
        ClientCertificate {
            thumbprint,
            ..certificate
        }
    }
}

/// The value at the end of a path within another.
fn inner<'v>(value: &'v mut Json, path: &[String]) -> Option<&'v mut Json> {
    path.iter().try_fold(value, |value, name| value.get_mut(name))
}

fn has_name(issuer: &Issuer, name: &str) -> bool {
    let is_unchecked = issuer.names.texts().next().is_none();
    let fits = issuer
        .names
        .pattern()
        .is_some_and(|pattern| pattern.takes(name) || pattern.template().text() == name);
    is_unchecked || issuer.names.has(name) || fits
}

fn unknown_issuer(claim: &ClaimDocument, name: &str, candidates: &[&Issuer], problems: &mut Problems) -> Reported {
    let message = format!("no policy of these requests has the issuer `{name}`");
    let known = unique(candidates.iter().flat_map(|issuer| issuer.names.texts()));
    let known = suggest(name, known);
    let help = format!("if the token is to be of another issuer, expect `token_issuer_mismatch`; {known}");
    problems.add(&claim.span, ProblemCode::NotInPolicies, message, help)
}

/// Returns each text once, in the order of the first.
pub fn unique<'t>(texts: impl IntoIterator<Item = &'t str>) -> Vec<&'t str> {
    let mut once = Vec::new();
    for text in texts {
        if !once.contains(&text) {
            once.push(text);
        }
    }
    once
}

const fn corruption(document: CorruptionDocument) -> Corruption {
    match document {
        CorruptionDocument::Signature => Corruption::Signature,
        CorruptionDocument::Algorithm => Corruption::Algorithm,
        CorruptionDocument::KeyId => Corruption::KeyId,
        CorruptionDocument::Malformed => Corruption::Malformed,
        CorruptionDocument::Twice => Corruption::Twice,
    }
}

/// Binds a token to a certificate (RFC 8705, 3.1).
fn bind(claims: &mut Map<String, Json>, bound: Option<BoundDocument>, certificate: Option<&ClientCertificate>) {
    let other = ClientCertificate {
        common_names: vec!["another certificate".to_owned()],
        ..ClientCertificate::default()
    };
    let certificate = match bound {
        None | Some(BoundDocument::No) => return,
        Some(BoundDocument::Own) => certificate.unwrap_or(&other),
        Some(BoundDocument::Other) => &other,
    };
    claims.insert("cnf".to_owned(), json!({ "x5t#S256": thumbprint(certificate).1 }));
}

/// Gives a token that is revoked a `jti`, unless it has one.
fn revoke(
    plan: &CallerPlan,
    claims: &mut Map<String, Json>,
    (policy, purpose): (Option<&Policy>, Purpose),
    problems: &mut Problems,
) -> Result<Option<String>, Reported> {
    let Some(flag) = plan.revoked.as_ref().filter(|flag| flag.value) else {
        return Ok(None);
    };
    if let Some(policy) = policy.filter(|policy| policy.revocation.is_none() && purpose != Purpose::Asked) {
        return Err(without_revocation(policy, &flag.span, problems));
    }
    let jti = claims.get("jti").and_then(Json::as_str);
    let jti = jti.map_or_else(|| format!("token of {}", plan.name), str::to_owned);
    claims.insert("jti".to_owned(), json!(jti));
    Ok(Some(jti))
}

/// Reports that a policy does not look for revoked tokens.
pub fn without_revocation(policy: &Policy, span: &std::ops::Range<usize>, problems: &mut Problems) -> Reported {
    let message = format!(
        "`{}` has no `revocation`, so a revoked token is good there",
        policy.service
    );
    let help = "leave it out, or add `revocation: {}` to the policy";
    problems.add(span, ProblemCode::NothingToProve, message, help)
}

/// Finds the place of the token that a policy reads.
fn place(
    plan: &CallerPlan,
    (policy, purpose): (Option<&Policy>, Purpose),
    problems: &mut Problems,
) -> Result<TokenPlace, Reported> {
    let Some(policy) = policy.filter(|policy| !policy.issuers.is_empty()) else {
        return Ok(TokenPlace::Authorization);
    };
    let mut places = policy.sources.read.iter();
    let Some(Spanned { value: source, span }) = &plan.source else {
        let first = places.next().filter(|_| !policy.sources.authorization);
        return Ok(first.map_or(TokenPlace::Authorization, |(kind, name)| token_place(kind, name)));
    };
    let (wanted, name) = match source {
        PlaceDocument::Authorization => return Ok(TokenPlace::Authorization),
        PlaceDocument::Kind(kind) => (*kind, None),
        PlaceDocument::Named(kind, name) => (*kind, Some(name.as_str())),
    };
    let of_kind: Vec<_> = places
        .filter(|(kind, _)| *kind == wanted)
        .map(|(_, name)| name)
        .collect();
    let (service, noun, word) = (&policy.service, wanted.noun(), wanted.as_str());
    match (of_kind.as_slice(), name) {
        ([only], None) => Ok(token_place(wanted, only)),
        (several, Some(name)) if several.contains(&name) || purpose == Purpose::Asked => Ok(token_place(wanted, name)),
        (several, None) if purpose == Purpose::Asked => {
            Ok(token_place(wanted, several.first().copied().unwrap_or(UNREAD)))
        }
        ([], _) => {
            let message = format!("`{service}` reads no token from a {noun}");
            let help = "name a place of `jwt.sources`, or leave `source` out";
            Err(problems.add(span, ProblemCode::NotInPolicies, message, help))
        }
        (several, Some(name)) => {
            let message = format!("`{service}` reads no token from the {noun} `{name}`");
            let help = suggest(name, several.iter().copied());
            Err(problems.add(span, ProblemCode::NotInPolicies, message, help))
        }
        (several, None) => {
            let message = format!("`{service}` reads tokens from several places of this kind");
            let first = several.first().copied().unwrap_or_default();
            let help = format!("write `{{ {word}: {first} }}`; known: {}", several.join(", "));
            Err(problems.add(span, ProblemCode::NotInPolicies, message, help))
        }
    }
}

fn token_place(kind: SourceKind, name: &str) -> TokenPlace {
    match kind {
        SourceKind::Header => {
            HeaderName::from_bytes(name.as_bytes()).map_or(TokenPlace::Authorization, TokenPlace::Header)
        }
        SourceKind::Cookie => TokenPlace::Cookie(name.to_owned()),
        SourceKind::Query => TokenPlace::Query(name.to_owned()),
        SourceKind::WebSocketProtocol => TokenPlace::WebSocketProtocol(name.to_owned()),
    }
}

fn headers(plan: &CallerPlan) -> Vec<(HeaderName, HeaderValue)> {
    let fields = plan.headers.0.iter();
    let each = fields.flat_map(|(name, values)| values.iter().map(|value| (name.value.clone(), value.clone())));
    each.collect()
}
