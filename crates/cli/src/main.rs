//! The one binary: arguments and rendering only.

#![forbid(unsafe_code)]

mod args;
mod commands;
mod compat;
mod failure;
mod hidden;

use std::process::ExitCode;

use ward_sys::arena::{self, Arena};
use ward_sys::code;

#[global_allocator]
static ALLOCATOR: Arena = Arena;

fn main() -> ExitCode {
    arena::populate();
    code::allow_rest();
    // What this process is for may have been settled by who started it: a guardian below a runner is
    // told both.
    ward_engine::embed::guardian_entry();
    if let Some(code) = ward_build::runner::by_role() {
        return code;
    }
    if let Some(code) = ward_supervise::keeper::by_role() {
        return code;
    }
    if let Some(code) = compat::by_name() {
        return code;
    }
    let arguments = args::parse();
    match commands::run(arguments) {
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}
