//! Sockets that a server listens on: made as Supervisor makes them, or handed over.
//!
//! Needs no runtime: sockets are there before anything else begins.

mod complaint;
mod listener;
mod unix;

pub use complaint::BindError;
pub use listener::Listener;
pub(crate) use listener::Socket;
pub use unix::UnixSocket;
