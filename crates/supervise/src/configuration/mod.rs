//! The configuration as a daemon has it: read on this host, remembered as it was read, read again.
//!
//! What its text means is `ward-config`'s; this room knows files and this host, and decides nothing
//! about programs.

mod builds;
mod compare;
mod disk;
mod memory;

pub use builds::{BUILDS, home_of};
pub use compare::{compare, is_same};
pub use disk::{Disk, HostError, host_in, this_host};
pub use memory::{Memory, MemoryError, Recorder, Replay};
pub(crate) use memory::{read_whole, write_whole};
