//! Steps that become somebody else: whoever stops the build stops them too, and reads who they were.

use std::process::Command;

use anyhow::ensure;
use ward_testkit::patience::{wait_for, wait_until};
use ward_testkit::processes::{Seen, all, look, status_line};
use ward_testkit::programs::{in_path, skipped};
use ward_testkit::world::is_root;

use crate::Result;
use crate::place::Place;

/// Everybody alive with `word` in the command.
fn found(word: &str) -> Vec<Seen> {
    all()
        .into_iter()
        .filter_map(look)
        .filter(|seen| !seen.is_zombie() && seen.command.contains(word))
        .collect()
}

#[test]
fn a_stop_reaches_who_became_somebody_else() -> Result {
    let works = || {
        let mut sudo = Command::new("sudo");
        sudo.args(["-n", "-u", "nobody", "true"])
            .output()
            .is_ok_and(|output| output.status.success())
    };
    if !is_root() || in_path("sudo").is_none() || !works() {
        skipped("a step with sudo", "needs root and sudo");
        return Ok(());
    }
    let Some(mut place) = Place::new()? else {
        return Ok(());
    };
    // sudo leaves nothing of the environment, so they are known by how long they would sleep.
    let long = 600_000 + std::process::id();
    let nice = format!("sleep {long}1");
    let deaf = format!("sleep {long}2");
    place.write(&format!(
        "[job:app]\ngrace = 1s\nscript =\n    #!/bin/sh\n    sudo -n -u nobody {nice} &\n    \
         sudo -n -u nobody setsid sh -c 'trap \"\" TERM HUP INT; echo ready; exec {deaf}' &\n    wait\n"
    ))?;
    place.serve(&[])?;
    place.build(&["start", "app", "-q"])?.expect(0)?;
    wait_until("both to sleep", || {
        let runs = |word: &str| found(word).iter().any(|seen| seen.command == word);
        runs(&nice) && runs(&deaf)
    })?;
    // They are nobody's, and deaf to the terminal that there is not.
    let theirs = found(&nice).into_iter().chain(found(&deaf));
    let mut theirs = theirs.filter(|seen| seen.command.starts_with("sleep "));
    ensure!(
        theirs.all(|seen| {
            status_line(seen.pid, "Uid").is_some_and(|line| line.contains("65534"))
        })
    );
    place.build(&["stop", "app", "--wait"])?;
    let shown = place.over("app", 1)?;
    ensure!(shown["result"] == "ABORTED", "{shown:#}");
    ensure!(found(&nice).is_empty() && found(&deaf).is_empty());
    let console = place.console("app", 1)?;
    let line = |begin: &str| -> Result<String> {
        wait_for(begin, || {
            let line = console.lines().find(|line| line.starts_with(begin));
            line.map(str::to_owned)
        })
    };
    ensure!(line("Told to stop: ")?.contains("sleep"), "{console}");
    ensure!(line("Killed: ")?.contains("sleep"), "{console}");
    Ok(())
}
