//! `cargo xtask bench build`: the build server, from a request to a recorded result.

mod client;
mod figures;
mod scene;

pub(super) use figures::measure;
