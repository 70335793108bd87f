//! Configuration: from text to typed specs, with a place for everything.
//!
//! [`load::load`] reads a `supervisord.conf` with what it includes, checks every key of every
//! section against one table ([`keys`]), and reports all mistakes at once
//! ([`diagnostics`]). The dialect is Supervisor's, quirks included where files may depend on them.
//!
//! This crate knows no runtime: it starts nothing, opens nothing, and asks the system nothing.
//! Files, the environment, accounts and names of the host are handed in ([`host`]).

#![forbid(unsafe_code)]

pub mod build;
pub mod cluster;
pub mod diagnostics;
pub mod group;
pub mod host;
pub mod ini;
pub mod job;
pub mod keys;
mod lint;
pub mod load;
mod nearest;
pub mod program;
mod read;
pub mod reference;
pub mod server;
pub mod source;
pub mod value;

pub use read::Origins;
