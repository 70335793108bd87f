//! `cargo xtask bench build`: the build server, from a request to a recorded result, beside others.

mod buildbot;
mod client;
mod follow;
mod gathered;
mod measure;
mod past;
mod scene;
mod ward;

pub(super) use measure::measure;
