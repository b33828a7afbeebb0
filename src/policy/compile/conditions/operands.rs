//! The values that conditions compare with, and the parameters in them.

use crate::document::collections::List;
use crate::document::decode::{Spanned, twice};
use crate::document::problem::ProblemCode;
use crate::policy::compile::compiler::Compiler;
use crate::policy::condition::{Operand, Parameter, Part};
use crate::policy::document::OperandDocument;
use crate::policy::route::PathPattern;

/// The most values of one condition.
const MAX_VALUES: usize = 256;

/// The most values with a parameter of the path in a list that each item of a claim is compared with.
const MAX_PARAMETERS: usize = 16;

/// The parameters of the path of a route.
#[derive(Debug)]
pub(in crate::policy::compile) struct Parameters<'p> {
    /// The path; an issuer has none.
    path: Option<&'p PathPattern>,
    /// The segments of the prefix before it.
    before: usize,
}

impl<'p> Parameters<'p> {
    /// An issuer has no path.
    pub(super) const fn none() -> Self {
        Self { path: None, before: 0 }
    }

    /// The parameters of the path of a route, below a prefix.
    pub(in crate::policy::compile) fn of(prefix: &str, path: Option<&'p PathPattern>) -> Self {
        let before = prefix.matches('/').count();
        Self { path, before }
    }

    fn named(&self, name: &str) -> Option<Parameter> {
        let path = self.path?;
        let at = path.parameter(name)?;
        Some(Parameter {
            name: name.to_owned(),
            segment: self.before + at,
            suffix: path.segments.get(at)?.text().to_owned(),
        })
    }

    /// Names the parameters, for a problem.
    fn help(&self) -> String {
        let names = self.path.into_iter().flat_map(PathPattern::parameters);
        let names: Vec<_> = names.map(|name| format!("`{{{name}}}`")).collect();
        match names.is_empty() {
            true => "write a text without braces: they enclose a parameter of the path, which has none here".to_owned(),
            false => format!("the path has {}", names.join(", ")),
        }
    }
}

impl Compiler<'_> {
    /// A value of any type.
    pub(super) fn operand(&mut self, one: &Spanned<OperandDocument>, parameters: &Parameters<'_>) -> Option<Operand> {
        match &one.value {
            OperandDocument::Number(number) => Some(Operand::Number(number.clone())),
            OperandDocument::Boolean(value) => Some(Operand::Boolean(*value)),
            OperandDocument::Text(text) => match parts(text, parameters) {
                Ok(parts) => Some(Operand::Text(parts)),
                Err(message) => {
                    let help = parameters.help();
                    self.problems
                        .add(&one.span, ProblemCode::UnknownParameter, message, help);
                    None
                }
            },
        }
    }

    /// A value that is compared with texts alone: an integer is its digits.
    pub(super) fn text_operand(
        &mut self,
        one: &Spanned<OperandDocument>,
        parameters: &Parameters<'_>,
        what: &str,
    ) -> Option<Operand> {
        let found = match &one.value {
            OperandDocument::Text(_) => return self.operand(one, parameters),
            OperandDocument::Number(number) if number.is_i64() || number.is_u64() => {
                return self.operand(one, parameters);
            }
            OperandDocument::Number(number) => number.to_string(),
            OperandDocument::Boolean(value) => value.to_string(),
        };
        let message = format!("{what} is text, and `{found}` is not");
        let help = format!("write the text in quotes: `\"{found}\"`");
        self.problems.add(&one.span, ProblemCode::WrongType, message, help);
        None
    }

    pub(super) fn operands(
        &mut self,
        List(several): &List<Spanned<OperandDocument>>,
        parameters: &Parameters<'_>,
    ) -> Option<Vec<Operand>> {
        self.count_values(several)?;
        let read: Vec<_> = several.iter().map(|one| self.operand(one, parameters)).collect();
        self.once(several, read)
    }

    pub(super) fn text_operands(
        &mut self,
        List(several): &List<Spanned<OperandDocument>>,
        parameters: &Parameters<'_>,
        what: &str,
    ) -> Option<Vec<Operand>> {
        self.count_values(several)?;
        let read: Vec<_> = several
            .iter()
            .map(|one| self.text_operand(one, parameters, what))
            .collect();
        self.once(several, read)
    }

    /// Notes values that are written twice, if only as a number and as its digits.
    fn once(&mut self, several: &[Spanned<OperandDocument>], read: Vec<Option<Operand>>) -> Option<Vec<Operand>> {
        let mut seen = Vec::new();
        for (one, operand) in several.iter().zip(&read) {
            let Some(operand) = operand else { continue };
            let same = (operand.to_string(), matches!(operand, Operand::Boolean(_)));
            if seen.contains(&same) {
                let help = "leave one of them out";
                self.problems
                    .add(&one.span, ProblemCode::DuplicateItem, twice(&same.0), help);
            }
            seen.push(same);
        }
        read.into_iter().collect()
    }

    /// Notes a list with too many values that have a parameter: they are not sorted, as the others are.
    pub(super) fn count_parameters(&mut self, List(several): &List<Spanned<OperandDocument>>) -> Option<()> {
        let has_brace = |one: &&Spanned<OperandDocument>| match &one.value {
            OperandDocument::Text(text) => text.contains('{'),
            OperandDocument::Number(_) | OperandDocument::Boolean(_) => false,
        };
        let Some(first) = several.iter().filter(has_brace).nth(MAX_PARAMETERS) else {
            return Some(());
        };
        let message = format!("`has_any` has at most {MAX_PARAMETERS} values with a parameter, and this is one more");
        let help = "let the issuer say it in one claim";
        self.problems.add(&first.span, ProblemCode::TooLarge, message, help);
        None
    }

    /// Notes a list with too many values.
    pub(super) fn count_values<T>(&mut self, several: &[Spanned<T>]) -> Option<()> {
        let Some(first) = several.get(MAX_VALUES) else {
            return Some(());
        };
        let message = format!("a condition has at most {MAX_VALUES} values, and this is one more");
        let help = "let the issuer say it in one claim";
        self.problems.add(&first.span, ProblemCode::TooLarge, message, help);
        None
    }
}

/// Takes a text apart: what stands in braces is a parameter.
fn parts(text: &str, parameters: &Parameters<'_>) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        let (literal, behind) = rest.split_at(at);
        if !literal.is_empty() {
            parts.push(Part::Literal(literal.to_owned()));
        }
        let inside = behind.strip_prefix('{').and_then(|behind| behind.split_once('}'));
        let Some((name, behind)) = inside.filter(|(name, _)| is_name(name)) else {
            return Err(format!("a brace in `{text}` does not enclose a name of the path"));
        };
        let parameter = parameters.named(name);
        parts.push(Part::Parameter(
            parameter.ok_or_else(|| format!("the path has no `{{{name}}}`"))?,
        ));
        rest = behind;
    }
    if are_ambiguous(&parts) {
        return Err(format!(
            "`{text}` has two parameters without a `/` between them, so several paths give the same text"
        ));
    }
    if !rest.is_empty() {
        parts.push(Part::Literal(rest.to_owned()));
    }
    Ok(parts)
}

/// Whether two parameters have nothing between them that no segment can have.
fn are_ambiguous(parts: &[Part]) -> bool {
    let mut is_open = false;
    parts.iter().any(|part| match part {
        Part::Parameter(_) => std::mem::replace(&mut is_open, true),
        Part::Literal(text) => {
            is_open &= !text.contains('/');
            false
        }
    })
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_')
}
