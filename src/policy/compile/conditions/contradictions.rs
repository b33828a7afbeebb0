//! Conditions that cannot hold together, so that every request would be rejected.

use std::ops::Range;

use crate::document::problem::ProblemCode;
use crate::policy::compile::compiler::Compiler;
use crate::policy::condition::{ClaimTest, Condition, HeaderTest, Operand, Part};

impl Compiler<'_> {
    /// Notes each condition that repeats or contradicts an earlier one.
    pub(super) fn together(&mut self, conditions: &[(Condition, Range<usize>)]) {
        for (at, (condition, span)) in conditions.iter().enumerate() {
            let mut earlier = conditions.iter().take(at).map(|(earlier, _)| earlier);
            if conditions.iter().take(at).any(|(earlier, _)| earlier == condition) {
                let message = "the condition is written twice";
                self.problems
                    .add(span, ProblemCode::DuplicateItem, message, "leave one of them out");
            } else if let Some(other) = earlier.find(|earlier| exclude_each_other(earlier, condition)) {
                let message = format!("no request meets this condition and an earlier one: {other}");
                let help = "change or remove one of them: all conditions must hold";
                self.problems
                    .add(span, ProblemCode::ConditionContradiction, message, help);
            }
        }
    }
}

/// Whether two conditions are about the same thing and cannot both hold.
fn exclude_each_other(a: &Condition, b: &Condition) -> bool {
    match (a, b) {
        (Condition::Claim { path: of_a, test: a }, Condition::Claim { path: of_b, test: b }) if of_a == of_b => {
            is_list(a) != is_list(b) || disjoint(claim_values(a), claim_values(b))
        }
        (Condition::Header { name: of_a, test: a }, Condition::Header { name: of_b, test: b }) if of_a == of_b => {
            disjoint(header_values(a), header_values(b))
        }
        (Condition::Client { networks: a }, Condition::Client { networks: b }) => {
            let overlaps = |one: &ipnet::IpNet| b.iter().any(|other| one.contains(other) || other.contains(one));
            !a.is_empty() && !b.is_empty() && !a.iter().any(overlaps)
        }
        _ => false,
    }
}

/// Whether a test needs a list.
const fn is_list(test: &ClaimTest) -> bool {
    matches!(test, ClaimTest::Has(_) | ClaimTest::HasAny(_))
}

/// A value that is the same for all requests. A number is the text of its digits.
#[derive(Debug, PartialEq, Eq)]
enum Constant {
    Text(String),
    Boolean(bool),
}

/// The values that a claim may have, unless they depend on the request.
fn claim_values(test: &ClaimTest) -> Option<Vec<Constant>> {
    match test {
        ClaimTest::Equals(one) => constants(std::slice::from_ref(one)),
        ClaimTest::In(several) => constants(several),
        ClaimTest::Has(_) | ClaimTest::HasAny(_) | ClaimTest::Within(_) => None,
    }
}

/// The values that a header may have, unless they depend on the request.
fn header_values(test: &HeaderTest) -> Option<Vec<Constant>> {
    match test {
        HeaderTest::Equals(one) => constants(std::slice::from_ref(one)),
        HeaderTest::In(several) => constants(several),
        HeaderTest::EqualsClaim(_) => None,
    }
}

fn constants(operands: &[Operand]) -> Option<Vec<Constant>> {
    let constant = |operand: &Operand| match operand {
        Operand::Text(parts) => match parts.as_slice() {
            [Part::Literal(text)] => Some(Constant::Text(text.clone())),
            _ => None,
        },
        Operand::Number(number) if number.is_i64() || number.is_u64() => Some(Constant::Text(number.to_string())),
        // `1` and `1.0` are one number.
        Operand::Number(_) => None,
        Operand::Boolean(value) => Some(Constant::Boolean(*value)),
    };
    operands.iter().map(constant).collect()
}

fn disjoint(a: Option<Vec<Constant>>, b: Option<Vec<Constant>>) -> bool {
    let (Some(a), Some(b)) = (a, b) else { return false };
    !a.iter().any(|one| b.contains(one))
}
