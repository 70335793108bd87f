//! The example: from a push to a web server that answers, twice.

use std::path::Path;
use std::process::Command;

use anyhow::ensure;
use ward_testkit::programs::{in_path, skipped};

use crate::Result;

#[test]
fn the_example_does_what_it_says() -> Result {
    for program in ["git", "python3", "tar"] {
        if in_path(program).is_none() {
            skipped("the example", &format!("there is no {program}"));
            return Ok(());
        }
    }
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/docs-site");
    let output = Command::new(place.join("run"))
        .arg("--once")
        .env("WARD", env!("CARGO_BIN_EXE_ward"))
        .env_remove("WARD_STATE_DIR")
        .output()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    ensure!(output.status.success(), "{:?}\n{out}\n{err}", output.status);
    ensure!(out.contains("all is as it should be"), "{out}\n{err}");
    ensure!(out.matches("Finished: SUCCESS").count() == 2, "{out}");
    Ok(())
}
