//! `ward build local` and `ward build serve` with what people have: projects from package registries, forges that
//! tell of pushes, keys in an agent, steps that become somebody else.
//!
//! What a registry, a program or a right is missing for is skipped, and said so.

#![forbid(unsafe_code)]

mod agent;
mod hooks;
mod place;
mod projects;
mod sudo;

type Result<T = ()> = anyhow::Result<T>;
