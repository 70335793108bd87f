//! The whole server against a supervisor that is kept in memory: over TCP and unix sockets, with well-behaved
//! clients and others.

mod http;
mod limits;
mod page;
mod pause;
mod python;
mod rpc;
mod sockets;
mod tails;
mod world;
