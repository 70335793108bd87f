//! What clients have done: by POST, for who may.

mod build;
mod create;
mod job;
mod queue;
mod request;
mod views;

pub(super) use build::act as on_build;
pub(super) use create::create;
pub(super) use job::{act as on_job, delete, on_folder};
pub(super) use queue::{cancel, quiet_down};
pub(crate) use request::{delay, given, started};
pub(super) use views::{act as on_view, create as create_view};
