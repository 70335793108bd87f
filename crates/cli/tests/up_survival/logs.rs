//! Every line once, whole and in order, over all parts of a log.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::json;
use ward_testkit::hostile::noise::numbered_line;
use ward_testkit::moments::let_pass;
use ward_testkit::patience::wait_for_within;
use ward_testkit::programs::hostile;
use ward_testkit::supervisor::stage::{HEAD, Stage};

use crate::scene::{ALL, Scene, Victim};
use crate::{Result, moments, on_stage, rounds};

/// How long a log may lag behind what was written.
const LAG: Duration = Duration::from_secs(30);

/// All parts of a log, the oldest first.
pub(crate) fn whole(stage: &Stage, name: &str) -> Vec<u8> {
    let mut parts = Vec::new();
    for number in 1.. {
        let part = stage.path(&format!("{name}.{number}"));
        let Ok(bytes) = std::fs::read(part) else {
            break;
        };
        parts.push(bytes);
    }
    parts.reverse();
    parts.push(std::fs::read(stage.path(name)).unwrap_or_default());
    parts.concat()
}

/// How long all parts of a log are.
fn length(stage: &Stage, name: &str) -> u64 {
    let parts = stage.names(name).unwrap_or_default();
    let lengths = parts.iter().map(|part| std::fs::metadata(stage.path(part)));
    lengths.flatten().map(|data| data.len()).sum()
}

fn first_difference(found: &[u8], sent: &[u8]) -> String {
    let at = found.iter().zip(sent).position(|(one, other)| one != other);
    let at = at.unwrap_or(found.len().min(sent.len()));
    let about = |bytes: &[u8]| {
        let part = bytes.get(at.saturating_sub(40)..(at + 40).min(bytes.len()));
        String::from_utf8_lossy(part.unwrap_or_default()).into_owned()
    };
    format!(
        "{} bytes instead of {}; at {at}: {:?} instead of {:?}",
        found.len(),
        sent.len(),
        about(found),
        about(sent)
    )
}

/// Waits until a log is what it should be; gives up when it is longer and stays so.
pub(crate) fn await_log(stage: &Stage, name: &str, sent: &[u8]) -> Result {
    let mut found = Vec::new();
    let came = wait_for_within(LAG, "a log", || {
        // A rotation while the parts are read shows one of them twice.
        let before = std::mem::replace(&mut found, whole(stage, name));
        let is_settled = found.len() >= sent.len() && found == before;
        (found == sent || is_settled).then_some(())
    });
    ensure!(
        found == sent,
        "{name} ({:?}): {}",
        came.map_err(|error| error.to_string()),
        first_difference(&found, sent)
    );
    Ok(())
}

fn lines(count: u64) -> Vec<u8> {
    (1..=count).map(numbered_line).collect::<String>().into()
}

/// Lines of a burst, at full speed, and how many bursts: so that every death finds somebody writing.
const SLOW: u64 = 1_000;
const FAST: u64 = 10_000;
const COLOURED: u64 = 400;
const BURSTS: usize = 40;

/// How often somebody dies in one life of the writers.
const STRIKES: usize = 5;
const LOGS: [&str; 5] = [
    "lines.log",
    "flood.log",
    "both.log",
    "error.log",
    "coloured.log",
];

/// Programs that write, each in another way; what they do `after` that.
fn writers(stage: &Stage, strip: bool, after: &str) -> Result<String> {
    let hostile = hostile()?.display();
    for (name, burst) in [
        ("lines", format!("{hostile} numbered-lines {SLOW} 0")),
        ("flood", format!("{hostile} numbered-lines {FAST}")),
        ("both", format!("{hostile} both-streams {SLOW}")),
        ("error", format!("{hostile} numbered-lines {SLOW} 0 >&2")),
        (
            "coloured",
            format!(
                "i=0; while [ $i -lt {COLOURED} ]; do \
                 printf '\\033[1;31mline \\033[0m%010d\\033[m\\n' $((i=i+1)); done"
            ),
        ),
    ] {
        let text = format!(
            "#!/bin/sh\nuntil [ -e {go} ]; do sleep 0.01; done\n\
             b=0\nwhile [ $b -lt {BURSTS} ]; do\nb=$((b+1))\n{burst}\n\
             sleep 0.01\ndone\n{after}\n",
            go = stage.path("go").display()
        );
        stage.script(name, &text)?;
    }
    let head = HEAD.replace("childlogdir", &format!("strip_ansi={strip}\nchildlogdir"));
    let program = |name: &str, stream: &str, size: &str, more: &str| {
        format!(
            "[program:{name}]\ncommand=%(here)s/{name}\nautorestart=false\nstartsecs=0\n{more}\
             {stream}_logfile=%(here)s/{name}.log\n{stream}_logfile_maxbytes={size}\n\
             {stream}_logfile_backups=50\n"
        )
    };
    Ok([
        head,
        program("lines", "stdout", "100KB", ""),
        program("flood", "stdout", "1MB", ""),
        program("both", "stdout", "100KB", "redirect_stderr=true\n"),
        program("error", "stderr", "100KB", ""),
        program("coloured", "stdout", "50KB", ""),
    ]
    .concat())
}

fn write_while_killed(strip: bool, victims: &[Victim], after: &str, span: u64) -> Result {
    for round in 0..rounds(2) {
        on_stage(|s| {
            s.configure_all(&writers(s, strip, after)?)?;
            let scene = Scene::start_configured(s)?;
            let mut struck = Vec::new();
            let moments = moments(round + 1, Duration::from_millis(span));
            for (number, moment) in moments.take(STRIKES).enumerate() {
                // Who has many processes to look at must not look while they write.
                let pair = scene.pair()?;
                std::fs::write(s.path("go"), "")?;
                let_pass(moment);
                let victim = victims[(round as usize + number) % victims.len()];
                let before = scene.fell_of(pair, victim)?;
                struck.push((moment, victim, LOGS.map(|log| length(s, log))));
                scene
                    .recover(before, victim)
                    .with_context(|| format!("{struck:?}"))?;
            }
            let first = struck.first().context("nobody was struck")?.2;
            let last = LOGS.map(|log| length(s, log));
            ensure!(
                first.iter().zip(last).all(|(first, last)| *first < last),
                "all was written before: {struck:?}"
            );
            let coloured = if strip {
                lines(COLOURED)
            } else {
                let line = |n| format!("\x1b[1;31mline \x1b[0m{n:010}\x1b[m\n");
                (1..=COLOURED).map(line).collect::<String>().into()
            };
            let (slow, fast) = (lines(SLOW), lines(FAST));
            let bursts = [&slow, &fast, &slow, &slow, &coloured];
            for (log, burst) in LOGS.iter().zip(bursts) {
                await_log(s, log, &burst.repeat(BURSTS))
                    .with_context(|| format!("round {round}: {struck:?}"))?;
            }
            if after == "exit 7" {
                for info in scene.await_all("EXITED")? {
                    ensure!(info["exitstatus"] == 7, "{info}");
                }
            }
            // Nothing comes afterwards, either.
            for (log, burst) in LOGS.iter().zip(bursts) {
                ensure!(whole(s, log) == burst.repeat(BURSTS), "{log}: {struck:?}");
            }
            Ok(())
        })?;
    }
    Ok(())
}

#[test]
fn the_daemon_is_killed_over_logs() -> Result {
    write_while_killed(false, &[Victim::Daemon], "exit 7", 150)
}

#[test]
fn the_daemon_is_killed_over_stripped_logs() -> Result {
    write_while_killed(true, &[Victim::Daemon], "exit 7", 150)
}

#[test]
fn the_keeper_is_killed_over_logs() -> Result {
    write_while_killed(false, &[Victim::Keeper], "exit 7", 150)
}

/// Whoever ends while nobody is there has nobody to tell: these do not end.
#[test]
fn anybody_is_killed_over_logs() -> Result {
    write_while_killed(false, &ALL, "exec sleep 1000", 150)
}

#[test]
fn anybody_is_killed_over_stripped_logs() -> Result {
    write_while_killed(true, &ALL, "exec sleep 1000", 150)
}

const TRAPPED: &str = "#!/bin/sh
run=$(cat runs 2>/dev/null || echo 0)
echo $((run=run+1)) > runs
n=0
last() {
    i=0
    while [ $i -lt 300 ]; do
        while [ $i = 150 ] && ! [ -e go ]; do :; done
        echo \"$run line $((n=n+1))\"
        i=$((i+1))
    done
    echo \"$run end $n\"
    exit 0
}
trap last TERM
echo x > ready
while :; do echo \"$run line $((n=n+1))\"; done
";

/// Each run's lines without a gap, and its last words; gives the number of runs.
fn runs_are_whole(text: &str) -> Result<u32> {
    let (mut run, mut line, mut over, mut runs) = (0_u64, 0_u64, true, 0);
    for (at, found) in text.lines().enumerate() {
        let words: Vec<&str> = found.split(' ').collect();
        let [number, kind, count] = words[..] else {
            anyhow::bail!("line {at}: {found:?}");
        };
        let (number, count): (u64, u64) = (number.parse()?, count.parse()?);
        if over {
            ensure!(
                number > run && count == 1,
                "line {at}: {found:?} after {run}"
            );
            (run, line, over) = (number, 0, false);
            runs += 1;
        }
        ensure!(number == run, "line {at}: {found:?} in {run}");
        if kind == "end" {
            ensure!(count == line, "line {at}: {found:?} after {line}");
            over = true;
        } else {
            ensure!(count == line + 1, "line {at}: {found:?} after {line}");
            line = count;
        }
    }
    ensure!(
        over,
        "the last words of run {run} are missing, after {line}"
    );
    Ok(runs)
}

#[test]
fn last_words_are_kept() -> Result {
    on_stage(|s| {
        let program = s.script("trapped", TRAPPED)?.display().to_string();
        let scene = Scene::start(
            s,
            &format!(
                "[program:a]\ncommand={program}\ndirectory=%(here)s\nstartsecs=0\n\
                 autostart=false\nautorestart=false\nstopwaitsecs=60\nstdout_logfile=%(here)s/a.log\n\
                 stdout_logfile_maxbytes=500KB\nstdout_logfile_backups=1000\n"
            ),
        )?;
        scene.d.sv("startProcess", &json!(["a"]))?;
        let all = moments(7, Duration::from_millis(8));
        for (number, moment) in all.take(rounds(9) as usize).enumerate() {
            let ready = || std::fs::remove_file(s.path("ready")).ok();
            scene.d.await_some("the program", ready)?;
            // Some are struck before they hear of it, some after.
            let before = number % 4 == 3;
            let victim = ALL[number % 3];
            // What a program says while there is neither is heard as long as it lives: nobody else reads it.
            if victim != Victim::Both {
                std::fs::write(s.path("go"), "")?;
            }
            let stop = scene.d.begin("stopProcess", &json!(["a", !before]));
            let_pass(moment);
            scene.strike(victim)?;
            std::fs::write(s.path("go"), "")?;
            drop(stop);
            scene.d.await_some("the stop", || {
                let state = scene.d.state("a").ok()?;
                if state == "RUNNING" {
                    let _ = scene.d.sv("stopProcess", &json!(["a"]));
                }
                ["STOPPED", "EXITED"]
                    .contains(&state.as_str())
                    .then_some(())
            })?;
            let told = u32::try_from(number)? + 1;
            let mut last = String::new();
            let runs = wait_for_within(LAG, "last words", || {
                let text = whole(s, "a.log");
                let runs = runs_are_whole(&String::from_utf8_lossy(&text));
                last = format!("{runs:?}");
                runs.ok().filter(|runs| *runs == told)
            });
            runs.with_context(|| format!("{told} runs, {number}, {moment:?}: {last}"))?;
            std::fs::remove_file(s.path("go"))?;
            scene.d.await_some("the start", || {
                let _ = scene.d.sv("startProcess", &json!(["a"]));
                (scene.d.state("a").ok()? == "RUNNING").then_some(())
            })?;
        }
        Ok(())
    })
}
