//! What FLoM 1.7.2 does, `ward flom` does, and where FLoM fails, it does not: every check of the
//! list in which FLoM fails is a test of that name here. FLoM itself is not tried beside it: what is
//! known of it was observed elsewhere (`docs/reference/flom.md`).
//!
//! A room per subject; [`place`] is where a case is tried.

#![forbid(unsafe_code)]

mod command_line;
mod fairness;
mod given;
mod ignored;
mod kills;
mod layers;
mod locks;
mod others;
mod place;
mod said;
mod strictness;
mod time;

type Result<T = ()> = anyhow::Result<T>;
