//! Custody of a process tree: start it, stream its output, stop it, learn the truth.
//!
//! The engine drives the pure rules of `ward-model` with the system of `ward-sys`. One loop
//! (`drive`) serves every process of ours that has a tree in custody. It knows no command
//! line, no configuration file and no network.
//!
//! - [`front::run`]: a command in the place of this process, as `ward run` has it;
//! - [`embed::Run`]: a command under a guardian of its own, for programs that do other things
//!   beside it;
//! - [`shell_step::prepare`]: a script as a build step;
//! - [`daemon::begin`]: what is to outlive its caller;
//! - [`doctor::examine`]: what this host gives.

#![forbid(unsafe_code)]

mod account;
mod control;
mod custody;
pub mod daemon;
pub mod doctor;
mod drive;
pub mod embed;
mod error;
pub mod front;
mod guardian;
pub mod holders;
pub mod keep;
mod lease;
pub mod ledger;
pub mod locks;
mod notice;
mod output;
pub mod ready;
pub mod renewer;
mod report_file;
pub mod runs;
pub mod shell_step;
pub mod stopping;
mod timers;
mod tree;

pub use error::{EngineError, chain};
pub use output::part as log_part;
