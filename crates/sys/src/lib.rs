//! The operating system, wrapped safely.
//!
//! The only room with unsafe code. It knows how Linux does a thing and never why ward
//! wants it: no policy, no messages for people, no state that outlives a call but what
//! its types own. Every unsafe block says why it is sound.

pub mod account;
pub mod arena;
pub mod clock;
pub mod code;
pub mod contain;
pub mod fifo;
pub mod finish;
pub mod fork;
pub mod handover;
pub mod heap;
pub mod lease;
pub mod limits;
pub mod lockfile;
pub mod mapped;
pub mod notify;
pub mod pidfd;
pub mod pipe;
pub mod procfs;
pub mod reap;
pub mod shared;
pub mod signals;
pub mod spawn;
pub mod stage;
pub mod start;
pub mod terminal;
pub mod words;

pub use rustix::process::Pid;
