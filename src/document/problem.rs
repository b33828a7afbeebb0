//! What is wrong with a file, where it stands, and what would fix it.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::characters::in_one_line;
use super::masks::HIDDEN;
use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

mod codes;
mod fault;
mod location;

pub use codes::ProblemCode;
pub use fault::Fault;
use location::Excerpt;
pub use location::{Location, SourceFile};

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The file is rejected.
    Error,
    /// The file is accepted, and likely says something else than its author means.
    Warning,
}

impl Severity {
    /// The word for reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// Something wrong in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    severity: Severity,
    code: ProblemCode,
    location: Location,
    message: String,
    help: String,
}

impl Problem {
    /// An error at a location. Secrets of the file are taken out of its texts.
    pub fn new(location: Location, fault: &Fault) -> Self {
        Self {
            severity: Severity::Error,
            code: fault.code,
            message: location.clean(&fault.message),
            // What may be a secret is left out, and the rest still shows the form.
            help: location.clean(&fault.help).replace(HIDDEN, "…"),
            location,
        }
    }

    /// A warning at a location.
    pub fn warning(location: Location, fault: &Fault) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::new(location, fault)
        }
    }

    /// Whether the file is rejected for it.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// How bad it is.
    pub fn severity(&self) -> Severity {
        self.severity
    }

    /// What kind of problem it is.
    pub fn code(&self) -> ProblemCode {
        self.code
    }

    /// Where it is.
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// What is wrong.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What would fix it.
    pub fn fix(&self) -> &str {
        &self.help
    }

    /// The code, `file:line:column`, the line, a caret under the location, and the fix. No text of the file begins a line, nor
    /// has it a character that a terminal acts on.
    pub fn render(&self, styled: bool) -> String {
        let renderer = if styled { Renderer::styled() } else { Renderer::plain() };
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let (message, help) = (in_one_line(&self.message), in_one_line(&self.help));
        let title = level.primary_title(message).id(self.code.as_str());
        let excerpt = self.location.excerpt();
        let group = match &excerpt {
            Excerpt::Nothing(why) => title.element(Level::NOTE.message(format!("at {}{why}", self.location))),
            Excerpt::Line(line, span) => title.element(
                Snippet::source(line.as_str())
                    .path(in_one_line(self.location.file()))
                    .line_start(self.location.line())
                    .annotation(AnnotationKind::Primary.span(span.clone())),
            ),
        };
        renderer.render(&[group.element(Level::HELP.message(help))])
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            code,
            location,
            message,
            help,
            ..
        } = self;
        let (message, help) = (in_one_line(message), in_one_line(help));
        write!(f, "{location}: [{code}] {message} ({help})")
    }
}

/// The most problems that are kept of one file: to show one, its file is read.
const MAX_PROBLEMS: usize = 1000;

/// Proof that an error was reported: only [`Problems`] makes one. A reader that fails returns it, so
/// that nothing which cannot be read is left out silently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reported(());

/// The field that is being read, to show how it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// Whether its absence is a problem.
    pub is_required: bool,
}

/// The problems found so far in one file.
#[derive(Debug)]
pub struct Problems {
    source: Arc<SourceFile>,
    found: Vec<Problem>,
    /// The mappings with an unknown field, by their first bytes.
    unknown: BTreeSet<usize>,
    /// Where the first one is that was not kept.
    more: Option<Location>,
    has_errors: bool,
    /// The field that is being read.
    field: Option<Field>,
}

impl Problems {
    /// None yet.
    pub fn of(source: Arc<SourceFile>) -> Self {
        Self {
            source,
            found: Vec::new(),
            unknown: BTreeSet::new(),
            more: None,
            has_errors: false,
            field: None,
        }
    }

    /// The file that the problems are in.
    pub fn source(&self) -> &Arc<SourceFile> {
        &self.source
    }

    /// Reports an error, with what would fix it.
    pub fn add(
        &mut self,
        span: &Range<usize>,
        code: ProblemCode,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Reported {
        self.add_fault(span, &Fault::new(code, message, help))
    }

    /// Reports an error that was found in a value without its place.
    pub fn add_fault(&mut self, span: &Range<usize>, fault: &Fault) -> Reported {
        self.has_errors = true;
        self.keep(Problem::new(self.location(span), fault));
        Reported(())
    }

    /// Reports what the file is not rejected for.
    pub fn warn(
        &mut self,
        span: &Range<usize>,
        code: ProblemCode,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.keep(Problem::warning(self.location(span), &Fault::new(code, message, help)));
    }

    fn location(&self, span: &Range<usize>) -> Location {
        Location::new(&self.source, span)
    }

    /// Whether a further problem is shown: what is not shown need not be explained.
    pub fn has_room(&self) -> bool {
        self.found.len() < MAX_PROBLEMS
    }

    fn keep(&mut self, problem: Problem) {
        match self.has_room() {
            true => self.found.push(problem),
            false => self.more = self.more.take().or(Some(problem.location)),
        }
    }

    /// Reads a field, whose name the problems of its value may then show.
    pub fn within<T>(&mut self, field: Field, read: impl FnOnce(&mut Self) -> T) -> T {
        let outer = self.field.replace(field);
        let value = read(self);
        self.field = outer;
        value
    }

    /// The innermost field that is being read.
    pub fn field(&self) -> Option<Field> {
        self.field
    }

    /// Notes that a mapping, which begins at a byte, has an unknown field.
    pub fn note_unknown_field(&mut self, mapping: usize, _: Reported) {
        self.unknown.insert(mapping);
    }

    /// Whether a mapping has an unknown field: what it lacks may be what that was meant for.
    pub fn unknown_field_in(&self, mapping: usize) -> Option<Reported> {
        self.unknown.contains(&mapping).then_some(Reported(()))
    }

    /// Hides the value of an unknown field from excerpts.
    pub fn hide(&self, value: Range<usize>) {
        self.source.hide(value);
    }

    /// Whether the file is rejected.
    pub fn has_errors(&self) -> bool {
        self.has_errors
    }

    /// All problems in the order of the file. Where there are too many, the last one says so.
    pub fn into_sorted(mut self) -> Vec<Problem> {
        self.found.sort_by_key(|p| p.location.span().start);
        let severity = match self.has_errors {
            true => Severity::Error,
            false => Severity::Warning,
        };
        let more = |location| {
            let fault = Fault::new(
                ProblemCode::TooManyProblems,
                "there are more problems than are listed here",
                "fix these, and check again",
            );
            Problem {
                severity,
                ..Problem::new(location, &fault)
            }
        };
        self.found.extend(self.more.map(more));
        self.found
    }
}

#[cfg(test)]
mod tests {
    use super::super::suggestion::suggest;
    use super::*;

    #[test]
    fn a_problem_says_where_it_is_and_what_would_fix_it() {
        let source = Arc::new(SourceFile::new("a.yaml", "é: 1\nalgoritms: x\n"));
        let fault = Fault::new(
            ProblemCode::UnknownField,
            "unknown field `algoritms`",
            suggest("algoritms", ["issuer", "algorithms"]),
        );
        let problem = Problem::new(Location::new(&source, &(6..15)), &fault);
        assert_eq!((problem.location().line(), problem.location().column()), (2, 1));
        let text = problem.render(false);
        for part in [
            "error[unknown_field]: unknown field `algoritms`",
            "a.yaml:2:1",
            "algoritms: x",
            "^^^^^^^^^",
            "did you mean `algorithms`?",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn text_of_a_file_begins_no_line_of_a_report() {
        let command = "::stop-commands::x";
        for end in [
            "\n",
            "\r",
            "\r\n",
            "\u{1b}[2K\r",
            "\u{85}",
            "\u{2028}",
            "\u{9b}1A",
            "\u{b}",
            "\u{c}",
        ] {
            let text = format!("{command}{end}\nmode: \"sha{end}{command}\"{end}\n{command}\n");
            let name = format!("a{end}{command}.yaml");
            let file = Arc::new(SourceFile::new(&name, &text));
            let words = format!("`sha{end}{command}` is not a word");
            let fault = Fault::new(
                ProblemCode::UnknownWord,
                words,
                format!("write it without `{end}{command}`"),
            );
            let whole = Location::of_file(std::path::Path::new(&name));
            let (first, behind) = (text.find("mode").unwrap(), text.rfind(command).unwrap());
            for location in [
                Location::new(&file, &(0..2)),
                Location::new(&file, &(first..first + 4)),
                Location::new(&file, &(first + 6..behind - 1)),
                whole,
            ] {
                let problem = Problem::new(location, &fault);
                let shown = problem.render(false);
                let is_odd = |c: char| c != '\n' && super::super::characters::is_acted_on(c);
                assert!(!shown.contains(is_odd), "{end:?}: {shown:?}");
                assert!(
                    !shown.lines().any(|line| line.trim_start().starts_with("::")),
                    "{end:?}: {shown}"
                );
                let shown = problem.to_string();
                assert_eq!(
                    (shown.lines().count(), shown.find(is_odd)),
                    (1, None),
                    "{end:?}: {shown}"
                );
            }
        }
    }

    #[test]
    fn a_list_of_problems_has_an_end_and_says_so() {
        let source = Arc::new(SourceFile::new("a.yaml", "a: 1\n"));
        let mut problems = Problems::of(source);
        for number in 0..5000 {
            problems.add(&(0..1), ProblemCode::WrongType, format!("problem {number}"), "mend it");
        }
        let problems = problems.into_sorted();
        assert_eq!(problems.len(), MAX_PROBLEMS + 1);
        assert_eq!(problems[999].message(), "problem 999");
        assert_eq!(problems[1000].message(), "there are more problems than are listed here");
    }

    #[test]
    fn an_error_behind_many_warnings_rejects_the_file() {
        let source = Arc::new(SourceFile::new("a.yaml", "a: 1\n"));
        let mut problems = Problems::of(source);
        for _ in 0..MAX_PROBLEMS {
            problems.warn(&(0..1), ProblemCode::ShadowMode, "odd", "mend it");
        }
        assert!(!problems.has_errors());
        problems.add(&(0..1), ProblemCode::WrongType, "wrong", "mend it");
        assert!(problems.has_errors());
        let problems = problems.into_sorted();
        assert!(problems.iter().any(Problem::is_error));
        assert!(problems[0].render(false).starts_with("warning[shadow_mode]: odd"));
    }

    #[test]
    fn unreadable_line_is_not_shown() {
        let source = Arc::new(SourceFile::new(
            "a.yaml",
            format!("a: 1\nb: [{}]\n", "x, ".repeat(100_000)),
        ));
        let fault = Fault::new(ProblemCode::WrongType, "wrong", "mend it");
        let problem = Problem::new(Location::new(&source, &(200_000..200_001)), &fault);
        let text = problem.render(false);
        for part in ["error[wrong_type]: wrong", "a.yaml:2:199996", "mend it"] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(text.len() < 200, "{text}");
        let first = Problem::new(Location::new(&source, &(0..1)), &fault).render(false);
        assert!(first.contains("1 | a: 1"), "{first}");
    }
}
