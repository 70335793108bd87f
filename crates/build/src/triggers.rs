//! What starts builds: the time, and what forges tell.
//!
//! Nothing here is believed: a webhook says where to look, never what to build, and whose it is is settled
//! by its signature. Nothing here does anything either: the server polls, and asks for builds.

pub mod branches;
pub mod hooks;
mod repository;
pub mod seed;
pub mod timer;

pub use branches::BranchSpec;
pub use repository::same_repository;
pub use seed::jenkins_seed;
pub use timer::{Ticker, Timer, TimerError};
