//! The rules of custody, without a kernel.
//!
//! What may happen to a process tree, in which order, and what each thing is called.
//! This crate may not do I/O, read a clock, or know how a signal is sent: the engine
//! asks it what to do next and tells it what happened.

#![forbid(unsafe_code)]

pub mod build;
pub mod cluster;
pub mod cookie;
pub mod exit_code;
pub mod life;
pub mod lock;
pub mod names;
pub mod program;
pub mod quantity;
pub mod ready;
pub mod report;
pub mod rung;
pub mod signal;
pub mod spec;
pub mod wire;
