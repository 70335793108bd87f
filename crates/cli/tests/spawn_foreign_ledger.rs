//! Root's `ward ps` reads the ledgers of everybody whose daemons run here; whoever means ill must
//! not be able to make it wait for ever.
//!
//! In a room of its own: where this fails, every `ward ps` of root on the host waits meanwhile.

#![forbid(unsafe_code)]

use std::fs;

use anyhow::{Context as _, ensure};
use ward_testkit::daemons::{Ask, nobody_is_left};
use ward_testkit::patience::wait_until;
use ward_testkit::programs::skipped;
use ward_testkit::run::text;
use ward_testkit::world;
use ward_testkit::world::{Who, is_root};

type Result = anyhow::Result<()>;

#[test]
fn a_ledger_with_files_that_never_end() -> Result {
    if !is_root() {
        skipped("a foreign ledger", "only root reads those of others");
        return Ok(());
    }
    let mut wrong = Vec::new();
    for file in ["entry", "processes", "report.json"] {
        let world = world!()?;
        Ask::by(&world, Who::Ordinary, ["spawn", "--name", "decent"])
            .hostile(&["linger"])
            .expect(0)?;
        let daemons = world.state_of(Who::Ordinary).join("daemons");
        let evil = daemons.join("evil");
        fs::create_dir(&evil)?;
        fs::copy(daemons.join("decent/entry"), evil.join("entry"))?;
        let path = text(evil.join(file));
        let made = Ask::shell(&world, &format!("rm -f {path}; mkfifo {path}")).expect(0);
        made.context("a FIFO cannot be made")?;
        let mut asked = Ask::new(&world, ["ps", "--all"]).start()?;
        let answered = wait_until("an answer", || asked.is_over()).is_ok();
        // Before anything else: others may be waiting for it too.
        fs::remove_file(evil.join(file))?;
        if answered {
            let answer = asked.answer()?.expect(0)?;
            ensure!(answer.out.contains("decent"), "{answer:#?}");
        } else {
            drop(asked);
            wrong.push(file);
        }
        Ask::by(&world, Who::Ordinary, ["stop", "decent"]).expect(0)?;
        nobody_is_left(&world)?;
    }
    ensure!(wrong.is_empty(), "`ward ps` waits for ever at: {wrong:?}");
    Ok(())
}
