//! What ours does otherwise, and what it adds.

use anyhow::ensure;
use serde_json::Value;

use crate::Result;
use crate::or_skip;
use crate::pairs::{Side, daemons, kit, stage};

#[test]
fn ours_does_otherwise() -> Result {
    let kit = or_skip!(kit());
    let stages = [stage(kit)?, stage(kit)?];
    let _daemons = daemons(
        &stages,
        "[program:cat]\ncommand=/bin/cat\nautostart=false\n",
    )?;
    let sides = Side::both(&stages)?;
    for (words, theirs, ours) in [
        // Whoever cannot be followed is no success.
        (
            &["tail", "-f", "nope"][..],
            (0, "==> Press Ctrl-C to exit <=="),
            (1, "==> Press Ctrl-C to exit <=="),
        ),
        // A group has no logs of its own, and is called what it was called.
        (
            &["clear", "cat:*"],
            (1, "cat:None: ERROR (no such process)"),
            (1, "cat:*: ERROR (no such process)"),
        ),
        // Ours alone.
        (
            &["explain", "cat"],
            (1, "*** Unknown syntax: explain cat"),
            (
                3,
                "ERROR: unix://@here/s does not know explain: it is no `ward up`",
            ),
        ),
        (
            &["upgrade"],
            (1, "*** Unknown syntax: upgrade"),
            (
                3,
                "ERROR: unix://@here/s does not know upgrade: it is no `ward up`",
            ),
        ),
        (
            &["status", "--json", "nope"],
            (
                4,
                "--json: ERROR (no such process)\nnope: ERROR (no such process)",
            ),
            (
                4,
                "{\n  \"processes\": [],\n  \"unknown\": [\n    \"nope\"\n  ]\n}",
            ),
        ),
    ] {
        for (side, expected) in sides.iter().zip([theirs, ours]) {
            let told = side.ctl(words)?;
            let told = (told.code, side.masked(&told.out));
            ensure!(
                told == (expected.0, expected.1.to_owned()),
                "{words:?}: {told:?}"
            );
        }
    }
    Ok(())
}

#[test]
fn the_list_of_commands_is_the_originals_and_below_it_ours() -> Result {
    let kit = or_skip!(kit());
    let stages = [stage(kit)?, stage(kit)?];
    crate::pairs::configure(&stages, "")?;
    let sides = Side::both(&stages)?;
    let [theirs, ours] = [sides[0].ctl(&["help"])?, sides[1].ctl(&["help"])?];
    let rest = ours.out.strip_prefix(&theirs.out);
    ensure!(
        rest.is_some_and(|rest| rest.contains("\nexplain  upgrade\n")),
        "{}",
        ours.out
    );
    Ok(())
}

#[test]
fn status_for_programs() -> Result {
    let kit = or_skip!(kit());
    let stages = [stage(kit)?, stage(kit)?];
    let programs =
        "[program:cat]\ncommand=/bin/cat\n[program:off]\ncommand=/bin/cat\nautostart=false\n";
    let daemons = daemons(&stages, programs)?;
    daemons[1].await_state("cat", "RUNNING")?;
    let sides = Side::both(&stages)?;
    let told = sides[1].ctl(&["status", "--json"])?;
    ensure!(told.code == 3, "{told:?}");
    let told: Value = serde_json::from_str(&told.out)?;
    let (cat, off) = (&told["processes"][0], &told["processes"][1]);
    ensure!(cat["name"] == "cat" && cat["state"] == "RUNNING", "{told}");
    ensure!(
        cat["pid"] == daemons[1].pid_of("cat")? && cat["uptime_seconds"].is_u64(),
        "{told}"
    );
    ensure!(off["name"] == "off" && off["state"] == "STOPPED", "{told}");
    ensure!(
        off["pid"].is_null() && off["started_at"].is_null(),
        "{told}"
    );
    Ok(())
}

/// Ward's verb and the original's name are one program.
#[test]
fn the_verb_is_the_name() -> Result {
    let kit = or_skip!(kit());
    let stage = stage(kit)?;
    let _daemon = stage.start("[program:off]\ncommand=/bin/cat\nautostart=false\n")?;
    let ward = std::path::Path::new(env!("CARGO_BIN_EXE_ward"));
    let told = stage.finish(stage.furnished(ward, &["ctl", "-c", "c.conf", "status"]))?;
    ensure!(told.code == 3 && told.out.starts_with("off "), "{told:?}");
    let told = stage.finish(stage.furnished(ward, &["ctl", "-x"]))?;
    let expected = "Error: option -x not recognized\nFor help, use ward ctl -h\n";
    ensure!(told.code == 2 && told.err == expected, "{told:?}");
    let told = stage.finish(stage.furnished(ward, &["ctl", "--help"]))?;
    ensure!(
        told.code == 0 && told.out.contains("\nExamples:\n"),
        "{told:?}"
    );
    Ok(())
}
