//! Whether the case of letters in a path counts.

/// How the case of paths is read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PathCase {
    /// A path that leads to another route in another case is rejected.
    #[default]
    Unambiguous,
    /// Routes match in any case, for services whose router ignores it.
    Insensitive,
    /// Paths that differ in case are different paths, for services that tell them apart.
    Exact,
}
