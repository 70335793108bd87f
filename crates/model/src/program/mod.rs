//! One kept program: wanted state, start retries, restart policy, without a kernel.
//!
//! The eight states and the rules between them are Supervisor's; so are the texts of the log.
//!
//! ```text
//! STOPPED ──start──► STARTING ──startsecs over──► RUNNING ──exit──► EXITED ──autorestart──► STARTING
//!    ▲                │  ▲  └──────────stop──────────┴──► STOPPING ──exit──► STOPPED
//!    │      exit, fail│  │delay over                        (KILL every stopwaitsecs)
//!    └──stop─────── BACKOFF ──too many──► FATAL ──start──► STARTING
//! ```
//!
//! This room may not know the time of day, how a process is started, or what the program is called.

mod describe;
mod machine;
mod note;
mod policy;
mod snapshot;
mod state;
mod table;

pub use machine::{
    Action, Change, Event, Machine, REPORT_INTERVAL, SHORTEST_KILL_INTERVAL, StopRequest, Timer,
};
pub use note::{Level, Note, end_text, signal_name};
pub use policy::{Autorestart, Policy};
pub use snapshot::{BadSnapshot, Resumption, Snapshot};
pub use state::State;
pub use table::table;
