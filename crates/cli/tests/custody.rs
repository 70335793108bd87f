//! Nobody gets away: every hostile mood on every rung, as root and as an ordinary user.
//! When ward has ended nobody is left, its exit status is right, and its report is true.

#![forbid(unsafe_code)]

use std::collections::HashSet;
use std::fs;

use anyhow::{Context as _, ensure};
use rustix::process::Signal;
use ward_model::life::CauseKind;
use ward_model::report::{Listed, Report};
use ward_model::rung::Rung;
use ward_testkit::hostile::WITHOUT_ITS_FIRST_THREAD;
use ward_testkit::processes::look;
use ward_testkit::programs::{in_path, skipped};
use ward_testkit::run::text;
use ward_testkit::truth::pids;
use ward_testkit::world;
use ward_testkit::world::{Setting, Who, can_have, is_root, settings};

type Result = anyhow::Result<()>;

/// What a leader that ends by itself ends with.
const LEFT: u8 = 9;
/// What ward ends with when it was asked to stop.
const STOPPED: u8 = 123;

/// Graces that are short, but longer than it takes anybody to die who wants to.
const GRACES: [&str; 4] = ["--grace", "800ms", "--leftover-grace", "200ms"];

/// A mood, how its run ends, and what its report must say.
struct Story {
    mood: &'static [&'static str],
    /// How many sign the roll before the run is as it should be.
    signatures: usize,
    /// Whether the test asks ward to stop; else the leader ends by itself.
    stopped: bool,
    judge: fn(&Report) -> Result,
}

const fn leaves(
    mood: &'static [&'static str],
    signatures: usize,
    judge: fn(&Report) -> Result,
) -> Story {
    Story {
        mood,
        signatures,
        stopped: false,
        judge,
    }
}

const fn stays(
    mood: &'static [&'static str],
    signatures: usize,
    judge: fn(&Report) -> Result,
) -> Story {
    Story {
        mood,
        signatures,
        stopped: true,
        judge,
    }
}

fn counts(report: &Report, told: u64, cleaned_up: u64, killed: u64) -> Result {
    let found = (
        report.told.count,
        report.cleaned_up.count,
        report.killed.count,
    );
    ensure!(
        found == (told, cleaned_up, killed),
        "(told, cleaned up, killed) is {found:?}, not {:?}",
        (told, cleaned_up, killed)
    );
    ensure!(report.forced == (killed > 0), "forced is {}", report.forced);
    Ok(())
}

/// Who holds the pipes is searched for among the first few only: it takes long.
fn holds_both(listed: &Listed) -> bool {
    let both = ["stdout", "stderr"];
    listed
        .processes
        .first()
        .is_some_and(|first| first.holds == both)
        && listed
            .processes
            .iter()
            .all(|process| process.holds.is_empty() || process.holds == both)
}

/// How many of `mixed-tree 60` take no notice of signals: every seventh.
const DEAF: u64 = 8;

const STORIES: &[Story] = &[
    stays(&["linger"], 1, |report| counts(report, 1, 1, 0)),
    stays(&["ignore-term"], 1, |report| counts(report, 1, 0, 1)),
    stays(&["fork-on-term"], 1, |report| counts(report, 1, 0, 4)),
    stays(&["close-and-stay"], 1, |report| counts(report, 1, 1, 0)),
    stays(&["flood", "0"], 1, |report| {
        ensure!(report.output.stdout_bytes > 0, "nothing was relayed");
        counts(report, 1, 1, 0)
    }),
    // Who is stopped cannot hear before he is continued or killed; both are right.
    stays(&["stop-self"], 2, |report| {
        ensure!(report.told.count == 2, "told {}", report.told.count);
        ensure!(
            report.cleaned_up.count + report.killed.count == 2,
            "not everybody ended"
        );
        Ok(())
    }),
    stays(&["undumpable"], 1, |report| counts(report, 1, 1, 0)),
    stays(&["wipe-environ"], 1, |report| counts(report, 1, 1, 0)),
    stays(&["change-user"], 1, |report| counts(report, 1, 1, 0)),
    stays(&["mixed-tree", "60"], 60, |report| {
        counts(report, 60, 60 - DEAF, DEAF)
    }),
    stays(&["fork-storm", "4", "20", "stay"], 1, |report| {
        ensure!(report.told.count > 0, "nobody was told");
        Ok(())
    }),
    leaves(&["daemonize"], 1, |report| {
        ensure!(
            report.left_over.processes[0].holds.is_empty(),
            "it holds nothing"
        );
        counts(report, 1, 1, 0)
    }),
    leaves(&["hold-pipe"], 1, |report| {
        ensure!(
            holds_both(&report.left_over),
            "who holds the pipes was not named"
        );
        counts(report, 1, 1, 0)
    }),
    leaves(&["sleepers", "50"], 50, |report| {
        ensure!(
            report.left_over.count == 50,
            "{} left over",
            report.left_over.count
        );
        counts(report, 50, 50, 0)
    }),
    leaves(&["mixed-tree", "60", "leave"], 60, |report| {
        ensure!(
            report.left_over.count == 59,
            "{} left over",
            report.left_over.count
        );
        ensure!(
            holds_both(&report.left_over),
            "who holds the pipes was not named"
        );
        counts(report, 59, 59 - DEAF, DEAF)
    }),
    leaves(&["fork-storm", "4", "20"], 1, |_| Ok(())),
];

fn tell(setting: Setting, story: &Story) -> Result {
    let world = world!()?;
    let run = world.ward().setting(setting).options(GRACES);
    let mut running = run.hostile_leaving(LEFT, story.mood).start()?;
    let signed = running.await_signatures(story.signatures)?;
    let code = if story.stopped {
        running.signal(Signal::TERM)?;
        STOPPED
    } else {
        LEFT
    };
    let ended = running.finish()?;
    let report = ended.judge(code)?;
    // A storm can be over before anybody has been named.
    let named = story.stopped || report.left_over.count > 0 || story.mood.contains(&"fork-storm");
    ensure!(named, "somebody was left over, but nobody is named");
    let cause = if story.stopped {
        CauseKind::Requested
    } else {
        CauseKind::LeftOver
    };
    ensure!(
        report.cause == Some(cause),
        "the cause is {:?}",
        report.cause
    );
    ensure!(
        report.containment.rung == setting.rung,
        "held by {:?}",
        report.containment
    );
    ensure!(report.spared.count == 0, "spared {:?}", report.spared);
    ensure!(
        report.survivors.count == 0,
        "survivors {:?}",
        report.survivors
    );
    ensure!(!report.guardian_lost, "the guardian was lost");
    // Whoever is named was there.
    if !story.mood.contains(&"fork-storm") && !story.mood.contains(&"fork-on-term") {
        let known: HashSet<i32> = signed.into_iter().collect();
        for process in report.told.processes.iter().chain(&report.killed.processes) {
            ensure!(
                known.contains(&process.pid),
                "{process:?} is not one of {known:?}"
            );
            ensure!(
                process.command.contains(world.mark()),
                "{process:?} has another command line"
            );
        }
    }
    (story.judge)(&report).with_context(|| format!("{report:#?}"))
}

fn every_mood(setting: Setting) -> Result {
    if !can_have(setting) {
        return Ok(());
    }
    let wrong: Vec<String> = STORIES
        .iter()
        .filter_map(|story| {
            let error = tell(setting, story).err()?;
            Some(format!("{:?}: {error:#}", story.mood))
        })
        .collect();
    ensure!(wrong.is_empty(), "{setting:?}\n{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn every_mood_as_root_with_a_guardian() -> Result {
    every_mood(Setting {
        who: Who::Myself,
        rung: Rung::Guardian,
    })
}

#[test]
fn every_mood_as_root_in_a_cgroup() -> Result {
    every_mood(Setting {
        who: Who::Myself,
        rung: Rung::Cgroup,
    })
}

#[test]
fn every_mood_as_an_ordinary_user_with_a_guardian() -> Result {
    every_mood(Setting {
        who: Who::Ordinary,
        rung: Rung::Guardian,
    })
}

#[test]
fn every_mood_as_an_ordinary_user_in_a_delegated_cgroup() -> Result {
    every_mood(Setting {
        who: Who::Delegated,
        rung: Rung::Cgroup,
    })
}

#[test]
fn a_thousand_daemons() -> Result {
    for setting in settings() {
        let world = world!()?;
        let run = world
            .ward()
            .setting(setting)
            .options(["--leftover-grace", "0"]);
        let ended = run.hostile_leaving(LEFT, &["sleepers", "1000"]).finish()?;
        let report = ended.judge(LEFT)?;
        assert_eq!(report.left_over.count, 1000, "{setting:?}");
        counts(&report, 1000, 1000, 0)?;
    }
    Ok(())
}

/// Forks without exec are much faster than starting a program: only a shell does them here.
/// Each chain is bounded by a number, so it ends by itself.
#[test]
fn forks_as_fast_as_a_shell_can() -> Result {
    let storm = "
        link() { n=$((n - 1)); [ $n -gt 0 ] || exit 0; link & exit 0; }
        for chain in 1 2 3 4 5 6 7 8; do n=8000; link & done
        exit 9";
    for setting in settings() {
        let world = world!()?;
        let run =
            world
                .ward()
                .setting(setting)
                .options(["--leftover-grace", "0", "--grace", "100ms"]);
        run.sh(storm).finish()?.judge(LEFT)?;
    }
    Ok(())
}

/// Whoever may write to a cgroup above can leave the one of the run; the guardian still has
/// him.
#[test]
fn leaving_the_cgroup_is_not_leaving() -> Result {
    for setting in settings() {
        let world = world!()?;
        let Some(place) = world.cgroup_of(setting.who) else {
            skipped("leaving the cgroup", "there is none");
            continue;
        };
        if setting.rung != Rung::Cgroup {
            continue;
        }
        let enter = format!("cgroup={}", place.path().display());
        let text = format!(
            "{} enter {enter} -- {} & while ! [ -s {} ]; do sleep 0.01; done; exit 9",
            text(world.hostile_program()),
            world.hostile_text(&["linger"]),
            text(world.roll()),
        );
        let ended = world
            .ward()
            .setting(setting)
            .options(GRACES)
            .sh(&text)
            .finish()?;
        let report = ended.judge(LEFT)?;
        assert_eq!(report.left_over.count, 1, "{setting:?}");
    }
    Ok(())
}

/// A run in a run in a run, whose middle is killed: the outermost has everybody.
#[test]
fn the_outer_run_has_who_the_inner_one_lost() -> Result {
    for setting in settings() {
        let world = world!()?;
        let ward = text(world.ward_program());
        let inner = format!(
            "{ward} run -- {} & while ! [ -s {} ]; do sleep 0.01; done; kill -9 $!; exit 9",
            world.hostile_text(&["ignore-term"]),
            text(world.roll()),
        );
        let mut ended = world
            .ward()
            .setting(setting)
            .options(GRACES)
            .sh(&inner)
            .finish()?;
        if setting.rung == Rung::Guardian {
            // The inner run's own cgroup is empty, but who would have removed it was killed,
            // and the outer run knows nothing of cgroups.
            ended.forgotten_cgroups.clear();
        }
        let report = ended.judge(LEFT)?;
        assert!(report.forced, "{setting:?}");
    }
    Ok(())
}

/// A process whose first thread has ended looks like a zombie and is none: state Z is not
/// death.
#[test]
fn who_looks_dead_is_held_too() -> Result {
    if in_path("python3").is_none() {
        skipped("a process without its first thread", "needs python3");
        return Ok(());
    }
    for setting in settings() {
        let world = world!()?;
        let python = ["python3", "-c", WITHOUT_ITS_FIRST_THREAD];
        let roll = text(world.roll());
        let mark = world.mark().to_owned();
        // As the command itself.
        let run = world.ward().setting(setting).options(GRACES);
        let mut running = run
            .command([&python[..], &[&roll, &mark]].concat())
            .start()?;
        let pid = running.await_signatures(1)?[0];
        ensure!(look(pid).is_some_and(|seen| seen.state == 'Z' && !seen.is_zombie()));
        ensure!(!running.is_over(), "{setting:?}: taken for dead");
        running.signal(Signal::TERM)?;
        let report = running.finish()?.judge(STOPPED)?;
        assert_eq!(
            (report.told.count, report.cleaned_up.count),
            (1, 1),
            "{setting:?}"
        );

        // As a left-over.
        fs::write(world.roll(), "")?;
        let script = "\"$@\" & while ! [ -s \"$0\" ]; do sleep 0.01; done; exit 9";
        let run = world.ward().setting(setting).options(GRACES);
        let words = [
            &["/bin/sh", "-c", script, &roll][..],
            &python,
            &[&roll, &mark],
        ]
        .concat();
        let report = run.command(words).finish()?.judge(LEFT)?;
        assert_eq!(
            pids(&report.left_over),
            world.signed().into_iter().collect(),
            "{setting:?}"
        );
    }
    Ok(())
}

#[test]
fn a_quiet_command_is_left_in_peace() -> Result {
    for setting in settings() {
        let world = world!()?;
        let report = world
            .ward()
            .setting(setting)
            .sh("sleep 0.1 & wait; exit 4")
            .finish()?
            .judge(4)?;
        assert_eq!(report.cause, None, "{setting:?}");
        counts(&report, 0, 0, 0)?;
    }
    Ok(())
}

/// Who outlives the leader but ends within the grace for left-overs was not left over.
#[test]
fn who_is_only_a_little_late_is_left_in_peace() -> Result {
    let world = world!()?;
    let file = world.path("late");
    let text = format!(
        "(sleep 0.3; echo late > {}; echo late) & exit 4",
        text(&file)
    );
    let ended = world
        .ward()
        .options(["--leftover-grace", "30s"])
        .sh(&text)
        .finish()?;
    let report = ended.judge(4)?;
    assert_eq!(report.cause, None);
    assert_eq!(report.left_over.count, 0);
    assert_eq!(ended.out(), "late\n");
    assert!(file.exists());
    Ok(())
}

#[test]
fn the_highest_rung_is_taken_and_a_missing_one_is_explained() -> Result {
    for setting in settings() {
        let world = world!()?;
        let report = world
            .ward()
            .who(setting.who)
            .command(["true"])
            .finish()?
            .judge(0)?;
        let highest = if world.cgroup_of(setting.who).is_some() && setting.who != Who::Ordinary {
            Rung::Cgroup
        } else {
            Rung::Guardian
        };
        assert_eq!(report.containment.rung, highest, "{setting:?}");
        assert_eq!(
            report.containment.why_not_higher.is_some(),
            highest == Rung::Guardian,
            "{setting:?}"
        );
    }
    Ok(())
}

#[test]
fn a_rung_that_cannot_be_had_is_not_replaced_by_another() -> Result {
    if !is_root() {
        skipped("an ordinary user without a cgroup", "not root");
        return Ok(());
    }
    let world = world!()?;
    let file = world.path("started");
    let run = world.ward().who(Who::Ordinary).rung(Rung::Cgroup);
    let ended = run.command(["touch", &text(&file)]).finish()?;
    assert_eq!(ended.code(), 125, "{}", ended.err());
    assert!(ended.err().contains("cgroup"), "{}", ended.err());
    assert!(!file.exists());
    Ok(())
}
