//! The callers of a test file, for whom the changes are said by name.

use std::path::Path;
use std::sync::Arc;

use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method};

use super::input::Fault;
use crate::document::problem::{Problem, Problems, SourceFile};
use crate::document::yaml::MAX_FILE_BYTES;
use crate::policy::{PolicySet, Scope};
use crate::policy_diff::report::{Explained, Named, Report};
use crate::policy_files::{source, unreadable};
use crate::policy_test::callers::{CallerPlan, plans};
use crate::policy_test::compile::read;
use crate::policy_test::credentials::{Credentials, Setting};
use crate::read_file::read_file;
use crate::rehearsal::{Answer, Rehearsal, Request};
use crate::revocation::Revocations;

/// The time of all requests: 2026-03-01T12:00:00Z.
const AT: i64 = 1_772_366_400;

/// The callers of a test file.
#[derive(Debug)]
pub(super) struct NamedCallers {
    source: Arc<SourceFile>,
    plans: Vec<CallerPlan>,
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
            Ok(plans) => Ok(Self { source, plans }),
            Err(_) => Err(Fault::Problems(problems.into_sorted())),
        }
    }

    /// Says of each change who of the callers passes and did not, and who does not pass and did, by the request that is its
    /// example. A caller who passes shows what the new policies ask for, and one who passed what the old ones asked for.
    pub(super) fn name(&self, report: &mut Report, (was, now): (&Rehearsal, &Rehearsal)) -> Result<(), Fault> {
        for plan in &self.plans {
            for one in &mut report.changes {
                let request = request(one, (was.policies(), now.policies()));
                let change = &one.change;
                let old = self.shown(plan, was.policies(), change.was);
                let new = self.shown(plan, now.policies(), change.now);
                let passes =
                    |rehearsal: &Rehearsal, credentials: &Credentials| passes(rehearsal, &request, credentials);
                let gains = |shown: &Credentials| !passes(was, shown) && passes(now, shown);
                let loses = |shown: &Credentials| passes(was, shown) && !passes(now, shown);
                let (let_in, kept_out) = match (&old, &new) {
                    (Ok(old), Ok(new)) => (gains(new), loses(old)),
                    (Err(_), Ok(new)) => (gains(new), false),
                    (Ok(old), Err(_)) => (false, loses(old)),
                    (Err(_), Err(problems)) => return Err(Fault::Problems(problems.clone())),
                };
                let named = one.named.get_or_insert_with(Named::default);
                named.let_in.extend(let_in.then(|| plan.name.clone()));
                named.kept_out.extend(kept_out.then(|| plan.name.clone()));
            }
        }
        Ok(())
    }

    /// Returns what a caller shows to a policy.
    fn shown(&self, plan: &CallerPlan, policies: &PolicySet, scope: Scope) -> Result<Credentials, Vec<Problem>> {
        let mut problems = Problems::of(Arc::clone(&self.source));
        let setting = Setting { policies, at: AT };
        let shown = setting.credentials(plan, (scope.policy, false), &mut problems);
        shown.map_err(|_| problems.into_sorted())
    }
}

/// Returns the request that is the example of a change, of a type that the route takes.
fn request(one: &Explained, (was, now): (&PolicySet, &PolicySet)) -> Request {
    let (change, example) = (&one.change, &one.change.example);
    let method = match change.region.methods.contains(&Method::GET) {
        true => Method::GET,
        false => example.method.clone(),
    };
    let mut request = Request::new(method, example.path.clone(), &example.host, AT);
    let route = |policies: &PolicySet, scope: Scope| {
        let (_, route) = policies.route(scope.route?)?;
        route.content_types.first().cloned()
    };
    let content = route(now, change.now).or_else(|| route(was, change.was));
    let content = content.and_then(|content| HeaderValue::from_str(&content).ok());
    let _: Option<HeaderValue> =
        content.and_then(|content| HeaderMap::insert(&mut request.headers, CONTENT_TYPE, content));
    request
}

fn passes(rehearsal: &Rehearsal, request: &Request, shown: &Credentials) -> bool {
    let mut request = request.clone();
    shown.caller.apply(&mut request, rehearsal.keys());
    let answer = rehearsal.answer(&request.facts(), Revocations::Unasked);
    matches!(answer, Answer::Forwarded(_) | Answer::Shadow(..))
}
