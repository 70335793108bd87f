//! Builds: what their results are called, when they are due, and which of those that wait may start.

pub mod cause;
pub mod cron;
pub mod queue;
pub mod result;

pub use cause::Cause;
pub use result::BuildResult;
