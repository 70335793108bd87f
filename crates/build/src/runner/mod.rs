//! The process of one build: it goes on when the server dies, and writes down how it ended.
//!
//! ```text
//! locks ─► workspace ─► checkout ─► .ward.conf ─► steps ─► artifacts ─► test results ─► outcome
//!   │          │            │            │          │           │             │            ▲
//!   └──────────┴────────────┴─ a stop, a limit, a failure ──────┴─────────────┴────────────┘
//! ```
//! What is done writes to the console and runs commands through a [`Desk`] only. The runner parses nothing
//! from the network, knows no other build, and tells nobody how it went: the server reads its files.

mod build;
mod checkout;
pub mod desk;
mod local;
mod locks;
mod lost;
mod masked;
mod orphans;
mod results;
mod role;
mod secrets;
mod steps;
mod stops;
mod words;
mod worker;

pub use desk::{Desk, Ran};
pub use local::run_local;
pub use role::{Found, Started, adopt, by_role, complaint, reap, start, stop};
