//! `cargo xtask bench supervise`: `ward up` beside other supervisors, and beside the least that any
//! supervisor has to do.

mod account;
mod beacon;
mod contestants;
mod crowd;
mod gathered;
mod logs;
mod measure;
mod programs;
mod restart;
mod scene;
mod session;
mod wanted;

pub(super) use gathered::{Side, side_table};
pub(super) use measure::measure;
pub(crate) use wanted::Wanted;
