//! The callers of a test file, each with what it has of the caller that it is like.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::document::{
    BoundDocument, CallerDocument, CertificateDocument, ClaimsDocument, ClientAddress, CorruptionDocument,
    HeadersDocument, Merged, PlaceDocument,
};
use crate::document::collections::Map;
use crate::document::decode::Spanned;
use crate::document::problem::{ProblemCode, Problems, Reported};
use crate::document::suggestion::suggest;

/// The name that stands for all other callers in an expectation.
pub const OTHERS: &str = "*";

/// A caller, whole.
#[derive(Debug, Clone, Default)]
pub struct CallerPlan {
    /// Its name.
    pub name: String,
    /// The bytes of its name.
    pub span: Range<usize>,
    /// The claims of its token, if it has one.
    pub token: Option<ClaimsDocument>,
    /// Where the token is.
    pub source: Option<Spanned<PlaceDocument>>,
    /// What is wrong with the token.
    pub corrupt: Option<Spanned<CorruptionDocument>>,
    /// The certificate that the token is bound to.
    pub bound: Option<Spanned<BoundDocument>>,
    /// Whether the token is revoked.
    pub revoked: Option<Spanned<bool>>,
    /// The name of its internal key.
    pub key: Option<Spanned<String>>,
    /// Its certificate.
    pub certificate: Option<CertificateDocument>,
    /// Its header fields.
    pub headers: HeadersDocument,
    /// Its address.
    pub client: Option<ClientAddress>,
}

/// Gives each caller what it has of the one that it is like.
pub fn plans(
    callers: &Map<CallerDocument>,
    reserved: &[&str],
    problems: &mut Problems,
) -> Result<Vec<CallerPlan>, Reported> {
    let mut plans = Ok(Vec::new());
    let mut made = Made::of(callers);
    for (index, (name, _)) in callers.0.iter().enumerate() {
        let plan = match reserved.contains(&name.value.as_str()) || name.value == OTHERS {
            true => Err(problems.add(
                &name.span,
                ProblemCode::InvalidName,
                format!("`{}` has a meaning of its own where outcomes are written", name.value),
                "give the caller another name",
            )),
            false => made.plan(index, problems),
        };
        match (&mut plans, plan) {
            (Ok(plans), Ok(plan)) => plans.push(plan),
            (Ok(_), Err(reported)) => plans = Err(reported),
            (Err(_), _) => {}
        }
    }
    plans
}

/// Reports a caller that the file does not have.
pub fn unknown<'c>(
    name: &Spanned<String>,
    known: impl IntoIterator<Item = &'c str>,
    problems: &mut Problems,
) -> Reported {
    let message = format!("unknown caller `{}`", name.value);
    problems.add(
        &name.span,
        ProblemCode::UnknownCaller,
        message,
        suggest(&name.value, known),
    )
}

/// Callers by their names, and those that are whole already: each is made once, however many are like it.
struct Made<'c> {
    callers: &'c Map<CallerDocument>,
    places: BTreeMap<&'c str, usize>,
    whole: BTreeMap<usize, Result<CallerPlan, Reported>>,
}

impl<'c> Made<'c> {
    fn of(callers: &'c Map<CallerDocument>) -> Self {
        let names = callers.0.iter().enumerate().rev();
        Self {
            callers,
            places: names.map(|(index, (name, _))| (name.value.as_str(), index)).collect(),
            whole: BTreeMap::new(),
        }
    }

    /// Makes a caller whole, and all that it is like.
    fn plan(&mut self, caller: usize, problems: &mut Problems) -> Result<CallerPlan, Reported> {
        let (chain, mut last) = self.chain(caller, problems);
        for index in chain.into_iter().rev() {
            let Some((name, document)) = self.callers.0.get(index) else {
                continue;
            };
            last = last.map(|inherited| CallerPlan {
                name: name.value.clone(),
                span: name.span.clone(),
                ..over(document.clone(), inherited)
            });
            self.whole.insert(index, last.clone());
        }
        last
    }

    /// Follows `like` from a caller on: those that are not whole yet, and what the last of them inherits.
    fn chain(&self, caller: usize, problems: &mut Problems) -> (Vec<usize>, Result<CallerPlan, Reported>) {
        let (mut chain, mut seen) = (Vec::new(), BTreeSet::new());
        let mut next = caller;
        loop {
            if let Some(whole) = self.whole.get(&next) {
                return (chain, whole.clone());
            }
            chain.push(next);
            seen.insert(next);
            let document = self.callers.0.get(next);
            let Some(like) = document.and_then(|(_, document)| document.like.as_ref()) else {
                return (chain, Ok(CallerPlan::default()));
            };
            next = match self.places.get(like.value.as_str()) {
                Some(place) => *place,
                None => return (chain, Err(unknown(like, self.places.keys().copied(), problems))),
            };
            if seen.contains(&next) {
                let message = format!("`{}` is like itself", like.value);
                let help = "let one of these callers stand alone, without `like`";
                let reported = problems.add(&like.span, ProblemCode::CallerLoop, message, help);
                return (chain, Err(reported));
            }
        }
    }
}

/// Lays the fields of a caller over those that it inherits. Without a token, nothing that is about one is inherited; a token
/// that was bound to a certificate that is taken away stays bound to it.
fn over(document: CallerDocument, inherited: CallerPlan) -> CallerPlan {
    let mut inherited = match document.token {
        Merged::Removed => CallerPlan {
            source: None,
            corrupt: None,
            bound: None,
            revoked: None,
            ..inherited
        },
        Merged::Inherited | Merged::Set(_) => inherited,
    };
    if matches!(document.certificate, Merged::Removed)
        && let Some(bound) = inherited
            .bound
            .as_mut()
            .filter(|bound| bound.value == BoundDocument::Own)
    {
        bound.value = BoundDocument::Other;
    }
    let token = match (document.token, inherited.token) {
        (Merged::Set(claims), Some(below)) => Some(claims.over(below)),
        (token, below) => token.or(below),
    };
    let headers = match document.headers {
        Merged::Set(headers) => headers.over(inherited.headers),
        Merged::Removed => HeadersDocument::default(),
        Merged::Inherited => inherited.headers,
    };
    CallerPlan {
        token,
        source: document.source.or(inherited.source),
        corrupt: document.corrupt.or(inherited.corrupt),
        bound: document.bound.or(inherited.bound),
        revoked: document.revoked.or(inherited.revoked),
        key: document.key.or(inherited.key),
        certificate: document.certificate.or(inherited.certificate),
        client: document.client.or(inherited.client),
        headers,
        name: inherited.name,
        span: inherited.span,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::document::decode::FromNode;
    use crate::document::problem::SourceFile;
    use crate::policy_test::document::without_null;

    fn read(text: &str) -> (Option<Vec<CallerPlan>>, Vec<String>) {
        let mut problems = Problems::of(Arc::new(SourceFile::new("t", text)));
        let node = crate::document::read(&mut problems).unwrap();
        let plans =
            Map::from_node(&node, &mut problems).and_then(|callers| plans(&callers, &["outcome"], &mut problems));
        let problems = problems.into_sorted();
        let shown = problems
            .iter()
            .map(|problem| format!("{}: {}", problem.message(), problem.fix()));
        (plans.ok(), shown.collect())
    }

    fn claims(plan: &CallerPlan) -> serde_json::Value {
        let claims = plan.token.clone().unwrap_or_default().claims;
        let claims = claims.into_iter().map(|claim| (claim.name, claim.value));
        serde_json::Value::Object(without_null(claims.collect()))
    }

    #[test]
    fn caller_has_what_it_does_not_change() {
        let (plans, problems) = read(
            "member: { token: { sub: u, roles: [user], realm: { a: 1, b: 2 } }, headers: { X-A: 1, x-b: 2 }, key: job }\n\
             admin: { like: member, token: { roles: [admin], realm: { b: ~ } }, headers: { x-a: 3 } }\n\
             third: { like: admin, token: { sub: ~ }, key: ~, headers: { x-b: ~ } }\n\
             bare: { like: member, token: ~, headers: ~ }\n",
        );
        assert_eq!(problems, Vec::<String>::new());
        let plans = plans.unwrap();
        let want = [
            (
                json!({ "sub": "u", "roles": ["user"], "realm": { "a": 1, "b": 2 } }),
                Some("job"),
                "x-a=1 x-b=2",
            ),
            (
                json!({ "sub": "u", "roles": ["admin"], "realm": { "a": 1 } }),
                Some("job"),
                "x-b=2 x-a=3",
            ),
            (json!({ "roles": ["admin"], "realm": { "a": 1 } }), None, "x-a=3 x-b"),
            (json!({}), Some("job"), ""),
        ];
        for (plan, (want, key, headers)) in plans.iter().zip(want) {
            assert_eq!(claims(plan), want, "{}", plan.name);
            assert_eq!(plan.key.as_ref().map(|key| key.value.as_str()), key, "{}", plan.name);
            let field = |(name, values): &(Spanned<http::HeaderName>, Vec<http::HeaderValue>)| {
                let values = values.iter().map(|value| value.to_str().unwrap());
                let parts: Vec<_> = [name.value.as_str()].into_iter().chain(values).collect();
                parts.join("=")
            };
            let found: Vec<_> = plan.headers.0.iter().map(field).collect();
            assert_eq!(found.join(" "), headers, "{}", plan.name);
        }
        assert!(plans[3].token.is_none());
    }

    #[test]
    fn caller_that_cannot_be_found_or_is_like_itself_is_a_problem() {
        for (text, want) in [
            (
                "a: { like: bb }\nb: {}\n",
                &["unknown caller `bb`: did you mean `b`?"][..],
            ),
            (
                "a: { like: a }\n",
                &["`a` is like itself: let one of these callers stand alone, without `like`"],
            ),
            (
                "a: { like: b }\nb: { like: c }\nc: { like: b }\n",
                &["`b` is like itself: let one of these callers stand alone, without `like`"],
            ),
            (
                "a: { like: b }\nb: { like: zz }\nc: { like: b }\n",
                &["unknown caller `zz`: known: a, b, c"],
            ),
            (
                "outcome: {}\n",
                &["`outcome` has a meaning of its own where outcomes are written: give the caller another name"],
            ),
        ] {
            assert_eq!(read(text).1, want, "{text}");
        }
    }
}
