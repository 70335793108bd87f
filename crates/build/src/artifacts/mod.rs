//! Files that a build keeps: chosen by Ant's notation, taken without ever leaving the workspace, given out
//! again.
//!
//! What is in a workspace is written by strangers, who may change it while it is being read. So everything is
//! opened step by step from the workspace's own descriptor, and what was opened is what is looked at. Nothing
//! here knows HTTP, or what a page looks like.

mod copy;
mod crc;
mod glob;
mod keep;
mod serve;
mod tally;
mod walk;
mod zip;

pub use glob::{BadPattern, Patterns, Place};
pub use keep::{Kept, Limits, keep, keep_within};
pub use serve::{Listed, NotServed, Served, list, open};
pub use walk::{Found, Oddity, Visitor, Walked, walk};
pub use zip::Zip;
