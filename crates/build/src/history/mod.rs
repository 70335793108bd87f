//! The history: what is known of jobs, builds, the queue and views, in one SQLite database.
//!
//! The server has one connection that writes and one that reads ([`store`]). Whatever happens together is
//! written in one transaction. Rows are found by index only, all values are bound, statements are prepared
//! once. Logs, artifacts and posted jobs are files beside the database; nothing here touches them.
//!
//! This room knows no process, no clock and no rule of when something is built.

pub mod branches;
pub mod builds;
pub mod jobs;
pub mod notices;
pub mod past;
pub mod requests;
mod schema;
pub mod store;

pub use schema::VERSION;
pub use store::{HistoryError, copy, copy_of, reader, writer};
