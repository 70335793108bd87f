//! The commands of the original, by what they are about.

pub(super) mod daemon;
pub(super) mod groups;
pub(super) mod logs;
pub(super) mod processes;
pub(super) mod status;
