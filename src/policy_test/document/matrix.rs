//! The matrix as written: callers, and a row of outcomes for each request.

use std::borrow::Cow;
use std::ops::Range;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::requests::{RequestLine, line_pattern};
use crate::document::collections::List;
use crate::document::decode::{FromNode, Spanned, expected, twice};
use crate::document::problem::{ProblemCode, Problems, Reported};
use crate::document::yaml::{Node, Value};
use crate::policy_test::outcome::Expectation;

/// The key of the callers.
const CALLERS: &str = "callers";

/// How a matrix is written.
const HELP: &str =
    "write `callers: [anonymous, member]`, and below it a row for each request, as in `GET /orders: [deny, allow]`";

/// A table of callers and requests.
#[derive(Debug, Clone)]
pub struct MatrixDocument {
    /// The callers, one for each column.
    pub callers: Vec<Spanned<String>>,
    /// The rows.
    pub rows: Vec<RowDocument>,
    /// The bytes of the table.
    pub span: Range<usize>,
}

/// One request, and an outcome for each caller.
#[derive(Debug, Clone)]
pub struct RowDocument {
    /// The request.
    pub line: RequestLine,
    /// The bytes of the request.
    pub line_span: Range<usize>,
    /// The outcomes.
    pub cells: Vec<Spanned<Expectation>>,
    /// The bytes of the list of outcomes.
    pub span: Range<usize>,
}

impl FromNode for MatrixDocument {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Self, Reported> {
        let Value::Mapping(entries) = &node.value else {
            return expected(node, "a mapping of callers and requests", HELP, problems);
        };
        let mut callers = None;
        let mut rows: Vec<RowDocument> = Vec::new();
        let mut failed = None;
        for ((key, span), value) in entries {
            if key == CALLERS {
                let List(names) = List::<Spanned<String>>::from_node(value, problems)?;
                callers = Some(names);
                continue;
            }
            match row((key, span), value, problems) {
                Ok(row) if rows.iter().any(|one| one.line == row.line) => {
                    let message = twice(key);
                    failed =
                        Some(problems.add(span, ProblemCode::DuplicateField, message, "leave one of the rows out"));
                }
                Ok(row) => rows.push(row),
                Err(reported) => failed = Some(reported),
            }
        }
        if let Some(reported) = failed {
            return Err(reported);
        }
        let Some(callers) = callers else {
            let message = "`callers` is missing here";
            return Err(problems.add(&node.span, ProblemCode::MissingField, message, HELP));
        };
        if rows.is_empty() {
            return Err(problems.add(&node.span, ProblemCode::EmptyValue, "the matrix has no row", HELP));
        }
        let span = node.span.clone();
        Ok(Self { callers, rows, span })
    }
}

fn row(
    (key, line_span): (&str, &Range<usize>),
    value: &Node,
    problems: &mut Problems,
) -> Result<RowDocument, Reported> {
    let line = RequestLine::parse(key, line_span, problems);
    let Value::Sequence(items) = &value.value else {
        return expected(
            value,
            "a list of outcomes",
            "write one outcome for each caller, as in `[deny, allow]`",
            problems,
        );
    };
    let cells: Vec<_> = items.iter().map(|cell| Spanned::from_node(cell, problems)).collect();
    Ok(RowDocument {
        line: line?,
        line_span: line_span.clone(),
        cells: cells.into_iter().collect::<Result<_, _>>()?,
        span: value.span.clone(),
    })
}

impl JsonSchema for MatrixDocument {
    fn schema_name() -> Cow<'static, str> {
        "MatrixDocument".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let callers = generator.subschema_for::<List<String>>();
        let mut rows = generator.subschema_for::<List<Expectation>>();
        rows.insert(
            "description".into(),
            "The outcomes of this request, one for each of `callers`. Its key is a method and a path, as in `GET /orders/{id}`.".into(),
        );
        let mut named = callers;
        named.insert("description".into(), "The callers, one for each column.".into());
        json_schema!({
            "type": "object",
            "description": "A table of callers and requests: besides `callers`, each key is a request, as in `GET /orders/{id}`, with a list of outcomes, one for each caller.",
            "properties": { "callers": named },
            "patternProperties": { line_pattern(): rows },
            "required": ["callers"],
            "minProperties": 2,
            "additionalProperties": false,
        })
    }
}
