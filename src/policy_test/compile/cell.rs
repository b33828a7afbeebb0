//! A cell of a test file, by the places of what it is made of.

use std::ops::Range;
use std::sync::Arc;

use crate::policy_test::case::{Expected, TestName};

/// A request of a file by its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum RequestIndex {
    /// That of a row of the matrix.
    Row(usize),
    /// One of a test.
    Test(usize, usize),
}

/// Returns the cells of a test, by its place among those of the file, and the place of the first of them. Cells are in the order of
/// tests, behind those of the matrix.
pub(super) fn of_test(cells: &[Cell], test: usize) -> (usize, &[Cell]) {
    let start = cells.partition_point(|cell| cell.test < Some(test));
    let end = cells.partition_point(|cell| cell.test <= Some(test));
    (start, cells.get(start..end).unwrap_or_default())
}

/// One caller with one request.
#[derive(Debug)]
pub(super) struct Cell {
    /// The test.
    pub(super) name: Arc<TestName>,
    /// The place of the test among those of the file; none of a matrix.
    pub(super) test: Option<usize>,
    /// The caller, by its place in the file.
    pub(super) caller: usize,
    /// The request.
    pub(super) request: RequestIndex,
    /// What is expected.
    pub(super) expected: Arc<Expected>,
    /// The bytes of the expected outcome.
    pub(super) span: Range<usize>,
}
