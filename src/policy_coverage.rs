//! How much of policies their tests cover: which routes they reach, and which weaker policies they notice.

pub mod weakening;
pub mod weakenings;

pub use weakening::{Kind, Weakening};
