//! Custody of a process tree: start it, stream its output, stop it, learn the truth.

#![forbid(unsafe_code)]

mod account;
mod control;
mod custody;
mod drive;
pub mod doctor;
mod error;
pub mod front;
mod guardian;
mod notice;
mod output;
mod report_file;
pub mod shell_step;
mod timers;
mod tree;

pub use error::EngineError;
