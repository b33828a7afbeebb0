//! What the tests cover, beside whether they pass.

use clap::{Args, ValueEnum};

use crate::cli::annotations::{Annotation, Kind};
use crate::policy_coverage::{self, Coverage};
use crate::policy_diff::Incomplete;
use crate::policy_test::Suite;

#[derive(Debug, Args)]
pub(super) struct CoverageArgs {
    /// Say which routes the tests reach, and which steps that would make a policy weaker they do not notice
    #[arg(long, conflicts_with = "filter")]
    coverage: bool,
    /// Exit with 1 if something of this is missing; includes `--coverage`
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        value_name = "PART",
        conflicts_with = "filter"
    )]
    require: Vec<Part>,
}

/// A part of what tests cover.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Each route lets a request through and rejects one; a public route lets one through
    Routes,
    /// Each step that would let in callers who are rejected makes a test fail
    Weakenings,
}

impl CoverageArgs {
    /// Measures what is asked for; `None` if nothing is.
    pub(super) fn measure(&self, suites: &[Suite]) -> Option<Result<Vec<Coverage>, Incomplete>> {
        let is_wanted = self.coverage || !self.require.is_empty();
        let groups = is_wanted.then(|| policy_coverage::groups(suites))?;
        Some(groups.iter().map(|group| policy_coverage::measure(group)).collect())
    }

    /// Tells whether all is covered that has to be.
    pub(super) fn is_met_by(&self, coverages: &[Coverage]) -> bool {
        let is_covered = |part: &Part| match part {
            Part::Routes => coverages
                .iter()
                .flat_map(|one| &one.routes)
                .all(|route| route.missing.is_none()),
            Part::Weakenings => coverages.iter().all(|one| one.unnoticed.is_empty()),
        };
        self.require.iter().all(is_covered)
    }

    /// Returns an annotation for each thing that is not covered: an error if it has to be.
    pub(super) fn annotations(&self, coverages: &[Coverage]) -> Vec<Annotation> {
        let kind = |part: Part| match self.require.contains(&part) {
            true => Kind::Error,
            false => Kind::Warning,
        };
        let routes = coverages.iter().flat_map(|one| &one.routes);
        let routes = routes.filter_map(|route| {
            let message = format!("{} is {}", route.name, route.missing?.words());
            Some(Annotation::at(
                &route.location,
                kind(Part::Routes),
                "Not tested",
                message,
            ))
        });
        let unnoticed = coverages.iter().flat_map(|one| &one.unnoticed);
        let unnoticed = unnoticed.map(|one| {
            let message = format!("{}\n{}", one.sentence(), one.lets_in());
            Annotation::at(&one.location, kind(Part::Weakenings), "Not noticed by a test", message)
        });
        routes.chain(unnoticed).collect()
    }
}
