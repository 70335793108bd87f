//! Test results: files in the format that JUnit's first reporters wrote and that everybody writes today, each
//! a little differently.
//!
//! Files are read as they come, by any tool, broken or hostile: one that cannot be read is a failed test of its
//! own and hides no other. What failed before is told apart from what fails now by comparing with an older
//! build. Nothing here decides what a build becomes but by Jenkins' rules of its JUnit publisher.

mod characters;
mod compare;
mod cut;
mod parse;
mod take;

pub use compare::compare;
pub use parse::{Broken, Budget, Parsed, parse};
pub use take::{Taken, count, take};
