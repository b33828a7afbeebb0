//! How much of policies their tests cover: which routes they reach, and which weaker policies they notice. A weaker policy is
//! one that lets in callers who are rejected now, by one step: [`weakenings`] has them all.

mod measure;
mod names;
mod report;
mod routes;
mod run;
pub mod weakening;
pub mod weakenings;

pub use measure::{Coverage, Unnoticed, groups, measure};
pub use report::{CoverageReport, describe};
pub use routes::{Missing, RouteCoverage};
pub use weakening::{Kind, Weakening};
