//! Schema and `check` agree: on mutants of documents and of shipped files, and on a corpus of faulty files.

use std::{collections::BTreeSet, fs, path::Path, thread};

use serde_json::Value;
use sidegate::document::problem::ProblemCode;

use super::format::{Format, ROOT, as_json, parsed};
use super::mutants::{mutants, pointers};

/// What `check` finds and a schema cannot say, and why.
const UNSAID: &[(ProblemCode, &str)] = {
    use ProblemCode as P;
    const OTHER_FILES: &str = "it depends on variables and on other files";
    const OTHER_BLOCKS: &str = "it depends on another block, route or item of the file";
    &[
        (P::VariableNotSet, OTHER_FILES),
        (P::NamedFileUnreadable, OTHER_FILES),
        (P::FileUnreadable, OTHER_FILES),
        (P::NoPolicyFiles, OTHER_FILES),
        (P::SecretEmpty, OTHER_FILES),
        (P::SecretIsPublic, OTHER_FILES),
        (P::SecretEncoding, OTHER_FILES),
        (P::WeakKey, OTHER_FILES),
        (P::InvalidKey, OTHER_FILES),
        (P::InvalidPem, OTHER_FILES),
        (P::InvalidCertificate, OTHER_FILES),
        (P::CertificateExpired, OTHER_FILES),
        (P::InvalidPrivateKey, OTHER_FILES),
        (P::PrivateKeyMismatch, OTHER_FILES),
        (P::InvalidRevocationList, OTHER_FILES),
        (P::AlgorithmKeyMismatch, OTHER_FILES),
        (P::AuthNotConfigured, OTHER_BLOCKS),
        (P::CaseContradiction, OTHER_BLOCKS),
        (P::DuplicateAddress, OTHER_BLOCKS),
        (P::DuplicateItem, OTHER_BLOCKS),
        (P::DuplicateKey, OTHER_BLOCKS),
        (P::HeaderConflict, OTHER_BLOCKS),
        (P::IssuerMismatch, OTHER_BLOCKS),
        (P::IssuerOverlap, OTHER_BLOCKS),
        (P::IssuerValues, OTHER_BLOCKS),
        (P::PassNotAllowed, OTHER_BLOCKS),
        (P::QuotaConflict, OTHER_BLOCKS),
        (P::QuotaScope, OTHER_BLOCKS),
        (P::ResourceAudience, OTHER_BLOCKS),
        (P::ResourceConflict, OTHER_BLOCKS),
        (P::RouteConflict, OTHER_BLOCKS),
        (P::RouteUnreachable, OTHER_BLOCKS),
        (P::SandboxWithoutQuotas, OTHER_BLOCKS),
        (P::UnknownRole, OTHER_BLOCKS),
        (P::ConditionContradiction, OTHER_BLOCKS),
        (P::ConditionType, OTHER_BLOCKS),
        (P::UnknownParameter, OTHER_BLOCKS),
        (
            P::DuplicateField,
            "parsers of JSON and YAML keep one of two fields with one name",
        ),
        (P::InvalidDigest, "the digest of an empty secret is a digest"),
        (P::ReservedHeader, "headers have many spellings"),
        (
            P::UnknownMethod,
            "a method that looks like a misspelling may be another one",
        ),
    ]
};

/// Places where a code that a schema can say depends on another field, or on a variable.
const UNSAID_AT: &[(&str, &[ProblemCode])] = {
    use ProblemCode as P;
    &[
        ("/refresh", &[P::OutOfRange]),
        ("/max_stale", &[P::OutOfRange]),
        ("connections", &[P::OutOfRange]),
        ("requests", &[P::OutOfRange]),
        ("/redis", &[P::FieldNeedsOther]),
        ("/control", &[P::InvalidAddress]),
        // Read only if the variable is not set.
        (
            "/default",
            &[
                P::InvalidUpstreamUrl,
                P::InvalidUrl,
                P::InsecureUrl,
                P::InvalidIssuer,
                P::InvalidRedisUrl,
                P::TlsOnly,
            ],
        ),
    ]
};

/// Files of the corpus in which a code that a schema can say depends on another field.
const UNSAID_IN: &[(&str, ProblemCode)] = &[
    ("jwks-stale-before-refresh", ProblemCode::OutOfRange),
    ("limits-client-above-all", ProblemCode::OutOfRange),
    ("store-user-without-password", ProblemCode::FieldNeedsOther),
    ("control-too-long", ProblemCode::InvalidAddress),
    ("when-header-is-a-credential", ProblemCode::SecretInFile),
    ("when-too-many-parameters", ProblemCode::TooLarge),
    ("yaml-zero-width-space", ProblemCode::InvisibleCharacter),
];

/// What schema and `check` do not agree on about a mutant of a document, if anything.
fn disagreement(format: &Format, document: &Value, mutant: &Value) -> Option<String> {
    let problems = format.errors(format!("{mutant:#}"));
    let (place, change) = difference(document, mutant);
    if !format.validator.is_valid(mutant) {
        let why = format.validator.iter_errors(mutant).map(|error| error.to_string());
        let why = why.collect::<Vec<_>>().join("; ");
        return problems
            .is_empty()
            .then(|| format!("{change}: the schema alone rejects it: {why}"));
    }
    let here = UNSAID_AT.iter().filter(|(part, _)| place.contains(part));
    let here: Vec<_> = here.flat_map(|(_, codes)| *codes).collect();
    let is_unsaid = |code| here.contains(&&code) || UNSAID.iter().any(|(unsaid, _)| *unsaid == code);
    let alone = problems.iter().find(|problem| !is_unsaid(problem.code()))?;
    Some(format!("{change}: check alone rejects it: {} {alone}", alone.code()))
}

/// What schema and `check` think of the mutants of some documents.
#[derive(Default)]
struct Verdicts {
    tried: usize,
    /// Where they differ, by the change.
    wrong: BTreeSet<String>,
}

impl Verdicts {
    /// One of so many mutants is tried.
    fn of(format: &Format, document: &Value, step: usize) -> Self {
        let mut verdicts = Self::default();
        for mutant in mutants(document).into_iter().step_by(step) {
            verdicts.tried += 1;
            verdicts.wrong.extend(disagreement(format, document, &mutant));
        }
        verdicts
    }

    fn add(&mut self, other: Self) {
        self.tried += other.tried;
        self.wrong.extend(other.wrong);
    }
}

#[test]
fn schema_and_check_agree_on_every_mutant() {
    let mut all = Verdicts::default();
    let formats = Format::all();
    thread::scope(|scope| {
        let mut running = Vec::new();
        for format in &formats {
            for document in format.complete() {
                running.push(scope.spawn(move || Verdicts::of(format, &document, 3)));
            }
            // Longer, and much the same.
            for path in format.shipped().into_iter().step_by(3) {
                running.push(scope.spawn(move || Verdicts::of(format, &as_json(&path), 30)));
            }
        }
        for one in running {
            all.add(one.join().unwrap());
        }
    });
    let wrong: Vec<_> = all.wrong.iter().map(String::as_str).collect();
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        all.tried,
        wrong.join("\n")
    );
    assert!(all.tried > 3000, "{}", all.tried);
}

/// Where two documents differ, and what stands there.
fn difference(document: &Value, mutant: &Value) -> (String, String) {
    let places: BTreeSet<String> = pointers(document).into_iter().chain(pointers(mutant)).collect();
    let differs = |place: &&String| document.pointer(place) != mutant.pointer(place);
    let deepest = places
        .iter()
        .filter(differs)
        .max_by_key(|place| (place.matches('/').count(), place.len()));
    let place = deepest.cloned().unwrap_or_default();
    let change = match mutant.pointer(&place) {
        Some(value) => format!("{place} = {value}"),
        None => format!("{place} removed"),
    };
    (place, change)
}

/// The codes of errors in a reviewed report.
fn reported(report: &str) -> BTreeSet<&str> {
    let lines = report.lines().filter_map(|line| line.strip_prefix("error["));
    lines.filter_map(|line| line.split(']').next()).collect()
}

#[test]
fn schema_and_check_agree_on_every_faulty_file() {
    let (mut tried, mut rejected, mut wrong) = (0, 0, Vec::new());
    for (format, folder) in [(Format::policy(), "policies"), (Format::config(), "configs")] {
        let folder = Path::new(ROOT).join("tests/it/faulty").join(folder);
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap();
            let Ok(report) = fs::read_to_string(path.with_extension("txt")) else {
                continue;
            };
            let yaml = path.extension().is_some_and(|extension| extension == "yaml");
            // A text that is not YAML, or has a field twice, is not for a schema.
            let Some(document) = yaml.then(|| parsed(&fs::read_to_string(&path).unwrap())).flatten() else {
                continue;
            };
            tried += 1;
            let codes = reported(&report);
            let valid = format.validator.is_valid(&document);
            rejected += usize::from(!valid);
            let unsaid = |code: &str| {
                UNSAID.iter().any(|(unsaid, _)| unsaid.as_str() == code)
                    || UNSAID_IN
                        .iter()
                        .any(|(file, unsaid)| *file == name && unsaid.as_str() == code)
            };
            if valid && !codes.iter().all(|code| unsaid(code)) || !valid && codes.is_empty() {
                wrong.push(format!("{name}: the schema accepts it: {valid}; check says {codes:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(tried > 120 && rejected > 90, "{tried} {rejected}");
}
