//! Where a value comes from, kept beside what it means.

use std::fmt;
use std::ops::{Deref, DerefMut};

/// What says where a value was written, and nothing of what it means. All are equal, so that policies
/// that mean the same are equal, whatever the layout of their files.
#[derive(Debug, Clone, Default)]
pub struct Origin<T>(pub T);

impl<T> PartialEq for Origin<T> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl<T> Eq for Origin<T> {}

impl<T> Deref for Origin<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for Origin<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T: fmt::Display> fmt::Display for Origin<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
