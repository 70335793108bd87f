//! The shell without a terminal.

use anyhow::Context as _;

use crate::Result;
use crate::or_skip;
use crate::pairs::{Side, compare, daemons, kit, stage};

#[test]
fn lines_on_standard_input() -> Result {
    let kit = or_skip!(kit());
    let stages = [stage(kit)?, stage(kit)?];
    let programs = "[program:cat]\ncommand=/bin/cat\nautostart=false\n";
    let daemons = daemons(&stages, programs)?;
    let sides = Side::both(&stages)?;
    for input in [
        "",
        "\n",
        "quit\n",
        "help help\nfoo\n\n  status cat  \nexit\nstatus\n",
        "status cat",
        "start cat\nstop cat\n",
        // The answer to a question is the next line, and no command.
        "shutdown\nn\nreload\nstatus\nversion\n",
        "shutdown\n",
        "open unix:///nowhere\npid\n",
        "shutdown\ny\n",
    ] {
        let words = ["-c", "c.conf"];
        let [theirs, ours] = [sides[0].run(&words, input)?, sides[1].run(&words, input)?];
        compare(&sides, &theirs, &ours).with_context(|| format!("{input:?}"))?;
    }
    for daemon in daemons {
        daemon.finish()?;
    }
    Ok(())
}

#[test]
fn who_asks_is_asked() -> Result {
    let kit = or_skip!(kit());
    let stages = [stage(kit)?, stage(kit)?];
    let _daemons = daemons(
        &stages,
        "[program:cat]\ncommand=/bin/cat\nautostart=false\n",
    )?;
    let sides = Side::both(&stages)?;
    // `-i` with an action: the questions of the shell, and no shell.
    for (words, input) in [
        (["-c", "c.conf", "-i", "shutdown"], "n\n"),
        (["-c", "c.conf", "-i", "reload"], ""),
        (["-c", "c.conf", "-i", "status"], "version\n"),
    ] {
        let [theirs, ours] = [sides[0].run(&words, input)?, sides[1].run(&words, input)?];
        compare(&sides, &theirs, &ours).with_context(|| format!("{words:?}"))?;
    }
    Ok(())
}
