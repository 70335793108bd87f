//! The daemon: registry of groups and processes, their machines driven by what the keeper and the clock
//! tell, their outputs and listeners, and what can be asked of it all.
//!
//! One thread and one loop, which somebody else hosts. Nothing in here parses what comes from a network,
//! and nothing waits.

mod acting;
mod adopting;
mod command;
mod control;
mod core;
mod delivery;
mod ending;
mod fcgi;
mod info;
mod keeping;
mod listening;
mod moments;
mod names;
mod orders;
mod outdated;
mod program;
mod recall;
mod reload;
mod saved;
mod settle;
mod sockets;
mod spawning;
mod starting;
mod streams;
mod timers;
mod tree;

pub use self::control::Supervisor;
pub use self::core::{Core, Outcome, Settings};
pub use self::recall::remembered;
pub use self::reload::first_mistake;
pub use self::settle::{Unsettled, drop_privileges, raise_limits};
pub use self::starting::{ActivateError, Beginning, StartError, log_files};
