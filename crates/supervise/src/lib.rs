//! Programs that are kept: registry, groups, states, events, listeners, log channels, and the keeper
//! that holds on to everything while the daemon is away.
//!
//! Knows nothing of HTTP or XML, and nothing of arguments and terminals: [`api`] is its face.

#![forbid(unsafe_code)]

pub mod api;
pub mod configuration;
pub mod daemon;
pub mod events;
pub mod keeper;
pub mod logs;
