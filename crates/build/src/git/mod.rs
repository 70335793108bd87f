//! Git, by the `git` program alone.
//!
//! Inside a build every command runs by the build's desk: in custody, on its console, ended by its stop. The
//! server's own looks at repositories run in custody too, with a time limit. Nothing here parses a
//! repository's files, and nothing of a user's reaches a shell.

mod address;
mod alone;
mod cache;
mod changelog;
mod checkout;
mod command;
mod error;
mod keys;
mod remote;
mod request;
mod revision;
mod settings;
mod stale;
mod surroundings;
pub mod wipe;

pub use address::shown;
pub use changelog::{MAX_CHANGES, MAX_PATHS};
pub use checkout::checkout;
pub use error::{GitError, Trouble};
pub use remote::{NewHead, PollOutcome, Polled, ls_remote, poll};
pub use request::{Checked, CheckoutRequest, RemoteRequest};
pub use surroundings::{PASSED_ON, surrounded};
