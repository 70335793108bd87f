//! From the command's pipes to where the caller wants the bytes. Bytes stay bytes.

mod log;
mod relay;
mod rotate;
mod sink;

pub(crate) use log::LogFile;
pub(crate) use relay::{Flow, Relay, Source};
pub use rotate::part;
pub(crate) use sink::Sink;
