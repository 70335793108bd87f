//! Locks around work, on one host, without a daemon: the kernel knows who holds them.
//!
//! A lock is a file in the lock directory. Who asks writes himself into its queue and locks a
//! byte of his own, through an open file description that the work inherits: the byte is free
//! when the last of them is gone, however he went, and with it the place in the queue. The
//! rules of the queue are `ward_model::lock`.
//!
//! ```no_run
//! use ward_lock::{Order, Patience};
//!
//! let order = Order::exclusive("deploy");
//! let held = order.acquire(Patience::Never, &mut |_| {})?;
//! println!("token {}", held.token());
//! held.release();
//! # Ok::<(), ward_lock::LockError>(())
//! ```

#![forbid(unsafe_code)]

mod acquire;
mod error;
mod listing;
mod place;
mod store;

pub use acquire::{Held, Order, Patience, Waiting};
pub use error::LockError;
pub use listing::{Listed, all, one};
pub use place::{check_name, locate};
pub use store::Record;
