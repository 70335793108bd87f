//! The network face: HTTP on unix and TCP sockets, XML-RPC, the status page, log tails, authentication.
//!
//! It decides nothing about programs: every call becomes one of [`ward_supervise::api::Control`].

#![forbid(unsafe_code)]

pub mod builds;
pub mod client;
pub mod host;
pub mod http;
mod jenkins;
pub mod listen;
mod page;
mod rpc;
pub mod secure;
mod site;
mod watch;
pub mod xmlrpc;
