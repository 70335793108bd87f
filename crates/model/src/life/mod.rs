//! One attempt of one process tree, from the first exec to the last byte of its output.
//!
//! ```text
//! Spawning ──► Running ──leader exited──► Lingering ──tree empty──► Draining ──output ended──► Done
//!    │            └──stop──► Stopping ◄──grace for left-overs over──┘   ▲ ▲
//!    │                          ├───────────────tree empty─────────────┘ │
//!    │                          └──grace over──► Killing ──tree empty─────┘
//!    └──failed──► Done
//! ```

mod machine;
mod outcome;
mod table;

pub use machine::{Action, Event, KILL_INTERVAL, Life, Policy, State, StopRequest, Timer};
pub use outcome::{CauseKind, End, Outcome};
pub use table::table;
