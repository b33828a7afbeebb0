//! What a test says of header fields and responses that could prove nothing.

use std::collections::BTreeSet;

use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue};

use super::cell::Cell;
use crate::admission::response_names::{is_field, is_in_metadata, is_in_rejections};
use crate::document::decode::Spanned;
use crate::document::problem::{ProblemCode, Problems, Reported};
use crate::policy::{Policy, PolicySet};
use crate::policy_test::case::Case;
use crate::policy_test::document::{BodyExpectation, HeaderExpectation, ResponseDocument};
use crate::policy_test::outcome::Expectation;
use crate::rehearsal::{Caller, TokenPlace};

/// What the names begin with that Sidegate sets besides those of policies.
const SET: [&str; 4] = ["x-forwarded-", "forwarded", "x-request-id", "trace"];

/// Reports a field of a request that replaces the token or the key of its caller: that credential would never be read.
pub(super) fn replaced_credentials(
    caller: &Caller,
    headers: &[(Spanned<HeaderName>, Vec<HeaderValue>)],
    problems: &mut Problems,
) -> Result<(), Reported> {
    let token = caller.token.as_ref().and(match &caller.place {
        TokenPlace::Authorization => Some(&AUTHORIZATION),
        TokenPlace::Header(name) => Some(name),
        TokenPlace::Cookie(_) | TokenPlace::Query(_) | TokenPlace::WebSocketProtocol(_) => None,
    });
    let key = caller.key.as_ref().map(|(name, _)| name);
    for (what, name) in [("token", token), ("key", key)] {
        let replaces =
            |(field, values): &&(Spanned<HeaderName>, _)| Some(&field.value) == name && !Vec::is_empty(values);
        if let Some((field, _)) = headers.iter().find(replaces) {
            let message = format!(
                "`{}` stands in place of the {what} of a caller of this request",
                field.value
            );
            let help = format!("send it with a caller who has no {what}, or write `null` to send neither");
            return Err(problems.add(&field.span, ProblemCode::NothingToProve, message, help));
        }
    }
    Ok(())
}

/// Reports headers that the service must not get, and that neither the request nor Sidegate sets.
pub(super) fn never_there((cells, cases): (&[Cell], &[Case]), policies: &PolicySet, problems: &mut Problems) {
    let mut seen = BTreeSet::new();
    for (cell, case) in cells.iter().zip(cases) {
        for (name, _) in case
            .expected
            .headers
            .iter()
            .filter(|(_, wanted)| *wanted == HeaderExpectation::Absent)
        {
            let comes =
                case.request.headers.contains_key(name) || SET.iter().any(|start| name.as_str().starts_with(start));
            let is_set_by = |policy: &Policy| {
                policy.key_header() == name || policy.identity.owned().iter().any(|owned| owned == name.as_str())
            };
            let stays = *name == AUTHORIZATION || policies.policies().iter().any(is_set_by);
            if !comes && !stays && seen.insert((cell.span.start, name.as_str())) {
                let message = format!(
                    "the service could not get `{name}`: `{}` does not send it, and Sidegate never sets it",
                    case.caller
                );
                let help = "correct the name, or send it in the request";
                problems.add(&cell.span, ProblemCode::NothingToProve, message, help);
            }
        }
    }
}

/// Reports what a response must not have, and no response to a request with this outcome could have.
pub(super) fn never_in_response(
    document: &ResponseDocument,
    outcome: Expectation,
    policies: &PolicySet,
    problems: &mut Problems,
) -> Result<(), Reported> {
    let headers = document.headers.iter().flat_map(|headers| &headers.0);
    let headers = headers
        .filter(|(name, wanted)| *wanted == HeaderExpectation::Absent && !is_field(&name.value))
        .map(|(name, _)| {
            (
                &name.span,
                format!("a response of Sidegate never has the header `{}`", name.value),
            )
        });
    let could_have = |path: &str| match outcome {
        Expectation::Preflight => false,
        Expectation::Metadata => is_in_metadata(path),
        _ => is_in_rejections(policies, path, !outcome.is_of_policy()),
    };
    let body = document.body.iter().flat_map(|body| &body.0);
    let body = body
        .filter(|(path, wanted)| *wanted == BodyExpectation::Absent && !could_have(&path.value))
        .map(|(path, _)| {
            (
                &path.span,
                format!("the body of such a response never has `{}`", path.value),
            )
        });
    let help = "correct the name, or leave it out: without it the test says the same";
    let reported = headers
        .chain(body)
        .map(|(span, message)| problems.add(span, ProblemCode::NothingToProve, message, help));
    reported.last().map_or(Ok(()), Err)
}
