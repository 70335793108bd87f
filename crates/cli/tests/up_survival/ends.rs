//! Each end is told exactly once: no program runs twice at a time, none is forgotten.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use ward_testkit::moments::let_pass;
use ward_testkit::supervisor::stage::Stage;

use crate::scene::{ALL, Scene, Victim};
use crate::{Result, moments, on_stage, rounds};

/// A short life: refuses to be two, counts itself, ends with code `$2` in its last run, with 3 before.
const BRIEF: &str = "#!/bin/sh
set -C
true 2>/dev/null > here/$1 || echo $1 >> twice
echo $1 >> began
sleep 0.00$3
echo $1 >> runs
lives=$(grep -cx $1 runs)
rm here/$1
[ $lives -lt $4 ] && exit 3
exit $2
";

fn configuration(stage: &Stage, programs: u32, lives: u32) -> Result<String> {
    std::fs::create_dir(stage.path("here"))?;
    let program = stage.script("brief", BRIEF)?.display().to_string();
    let (restart, codes) = if lives == 1 {
        ("false", String::new())
    } else {
        ("unexpected", "exitcodes=".to_owned())
    };
    Ok((0..programs)
        .map(|n| {
            let code = code_of(n);
            let codes = if codes.is_empty() {
                String::new()
            } else {
                format!("{codes}{code}\n")
            };
            format!(
                "[program:p{n}]\ncommand={program} p{n} {code} {} {lives}\ndirectory=%(here)s\n\
                 startsecs=0\nautorestart={restart}\n{codes}\
                 stdout_logfile=NONE\nstderr_logfile=NONE\n",
                n % 8 + 2
            )
        })
        .collect())
}

fn code_of(number: u32) -> u32 {
    10 + number % 200
}

fn lives(stage: &Stage) -> BTreeMap<String, u32> {
    let mut lives = BTreeMap::new();
    for name in stage.read("runs").lines() {
        *lives.entry(name.to_owned()).or_default() += 1;
    }
    lives
}

fn end_while_killed(victims: &[Victim], programs: u32, each: u32) -> Result {
    for round in 0..rounds(2) {
        on_stage(|s| {
            s.configure(&configuration(s, programs, each)?)?;
            // The start of all of them is to be struck, too.
            let scene = Scene::start_configured(s)?;
            let mut struck = Vec::new();
            let moments = moments(round + 11, Duration::from_millis(60));
            for (number, moment) in moments.take(6).enumerate() {
                let_pass(moment);
                let victim = victims[(round as usize + number) % victims.len()];
                struck.push((moment, victim));
                scene
                    .strike(victim)
                    .with_context(|| format!("{struck:?}"))?;
            }
            let anew = struck.iter().filter(|(_, victim)| *victim == Victim::Both);
            let anew = u32::try_from(anew.count())?;
            let unknown = !victims.iter().all(|victim| *victim == Victim::Daemon);
            let about = || format!("round {round}: {struck:?}; runs {:?}", lives(s));
            let all = scene.await_all("EXITED").with_context(about)?;
            ensure!(all.len() == programs as usize, "{} programs", all.len());
            let twice = s.read("twice");
            ensure!(twice.is_empty(), "at the same time: {twice} ({struck:?})");
            let runs = lives(s);
            for n in 0..programs {
                let name = format!("p{n}");
                let info = all.iter().find(|info| info["name"] == name.as_str());
                let info = info.context(name.clone())?;
                ensure!(
                    info["exitstatus"] == code_of(n) || (unknown && info["exitstatus"] == -1),
                    "{info} instead of {}: {}",
                    code_of(n),
                    about()
                );
                let found = runs.get(&name).copied().unwrap_or_default();
                let most = match victims {
                    [Victim::Daemon] => each,
                    // Of an end that nobody has seen it is not known whether it was the last.
                    _ if each > 1 => u32::MAX,
                    // `ward up` starts what the file says.
                    _ => each + anew,
                };
                let is_right = (each..=most).contains(&found);
                ensure!(is_right, "{name} ran {found} times: {}", about());
            }
            Ok(())
        })?;
    }
    Ok(())
}

#[test]
fn single_lives_and_the_daemon() -> Result {
    end_while_killed(&[Victim::Daemon], 120, 1)
}

#[test]
fn single_lives_and_anybody() -> Result {
    end_while_killed(&ALL, 120, 1)
}

#[test]
fn many_lives_and_the_daemon() -> Result {
    end_while_killed(&[Victim::Daemon], 30, 8)
}

#[test]
fn many_lives_and_the_keeper() -> Result {
    end_while_killed(&[Victim::Keeper], 30, 8)
}
