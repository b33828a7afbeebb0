//! Annotations of lines in a pull request: the workflow commands of GitHub Actions.

use std::fmt::Write as _;

use super::output::print_commands;
use crate::document::characters::{in_one_line, is_acted_on};
use crate::document::problem::{Location, Problem};

/// How many annotations of a kind are written in full. GitHub shows ten of a kind for a step, and drops the others silently, so that the
/// tenth says how many more there are.
const SHOWN: usize = 9;

/// The kinds of annotations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Something is wrong.
    Error,
    /// Something may be wrong.
    Warning,
    /// Something is worth a look.
    Notice,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Error, Self::Warning, Self::Notice];

    const fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Notice => "notice",
        }
    }
}

/// One annotation of a place in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Annotation {
    /// The kind.
    pub(super) kind: Kind,
    /// The file, as it was named on the command line.
    pub(super) file: String,
    /// The line, from 1 on.
    pub(super) line: usize,
    /// The column, from 1 on.
    pub(super) column: usize,
    /// The column behind the last one, if the place ends on the same line.
    pub(super) end_column: Option<usize>,
    /// A few words, or a code.
    pub(super) title: String,
    /// The message. It may have several lines.
    pub(super) message: String,
}

impl Annotation {
    /// Makes the annotation of a place.
    pub(super) fn at(location: &Location, kind: Kind, title: impl Into<String>, message: impl Into<String>) -> Self {
        let (end_line, end_column) = location.end();
        Self {
            kind,
            file: location.file().to_owned(),
            line: location.line(),
            column: location.column(),
            end_column: (end_line == location.line()).then_some(end_column),
            title: title.into(),
            message: message.into(),
        }
    }

    /// Makes the annotation of a problem: what is wrong, and how to fix it.
    pub(super) fn of(problem: &Problem) -> Self {
        let kind = match problem.is_error() {
            true => Kind::Error,
            false => Kind::Warning,
        };
        let message = format!("{}\n{}", in_one_line(problem.message()), in_one_line(problem.fix()));
        Self::at(problem.location(), kind, problem.code().as_str(), message)
    }
}

/// Prints annotations, behind what people read.
pub(super) fn annotate(annotations: &[Annotation]) {
    print_commands(&commands(annotations));
}

/// Writes annotations as commands, one on a line: the first nine of each kind, and how many more there are.
fn commands(annotations: &[Annotation]) -> String {
    let mut text = String::new();
    for kind in Kind::ALL {
        let of_kind: Vec<_> = annotations.iter().filter(|one| one.kind == kind).collect();
        let (shown, left) = of_kind.split_at(of_kind.len().min(SHOWN));
        for annotation in shown {
            write(&mut text, annotation, &annotation.title, &annotation.message);
        }
        if let Some(next) = left.first() {
            let message = format!(
                "{} more of them in the output of this step, the next one here",
                left.len()
            );
            write(&mut text, next, "More", &message);
        }
    }
    text
}

fn write(text: &mut String, annotation: &Annotation, title: &str, message: &str) {
    let Annotation {
        kind,
        file,
        line,
        column,
        ..
    } = annotation;
    let file = property(file.strip_prefix("./").unwrap_or(file));
    let _infallible = write!(text, "::{} file={file},line={line},col={column}", kind.word());
    if let Some(end) = annotation.end_column {
        let _infallible = write!(text, ",endColumn={end}");
    }
    let _infallible = writeln!(text, ",title={}::{}", property(title), escaped(message));
}

/// Escapes a message, which ends at the end of the line, and what a terminal acts on.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '%' => escaped.push_str("%25"),
            '\r' => escaped.push_str("%0D"),
            '\n' => escaped.push_str("%0A"),
            c if is_acted_on(c) => escaped.extend(c.escape_default()),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Escapes the value of a property, which ends at a comma or a colon, too.
fn property(text: &str) -> String {
    escaped(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn annotation(kind: Kind, line: usize) -> Annotation {
        Annotation {
            kind,
            file: "./a,b:c%.yaml".to_owned(),
            line,
            column: 3,
            end_column: (line == 1).then_some(8),
            title: "one: two, three".to_owned(),
            message: "100 %,\r\nand: more".to_owned(),
        }
    }

    #[test]
    fn characters_that_end_a_command_are_escaped() {
        assert_eq!(
            commands(&[annotation(Kind::Error, 1), annotation(Kind::Notice, 2)]),
            "::error file=a%2Cb%3Ac%25.yaml,line=1,col=3,endColumn=8,title=one%3A two%2C three::100 %25,%0D%0Aand: more\n\
             ::notice file=a%2Cb%3Ac%25.yaml,line=2,col=3,title=one%3A two%2C three::100 %25,%0D%0Aand: more\n"
        );
    }

    #[test]
    fn annotation_is_one_line_whatever_its_texts_are() {
        let hostile = "a\n::error::b\r\u{85}::c\u{2028}\u{1b}[2J";
        let annotation = Annotation {
            file: hostile.to_owned(),
            title: hostile.to_owned(),
            message: hostile.to_owned(),
            ..annotation(Kind::Error, 2)
        };
        let message = "a%0A::error::b%0D\\u{85}::c\\u{2028}\\u{1b}[2J";
        let value = message.replace(':', "%3A");
        assert_eq!(
            commands(&[annotation]),
            format!("::error file={value},line=2,col=3,title={value}::{message}\n")
        );
    }

    #[test]
    fn ninth_annotation_of_a_kind_is_the_last_in_full() {
        for (errors, warnings, want) in [(9, 0, 9), (10, 0, 10), (30, 0, 10), (30, 12, 20), (0, 0, 0)] {
            let errors: Vec<_> = (1..=errors).map(|line| annotation(Kind::Error, line)).collect();
            let warnings: Vec<_> = (1..=warnings).map(|line| annotation(Kind::Warning, line)).collect();
            let text = commands(&[errors.clone(), warnings].concat());
            assert_eq!(text.lines().count(), want, "{text}");
            let more = text
                .lines()
                .find(|line| line.starts_with("::error") && line.contains("more of them"));
            assert_eq!(more.is_some(), errors.len() > SHOWN, "{text}");
            if errors.len() == 30 {
                let more = more.unwrap();
                assert!(more.contains("line=10,col=3,title=More::21 more"), "{more}");
            }
        }
    }
}
