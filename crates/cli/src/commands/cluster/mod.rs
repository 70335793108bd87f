//! Locks among several hosts: which cluster, and the process that keeps them for a run.

mod keeper;
mod which;

pub(super) use keeper::{Kept, keep};
pub(super) use which::{Chosen, chosen, of_surroundings};
