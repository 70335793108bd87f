//! Jenkins' REST, as its clients use it: what is shown (`api/json` and its kin, logs, artifacts) and what is
//! done (jobs, builds, queue, views).
//!
//! Whoever comes here may read; what takes more is asked here.

mod act;
mod answer;
mod api;
mod artifacts;
mod export;
mod log;
mod refusal;
mod show;
mod ward;
mod workspace;
mod world;
mod zip;

pub(crate) use act::{delay, given, started};
pub(crate) use answer::answer;
pub(crate) use refusal::refused;
pub(crate) use world::job_path;
