//! Jobs and their builds: from a pushed commit to a truthful result.
//!
//! Two kinds of processes share this crate. The **server** ([`server`]) knows the jobs, decides what runs
//! when, and keeps the history; it may be killed or replaced at any time. A **runner** ([`runner`]) is the
//! process of one build: it checks out, runs the steps in custody, keeps what is to be kept, and writes down
//! how it ended, whether a server is there or not. They meet in the build's directory: a [`plan`] goes in,
//! [`state`] and the log can be read at any time, an [`outcome`] comes out by one rename.
//!
//! What the network may ask for is [`api`]. This crate knows no HTTP server, and no page.

#![forbid(unsafe_code)]

pub mod access;
pub mod api;
pub mod artifacts;
pub mod console;
pub mod environment;
pub mod git;
pub mod history;
pub mod jenkins;
pub mod junit;
pub mod masking;
pub mod notify;
pub mod outcome;
pub mod plan;
pub mod retention;
pub mod runner;
pub mod server;
pub mod state;
pub mod triggers;
pub mod workspaces;

pub use ward_config::job;
