//! Where the output of programs goes: channels, log files, rotation, the main log.
//!
//! Single-threaded, and never waits for anybody: neither for a reader of a full pipe nor for a
//! disk without room. Nothing is lost silently: what cannot be written waits where it is, and that is
//! said. Knows no programs, states or events; who calls hands on what comes out.

mod ansi;
pub mod auto;
mod channel;
mod file;
mod files;
mod lines;
mod main_log;
mod notice;
mod outlet;
pub mod reading;
mod rotation;
mod sieve;
mod spool;
mod syslog;
mod through;
mod workbench;

pub use channel::{Channel, ChannelSettings, Next, Progress, Yield};
pub use file::CHUNK;
pub use files::{Files, Log};
pub use main_log::{MainLog, MainLogSettings};
pub use notice::Notice;
pub use rotation::part;
pub(crate) use spool::spooled;
pub use syslog::Syslog;
