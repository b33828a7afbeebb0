//! The cases, by name.

use std::hint::black_box;

use http::{HeaderMap, Method};
use jiff::Timestamp;
use jsonwebtoken::Algorithm;
use sidegate::admission::header_edits::header_edits;
use sidegate::admission::rejection_response::{ErrorContext, render};
use sidegate::admission::trace_context::RequestIds;
use sidegate::decision::{Evaluator, decide};
use sidegate::rejection::Reason;
use sidegate::request::Downstream;
use sidegate::request::path::{Allowance, NormalizedPath};
use sidegate::revocation::Revocations;

use crate::setup::{self, NOW, Service};

/// Does the work once; the number says which of the prepared requests is taken.
pub type Turn = Box<dyn FnMut(usize)>;

/// One piece of work.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// What it is called.
    pub name: &'static str,
    /// Whether each turn has to take another request, so that nothing is known of it.
    pub cold: bool,
    /// Prepares so many requests, and does the work once.
    pub prepare: fn(usize) -> Turn,
}

const fn case(name: &'static str, prepare: fn(usize) -> Turn) -> Case {
    Case {
        name,
        cold: false,
        prepare,
    }
}

const fn cold(name: &'static str, prepare: fn(usize) -> Turn) -> Case {
    Case {
        name,
        cold: true,
        prepare,
    }
}

/// All of them.
pub const CASES: [Case; 16] = [
    case("route-1", |_| route(1)),
    case("route-100", |_| route(100)),
    case("route-5000", |_| route(5000)),
    case("path-plain", |_| path("/orders/v1/4711/items")),
    case("path-escaped", |_| path("/orders/v1/caf%C3%A9%20cr%c3%a8me/%69tems")),
    case("decide-public", |_| decision("/orders/public/x", setup::plain(), true)),
    case("decide-internal-key", |_| {
        decision("/orders/jobs/x", setup::internal_key(), true)
    }),
    case("decide-rejection", |_| decision(ITEMS, setup::plain(), false)),
    cold("decide-hs256-cold", |count| tokens(Algorithm::HS256, count)),
    cold("decide-rs256-cold", |count| tokens(Algorithm::RS256, count)),
    cold("decide-es256-cold", |count| tokens(Algorithm::ES256, count)),
    case("decide-hs256-again", |_| tokens(Algorithm::HS256, 1)),
    case("decide-rs256-again", |_| tokens(Algorithm::RS256, 1)),
    case("decide-es256-again", |_| tokens(Algorithm::ES256, 1)),
    case("identity-headers", |_| identity_headers()),
    case("error-body", |_| error_body()),
];

const ITEMS: &str = "/orders/v1/4711/items";

/// The case of that name.
pub fn named(name: &str) -> Option<&'static Case> {
    CASES.iter().find(|case| case.name == name)
}

fn route(count: usize) -> Turn {
    let policies = setup::many_routes(count);
    Box::new(move |_| {
        let policy = &policies.policies()[0];
        black_box(policy.find(black_box("/v1/orders/4711/items"), &Method::GET));
    })
}

fn path(text: &'static str) -> Turn {
    Box::new(move |_| {
        let path = NormalizedPath::parse(black_box(text.as_bytes()), Allowance::default());
        assert!(black_box(path).is_ok());
    })
}

fn tokens(algorithm: Algorithm, count: usize) -> Turn {
    let service = Service::new();
    let headers = (0..count).map(|number| service.token(algorithm, number)).collect();
    decisions(&service, ITEMS, headers, true)
}

fn decision(path: &'static str, headers: HeaderMap, allowed: bool) -> Turn {
    decisions(&Service::new(), path, vec![headers], allowed)
}

/// Decides on requests to one path, which differ in their headers.
fn decisions(service: &Service, path: &'static str, headers: Vec<HeaderMap>, allowed: bool) -> Turn {
    let ask = move |evaluator: &Evaluator, number: usize| {
        let facts = setup::request(path, &headers[number % headers.len()]);
        let decision = decide(evaluator, black_box(&facts), Revocations::Unasked, &mut ());
        assert_eq!(black_box(&decision).outcome.permit().is_some(), allowed);
    };
    // What is done once in the life of a process; then nothing is known of any token.
    ask(&service.evaluator(), 0);
    let evaluator = service.evaluator();
    Box::new(move |number| ask(&evaluator, number))
}

fn identity_headers() -> Turn {
    let service = Service::new();
    let evaluator = leaked(service.evaluator());
    let headers = leaked(service.token(Algorithm::HS256, 0));
    let facts = setup::request(ITEMS, headers);
    let decision = decide(evaluator, &facts, Revocations::Unasked, &mut ());
    let ids = RequestIds::of(headers, false);
    let downstream = Downstream {
        peer: Some([127, 0, 0, 1].into()),
        tls: false,
        trusted: false,
        is_unnamed: false,
    };
    Box::new(move |_| {
        let (policy, route) = (decision.matched.policy().unwrap(), decision.matched.route().unwrap());
        let permit = decision.outcome.permit().unwrap();
        black_box(header_edits(headers, policy, route, permit, downstream, &ids));
    })
}

fn error_body() -> Turn {
    let evaluator = leaked(Service::new().evaluator());
    let policies = evaluator.policies();
    let headers = setup::plain();
    let ids = RequestIds::of(&headers, false);
    let now = Timestamp::from_second(NOW).unwrap();
    let matched = {
        let facts = setup::request(ITEMS, &headers);
        decide(evaluator, &facts, Revocations::Unasked, &mut ()).matched
    };
    Box::new(move |_| {
        let context = ErrorContext::new(policies, matched, &ids, ITEMS, now);
        black_box(render(&Reason::CredentialMissing.into(), &context));
    })
}

/// What a closure may borrow from; the process ends soon.
fn leaked<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}
