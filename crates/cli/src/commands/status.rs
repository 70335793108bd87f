//! `ward status`: how a daemon stands, for people and for scripts.

use std::io::Write;
use std::process::ExitCode;

use ward_engine::ledger::{Ledger, locate};

use super::ps;
use crate::args::StatusArgs;
use crate::failure::Failure;

/// Exit statuses of the Linux Standard Base for an init script's `status`.
const RUNS: u8 = 0;
const RUNS_NOT: u8 = 3;
const UNKNOWN: u8 = 4;

/// Tells it.
pub(crate) fn run(arguments: &StatusArgs) -> Result<ExitCode, Failure> {
    let ledger = Ledger::at(&locate()?);
    let seen = match ledger.look(&arguments.name) {
        Ok(Some(seen)) => seen,
        Ok(None) => {
            print(&format!("{}: not on record\n", arguments.name));
            return Ok(ExitCode::from(UNKNOWN));
        }
        Err(error) => {
            Failure::from(error).report();
            return Ok(ExitCode::from(UNKNOWN));
        }
    };
    let row = ps::Daemon::new(&seen);
    if arguments.json {
        let text =
            serde_json::to_string(&row).map_err(|error| Failure::ours("cannot write", &error))?;
        print(&format!("{text}\n"));
    } else {
        print(&row.at_length());
    }
    Ok(ExitCode::from(if seen.state.is_alive() {
        RUNS
    } else {
        RUNS_NOT
    }))
}

/// Prints it. Whoever does not read it still gets the exit status, which is the answer.
fn print(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}
