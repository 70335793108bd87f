//! `ward ctl` beside the original's supervisorctl, command by command.
//!
//! Each has a real supervisord 4.3.0 of its own, with the same configuration in a directory of its own;
//! both are told the same, and must print the same and end with the same status. What cannot be the same
//! (paths, process ids, times, the words of help) is taken out on both sides; what differs on purpose is
//! in [`differences`] with what ours does instead.
//!
//! `WARD_TEST_SUPERVISOR_VENV` names a Python environment that has the original; else one is made below
//! the target directory; where that is not possible, nothing is compared, and it is said.

#![forbid(unsafe_code)]

mod differences;
mod following;
mod pairs;
mod proxy;
mod same;
mod shell;
mod terminal;

type Result<T = ()> = anyhow::Result<T>;
