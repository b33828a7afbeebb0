//! `--output` of commands that print a report. Each command has some of the forms.

use clap::ValueEnum;
use clap::builder::{PossibleValuesParser, TypedValueParser};

/// The form of a report.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people
    #[default]
    Text,
    /// One JSON object
    Json,
    /// A table for a page or a comment
    Markdown,
    /// For people, with annotations of the lines in a pull request on GitHub
    Github,
    /// JUnit XML, for CI
    Junit,
}

/// Makes the parser of `--output` for a command that has some of the forms.
pub(super) fn one_of<const N: usize>(formats: [Format; N]) -> impl TypedValueParser<Value = Format> {
    let values = formats.into_iter().filter_map(|format| format.to_possible_value());
    PossibleValuesParser::new(values).map(|name| Format::from_str(&name, false).unwrap_or_default())
}

/// Makes the parser for a command that has text and JSON alone.
pub(super) fn text_or_json() -> impl TypedValueParser<Value = Format> {
    one_of([Format::Text, Format::Json])
}
