//! Locks around work, on one host, without a daemon: the kernel knows who holds them.
//!
//! A lock is a file in the lock directory. Who asks writes himself into its queue and locks a
//! byte of his own, through an open file description that the work inherits: the byte is free
//! when the last of them is gone, however he went, and with it the place in the queue. The
//! rules of the queue are `ward_model::lock`.
//!
//! ```no_run
//! use ward_lock::Directory;
//!
//! let locks = Directory::usual()?;
//! let guard = locks.lock("deploy")?;
//! println!("token {}", guard.token());
//! drop(guard);
//! if let Some(guard) = locks.try_lock("deploy")? {
//!     println!("nobody else was at it: {}", guard.token());
//! }
//! # Ok::<(), ward_lock::LockError>(())
//! ```

#![forbid(unsafe_code)]

mod acquire;
mod audit;
mod collect;
mod deadlock;
mod durable;
mod error;
#[cfg(feature = "etcd")]
pub mod etcd;
mod held;
mod history;
#[cfg(feature = "etcd")]
pub mod hosts;
mod image;
mod kept;
mod line;
mod listing;
mod locks;
mod name;
mod pages;
mod people;
mod place;
mod record;
mod request;
mod seat;
mod simple;
mod store;
mod surroundings;
mod text;
mod timestamp;
mod together;
mod turns;
mod wait;
pub mod words;

pub use acquire::Tell;
pub use audit::AuditLog;
pub use error::LockError;
pub use held::{Guard, Held};
pub use listing::{Listed, Listing};
pub use locks::{Grant, Holding, Locks};
pub use name::{Badge, check_name};
pub use place::Directory;
pub use record::{Ended, Past, Record, Statistics};
pub use request::{Crowd, Gives, Patience, Request, Waiting, Wanted};
pub use simple::Acquiring;
pub use turns::{Turn, Turns};
