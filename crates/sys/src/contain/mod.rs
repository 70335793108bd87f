//! Means to hold a process tree together.

pub mod cgroup;
pub mod process;
pub mod subreaper;
