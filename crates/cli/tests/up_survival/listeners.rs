//! A listener goes on to listen.

use anyhow::ensure;
use serde_json::json;

use crate::scene::{ALL, Scene};
use crate::{Result, on_stage, rounds};

const LISTENER: &str = "#!/bin/sh
while :; do
    printf 'READY\\n'
    read -r head || exit 0
    dd bs=1 count=${head##*len:} 2>/dev/null >> heard
    printf '\\n' >> heard
    printf 'RESULT 2\\nOK'
done
";

/// Says half of a result, waits until it may go on, says the rest; notes what it hears.
const HALVES: &str = "#!/bin/sh
round=0
while :; do
    printf 'READY\\n'
    read -r head || exit 0
    dd bs=1 count=${head##*len:} 2>/dev/null >> heard
    printf '\\n' >> heard
    round=$((round + 1))
    for half in \"$@\"; do
        printf \"$half\"
        touch said-$round
        while [ ! -e go-$round ]; do sleep 0.02; done
        rm go-$round said-$round
    done
done
";

/// Its daemon is killed when it has heard half of what a listener says, and has written it to the log.
#[test]
fn what_was_heard_by_half_is_not_forgotten() -> Result {
    on_stage(|s| {
        let program = s.script("halves", HALVES)?.display().to_string();
        let scene = Scene::start(
            s,
            &format!(
                "[eventlistener:l]\ncommand={program} 'RESU' 'LT 2\\n' 'O' 'K'\ndirectory=%(here)s\n\
                 startsecs=0\nevents=REMOTE_COMMUNICATION\nstdout_logfile=%(here)s/l.log\n"
            ),
        )?;
        scene.await_state("l", "RUNNING")?;
        let pid = scene.d.pid_of("l")?;
        let mut said = "READY\n".to_owned();
        for (round, victim) in ALL.into_iter().enumerate() {
            let round = round + 1;
            let text = format!("{victim:?}");
            scene.d.sv("sendRemoteCommEvent", &json!(["test", text]))?;
            for half in ["RESU", "LT 2\n", "O", "K"] {
                scene
                    .d
                    .await_that("a half", || s.path(&format!("said-{round}")).exists())?;
                said.push_str(half);
                scene.d.await_that("its log", || s.read("l.log") == said)?;
                scene.strike(victim)?;
                s.write(&format!("go-{round}"), "")?;
                scene
                    .d
                    .await_that("the next half", || !s.path(&format!("go-{round}")).exists())?;
            }
            said.push_str("READY\n");
            scene.d.await_text("heard", &text)?;
            ensure!(scene.d.pid_of("l")? == pid, "{victim:?}");
        }
        scene
            .d
            .sv("sendRemoteCommEvent", &json!(["test", "last"]))?;
        let heard = scene.d.await_text("heard", "last\n")?;
        let sent = "type:test\nDaemon\ntype:test\nKeeper\ntype:test\nBoth\ntype:test\nlast\n";
        ensure!(heard == sent, "{heard:?}");
        Ok(())
    })
}

#[test]
fn a_listener_listens_on() -> Result {
    on_stage(|s| {
        let program = s.script("listener", LISTENER)?.display().to_string();
        let scene = Scene::start(
            s,
            &format!(
                "[eventlistener:l]\ncommand={program}\ndirectory=%(here)s\nstartsecs=0\n\
                 events=REMOTE_COMMUNICATION\n"
            ),
        )?;
        scene.await_state("l", "RUNNING")?;
        let pid = scene.d.pid_of("l")?;
        let mut sent = String::new();
        for round in 0..rounds(2) {
            for victim in ALL {
                for number in 0..3 {
                    let text = format!("{round}-{victim:?}-{number}");
                    scene.d.sv("sendRemoteCommEvent", &json!(["test", text]))?;
                    sent.push_str(&format!("type:test\n{text}\n"));
                    scene.d.await_text("heard", &text)?;
                }
                scene.strike(victim)?;
                ensure!(scene.d.pid_of("l")? == pid, "{victim:?}");
            }
        }
        scene
            .d
            .sv("sendRemoteCommEvent", &json!(["test", "last"]))?;
        sent.push_str("type:test\nlast\n");
        let heard = scene.d.await_text("heard", "last\n")?;
        ensure!(heard == sent, "{heard:?} instead of {sent:?}");
        Ok(())
    })
}
