//! Whole commands: `ward build` from the outside, its server, its death, `ward up` around it, and the example.
//!
//! `WARD_TEST_ROUNDS` says how often the server is killed; without it, a few times.

#![forbid(unsafe_code)]

mod accounts;
mod example;
mod kills;
mod local;
mod scene;
mod serving;
mod up;
mod verbs;

type Result<T = ()> = anyhow::Result<T>;
