//! A console that is longer than any answer that is taken as a whole.

use std::process::Stdio;

use anyhow::ensure;

use crate::Result;
use crate::site::Site;

const LOUD: &str = "[job:loud]\nscript =\n  #!/bin/sh\n  \
    head -c 72000000 /dev/zero | tr '\\0' x | fold -w 99\n  exit 3\n";

#[test]
fn a_long_log_is_followed_to_its_last_byte_and_its_result() -> Result {
    let site = Site::with(LOUD)?;
    let conf = site.conf.to_string_lossy().into_owned();
    let run = |words: &[&str]| {
        let words = [&["build"], words, &["-c", &conf]].concat();
        site.command(&words).stderr(Stdio::inherit()).output()
    };
    let built = run(&["start", "loud", "--wait", "-q"])?;
    ensure!(built.status.code() == Some(1), "{:?}", built.status);
    let whole = run(&["log", "loud"])?;
    ensure!(whole.status.success(), "{:?}", whole.status);
    ensure!(whole.stdout.len() > 70_000_000, "{}", whole.stdout.len());
    ensure!(whole.stdout.ends_with(b"Finished: FAILURE\n"));
    let followed = run(&["log", "loud", "-f"])?;
    ensure!(followed.status.code() == Some(1), "{:?}", followed.status);
    ensure!(
        followed.stdout == whole.stdout,
        "{} bytes",
        followed.stdout.len()
    );
    Ok(())
}
