//! Hostile children, and a world to run them in. For tests only.
//!
//! - [`hostile`]: a program that misbehaves on command, in every way that is known to make
//!   a supervisor lose, hang on or forget a process;
//! - [`world`]: a place for one test, with everything that starts in it marked, so that what
//!   is left afterwards can be found, named and ended;
//! - [`run`]: `ward run` from the outside: start it, signal it, read it, judge its report;
//! - [`daemons`]: `ward spawn` and its family from the outside, and the ledger that they keep;
//! - [`builds`]: a build server from the outside;
//! - [`etcd`]: real etcd members, to be stopped and killed one by one;
//! - [`pypi`]: foreign clients in environments of their own;
//! - [`registry`]: projects as package registries have them;
//! - [`supervisor`]: Supervisor's daemon, the original or ours, from the outside;
//! - [`cases`]: the tests of a program that has no harness of the compiler's;
//! - [`killers`]: what build servers and logins do to whoever is left;
//! - [`moments`]: when to kill somebody;
//! - [`terminal`]: a person at a pseudo-terminal.

#![forbid(unsafe_code)]

pub mod builds;
pub mod cases;
pub mod controlgroup;
pub mod daemons;
pub mod etcd;
pub mod hostile;
pub mod killers;
pub mod moments;
pub mod patience;
pub mod processes;
pub mod programs;
pub mod pypi;
pub mod registry;
pub mod run;
pub mod sshd;
pub mod supervisor;
pub mod terminal;
pub mod truth;
pub mod world;
