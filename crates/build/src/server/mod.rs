//! The build server: jobs, the queue, what runs, and what comes after a build.
//!
//! [`Server`] answers everything in [`crate::api::Builds`]. One lock holds all that changes, with the one
//! connection that writes the history: whatever is said to be done has been written. What takes long
//! (looking into repositories, telling people, removing old builds) is done in lanes of a few threads.
//! A scheduler thread sleeps until a runner ends, a quiet period is over, or somebody wakes it.
//!
//! The server may be killed between any two lines: runners go on, and a new server finds in the history and
//! in the directories what has to be done.

mod asking;
mod changing;
mod copying;
mod door;
mod downstream;
mod ending;
mod folders;
mod home;
mod known;
mod lanes;
mod names;
mod notifying;
mod opening;
mod parameters;
mod polling;
mod processes;
mod remains;
mod room;
mod scheduler;
mod sealing;
mod shown;
mod starting;
mod state;
mod sweeping;
mod timing;
mod viewing;

pub use home::OpenError;
pub use parameters::resolve as resolve_parameters;
pub use starting::environment as step_environment;
pub use state::{Server, ServerSettings};

/// The largest `config.xml` that is read, bytes: as large as one may be to be understood.
const LARGEST_DOCUMENT: u64 = 1 << 20;
