//! `cargo xtask bench lock`: ward beside everybody else who runs commands under a lock.

pub(super) mod contended;
mod etcd;
pub(super) mod free;
pub(super) mod memory;
mod rivals;
