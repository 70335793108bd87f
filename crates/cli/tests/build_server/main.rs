//! Whole commands: `ward build` from the outside, its server, its death, `ward up` around it, and the example.
//!
//! `WARD_TEST_ROUNDS` says how often the server is killed; without it, a few times.

#![forbid(unsafe_code)]

mod accounts;
mod as_user;
mod example;
mod kills;
mod local;
mod mistakes;
mod no_room;
mod queue_kills;
mod runner_kills;
mod scene;
mod serving;
mod up;
mod verbs;

type Result<T = ()> = anyhow::Result<T>;
