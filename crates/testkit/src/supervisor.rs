//! Supervisor's daemon from the outside, the original or ours: start it in a directory of its
//! own, ask it over its socket, read its logs, signal it, see how it ends.
//!
//! Nothing here comes from the crates under test: requests are written and answers are read by
//! hand ([`http`], [`xml`]), so that both subjects are judged by the same foreign eyes.
//!
//! - [`kit`]: who can be tried here: the original, installed into an environment of its own,
//!   and ours;
//! - [`stage`]: a directory for one test;
//! - [`daemon`]: a daemon that runs in it.

pub mod daemon;
pub mod http;
pub mod kit;
pub mod stage;
pub mod xml;
