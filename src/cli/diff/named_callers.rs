//! The callers of a test file, for whom the changes are said by name.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use http::header::{CONTENT_TYPE, HOST, HeaderValue};

use super::input::Fault;
use crate::document::problem::{Problem, ProblemCode, Problems, SourceFile};
use crate::document::yaml::MAX_FILE_BYTES;
use crate::policy::{PolicySet, Scope};
use crate::policy_diff::report::{Explained, Named, Report};
use crate::policy_files::{source, unreadable};
use crate::policy_test::callers::{CallerPlan, plans};
use crate::policy_test::compile::{read, revocations, time};
use crate::policy_test::credentials::{Credentials, Purpose, Setting};
use crate::read_file::read_file;
use crate::rehearsal::{Answer, Rehearsal, Request};
use crate::request::{Body, body};
use crate::revocation::Revocations;

/// The callers of a test file.
#[derive(Debug)]
pub(super) struct NamedCallers {
    source: Arc<SourceFile>,
    plans: Vec<CallerPlan>,
    /// The time of all requests.
    at: i64,
}

impl NamedCallers {
    /// Reads a test file. Its tests are not run.
    pub(super) fn read(path: &Path) -> Result<Self, Fault> {
        let one = |problem: Problem| Fault::Problems(vec![problem]);
        let bytes = read_file(path, MAX_FILE_BYTES as u64).map_err(|error| one(unreadable(path, &error)))?;
        let file = source(path, &bytes).map_err(one)?;
        let source = Arc::new(SourceFile::of_test(file.name.clone(), file.text.clone()));
        let document = read(&source).map_err(Fault::Problems)?;
        let mut problems = Problems::of(Arc::clone(&source));
        match plans(&document.callers, &[], &mut problems) {
            Ok(plans) => Ok(Self {
                source,
                plans,
                at: time(&document),
            }),
            Err(_) => Err(Fault::Problems(problems.into_sorted())),
        }
    }

    /// Says of each change who of the callers passes and did not, and who does not pass and did, by the request that is its
    /// example. A caller who passes shows what the new policies ask for, and one who passed what the old ones asked for.
    /// Returns why callers are not named where no token can be made for them.
    pub(super) fn name(
        &self,
        report: &mut Report,
        (was, now): (&Rehearsal, &Rehearsal),
    ) -> Result<BTreeSet<String>, Fault> {
        let mut unnamed = BTreeSet::new();
        for plan in &self.plans {
            for one in &mut report.changes {
                let request = self.request(plan, one, (was.policies(), now.policies()));
                let old = self.shown(plan, was.policies(), one.change.was);
                let new = self.shown(plan, now.policies(), one.change.now);
                let (old, new) = match (old, new) {
                    (Ok(old), Ok(new)) => (old, new),
                    (Ok(one), Err(_)) | (Err(_), Ok(one)) => (one.clone(), one),
                    (Err(_), Err(problems)) => {
                        if problems
                            .iter()
                            .any(|problem| problem.code() != ProblemCode::IssuerNotChosen)
                        {
                            return Err(Fault::Problems(problems));
                        }
                        unnamed.extend(
                            problems
                                .iter()
                                .map(|problem| format!("`{}`: {}", plan.name, problem.message())),
                        );
                        continue;
                    }
                };
                let passes =
                    |rehearsal: &Rehearsal, credentials: &Credentials| passes(rehearsal, &request, credentials);
                let let_in = !passes(was, &new) && passes(now, &new);
                let kept_out = passes(was, &old) && !passes(now, &old);
                let named = one.named.get_or_insert_with(Named::default);
                named.let_in.extend(let_in.then(|| plan.name.clone()));
                named.kept_out.extend(kept_out.then(|| plan.name.clone()));
            }
        }
        Ok(unnamed)
    }

    /// Returns what a caller shows to a policy.
    fn shown(&self, plan: &CallerPlan, policies: &PolicySet, scope: Scope) -> Result<Credentials, Vec<Problem>> {
        let mut problems = Problems::of(Arc::clone(&self.source));
        let setting = Setting { policies, at: self.at };
        let shown = setting.credentials(plan, (scope.policy, Purpose::Asked), &mut problems);
        shown.map_err(|_| problems.into_sorted())
    }

    /// Returns the request that is the example of a change, of a type that the route takes, from the address of a caller.
    fn request(&self, plan: &CallerPlan, one: &Explained, (was, now): (&PolicySet, &PolicySet)) -> Request {
        let (change, example) = (&one.change, &one.change.example);
        let method = match change.region.methods.contains(&Method::GET) {
            true => Method::GET,
            false => example.method.clone(),
        };
        let mut request = Request::new(method, example.path.clone(), &example.host, self.at);
        request.client = plan.client.map(|client| client.0);
        let route = |policies: &PolicySet, scope: Scope| {
            let (_, route) = policies.route(scope.route?)?;
            route.content_types.first().cloned()
        };
        let content = route(now, change.now).or_else(|| route(was, change.was));
        let content = content.and_then(|content| HeaderValue::from_str(&content).ok());
        request.headers.extend(content.map(|content| (CONTENT_TYPE, content)));
        request
    }
}

fn passes(rehearsal: &Rehearsal, request: &Request, shown: &Credentials) -> bool {
    let mut request = request.clone();
    let mut caller = shown.caller.clone();
    // The request is one of the hosts of the change.
    caller.headers.retain(|(name, _)| *name != HOST);
    caller.apply(&mut request, rehearsal.keys());
    request.body = body(&request.headers).unwrap_or(Body::None);
    let revocations = Revocations::Known {
        list: &revocations::list(&shown.revocation()),
        age: Some(Duration::ZERO),
    };
    let answer = rehearsal.answer(&request.facts(), revocations);
    matches!(answer, Answer::Forwarded(_) | Answer::Shadow(..))
}
